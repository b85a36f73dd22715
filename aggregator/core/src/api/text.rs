//! Instants and periods as text, and back. RFC 3339 in UTC; periods in the tenant's zone.

use std::ops::Range;

use tallyman_common::time::Hour;

pub use crate::rating::instant::{instant_text, parse_instant};
use crate::rating::{BillingZone, Day, Month, parse_hour};

/// A period: an hour (`2026-01-31T23:00:00Z`), a day (`2026-01-31`) or a month (`2026-01`) of a zone.
pub fn parse_period(text: &str, zone: &BillingZone) -> Result<Range<Hour>, String> {
    if let Ok(hour) = parse_hour(text) {
        return Ok(hour..hour.next());
    }
    if let Ok(day) = Day::parse(text) {
        return zone.day_hours(day).map_err(|e| e.to_string());
    }
    let month = Month::parse(text).map_err(|_| {
        format!("`{text}` is no month (2026-01), day (2026-01-31) or hour (2026-01-31T23:00:00Z)")
    })?;
    zone.month_hours(month).map_err(|e| e.to_string())
}
