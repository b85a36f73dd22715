//! Instants as text, and back: RFC 3339 in UTC. It must not know the present.

use tallyman_common::time::WallMs;

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
