//! Whose usage came behind the seal of its hour, or became theirs behind it, and of which hours. It must not know prices or
//! documents.

use std::collections::BTreeSet;
use std::ops::Range;

use tallyman_common::time::Hour;

use super::{BillError, Books};
use crate::rating::BillingZone;
use crate::rollup::part::late_parts;

/// An hour with late usage.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct LateHour {
    /// The account that pays for the tenant.
    pub account: String,
    /// IANA zone of its months.
    pub zone: String,
    /// The hour.
    pub hour: Hour,
}

/// Hours of which a part came while the newest sealed hour was in `sealed`; usage of nobody is not among them.
pub fn late_hours(books: Books<'_>, sealed: Range<Hour>) -> Result<BTreeSet<LateHour>, BillError> {
    let mut found = BTreeSet::new();
    late_parts(books.store, sealed, |hour, owner| {
        if let Some(tenant) = books.registry.tenants.tenant_of(&owner, hour) {
            let (account, zone) = (tenant.account.clone(), tenant.zone.clone());
            found.insert(LateHour { account, zone, hour });
        }
    })?;
    Ok(found)
}

/// Months that were final when terms of a tenant were set for them, none before `oldest`: who pays for the tenant then, with
/// the month's last hour. A month that was still open had them in its own invoice.
pub fn back_dated(books: Books<'_>, oldest: Hour) -> Result<BTreeSet<LateHour>, BillError> {
    let calendar = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
    let tenants = &books.registry.tenants;
    let mut found = BTreeSet::new();
    for set in &books.registry.back_dated {
        let Some(latest) = tenants.latest(&set.tenant) else {
            continue;
        };
        let zone = BillingZone::parse(&latest.zone).map_err(calendar)?;
        let mut hour = set.hours.start.max(oldest);
        while hour < set.hours.end {
            let month = zone.month_of(hour).map_err(calendar)?;
            let hours = zone.month_hours(month).map_err(calendar)?;
            if hours.end > set.hours.end {
                break;
            }
            if let Some(payer) = tenants.at_end(&set.tenant, &hours) {
                found.insert(LateHour {
                    account: payer.account.clone(),
                    zone: payer.zone.clone(),
                    hour: Hour(hours.end.0 - 1),
                });
            }
            hour = hours.end;
        }
    }
    Ok(found)
}
