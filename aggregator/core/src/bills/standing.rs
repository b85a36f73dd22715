//! How far a bill is settled: open, complete, or final. A final bill is drafted from what stood at the position of its
//! month's last seal, so it never changes (I9); what came since waits as an adjustment that names the period.

use std::ops::Range;

use serde::Serialize;
use tallyman_common::money::{Amount, Money, MoneyError, Quantity, exact_sub};
use tallyman_common::time::{Hour, WallMs};

use super::{Bill, BillError, Books, Viewer, drafted};
use crate::limits::COMPLETE_AFTER_MS;
use crate::rating::{BillLine, BillTotals, BillingZone, hour_text};
use crate::registry::{Seal, TenantTerms};
use crate::restart::read_registry_until;

/// It can still change: the period runs, or batches are on their way.
pub const PREVIEW: &str = "preview";
/// Everything expected came, or had its time to come. Late usage still changes it while its month is open.
pub const COMPLETE: &str = "complete";
/// It never changes again.
pub const FINAL: &str = "final";

/// A line of an adjustment; signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AdjustmentLine {
    /// Key of the item.
    pub item: String,
    /// Change of the billed quantity, decimal.
    pub quantity: String,
    /// Change of the exact amount, decimal.
    pub amount_exact: String,
    /// The new rounded amount without the old one, decimal.
    pub amount: String,
}

/// What changed in a month after it was final. It waits for the next bill and changes nothing here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Adjustment {
    /// First instant of the month that it corrects.
    pub period_start: String,
    /// First instant after that month.
    pub period_end: String,
    /// Items that changed.
    pub lines: Vec<AdjustmentLine>,
    /// Sum of the lines' amounts, decimal.
    pub total: String,
}

/// The seal that made the month of a period final; `None` while the month is open, and for periods of several months.
pub fn final_seal<'a>(
    books: Books<'a>,
    terms: &TenantTerms,
    period: &Range<Hour>,
) -> Result<Option<&'a Seal>, BillError> {
    let month = month_of(terms, period)?;
    Ok(month.and_then(|hours| {
        let last = hours.end.0.checked_sub(1).map(Hour)?;
        let seals = &books.registry.seals;
        seals.is_final(&hours).then(|| seals.of(last)).flatten()
    }))
}

fn month_of(terms: &TenantTerms, period: &Range<Hour>) -> Result<Option<Range<Hour>>, BillError> {
    let fault = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
    let zone = BillingZone::parse(&terms.zone).map_err(fault)?;
    let hours = zone
        .month_of(period.start)
        .and_then(|m| zone.month_hours(m))
        .map_err(fault)?;
    Ok((period.end <= hours.end).then_some(hours))
}

/// The bill as it stood when its month became final, with what has changed since.
pub(super) fn final_bill(
    books: Books<'_>,
    terms: &TenantTerms,
    period: Range<Hour>,
    viewer: Viewer,
    seal: &Seal,
) -> Result<Bill, BillError> {
    // Up to the seal, not with it: what it seals is on time.
    let registry = read_registry_until(books.store, seal.position - 1)?;
    let then = Books {
        registry: &registry,
        position: seal.position,
        now: seal.at,
        ..books
    };
    // A tenant that was registered later had nothing then: all it has is an adjustment.
    let terms_then = registry.tenants.latest(&terms.tenant).unwrap_or(terms);
    let (mut bill, settled) = drafted(then, terms_then, period.clone(), viewer)?;
    bill.status = FINAL;
    if month_of(terms, &period)?.is_some_and(|month| month == period) {
        let (_, present) = drafted(books, terms, period.clone(), viewer)?;
        let changed = adjustment(&settled, &present, &period);
        bill.adjustment = changed.map_err(|e| BillError::Rating(e.to_string()))?;
    }
    Ok(bill)
}

/// [`PREVIEW`] or [`COMPLETE`].
pub(crate) fn status(books: Books<'_>, period: &Range<Hour>) -> &'static str {
    let end = period.end.start();
    let is_settled = books.now.0 >= end.0 + COMPLETE_AFTER_MS;
    if is_settled || (books.now >= end && every_node_is_past(books, end)) {
        COMPLETE
    } else {
        PREVIEW
    }
}

fn every_node_is_past(books: Books<'_>, end: WallMs) -> bool {
    let mut heard = books
        .registry
        .active_nodes()
        .filter_map(|node| books.marks.node(node));
    heard.all(|marks| {
        let contiguous = marks.mark(marks.newest_spool, 0).above.is_empty();
        contiguous && (marks.newest_end >= end || marks.stopped)
    })
}

/// Present lines without the settled ones; `None` if nothing changed.
fn adjustment(
    settled: &BillTotals,
    present: &BillTotals,
    period: &Range<Hour>,
) -> Result<Option<Adjustment>, MoneyError> {
    let find = |bill: &BillTotals, line: &BillLine| bill.lines.iter().find(|l| l.item == line.item).cloned();
    let gone = settled.lines.iter().filter(|l| find(present, l).is_none());
    let mut lines = Vec::new();
    for line in present.lines.iter().chain(gone) {
        let (old, new) = (find(settled, line), find(present, line));
        let nothing = (Quantity::ZERO, Amount::ZERO, Money::zero(present.currency));
        let of = |line: &Option<BillLine>| {
            let known = line.as_ref().map(|l| (l.quantity, l.unrounded, l.amount));
            known.unwrap_or(nothing)
        };
        let ((q0, e0, a0), (q1, e1, a1)) = (of(&old), of(&new));
        if (q0, e0, a0) == (q1, e1, a1) {
            continue;
        }
        lines.push(AdjustmentLine {
            item: line.item.as_str().to_owned(),
            quantity: exact_sub(q1.decimal(), q0.decimal())?.to_string(),
            amount_exact: e1.checked_sub(e0)?.to_string(),
            amount: a1.checked_sub(a0)?.number(),
        });
    }
    let total = present.total.checked_sub(settled.total)?;
    Ok((!lines.is_empty()).then(|| Adjustment {
        period_start: hour_text(period.start),
        period_end: hour_text(period.end),
        lines,
        total: total.number(),
    }))
}
