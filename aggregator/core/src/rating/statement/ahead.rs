//! What a fee is for: a month or a year of a plan, days of it, and what invoices of other months have of it.
//!
//! It must not know how the account's own month is made.

use std::fmt;

use tallyman_common::money::Money;

use crate::rating::book::ItemKey;
use crate::rating::calendar::{CalendarError, Day, Month};
use crate::rating::days::{Days, days_between};
use crate::rating::policy::Titles;

/// The time that a plan's whole fee is for: a calendar month, or a year from the plan's first day on. Half-open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FeePeriod {
    /// First day.
    pub from: Day,
    /// First day after it.
    pub until: Day,
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
    /// Days that were billed and did not come back.
    pub days: Days,
    /// What was billed for them.
    pub fee: Money,
    /// What coupons, credits and notes left of that.
    pub net: Money,
    /// The invoice of a later month has some of it, and settled what was too much.
    pub is_settled: bool,
}

/// For which days a statement's line of a fee is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeeOfLine {
    /// Place of the line.
    pub line: usize,
    /// Which period.
    pub period: FeePeriod,
    /// Days that it bills.
    pub more: Days,
    /// Days that it gives back.
    pub less: Days,
    /// The fee of these days, before anything was taken off; negative where it comes back.
    pub fee: Money,
}

impl FeePeriod {
    /// A calendar month.
    pub fn month(month: Month) -> Result<Self, CalendarError> {
        Ok(Self {
            from: month.first_day(),
            until: month.next()?.first_day(),
        })
    }

    /// The years from a plan's first day on that have a day of `from..until`, each stepped from that first day: what begins
    /// on a February 29 begins on one again.
    pub fn years(first: Day, (from, until): (Day, Day)) -> Result<Vec<Self>, CalendarError> {
        let mut found = Vec::new();
        let since = from.date().year() - first.date().year();
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

    /// How many days it has.
    pub fn days(self) -> u32 {
        days_between(self.from, self.until)
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
