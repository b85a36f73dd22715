//! What a payee's prices ask for in some hours: which items are summed, under which version of the price book, and which of
//! them go hour by hour. It must not know usage.

use std::ops::Range;
use std::sync::Arc;

use tallyman_common::time::Hour;

use crate::rating::span::{Conversion, Way};
use crate::rating::{BookVersions, Charge, Item, ItemKey, PriceBook, Selection};

/// An item of one version of the price book.
pub(super) struct Planned<'b> {
    pub book: usize,
    pub item: &'b Item,
    pub selection: &'b Selection,
    pub conversion: Conversion,
    pub way: Way,
}

/// The price book in force in some hours of one segment of the month.
pub(super) struct Stretch<'b> {
    pub hours: Range<Hour>,
    /// From when on it prices.
    pub from: Hour,
    pub book: usize,
    pub prices: &'b Arc<PriceBook>,
}

/// A version of the price book in the month.
pub(super) struct Version {
    /// From when on it prices; it names the version.
    pub from: Hour,
    /// In force in these.
    pub hours: Range<Hour>,
    /// Its items, among the plan's.
    pub rows: Range<usize>,
}

/// What a payee's prices ask for.
pub(super) struct Plan<'b> {
    pub items: Vec<Planned<'b>>,
    pub stretches: Vec<Stretch<'b>>,
    /// Versions in force in some hours, with the places of their items.
    pub versions: Vec<Version>,
    /// Hours before the first price book.
    pub unpriced: Range<Hour>,
}

impl<'b> Plan<'b> {
    /// For some hours; stretches end at `cuts` too. `None` where an item changes its unit: hour by hour says so, if it is
    /// used on both sides.
    pub fn new(
        versions: &'b BookVersions,
        month: &Range<Hour>,
        (cuts, pools): (&[Hour], bool),
    ) -> Option<Self> {
        let all = versions.versions();
        let first = all.first().map_or(month.end, |(from, _)| *from);
        let mut plan = Self {
            items: Vec::new(),
            stretches: Vec::new(),
            versions: Vec::new(),
            unpriced: month.start..first.min(month.end),
        };
        for (book, (from, prices)) in all.iter().enumerate() {
            let until = all.get(book + 1).map_or(month.end, |(next, _)| *next);
            let hours = (*from).max(month.start)..until.min(month.end);
            if hours.start >= hours.end {
                continue;
            }
            let first = plan.items.len();
            plan.add_items((book, prices), pools)?;
            plan.versions.push(Version {
                from: *from,
                hours: hours.clone(),
                rows: first..plan.items.len(),
            });
            let mut start = hours.start;
            let cuts = cuts.iter().copied();
            for end in cuts.filter(|cut| hours.contains(cut)).chain([hours.end]) {
                let hours = start..end;
                if start < end {
                    plan.stretches.push(Stretch {
                        hours,
                        from: *from,
                        book,
                        prices,
                    });
                }
                start = end;
            }
        }
        plan.keep_together();
        Some(plan)
    }

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
