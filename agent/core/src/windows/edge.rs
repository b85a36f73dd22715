//! Edges of windows: one instant in boot time with its wall label, and when the next one is due (I8).
//!
//! Durations come from boot time alone. The wall only says when a minute is over and what the edge is called.

use bincode::{Decode, Encode};
use tallyman_common::time::{BootMs, LABEL_TOLERANCE_MS, MINUTE_MS, WallMs};

use crate::event::{NS_PER_MS, Now};
use crate::limits::EDGE_LATENESS_MS;

/// An instant that ends one window and begins the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Edge {
    /// In boot time.
    pub boot: BootMs,
    /// Its label.
    pub wall: WallMs,
}

impl Edge {
    /// The instant itself.
    pub fn at(now: Now) -> Self {
        Self {
            boot: now.boot_ms(),
            wall: now.wall,
        }
    }

    /// The boot's first instant, labelled by the clock of now.
    pub fn boot_start(now: Now) -> Self {
        // A clock that was not set yet says less than the time since boot; such a label is never written.
        let wall = now.wall.0.checked_sub(now.boot_ms().0).map_or(now.wall, WallMs);
        Self {
            boot: BootMs(0),
            wall,
        }
    }

    /// Wall minus boot, milliseconds.
    pub fn offset_ms(self) -> i64 {
        offset_ms(self.boot, self.wall)
    }

    /// Whether a window that began here is over: another wall minute (or group of `minutes`) has begun. After a step
    /// back, once as much boot time went by.
    pub fn is_over(self, now: Now, minutes: u64) -> bool {
        let length = minutes * MINUTE_MS;
        let (was, is) = (self.wall.0 / length, now.wall.0 / length);
        let elapsed = now.boot_ms().0.checked_sub(self.boot.0);
        is > was || (is < was && elapsed.is_some_and(|ms| ms >= length))
    }

    /// Where a window that began here ends when it is closed now: at the minute's edge if that is just over, else at
    /// this very moment. `None` while the clock can't label it, or no time went by.
    pub fn end(self, now: Now) -> Option<Self> {
        let actual = Self::at(now);
        let late = now.wall.0 % MINUTE_MS;
        let nominal = || {
            let boot = actual.boot.0.checked_sub(late)?;
            let wall = WallMs(now.wall.0 - late);
            let edge = Self {
                boot: BootMs(boot),
                wall,
            };
            (late <= EDGE_LATENESS_MS && edge.boot > self.boot && edge.wall > self.wall).then_some(edge)
        };
        let end = nominal().unwrap_or(actual);
        let length = end.boot.0.checked_sub(self.boot.0)?;
        (length > 0 && end.wall.0 >= length + LABEL_TOLERANCE_MS).then_some(end)
    }

    /// Where a window that began here ends when the process stops.
    pub fn end_at_once(self, now: Now) -> Option<Self> {
        let end = Self::at(now);
        let length = end.boot.0.checked_sub(self.boot.0)?;
        (length > 0 && end.wall.0 >= length + LABEL_TOLERANCE_MS).then_some(end)
    }
}

/// Wall minus boot, milliseconds.
pub fn offset_ms(boot: BootMs, wall: WallMs) -> i64 {
    i64::try_from(i128::from(wall.0) - i128::from(boot.0)).expect("clocks count from 1970 and from boot")
}

/// When the next sweep is due: the next tick of the boot-time grid, or the next wall minute, in boot nanoseconds.
pub fn next_sweep_ns(now: Now, interval_ns: u64) -> u64 {
    let tick = (now.boot_ns / interval_ns + 1) * interval_ns;
    let to_minute_ns = (MINUTE_MS - now.wall.0 % MINUTE_MS) * NS_PER_MS;
    tick.min(now.boot_ns + to_minute_ns)
}
