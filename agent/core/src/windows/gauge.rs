//! The integral of a level over time: trapezoids in doubled byte-nanoseconds, exact integers.
//!
//! A level that could not be read ends the integral until the next good one: what lies between is not guessed.

use super::meters::Totals;

/// One level of one workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Gauge {
    /// Level in bytes and the moment it was read, boot nanoseconds.
    last: Option<(u64, u64)>,
    /// Integral since the last window, doubled byte-nanoseconds.
    pub(super) since_window: u128,
}

impl Gauge {
    /// A level was read.
    pub fn read(&mut self, level: u64, now_ns: u64) {
        if let Some((before, elapsed)) = self.before(now_ns) {
            self.since_window += (u128::from(before) + u128::from(level)) * u128::from(elapsed);
        }
        self.last = Some((level, now_ns));
    }

    /// A level could not be read.
    pub fn lost(&mut self) {
        self.last = None;
    }

    /// The workload ended: its last level counts up to here.
    pub fn end(&mut self, now_ns: u64) {
        if let Some((before, elapsed)) = self.before(now_ns) {
            self.since_window += u128::from(before) * 2 * u128::from(elapsed);
        }
        self.last = None;
    }

    /// The last level, if it is known.
    pub fn level(&self) -> Option<u64> {
        self.last.map(|(level, _)| level)
    }

    /// The last level and the nanoseconds since; nothing when time did not move on.
    fn before(&self, now_ns: u64) -> Option<(u64, u64)> {
        let (level, at) = self.last?;
        Some((level, now_ns.checked_sub(at)?))
    }
}

/// Adds the gauges' integrals to totals.
pub(super) fn add_to(gauges: &[Gauge], totals: &mut Totals) {
    for (gauge, place) in gauges.iter().zip(super::meters::GAUGES) {
        totals[place] += gauge.since_window;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    #[test]
    fn trapezoids_then_a_gap_then_the_end() {
        let mut gauge = Gauge::default();
        gauge.read(100, 10 * S);
        gauge.read(300, 12 * S);
        // (100 + 300) / 2 bytes for 2 s are 400 byte-seconds, doubled.
        assert_eq!(gauge.since_window, 800 * u128::from(S));
        gauge.lost();
        gauge.read(50, 20 * S);
        assert_eq!(gauge.since_window, 800 * u128::from(S), "the gap is not guessed");
        gauge.end(21 * S);
        assert_eq!(gauge.since_window, 900 * u128::from(S));
        gauge.end(30 * S);
        assert_eq!(gauge.since_window, 900 * u128::from(S));
    }
}
