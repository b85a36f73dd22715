//! Months and days of the calendar: each month's length, leap days, both days on which clocks change, zones east and west.
//!
//! Expected hours come from the table that people wrote (`zones::MONTHS`) and from counting days, not from the product.

use tallyman_aggregator_core::rating::{BillingZone, Month, hour_text};
use tallyman_common::time::Hour;

use crate::product::{Case, Use};
use crate::zones::{MONTHS, days_of, hours_of};

const DAILY: &str = r#"
format = 1
name = "T"
currency = "USD"
[[item]]
key = "day"
title = "Once a day"
meters = ["requests.read"]
unit = "request"
model = "flat"
flat_over = "day"
price = "1"
[[item]]
key = "hour"
title = "By the hour"
meters = ["requests.write"]
unit = "request"
model = "flat"
flat_over = "hour"
price = "0.01"
[[item]]
key = "month"
title = "Once a month"
meters = ["requests.delete"]
unit = "request"
model = "flat"
flat_over = "month"
price = "100"
[[plan]]
key = "pro"
title = "Professional"
fee = "1000"
per = "month"
due = "in_arrears"
"#;

/// Something runs in every hour of a month; what it costs tells hours, days and months apart.
fn always_on(zone: &str, month: &str) -> Case {
    let mut case = Case::of(DAILY, month);
    case.zone = zone.to_owned();
    let hours = BillingZone::parse(zone)
        .expect("a zone")
        .month_hours(Month::parse(month).expect("a month"));
    let hours = hours.expect("hours");
    for hour in hours.start.0..hours.end.0 {
        for item in ["day", "hour", "month"] {
            case.usage.push(Use {
                hour,
                tenant: "acme".to_owned(),
                item: item.to_owned(),
                quantity: "1".to_owned(),
            });
        }
    }
    case
}

/// Protects: a month has the hours of its days in its zone, and days meet at local midnight; a day on which clocks change has
/// 23 or 25.
#[test]
fn months_of_zones_with_days_of_23_and_25_hours() {
    for it in MONTHS {
        let (zone, year, month, ..) = *it;
        let (first, lengths) = hours_of(it);
        let text = format!("{year:04}-{month:02}");
        let own = BillingZone::parse(zone).expect("a zone");
        let hours = own
            .month_hours(Month::parse(&text).expect("a month"))
            .expect("hours");
        let all: u32 = lengths.iter().sum();
        let shown = format!("{text} of {zone} from {}", hour_text(hours.start));
        assert_eq!((hours.start.0, hours.end.0), (first, first + all), "{shown}");
        let mut hour = first;
        for (day, length) in (1..).zip(lengths) {
            for inside in hour..hour + length {
                assert_eq!(own.day_start(Hour(inside)), Ok(Hour(hour)), "day {day}, {shown}");
            }
            hour += length;
        }
    }
}

/// Protects: the bill of a month with usage in every hour, for each month of a year and a leap year, in zones on both sides.
#[test]
fn every_length_of_a_month() {
    for zone in ["UTC", "Asia/Shanghai", "America/New_York", "Pacific/Auckland"] {
        for (year, month) in (2027..=2028).flat_map(|year| (1..=12).map(move |month| (year, month))) {
            let text = format!("{year}-{month:02}");
            let days = days_of(year, month);
            let change = match (zone, year, month) {
                ("America/New_York", _, 3) | ("Pacific/Auckland", _, 9) => -1,
                ("America/New_York", _, 11) | ("Pacific/Auckland", _, 4) => 1,
                _ => 0,
            };
            let hours = i64::from(days) * 24 + change;
            let made = always_on(zone, &text).run().statement;
            let cents = i64::from(days) * 100 + hours + 10_000;
            let wanted = format!("{}.{:02}", cents / 100, cents % 100);
            assert_eq!(made.total.number(), wanted, "{text} in {zone}");
        }
    }
}

/// Protects: a fee by days is shared by the days of its own month, whatever its length; the day on which a plan begins
/// counts, the first day without it does not. All parts of a month together are the fee, to half a cent each.
#[test]
fn fees_of_every_day_of_every_month() {
    for (year, month) in [(2027, 2), (2028, 2), (2028, 4), (2028, 12)] {
        let days = days_of(year, month);
        for day in 1..=days {
            let with = |from: String, until: Option<String>| {
                let mut case = Case::of(DAILY, &format!("{year}-{month:02}"));
                let until = until.map_or(String::new(), |it| format!("plan_until = \"{it}\"\n"));
                case.terms = format!("format = 1\nplan = \"pro\"\nplan_from = \"{from}\"\n{until}");
                case.run().statement.total.minor_units()
            };
            let date = format!("{year}-{month:02}-{day:02}");
            let (from, until) = (
                with(date.clone(), None),
                with("2020-01-31".to_owned(), Some(date.clone())),
            );
            let share = |days_with: u32| {
                let exact = crate::exact::Ratio::new(i128::from(days_with) * 1000, i128::from(days));
                (exact.rounded(2) * crate::exact::Ratio::HUNDRED).floor()
            };
            assert_eq!((from, until), (share(days + 1 - day), share(day - 1)), "{date}");
        }
    }
}

/// Protects: the last day of January is no day of February: a yearly plan of a leap day is due in February each year, and a
/// plan of the 31st in every month.
#[test]
fn yearly_plans_come_again_in_their_month() {
    let yearly = DAILY.replace("per = \"month\"", "per = \"year\"");
    #[rustfmt::skip]
    let table = [
        // begins        month      due
        ("2024-02-29", "2028-02", "1000.00"),
        ("2024-02-29", "2027-02", "1000.00"),
        ("2024-02-29", "2027-03", "0.00"),
        ("2026-12-31", "2027-12", "1000.00"),
        ("2026-12-31", "2027-01", "0.00"),
        ("2027-03-01", "2027-02", "0.00"),
    ];
    for (from, month, due) in table {
        let mut case = Case::of(&yearly, month);
        case.terms = format!("format = 1\nplan = \"pro\"\nplan_from = \"{from}\"\n");
        assert_eq!(case.run().statement.total.number(), due, "{from} in {month}");
    }
}
