//! Every bound at −ε, 0 and +ε, ε being a billionth of the unit, for each charge model; and the user's own price lists.
//!
//! Rows are: used in the span, what it costs. A column says how, so that a person can check it.

use std::sync::Arc;

use tallyman_aggregator_core::rating::{BookVersions, HourUsage, PriceBook, bill_totals, rate_period};
use tallyman_common::money::{Amount, Quantity};
use tallyman_common::time::Hour;

use crate::hand;
use crate::product::key;

const STORAGE: &str = include_str!("../../../../deploy/price-books/storage-cny.toml");
const SANDBOX: &str = include_str!("../../../../deploy/price-books/sandbox-usd.toml");

fn item(model: &str) -> String {
    format!(
        "format = 1\nname = \"T\"\ncurrency = \"USD\"\n[[item]]\nkey = \"x\"\ntitle = \"X\"\n\
         meters = [\"requests.read\"]\nunit = \"request\"\n{model}\n"
    )
}

fn books(text: &str) -> BookVersions {
    let book = PriceBook::parse(text).unwrap_or_else(|faults| panic!("{faults:#?}\n{text}"));
    BookVersions::always(Arc::new(book))
}

fn hour(at: u32, item: &str, used: &str) -> HourUsage {
    HourUsage {
        hour: Hour(at),
        day: Hour(at / 24 * 24),
        quantities: vec![(key(item), Quantity::parse(used).expect("a quantity"))],
    }
}

/// Each row is a month of its own: (item, used, how it is worked out). Used in one hour or, where the spans allow it, in two
/// halves of a day, it costs the same.
fn check(text: &str, is_whole_day: bool, table: &[(&str, &str, &str)]) {
    let books = books(text);
    for (item, used, how) in table {
        let wanted = match how.contains('=') {
            true => hand::check(how).unwrap_or_else(|e| panic!("{how}: {e}")),
            false => crate::exact::Ratio::read(how).expect("a number"),
        };
        let cost = |hours: &[HourUsage]| {
            let lines = rate_period(&books, hours).unwrap_or_else(|e| panic!("{e}"));
            Amount::sum(lines.iter().map(|it| it.amount))
                .expect("it adds up")
                .to_string()
        };
        assert_eq!(
            cost(&[hour(0, item, used)]),
            wanted.to_string(),
            "{used} of {item}"
        );
        if is_whole_day {
            let all = Quantity::parse(used).expect("a quantity");
            let one = Quantity::parse("0.000000001").expect("a quantity");
            let Ok(rest) = all.checked_sub(one) else { continue };
            let rest = rest.decimal().to_string();
            let split = [hour(0, item, "0.000000001"), hour(23, item, &rest)];
            assert_eq!(cost(&split), wanted.to_string(), "{used} of {item} in two hours");
        }
    }
}

/// Protects: a bound belongs to the tier below it, the last billionth above it to the next, and no quantity is in none.
#[test]
fn graduated() {
    let tiers = "tiers = [{ up_to = \"100\", price = \"3\" }, { up_to = \"150.5\", price = \"2\" }, { price = \"1\" }]";
    for (over, is_whole_day) in [("hour", false), ("day", true), ("month", true)] {
        let text = item(&format!(
            "model = \"graduated\"\ntiers_over = \"{over}\"\n{tiers}"
        ));
        #[rustfmt::skip]
        check(&text, is_whole_day, &[
            ("x", "0",             "0"),
            ("x", "0.000000001",   "0.000000001 × 3 = 0.000000003"),
            ("x", "99.999999999",  "99.999999999 × 3 = 299.999999997"),
            ("x", "100",           "100 × 3 = 300"),
            ("x", "100.000000001", "100 × 3 + 0.000000001 × 2 = 300.000000002"),
            ("x", "150.499999999", "100 × 3 + 50.499999999 × 2 = 400.999999998"),
            ("x", "150.5",         "100 × 3 + 50.5 × 2 = 401"),
            ("x", "150.500000001", "100 × 3 + 50.5 × 2 + 0.000000001 × 1 = 401.000000001"),
        ]);
    }
}

/// Protects: fees are due when a tier is entered, by the first billionth in it, not by the bound below.
#[test]
fn fees_of_tiers() {
    let tiers = "tiers = [{ up_to = \"10\", price = \"1\", fee = \"5\" }, { price = \"2\", fee = \"50\" }]";
    let text = item(&format!("model = \"graduated\"\ntiers_over = \"month\"\n{tiers}"));
    #[rustfmt::skip]
    check(&text, true, &[
        ("x", "0",            "0"),
        ("x", "0.000000001",  "5 + 0.000000001 × 1 = 5.000000001"),
        ("x", "9.999999999",  "5 + 9.999999999 × 1 = 14.999999999"),
        ("x", "10",           "5 + 10 × 1 = 15"),
        ("x", "10.000000001", "5 + 10 × 1 + 50 + 0.000000001 × 2 = 65.000000002"),
    ]);
}

/// Protects: the whole takes the price of the tier that it reaches, the bound that of the tier below.
#[test]
fn volume() {
    let tiers = "tiers = [{ up_to = \"100\", price = \"3\" }, { up_to = \"150\", price = \"2\", fee = \"7\" }, { price = \"1\" }]";
    for (over, is_whole_day) in [("hour", false), ("day", true), ("month", true)] {
        let text = item(&format!("model = \"volume\"\ntiers_over = \"{over}\"\n{tiers}"));
        #[rustfmt::skip]
        check(&text, is_whole_day, &[
            ("x", "0",             "0"),
            ("x", "99.999999999",  "99.999999999 × 3 = 299.999999997"),
            ("x", "100",           "100 × 3 = 300"),
            ("x", "100.000000001", "100.000000001 × 2 + 7 = 207.000000002"),
            ("x", "149.999999999", "149.999999999 × 2 + 7 = 306.999999998"),
            ("x", "150",           "150 × 2 + 7 = 307"),
            ("x", "150.000000001", "150.000000001 × 1 = 150.000000001"),
        ]);
    }
}

/// Protects: a step has one amount for (bound below, own bound].
#[test]
fn stairstep() {
    let tiers = "tiers = [{ up_to = \"10\", amount = \"5\" }, { up_to = \"20\", amount = \"8\" }, { amount = \"12\" }]";
    for (over, is_whole_day) in [("hour", false), ("day", true), ("month", true)] {
        let text = item(&format!(
            "model = \"stairstep\"\ntiers_over = \"{over}\"\n{tiers}"
        ));
        #[rustfmt::skip]
        check(&text, is_whole_day, &[
            ("x", "0",            "0"),
            ("x", "0.000000001",  "5"),
            ("x", "9.999999999",  "5"),
            ("x", "10",           "5"),
            ("x", "10.000000001", "8"),
            ("x", "19.999999999", "8"),
            ("x", "20",           "8"),
            ("x", "20.000000001", "12"),
        ]);
    }
}

/// Protects: packages behind an allowance: what is free opens none, the first billionth behind it opens one.
#[test]
fn packages_behind_an_allowance() {
    for (over, is_whole_day) in [("hour", false), ("day", true), ("month", true)] {
        let text = item(&format!(
            "model = \"package\"\nprice = \"7\"\nsize = \"10\"\npackage_over = \"{over}\"\nallowance = \"5\"\nallowance_over = \"{over}\""
        ));
        #[rustfmt::skip]
        check(&text, is_whole_day, &[
            ("x", "0",            "0"),
            ("x", "4.999999999",  "0"),
            ("x", "5",            "0"),
            ("x", "5.000000001",  "up(0.000000001 / 10) × 7 = 7"),
            ("x", "14.999999999", "up(9.999999999 / 10) × 7 = 7"),
            ("x", "15",           "up(10 / 10) × 7 = 7"),
            ("x", "15.000000001", "up(10.000000001 / 10) × 7 = 14"),
        ]);
    }
}

/// Protects: an allowance and a least quantity at their bounds.
#[test]
fn allowances_and_least_quantities() {
    for (over, is_whole_day) in [("hour", false), ("day", true), ("month", true)] {
        let text = item(&format!(
            "model = \"per_unit\"\nprice = \"2\"\nallowance = \"10\"\nallowance_over = \"{over}\""
        ));
        #[rustfmt::skip]
        check(&text, is_whole_day, &[
            ("x", "9.999999999",  "0"),
            ("x", "10",           "0"),
            ("x", "10.000000001", "0.000000001 × 2 = 0.000000002"),
        ]);
    }
    #[rustfmt::skip]
    check(&item("model = \"per_unit\"\nprice = \"2\"\nat_least = \"0.5\""), false, &[
        ("x", "0",           "0"),
        ("x", "0.000000001", "0.5 × 2 = 1"),
        ("x", "0.499999999", "0.5 × 2 = 1"),
        ("x", "0.5",         "0.5 × 2 = 1"),
        ("x", "0.500000001", "0.500000001 × 2 = 1.000000002"),
    ]);
}

/// Protects: the user's storage list as it ships, each bound at −ε, 0, +ε; 2 TiB held for an hour cost ¥1.4536; shares of
/// the storage price climb its tiers for their own capacity.
#[test]
fn the_storage_list_of_the_user() {
    #[rustfmt::skip]
    check(STORAGE, false, &[
        ("storage",     "99.999999999",    "99.999999999 × 0.001 = 0.099999999999"),
        ("storage",     "100",             "100 × 0.001 = 0.1"),
        ("storage",     "100.000000001",   "0.1 + 0.000000001 × 0.0008 = 0.1000000000008"),
        ("storage",     "1023.999999999",  "0.1 + 923.999999999 × 0.0008 = 0.8391999999992"),
        ("storage",     "1024",            "0.1 + 924 × 0.0008 = 0.8392"),
        ("storage",     "1024.000000001",  "0.8392 + 0.000000001 × 0.0006 = 0.8392000000006"),
        ("storage",     "2048",            "100 × 0.001 + 924 × 0.0008 + 1024 × 0.0006 = 1.4536"),
        ("storage",     "10239.999999999", "0.8392 + 9215.999999999 × 0.0006 = 6.3687999999994"),
        ("storage",     "10240",           "0.8392 + 9216 × 0.0006 = 6.3688"),
        ("storage",     "10240.000000001", "6.3688 + 0.000000001 × 0.0005 = 6.3688000000005"),
        ("backup",      "100",             "100 × 0.001 × 50 % = 0.05"),
        ("backup",      "100.000000001",   "0.05 + 0.000000001 × 0.0008 × 50 % = 0.0500000000004"),
        ("backup",      "2048",            "1.4536 × 50 % = 0.7268"),
        ("snapshot",    "1024",            "0.8392 × 30 % = 0.25176"),
        ("snapshot",    "2048",            "1.4536 × 30 % = 0.43608"),
        ("replication", "3",               "3 × 0.50 × 200 % = 3"),
        ("traffic-out", "1",               "0.50"),
        ("traffic-in",  "1",               "0"),
        ("requests-read",     "1",         "10"),
        ("requests-write",    "1",         "20"),
        ("requests-delete",   "1",         "5"),
        ("requests-metadata", "1",         "15"),
        ("tier-standard", "1",             "0.10"),
        ("tier-high",     "1",             "0.50"),
        ("tier-ultra",    "1",             "1"),
        ("encryption",    "1",             "0"),
    ]);
}

/// Protects: the check that the user gave for the sandbox list, $0.282, to the last digit.
#[test]
fn the_sandbox_check_of_the_user() {
    let used = [
        ("cpu", "3600"),
        ("memory", "7200"),
        ("traffic", "10"),
        ("storage", "100"),
    ];
    #[rustfmt::skip]
    check(SANDBOX, false, &[
        ("cpu",     "3600", "3600 × 0.000012 = 0.0432"),
        ("memory",  "7200", "7200 × 0.000004 = 0.0288"),
        ("traffic", "10",   "10 × 0.02 = 0.2"),
        ("storage", "100",  "100 × 0.0001 = 0.01"),
        ("gpu",     "1",    "0.0006"),
    ]);
    let quantities = used
        .map(|(item, it)| (key(item), Quantity::parse(it).expect("a quantity")))
        .to_vec();
    let (books, at) = (books(SANDBOX), Hour(5));
    let usage = HourUsage {
        hour: at,
        day: Hour(0),
        quantities,
    };
    let lines = rate_period(&books, &[usage]).expect("rated");
    let bill = bill_totals(&books, at, &lines).expect("a bill");
    assert_eq!(
        (bill.subtotal.to_string(), bill.total.to_string()),
        ("0.282".into(), "0.28 USD".into())
    );
}

/// Protects: how far exact amounts reach, as `docs/adr/0003-exact-arithmetic.md` says it: the last one that fits, and the
/// refusal of the next by the item's name.
#[test]
fn amounts_at_the_end_of_their_digits() {
    #[rustfmt::skip]
    let table = [
        // price            last quantity that fits     the next one
        ("0.999999999999",  "79228162.514343565",       "79228162.514343566"),
        ("0.999999",        "79228241742506.080099624", "79228241742506.080099625"),
        ("1",               "79228162514264337593.543950335", "79228162514264337593.543950336"),
    ];
    for (price, last, next) in table {
        let books = books(&item(&format!("model = \"per_unit\"\nprice = \"{price}\"")));
        let lines = rate_period(&books, &[hour(0, "x", last)]).expect("it fits");
        let read = |text: &str| crate::exact::Ratio::read(text).expect("a number");
        assert_eq!(
            lines[0].amount.to_string(),
            (read(price) * read(last)).to_string()
        );
        let Ok(next) = Quantity::parse(next) else { continue };
        let refused = rate_period(&books, &[hour(0, "x", &next.to_string())]).expect_err("it does not");
        assert_eq!(
            refused.to_string(),
            "item `x`: the exact result of a multiplication has too many digits"
        );
    }
}
