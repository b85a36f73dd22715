//! Rating as tables that a finance person can read, under the price books that ship.
//!
//! Each row of a `check` is: item, quantity in the item's unit, amount.

use std::sync::Arc;

use tallyman_common::money::{Amount, Quantity};
use tallyman_common::record::Dims;

use super::*;

const STORAGE: &str = include_str!("../../../../deploy/price-books/storage-cny.toml");
const SANDBOX: &str = include_str!("../../../../deploy/price-books/sandbox-usd.toml");

fn book(text: &str) -> Arc<PriceBook> {
    Arc::new(PriceBook::parse(text).unwrap_or_else(|faults| panic!("{faults:?}")))
}

fn key(text: &str) -> ItemKey {
    ItemKey::parse(text).expect("key")
}

fn quantity(text: &str) -> Quantity {
    Quantity::parse(text).expect("quantity")
}

fn hour(at: u32, quantities: &[(&str, &str)]) -> HourUsage {
    let quantities = quantities
        .iter()
        .map(|(item, it)| (key(item), quantity(it)))
        .collect();
    HourUsage {
        hour: Hour(at),
        day: Hour(at / 24 * 24),
        quantities,
    }
}

/// A book with one item `x` for requests.
fn one_item(model: &str) -> String {
    format!(
        "format = 1\nname = \"T\"\ncurrency = \"USD\"\n[[item]]\nkey = \"x\"\ntitle = \"X\"\n\
         meters = [\"requests.read\"]\nunit = \"request\"\n{model}\n"
    )
}

const MONTH_TIERS: &str = r#"model = "graduated"
tiers_over = "month"
tiers = [{ up_to = "100", price = "3" }, { up_to = "150", price = "2" }, { price = "1" }]"#;

/// Rates hours 0, 1, 2 … of item `x`; gives the amounts of the hours and their sum.
fn amounts(books: &BookVersions, quantities: &[&str]) -> (Vec<String>, String) {
    let hours: Vec<HourUsage> = (0..)
        .zip(quantities)
        .map(|(at, it)| hour(at, &[("x", it)]))
        .collect();
    let lines = rate_period(books, &hours).expect("rated");
    let sum = Amount::sum(lines.iter().map(|it| it.amount)).expect("sum");
    (
        lines.iter().map(|it| it.amount.to_string()).collect(),
        sum.to_string(),
    )
}

fn check(text: &str, table: &[(&str, &str, &str)]) {
    let book = book(text);
    for (item, used, wanted) in table {
        let usage = hour(0, &[(item, used)]);
        let lines = rate_hour(&book, &mut Position::default(), &usage).expect("rated");
        let got = Amount::sum(lines.iter().map(|it| it.amount)).expect("sum");
        assert_eq!(got.to_string(), *wanted, "{used} of {item}");
        for line in &lines {
            let parts = Amount::sum(line.parts.iter().map(|it| it.amount)).expect("sum");
            assert!(
                line.parts.is_empty() || parts == line.amount,
                "I7: parts of {item}"
            );
        }
    }
}

#[test]
fn the_storage_price_list() {
    #[rustfmt::skip]
    check(STORAGE, &[
        // item               used in the hour   yuan
        ("storage",           "2048",            "1.4536"),   // 100×0.001 + 924×0.0008 + 1024×0.0006
        ("storage",           "1",               "0.001"),
        ("storage",           "100",             "0.1"),
        ("storage",           "1024",            "0.8392"),
        ("storage",           "10240",           "6.3688"),
        ("storage",           "102400",          "52.4488"),
        ("traffic-out",       "1",               "0.5"),
        ("traffic-out",       "0.000000001",     "0.0000000005"),
        ("traffic-in",        "1000",            "0"),
        ("traffic-internal",  "1000",            "0"),
        ("requests-read",     "1",               "10"),       // one unit is 10,000 requests
        ("requests-read",     "0.0001",          "0.001"),    // one request
        ("requests-write",    "0.0001",          "0.002"),
        ("requests-delete",   "0.0001",          "0.0005"),
        ("requests-metadata", "0.0001",          "0.0015"),
        ("tier-standard",     "1",               "0.1"),
        ("tier-high",         "1",               "0.5"),
        ("tier-ultra",        "0.25",            "0.25"),
        ("backup",            "2048",            "0.7268"),   // half of 1.4536
        ("snapshot",          "2048",            "0.43608"),  // 30 % of 1.4536
        ("replication",       "3",               "3"),        // twice 0.50 per GB
        ("encryption",        "7",               "0"),
    ]);
}

#[test]
fn every_bound_of_the_storage_tiers_is_inclusive() {
    #[rustfmt::skip]
    check(STORAGE, &[
        // just below, at and just above each bound; the last billionth is in the tier above
        ("storage", "0",                "0"),
        ("storage", "0.000000001",      "0.000000000001"),
        ("storage", "99.999999999",     "0.099999999999"),
        ("storage", "100",              "0.1"),
        ("storage", "100.000000001",    "0.1000000000008"),
        ("storage", "1023.999999999",   "0.8391999999992"),
        ("storage", "1024",             "0.8392"),
        ("storage", "1024.000000001",   "0.8392000000006"),
        ("storage", "10239.999999999",  "6.3687999999994"),
        ("storage", "10240",            "6.3688"),
        ("storage", "10240.000000001",  "6.3688000000005"),
    ]);
}

#[test]
fn the_sandbox_price_list_and_its_check() {
    #[rustfmt::skip]
    check(SANDBOX, &[
        // item      used     dollars
        ("cpu",      "3600",  "0.0432"),
        ("memory",   "7200",  "0.0288"),
        ("traffic",  "10",    "0.2"),
        ("storage",  "100",   "0.01"),
        ("gpu",      "1",     "0.0006"),
    ]);
    let books = BookVersions::always(book(SANDBOX));
    let used = hour(
        7,
        &[
            ("cpu", "3600"),
            ("memory", "7200"),
            ("traffic", "10"),
            ("storage", "100"),
        ],
    );
    let lines = rate_period(&books, &[used]).expect("rated");
    let bill = bill_totals(&books, Hour(7), &lines).expect("bill");
    assert_eq!(bill.subtotal.to_string(), "0.282");
    // Each line is rounded once; the total is the sum of the rounded lines.
    let rounded: Vec<String> = bill
        .lines
        .iter()
        .map(|it| format!("{} {}", it.item, it.amount))
        .collect();
    assert_eq!(
        rounded,
        [
            "cpu 0.04 USD",
            "memory 0.03 USD",
            "storage 0.01 USD",
            "traffic 0.20 USD"
        ]
    );
    assert_eq!(bill.total.to_string(), "0.28 USD");
}

#[test]
fn tiers_over_the_month_carry_on_from_hour_to_hour() {
    let books = BookVersions::always(book(&one_item(MONTH_TIERS)));
    #[rustfmt::skip]
    let table: &[(&[&str], &[&str], &str)] = &[
        // used in each hour        dollars of each hour      month: F(160) = 300 + 100 + 10
        (&["160"],                  &["410"],                 "410"),
        (&["100", "50", "10"],      &["300", "100", "10"],    "410"),
        (&["99.5", "1", "59.5"],    &["298.5", "2.5", "109"], "410"),
        (&["0", "160"],             &["410"],                 "410"),   // nothing used, no line
        (&["100", "0.000000001"],   &["300", "0.000000002"],  "300.000000002"),
    ];
    for (used, hours, month) in table {
        let (got, sum) = amounts(&books, used);
        let got: Vec<&str> = got.iter().map(String::as_str).collect();
        assert_eq!((got.as_slice(), sum.as_str()), (*hours, *month), "{used:?}");
    }
}

#[test]
fn a_price_change_counts_from_its_hour_on_and_the_position_stays() {
    let new = MONTH_TIERS
        .replace("\"3\"", "\"30\"")
        .replace("\"2\"", "\"20\"")
        .replace("\"1\"", "\"10\"");
    let versions = vec![
        (Hour(0), book(&one_item(MONTH_TIERS))),
        (Hour(1), book(&one_item(&new))),
    ];
    let books = BookVersions::new(versions).expect("rising");
    // 90 at 3; then under the new prices 10 at 30, 50 at 20, 10 at 10.
    assert_eq!(
        amounts(&books, &["90", "70"]),
        (vec!["270".into(), "1400".into()], "1670".into())
    );
    let lines = rate_period(&books, &[hour(0, &[("x", "90")]), hour(1, &[("x", "70")])]).expect("rated");
    assert_eq!((lines[1].before, lines[1].parts.len()), (quantity("90"), 3));
    assert_ne!(lines[0].book, lines[1].book, "each line names its price book");
    let bill = bill_totals(&books, Hour(1), &lines).expect("bill");
    assert_eq!(
        (bill.lines.len(), bill.total.to_string()),
        (1, "1670.00 USD".into())
    );
}

#[test]
fn flat_amounts_are_due_once_in_an_hour_or_month_with_use() {
    let flat = |over: &str| {
        BookVersions::always(book(&one_item(&format!(
            "model = \"flat\"\nprice = \"5\"\nflat_over = \"{over}\""
        ))))
    };
    assert_eq!(
        amounts(&flat("hour"), &["3", "0", "1"]),
        (vec!["5".into(), "5".into()], "10".into())
    );
    assert_eq!(
        amounts(&flat("month"), &["0", "3", "1"]),
        (vec!["5".into(), "0".into()], "5".into())
    );
}

#[test]
fn the_hours_of_a_month_sum_to_the_month_to_the_last_digit() {
    let prices = r#"model = "graduated"
tiers_over = "month"
tiers = [{ up_to = "3.333333333", price = "0.123456789012" }, { up_to = "1000.1", price = "0.000000000001" }, { price = "7" }]"#;
    let books = BookVersions::always(book(&one_item(prices)));
    let mut state: u64 = 88_172_645_463_325_252;
    for _ in 0..50 {
        let mut hours = Vec::new();
        let mut all = Quantity::ZERO;
        for at in 0..744 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let used =
                Quantity::from_base_units(u128::from(state % 4_000_000_007), 1_000_000_007).expect("fits");
            all = all.checked_add(used).expect("fits");
            hours.push(HourUsage {
                hour: Hour(at),
                day: Hour(at / 24 * 24),
                quantities: vec![(key("x"), used)],
            });
        }
        let lines = rate_period(&books, &hours).expect("rated");
        let whole = HourUsage {
            hour: Hour(0),
            day: Hour(0),
            quantities: vec![(key("x"), all)],
        };
        let month = rate_period(&books, &[whole]).expect("rated");
        let sum = Amount::sum(lines.iter().map(|it| it.amount)).expect("sum");
        assert_eq!(sum, month[0].amount, "I7");
        let bill = bill_totals(&books, Hour(743), &lines).expect("bill");
        assert_eq!((bill.subtotal, bill.lines[0].quantity), (sum, all), "I7");
    }
}

#[test]
fn a_bill_adds_up_on_paper() {
    let line = |key: &str, price: &str| {
        format!(
            "[[item]]\nkey = \"{key}\"\ntitle = \"{key}\"\nmeters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"per_unit\"\nprice = \"{price}\"\n"
        )
    };
    let text = format!(
        "format = 1\nname = \"T\"\ncurrency = \"USD\"\n{}{}{}",
        line("c", "0.005"),
        line("a", "0.005"),
        line("b", "0.004")
    );
    let books = BookVersions::always(book(&text));
    let lines = rate_period(&books, &[hour(3, &[("a", "1"), ("b", "1"), ("c", "1")])]).expect("rated");
    let bill = bill_totals(&books, Hour(3), &lines).expect("bill");
    let printed: Vec<String> = bill
        .lines
        .iter()
        .map(|it| format!("{} {}", it.item, it.amount.number()))
        .collect();
    assert_eq!(
        printed,
        ["c 0.01", "a 0.01", "b 0.00"],
        "in the order of the price book"
    );
    assert_eq!(
        (bill.subtotal.to_string(), bill.total.number()),
        ("0.014".into(), "0.02".into())
    );
    let empty = bill_totals(&books, Hour(3), &[]).expect("bill");
    assert_eq!(
        (empty.lines.len(), empty.total.to_string()),
        (0, "0.00 USD".into())
    );
}

#[test]
fn cells_are_summed_before_the_one_rounding() {
    let sandbox = book(SANDBOX);
    let none = Dims::new();
    let cell = |meter, sum| MeterSum {
        meter,
        dims: &none,
        sum,
    };
    let item = |key_text: &str| sandbox.item(&key(key_text)).expect("item");
    // A cell of 1,000,000 byte-milliseconds alone rounds to nothing, two of them to a billionth of a GiB-hour.
    let capacity = Meter::by_name("storage.capacity").expect("meter");
    let small = [
        cell(capacity, 1_000_000),
        cell(Meter::CPU_TIME, 9),
        cell(capacity, 1_000_000),
    ];
    assert_eq!(quantity_of(item("storage"), [small[0]]), Ok(Quantity::ZERO));
    assert_eq!(quantity_of(item("storage"), small), Ok(quantity("0.000000001")));
    let gib_second = 1_073_741_824_000;
    let memory = [
        cell(Meter::MEMORY_CURRENT, 3 * gib_second),
        cell(Meter::MEMORY_INACTIVE_FILE, gib_second),
    ];
    assert_eq!(quantity_of(item("memory"), memory), Ok(quantity("2")));
    let (quantities, errors) = quantities_of_hour(&sandbox, &[small.as_slice(), &memory].concat());
    assert_eq!(
        quantities.iter().map(|(it, _)| it.as_str()).collect::<Vec<_>>(),
        ["cpu", "memory", "storage"]
    );
    assert_eq!(errors, []);
}

#[test]
fn dimensions_choose_the_item() {
    let storage = book(STORAGE);
    let meter = Meter::by_name("instance.time").expect("meter");
    let tier = |value: &str| {
        Dims::from([
            ("tier".to_owned(), value.to_owned()),
            ("region".to_owned(), "eu".to_owned()),
        ])
    };
    let (high, ultra, none) = (tier("high"), tier("ultra"), Dims::new());
    let cells = [
        (&high, 3_600_000),
        (&high, 1_800_000),
        (&ultra, 900_000),
        (&none, 5),
    ]
    .map(|(dims, sum)| MeterSum { meter, dims, sum });
    let (quantities, _) = quantities_of_hour(&storage, &cells);
    let got: Vec<String> = quantities
        .iter()
        .map(|(item, it)| format!("{item} {it}"))
        .collect();
    assert_eq!(got, ["tier-high 1.5", "tier-ultra 0.25"]);
}

#[test]
fn less_than_nothing_is_shown_and_not_made_nothing() {
    let sandbox = book(SANDBOX);
    let none = Dims::new();
    let cells = [
        MeterSum {
            meter: Meter::MEMORY_CURRENT,
            dims: &none,
            sum: 10,
        },
        MeterSum {
            meter: Meter::MEMORY_INACTIVE_FILE,
            dims: &none,
            sum: 11,
        },
        MeterSum {
            meter: Meter::CPU_TIME,
            dims: &none,
            sum: 1_000_000_000,
        },
    ];
    let (quantities, errors) = quantities_of_hour(&sandbox, &cells);
    assert_eq!(
        quantities,
        [(key("cpu"), quantity("1"))],
        "the other items are rated"
    );
    assert_eq!(
        errors,
        [RatingError::NegativeUsage {
            item: key("memory"),
            plus: 10,
            minus: 11
        }]
    );
    let large = [u128::MAX, 1].map(|sum| MeterSum {
        meter: Meter::CPU_TIME,
        dims: &none,
        sum,
    });
    let (_, errors) = quantities_of_hour(&sandbox, &large);
    assert_eq!(
        errors,
        [RatingError::SumTooLarge {
            item: key("cpu"),
            meter: Meter::CPU_TIME
        }]
    );
}

#[test]
fn what_can_not_be_rated_is_named() {
    let per_unit = "model = \"per_unit\"\nprice = \"1\"";
    let first = book(&one_item(per_unit));
    let other_unit = book(&one_item(per_unit).replace("\"request\"", "\"1000 requests\""));
    let euro = book(&one_item(per_unit).replace("USD", "EUR"));
    let versions = |later: &Arc<PriceBook>| {
        BookVersions::new(vec![(Hour(5), Arc::clone(&first)), (Hour(6), Arc::clone(later))]).expect("rising")
    };
    let used = |at| hour(at, &[("x", "1")]);
    let fails =
        |books: &BookVersions, hours: &[HourUsage]| rate_period(books, hours).expect_err("fails").to_string();
    #[rustfmt::skip]
    let table = [
        (fails(&versions(&euro), &[used(4)]),          "no price book is in force at 1970-01-01T04:00:00Z"),
        (fails(&versions(&euro), &[used(5), used(5)]), "hour 1970-01-01T05:00:00Z is not after the hour before it"),
        (fails(&versions(&euro), &[used(5), used(6)]), "the currency changes from USD to EUR inside the period"),
        (fails(&versions(&other_unit), &[used(5), used(6)]),
         "item `x` changes its unit from request to 1000 requests at 1970-01-01T06:00:00Z inside a month"),
        (fails(&versions(&euro), &[hour(5, &[("y", "1")])]),             "the price book has no item `y`"),
        (fails(&versions(&euro), &[hour(5, &[("x", "1"), ("x", "2")])]), "item `x` is twice in the hour 1970-01-01T05:00:00Z"),
    ];
    for (got, wanted) in table {
        assert_eq!(got, wanted);
    }
    assert_eq!(
        other_unit.needs_new_month_after(&first),
        ["item `x` changes its unit from request to 1000 requests"]
    );
    assert_eq!(
        euro.needs_new_month_after(&first),
        ["the currency changes from USD to EUR"]
    );
}

#[test]
fn an_error_leaves_the_position_as_it_was() {
    let book = book(&one_item(MONTH_TIERS));
    let mut position = Position::default();
    rate_hour(&book, &mut position, &hour(0, &[("x", "7")])).expect("rated");
    let before = position.clone();
    assert!(rate_hour(&book, &mut position, &hour(1, &[("x", "7"), ("y", "1")])).is_err());
    assert_eq!((&position, position.of(&key("x"))), (&before, quantity("7")));
}
