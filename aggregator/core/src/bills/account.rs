//! The usage of all tenants of a paying account, rated hour by hour, with tiers of their own or pooled.
//!
//! Invariants: I6. Where an account pools, tenants climb its tiers in the order of (hour, tenant). It must not know
//! discounts, taxes or documents.

use std::ops::Range;

use tallyman_common::time::Hour;

use super::usage::{TenantHour, tenant_hour};
use super::{BillError, Books};
use crate::rating::{
    BillingZone, BookVersions, HourUsage, Month, MonthSums, Position, Terms, hour_text, quantities_of_hour,
    rate_hour,
};
use crate::registry::TenantTerms;

/// A tenant and the prices that it has.
#[derive(Debug, Clone)]
pub struct Payee {
    /// Key of the tenant.
    pub tenant: String,
    /// Its price books.
    pub books: BookVersions,
}

/// The account's tenants of a month and their prices, by key.
pub fn payees(
    books: Books<'_>,
    account: &str,
    (terms, month, hours): (&Terms, Month, &Range<Hour>),
    versions: &BookVersions,
) -> Result<Vec<Payee>, BillError> {
    let tenants = books.registry.tenants.of_account(account, hours);
    let payee = |tenant: &TenantTerms| {
        let own = terms.books_for(&tenant.tenant, month, versions);
        Ok(Payee {
            tenant: tenant.tenant.clone(),
            books: own.map_err(|e| BillError::Rating(e.to_string()))?,
        })
    };
    tenants.map(payee).collect()
}

/// The usage of an account's month.
#[derive(Debug)]
pub struct AccountUsage {
    /// Sums by tenant and item.
    pub sums: MonthSums,
    /// Hours with usage, for completeness.
    pub hours: Vec<TenantHour>,
    /// What could not be rated, in words; none of it is in the sums.
    pub faults: Vec<String>,
}

/// Rates a month of tenants in the order of (hour, tenant).
pub fn rate_account(
    books: Books<'_>,
    (payees, versions): (&[Payee], &BookVersions),
    zone: &BillingZone,
    month: Range<Hour>,
    pools: bool,
) -> Result<AccountUsage, BillError> {
    let mut found = AccountUsage {
        sums: MonthSums::new(versions),
        hours: Vec::new(),
        faults: Vec::new(),
    };
    let mut positions = vec![Position::default(); if pools { 1 } else { payees.len() }];
    let end = month.end.min(books.now.hour().next());
    let (mut hour, mut day) = (month.start, month.start);
    let mut day_end = month.start;
    while hour < end {
        if hour >= day_end {
            let hours = zone.day_of(hour).and_then(|it| zone.day_hours(it));
            let hours = hours.map_err(|e| BillError::Rating(e.to_string()))?;
            (day, day_end) = (hours.start, hours.end);
        }
        for (at, payee) in payees.iter().enumerate() {
            let usage = tenant_hour(books.store, books.registry, &payee.tenant, hour)?;
            if usage.is_empty() {
                continue;
            }
            let place = if pools { 0 } else { at };
            found.rate(payee, &usage, day, &mut positions[place])?;
            found.hours.push(usage);
        }
        hour = hour.next();
    }
    Ok(found)
}

impl AccountUsage {
    fn rate(
        &mut self,
        payee: &Payee,
        usage: &TenantHour,
        day: Hour,
        position: &mut Position,
    ) -> Result<(), BillError> {
        let hour = usage.hour;
        let fault = |text: String| format!("{}: tenant `{}`: {text}", hour_text(hour), payee.tenant);
        let Some(book) = payee.books.at(hour) else {
            self.faults
                .push(fault("usage, but no price book was in force".to_owned()));
            return Ok(());
        };
        let (quantities, errors) = quantities_of_hour(book, &usage.sums());
        self.faults
            .extend(errors.into_iter().map(|e| fault(e.to_string())));
        let used = HourUsage {
            hour,
            day,
            quantities,
        };
        match rate_hour(book, position, &used) {
            Ok(lines) => {
                for line in &lines {
                    let added = self.sums.add(&payee.books, &payee.tenant, line);
                    added.map_err(|e| BillError::Rating(e.to_string()))?;
                }
            }
            Err(e) => self.faults.push(fault(e.to_string())),
        }
        Ok(())
    }
}
