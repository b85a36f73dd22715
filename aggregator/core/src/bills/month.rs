//! The usage of an account's month, item by item instead of hour by hour where that gives the same to the last digit.
//!
//! Invariants: I6, I7. Items whose hours do not depend on each other are summed and priced at once; the others go through
//! [`rate_hour`] in the order of (hour, tenant). Whatever is wrong, or does not fit, is left to [`rate_account`], which
//! goes through the cells hour by hour and names it; so there is one wording of every fault. It must not know discounts,
//! taxes or documents.

use std::ops::Range;
use std::sync::Arc;

use tallyman_common::money::Quantity;
use tallyman_common::time::Hour;

use super::account::{Payee, rate_account};
use super::completeness::{self, Completeness, HeldWindow, Viewer, held_windows};
use super::seen::{Days, Seen, WholeHours};
use super::sheet::{Reading, Sheet, Stop};
use super::usage::{InferredSums, InferredUsage};
use super::{BillError, Books};
use crate::rating::span::{Conversion, Way, rate_span};
use crate::rating::{
    BillingZone, BookVersions, Charge, HourUsage, Item, ItemKey, MonthSums, Position, PriceBook, Selection,
    rate_hour,
};
use crate::rollup::cache::FoldError;
use crate::rollup::pack::packed_hours;

/// The usage of an account's month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MonthUsage {
    /// Sums by tenant and item.
    pub sums: MonthSums,
    /// Which nodes had rows, for completeness.
    pub seen: Seen,
    /// What is inferred, by meter.
    pub inferred: Vec<InferredUsage>,
    /// What could not be rated, in words; none of it is in the sums.
    pub faults: Vec<String>,
}

/// What the completeness of all accounts needs at one position of the log, read once for all of them.
#[derive(Debug, Clone)]
pub struct Common {
    held: Vec<HeldWindow>,
    whole: Option<WholeHours>,
}

impl Common {
    /// For one account.
    pub fn read(books: Books<'_>) -> Result<Self, FoldError> {
        Ok(Self {
            held: held_windows(books)?,
            whole: None,
        })
    }

    /// For many accounts: the hours of all nodes are read through as well.
    pub fn read_for_many(books: Books<'_>, month: &Range<Hour>) -> Result<Self, FoldError> {
        let whole = WholeHours::read(books.store, books.registry.seals.newest(), month)?;
        let whole = Some(whole);
        Ok(Self {
            whole,
            ..Self::read(books)?
        })
    }

    /// How complete an account's month is.
    pub fn completeness(
        &self,
        books: Books<'_>,
        usage: &MonthUsage,
        month: &Range<Hour>,
        viewer: Viewer,
    ) -> Result<Completeness, FoldError> {
        let known = (&self.held[..], self.whole.as_ref());
        completeness::of_seen(books, &usage.seen, known, month, viewer)
    }
}

/// Rates a month of tenants, those that pool in the order of (hour, tenant): [`rate_account`], faster.
pub fn rate_month(
    books: Books<'_>,
    (payees, versions): (&[Payee], &BookVersions),
    zone: &BillingZone,
    month: Range<Hour>,
    pools: bool,
) -> Result<MonthUsage, BillError> {
    let hours = month.start..month.end.min(books.now.hour().next());
    if hours.start < hours.end {
        let run = Run {
            books,
            packed: packed_hours(books.store).map_err(BillError::from)?,
            zone,
            month: &month,
            hours,
            // One tenant alone pools with nobody.
            pools: pools && payees.len() > 1,
        };
        match run.rate(payees, versions) {
            Ok(usage) => return Ok(usage),
            Err(Stop::ByHour) => {}
            Err(Stop::Fold(error)) => return Err(error.into()),
        }
    }
    by_hour(books, (payees, versions), zone, month, pools)
}

/// The same, hour by hour from the cells.
fn by_hour(
    books: Books<'_>,
    (payees, versions): (&[Payee], &BookVersions),
    zone: &BillingZone,
    month: Range<Hour>,
    pools: bool,
) -> Result<MonthUsage, BillError> {
    let slow = rate_account(books, (payees, versions), zone, month.clone(), pools)?;
    let (mut seen, mut inferred) = (Seen::new(Days::of(&month)), InferredSums::default());
    for hour in &slow.hours {
        seen.add_hour(hour);
        inferred.add(hour)?;
    }
    Ok(MonthUsage {
        sums: slow.sums,
        seen,
        inferred: inferred.finish(),
        faults: slow.faults,
    })
}

struct Run<'a> {
    books: Books<'a>,
    packed: Range<Hour>,
    zone: &'a BillingZone,
    month: &'a Range<Hour>,
    /// Those of the month that are not in the future.
    hours: Range<Hour>,
    pools: bool,
}

/// An item of one version of the price book.
struct Planned<'b> {
    book: usize,
    item: &'b Item,
    selection: &'b Selection,
    conversion: Conversion,
    way: Way,
}

/// The price book in force in some hours of one segment of the month.
struct Stretch<'b> {
    hours: Range<Hour>,
    book: usize,
    prices: &'b Arc<PriceBook>,
}

/// What a payee's prices ask for.
struct Plan<'b> {
    items: Vec<Planned<'b>>,
    stretches: Vec<Stretch<'b>>,
    /// Hours before the first price book.
    unpriced: Range<Hour>,
}

/// What is left of a tenant when its plain items are summed: those that go hour by hour.
struct Left<'p> {
    payee: &'p Payee,
    plan: Plan<'p>,
    sheet: Sheet,
}

impl Run<'_> {
    fn rate(&self, payees: &[Payee], versions: &BookVersions) -> Result<MonthUsage, Stop> {
        let mut sums = MonthSums::new(versions);
        let mut seen = Seen::new(Days::of(self.month));
        let mut inferred = InferredSums::default();
        let mut pool = Vec::new();
        for payee in payees {
            let plan = self.plan(&payee.books, &sums).ok_or(Stop::ByHour)?;
            let items: Vec<&Selection> = plan.items.iter().map(|it| it.selection).collect();
            let reading = Reading {
                books: self.books,
                tenant: &payee.tenant,
                hours: &self.hours,
                packed: &self.packed,
                items: &items,
            };
            let mut sheet = reading.sheet(&mut inferred)?;
            if sheet.is_used_in(&plan.unpriced) {
                return Err(Stop::ByHour);
            }
            self.add_plain(payee, &plan, &sheet, &mut sums)?;
            let own = std::mem::replace(&mut sheet.seen, Seen::new(Days::of(self.month)));
            seen.join(own);
            if !plan.items.iter().any(|it| it.way == Way::ByHour) {
                continue;
            }
            pool.push(Left { payee, plan, sheet });
            if !self.pools {
                self.add_by_hour(&std::mem::take(&mut pool), &mut sums)?;
            }
        }
        self.add_by_hour(&pool, &mut sums)?;
        Ok(MonthUsage {
            sums,
            seen,
            inferred: inferred.finish(),
            faults: Vec::new(),
        })
    }

    /// `None` where an item changes its unit: hour by hour says so, if it is used on both sides.
    fn plan<'b>(&self, versions: &'b BookVersions, sums: &MonthSums) -> Option<Plan<'b>> {
        let all = versions.versions();
        let first = all.first().map_or(self.hours.end, |(from, _)| *from);
        let mut plan = Plan {
            items: Vec::new(),
            stretches: Vec::new(),
            unpriced: self.hours.start..first.min(self.hours.end),
        };
        for (book, (from, prices)) in all.iter().enumerate() {
            let until = all.get(book + 1).map_or(self.hours.end, |(next, _)| *next);
            let hours = (*from).max(self.hours.start)..until.min(self.hours.end);
            if hours.start >= hours.end {
                continue;
            }
            plan.add_items((book, prices), self.pools)?;
            let mut start = hours.start;
            let cuts = sums.cuts().iter().copied();
            for end in cuts.filter(|cut| hours.contains(cut)).chain([hours.end]) {
                let hours = start..end;
                if start < end {
                    plan.stretches.push(Stretch { hours, book, prices });
                }
                start = end;
            }
        }
        plan.keep_together();
        Some(plan)
    }

    /// Adds the items whose hours do not depend on each other.
    fn add_plain(
        &self,
        payee: &Payee,
        plan: &Plan<'_>,
        sheet: &Sheet,
        sums: &mut MonthSums,
    ) -> Result<(), Stop> {
        for stretch in &plan.stretches {
            let planned = plan.items.iter().enumerate();
            for (row, item) in planned.filter(|(_, it)| it.book == stretch.book && it.way != Way::ByHour) {
                let hours = sheet.hours_of(row, &stretch.hours);
                let billed = hours.map(|base| item.conversion.billionths(base?));
                let span = rate_span(&item.way, billed).ok_or(Stop::ByHour)?;
                if !span.quantity.is_zero() {
                    sums.add_span(&payee.tenant, item.item.key(), stretch.hours.start, span)
                        .map_err(|_| Stop::ByHour)?;
                }
            }
        }
        Ok(())
    }

    /// Rates the other items of tenants, hour by hour; they share one position if there are several.
    fn add_by_hour(&self, pool: &[Left<'_>], sums: &mut MonthSums) -> Result<(), Stop> {
        if pool.is_empty() {
            return Ok(());
        }
        let mut position = Position::default();
        let (mut hour, mut day, mut day_end) = (self.hours.start, self.hours.start, self.hours.start);
        while hour < self.hours.end {
            if hour >= day_end {
                let hours = self.zone.day_of(hour).and_then(|it| self.zone.day_hours(it));
                let hours = hours.map_err(|_| Stop::ByHour)?;
                (day, day_end) = (hours.start, hours.end);
            }
            for left in pool {
                left.add_hour((hour, day), &mut position, sums)?;
            }
            hour = hour.next();
        }
        Ok(())
    }
}

impl Left<'_> {
    fn add_hour(
        &self,
        (hour, day): (Hour, Hour),
        position: &mut Position,
        sums: &mut MonthSums,
    ) -> Result<(), Stop> {
        let stretch = self.plan.stretches.iter().find(|it| it.hours.contains(&hour));
        let Some(stretch) = stretch else { return Ok(()) };
        let mut quantities: Vec<(ItemKey, Quantity)> = Vec::new();
        let planned = self.plan.items.iter().enumerate();
        for (row, item) in planned.filter(|(_, it)| it.book == stretch.book && it.way == Way::ByHour) {
            let base = self.sheet.hours_of(row, &(hour..hour.next())).next();
            let Some(base) = base else { continue };
            let base = base.ok_or(Stop::ByHour)?;
            let unit = item.selection.unit().base_units();
            let quantity = Quantity::from_base_units(base, unit).map_err(|_| Stop::ByHour)?;
            if !quantity.is_zero() {
                quantities.push((item.item.key().clone(), quantity));
            }
        }
        if quantities.is_empty() {
            return Ok(());
        }
        let used = HourUsage {
            hour,
            day,
            quantities,
        };
        let lines = rate_hour(stretch.prices, position, &used).map_err(|_| Stop::ByHour)?;
        for line in &lines {
            let added = sums.add(&self.payee.books, &self.payee.tenant, line);
            added.map_err(|_| Stop::ByHour)?;
        }
        Ok(())
    }
}

impl<'b> Plan<'b> {
    /// An item that goes hour by hour under one book does so under all: its position counts what was used before.
    fn keep_together(&mut self) {
        let by_hour = self.items.iter().filter(|it| it.way == Way::ByHour);
        let keys: Vec<ItemKey> = by_hour.map(|it| it.item.key().clone()).collect();
        for item in &mut self.items {
            if keys.contains(item.item.key()) {
                item.way = Way::ByHour;
            }
        }
    }

    /// The items of a version that sum anything, in its order. Where items cost a share of others' amounts, all of them go
    /// hour by hour.
    fn add_items(&mut self, (book, prices): (usize, &'b PriceBook), pools: bool) -> Option<()> {
        let has_shares = prices.shares_of_amounts().next().is_some();
        for item in prices.items() {
            let Some(selection) = item.selection() else {
                continue;
            };
            let same = self.items.iter().find(|it| it.item.key() == item.key());
            if same.is_some_and(|it| it.selection.unit() != selection.unit()) {
                return None;
            }
            let way = match Way::of(item, pools) {
                _ if has_shares && !matches!(item.charge(), Charge::Percentile { .. }) => Way::ByHour,
                way => way,
            };
            self.items.push(Planned {
                book,
                item,
                selection,
                conversion: Conversion::new(selection.unit().base_units()),
                way,
            });
        }
        Some(())
    }
}

#[cfg(test)]
#[path = "month_tests.rs"]
mod tests;
