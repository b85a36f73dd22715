//! What a fee is for: a month or a year of a plan, time of it, and what invoices of other months have of it.
//!
//! It must not know how the account's own month is made.

use std::fmt;

use tallyman_common::money::Money;

use crate::rating::book::ItemKey;
use crate::rating::calendar::{CalendarError, Month};
use crate::rating::moments::{Length, Moment, Moments};
use crate::rating::policy::Titles;

/// The time that a plan's whole fee is for: a calendar month, or a year from the plan's begin on. Half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeePeriod {
    /// Its begin.
    pub from: Moment,
    /// The first moment after it.
    pub until: Moment,
}

/// What invoices of other months have of a plan's fee for a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BilledAhead {
    /// Key of the plan.
    pub plan: ItemKey,
    /// Its name, as it was billed.
    pub titles: Titles,
    /// Its tax class.
    pub tax_class: String,
    /// Which period.
    pub period: FeePeriod,
    /// What was billed and did not come back.
    pub time: Moments,
    /// What was billed for them.
    pub fee: Money,
    /// What coupons, credits and notes left of that.
    pub net: Money,
    /// The invoice of a later month has some of it, and settled what was too much.
    pub is_settled: bool,
}

/// For which time a statement's line of a fee is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeOfLine {
    /// Place of the line.
    pub line: usize,
    /// Which period.
    pub period: FeePeriod,
    /// Time that it bills.
    pub more: Moments,
    /// Time that it gives back.
    pub less: Moments,
    /// The fee of this time, before anything was taken off; negative where it comes back.
    pub fee: Money,
}

impl FeePeriod {
    /// A calendar month.
    pub fn month(month: Month) -> Result<Self, CalendarError> {
        Ok(Self {
            from: month.first_day().into(),
            until: month.next()?.first_day().into(),
        })
    }

    /// The years from a plan's begin on that have some of `from..until`, each stepped from that begin: what begins
    /// on a February 29 begins on one again.
    pub fn years(first: Moment, (from, until): (Moment, Moment)) -> Result<Vec<Self>, CalendarError> {
        let mut found = Vec::new();
        let since = from.year() - first.year();
        // The year before can still go on, and two months reach into one more.
        for year in since - 1..=since + 1 {
            if year < 0 {
                continue;
            }
            let one = Self {
                from: first.after_years(year)?,
                until: first.after_years(year + 1)?,
            };
            if one.from < until && from < one.until {
                found.push(one);
            }
        }
        Ok(found)
    }

    /// How long it is.
    pub fn length(self) -> Length {
        self.from.until(self.until)
    }
}

/// `2026-12`, or `2026-12-16/2027-12-16`.
impl fmt::Display for FeePeriod {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let month = self.from.month();
        match Self::month(month) {
            Ok(whole) if whole == *self => month.fmt(out),
            _ => write!(out, "{}/{}", self.from, self.until),
        }
    }
}
