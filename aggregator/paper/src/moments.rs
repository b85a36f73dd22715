//! Instants as days and minutes of the account's zone. It must not know the present.

use jiff::civil::Time;
use jiff::tz::TimeZone;
use jiff::{ToSpan, Zoned};
use tallyman_aggregator_core::accounts::document::Period;

use crate::words::{Words, fill};

/// Reads instants in one zone. What is no instant, or stands in an unknown zone, is printed as it is.
pub(crate) struct Clock {
    zone: Option<TimeZone>,
}

impl Clock {
    /// Of an IANA zone; the data base is in the program.
    pub(crate) fn of(zone: &str) -> Self {
        let zone = TimeZone::get(zone).ok();
        Self { zone }
    }

    /// First and last day where both ends are midnights, else both ends to the minute.
    pub(crate) fn period(&self, period: &Period, words: &Words) -> String {
        let ends = self.read(&period.start).zip(self.read(&period.end));
        let days = ends.filter(|(start, end)| is_midnight(start) && is_midnight(end) && start < end);
        match days.and_then(|(start, end)| Some((start, end.checked_sub(1.second()).ok()?))) {
            Some((first, last)) => fill(words.until, &[&day(&first), &day(&last)]),
            None => self.span(&period.start, &period.end, words),
        }
    }

    /// Both ends to the minute; the day once where it is the same.
    pub(crate) fn span(&self, from: &str, to: &str, words: &Words) -> String {
        let second = match self.read(from).zip(self.read(to)) {
            Some((start, end)) if start.date() == end.date() => end.strftime("%H:%M").to_string(),
            _ => self.moment(to),
        };
        fill(words.until, &[&self.moment(from), &second])
    }

    /// `2026-11-03 14:05`; the day alone for a midnight is [`Clock::day`].
    pub(crate) fn moment(&self, text: &str) -> String {
        self.read(text)
            .map_or_else(|| text.to_owned(), |at| at.strftime("%Y-%m-%d %H:%M").to_string())
    }

    /// `2026-11-03` for a midnight, else with its time.
    pub(crate) fn day(&self, text: &str) -> String {
        match self.read(text) {
            Some(at) if is_midnight(&at) => day(&at),
            _ => self.moment(text),
        }
    }

    fn read(&self, text: &str) -> Option<Zoned> {
        let at: jiff::Timestamp = text.parse().ok()?;
        Some(at.to_zoned(self.zone.clone()?))
    }
}

fn is_midnight(at: &Zoned) -> bool {
    at.time() == Time::midnight()
}

fn day(at: &Zoned) -> String {
    at.strftime("%Y-%m-%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::words;

    fn period(start: &str, end: &str, zone: &str) -> Period {
        let (start, end, zone) = (start.to_owned(), end.to_owned(), zone.to_owned());
        let month = "2026-11".to_owned();
        Period {
            month,
            start,
            end,
            zone,
        }
    }

    #[test]
    fn months_are_days_of_the_zone() {
        for (start, end, zone, expected) in [
            (
                "2026-10-31T16:00:00Z",
                "2026-11-30T16:00:00Z",
                "Asia/Shanghai",
                "2026-11-01 to 2026-11-30",
            ),
            (
                "2026-11-12T01:00:00Z",
                "2026-11-30T16:00:00Z",
                "Asia/Shanghai",
                "2026-11-12 09:00 to 2026-12-01 00:00",
            ),
            (
                "2026-10-31T16:00:00Z",
                "later",
                "Asia/Shanghai",
                "2026-11-01 00:00 to later",
            ),
            (
                "2026-11-01T00:00:00Z",
                "2026-12-01T00:00:00Z",
                "Nowhere/At_all",
                "2026-11-01T00:00:00Z to 2026-12-01T00:00:00Z",
            ),
        ] {
            let text = Clock::of(zone).period(&period(start, end, zone), words("en"));
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn holes_name_their_day_once() {
        let clock = Clock::of("Asia/Shanghai");
        let text = clock.span("2026-11-03T06:05:00Z", "2026-11-03T06:35:00Z", words("zh"));
        assert_eq!(text, "2026-11-03 14:05 至 14:35");
    }
}
