//! The usage of all tenants of a paying account, rated hour by hour, with tiers of their own or pooled.
//!
//! Invariants: I6. Where an account pools, tenants climb its tiers in the order of (hour, tenant). It must not know
//! discounts, taxes or documents.

use std::ops::Range;

use tallyman_common::time::Hour;

use super::hourly::each_hour;
use super::usage::TenantHour;
use super::{BillError, Books};
use crate::rating::{BillingZone, BookVersions, Month, MonthSums, Terms};
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
    each_hour::<BillError>(books, (payees, pools), zone, month, |it| {
        for line in &it.lines {
            let added = found.sums.add(&it.payee.books, &it.payee.tenant, line);
            added.map_err(|e| BillError::Rating(e.to_string()))?;
        }
        found.faults.extend(it.faults);
        found.hours.push(it.usage);
        Ok(())
    })?;
    Ok(found)
}
