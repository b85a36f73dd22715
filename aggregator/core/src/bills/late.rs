//! Whose usage came behind the seal of its hour, and of which hours. It must not know prices or documents.

use std::collections::BTreeSet;
use std::ops::Range;

use tallyman_common::time::Hour;

use super::{BillError, Books};
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
