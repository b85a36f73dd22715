//! Who and what there is: nodes, tenants, held batches, price books. A tenant sees itself and its prices.

use std::ops::Range;

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tallyman_aggregator_core::api::operator::{self, HeldView, NodeView, Unconfirmed};
use tallyman_aggregator_core::api::text::{instant_text, parse_instant};
use tallyman_aggregator_core::api::usage::as_of;
use tallyman_aggregator_core::bills::{AsOf, BillError};
use tallyman_aggregator_core::registry::{Registry, TenantTerms};
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_common::ids::NodeId;
use tallyman_common::time::{Hour, WallMs};

use super::ask::{Params, TENANT};
use super::auth::{AnyScope, OperatorScope};
use super::gate::{AllBooks, Api, TenantBooks};
use super::limits::{UNCONFIRMED_HOURS, UNCONFIRMED_HOURS_MAX};
use super::problem::Problem;

/// All nodes.
#[derive(Debug, Serialize)]
pub struct Nodes {
    as_of: AsOf,
    nodes: Vec<NodeNow>,
}

/// A node, and when it last said what it reads right now.
#[derive(Debug, Serialize)]
struct NodeNow {
    #[serde(flatten)]
    node: NodeView,
    live_seen: Option<String>,
}

/// `GET /api/v1/nodes`
pub async fn nodes(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Nodes>, Problem> {
    params.only(&[])?;
    let ask = |all: AllBooks<'_>| {
        let seen = |node: &NodeView| {
            let id: Option<NodeId> = node.node.parse().ok();
            id.and_then(|id| all.live.of(id))
                .map(|s| instant_text(s.received))
        };
        let nodes = operator::nodes(all.books).map_err(failed)?.into_iter();
        let nodes = nodes.map(|node| NodeNow {
            live_seen: seen(&node),
            node,
        });
        Ok(Nodes {
            as_of: as_of(all.books),
            nodes: nodes.collect(),
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// A tenant's latest terms.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TenantView {
    tenant: String,
    name: String,
    claims: Vec<String>,
    account: String,
    zone: String,
    currency: String,
    language: String,
    from: String,
}

impl From<&TenantTerms> for TenantView {
    fn from(terms: &TenantTerms) -> Self {
        Self {
            tenant: terms.tenant.clone(),
            name: terms.name.clone(),
            claims: terms.claims.clone(),
            account: terms.account.clone(),
            zone: terms.zone.clone(),
            currency: terms.currency.clone(),
            language: terms.language.clone(),
            from: instant_text(terms.from.start()),
        }
    }
}

/// Tenants; for operators with the claims that are nobody's.
#[derive(Debug, Serialize)]
pub struct Tenants {
    as_of: AsOf,
    tenants: Vec<TenantView>,
    /// Usage in the span under claims that nobody registered, and unattributed usage.
    #[serde(skip_serializing_if = "Option::is_none")]
    unconfirmed: Option<Vec<Unconfirmed>>,
}

/// `GET /api/v1/tenants`
pub async fn tenants(
    State(api): State<Api>,
    scope: AnyScope,
    params: Params,
) -> Result<Json<Tenants>, Problem> {
    match scope {
        AnyScope::Tenant(scope) => {
            params.only(&[TENANT])?;
            let ask = |books: TenantBooks<'_>| {
                let tenants = vec![TenantView::from(books.terms()?)];
                Ok(Tenants {
                    as_of: books.as_of(),
                    tenants,
                    unconfirmed: None,
                })
            };
            api.read_tenant(scope, ask).await.map(Json)
        }
        AnyScope::Operator(scope) => {
            let params = params.only(&["from", "to", TENANT])?;
            let ask = move |all: AllBooks<'_>| {
                let span = unconfirmed_span(&params, all.books.now)?;
                let unconfirmed = operator::unconfirmed(all.books, span).map_err(failed)?;
                let tenants = operator::tenants(all.books);
                Ok(Tenants {
                    as_of: as_of(all.books),
                    tenants: tenants.iter().map(TenantView::from).collect(),
                    unconfirmed: Some(unconfirmed),
                })
            };
            api.read_all(scope, ask).await.map(Json)
        }
    }
}

fn unconfirmed_span(params: &Params, now: WallMs) -> Result<Range<Hour>, Problem> {
    const EXPECTED: &str = "an instant such as 2026-01-31T23:00:00Z";
    let instant = |text: &str| parse_instant(text).ok().map(WallMs::hour);
    let to = params
        .read("to", EXPECTED, instant)?
        .map_or(now.hour().next(), |to| to);
    let day_before = to.0.checked_sub(UNCONFIRMED_HOURS).map_or(Hour(0), Hour);
    let from = params
        .read("from", EXPECTED, instant)?
        .map_or(day_before, |from| from);
    let length = to.0.checked_sub(from.0).filter(|hours| *hours > 0);
    if length.is_none_or(|hours| hours > UNCONFIRMED_HOURS_MAX) {
        let expected = format!("1 to {UNCONFIRMED_HOURS_MAX} hours after `from`");
        return Err(Problem::parameter(
            "to",
            format!("`to` must be {expected}"),
            expected,
        ));
    }
    Ok(from..to)
}

/// Held batches.
#[derive(Debug, Serialize)]
pub struct Quarantine {
    as_of: AsOf,
    held: Vec<HeldView>,
}

/// `GET /api/v1/quarantine`
pub async fn quarantine(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Quarantine>, Problem> {
    const STATES: [&str; 3] = ["open", "released", "discarded"];
    let params = params.only(&["status"])?;
    let wanted = params.read("status", "open, released or discarded", |text| {
        STATES.into_iter().find(|state| *state == text)
    })?;
    let ask = move |all: AllBooks<'_>| {
        let mut held = operator::held(all.books).map_err(failed)?;
        held.retain(|view| wanted.is_none_or(|state| view.status == state));
        Ok(Quarantine {
            as_of: as_of(all.books),
            held,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// Price books in order of decision.
#[derive(Debug, Serialize)]
pub struct PriceBooks {
    as_of: AsOf,
    price_books: Vec<PriceBookView>,
}

#[derive(Debug, Serialize)]
struct PriceBookView {
    digest: String,
    name: String,
    currency: String,
    zone: String,
    from: String,
    items: Vec<String>,
    /// The file, byte for byte: its SHA-256 is the digest.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

/// `GET /api/v1/price-books`
pub async fn price_books(
    State(api): State<Api>,
    scope: AnyScope,
    params: Params,
) -> Result<Json<PriceBooks>, Problem> {
    let params = params.only(&["text", TENANT])?;
    let yes_or_no = |text: &str| text.parse::<bool>().ok();
    let with_text = params.read("text", "true or false", yes_or_no)? == Some(true);
    match scope {
        AnyScope::Tenant(scope) => {
            let ask = move |books: TenantBooks<'_>| {
                let currency = Some(books.terms()?.currency.as_str());
                Ok(PriceBooks {
                    as_of: books.as_of(),
                    price_books: book_views(books.price_registry(), currency, with_text),
                })
            };
            api.read_tenant(scope, ask).await.map(Json)
        }
        AnyScope::Operator(scope) => {
            let ask = move |all: AllBooks<'_>| {
                Ok(PriceBooks {
                    as_of: as_of(all.books),
                    price_books: book_views(all.books.registry, None, with_text),
                })
            };
            api.read_all(scope, ask).await.map(Json)
        }
    }
}

fn book_views(registry: &Registry, currency: Option<&str>, with_text: bool) -> Vec<PriceBookView> {
    let wanted = registry
        .books
        .iter()
        .filter(|a| currency.is_none_or(|c| a.book.currency().code() == c));
    let view = |a: &tallyman_aggregator_core::registry::Activation| PriceBookView {
        digest: a.book.digest().to_string(),
        name: a.book.name().to_owned(),
        currency: a.book.currency().code().to_owned(),
        zone: a.book.time_zone().name().to_owned(),
        from: instant_text(a.from.start()),
        items: a
            .book
            .items()
            .iter()
            .map(|item| item.key().as_str().to_owned())
            .collect(),
        text: with_text.then(|| a.text.clone()),
    };
    wanted.map(view).collect()
}

fn failed(error: FoldError) -> Problem {
    Problem::from(BillError::Fold(error))
}
