//! Instants and periods as text, and back. RFC 3339 in UTC; periods in the tenant's zone.

use std::ops::Range;

use tallyman_common::time::{Hour, WallMs};

use crate::rating::{BillingZone, Day, Month, parse_hour};

/// An instant as RFC 3339, milliseconds where there are any.
pub fn instant_text(at: WallMs) -> String {
    let millis = i64::try_from(at.0)
        .ok()
        .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    millis.map_or_else(|| format!("{} ms after 1970", at.0), |t| t.to_string())
}

/// An instant of RFC 3339 text.
pub fn parse_instant(text: &str) -> Result<WallMs, String> {
    let wrong = || format!("`{text}` is not an instant such as `2026-01-31T23:15:00Z`");
    let at: jiff::Timestamp = text.parse().map_err(|_| wrong())?;
    u64::try_from(at.as_millisecond())
        .map(WallMs)
        .map_err(|_| wrong())
}

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
