//! The usage of an account's month, item by item instead of hour by hour where that gives the same to the last digit.
//!
//! Invariants: I6, I7. Items whose hours do not depend on each other are summed and priced at once; the others go through
//! [`rate_hour`] in the order of (hour, tenant). Whatever is wrong, or does not fit, is left to [`rate_account`], which
//! goes through the cells hour by hour and names it; so there is one wording of every fault. It must not know discounts,
//! taxes or documents.

use std::ops::Range;

use tallyman_common::money::Quantity;
use tallyman_common::time::Hour;

use super::account::{Payee, rate_account};
use super::completeness::{self, Completeness, HeldWindow, Viewer, held_windows};
use super::plan::Plan;
use super::seen::{Days, Seen, WholeHours};
use super::sheet::{Reading, Sheet, Stop};
use super::usage::{InferredSums, InferredUsage};
use super::watch::{Became, Watch, show, show_hour};
use super::{BillError, Books};
use crate::rating::span::{Way, rate_span};
use crate::rating::{
    BillingZone, BookVersions, HourUsage, Item, ItemKey, MonthSums, Position, Selection, rate_hour,
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
    whole: Vec<WholeHours>,
}

impl Common {
    /// For one account.
    pub fn read(books: Books<'_>) -> Result<Self, FoldError> {
        Ok(Self {
            held: held_windows(books)?,
            whole: Vec::new(),
        })
    }

    /// For many accounts with these months: the hours of all nodes are read through as well.
    pub fn read_for_many(books: Books<'_>, months: &[Range<Hour>]) -> Result<Self, FoldError> {
        let sealed = books.registry.seals.newest();
        let whole = months.iter().map(|it| WholeHours::read(books.store, sealed, it));
        Ok(Self {
            whole: whole.collect::<Result<_, _>>()?,
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
        let whole = self.whole.iter().find(|it| it.is_of(usage.seen.days()));
        let known = (&self.held[..], whole);
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
    if let Some(run) = Run::new(books, zone, &month, pools && payees.len() > 1)? {
        match run.rate(payees, versions, None) {
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

/// A month that is rated together.
pub(super) struct Run<'a> {
    books: Books<'a>,
    packed: Range<Hour>,
    zone: &'a BillingZone,
    month: &'a Range<Hour>,
    /// Those of the month that are not in the future.
    hours: Range<Hour>,
    pools: bool,
}

/// What is left of a tenant when its plain items are summed: those that go hour by hour.
struct Left<'p> {
    payee: &'p Payee,
    plan: Plan<'p>,
    sheet: Sheet,
}

impl<'a> Run<'a> {
    /// `None` for a month that has not begun. `pools` says that several tenants climb tiers together: one alone pools with
    /// nobody.
    pub(super) fn new(
        books: Books<'a>,
        zone: &'a BillingZone,
        month: &'a Range<Hour>,
        pools: bool,
    ) -> Result<Option<Self>, FoldError> {
        let hours = month.start..month.end.min(books.now.hour().next());
        if hours.start >= hours.end {
            return Ok(None);
        }
        let packed = packed_hours(books.store)?;
        Ok(Some(Self {
            books,
            packed,
            zone,
            month,
            hours,
            pools,
        }))
    }

    /// Reads what items sum of a tenant's month; what none names too, if somebody watches.
    pub(super) fn read(
        &self,
        (tenant, plan): (&str, &Plan<'_>),
        is_watched: bool,
        inferred: &mut InferredSums,
    ) -> Result<Sheet, Stop> {
        let items: Vec<&Selection> = plan.items.iter().map(|it| it.selection).collect();
        let reading = Reading {
            books: self.books,
            tenant,
            hours: &self.hours,
            packed: &self.packed,
            items: &items,
            versions: if is_watched { &plan.versions } else { &[] },
        };
        let sheet = reading.sheet(inferred)?;
        if sheet.is_used_in(&plan.unpriced) {
            return Err(Stop::ByHour);
        }
        Ok(sheet)
    }

    /// The hours that are rated.
    pub(super) fn hours(&self) -> &Range<Hour> {
        &self.hours
    }

    /// Rates it, and shows to `watch` what becomes of usage, if there is one.
    pub(super) fn rate(
        &self,
        payees: &[Payee],
        versions: &BookVersions,
        mut watch: Option<&mut Watch<'_>>,
    ) -> Result<MonthUsage, Stop> {
        let mut sums = MonthSums::new(versions);
        let mut seen = Seen::new(Days::of(self.month));
        let mut inferred = InferredSums::default();
        let mut pool = Vec::new();
        for payee in payees {
            let plan = Plan::new(&payee.books, &self.hours, (sums.cuts(), self.pools));
            let plan = plan.ok_or(Stop::ByHour)?;
            let mut sheet = self.read((&payee.tenant, &plan), watch.is_some(), &mut inferred)?;
            if let Some(watch) = watch.as_deref_mut() {
                show(&plan, &sheet, watch).ok_or(Stop::ByHour)?;
            }
            self.add_plain((payee, &plan), &sheet, &mut sums, watch.as_deref_mut())?;
            let own = std::mem::replace(&mut sheet.seen, Seen::new(Days::of(self.month)));
            seen.join(own);
            if !plan.items.iter().any(|it| it.way == Way::ByHour) {
                continue;
            }
            pool.push(Left { payee, plan, sheet });
            if !self.pools {
                self.add_by_hour(&std::mem::take(&mut pool), &mut sums, watch.as_deref_mut())?;
            }
        }
        self.add_by_hour(&pool, &mut sums, watch)?;
        Ok(MonthUsage {
            sums,
            seen,
            inferred: inferred.finish(),
            faults: Vec::new(),
        })
    }

    /// Adds the items whose hours do not depend on each other.
    fn add_plain(
        &self,
        (payee, plan): (&Payee, &Plan<'_>),
        sheet: &Sheet,
        sums: &mut MonthSums,
        mut watch: Option<&mut Watch<'_>>,
    ) -> Result<(), Stop> {
        for stretch in &plan.stretches {
            let planned = plan.items.iter().enumerate();
            for (row, item) in planned.filter(|(_, it)| it.book == stretch.book && it.way != Way::ByHour) {
                let hours = sheet.hours_of(row, &stretch.hours);
                let billed = hours.map(|base| item.conversion.billionths(base?));
                let span = rate_span(&item.way, billed).ok_or(Stop::ByHour)?;
                if let Some(watch) = watch.as_deref_mut() {
                    let used = sheet.net_of(row, &stretch.hours).ok_or(Stop::ByHour)?;
                    let (item, rated) = (item.item, &span);
                    let became = Became::Together { item, used, rated };
                    watch(stretch.from, became).ok_or(Stop::ByHour)?;
                }
                if !span.quantity.is_zero() {
                    sums.add_span(&payee.tenant, item.item.key(), stretch.hours.start, span)
                        .map_err(|_| Stop::ByHour)?;
                }
            }
        }
        Ok(())
    }

    /// Rates the other items of tenants, hour by hour; they share one position if there are several.
    fn add_by_hour(
        &self,
        pool: &[Left<'_>],
        sums: &mut MonthSums,
        mut watch: Option<&mut Watch<'_>>,
    ) -> Result<(), Stop> {
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
                left.add_hour((hour, day), &mut position, sums, watch.as_deref_mut())?;
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
        watch: Option<&mut Watch<'_>>,
    ) -> Result<(), Stop> {
        let stretch = self.plan.stretches.iter().find(|it| it.hours.contains(&hour));
        let Some(stretch) = stretch else { return Ok(()) };
        let mut quantities: Vec<(ItemKey, Quantity)> = Vec::new();
        let mut used: Vec<(&Item, u128)> = Vec::new();
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
            if watch.is_some() && base > 0 {
                used.push((item.item, base));
            }
        }
        let lines = if quantities.is_empty() {
            Vec::new()
        } else {
            let used = HourUsage {
                hour,
                day,
                quantities,
            };
            rate_hour(stretch.prices, position, &used).map_err(|_| Stop::ByHour)?
        };
        for line in &lines {
            let added = sums.add(&self.payee.books, &self.payee.tenant, line);
            added.map_err(|_| Stop::ByHour)?;
        }
        watch.map_or(Ok(()), |watch| {
            show_hour(stretch.from, (&used, &lines), watch).ok_or(Stop::ByHour)
        })
    }
}

#[cfg(test)]
#[path = "month_tests.rs"]
mod tests;
