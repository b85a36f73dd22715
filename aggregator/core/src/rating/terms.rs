//! What was agreed with one account: member class, plans, commitment, coupons, prices of its own. From TOML, dated by the
//! month from which they hold.
//!
//! It must not know who the account is, nor its balance.

use std::collections::BTreeMap;

use tallyman_common::ids::Digest;
use tallyman_common::money::Price;

use super::RatingError;
use super::book::{BookVersions, Fault, Item, ItemKey, PriceBook};
use super::calendar::Month;
use super::moments::{Moment, Moments};
use super::policy::{Cut, TaxRate, Titles};

/// Terms without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct Terms {
    /// Member class, for discounts.
    pub class: Option<String>,
    /// The plans, one after the other: in the order of their days, which don't overlap.
    pub subscriptions: Vec<Subscription>,
    /// What the account pays for usage in a month at least, after discounts.
    pub commitment: Option<Price>,
    /// No tax is due.
    pub tax_exempt: bool,
    /// Rates in place of the price book's, one for a class.
    pub taxes: Vec<TaxRate>,
    /// Tiers and allowances count the usage of all its tenants together.
    pub pools: bool,
    /// In the order of the file, which is that of use.
    pub coupons: Vec<Coupon>,
    /// Items with prices of their own, in place of the price book's.
    pub overrides: Vec<Override>,
    /// SHA-256 of the file's bytes; zeros for no terms.
    pub digest: Digest,
}

/// A plan, from a moment on, in the account's zone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// Which plan of the price book.
    pub plan: ItemKey,
    /// Its begin.
    pub from: Moment,
    /// The first moment without it.
    pub until: Option<Moment>,
}

/// A coupon that the account redeemed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coupon {
    /// Its key.
    pub key: ItemKey,
    /// Its name.
    pub titles: Titles,
    /// Items that it is for; all if empty.
    pub items: Vec<ItemKey>,
    /// How much.
    pub cut: Cut,
    /// First month.
    pub from: Month,
    /// For how many months; for ever if none.
    pub months: Option<u32>,
}

/// An item as the price book would have it, for one tenant or all of the account's.
#[derive(Debug, Clone, PartialEq)]
pub struct Override {
    /// The tenant; all if none.
    pub tenant: Option<String>,
    /// The item.
    pub item: Item,
}

impl Terms {
    /// An account with which nothing was agreed.
    pub fn none() -> Self {
        Self {
            class: None,
            subscriptions: Vec::new(),
            commitment: None,
            tax_exempt: false,
            taxes: Vec::new(),
            pools: false,
            coupons: Vec::new(),
            overrides: Vec::new(),
            digest: Digest::default(),
        }
    }

    /// Reads and checks terms; every fault is told, in the order of lines. What names the price book (items, plan) is
    /// checked against `book`, the one in force when they begin.
    pub fn parse(text: &str, book: &PriceBook) -> Result<Self, Vec<Fault>> {
        super::book::parse_terms(text, book, true)
    }

    /// Reads terms that were checked when they were decided: what a later release would refuse of them holds, for the log is
    /// read again at every start.
    pub fn parse_logged(text: &str, book: &PriceBook) -> Result<Self, Vec<Fault>> {
        super::book::parse_terms(text, book, false)
    }

    /// The plan that counts in a month: of those that have some of it the one with the most, of as much the later one.
    /// What belongs to a plan is not for months that have nothing of it.
    pub fn plan_in(&self, month: Month) -> Option<&ItemKey> {
        let (first, next) = (month.first_day().into(), month.next().ok()?.first_day().into());
        let mut times: BTreeMap<&ItemKey, (Moments, Moment)> = BTreeMap::new();
        for it in &self.subscriptions {
            let own = it.time(first, next);
            if !own.is_empty() {
                let (all, last) = times.entry(&it.plan).or_insert((Moments::none(), it.from));
                (*all, *last) = (all.with(&own), it.from);
            }
        }
        let lengths = times
            .into_iter()
            .map(|(plan, (time, last))| (plan, (time.length(), last)));
        let counts = lengths.max_by_key(|(_, it)| *it);
        counts.map(|(plan, _)| plan)
    }

    /// The price books as they are for a tenant in a month: with its own items, and with the quantities that its plan
    /// includes.
    pub fn books_for(
        &self,
        tenant: &str,
        month: Month,
        books: &BookVersions,
    ) -> Result<BookVersions, RatingError> {
        let own = |it: &&Override| it.tenant.as_deref().is_none_or(|name| name == tenant);
        let items: Vec<&Item> = self.overrides.iter().filter(own).map(|it| &it.item).collect();
        let plan = self.plan_in(month);
        books.map(|book| {
            let included = plan.and_then(|it| book.policies().plan(it));
            let quantities = included.map_or(&[][..], |it| &it.quantities[..]);
            (!items.is_empty() || !quantities.is_empty()).then(|| book.with(&items, quantities, self.digest))
        })
    }

    /// The rates that the account pays by a book: its own ones in place of the book's, and those of other classes behind them.
    pub fn taxes_with<'a>(&'a self, book: &'a PriceBook) -> Vec<&'a TaxRate> {
        if self.tax_exempt {
            return Vec::new();
        }
        let own = |class: &str| self.taxes.iter().find(|it| it.class == class);
        let of_book = &book.policies().taxes;
        let others = self
            .taxes
            .iter()
            .filter(|it| book.policies().tax(&it.class).is_none());
        let replaced = of_book.iter().map(|it| own(&it.class).unwrap_or(it));
        replaced.chain(others).collect()
    }

    /// Whether its tenants have different prices.
    pub fn differs_by_tenant(&self) -> bool {
        self.overrides.iter().any(|it| it.tenant.is_some())
    }
}

impl Subscription {
    /// What it has of `from..until`.
    pub fn time(&self, from: Moment, until: Moment) -> Moments {
        let until = self.until.map_or(until, |own| own.min(until));
        Moments::between(self.from.max(from), until)
    }
}

impl Coupon {
    /// Whether it counts in a month or a later one.
    pub fn goes_on_in(&self, month: Month) -> bool {
        self.from > month || self.months.is_none() || self.counts_in(month)
    }

    /// Whether it counts in a month.
    pub fn counts_in(&self, month: Month) -> bool {
        let mut last = self.from;
        let Some(months) = self.months else {
            return self.from <= month;
        };
        for _ in 1..months {
            match last.next() {
                Ok(next) => last = next,
                Err(_) => break,
            }
        }
        months > 0 && self.from <= month && month <= last
    }
}
