//! What becomes of an account's usage while its month is rated together: for those who account for every unit. The numbers
//! are those that an invoice is made of, by item and version of the price book.
//!
//! Invariant: I1. It must not know what is made of them.

use std::ops::Range;

use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;

use super::account::Payee;
use super::month::Run;
use super::plan::Plan;
use super::sheet::{Sheet, Stop};
use super::usage::InferredSums;
use super::{BillError, Books};
use crate::rating::span::SpanSum;
use crate::rating::{BillingZone, BookVersions, Item, RatedLine};

/// What is shown of hours under one version of the price book.
pub enum Became<'a> {
    /// The version has this item, and something was used while it was in force.
    Listed(&'a Item),
    /// Hours of an item that were rated together.
    Together {
        /// Which.
        item: &'a Item,
        /// What was used, base units.
        used: i128,
        /// What it was rated as.
        rated: &'a SpanSum,
    },
    /// One hour of an item.
    Hour {
        /// Which.
        item: &'a Item,
        /// What was used, base units; more than nothing.
        used: u128,
        /// What it was rated as; none for less than half a billionth of the unit.
        line: Option<&'a RatedLine>,
    },
    /// An hour's share of other amounts, without usage.
    Share(&'a RatedLine),
    /// A meter that no item names, and what was used of it, base units.
    Unnamed(Meter, u128),
}

/// Is shown what becomes of usage, with the hour from which the version prices; `None` if it can't take a number.
pub type Watch<'w> = dyn FnMut(Hour, Became<'_>) -> Option<()> + 'w;

/// Shows what becomes of the usage of an account's month. False: not all of it, because the month can't be rated together;
/// then hour by hour says what is wrong ([`super::hourly`]), and what was shown is to be forgotten.
///
/// # Errors
/// When the store can't be read.
pub fn watch_month(
    books: Books<'_>,
    (payees, versions): (&[Payee], &BookVersions),
    (zone, month): (&BillingZone, &Range<Hour>),
    pools: bool,
    watch: &mut Watch<'_>,
) -> Result<bool, BillError> {
    let Some(run) = Run::new(books, zone, month, pools && payees.len() > 1)? else {
        return Ok(true);
    };
    is_whole(run.rate(payees, versions, Some(watch)))
}

/// What usage is of.
#[derive(Debug, Clone, Copy)]
pub enum Of<'a> {
    /// An item.
    Item(&'a Item),
    /// A meter that no item names.
    Meter(Meter),
}

/// Is shown usage under a version of the price book: from when on it prices, of what, base units.
pub type See<'w> = dyn FnMut(Hour, Of<'_>, i128) -> Option<()> + 'w;

/// Shows what a tenant used in a month, by item and version of the price book, whatever it costs. False: not all of it, as
/// with [`watch_month`].
///
/// # Errors
/// When the store can't be read.
pub fn used_month(
    books: Books<'_>,
    payee: &Payee,
    (zone, month): (&BillingZone, &Range<Hour>),
    see: &mut See<'_>,
) -> Result<bool, BillError> {
    match Run::new(books, zone, month, false)? {
        Some(run) => is_whole(see_used(&run, payee, see)),
        None => Ok(true),
    }
}

fn is_whole<T>(made: Result<T, Stop>) -> Result<bool, BillError> {
    match made {
        Ok(_) => Ok(true),
        Err(Stop::ByHour) => Ok(false),
        Err(Stop::Fold(error)) => Err(error.into()),
    }
}

fn see_used(run: &Run<'_>, payee: &Payee, see: &mut See<'_>) -> Result<(), Stop> {
    let plan = Plan::new(&payee.books, run.hours(), (&[], false)).ok_or(Stop::ByHour)?;
    let sheet = run.read((&payee.tenant, &plan), true, &mut InferredSums::default())?;
    for version in &plan.versions {
        for row in version.rows.clone() {
            let used = sheet.net_of(row, &version.hours).ok_or(Stop::ByHour)?;
            see(version.from, Of::Item(plan.items[row].item), used).ok_or(Stop::ByHour)?;
        }
    }
    for (version, meter, used) in sheet.unnamed_sums() {
        let used = used.and_then(|it| i128::try_from(it).ok()).ok_or(Stop::ByHour)?;
        see(plan.versions[version].from, Of::Meter(meter), used).ok_or(Stop::ByHour)?;
    }
    Ok(())
}

/// Shows which items are listed, and what none of them names.
pub(super) fn show(plan: &Plan<'_>, sheet: &Sheet, watch: &mut Watch<'_>) -> Option<()> {
    for version in plan.versions.iter().filter(|it| sheet.is_used_in(&it.hours)) {
        for item in &plan.items[version.rows.clone()] {
            watch(version.from, Became::Listed(item.item))?;
        }
    }
    for (version, meter, used) in sheet.unnamed_sums() {
        watch(plan.versions[version].from, Became::Unnamed(meter, used?))?;
    }
    Some(())
}

/// Shows an hour that was rated by itself.
pub(super) fn show_hour(
    from: Hour,
    (used, lines): (&[(&Item, u128)], &[RatedLine]),
    watch: &mut Watch<'_>,
) -> Option<()> {
    for (item, used) in used {
        let line = lines.iter().find(|it| it.item == *item.key());
        let (item, used) = (*item, *used);
        watch(from, Became::Hour { item, used, line })?;
    }
    let is_used = |line: &&RatedLine| used.iter().any(|(item, _)| line.item == *item.key());
    for line in lines.iter().filter(|it| !is_used(it)) {
        watch(from, Became::Share(line))?;
    }
    Some(())
}
