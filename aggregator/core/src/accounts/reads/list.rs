//! Documents by account, month and status, page by page. A cursor names the last row, so that a page is the same whatever
//! is issued meanwhile.

use std::ops::ControlFlow;

use serde::Serialize;
use tallyman_common::ids::hex;

use super::Today;
use crate::accounts::document::{Document, Kind};
use crate::accounts::fold::documents_key;
use crate::accounts::standing::{Receivable, Standing, Status, receivable};
use crate::accounts::tables::{AccountsError, Found, get, keys, parse};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::rating::Day;

/// What is asked for.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Of this account; else of all.
    pub account: Option<String>,
    /// First month, such as `2026-11`.
    pub from_month: Option<String>,
    /// The month behind the last one.
    pub to_month: Option<String>,
    /// Those that stand so.
    pub status: Option<Status>,
}

/// A document in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Identity.
    pub id: String,
    /// Number.
    pub number: String,
    /// What it is.
    pub kind: Kind,
    /// Who pays.
    pub account: String,
    /// Who sells.
    pub seller: String,
    /// For which month.
    pub month: String,
    /// Of a note: what it corrects; of an invoice: the void one that it stands in for.
    pub corrects: Option<String>,
    /// Day of issue.
    pub issued: String,
    /// ISO 4217 code.
    pub currency: String,
    /// Before discounts, credits and tax.
    pub subtotal: String,
    /// Taxes.
    pub tax: String,
    /// How it stands.
    pub standing: Standing,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// Rows, by month, account and number; of one account by month and number.
    pub rows: Vec<Row>,
    /// Where the next page begins; none at the end.
    pub next: Option<String>,
}

/// A page of documents as they stand today. `after` is the cursor of the page before.
pub fn documents<'a>(
    read: &dyn Read,
    filter: &Filter,
    today: impl Into<Today<'a>>,
    (after, rows_max): (Option<&[u8]>, usize),
) -> Result<Page, AccountsError> {
    let today: Today<'_> = today.into();
    let base = filter.account.as_deref();
    let base = base.map_or_else(|| keys::by_month(&[]), |account| keys::by_account(account, &[]));
    let edge = |month: &str| [&base[..], month.as_bytes(), &[0]].concat();
    let from = filter.from_month.as_deref().map_or_else(|| base.clone(), edge);
    let from = match after {
        Some(after) if after >= &from[base.len()..] => [&base[..], after, &[0]].concat(),
        _ => from,
    };
    let to = filter.to_month.as_deref().map_or_else(|| prefix_end(&base), edge);
    let mut page = Page {
        rows: Vec::new(),
        next: None,
    };
    let mut last = Vec::new();
    try_scan(read, Table::MoneyIndex, (&from, &to), |key, value| {
        let found: Found = parse(Table::MoneyIndex, value)?;
        let found = standing_of(read, &found.number)?;
        let row = row(&found, today.of(&found.document.account)?)?;
        if filter.status.is_some_and(|status| row.standing.status != status) {
            return Ok(ControlFlow::Continue(()));
        }
        if page.rows.len() == rows_max {
            page.next = Some(hex(&last));
            return Ok(ControlFlow::Break(()));
        }
        page.rows.push(row);
        last = key[base.len()..].to_vec();
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    Ok(page)
}

fn standing_of(read: &dyn Read, number: &str) -> Result<Receivable, AccountsError> {
    receivable(read, number)?.ok_or_else(|| AccountsError::Broken {
        position: 0,
        reason: format!("an index names {number}, which is not there"),
    })
}

/// A document in a list.
pub fn row(of: &Receivable, today: Day) -> Result<Row, AccountsError> {
    let one = &of.document;
    Ok(Row {
        id: one.id.clone(),
        number: one.number.clone(),
        kind: one.kind,
        account: one.account.clone(),
        seller: one.seller.clone(),
        month: one.month.clone(),
        corrects: one.corrects.clone(),
        issued: one.issued.clone(),
        currency: one.total.currency().to_string(),
        subtotal: one.subtotal.number(),
        tax: one.taxes.number(),
        standing: Standing::of(of, today)?,
    })
}

/// A document by its identity or number: as it was printed, and its record.
pub fn document(read: &dyn Read, name: &str) -> Result<Option<(Document, Receivable)>, AccountsError> {
    let by_id: Option<Found> = get(read, Table::MoneyIndex, &keys::by_id(name))?;
    let number = by_id.map_or_else(|| name.to_owned(), |found| found.number);
    let Some(record) = receivable(read, &number)? else {
        return Ok(None);
    };
    let key = documents_key(&record.document.id, record.position)?;
    let stored = get(read, Table::Documents, &key)?;
    Ok(stored.map(|document| (document, record)))
}

/// The invoice of an account's month: the newest, which may be void.
pub fn invoice_of(
    read: &dyn Read,
    account: &str,
    month: &str,
) -> Result<Option<(Document, Receivable)>, AccountsError> {
    let unique = keys::unique(account, month, Kind::Invoice);
    let found: Option<Found> = get(read, Table::MoneyIndex, &unique)?;
    match found {
        Some(found) => document(read, &found.number),
        None => Ok(None),
    }
}
