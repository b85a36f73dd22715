//! What a request asks, read strictly: parameters by name, parts of the path, JSON bodies, where it comes from.
//! What is not known here is refused by name, for a misspelt filter must not look like an answer to it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{ConnectInfo, FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use super::limits::{BODY_BYTES_MAX, PARAMETERS_MAX};
use super::problem::{Kind, Problem};
use crate::io::tcp::PeerAddr;
use tallyman_aggregator_core::rating::book::BOOK_BYTES_MAX;

/// Names the tenant that an operator asks about.
pub const TENANT: &str = "tenant";
/// The same where invoices are asked for.
pub const TENANT_ID: &str = "tenant_id";

/// The query's parameters, each at most once.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Params(BTreeMap<String, String>);

impl Params {
    /// The parameters of an address.
    pub fn of(parts: &Parts) -> Result<Self, Problem> {
        let malformed = |e: &dyn std::fmt::Display| {
            Problem::new(Kind::Parameter, format!("the query can't be read: {e}"))
        };
        let Query(pairs) =
            Query::<Vec<(String, String)>>::try_from_uri(&parts.uri).map_err(|e| malformed(&e))?;
        if pairs.len() > PARAMETERS_MAX {
            return Err(malformed(&format!("more than {PARAMETERS_MAX} parameters")));
        }
        let mut found = BTreeMap::new();
        for (name, value) in pairs {
            if found.contains_key(&name) {
                let detail = format!("parameter `{}` is there twice", short(&name));
                return Err(Problem::parameter(&short(&name), detail, "one value"));
            }
            found.insert(name, value);
        }
        Ok(Self(found))
    }

    /// Refuses every parameter but the known ones.
    pub fn only(self, known: &[&str]) -> Result<Self, Problem> {
        let Some(strange) = self.0.keys().find(|name| !known.contains(&name.as_str())) else {
            return Ok(self);
        };
        let expected = if known.is_empty() {
            "no parameters".to_owned()
        } else {
            known.join(", ")
        };
        let strange = short(strange);
        Err(Problem {
            detail: format!("this address has no parameter `{strange}`; it knows: {expected}"),
            kind: Kind::UnknownParameter,
            parameter: Some(strange),
            expected: Some(expected),
        })
    }

    /// A parameter's value.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// A parameter's value, read; `None` when it is absent.
    pub fn read<T>(
        &self,
        name: &str,
        expected: &str,
        read: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else {
            return Ok(None);
        };
        let wrong = || {
            let hint = if text.contains(' ') {
                " (a `+` in a query is written `%2B`)"
            } else {
                ""
            };
            let detail = format!("`{name}` is `{}`, expected {expected}{hint}", short(text));
            Problem::parameter(name, detail, expected)
        };
        read(text).map(Some).ok_or_else(wrong)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(parts)
    }
}

/// The one variable part of a path.
#[derive(Debug, Clone)]
pub struct Segment(pub String);

impl<S: Send + Sync> FromRequestParts<S> for Segment {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let found = Path::<String>::from_request_parts(parts, state).await;
        let unreadable = |_| Problem::new(Kind::NoRoute, "a part of the address is no text");
        found.map(|Path(text)| Self(text)).map_err(unreadable)
    }
}

/// A JSON body.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|v| v.to_str().ok());
        let essence = kind.and_then(|k| k.split(';').next()).map(str::trim);
        if !essence.is_some_and(|e| e.eq_ignore_ascii_case("application/json")) {
            let detail = "send the body with `Content-Type: application/json`";
            return Err(Problem::new(Kind::BodyType, detail));
        }
        let bytes = Bytes::from_request(request, state).await.map_err(unreadable)?;
        let wrong = |e: serde_json::Error| Problem::new(Kind::Body, format!("the body: {e}"));
        serde_json::from_slice(&bytes).map(Self).map_err(wrong)
    }
}

/// A body of plain text, such as a price book; as long as its address allows.
#[derive(Debug, Clone)]
pub struct TextBody(pub String);

impl<S: Send + Sync> FromRequest<S> for TextBody {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let bytes = Bytes::from_request(request, state).await.map_err(unreadable)?;
        let wrong = |_| Problem::new(Kind::Body, "the body is no text in UTF-8");
        String::from_utf8(bytes.to_vec()).map(Self).map_err(wrong)
    }
}

fn unreadable(rejection: BytesRejection) -> Problem {
    if rejection.into_response().status() == Kind::BodyTooLarge.table().1 {
        let detail = format!("a body has at most {BODY_BYTES_MAX} bytes, a price book {BOOK_BYTES_MAX}");
        Problem::new(Kind::BodyTooLarge, detail)
    } else {
        Problem::new(Kind::Body, "the body did not arrive whole")
    }
}

/// Where a request comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(Option<IpAddr>);

impl Peer {
    /// Where the request of these parts comes from.
    pub fn of(parts: &Parts) -> Self {
        let known = parts.extensions.get::<ConnectInfo<PeerAddr>>();
        Self(known.map(|ConnectInfo(PeerAddr(address))| address.ip().to_canonical()))
    }

    /// From this machine. What comes from an unknown address does not.
    pub fn is_local(self) -> bool {
        self.0.is_some_and(|address| address.is_loopback())
    }

    /// For the log of decisions.
    pub fn text(self) -> String {
        self.0
            .map_or_else(|| "unknown address".to_owned(), |a| a.to_string())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Peer {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

/// The beginning of a text that somebody sent.
pub fn short(text: &str) -> String {
    text.chars().take(64).collect()
}
