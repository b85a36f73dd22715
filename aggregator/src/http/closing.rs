//! Holes and seals: what did not come, what was made of it, and up to where hours stay as they are.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::api::closing::{self, HoleView, Seals};
use tallyman_aggregator_core::api::usage::as_of;
use tallyman_aggregator_core::bills::{AsOf, BillError};
use tallyman_aggregator_core::registry::Command;

use super::ask::{JsonBody, Params};
use super::auth::OperatorScope;
use super::changes::{Decided, read_reason};
use super::gate::{AllBooks, Api};
use super::problem::{Kind, Problem};

/// Judged holes.
#[derive(Debug, Serialize)]
pub struct Holes {
    as_of: AsOf,
    holes: Vec<HoleView>,
}

/// `GET /api/v1/holes`
pub async fn holes(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Holes>, Problem> {
    params.only(&[])?;
    let ask = |all: AllBooks<'_>| {
        Ok(Holes {
            as_of: as_of(all.books),
            holes: closing::holes(all.books),
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// Where sealing stands.
#[derive(Debug, Serialize)]
pub struct SealsNow {
    as_of: AsOf,
    #[serde(flatten)]
    seals: Seals,
}

/// `GET /api/v1/seals`
pub async fn seals(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<SealsNow>, Problem> {
    params.only(&[])?;
    let ask = |all: AllBooks<'_>| {
        let failed = |e| Problem::from(BillError::Fold(e));
        Ok(SealsNow {
            as_of: as_of(all.books),
            seals: closing::seals(all.books).map_err(failed)?,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// Batches that are lost for good.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LostBatches {
    node: String,
    spool: String,
    first: u64,
    last: u64,
    reason: String,
}

/// `POST /api/v1/holes/give-up`
pub async fn give_up(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
    JsonBody(body): JsonBody<LostBatches>,
) -> Result<Json<Decided>, Problem> {
    params.only(&[])?;
    let refused =
        |what: &str| Problem::new(Kind::Refused, format!("`{what}` is not the identity of a {what}"));
    let command = Command::GiveUpBatches {
        node: body.node.parse().map_err(|_| refused("node"))?,
        spool: body.spool.parse().map_err(|_| refused("spool"))?,
        first: body.first,
        last: body.last,
        reason: read_reason(&body.reason)?,
    };
    api.decide(&scope, command).await.map(|as_of| Json(as_of.into()))
}
