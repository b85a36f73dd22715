//! What is the same for every answer: its time is bounded and counted, it is not kept by anyone between, and an error
//! is a problem document that names the address.

use std::time::Instant;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::gate::Api;
use super::limits::REQUEST_MAX;
use super::problem::{Kind, Problem};

/// Answers a request through `next`.
pub async fn frame(State(api): State<Api>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let path = request.uri().path().to_owned();
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or_else(|| "none".to_owned(), |m| m.as_str().to_owned());
    let answered = tokio::time::timeout(REQUEST_MAX, next.run(request)).await;
    let mut response = answered.unwrap_or_else(|_| {
        let detail = format!("no answer within {} s", REQUEST_MAX.as_secs());
        Problem::new(Kind::TookTooLong, detail).into_response()
    });
    if let Some(problem) = problem_of(&mut response) {
        *response.body_mut() = Body::from(problem.document(Some(&path)));
        response.headers_mut().remove(header::CONTENT_LENGTH);
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let status = response.status().as_u16();
    api.observed().answered(&route, status, started.elapsed());
    response
}

/// The problem of a response that is an error; one that nobody here made becomes one.
fn problem_of(response: &mut Response) -> Option<Problem> {
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return Some(problem);
    }
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return None;
    }
    let problem = match status {
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Kind::BodyTooLarge, "the body is too long"),
        status if status.is_client_error() => Problem::new(Kind::Body, "the request can't be read"),
        status => Problem::internal(&status),
    };
    *response = problem.into_response();
    response.extensions_mut().remove()
}

/// For an address that is not there.
pub async fn no_route() -> Problem {
    Problem::new(Kind::NoRoute, "no such address; docs/API.md lists them")
}

/// For a method that the address does not take; the `Allow` header says which it does.
pub async fn wrong_method() -> Problem {
    Problem::new(
        Kind::Method,
        "the `Allow` header names the methods of this address",
    )
}
