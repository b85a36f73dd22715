//! Nodes that two hosts speak for: the cases, and the operator's word on which host is the node.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::api::clones::{self, CloneView};
use tallyman_aggregator_core::api::usage::as_of;
use tallyman_aggregator_core::bills::AsOf;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{NodeId, Nonce};

use super::ask::{JsonBody, Params, Segment};
use super::auth::OperatorScope;
use super::changes::{Decided, read_reason};
use super::gate::{AllBooks, Api};
use super::problem::{Kind, Problem};

/// All cases.
#[derive(Debug, Serialize)]
pub struct Clones {
    as_of: AsOf,
    clones: Vec<CloneView>,
}

/// `GET /api/v1/admin/clones`
pub async fn list(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Clones>, Problem> {
    const STATES: [&str; 2] = ["open", "resolved"];
    let params = params.only(&["status"])?;
    let wanted = params.read("status", "open or resolved", |text| {
        STATES.into_iter().find(|state| *state == text)
    })?;
    let ask = move |all: AllBooks<'_>| {
        let mut clones = clones::clones(all.books.registry);
        clones.retain(|view| wanted.is_none_or(|state| view.status == state));
        Ok(Clones {
            as_of: as_of(all.books),
            clones,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// Which process is the node, and why.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resolution {
    keep: String,
    reason: String,
}

/// `POST /api/v1/admin/clones/{node}/resolve`
pub async fn resolve(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(node): Segment,
    params: Params,
    JsonBody(body): JsonBody<Resolution>,
) -> Result<Json<Decided>, Problem> {
    const EXPECTED: &str = "identity of a node, 32 hexadecimal digits";
    params.only(&[])?;
    let wrong = |_| Problem::parameter("node", format!("expected the {EXPECTED}"), EXPECTED);
    let node: NodeId = node.parse().map_err(wrong)?;
    let keep: Option<Nonce> = match body.keep.as_str() {
        "all" => None,
        process => Some(process.parse().map_err(|_| {
            let detail = "`keep` is a process as the list names it, or `all`";
            Problem::new(Kind::Refused, detail)
        })?),
    };
    let reason = read_reason(&body.reason)?;
    let command = Command::ResolveClone { node, keep, reason };
    api.decide(&scope, command).await.map(|as_of| Json(as_of.into()))
}
