//! Price books over time: when one may come into force beside those before and behind it, and beside what was agreed.
//!
//! Invariant: I9 (what was billed stays). Hours are priced by the book in force in them, so prices may change at any hour
//! of an open month. What a book says about whole months may change with a month only, and so may the unit of an item; a
//! month is looked at in every zone in which one is billed in the currency (docs/adr/0017). It must not know usage.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use tallyman_common::time::Hour;

use super::Registry;
use super::command::Rejected;
use crate::rating::calendar::{CalendarError, Month};
use crate::rating::{BillingZone, Moment, PriceBook, Terms, hour_text};

/// Accounts that a refusal names; the others are counted.
const NAMED_MAX: usize = 10;

impl Registry {
    pub(super) fn check_book(&self, text: &str, from: Hour) -> Result<(), Rejected> {
        let book = PriceBook::parse(text).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            Rejected::Invalid(format!("the price book has faults:\n{}", lines.join("\n")))
        })?;
        let same = |it: &super::Activation| it.from == from && it.book.digest() == book.digest();
        if self.books.iter().any(same) {
            return Err(Rejected::NotNow(
                "this price book is in force from that hour already".into(),
            ));
        }
        let beside = Beside::of(self, &book, from);
        let zones = self.zones_of(&book)?;
        for (zone, who) in &zones {
            self.check_open(from, zone, who)?;
        }
        for (zone, who) in &zones {
            check_units(&book, from, &beside, (zone, who))?;
        }
        check_policies(&book, from, &beside)?;
        self.check_needs(&book, from, &beside)
    }

    /// Zones in which months are billed in the book's currency, each with somebody who has it; and the book's own.
    fn zones_of(&self, book: &PriceBook) -> Result<Vec<(BillingZone, String)>, Rejected> {
        let code = book.currency().code();
        let accounts = self.payers.accounts.values();
        let accounts = accounts.filter(|it| it.currency == code);
        let accounts = accounts.map(|it| (it.zone.clone(), format!("account `{}`", it.account)));
        let tenants = self.tenants.iter().filter(|it| it.currency == code);
        let tenants = tenants.map(|it| (it.zone.clone(), format!("tenant `{}`", it.tenant)));
        let own = (book.time_zone().name().to_owned(), "the price book".to_owned());
        let mut zones: BTreeMap<String, String> = BTreeMap::new();
        for (zone, who) in [own].into_iter().chain(accounts).chain(tenants) {
            zones.entry(zone).or_insert(who);
        }
        let read = |(name, who): (String, String)| Ok((BillingZone::parse(&name).map_err(calendar)?, who));
        zones.into_iter().map(read).collect()
    }

    fn check_open(&self, from: Hour, zone: &BillingZone, who: &str) -> Result<(), Rejected> {
        let month = zone.month_of(from).map_err(calendar)?;
        let hours = zone.month_hours(month).map_err(calendar)?;
        if !self.seals.is_final(&hours) {
            return Ok(());
        }
        Err(Rejected::NotNow(format!(
            "month {month} is final in zone {}, which {who} has: prices in it stay as they are. It ends at {}: let the book \
             begin there or later",
            zone.name(),
            hour_text(hours.end)
        )))
    }

    /// Plans and items that the terms of accounts name while the book would be in force.
    fn check_needs(&self, book: &PriceBook, from: Hour, beside: &Beside<'_>) -> Result<(), Rejected> {
        let until = beside.next.map_or(Hour(u32::MAX), |it| it);
        let mut missing = Vec::new();
        for account in self.payers.accounts.values() {
            if account.currency != book.currency().code() {
                continue;
            }
            let zone = BillingZone::parse(&account.zone).map_err(calendar)?;
            for (hours, terms) in self.payers.terms_in(&account.account, &(from..until)) {
                let lacks = unmet(terms, book, &zone, &hours).map_err(calendar)?;
                missing.extend(
                    lacks
                        .into_iter()
                        .map(|it| format!("account `{}` {it}", account.account)),
                );
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        missing.dedup();
        let others = missing.len().checked_sub(NAMED_MAX).filter(|it| *it > 0);
        missing.truncate(NAMED_MAX);
        let others = others.map_or_else(String::new, |it| format!("\nand {it} more"));
        Err(Rejected::NotNow(format!(
            "terms that hold while the book is in force need what it does not have:\n{}{others}\nKeep it in the book, or first \
             add terms without it for those months",
            missing.join("\n")
        )))
    }

    /// What terms that begin in an hour need and a book does not have that is in force while they hold.
    pub(super) fn check_later_books(
        &self,
        (account, currency, zone): (&str, &str, &BillingZone),
        terms: &Terms,
        from: Hour,
    ) -> Result<(), Rejected> {
        let Some(versions) = self.books_of(currency) else {
            return Ok(());
        };
        let end = self
            .payers
            .terms_behind(account, from)
            .map_or(Hour(u32::MAX), |it| it);
        let versions = versions.versions();
        for (at, (begins, book)) in versions.iter().enumerate() {
            let until = versions.get(at + 1).map_or(Hour(u32::MAX), |(next, _)| *next);
            let hours = (*begins).max(from)..until.min(end);
            if hours.start >= hours.end {
                continue;
            }
            if let Some(first) = unmet(terms, book, zone, &hours).map_err(calendar)?.first() {
                return Err(Rejected::NotNow(format!(
                    "the price book `{}`, in force from {}, lacks something: the account {first}. Add a book that has it first, \
                     or end it in the terms before",
                    book.name(),
                    hour_text(*begins)
                )));
            }
        }
        Ok(())
    }
}

/// The versions of the book's currency, without one that it replaces.
struct Beside<'a> {
    before: Option<&'a PriceBook>,
    /// First hour of the version behind it.
    next: Option<Hour>,
    all: BTreeMap<Hour, &'a PriceBook>,
}

impl<'a> Beside<'a> {
    fn of(registry: &'a Registry, book: &PriceBook, from: Hour) -> Self {
        let mut all: BTreeMap<Hour, &PriceBook> = BTreeMap::new();
        for it in registry
            .books
            .iter()
            .filter(|it| it.book.currency() == book.currency())
        {
            all.insert(it.from, &it.book);
        }
        all.remove(&from);
        let before = all.range(..from).next_back().map(|(_, book)| *book);
        let next = all.range(from..).next().map(|(hour, _)| *hour);
        Self { before, next, all }
    }

    /// The others that are in force in any of some hours beside a book that begins in `from`; none if that is not.
    fn beside(&self, from: Hour, hours: &Range<Hour>) -> Vec<(Hour, &'a PriceBook)> {
        let starts: BTreeSet<Hour> = self.all.keys().copied().chain([from]).collect();
        let is_in_force = |start: Hour| {
            let end = starts.range(start.next()..).next().map_or(hours.end, |it| *it);
            start.max(hours.start) < end.min(hours.end)
        };
        if !is_in_force(from) {
            return Vec::new();
        }
        let others = self.all.iter().map(|(start, book)| (*start, *book));
        others.filter(|(start, _)| is_in_force(*start)).collect()
    }
}

/// Positions on tiers mean nothing in another unit, so no month may have an item in two.
fn check_units(
    book: &PriceBook,
    from: Hour,
    beside: &Beside<'_>,
    (zone, who): (&BillingZone, &str),
) -> Result<(), Rejected> {
    // The book meets others in the month in which it begins, and in the one in which the next one does.
    for edge in [Some(from), beside.next].into_iter().flatten() {
        let month = zone.month_of(edge).and_then(|it| zone.month_hours(it));
        let hours = month.map_err(calendar)?;
        for (start, other) in beside.beside(from, &hours) {
            let reasons = book.needs_new_month_after(other);
            if !reasons.is_empty() {
                return Err(Rejected::NotNow(format!(
                    "only from a month's edge on, because beside the price book from {} {}; in zone {}, which {who} has, that \
                     month is from {} to {}. Give the item another key, or let the book begin with a month",
                    hour_text(start),
                    reasons.join(", "),
                    zone.name(),
                    hour_text(hours.start),
                    hour_text(hours.end)
                )));
            }
        }
    }
    Ok(())
}

/// What holds for whole months changes with a month of the book's own zone.
fn check_policies(book: &PriceBook, from: Hour, beside: &Beside<'_>) -> Result<(), Rejected> {
    let Some(before) = beside.before else {
        return Ok(());
    };
    let zone = book.time_zone();
    let month: Month = zone.month_of(from).map_err(calendar)?;
    let hours = zone.month_hours(month).map_err(calendar)?;
    let changes = book.changes_of_months_after(before);
    if hours.start == from || changes.is_empty() {
        return Ok(());
    }
    Err(Rejected::NotNow(format!(
        "what holds for whole months begins with one, and this book changes {}. Let it begin with month {month} or {}, or \
         leave these as they are in `{}`: prices alone may change at any hour",
        changes.join(", "),
        month.next().map_err(calendar)?,
        before.name()
    )))
}

/// What terms name in some hours that a book does not have, as words behind "the account".
fn unmet(
    terms: &Terms,
    book: &PriceBook,
    zone: &BillingZone,
    hours: &Range<Hour>,
) -> Result<Vec<String>, CalendarError> {
    let first = Moment::from(zone.day_of(hours.start)?);
    let end = match hours.end {
        Hour(u32::MAX) => None,
        end => Some(Moment::from(zone.day_of(Hour(end.0 - 1))?.next()?)),
    };
    let mut lacks = Vec::new();
    for it in &terms.subscriptions {
        let goes_on = it.until.is_none_or(|until| until > first) && end.is_none_or(|end| it.from < end);
        if goes_on && book.policies().plan(&it.plan).is_none() {
            lacks.push(format!("has plan `{}`", it.plan));
        }
    }
    for it in &terms.overrides {
        match book.item(it.item.key()) {
            None => lacks.push(format!("has its own price for item `{}`", it.item.key())),
            Some(old) if old.unit_name() != it.item.unit_name() => {
                let (key, unit) = (it.item.key(), it.item.unit_name());
                lacks.push(format!("has its own price for item `{key}` by the {unit}"));
            }
            Some(_) => {}
        }
    }
    let month = zone.month_of(hours.start)?;
    for coupon in terms.coupons.iter().filter(|it| it.goes_on_in(month)) {
        for item in coupon.items.iter().filter(|it| book.item(it).is_none()) {
            lacks.push(format!("has coupon `{}` for item `{item}`", coupon.key));
        }
    }
    Ok(lacks)
}

fn calendar(error: CalendarError) -> Rejected {
    Rejected::Invalid(error.to_string())
}
