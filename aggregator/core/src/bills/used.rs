//! Whether a tenant used anything at all in some hours. It must not know prices.

use std::ops::Range;

use tallyman_common::ids::Owner;
use tallyman_common::time::Hour;

use super::seen::Days;
use super::{BillError, Books};
use crate::rollup::cache::FoldError;
use crate::rollup::pack::{Found, packed_hours, scan_days};
use crate::rollup::part::read_owner;

/// Whether any owner of a tenant has anything in some hours, be it nothing that an item prices. It stops at the first.
pub fn is_used(books: Books<'_>, tenant: &str, hours: &Range<Hour>) -> Result<bool, BillError> {
    let hours = hours.start..hours.end.min(books.now.hour().next());
    let packed = packed_hours(books.store)?;
    for (owner, span) in books.registry.tenants.owners_in(tenant, &hours) {
        if in_days(books, &owner, &span)? {
            return Ok(true);
        }
        let apart = (span.start.0..span.end.0)
            .map(Hour)
            .filter(|it| !packed.contains(it));
        for hour in apart {
            if read_owner(books.store, hour, &owner, books.registry.seals.newest())?.is_some() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Whether packed days, or what came late for them, have anything.
fn in_days(books: Books<'_>, owner: &Owner, span: &Range<Hour>) -> Result<bool, FoldError> {
    let days = Days::of(span);
    let mut any = false;
    scan_days(books.store, owner, days.range(), |found| {
        any |= match found {
            Found::Note(hour) => span.contains(&hour),
            Found::Day(day, packed) => {
                let here = days.place(day).map_or(0, |place| days.within(place, span));
                (packed.hours | packed.apart) & here != 0
            }
        };
        Ok(())
    })?;
    Ok(any)
}
