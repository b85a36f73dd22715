//! Instants and windows. Wall time labels; boot time measures. They are different types, always arguments, and all
//! intervals are half-open (I8).

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

/// Milliseconds in a minute.
pub const MINUTE_MS: u64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: u64 = 3_600_000;

/// Wall time: milliseconds since 1970-01-01T00:00:00Z. A label; it can step both ways.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct WallMs(pub u64);

/// Time since a host's boot in milliseconds, suspended time included (`CLOCK_BOOTTIME`). It never goes back.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct BootMs(pub u64);

/// Hours since 1970-01-01T00:00:00Z; names the half-open hour that starts there.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize, Default,
)]
#[serde(transparent)]
pub struct Hour(pub u32);

impl WallMs {
    /// The hour that this instant lies in.
    ///
    /// # Panics
    /// Past the year 490,000: a clock so far off is refused before (see the skew bounds of ingest).
    pub fn hour(self) -> Hour {
        Hour(u32::try_from(self.0 / HOUR_MS).expect("wall time within u32 hours, checked at admission"))
    }

    /// Minute of the hour, 0 to 59.
    pub fn minute_of_hour(self) -> u32 {
        u32::try_from(self.0 % HOUR_MS / MINUTE_MS).expect("below 60")
    }
}

impl Hour {
    /// First instant of the hour.
    pub fn start(self) -> WallMs {
        WallMs(u64::from(self.0) * HOUR_MS)
    }

    /// First instant after the hour.
    pub fn end(self) -> WallMs {
        WallMs((u64::from(self.0) + 1) * HOUR_MS)
    }

    /// The hour after this one.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A half-open piece of a host's life, in boot time and with its wall labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Start in boot time.
    pub boot_start: BootMs,
    /// End in boot time, after the start.
    pub boot_end: BootMs,
    /// Wall label of the start.
    pub wall_start: WallMs,
    /// Wall label of the end. Hours are told by it and by the length in boot time.
    pub wall_end: WallMs,
}

/// How far the wall labels of a window may differ from its length in boot time before the labels are not believed.
pub const LABEL_TOLERANCE_MS: u64 = 2_000;

impl Window {
    /// Length in boot time.
    pub fn length_ms(&self) -> u64 {
        self.boot_end.0 - self.boot_start.0
    }

    /// The start that the books use: the label when it agrees with boot time, else counted back from the end.
    /// `None` when the window would begin before 1970.
    pub fn booked_start(&self) -> Option<WallMs> {
        let counted = self.wall_end.0.checked_sub(self.length_ms())?;
        let label_agrees =
            counted.abs_diff(self.wall_start.0) <= LABEL_TOLERANCE_MS && self.wall_start < self.wall_end;
        Some(if label_agrees {
            self.wall_start
        } else {
            WallMs(counted)
        })
    }

    /// Pieces of the window by hour, oldest first: the hour and its milliseconds. One piece in good times.
    pub fn by_hour(&self) -> Option<Vec<(Hour, u64)>> {
        let start = self.booked_start()?;
        let last = WallMs(self.wall_end.0.checked_sub(1)?).hour();
        let mut pieces = Vec::with_capacity(1);
        let mut hour = start.hour();
        while hour <= last {
            let from = start.max(hour.start());
            let to = self.wall_end.min(hour.end());
            pieces.push((hour, to.0 - from.0));
            hour = hour.next();
        }
        Some(pieces)
    }
}

impl Window {
    /// The longest window: a host that was without its agent for longer is a new start.
    const LENGTH_MS_MAX: u64 = 400 * 24 * HOUR_MS;
    /// The last wall time that is believed at all: the year 2400.
    const WALL_MS_MAX: u64 = 13_569_465_600_000;

    /// Whether the window can be told by hours at all: ends after it begins, not before 1970, not too long.
    pub(crate) fn by_hour_bounded(&self) -> bool {
        let Some(length) = self.boot_end.0.checked_sub(self.boot_start.0) else {
            return false;
        };
        length <= Self::LENGTH_MS_MAX
            && self.wall_end.0 <= Self::WALL_MS_MAX
            && self.wall_start.0 <= Self::WALL_MS_MAX
            && self.wall_end.0 >= length + LABEL_TOLERANCE_MS
    }
}

/// Splits `total` over `parts` by weight, in integers: each gets its floor, the last gets what is left, so that the
/// sum is `total` exactly. `None` when the weights are all zero or a product does not fit.
pub fn split_by_weight(total: u128, weights: &[u64]) -> Option<Vec<u128>> {
    let sum = weights
        .iter()
        .try_fold(0u128, |a, w| a.checked_add(u128::from(*w)))?;
    if sum == 0 {
        return None;
    }
    let mut left = total;
    let mut out = Vec::with_capacity(weights.len());
    for weight in &weights[..weights.len() - 1] {
        // floor(total * w / sum) without leaving u128: quotient and remainder apart.
        let (quotient, remainder) = (total / sum, total % sum);
        let part = quotient
            .checked_mul(u128::from(*weight))?
            .checked_add(remainder.checked_mul(u128::from(*weight))? / sum)?;
        left = left.checked_sub(part)?;
        out.push(part);
    }
    out.push(left);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(wall_start: u64, wall_end: u64, length: u64) -> Window {
        Window {
            boot_start: BootMs(1_000),
            boot_end: BootMs(1_000 + length),
            wall_start: WallMs(wall_start),
            wall_end: WallMs(wall_end),
        }
    }

    #[test]
    fn a_minute_stays_in_its_hour_although_boot_time_drifts() {
        let hour = Hour(490_000);
        let start = hour.start().0;
        let w = window(start, start + MINUTE_MS, MINUTE_MS + 3);
        assert_eq!(w.by_hour(), Some(vec![(hour, MINUTE_MS)]));
    }

    #[test]
    fn an_outage_is_split_at_the_edge_back_from_its_end() {
        let hour = Hour(490_000);
        let end = hour.end().0 + 600_000;
        let w = window(end - 1_800_000, end, 1_800_000);
        assert_eq!(w.by_hour(), Some(vec![(hour, 1_200_000), (hour.next(), 600_000)]));
    }

    #[test]
    fn after_a_clock_step_boot_time_is_believed() {
        let hour = Hour(490_000);
        let end = hour.start().0 + 30_000;
        let w = window(end + 5_000, end, MINUTE_MS);
        assert_eq!(w.by_hour(), Some(vec![(Hour(489_999), 30_000), (hour, 30_000)]));
    }

    #[test]
    fn a_split_sums_to_its_total() {
        for total in [0, 1, 7, 1_000_003, u128::MAX / 7_200_000] {
            for weights in [&[1u64][..], &[1, 2], &[1_200_000, 600_000, 1], &[0, 5]] {
                let parts = split_by_weight(total, weights).unwrap();
                assert_eq!(parts.iter().sum::<u128>(), total);
            }
        }
        assert_eq!(split_by_weight(5, &[0]), None);
    }
}
