//! The hours of an account's month, rated one after the other, for those who need every line: tenants' bills, explanations,
//! the closing sheet. What an invoice is made of are sums (`account`); the lines here sum to them to the last digit (I7).
//!
//! It must not know discounts, taxes or documents.

use std::ops::Range;

use tallyman_common::time::Hour;

use super::account::Payee;
use super::usage::{TenantHour, tenant_hour};
use super::{BillError, Books};
use crate::rating::{BillingZone, HourUsage, Position, RatedLine, hour_text, quantities_of_hour, rate_hour};

/// One hour of one tenant.
pub struct TenantLines<'a> {
    /// Whose.
    pub payee: &'a Payee,
    /// What it used.
    pub usage: TenantHour,
    /// What that costs, by item.
    pub lines: Vec<RatedLine>,
    /// What could not be rated, in words; none of it is in the lines.
    pub faults: Vec<String>,
}

/// Rates a month of tenants in the order of (hour, tenant) and shows each hour with usage. `pools` says that they climb
/// tiers together.
///
/// # Errors
/// When the store can't be read, the month lies outside the calendar, or `see` fails.
pub fn each_hour<E: From<BillError>>(
    books: Books<'_>,
    (payees, pools): (&[Payee], bool),
    zone: &BillingZone,
    month: Range<Hour>,
    mut see: impl FnMut(TenantLines<'_>) -> Result<(), E>,
) -> Result<(), E> {
    let mut positions = vec![Position::default(); if pools { 1 } else { payees.len() }];
    let end = month.end.min(books.now.hour().next());
    let mut day = month.start..month.start;
    for hour in (month.start.0..end.0).map(Hour) {
        if hour >= day.end {
            let hours = zone.day_of(hour).and_then(|it| zone.day_hours(it));
            day = hours.map_err(|e| BillError::Rating(e.to_string()))?;
        }
        for (at, payee) in payees.iter().enumerate() {
            let usage = tenant_hour(books.store, books.registry, &payee.tenant, hour);
            let usage = usage.map_err(BillError::from)?;
            if !usage.is_empty() {
                let position = &mut positions[if pools { 0 } else { at }];
                see(rated(payee, usage, day.start, position))?;
            }
        }
    }
    Ok(())
}

fn rated<'a>(payee: &'a Payee, usage: TenantHour, day: Hour, position: &mut Position) -> TenantLines<'a> {
    let hour = usage.hour;
    let mut found = TenantLines {
        payee,
        usage,
        lines: Vec::new(),
        faults: Vec::new(),
    };
    let fault = |text: String| format!("{}: tenant `{}`: {text}", hour_text(hour), payee.tenant);
    let Some(book) = payee.books.at(hour) else {
        let text = "usage, but no price book was in force".to_owned();
        found.faults.push(fault(text));
        return found;
    };
    let (quantities, errors) = quantities_of_hour(book, &found.usage.sums());
    let errors = errors.into_iter().map(|e| fault(e.to_string()));
    found.faults.extend(errors);
    let used = HourUsage {
        hour,
        day,
        quantities,
    };
    match rate_hour(book, position, &used) {
        Ok(lines) => found.lines = lines,
        Err(e) => found.faults.push(fault(e.to_string())),
    }
    found
}
