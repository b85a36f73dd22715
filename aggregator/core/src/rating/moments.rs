//! Moments of a calendar without a zone, and sets of them, as half-open intervals in order.
//!
//! Seconds are those of the calendar: each day has 86,400, so that whole days are shares of their month or year wherever
//! clocks are changed. It must not know zones or what the time is for.

use std::fmt;

use jiff::civil::{DateTime, Time};
use serde::{Deserialize, Serialize};

use super::calendar::{CalendarError, Day, Month};

/// Seconds of a day.
const DAY_S: u64 = 86_400;

/// A second of a day. As text the day alone where it is its first one, else `2026-12-21T10:30:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Moment(DateTime);

/// A set of moments: intervals of a first one and the first one behind it, rising, none empty, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moments(Vec<(Moment, Moment)>);

/// How long something is, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(u64);

impl Moment {
    /// Reads `2026-12-21` or `2026-12-21T10:30:00`.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        if let Ok(day) = Day::parse(text) {
            return Ok(day.into());
        }
        let refuse = || CalendarError::NotAMoment(text.chars().take(64).collect());
        let moment = Self(text.parse::<DateTime>().map_err(|_| refuse())?);
        // One text per moment: what does not print back the same is refused.
        let is_known =
            moment.0.year() >= 1970 && moment.0.subsec_nanosecond() == 0 && moment.to_string() == text;
        is_known.then_some(moment).ok_or_else(refuse)
    }

    /// The month that it lies in.
    pub fn month(self) -> Month {
        Day::from_date(self.0.date()).month()
    }

    /// Its year.
    pub fn year(self) -> i16 {
        self.0.year()
    }

    /// The same time of the same day so many years later; of February 28 where there is no 29.
    pub fn after_years(self, years: i16) -> Result<Self, CalendarError> {
        let day = Day::from_date(self.0.date()).after_years(years)?;
        Ok(Self(DateTime::from_parts(day.date(), self.0.time())))
    }

    /// How long `self..until` is.
    ///
    /// # Panics
    /// When `until` is before it.
    pub fn until(self, until: Self) -> Length {
        let seconds = until.0.duration_since(self.0).as_secs();
        Length(u64::try_from(seconds).expect("moments in order"))
    }
}

impl From<Day> for Moment {
    fn from(day: Day) -> Self {
        Self(DateTime::from_parts(day.date(), Time::midnight()))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.time() == Time::midnight() {
            true => self.0.date().fmt(out),
            false => self.0.fmt(out),
        }
    }
}

impl From<Moment> for String {
    fn from(moment: Moment) -> Self {
        moment.to_string()
    }
}

impl TryFrom<String> for Moment {
    type Error = CalendarError;

    fn try_from(text: String) -> Result<Self, CalendarError> {
        Self::parse(&text)
    }
}

impl Length {
    /// A number of days, `12`; with a word for them and the rest as `12 d 13:30:00` where it is not whole.
    pub fn text(self, word: &str) -> String {
        let (days, rest) = (self.0 / DAY_S, self.0 % DAY_S);
        if rest == 0 {
            return days.to_string();
        }
        let (hours, minutes, seconds) = (rest / 3_600, rest % 3_600 / 60, rest % 60);
        format!("{days} {word} {hours:02}:{minutes:02}:{seconds:02}")
    }

    /// In days; none if it is not a whole number of them.
    pub fn days(self) -> Option<u64> {
        self.0.is_multiple_of(DAY_S).then_some(self.0 / DAY_S)
    }
}

impl From<Length> for i128 {
    fn from(length: Length) -> Self {
        length.0.into()
    }
}

/// `12`, a number of days; `12 d 13:30:00` where it is not whole.
impl fmt::Display for Length {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.text("d"))
    }
}

impl Moments {
    /// No moment.
    pub fn none() -> Self {
        Self::default()
    }

    /// Those of `from..until`; none if it ends before it begins.
    pub fn between(from: Moment, until: Moment) -> Self {
        Self(if from < until {
            vec![(from, until)]
        } else {
            Vec::new()
        })
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How long they are together.
    pub fn length(&self) -> Length {
        let lengths = self.0.iter().map(|(from, until)| from.until(*until).0);
        Length(lengths.sum())
    }

    /// Those in either.
    pub fn with(&self, other: &Self) -> Self {
        let mut all = [&self.0[..], &other.0[..]].concat();
        all.sort_unstable();
        let mut found: Vec<(Moment, Moment)> = Vec::new();
        for (from, until) in all {
            match found.last_mut().filter(|last| from <= last.1) {
                Some(last) => last.1 = last.1.max(until),
                None => found.push((from, until)),
            }
        }
        Self(found)
    }

    /// Those that the other has not.
    pub fn without(&self, other: &Self) -> Self {
        let mut found = Vec::new();
        for (from, until) in &self.0 {
            let mut open = *from;
            for (taken_from, taken_until) in &other.0 {
                let before = (open, (*taken_from).min(*until));
                found.extend((before.0 < before.1).then_some(before));
                open = open.max(*taken_until);
            }
            found.extend((open < *until).then_some((open, *until)));
        }
        Self(found)
    }

    /// Those from a moment on.
    pub fn since(&self, moment: Moment) -> Self {
        let intervals = self.0.iter().map(|(from, until)| ((*from).max(moment), *until));
        Self(intervals.filter(|(from, until)| from < until).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Moment {
        Moment::parse(text).expect("a moment")
    }

    fn days(from: u32, until: u32) -> Moments {
        let day = |number: u32| at(&format!("2026-11-{number:02}"));
        Moments::between(day(from), day(until))
    }

    /// Protects: what is taken out splits, what touches joins, nothing is counted twice.
    #[test]
    fn sets_add_up() {
        let all = days(1, 30);
        assert_eq!(all.length().days(), Some(29));
        let holes = days(5, 10).with(&days(20, 25));
        let rest = all.without(&holes);
        assert_eq!((rest.length().days(), rest.0.len()), (Some(19), 3));
        assert_eq!(rest.with(&holes), all);
        assert_eq!(all.without(&all), Moments::none());
        assert_eq!(days(1, 5).with(&days(3, 8)).with(&days(8, 9)), days(1, 9));
        assert_eq!(rest.since(at("2026-11-22")), days(25, 30));
        assert!(days(7, 7).is_empty());
    }

    /// Protects: what is stored as a day stays one, and every moment has one text.
    #[test]
    fn moments_have_one_text() {
        for text in ["2026-12-21", "2026-12-21T10:30:00", "2028-02-29T23:59:59"] {
            assert_eq!(at(text).to_string(), text);
        }
        for bad in [
            "2026-12-21T00:00:00",
            "2026-12-21T10:30",
            "2026-12-21 10:30:00",
            "2026-12-21T10:30:00Z",
            "2026-12-21T10:30:00.5",
            "2026-12-21T24:00:00",
            "1969-12-31T10:30:00",
            "2026-02-29",
            "",
        ] {
            assert!(Moment::parse(bad).is_err(), "{bad}");
        }
    }

    /// Protects: a year later is the same second of the day; lengths read as days wherever they are some.
    #[test]
    fn years_and_lengths_have_seconds() {
        let from = at("2024-02-29T10:30:00");
        assert_eq!(from.after_years(1), Ok(at("2025-02-28T10:30:00")));
        assert_eq!(from.after_years(4), Ok(at("2028-02-29T10:30:00")));
        let lengths = [
            ("2024-03-01T10:30:00", "1"),
            ("2024-03-02", "1 d 13:30:00"),
            ("2024-02-29T10:30:01", "0 d 00:00:01"),
        ];
        for (until, text) in lengths {
            assert_eq!(from.until(at(until)).to_string(), text);
        }
    }
}
