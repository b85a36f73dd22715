//! What operators change over HTTP: decisions about held batches, and tenants' terms. Each goes through the writer
//! into the log, with who and from where.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::bills::AsOf;
use tallyman_aggregator_core::rating::parse_hour;
use tallyman_aggregator_core::registry::{Command, TenantTerms};
use tallyman_common::time::Hour;

use super::ask::{JsonBody, Params, Segment};
use super::auth::OperatorScope;
use super::gate::Api;
use super::limits::{CLAIMS_MAX, REASON_CHARS_MAX};
use super::lists::TenantView;
use super::problem::{Kind, Problem};

/// Why a held batch is released or discarded.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reasoned {
    reason: String,
}

/// A decision that was made.
#[derive(Debug, Serialize)]
pub struct Decided {
    as_of: AsOf,
    /// Position of the decision in the log.
    decision: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantView>,
}

impl From<AsOf> for Decided {
    fn from(as_of: AsOf) -> Self {
        Self {
            decision: as_of.position,
            as_of,
            tenant: None,
        }
    }
}

/// `POST /api/v1/quarantine/{position}/release`
pub async fn release(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(position): Segment,
    params: Params,
    JsonBody(body): JsonBody<Reasoned>,
) -> Result<Json<Decided>, Problem> {
    params.only(&[])?;
    let (position, reason) = (read_position(&position)?, read_reason(&body.reason)?);
    let command = Command::ReleaseBatch { position, reason };
    api.decide(&scope, command).await.map(|as_of| Json(as_of.into()))
}

/// `POST /api/v1/quarantine/{position}/discard`
pub async fn discard(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(position): Segment,
    params: Params,
    JsonBody(body): JsonBody<Reasoned>,
) -> Result<Json<Decided>, Problem> {
    params.only(&[])?;
    let (position, reason) = (read_position(&position)?, read_reason(&body.reason)?);
    let command = Command::DiscardBatch { position, reason };
    api.decide(&scope, command).await.map(|as_of| Json(as_of.into()))
}

fn read_position(text: &str) -> Result<u64, Problem> {
    const EXPECTED: &str = "position of a held batch, as the quarantine lists it";
    let wrong = |_| Problem::parameter("position", format!("expected the {EXPECTED}"), EXPECTED);
    text.parse().map_err(wrong)
}

pub(super) fn read_reason(text: &str) -> Result<String, Problem> {
    let reason = text.trim();
    if reason.is_empty() || reason.chars().count() > REASON_CHARS_MAX {
        let detail =
            format!("`reason` needs 1 to {REASON_CHARS_MAX} characters: it stands in the log for good");
        return Err(Problem::new(Kind::Refused, detail));
    }
    Ok(reason.to_owned())
}

/// A tenant's terms as operators write them. Nothing is assumed that stands on a bill.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermsBody {
    name: String,
    claims: Vec<String>,
    account: String,
    zone: String,
    currency: String,
    language: String,
    from: String,
}

/// `PUT /api/v1/tenants/{key}`
pub async fn set_tenant(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(tenant): Segment,
    params: Params,
    JsonBody(body): JsonBody<TermsBody>,
) -> Result<Json<Decided>, Problem> {
    params.only(&[])?;
    let terms = read_terms(tenant, body)?;
    let view = TenantView::from(&terms);
    let as_of = api.decide(&scope, Command::SetTenant(terms)).await?;
    Ok(Json(Decided {
        tenant: Some(view),
        ..as_of.into()
    }))
}

fn read_terms(tenant: String, body: TermsBody) -> Result<TenantTerms, Problem> {
    if body.claims.len() > CLAIMS_MAX {
        let detail = format!("`claims` has more than {CLAIMS_MAX} entries");
        return Err(Problem::new(Kind::Refused, detail));
    }
    let wrong = |e: &dyn std::fmt::Display| Problem::new(Kind::Refused, format!("`from`: {e}"));
    let from: Hour = parse_hour(&body.from).map_err(|e| wrong(&e))?;
    Ok(TenantTerms {
        tenant,
        name: body.name,
        claims: body.claims,
        account: body.account,
        zone: body.zone,
        currency: body.currency,
        language: body.language,
        from,
    })
}
