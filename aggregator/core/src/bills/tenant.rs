//! A tenant's hours at the prices of the account that pays for it: with what was agreed, and up the tiers of all its tenants
//! where the account pools. These are the hours that the account's invoice is made of (I7).
//!
//! It must not know fees, discounts, credits or taxes: those are of an account's month, not of a tenant's hours.

use std::ops::Range;
use std::sync::Arc;

use tallyman_common::time::Hour;

use super::account::{Payee, payees};
use super::hourly::each_hour;
use super::usage::TenantHour;
use super::{BillError, Books};
use crate::rating::{BillingZone, BookVersions, Month, PriceBook, RatedLine};
use crate::registry::TenantTerms;

/// Everything rated for a tenant in a period.
pub(super) struct Rated {
    /// What the lines were rated under.
    pub books: BookVersions,
    /// Lines, by hour.
    pub lines: Vec<RatedLine>,
    /// Hours with usage.
    pub hours: Vec<TenantHour>,
    /// What could not be rated, in words; none of it is in the lines.
    pub faults: Vec<String>,
}

/// Rates a tenant's hours of a period, month by month, each from its beginning: tiers depend on what was before.
/// `versions` are the currency's price books as they were published.
pub(super) fn rate(
    books: Books<'_>,
    terms: &TenantTerms,
    versions: &BookVersions,
    period: &Range<Hour>,
) -> Result<Rated, BillError> {
    let zone = BillingZone::parse(&terms.zone).map_err(unrated)?;
    let (mut lines, mut hours, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let mut own: Vec<(Hour, Arc<PriceBook>)> = Vec::new();
    let end = period.end.min(books.now.hour().next());
    let mut next = period.start;
    loop {
        let month = zone.month_of(next).map_err(unrated)?;
        let of_month = zone.month_hours(month).map_err(unrated)?;
        let (who, pools) = payees_of(books, terms, (month, &of_month), versions)?;
        let payee = who.iter().find(|it| it.tenant == terms.tenant);
        own.extend(payee.into_iter().flat_map(|it| within(&it.books, &of_month)));
        next = of_month.end;
        each_hour::<BillError>(books, (&who, pools), &zone, of_month.start..next.min(end), |it| {
            if it.payee.tenant == terms.tenant && period.contains(&it.usage.hour) {
                lines.extend(it.lines);
                hours.push(it.usage);
                faults.extend(it.faults);
            }
            Ok(())
        })?;
        if next >= end {
            break;
        }
    }
    // Before the first book there is usage at most, and no price for it.
    let own = if own.is_empty() {
        versions.versions().to_vec()
    } else {
        own
    };
    Ok(Rated {
        books: BookVersions::new(own).map_err(unrated)?,
        lines,
        hours,
        faults,
    })
}

/// Who climbs the tiers of a month: the tenant alone, or all that its account pools.
fn payees_of(
    books: Books<'_>,
    tenant: &TenantTerms,
    (month, hours): (Month, &Range<Hour>),
    versions: &BookVersions,
) -> Result<(Vec<Payee>, bool), BillError> {
    let (tenants, payers) = (&books.registry.tenants, &books.registry.payers);
    let account = &tenants.at_end(&tenant.tenant, hours).unwrap_or(tenant).account;
    let terms = payers.terms(account, hours.start);
    if terms.pools {
        return Ok((payees(books, account, (&terms, month, hours), versions)?, true));
    }
    let alone = Payee {
        tenant: tenant.tenant.clone(),
        books: terms
            .books_for(&tenant.tenant, month, versions)
            .map_err(unrated)?,
    };
    Ok((vec![alone], false))
}

/// The books in force in a month, each from the hour in which it begins there.
fn within(books: &BookVersions, month: &Range<Hour>) -> Vec<(Hour, Arc<PriceBook>)> {
    let at_start = books.at(month.start).map(|book| (month.start, book.clone()));
    let later = books
        .versions()
        .iter()
        .filter(|(from, _)| *from > month.start && *from < month.end);
    at_start.into_iter().chain(later.cloned()).collect()
}

fn unrated(e: impl ToString) -> BillError {
    BillError::Rating(e.to_string())
}
