//! Bills: a pure function of cells, registry and price books at one position (I6), with what they lack.
//!
//! Everything that could not be measured, rated or received is on the bill; nothing is filled in or left out.
//! It does not know the clock: `now` is an argument.

/// The usage of all tenants of an account.
pub mod account;
/// Which minutes were expected, and which came.
pub mod completeness;
/// Hours of an account's month, line by line.
pub mod hourly;
/// What came behind the seal of its hour.
pub mod late;
/// The usage of an account's month from packed days.
pub mod month;
/// What a payee's prices ask for.
mod plan;
/// Which nodes had rows in which hours.
pub mod seen;
/// The cells of a tenant's month, added up by item.
mod sheet;
/// Where an hour comes from: owners, nodes, batches.
pub mod sources;
/// How far a bill is settled, and what changed since it was final.
pub mod standing;
/// A tenant's hours at its account's prices.
mod tenant;
/// A bill as plain text.
pub mod text;
/// What one tenant used, hour by hour.
pub mod usage;
/// Whether a tenant used anything.
pub mod used;
/// What becomes of usage while it is rated.
pub mod watch;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use tallyman_common::time::{Hour, WallMs};

use crate::ingest::Marks;
use crate::ports::Read;
use crate::rating::instant::instant_text;
use crate::rating::{BillTotals, BookVersions, RatedLine, bill_totals, hour_text};
use crate::registry::{Registry, TenantTerms};
use crate::rollup::cache::FoldError;
pub use completeness::{Completeness, Viewer};
pub use standing::Adjustment;
pub use usage::{InferredUsage, TenantHour, Unmeasured, tenant_hour};

/// Where an answer stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AsOf {
    /// Position of the newest log entry.
    pub position: u64,
    /// Instant of the answer.
    pub at: String,
}

/// One item of a bill.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Key of the item.
    pub item: String,
    /// Its title in the tenant's language.
    pub title: String,
    /// Unit of the quantity.
    pub unit: String,
    /// Billed quantity, decimal.
    pub quantity: String,
    /// Exact amount, decimal.
    pub amount_exact: String,
    /// Amount rounded to the minor unit, decimal.
    pub amount: String,
}

/// An hour's exact amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourAmount {
    /// Start of the hour.
    pub hour: String,
    /// Exact amount, decimal.
    pub amount_exact: String,
}

/// A price book in force in the period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BookRef {
    /// SHA-256 of its file.
    pub digest: String,
    /// Its name.
    pub name: String,
    /// First hour.
    pub from: String,
}

/// A bill of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Bill {
    /// [`standing::PREVIEW`], [`standing::COMPLETE`] or [`standing::FINAL`].
    pub status: &'static str,
    /// Key of the tenant.
    pub tenant: String,
    /// Name of the tenant.
    pub tenant_name: String,
    /// Account that pays.
    pub account: String,
    /// First instant of the period.
    pub period_start: String,
    /// First instant after the period.
    pub period_end: String,
    /// Zone of the period.
    pub zone: String,
    /// Currency of all amounts.
    pub currency: String,
    /// How lines are rounded.
    pub rounding: String,
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Price books in force.
    pub price_books: Vec<BookRef>,
    /// Items.
    pub lines: Vec<Line>,
    /// Exact amount of each hour with usage; they sum to `subtotal_exact`.
    pub hours: Vec<HourAmount>,
    /// Exact sum.
    pub subtotal_exact: String,
    /// Sum of the rounded lines.
    pub total: String,
    /// Which minutes came, and which did not.
    pub completeness: Completeness,
    /// What nodes said they could not measure.
    pub unmeasured: Vec<Unmeasured>,
    /// What is inferred over holes; it is in the lines.
    pub inferred: Vec<InferredUsage>,
    /// Of a final month: what changed since. It is in no line and no total here.
    pub adjustment: Option<Adjustment>,
    /// What could not be rated, in words; none of it is in the total.
    pub faults: Vec<String>,
}

/// Why there is no bill.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BillError {
    /// No such tenant.
    #[error("there is no tenant `{0}`")]
    NoTenant(String),
    /// No price book in the tenant's currency.
    #[error("no price book in {0} is active: add one with `tallyman-aggregator price-book add`")]
    NoBook(String),
    /// The store could not be read.
    #[error(transparent)]
    Fold(#[from] FoldError),
    /// Amounts do not fit, or the period is outside the calendar.
    #[error("{0}")]
    Rating(String),
}

/// What a bill is made from, all at one position.
#[derive(Clone, Copy)]
pub struct Books<'a> {
    /// Cells.
    pub store: &'a dyn Read,
    /// Who is who.
    pub registry: &'a Registry,
    /// Watermarks, for completeness.
    pub marks: &'a Marks,
    /// Position of the newest entry.
    pub position: u64,
    /// Now.
    pub now: WallMs,
}

/// Drafts a tenant's bill of `period`, at the prices that the paying account has. Fees, discounts, credits and taxes are on the
/// account's invoice alone. Items over the month need the month before it; zones come from the terms. Of a
/// month that is final the bill is what it was then (I9).
pub fn draft(books: Books<'_>, tenant: &str, period: Range<Hour>, viewer: Viewer) -> Result<Bill, BillError> {
    let terms = books
        .registry
        .tenants
        .latest(tenant)
        .ok_or_else(|| BillError::NoTenant(tenant.to_owned()))?;
    if let Some(seal) = standing::final_seal(books, terms, &period)? {
        return standing::final_bill(books, terms, period, viewer, seal);
    }
    let status = standing::status(books, &period);
    let (mut bill, _) = drafted(books, terms, period, viewer)?;
    bill.status = status;
    Ok(bill)
}

fn drafted(
    books: Books<'_>,
    terms: &TenantTerms,
    period: Range<Hour>,
    viewer: Viewer,
) -> Result<(Bill, BillTotals), BillError> {
    let versions = books
        .registry
        .books_of(&terms.currency)
        .filter(|v| !v.versions().is_empty())
        .ok_or_else(|| BillError::NoBook(terms.currency.clone()))?;
    let rated = tenant::rate(books, terms, &versions, &period)?;
    let last = last_priced(&rated.books, &period, books.now);
    let totals =
        bill_totals(&rated.books, last, &rated.lines).map_err(|e| BillError::Rating(e.to_string()))?;
    let completeness = completeness::of(books, &rated.hours, period.clone(), viewer)?;
    let mut bill = render(books, terms, &versions, &period, &totals, completeness);
    bill.hours = hour_amounts(&rated.lines);
    bill.unmeasured = usage::unmeasured(&rated.hours);
    bill.inferred = usage::inferred(&rated.hours)?;
    bill.faults = rated.faults;
    Ok((bill, totals))
}

/// The hour whose price book gives order and titles: the newest of the period that some book prices.
pub(crate) fn last_priced(versions: &BookVersions, period: &Range<Hour>, now: WallMs) -> Hour {
    let newest = Hour(period.end.0 - 1).min(now.hour()).max(period.start);
    match versions.versions().first() {
        Some((from, _)) if *from > newest => *from,
        _ => newest,
    }
}

fn render(
    books: Books<'_>,
    terms: &TenantTerms,
    versions: &BookVersions,
    period: &Range<Hour>,
    totals: &BillTotals,
    completeness: Completeness,
) -> Bill {
    let payer = books
        .registry
        .tenants
        .at_end(&terms.tenant, period)
        .unwrap_or(terms);
    let lines = totals.lines.iter().map(|line| {
        let title = titles(versions, period, line.item.as_str(), &terms.language);
        Line {
            item: line.item.as_str().to_owned(),
            title: title.unwrap_or_else(|| line.title.clone()),
            unit: line.unit.to_owned(),
            quantity: line.quantity.to_string(),
            amount_exact: line.unrounded.to_string(),
            amount: line.amount.number(),
        }
    });
    Bill {
        status: standing::PREVIEW,
        tenant: terms.tenant.clone(),
        tenant_name: terms.name.clone(),
        account: payer.account.clone(),
        period_start: hour_text(period.start),
        period_end: hour_text(period.end),
        zone: terms.zone.clone(),
        currency: totals.currency.code().to_owned(),
        rounding: totals.rounding.name().to_owned(),
        as_of: AsOf {
            position: books.position,
            at: instant_text(books.now),
        },
        price_books: book_refs(versions, period),
        lines: lines.collect(),
        hours: Vec::new(),
        subtotal_exact: totals.subtotal.to_string(),
        total: totals.total.number(),
        completeness,
        unmeasured: Vec::new(),
        inferred: Vec::new(),
        adjustment: None,
        faults: Vec::new(),
    }
}

fn titles(versions: &BookVersions, period: &Range<Hour>, item: &str, language: &str) -> Option<String> {
    let book = versions
        .versions()
        .iter()
        .rev()
        .find(|(from, _)| *from < period.end)
        .map(|(_, book)| book)?;
    let found = book.items().iter().find(|i| i.key().as_str() == item)?;
    Some(found.title_in(language).to_owned())
}

pub(crate) fn book_refs(versions: &BookVersions, period: &Range<Hour>) -> Vec<BookRef> {
    let all = versions.versions();
    let in_force = all.iter().enumerate().filter(|(at, (from, _))| {
        let ends = all.get(at + 1).map_or(Hour(u32::MAX), |(next, _)| *next);
        *from < period.end && period.start < ends
    });
    in_force
        .map(|(_, (from, book))| BookRef {
            digest: book.digest().to_string(),
            name: book.name().to_owned(),
            from: hour_text(*from),
        })
        .collect()
}

fn hour_amounts(lines: &[RatedLine]) -> Vec<HourAmount> {
    let mut by_hour = BTreeMap::new();
    for line in lines {
        by_hour
            .entry(line.hour)
            .or_insert_with(Vec::new)
            .push(line.amount);
    }
    by_hour
        .into_iter()
        .filter_map(|(hour, amounts)| {
            let sum = tallyman_common::money::Amount::sum(amounts).ok()?;
            Some(HourAmount {
                hour: hour_text(hour),
                amount_exact: sum.to_string(),
            })
        })
        .collect()
}
