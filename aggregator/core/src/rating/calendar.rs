//! Hours, days and months of a billing time zone.
//!
//! Every edge of a day or month is an edge of a UTC hour: zones where that is not so are refused. All intervals are
//! half-open. It must not know the present: instants come as arguments.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use tallyman_common::time::Hour;

const HOUR_S: i64 = 3_600;
/// Offsets of a zone are checked from this second on: 2020-01-01T00:00:00Z.
const CHECKED_FROM_S: i64 = 1_577_836_800;
/// How many changes of its offset are checked: four decades of summer time.
const CHECKED_CHANGES_MAX: usize = 80;

/// Why a zone, hour, day or month was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    /// Not in the IANA data base.
    #[error("`{0}` is not an IANA time zone such as `UTC` or `Asia/Shanghai`")]
    UnknownZone(String),
    /// Its midnights don't fall on UTC hours.
    #[error("time zone `{0}` is not a whole number of hours from UTC; such zones can't be billed yet")]
    NotWholeHours(String),
    /// Not the start of an hour in UTC.
    #[error("`{0}` is not the start of an hour in UTC such as `2026-01-31T23:00:00Z`")]
    NotAnHour(String),
    /// Not a month.
    #[error("`{0}` is not a month such as `2026-01`")]
    NotAMonth(String),
    /// Not a day.
    #[error("`{0}` is not a day such as `2026-01-31`")]
    NotADay(String),
    /// Neither a day nor a second of one.
    #[error("`{0}` is neither a day such as `2026-01-31` nor a second of one such as `2026-01-31T10:30:00`")]
    NotAMoment(String),
    /// Before 1970 or after 9999.
    #[error("outside the years 1970 to 9999")]
    OutOfRange,
}

/// A time zone in which days and months are billed.
#[derive(Debug, Clone, PartialEq)]
pub struct BillingZone {
    name: String,
    zone: TimeZone,
}

/// A calendar month of some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Month(Date);

/// A calendar day of some zone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Day(Date);

impl BillingZone {
    /// Looks an IANA name up; refuses zones that are not a whole number of hours from UTC.
    pub fn parse(name: &str) -> Result<Self, CalendarError> {
        let unknown = || CalendarError::UnknownZone(name.chars().take(64).collect());
        let zone = TimeZone::get(name).map_err(|_| unknown())?;
        // One text per zone: `utc` would be found as well.
        if zone.iana_name() != Some(name) {
            return Err(unknown());
        }
        let start = Timestamp::from_second(CHECKED_FROM_S).map_err(|_| unknown())?;
        let changes = zone.following(start).take(CHECKED_CHANGES_MAX);
        let sound = whole_hours(zone.to_offset(start).seconds())
            && changes.into_iter().all(|it| {
                whole_hours(it.offset().seconds()) && it.timestamp().as_second().rem_euclid(HOUR_S) == 0
            });
        if !sound {
            return Err(CalendarError::NotWholeHours(name.to_owned()));
        }
        Ok(Self {
            name: name.to_owned(),
            zone,
        })
    }

    /// Universal time.
    pub fn utc() -> Self {
        Self {
            name: "UTC".to_owned(),
            zone: TimeZone::UTC,
        }
    }

    /// Its IANA name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The day that the hour lies in.
    pub fn day_of(&self, hour: Hour) -> Result<Day, CalendarError> {
        let start = timestamp(hour).ok_or(CalendarError::OutOfRange)?;
        Ok(Day(start.to_zoned(self.zone.clone()).date()))
    }

    /// The month that the hour lies in.
    pub fn month_of(&self, hour: Hour) -> Result<Month, CalendarError> {
        self.day_of(hour).map(|day| Month(day.0.first_of_month()))
    }

    /// First hour of the day that an hour lies in.
    pub fn day_start(&self, hour: Hour) -> Result<Hour, CalendarError> {
        self.midnight(self.day_of(hour)?.0)
    }

    /// First hour of the day and first hour after it; 23 or 25 hours when clocks are changed.
    pub fn day_hours(&self, day: Day) -> Result<Range<Hour>, CalendarError> {
        Ok(self.midnight(day.0)?..self.midnight(day.next()?.0)?)
    }

    /// First hour of the month and first hour after it.
    pub fn month_hours(&self, month: Month) -> Result<Range<Hour>, CalendarError> {
        Ok(self.midnight(month.0)?..self.midnight(month.next()?.0)?)
    }

    fn midnight(&self, date: Date) -> Result<Hour, CalendarError> {
        let start = date
            .to_zoned(self.zone.clone())
            .map_err(|_| CalendarError::OutOfRange)?;
        hour_of_second(start.timestamp().as_second()).ok_or(CalendarError::OutOfRange)
    }
}

impl Month {
    /// Reads `2026-01`.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        parse_date(&format!("{text}-01"))
            .map(Self)
            .ok_or_else(|| CalendarError::NotAMonth(short(text)))
    }

    /// Its first day.
    pub fn first_day(self) -> Day {
        Day(self.0)
    }

    /// Its number in the year, from 1.
    pub fn number(self) -> i8 {
        self.0.month()
    }

    /// The month after this one.
    pub fn next(self) -> Result<Self, CalendarError> {
        step(self.0, Span::new().months(1)).map(Self)
    }

    /// The month before this one.
    pub fn previous(self) -> Result<Self, CalendarError> {
        step(self.0, Span::new().months(-1)).map(Self)
    }
}

impl Day {
    /// Reads `2026-01-31`.
    pub fn parse(text: &str) -> Result<Self, CalendarError> {
        parse_date(text)
            .map(Self)
            .ok_or_else(|| CalendarError::NotADay(short(text)))
    }

    /// The day after this one.
    pub fn next(self) -> Result<Self, CalendarError> {
        step(self.0, Span::new().days(1)).map(Self)
    }

    /// The same day so many years later; February 28 where there is no 29.
    pub fn after_years(self, years: i16) -> Result<Self, CalendarError> {
        step(self.0, Span::new().years(years)).map(Self)
    }

    /// Of a civil date.
    pub(super) fn from_date(date: Date) -> Self {
        Self(date)
    }

    /// The civil date.
    pub fn date(self) -> Date {
        self.0
    }

    /// The month that it lies in.
    pub fn month(self) -> Month {
        Month(self.0.first_of_month())
    }
}

/// Start of an hour as `2026-01-31T23:00:00Z`; the bare number of hours past the year 9999.
pub fn hour_text(hour: Hour) -> String {
    timestamp(hour).map_or_else(|| format!("hour {}", hour.0), |it| it.to_string())
}

/// Reads `2026-01-31T23:00:00Z`; only UTC and only the start of an hour.
pub fn parse_hour(text: &str) -> Result<Hour, CalendarError> {
    let refuse = || CalendarError::NotAnHour(short(text));
    let instant = text.parse::<Timestamp>().map_err(|_| refuse())?;
    let hour = hour_of_second(instant.as_second()).ok_or_else(refuse)?;
    // One text per hour: what does not print back the same is refused.
    if hour_text(hour) == text {
        Ok(hour)
    } else {
        Err(refuse())
    }
}

fn whole_hours(seconds: i32) -> bool {
    i64::from(seconds) % HOUR_S == 0
}

fn timestamp(hour: Hour) -> Option<Timestamp> {
    Timestamp::from_second(i64::from(hour.0) * HOUR_S).ok()
}

fn hour_of_second(second: i64) -> Option<Hour> {
    if second % HOUR_S != 0 {
        return None;
    }
    u32::try_from(second / HOUR_S).ok().map(Hour)
}

fn parse_date(text: &str) -> Option<Date> {
    let date = text.parse::<Date>().ok()?;
    (date.to_string() == text && date.year() >= 1970).then_some(date)
}

fn step(date: Date, span: Span) -> Result<Date, CalendarError> {
    date.checked_add(span).map_err(|_| CalendarError::OutOfRange)
}

fn short(text: &str) -> String {
    text.chars().take(64).collect()
}

impl fmt::Display for BillingZone {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.name)
    }
}

impl fmt::Display for Month {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:04}-{:02}", self.0.year(), self.0.month())
    }
}

impl fmt::Display for Day {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl FromStr for Month {
    type Err = CalendarError;

    fn from_str(text: &str) -> Result<Self, CalendarError> {
        Self::parse(text)
    }
}

impl From<Month> for String {
    fn from(month: Month) -> Self {
        month.to_string()
    }
}

impl From<Day> for String {
    fn from(day: Day) -> Self {
        day.to_string()
    }
}

impl TryFrom<String> for Month {
    type Error = CalendarError;

    fn try_from(text: String) -> Result<Self, CalendarError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Day {
    type Error = CalendarError;

    fn try_from(text: String) -> Result<Self, CalendarError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hours_are_read_strictly() {
        let hour = parse_hour("2026-01-31T23:00:00Z").expect("hour");
        assert_eq!(hour_text(hour), "2026-01-31T23:00:00Z");
        for bad in [
            "2026-01-31T23:30:00Z",
            "2026-01-31T23:00:00+00:00",
            "2026-01-31",
            "1969-12-31T23:00:00Z",
            "x",
        ] {
            assert!(parse_hour(bad).is_err(), "{bad}");
        }
        assert_eq!(hour_text(Hour(u32::MAX)), "hour 4294967295");
    }

    #[test]
    fn months_have_the_hours_of_their_zone() {
        #[rustfmt::skip]
        let table = [
            // zone              month      first hour in UTC       hours
            ("UTC",              "2026-01", "2026-01-01T00:00:00Z", 744),
            ("UTC",              "2026-02", "2026-02-01T00:00:00Z", 672),
            ("UTC",              "2028-02", "2028-02-01T00:00:00Z", 696),
            ("Asia/Shanghai",    "2026-01", "2025-12-31T16:00:00Z", 744),
            ("Europe/Berlin",    "2026-03", "2026-02-28T23:00:00Z", 743),
            ("Europe/Berlin",    "2026-10", "2026-09-30T22:00:00Z", 745),
            ("America/New_York", "2026-11", "2026-11-01T04:00:00Z", 721),
        ];
        for (zone, month, first, hours) in table {
            let zone = BillingZone::parse(zone).expect("zone");
            let month = Month::parse(month).expect("month");
            let range = zone.month_hours(month).expect("range");
            assert_eq!(hour_text(range.start), first);
            assert_eq!(range.end.0 - range.start.0, hours, "{month} in {zone}");
            for hour in range.start.0..range.end.0 {
                assert_eq!(zone.month_of(Hour(hour)), Ok(month));
            }
            assert_eq!(zone.month_of(range.end), month.next());
            assert_eq!(month.next().and_then(Month::previous), Ok(month));
        }
    }

    #[test]
    fn days_meet_without_a_gap() {
        let zone = BillingZone::parse("Europe/Berlin").expect("zone");
        let mut day = Day::parse("2026-10-24").expect("day");
        let mut lengths = Vec::new();
        for _ in 0..3 {
            let hours = zone.day_hours(day).expect("range");
            lengths.push(hours.end.0 - hours.start.0);
            let next = day.next().expect("day");
            assert_eq!(zone.day_hours(next).expect("range").start, hours.end);
            day = next;
        }
        assert_eq!(lengths, [24, 25, 24]);
    }

    #[test]
    fn zones_off_the_hour_are_refused() {
        for name in [
            "Asia/Kolkata",
            "Australia/Lord_Howe",
            "Asia/Kathmandu",
            "America/St_Johns",
        ] {
            assert_eq!(
                BillingZone::parse(name),
                Err(CalendarError::NotWholeHours(name.to_owned()))
            );
        }
        assert!(matches!(
            BillingZone::parse("Mars/Olympus"),
            Err(CalendarError::UnknownZone(_))
        ));
    }
}
