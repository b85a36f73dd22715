//! A tenant's month as columns of numbers: for each item of the price books in force what was added and what was taken off
//! in each hour, in base units. From packed days where there are any, from cells where something is to be seen there.
//! It must not know prices.

use std::collections::BTreeMap;
use std::ops::Range;

use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::time::Hour;

use super::Books;
use super::plan::Version;
use super::seen::{Days, Seen};
use super::usage::{InferredSums, TenantHour, tenant_hour};
use crate::rating::Selection;
use crate::rollup::cache::FoldError;
use crate::rollup::day::{Column, DAY_HOURS, Hours, PackedDay, UtcDay};
use crate::rollup::pack::{Found, scan_days};

/// Sums of one side of an item, by place of the day.
type Sums = Vec<[u128; DAY_HOURS]>;

/// What one item sums, in base units.
#[derive(Debug, Clone, Default)]
pub struct Row {
    plus: Sums,
    minus: Sums,
}

/// Usage that no item names.
#[derive(Debug, Clone, Default)]
struct Unnamed {
    sums: Sums,
    /// Hours that have a value, by place of the day.
    hours: Vec<Hours>,
}

/// A tenant's month.
#[derive(Debug, Clone)]
pub struct Sheet {
    days: Days,
    rows: Vec<Row>,
    /// By version and meter what no item of the version names.
    unnamed: BTreeMap<(usize, Meter), Unnamed>,
    /// Hours in which any owner has anything, by place of the day.
    used: Vec<Hours>,
    /// Nodes that it comes from.
    pub seen: Seen,
}

/// A sum that does not fit, or no sum at all: the caller goes hour by hour, which says what is wrong.
#[derive(Debug)]
pub enum Stop {
    /// Hour by hour.
    ByHour,
    /// The store can't be read.
    Fold(FoldError),
}

impl<E: Into<FoldError>> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Fold(error.into())
    }
}

/// What is read: which items, of whom, when.
pub struct Reading<'a> {
    /// Everything at one position.
    pub books: Books<'a>,
    /// Whose.
    pub tenant: &'a str,
    /// The hours, all past.
    pub hours: &'a Range<Hour>,
    /// Packed hours.
    pub packed: &'a Range<Hour>,
    /// What each row sums.
    pub items: &'a [&'a Selection],
    /// Versions of the price book of which it is read too what no item names.
    pub versions: &'a [Version],
}

impl Reading<'_> {
    /// Reads it all.
    pub fn sheet(&self, inferred: &mut InferredSums) -> Result<Sheet, Stop> {
        let days = Days::of(self.hours);
        let mut sheet = Sheet {
            rows: vec![Row::default(); self.items.len()],
            unnamed: BTreeMap::new(),
            used: vec![0; days.count()],
            seen: Seen::new(days.clone()),
            days,
        };
        let mut apart = self.unpacked(&sheet.days);
        for (owner, span) in self.books.registry.tenants.owners_in(self.tenant, self.hours) {
            self.add_owner(&owner, &span, &mut apart, &mut sheet)?;
        }
        for (place, apart) in apart.into_iter().enumerate() {
            let hours: Vec<Hour> = sheet.seen.hours_of(place, apart).collect();
            if apart != 0 {
                sheet.forget(place, apart);
            }
            for hour in hours {
                let usage = tenant_hour(self.books.store, self.books.registry, self.tenant, hour)?;
                inferred.add(&usage)?;
                self.add_hour(&usage, &mut sheet)?;
            }
        }
        Ok(sheet)
    }

    /// Hours that no packed day has. Whether an hour was sealed at this position does not matter: what is packed are the
    /// values on time, which are the same before and behind the seal, and what came late has a note.
    fn unpacked(&self, days: &Days) -> Vec<Hours> {
        let apart = |place| days.within(place, self.hours) & !days.within(place, self.packed);
        (0..days.count()).map(apart).collect()
    }

    fn add_owner(
        &self,
        owner: &Owner,
        span: &Range<Hour>,
        apart: &mut [Hours],
        sheet: &mut Sheet,
    ) -> Result<(), Stop> {
        let mut by_hour = false;
        scan_days(self.books.store, owner, sheet.days.range(), |found| {
            match found {
                Found::Note(hour) => {
                    let (day, at) = UtcDay::of(hour);
                    if let (Some(place), true) = (sheet.days.place(day), span.contains(&hour)) {
                        apart[place] |= sheet.days.within(place, span) & (1 << at);
                    }
                }
                Found::Day(day, packed) => {
                    if let Some(place) = sheet.days.place(day) {
                        let here = sheet.days.within(place, span);
                        apart[place] |= packed.apart & here;
                        by_hour |= self
                            .add_day(&packed, place, here & !apart[place], sheet)?
                            .is_none();
                    }
                }
            }
            Ok(())
        })?;
        if by_hour { Err(Stop::ByHour) } else { Ok(()) }
    }

    /// Adds some hours of a packed day; `None` if a sum does not fit.
    fn add_day(
        &self,
        packed: &PackedDay<'_>,
        place: usize,
        hours: Hours,
        sheet: &mut Sheet,
    ) -> Result<Option<()>, FoldError> {
        sheet.used[place] |= packed.hours & hours;
        for (node, of) in packed.nodes() {
            sheet.seen.add(node, place, of & hours);
        }
        let mut fits = true;
        packed.columns(|column| {
            let dims = if column.is_plain() {
                Vec::new()
            } else {
                column.dims()?
            };
            for (row, selection) in sheet.rows.iter_mut().zip(self.items) {
                if !selection.admits_pairs(&dims) {
                    continue;
                }
                let side = if selection.plus().contains(&column.meter) {
                    &mut row.plus
                } else if selection.minus().contains(&column.meter) {
                    &mut row.minus
                } else {
                    continue;
                };
                let sums = day_of(side, place, sheet.days.count());
                fits &= column.add_to(sums, hours).is_some();
            }
            fits &= self
                .add_unnamed((&column, &dims), (place, hours), sheet)
                .is_some();
            Ok(())
        })?;
        Ok(fits.then_some(()))
    }

    /// Adds a column of a day to what no item names, for each version whose items do not.
    fn add_unnamed(
        &self,
        (column, dims): (&Column<'_>, &[(&str, &str)]),
        (place, hours): (usize, Hours),
        sheet: &mut Sheet,
    ) -> Option<()> {
        for (at, version) in self.versions.iter().enumerate() {
            let here = hours & column.hours & sheet.days.within(place, &version.hours);
            let names = |it: &&Selection| sums(it, column.meter) && it.admits_pairs(dims);
            if here != 0 && !self.items[version.rows.clone()].iter().any(names) {
                column.add_to(sheet.unnamed((at, column.meter), (place, here)), here)?;
            }
        }
        Some(())
    }

    fn add_hour(&self, usage: &TenantHour, sheet: &mut Sheet) -> Result<(), Stop> {
        let (day, at) = UtcDay::of(usage.hour);
        let place = sheet.days.place(day).expect("an hour of the month");
        if !usage.is_empty() {
            sheet.used[place] |= 1 << at;
        }
        sheet.seen.add_hour(usage);
        for sum in usage.by_meter() {
            for (row, selection) in sheet.rows.iter_mut().zip(self.items) {
                if !selection.admits(&sum.dims) {
                    continue;
                }
                let side = if selection.plus().contains(&sum.meter) {
                    &mut row.plus
                } else if selection.minus().contains(&sum.meter) {
                    &mut row.minus
                } else {
                    continue;
                };
                let target = &mut day_of(side, place, sheet.days.count())[at];
                *target = target.checked_add(sum.value).ok_or(Stop::ByHour)?;
            }
            let version = self.versions.iter().position(|it| it.hours.contains(&usage.hour));
            let names = |it: &&Selection| sums(it, sum.meter) && it.admits(&sum.dims);
            if let Some(version) = version
                && !self.items[self.versions[version].rows.clone()].iter().any(names)
            {
                let target = &mut sheet.unnamed((version, sum.meter), (place, 1 << at))[at];
                *target = target.checked_add(sum.value).ok_or(Stop::ByHour)?;
            }
        }
        Ok(())
    }
}

fn sums(selection: &Selection, meter: Meter) -> bool {
    selection.plus().contains(&meter) || selection.minus().contains(&meter)
}

fn day_of(side: &mut Sums, place: usize, count: usize) -> &mut [u128; DAY_HOURS] {
    if side.is_empty() {
        side.resize(count, [0; DAY_HOURS]);
    }
    &mut side[place]
}

impl Sheet {
    /// Takes hours of a day out, whatever was read of them.
    fn forget(&mut self, place: usize, hours: Hours) {
        self.used[place] &= !hours;
        self.seen.forget(place, hours);
        for unnamed in self.unnamed.values_mut() {
            unnamed.hours[place] &= !hours;
        }
        let named = self
            .rows
            .iter_mut()
            .flat_map(|row| [&mut row.plus, &mut row.minus]);
        for side in named.chain(self.unnamed.values_mut().map(|it| &mut it.sums)) {
            let Some(sums) = side.get_mut(place) else { continue };
            for (at, sum) in sums.iter_mut().enumerate() {
                if hours & (1 << at) != 0 {
                    *sum = 0;
                }
            }
        }
    }

    /// Where hours of a day are summed that no item names.
    fn unnamed(&mut self, of: (usize, Meter), (place, hours): (usize, Hours)) -> &mut [u128; DAY_HOURS] {
        let count = self.days.count();
        let unnamed = self.unnamed.entry(of).or_default();
        unnamed.hours.resize(count, 0);
        unnamed.hours[place] |= hours;
        day_of(&mut unnamed.sums, place, count)
    }

    /// What no item names: place of the version, meter, and what was used in all its hours; `None` if that does not fit.
    pub fn unnamed_sums(&self) -> impl Iterator<Item = (usize, Meter, Option<u128>)> {
        let used = self
            .unnamed
            .iter()
            .filter(|(_, it)| it.hours.iter().any(|it| *it != 0));
        used.map(|((version, meter), it)| {
            let mut all = it.sums.iter().flatten();
            let sum = all.try_fold(0u128, |sum, it| sum.checked_add(*it));
            (*version, *meter, sum)
        })
    }

    /// What an item sums in all hours of a span, less than nothing included; `None` if that does not fit.
    pub fn net_of(&self, row: usize, span: &Range<Hour>) -> Option<i128> {
        let (from, to) = (self.days.offset(span.start), self.days.offset(span.end));
        let of = |side: &Sums| {
            let mut all = side.as_flattened().get(from..to).into_iter().flatten();
            let sum = all.try_fold(0u128, |sum, it| sum.checked_add(*it))?;
            i128::try_from(sum).ok()
        };
        of(&self.rows[row].plus)?.checked_sub(of(&self.rows[row].minus)?)
    }

    /// Whether anything was used in a span, be it nothing that an item sums.
    pub fn is_used_in(&self, span: &Range<Hour>) -> bool {
        let mut used = self.used.iter().enumerate();
        used.any(|(place, used)| used & self.days.within(place, span) != 0)
    }

    /// What an item sums in each hour of a span of the month, in order: `None` where more is taken off than there is. No
    /// hours at all when no cell has anything of it.
    pub fn hours_of(&self, row: usize, span: &Range<Hour>) -> impl Iterator<Item = Option<u128>> {
        let Row { plus, minus } = &self.rows[row];
        let (from, to) = (self.days.offset(span.start), self.days.offset(span.end));
        let is_empty = plus.is_empty() && minus.is_empty();
        let range = if is_empty { 0..0 } else { from..to };
        let (plus, minus) = (plus.as_flattened(), minus.as_flattened());
        // A side that no cell has anything of is not there.
        let of = |side: &[u128], at: usize| side.get(at).map_or(0, |it| *it);
        range.map(move |at| of(plus, at).checked_sub(of(minus, at)))
    }
}
