//! Why an amount, what if, and the closing sheet of a month. A tenant may ask about its own lines; the rest is the
//! operators'.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::explain::{self, Ask, ExplainError, Explanation, Of};
use tallyman_aggregator_core::accounts::what_if::{self, Prices, WhatIf, WhatIfError};
use tallyman_aggregator_core::bills::Viewer;
use tallyman_aggregator_core::rating::{ItemKey, Month, PriceBook, parse_hour};
use tallyman_aggregator_core::sheet::{self, SheetError};
use tallyman_common::money::Currency;

use super::ask::{Params, Segment, TENANT, TextBody, short};
use super::auth::{AnyScope, OperatorScope};
use super::gate::{AllBooks, Api, TenantBooks};
use super::invoices::{failed, missing};
use super::problem::{Kind, Problem};
use crate::whole;

const MONTH: &str = "a month such as 2026-01";

/// `GET /api/v1/billing/invoices/{id}/explain`
pub async fn explain(
    State(api): State<Api>,
    scope: AnyScope,
    Segment(name): Segment,
    params: Params,
) -> Result<Json<Explanation>, Problem> {
    let params = params.only(&[TENANT, "item", "hour"])?;
    let item = params.read("item", "key of an item", |text| ItemKey::parse(text).ok())?;
    let hour = "the start of an hour in UTC such as 2026-01-31T23:00:00Z";
    let hour = params.read("hour", hour, |text| parse_hour(text).ok())?;
    match scope {
        AnyScope::Tenant(scope) => {
            let ask = move |books: TenantBooks<'_>| books.explain(&name, item, hour);
            api.read_tenant(scope, ask).await.map(Json)
        }
        AnyScope::Operator(scope) => {
            let ask = move |all: AllBooks<'_>| {
                let tenant = None;
                let ask = Ask { tenant, item, hour };
                Ok(explain::explain(
                    all.books,
                    Of::Invoice(name),
                    &ask,
                    Viewer::Operator,
                )?)
            };
            api.read_all(scope, ask).await.map(Json)
        }
    }
}

impl From<ExplainError> for Problem {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::NoDocument(name) => missing(&name),
            ExplainError::NoLine { .. } | ExplainError::NoTenant { .. } => {
                Self::new(Kind::NotFound, error.to_string())
            }
            ExplainError::Note(_) => Self::new(Kind::Conflict, error.to_string()),
            ExplainError::Question(words) => Self::new(Kind::Parameter, words),
            ExplainError::Draft(error) => error.into(),
        }
    }
}

impl From<DraftError> for Problem {
    fn from(error: DraftError) -> Self {
        match error {
            DraftError::Bill(error) => error.into(),
            DraftError::Accounts(error) => failed(error),
            error => Self::new(Kind::Conflict, error.to_string()),
        }
    }
}

/// `POST /api/v1/admin/what-if`
pub async fn what_if(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
    TextBody(text): TextBody,
) -> Result<Json<WhatIf>, Problem> {
    let params = params.only(&["period", TENANT, "account"])?;
    let month = params.read("period", MONTH, |text| Month::parse(text).ok())?;
    let missing = || Problem::parameter("period", "say which month with `?period=MONTH`", MONTH);
    let after = PriceBook::parse(&text).map_err(|faults| {
        let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
        let words = format!("the price book has faults:\n{}", lines.join("\n"));
        Problem::new(Kind::Refused, words)
    })?;
    let ask = what_if::Ask {
        month: month.ok_or_else(missing)?,
        before: Prices::Real,
        after: Arc::new(after),
        account: params.get("account").map(short),
        tenant: params.get(TENANT).map(short),
    };
    let ask = move |all: AllBooks<'_>| Ok(whole::what_if(all.books, &ask)?);
    api.read_all(scope, ask).await.map(Json)
}

impl From<WhatIfError> for Problem {
    fn from(error: WhatIfError) -> Self {
        let kind = match &error {
            WhatIfError::NoAccount(_) | WhatIfError::NoTenant(_) => Kind::NotFound,
            WhatIfError::Money(reason) => return Self::internal(reason),
            WhatIfError::Draft(_) => return Self::internal(&error),
            _ => Kind::Refused,
        };
        Self::new(kind, error.to_string())
    }
}

/// `GET /api/v1/admin/closing-sheet/{month}`
pub async fn closing_sheet(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(month): Segment,
    params: Params,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let params = params.only(&["currency"])?;
    let currency = params.read("currency", "a currency such as USD", |text| {
        Currency::parse(text).ok()
    })?;
    let wrong = |_| Problem::parameter("month", format!("`{}` is no month", short(&month)), MONTH);
    let month = Month::parse(&month).map_err(wrong)?;
    let ask = move |all: AllBooks<'_>| Ok(whole::closing_sheet(all.books, month, currency)?);
    let found = api.read_all(scope, ask).await?;
    if !wants_csv(&headers) {
        return Ok(Json(found).into_response());
    }
    let csv = HeaderValue::from_static("text/csv; charset=utf-8");
    Ok(([(CONTENT_TYPE, csv)], sheet::csv(&found)).into_response())
}

fn wants_csv(headers: &HeaderMap) -> bool {
    let accepted = headers.get(ACCEPT).and_then(|it| it.to_str().ok());
    let mut kinds = accepted.into_iter().flat_map(|it| it.split(','));
    kinds.any(|it| it.split(';').next().is_some_and(|kind| kind.trim() == "text/csv"))
}

impl From<SheetError> for Problem {
    fn from(error: SheetError) -> Self {
        match error {
            SheetError::WhichCurrency(_) => {
                Self::parameter("currency", error.to_string(), "a currency such as USD")
            }
            SheetError::NoBook(_) => Self::new(Kind::NoPriceBook, error.to_string()),
            SheetError::NotBegun(_) => Self::new(Kind::Conflict, error.to_string()),
            SheetError::Draft(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}
