//! What the core has to tell goes to the log, so many of a kind in a minute and the rest as a number: a hundred
//! containers with one mistake are one mistake.

use std::collections::BTreeMap;

use tallyman_agent_core::{Level, Notice};

use crate::limits::NOTICES_MAX;

const MINUTE_NS: u64 = 60_000_000_000;

/// Counts notices by kind.
#[derive(Debug, Default)]
pub struct Notices {
    minute: u64,
    counts: BTreeMap<&'static str, u64>,
}

impl Notices {
    /// Logs a notice, unless enough of its kind were logged in this minute of boot time.
    pub fn tell(&mut self, notice: &Notice, now_ns: u64) {
        self.turn(now_ns);
        if self.admits(notice.code) {
            log(notice);
        }
    }

    fn turn(&mut self, now_ns: u64) {
        let minute = now_ns / MINUTE_NS;
        if minute == self.minute {
            return;
        }
        self.minute = minute;
        for (code, count) in std::mem::take(&mut self.counts) {
            if let Some(more) = count.checked_sub(NOTICES_MAX).filter(|more| *more > 0) {
                tracing::warn!(code, more, "more of the same kind were not logged");
            }
        }
    }

    fn admits(&mut self, code: &'static str) -> bool {
        let count = self.counts.entry(code).or_insert(0);
        *count += 1;
        *count <= NOTICES_MAX
    }
}

fn log(notice: &Notice) {
    let Notice { level, code, text } = notice;
    match level {
        Level::Info => tracing::info!(code, "{text}"),
        Level::Warning => tracing::warn!(code, "{text}"),
        Level::Error => tracing::error!(code, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_share_of_a_minute() {
        let mut notices = Notices::default();
        let admitted = |notices: &mut Notices, code| (0..100).filter(|_| notices.admits(code)).count() as u64;
        assert_eq!(admitted(&mut notices, "a"), NOTICES_MAX);
        assert_eq!(admitted(&mut notices, "b"), NOTICES_MAX);
        notices.turn(MINUTE_NS - 1);
        assert_eq!(admitted(&mut notices, "a"), 0);
        notices.turn(MINUTE_NS);
        assert_eq!(admitted(&mut notices, "a"), NOTICES_MAX);
    }
}
