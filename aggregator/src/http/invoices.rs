//! Invoices and notes, and the ledger's reports. A tenant sees those of the account that pays for it; the ledger is the
//! operators'.

use axum::Json;
use axum::extract::State;
use axum::http::header::LINK;
use axum::http::{HeaderMap, HeaderValue};
use serde::Serialize;
use tallyman_aggregator_core::accounts::adjust;
use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::ledger::books::{journal, trial_balance};
use tallyman_aggregator_core::accounts::ledger::{Posting, TrialBalance};
use tallyman_aggregator_core::accounts::reads::{self, Ages, Filter, Page, Row, Statement, Today};
use tallyman_aggregator_core::accounts::standing::{Dispute, Receivable};
use tallyman_aggregator_core::accounts::{AccountsError, Booked, Document, MoneyCommand, Standing, Status};
use tallyman_aggregator_core::api::usage::as_of;
use tallyman_aggregator_core::bills::AsOf;
use tallyman_aggregator_core::rating::{Day, Month};
use tallyman_common::time::WallMs;

use super::accounts::known;
use super::ask::{JsonBody, Params, Segment, TENANT_ID};
use super::auth::{AnyScope, OperatorScope};
use super::gate::{AllBooks, Api, TenantBooks};
use super::limits::{INVOICES_MAX, INVOICES_PAGE, POSTINGS_MAX};
use super::problem::{Kind, Problem};

/// `GET /api/v1/billing/invoices`
pub async fn list(
    State(api): State<Api>,
    scope: AnyScope,
    params: Params,
) -> Result<(HeaderMap, Json<Vec<Row>>), Problem> {
    let known = [
        TENANT_ID,
        "period_start",
        "period_end",
        "status",
        "limit",
        "after",
    ];
    let params = params.only(&known)?;
    let (filter, limit, after) = (filter(&params)?, limit(&params)?, after(&params)?);
    let page = match scope {
        AnyScope::Tenant(scope) => {
            let ask = move |books: TenantBooks<'_>| books.invoices(filter, (after.as_deref(), limit));
            api.read_tenant(scope, ask).await?
        }
        AnyScope::Operator(scope) => {
            let ask = move |all: AllBooks<'_>| {
                let place = (after.as_deref(), limit);
                reads::documents(all.books.store, &filter, Today::There(all.books), place).map_err(failed)
            };
            api.read_all(scope, ask).await?
        }
    };
    let Page { rows, next } = page;
    let mut headers = HeaderMap::new();
    if let Some(next) = next {
        let link = link(&params, &next);
        headers.insert(
            LINK,
            HeaderValue::from_str(&link).map_err(|e| Problem::internal(&e))?,
        );
    }
    Ok((headers, Json(rows)))
}

/// The address of the next page. Values were read before: none needs to be escaped.
fn link(params: &Params, next: &str) -> String {
    let mut query = format!("after={next}");
    for name in [TENANT_ID, "period_start", "period_end", "status", "limit"] {
        if let Some(value) = params.get(name) {
            query.push_str(&format!("&{name}={value}"));
        }
    }
    format!("</api/v1/billing/invoices?{query}>; rel=\"next\"")
}

fn filter(params: &Params) -> Result<Filter, Problem> {
    let month = |name| {
        const EXPECTED: &str = "a month such as 2026-01 or a day such as 2026-01-31";
        params.read(name, EXPECTED, first_month)
    };
    let status = |text: &str| Status::ALL.into_iter().find(|s| s.name() == text);
    Ok(Filter {
        account: None,
        from_month: month("period_start")?,
        to_month: month("period_end")?,
        status: params.read("status", "open, paid, overdue, void or disputed", status)?,
    })
}

/// The first month that begins on a day or later.
fn first_month(text: &str) -> Option<String> {
    if let Ok(month) = Month::parse(text) {
        return Some(String::from(month));
    }
    let month = Day::parse(text).ok()?.month();
    let begins = text.ends_with("-01");
    let month = if begins { month } else { month.next().ok()? };
    Some(String::from(month))
}

fn limit(params: &Params) -> Result<usize, Problem> {
    let expected = format!("1 to {INVOICES_MAX}");
    let read = |text: &str| text.parse().ok().filter(|n| (1..=INVOICES_MAX).contains(n));
    Ok(params
        .read("limit", &expected, read)?
        .map_or(INVOICES_PAGE, |n| n))
}

fn after(params: &Params) -> Result<Option<Vec<u8>>, Problem> {
    let bytes = |text: &str| {
        let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
        let even = text.len().is_multiple_of(2) && text.len() < 1_000;
        even.then(|| (0..text.len()).step_by(2).map(pair).collect::<Option<Vec<u8>>>())?
    };
    params.read("after", "the place that the Link header named", bytes)
}

/// A document with everything that became of it.
#[derive(Debug, Serialize)]
pub struct One {
    as_of: AsOf,
    document: Document,
    standing: Standing,
    disputes: Vec<Dispute>,
}

/// `GET /api/v1/billing/invoices/{id}`
pub async fn one(
    State(api): State<Api>,
    scope: AnyScope,
    Segment(name): Segment,
    params: Params,
) -> Result<Json<One>, Problem> {
    params.only(&[TENANT_ID])?;
    match scope {
        AnyScope::Tenant(scope) => {
            let ask = move |books: TenantBooks<'_>| {
                let found = books.invoice(&name)?;
                shown(found, &name, books.as_of(), books.today())
            };
            api.read_tenant(scope, ask).await.map(Json)
        }
        AnyScope::Operator(scope) => {
            let ask = move |all: AllBooks<'_>| {
                let found = reads::document(all.books.store, &name).map_err(failed)?;
                shown(found, &name, as_of(all.books), Today::There(all.books))
            };
            api.read_all(scope, ask).await.map(Json)
        }
    }
}

pub(super) fn missing(name: &str) -> Problem {
    let name = super::ask::short(name);
    Problem::new(Kind::NotFound, format!("there is no invoice or note `{name}`"))
}

fn shown(
    found: Option<(Document, Receivable)>,
    name: &str,
    as_of: AsOf,
    today: Today<'_>,
) -> Result<One, Problem> {
    let (document, record) = found.ok_or_else(|| missing(name))?;
    let today = today.of(&record.document.account).map_err(failed)?;
    Ok(One {
        as_of,
        document,
        standing: Standing::of(&record, today).map_err(failed)?,
        disputes: record.disputes,
    })
}

/// A note that can be issued.
#[derive(Debug, Serialize)]
pub struct Adjustment {
    as_of: AsOf,
    /// What to send to `admin/ledger/commands`; nothing when nothing came late that costs anything.
    command: Option<MoneyCommand>,
}

/// `GET /api/v1/billing/invoices/{id}/adjustment`
pub async fn adjustment(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(name): Segment,
    params: Params,
) -> Result<Json<Adjustment>, Problem> {
    let params = params.only(&["reason"])?;
    let reason = params.get("reason").map_or("late usage", |it| it).to_owned();
    let ask = move |all: AllBooks<'_>| {
        let command = adjust::note(all.books, &name, &reason).map_err(|error| match error {
            DraftError::NoInvoice(_) => missing(&name),
            other => Problem::internal(&other),
        })?;
        Ok(Adjustment {
            as_of: as_of(all.books),
            command,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// `GET /api/v1/admin/ledger/trial-balance`
pub async fn balances(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<TrialBalance>, Problem> {
    let params = params.only(&["position"])?;
    let position = position(&params, "position")?;
    let ask =
        move |all: AllBooks<'_>| trial_balance(all.books.store, position, all.books.position).map_err(failed);
    api.read_all(scope, ask).await.map(Json)
}

/// Postings.
#[derive(Debug, Serialize)]
pub struct Postings {
    as_of: AsOf,
    postings: Vec<Posting>,
    /// Position with which the next page begins.
    next: Option<u64>,
}

/// `GET /api/v1/admin/ledger/journal`
pub async fn postings(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Postings>, Problem> {
    let params = params.only(&["from", "to"])?;
    let from = position(&params, "from")?.map_or(0, |from| from);
    let to = position(&params, "to")?.map_or(u64::MAX, |to| to);
    let ask = move |all: AllBooks<'_>| {
        let (mut postings, mut next) = (Vec::new(), None);
        let visit = |posting: Posting| {
            let last = postings.last().map(Posting::position);
            // A decision's postings stay together.
            if postings.len() >= POSTINGS_MAX && last != Some(posting.position()) {
                next = Some(posting.position());
                return Ok(std::ops::ControlFlow::Break(()));
            }
            postings.push(posting);
            Ok(std::ops::ControlFlow::Continue(()))
        };
        journal(all.books.store, (from, to), visit).map_err(failed)?;
        Ok(Postings {
            as_of: as_of(all.books),
            postings,
            next,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

fn position(params: &Params, name: &str) -> Result<Option<u64>, Problem> {
    params.read(name, "a position of the log", |text| text.parse().ok())
}

/// `GET /api/v1/admin/ledger/statements/{account}`
pub async fn movements(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(account): Segment,
    params: Params,
) -> Result<Json<Statement>, Problem> {
    params.only(&[])?;
    let ask = move |all: AllBooks<'_>| {
        known(all.books, &account)?;
        let always = (WallMs(0), WallMs(u64::MAX));
        reads::statement(all.books.store, &account, always).map_err(failed)
    };
    api.read_all(scope, ask).await.map(Json)
}

/// What is due, by age.
#[derive(Debug, Serialize)]
pub struct Due {
    as_of: AsOf,
    receivables: Vec<Ages>,
}

/// `GET /api/v1/admin/ledger/receivables`
pub async fn due(State(api): State<Api>, scope: OperatorScope, params: Params) -> Result<Json<Due>, Problem> {
    params.only(&[])?;
    let ask = |all: AllBooks<'_>| {
        Ok(Due {
            as_of: as_of(all.books),
            receivables: reads::ages(all.books.store, Today::There(all.books)).map_err(failed)?,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// `POST /api/v1/admin/ledger/commands`
pub async fn book(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
    JsonBody(command): JsonBody<MoneyCommand>,
) -> Result<Json<Booked>, Problem> {
    params.only(&[])?;
    if matches!(command, MoneyCommand::IssueInvoices { .. }) {
        return Err(Problem::new(
            Kind::Refused,
            "invoices are issued by the monthly run",
        ));
    }
    api.book(&scope, command).await.map(Json)
}

pub(super) fn failed(error: AccountsError) -> Problem {
    Problem::internal(&error)
}
