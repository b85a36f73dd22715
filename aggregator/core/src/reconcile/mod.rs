//! One UTC day's books against each other: what was sent against what was kept and summed up, what was summed up
//! against what stands on bills and what does not, the cells against the log (I1, I2, I5). Pure, over one snapshot in
//! which every cell is written; it changes nothing. It knows no prices beyond which meters a price book names.

/// Batches: sent, kept, and what became of them.
pub mod batches;
/// Usage: summed up, and whose it is.
pub mod usage;

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tallyman_common::time::{Hour, WallMs};

use crate::bills::Books;
use crate::limits::RECONCILE_WORDS_MAX;
use crate::rating::instant::{instant_text, parse_instant};
use crate::recompute::recompute_hours;
use crate::rollup::cache::FoldError;
pub use batches::{Fates, Missing, SpoolBatches};
pub use usage::MeterUsage;

/// Hours of a day in UTC.
const DAY_HOURS: u32 = 24;

/// A day in UTC, as days since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day(u32);

impl Day {
    /// The day that an instant lies in.
    pub fn of(at: WallMs) -> Self {
        Self(at.hour().0 / DAY_HOURS)
    }

    /// The day of a text such as `2026-11-20`; the error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |_| format!("`{text}` is no day such as 2026-11-20");
        let start = parse_instant(&format!("{text}T00:00:00Z")).map_err(wrong)?;
        Ok(Self::of(start))
    }

    /// The day before; `None` before 1970.
    pub fn before(self) -> Option<Self> {
        self.0.checked_sub(1).map(Self)
    }

    /// The next day.
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Its hours.
    pub fn hours(self) -> Range<Hour> {
        Hour(self.0 * DAY_HOURS)..Hour((self.0 + 1) * DAY_HOURS)
    }

    /// Its first instant.
    pub fn start(self) -> WallMs {
        self.hours().start.start()
    }

    /// Such as `2026-11-20`.
    pub fn text(self) -> String {
        instant_text(self.start()).chars().take(10).collect()
    }
}

/// What the comparison of a day found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconciliation {
    /// The day, in UTC.
    pub day: String,
    /// Position of the newest log entry that is in it.
    pub position: u64,
    /// When it was made.
    pub made: String,
    /// Nothing differs.
    pub ok: bool,
    /// What became of the batches whose windows end in the day, of all nodes.
    pub batches: Fates,
    /// The same by node and spool, without spools that sent nothing.
    pub spools: Vec<SpoolBatches>,
    /// Usage by meter.
    pub usage: Vec<MeterUsage>,
    /// Values of the day that are the fold of the log, byte for byte.
    pub values_same: u64,
    /// Values that are not.
    pub values_different: u64,
    /// What does not agree, in words; the first hundred.
    pub differences: Vec<String>,
    /// Differences beyond these.
    pub more: u64,
}

impl Reconciliation {
    /// How much does not agree.
    pub fn count(&self) -> u64 {
        self.differences.len() as u64 + self.more
    }
}

/// What does not agree, up to a limit in words.
#[derive(Debug, Default)]
struct Findings {
    words: Vec<String>,
    more: u64,
}

impl Findings {
    fn add(&mut self, words: String) {
        if self.words.len() < RECONCILE_WORDS_MAX {
            self.words.push(words);
        } else {
            self.more += 1;
        }
    }
}

/// Compares a day's books. Every cell must have been written. Time goes by the log and the kept headers, memory by the
/// day. An error when the store can't be read or holds what can't be understood.
pub fn reconcile(books: Books<'_>, day: Day) -> Result<Reconciliation, FoldError> {
    let mut findings = Findings::default();
    let (batches, spools) = batches::compare(books, day, &mut findings)?;
    let usage = usage::compare(books, day, &mut findings)?;
    let (cells, _) = recompute_hours(books.store, books.now, day.hours())?;
    for difference in &cells.differences {
        findings.add(format!("cells: {difference}"));
    }
    findings.more += cells.more;
    Ok(Reconciliation {
        day: day.text(),
        position: books.position,
        made: instant_text(books.now),
        ok: findings.words.is_empty() && findings.more == 0,
        batches,
        spools,
        usage,
        values_same: cells.same,
        values_different: cells.count(),
        differences: findings.words,
        more: findings.more,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_read_and_written() {
        let day = Day::parse("2026-11-20").unwrap();
        assert_eq!(
            (day.text(), day.next().text()),
            ("2026-11-20".into(), "2026-11-21".into())
        );
        assert_eq!(day.next().before(), Some(day));
        assert_eq!(Day::of(WallMs(day.next().start().0 - 1)), day);
        assert_eq!(day.hours().end, day.next().hours().start);
        for wrong in ["", "2026-13-01", "2026-11", "tomorrow"] {
            assert!(Day::parse(wrong).is_err(), "{wrong}");
        }
    }
}
