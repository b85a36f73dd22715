//! For those who watch the process: does it live, does it take batches, what did it count.

use axum::Json;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::ask::Peer;
use super::auth::OperatorScope;
use super::gate::Api;
use super::problem::Problem;
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::bills::AsOf;

/// Media type of the text that `/metrics` gives.
const PROMETHEUS_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// `GET /health`: the process answers. Says nothing about the store.
pub async fn health() -> &'static str {
    "ok\n"
}

/// Batches are taken.
#[derive(Debug, Serialize)]
pub struct Ready {
    status: &'static str,
    as_of: AsOf,
    started: String,
    /// Open connections of nodes.
    connections: i64,
}

/// `GET /ready`
pub async fn ready(State(api): State<Api>) -> Result<Json<Ready>, Problem> {
    let status = api.ready().await?;
    let (_, now) = api.who_is_who();
    Ok(Json(Ready {
        status: "ready",
        as_of: AsOf {
            position: status.position,
            at: instant_text(now),
        },
        started: instant_text(status.started),
        connections: status.connections,
    }))
}

/// Leave to see what is counted: anyone on this machine, operators from elsewhere.
#[derive(Debug)]
pub struct MetricsScope(());

impl FromRequestParts<Api> for MetricsScope {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        if !Peer::of(parts).is_local() {
            OperatorScope::from_request_parts(parts, api).await?;
        }
        Ok(Self(()))
    }
}

/// `GET /metrics`
pub async fn metrics(State(api): State<Api>, _: MetricsScope) -> Result<Response, Problem> {
    let mut response = api.metrics_text().await?.into_response();
    let kind = HeaderValue::from_static(PROMETHEUS_TEXT);
    response.headers_mut().insert(CONTENT_TYPE, kind);
    Ok(response)
}
