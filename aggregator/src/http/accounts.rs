//! Who pays, and what was agreed with them. For operators; it changes nothing.

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use tallyman_aggregator_core::accounts::Document;
use tallyman_aggregator_core::accounts::draft::{Purpose, draft};
use tallyman_aggregator_core::accounts::month::payer;
use tallyman_aggregator_core::api::agreed::{Agreed, agreed};
use tallyman_aggregator_core::api::usage::as_of;
use tallyman_aggregator_core::bills::{AsOf, BillError, Books};
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::registry::Account;

use super::ask::{Params, Segment, short};
use super::auth::OperatorScope;
use super::gate::{AllBooks, Api};
use super::problem::{Kind, Problem};

/// Registered accounts.
#[derive(Debug, Serialize)]
pub struct Accounts {
    as_of: AsOf,
    accounts: Vec<Account>,
}

/// `GET /api/v1/admin/accounts`
pub async fn list(
    State(api): State<Api>,
    scope: OperatorScope,
    params: Params,
) -> Result<Json<Accounts>, Problem> {
    params.only(&[])?;
    let ask = |all: AllBooks<'_>| {
        Ok(Accounts {
            as_of: as_of(all.books),
            accounts: all.books.registry.payers.accounts.values().cloned().collect(),
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// An account's terms, by month.
#[derive(Debug, Serialize)]
pub struct Terms {
    as_of: AsOf,
    terms: Vec<Agreed>,
}

/// `GET /api/v1/admin/accounts/{account}/terms`
pub async fn terms(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(account): Segment,
    params: Params,
) -> Result<Json<Terms>, Problem> {
    params.only(&[])?;
    let ask = move |all: AllBooks<'_>| {
        known(all.books, &account)?;
        Ok(Terms {
            as_of: as_of(all.books),
            terms: agreed(all.books, Some(&account)).map_err(BillError::Fold)?,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// What an account's month comes to so far.
#[derive(Debug, Serialize)]
pub struct Drafted {
    as_of: AsOf,
    document: Document,
}

/// `GET /api/v1/admin/accounts/{account}/draft`
pub async fn drafted(
    State(api): State<Api>,
    scope: OperatorScope,
    Segment(account): Segment,
    params: Params,
) -> Result<Json<Drafted>, Problem> {
    const EXPECTED: &str = "a month such as 2026-12";
    let params = params.only(&["month"])?;
    let month = params.read("month", EXPECTED, |text| Month::parse(text).ok())?;
    let missing = || Problem::parameter("month", format!("say which: {EXPECTED}"), EXPECTED);
    let month = month.ok_or_else(missing)?;
    let ask = move |all: AllBooks<'_>| {
        known(all.books, &account)?;
        Ok(Drafted {
            as_of: as_of(all.books),
            document: draft(all.books, &account, month, Purpose::Preview)?.document,
        })
    };
    api.read_all(scope, ask).await.map(Json)
}

/// Refuses an account that nobody registered and no tenant ever named: its empty answers would look like clean ones.
pub(super) fn known(books: Books<'_>, account: &str) -> Result<(), Problem> {
    let missing = || {
        Problem::new(
            Kind::NotFound,
            format!("there is no account `{}`", short(account)),
        )
    };
    payer(books.registry, account).map(drop).ok_or_else(missing)
}
