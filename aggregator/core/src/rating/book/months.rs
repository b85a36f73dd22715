//! What a price book says about whole months, and from which month it counts.
//!
//! Hours are priced by the version in force in them. A month has one set of policies: those of the version that is in force
//! when the month begins in the version's own zone, so that months of the same name have the same in every zone
//! (docs/adr/0017). It must not know usage.

use std::sync::Arc;

use tallyman_common::time::Hour;

use super::super::calendar::Month;
use super::super::policy::{Discount, Plan, Surcharge, TaxRate};
use super::{BookVersions, Charge, Item, ItemKey, PriceBook};

impl PriceBook {
    /// What this book says otherwise about whole months than an earlier one; empty if nothing. Names for people are not looked
    /// at.
    pub fn changes_of_months_after(&self, earlier: &Self) -> Vec<String> {
        let (new, old) = (&self.policies, &earlier.policies);
        let mut changes = Vec::new();
        let mut flag = |differs: bool, name: &str| {
            if differs {
                changes.push(format!("`{name}`"));
            }
        };
        flag(new.in_turn != old.in_turn, "discounts");
        flag(new.tax_included != old.tax_included, "tax_included");
        flag(self.rounding != earlier.rounding, "rounding");
        let discount = |it: &Discount| {
            (
                it.key.to_string(),
                Discount {
                    titles: Default::default(),
                    ..it.clone()
                },
            )
        };
        let surcharge = |it: &Surcharge| {
            (
                it.key.to_string(),
                Surcharge {
                    titles: Default::default(),
                    ..it.clone()
                },
            )
        };
        let plan = |it: &Plan| {
            (
                it.key.to_string(),
                Plan {
                    titles: Default::default(),
                    ..it.clone()
                },
            )
        };
        let tax = |it: &TaxRate| {
            (
                it.class.clone(),
                TaxRate {
                    titles: Default::default(),
                    ..it.clone()
                },
            )
        };
        changes.extend(differing("discount", (&new.discounts, &old.discounts), discount));
        changes.extend(differing(
            "surcharge",
            (&new.surcharges, &old.surcharges),
            surcharge,
        ));
        changes.extend(differing("plan", (&new.plans, &old.plans), plan));
        changes.extend(differing("tax", (&new.taxes, &old.taxes), tax));
        for item in &self.items {
            if let Some(old) = earlier.item(item.key()) {
                changes.extend(of_item(item, old));
            }
        }
        changes
    }
}

/// Tables of one kind that are not in both books, or not alike, or in another order.
fn differing<T, P: PartialEq>(
    kind: &str,
    (new, old): (&[T], &[T]),
    part: impl Fn(&T) -> (String, P),
) -> Vec<String> {
    let (new, old): (Vec<_>, Vec<_>) = (new.iter().map(&part).collect(), old.iter().map(&part).collect());
    let odd = |one: &[(String, P)], other: &[(String, P)]| -> Vec<String> {
        let odd = one.iter().filter(|it| !other.contains(it));
        odd.map(|(key, _)| format!("{kind} `{key}`")).collect()
    };
    let mut found = odd(&new, &old);
    found.extend(odd(&old, &new));
    found.sort();
    found.dedup();
    if found.is_empty() && new != old {
        found.push(format!("the order of every {kind}"));
    }
    found
}

fn of_item(new: &Item, old: &Item) -> Vec<String> {
    let is_percentile = matches!(
        (&new.charge, &old.charge),
        (Charge::Percentile { .. }, Charge::Percentile { .. })
    );
    let parts = [
        ("minimum", new.minimum != old.minimum),
        ("maximum", new.maximum != old.maximum),
        ("tax class", new.tax_class != old.tax_class),
        (
            "percentile or its prices",
            is_percentile && new.charge != old.charge,
        ),
    ];
    let changed = parts.iter().filter(|(_, differs)| *differs);
    changed
        .map(|(what, _)| format!("the {what} of item `{}`", new.key))
        .collect()
}

impl BookVersions {
    /// The version whose policies a month has; where the first version begins inside the month, that one. `until` is an hour
    /// of the month, for one that ends before any version begins in its own zone.
    pub fn of_month(&self, month: Month, until: Hour) -> Option<&Arc<PriceBook>> {
        let in_time = self.0.iter().rev().find(|(from, book)| {
            let first = first_month(*from, book);
            first.is_some_and(|it| it <= month)
        });
        let begun = || {
            self.0.iter().find(|(from, book)| {
                let begins = book.time_zone().month_of(*from).ok();
                begins.is_some_and(|it| it <= month)
            })
        };
        in_time
            .or_else(begun)
            .map(|(_, book)| book)
            .or_else(|| self.at(until))
    }

    /// An item as a month has it; one that only other versions have, as the newest of these in force until an hour.
    pub fn item_of_month(&self, key: &ItemKey, month: Month, until: Hour) -> Option<&Item> {
        let then = self.of_month(month, until).and_then(|it| it.item(key));
        then.or_else(|| self.newest_with(key, until))
    }
}

/// The first month, in its own zone, that begins with a version.
fn first_month(from: Hour, book: &PriceBook) -> Option<Month> {
    let zone = book.time_zone();
    let month = zone.month_of(from).ok()?;
    if zone.month_hours(month).ok()?.start == from {
        return Some(month);
    }
    month.next().ok()
}
