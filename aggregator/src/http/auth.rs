//! Who asks, and what they may see. Scopes are made here alone, from a token; every read and every change demands
//! one, so that an unscoped question does not compile.

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use tallyman_aggregator_core::bills::Viewer;
use tallyman_aggregator_core::registry::{Registry, Scope};
use tallyman_common::time::WallMs;

use super::ask::{Params, Peer, TENANT, TENANT_ID, short};
use super::gate::Api;
use super::problem::{Kind, Problem};
use crate::tokens;

/// Leave to see one tenant's data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantScope {
    tenant: String,
    viewer: Viewer,
}

/// Leave to see and change everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorScope {
    token: String,
    source: String,
}

/// Leave to see everything, or one tenant's part of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnyScope {
    /// An operator who names no tenant.
    Operator(OperatorScope),
    /// One tenant.
    Tenant(TenantScope),
}

impl TenantScope {
    /// Key of the tenant.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Who looks.
    pub fn viewer(&self) -> Viewer {
        self.viewer
    }
}

impl OperatorScope {
    /// Who, for the log of decisions.
    pub fn actor(&self) -> String {
        format!("token:{}", self.token)
    }

    /// From where, for the log of decisions.
    pub fn source(&self) -> String {
        self.source.clone()
    }
}

/// The scope of a request's token. Found by the digest of a secret of 32 random bytes: how long the search takes
/// tells nothing about any token.
fn scope(parts: &Parts, registry: &Registry, now: WallMs) -> Result<(String, Scope), Problem> {
    let refuse = |detail: &str| Problem::new(Kind::NoToken, detail);
    let value = parts
        .headers
        .get(AUTHORIZATION)
        .ok_or_else(|| refuse("send a token: `Authorization: Bearer tally_…`"))?;
    let text = value.to_str().ok().and_then(|v| v.split_once(' '));
    let token = text
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| token.starts_with(tokens::PREFIX))
        .ok_or_else(|| refuse("the header must read `Authorization: Bearer tally_…`"))?;
    let (id, scope) = registry
        .scope_of(&tokens::digest(token), now)
        .ok_or_else(|| refuse("this token is not known, has expired or was revoked"))?;
    Ok((id.to_owned(), scope.clone()))
}

impl FromRequestParts<Api> for AnyScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (registry, now) = api.who_is_who();
        let (token, scope) = scope(parts, &registry, now)?;
        let params = Params::of(parts)?;
        // Each address knows one of the two names and refuses the other.
        let named = params.get(TENANT).or_else(|| params.get(TENANT_ID));
        let named = named.map(str::to_owned);
        let source = Peer::of(parts).text();
        let tenant_of = |tenant, viewer| Ok(Self::Tenant(TenantScope { tenant, viewer }));
        match (scope, named) {
            (Scope::Operator, None) => Ok(Self::Operator(OperatorScope { token, source })),
            (Scope::Operator, Some(named)) if registry.tenants.latest(&named).is_some() => {
                tenant_of(named, Viewer::Operator)
            }
            (Scope::Tenant(own), None) => tenant_of(own, Viewer::Tenant),
            (Scope::Tenant(own), Some(named)) if named == own => tenant_of(own, Viewer::Tenant),
            // A tenant of somebody else and one that does not exist look the same.
            (_, Some(named)) => Err(Problem::no_tenant(&short(&named))),
        }
    }
}

impl FromRequestParts<Api> for TenantScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        match AnyScope::from_request_parts(parts, api).await? {
            AnyScope::Tenant(scope) => Ok(scope),
            AnyScope::Operator(_) => Err(Problem::parameter(
                TENANT,
                "an operator's token is of no tenant: say which with `?tenant=KEY`",
                "key of a tenant",
            )),
        }
    }
}

impl FromRequestParts<Api> for OperatorScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        let (registry, now) = api.who_is_who();
        let (token, scope) = scope(parts, &registry, now)?;
        let source = Peer::of(parts).text();
        match scope {
            Scope::Operator => Ok(Self { token, source }),
            // Whatever tenant it names: nothing is told about others.
            Scope::Tenant(_) => Err(Problem::new(
                Kind::OperatorOnly,
                "this token is one tenant's and reads that tenant's data only",
            )),
        }
    }
}
