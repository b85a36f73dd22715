//! The wall clock: the only place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use tallyman_common::time::WallMs;

/// Now. A clock before 1970 counts as 1970; its agents are then told that theirs is ahead.
pub fn now() -> WallMs {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    WallMs(since.map_or(0, |d| {
        u64::try_from(d.as_millis()).expect("milliseconds since 1970 fit into 64 bits")
    }))
}
