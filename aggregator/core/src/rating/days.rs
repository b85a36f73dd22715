//! Sets of calendar days, as half-open intervals in order.
//!
//! It must not know zones or what the days are for.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::calendar::Day;

/// Days, as intervals of a first day and the first day behind them: rising, none empty, none touching the next.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Days(Vec<(Day, Day)>);

impl Days {
    /// No day.
    pub fn none() -> Self {
        Self::default()
    }

    /// The days of `from..until`; none if it ends before it begins.
    pub fn between(from: Day, until: Day) -> Self {
        Self(if from < until {
            vec![(from, until)]
        } else {
            Vec::new()
        })
    }

    /// Whether there is no day.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many.
    pub fn count(&self) -> u32 {
        self.0
            .iter()
            .map(|(from, until)| days_between(*from, *until))
            .sum()
    }

    /// Those in either.
    pub fn with(&self, other: &Self) -> Self {
        let mut all = [&self.0[..], &other.0[..]].concat();
        all.sort_unstable();
        let mut found: Vec<(Day, Day)> = Vec::new();
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

    /// Those from a day on.
    pub fn since(&self, day: Day) -> Self {
        let intervals = self.0.iter().map(|(from, until)| ((*from).max(day), *until));
        Self(intervals.filter(|(from, until)| from < until).collect())
    }
}

/// How many days `from..until` has.
///
/// # Panics
/// When `until` is before `from`.
pub fn days_between(from: Day, until: Day) -> u32 {
    let days = |day: Day| -> Date { day.date() };
    let span = days(until).duration_since(days(from)).as_hours() / 24;
    u32::try_from(span).expect("days in order, of no more than ten thousand years")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(from: u32, until: u32) -> Days {
        let day = |number: u32| Day::parse(&format!("2026-11-{number:02}")).expect("a day");
        Days::between(day(from), day(until))
    }

    /// Protects: what is taken out splits, what touches joins, nothing is counted twice.
    #[test]
    fn sets_add_up() {
        let all = days(1, 30);
        assert_eq!(all.count(), 29);
        let holes = days(5, 10).with(&days(20, 25));
        let rest = all.without(&holes);
        assert_eq!((rest.count(), rest.0.len()), (19, 3));
        assert_eq!(rest.with(&holes), all);
        assert_eq!(all.without(&all), Days::none());
        assert_eq!(days(1, 5).with(&days(3, 8)).with(&days(8, 9)), days(1, 9));
        assert_eq!(rest.since(Day::parse("2026-11-22").expect("a day")), days(25, 30));
        assert!(days(7, 7).is_empty());
    }
}
