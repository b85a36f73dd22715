//! Every error as a problem document (RFC 9457). One table maps reasons to HTTP codes; no answer tells internals.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use tallyman_aggregator_core::bills::BillError;
use tallyman_aggregator_core::registry::Rejected;

use crate::handle::{CommandError, Unavailable};

/// Media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// What went wrong, as programs tell it apart. Names are part of the interface (docs/API.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// No token, or none that is good now.
    NoToken,
    /// The token may not do this.
    OperatorOnly,
    /// There is no such address.
    NoRoute,
    /// There is no such thing, or not for this token.
    NotFound,
    /// The address does not take this method.
    Method,
    /// A parameter's value is wrong, or it is missing.
    Parameter,
    /// A parameter that the address does not know.
    UnknownParameter,
    /// The body can't be read.
    Body,
    /// The body is too long.
    BodyTooLarge,
    /// The body is no JSON.
    BodyType,
    /// The thing is not in a state that allows it.
    Conflict,
    /// No price book prices the tenant's currency.
    NoPriceBook,
    /// The change contradicts itself or a rule.
    Refused,
    /// Too many at a time.
    Busy,
    /// Not answered in time.
    TookTooLong,
    /// The aggregator is stopping.
    Stopping,
    /// The aggregator can't take batches now.
    NotReady,
    /// The aggregator's disk is nearly full: it takes neither batches nor changes.
    DiskFull,
    /// Our fault.
    Internal,
}

impl Kind {
    /// Name, status and title.
    pub fn table(self) -> (&'static str, StatusCode, &'static str) {
        use StatusCode as S;
        match self {
            Self::NoToken => ("no-token", S::UNAUTHORIZED, "A valid token is needed"),
            Self::OperatorOnly => ("operator-only", S::FORBIDDEN, "Only operators may do this"),
            Self::NoRoute => ("no-route", S::NOT_FOUND, "There is nothing at this address"),
            Self::NotFound => ("not-found", S::NOT_FOUND, "There is no such thing"),
            Self::Method => (
                "method",
                S::METHOD_NOT_ALLOWED,
                "This address does not take this method",
            ),
            Self::Parameter => ("parameter", S::BAD_REQUEST, "A parameter is wrong or missing"),
            Self::UnknownParameter => (
                "unknown-parameter",
                S::BAD_REQUEST,
                "A parameter is not known here",
            ),
            Self::Body => ("body", S::BAD_REQUEST, "The body can't be understood"),
            Self::BodyTooLarge => ("body-too-large", S::PAYLOAD_TOO_LARGE, "The body is too long"),
            Self::BodyType => ("body-type", S::UNSUPPORTED_MEDIA_TYPE, "The body must be JSON"),
            Self::Conflict => ("conflict", S::CONFLICT, "Not possible as things stand"),
            Self::NoPriceBook => ("no-price-book", S::CONFLICT, "No price book is active"),
            Self::Refused => ("refused", S::UNPROCESSABLE_ENTITY, "The change was refused"),
            Self::Busy => ("busy", S::SERVICE_UNAVAILABLE, "Too many questions at a time"),
            Self::TookTooLong => ("took-too-long", S::SERVICE_UNAVAILABLE, "Not answered in time"),
            Self::Stopping => ("stopping", S::SERVICE_UNAVAILABLE, "The aggregator is stopping"),
            Self::NotReady => (
                "not-ready",
                S::SERVICE_UNAVAILABLE,
                "The aggregator can't take batches",
            ),
            Self::DiskFull => (
                "disk-full",
                S::SERVICE_UNAVAILABLE,
                "The aggregator's disk is nearly full",
            ),
            Self::Internal => ("internal", S::INTERNAL_SERVER_ERROR, "The aggregator failed"),
        }
    }
}

/// An error on its way to the asker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What.
    pub kind: Kind,
    /// What exactly, and what to do.
    pub detail: String,
    /// The parameter in question.
    pub parameter: Option<String>,
    /// What was expected of it.
    pub expected: Option<String>,
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    instance: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected: Option<&'a str>,
}

impl Problem {
    /// A problem of a kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self {
            kind,
            detail,
            parameter: None,
            expected: None,
        }
    }

    /// A parameter, of the query or the path, that is missing or wrong.
    pub fn parameter(name: &str, detail: impl Into<String>, expected: impl Into<String>) -> Self {
        Self {
            parameter: Some(name.to_owned()),
            expected: Some(expected.into()),
            ..Self::new(Kind::Parameter, detail)
        }
    }

    /// No such tenant, or not for this token: the two must look the same.
    pub fn no_tenant(tenant: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no tenant `{tenant}`"))
    }

    /// A fault of ours: the reason goes to the log, not to the asker.
    pub fn internal(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a question could not be answered");
        Self::new(
            Kind::Internal,
            "the answer could not be made; the aggregator's log says why",
        )
    }

    /// The document's bytes.
    pub fn document(&self, instance: Option<&str>) -> Vec<u8> {
        let (name, status, title) = self.kind.table();
        let document = Document {
            kind: format!("urn:tallyman:problem:{name}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            instance,
            parameter: self.parameter.as_deref(),
            expected: self.expected.as_deref(),
        };
        serde_json::to_vec(&document).expect("texts and a number are JSON")
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (_, status, _) = self.kind.table();
        let mut response = Response::new(Body::from(self.document(None)));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if self.kind == Kind::NoToken {
            let challenge = HeaderValue::from_static("Bearer realm=\"tallyman\"");
            headers.insert(header::WWW_AUTHENTICATE, challenge);
        }
        if self.kind.table().1 == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("5"));
        }
        // The frame adds the instance, which only it knows.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Unavailable> for Problem {
    fn from(error: Unavailable) -> Self {
        match error {
            Unavailable::Stopping => Self::new(Kind::Stopping, "the aggregator is stopping; ask again soon"),
            Unavailable::NoRoom(room) => Self::new(Kind::DiskFull, room.words()),
            Unavailable::Store(reason) => Self::internal(&reason),
        }
    }
}

impl From<BillError> for Problem {
    fn from(error: BillError) -> Self {
        match error {
            BillError::NoTenant(tenant) => Self::no_tenant(&tenant),
            BillError::NoBook(_) => Self::new(Kind::NoPriceBook, error.to_string()),
            BillError::Fold(reason) => Self::internal(&reason),
            BillError::Rating(reason) => Self::internal(&reason),
        }
    }
}

impl From<CommandError> for Problem {
    fn from(error: CommandError) -> Self {
        let rejected = match error {
            CommandError::Rejected(rejected) => rejected,
            CommandError::Unavailable(reason) => return reason.into(),
        };
        let kind = match rejected {
            Rejected::Missing { .. } => Kind::NotFound,
            Rejected::Exists { .. } | Rejected::NotNow(_) => Kind::Conflict,
            Rejected::Invalid(_) => Kind::Refused,
        };
        Self::new(kind, rejected.to_string())
    }
}
