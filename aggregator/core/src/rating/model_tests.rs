//! One table per charge model, each with what it protects. Rows are hours in order: what was used, what the hour costs.

use std::sync::Arc;

use tallyman_common::money::{Amount, Quantity};

use super::*;

const HEAD: &str = "format = 1\nname = \"T\"\ncurrency = \"USD\"\n";

/// A book with one item `x` for requests.
fn book(model: &str) -> Arc<PriceBook> {
    let item = "[[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"requests.read\"]\nunit = \"request\"\n";
    let text = format!("{HEAD}{item}{model}\n");
    Arc::new(PriceBook::parse(&text).unwrap_or_else(|faults| panic!("{faults:?}\n{text}")))
}

fn usage(at: u32, used: &str) -> HourUsage {
    HourUsage {
        hour: Hour(at),
        day: Hour(at / 24 * 24),
        quantities: vec![(
            ItemKey::parse("x").expect("key"),
            Quantity::parse(used).expect("quantity"),
        )],
    }
}

/// Rates hours of a month: (hour, used, wanted amount). Parts less what the span had cost before must be the amount.
fn check(books: &BookVersions, table: &[(u32, &str, &str)]) {
    let hours: Vec<HourUsage> = table.iter().map(|(at, used, _)| usage(*at, used)).collect();
    let lines = rate_period(books, &hours).unwrap_or_else(|e| panic!("{e}"));
    for (at, used, wanted) in table {
        let line = lines.iter().find(|it| it.hour.0 == *at);
        let got = line.map_or(Amount::ZERO, |it| it.amount);
        assert_eq!(got.to_string(), *wanted, "{used} in hour {at}");
        let Some(line) = line else { continue };
        let sum = |parts: &[TierPart]| Amount::sum(parts.iter().map(|it| it.amount)).expect("fits");
        let parts = sum(&line.parts).checked_sub(sum(&line.less)).expect("fits");
        assert_eq!(parts, line.amount, "I7: the parts of hour {at}");
    }
}

fn always(model: &str) -> BookVersions {
    BookVersions::always(book(model))
}

const BOUNDS: &str =
    "tiers = [{ up_to = \"100\", price = \"3\" }, { up_to = \"150\", price = \"2\" }, { price = \"1\" }]";

/// Protects: a bound belongs to the tier below it, any fraction above to the next, and no quantity is without a price.
#[test]
fn graduated_tiers_at_their_bounds() {
    let books = always(&format!("model = \"graduated\"\ntiers_over = \"hour\"\n{BOUNDS}"));
    #[rustfmt::skip]
    check(&books, &[
        (0, "99.999999999",  "299.999999997"),
        (1, "100",           "300"),
        (2, "100.000000001", "300.000000002"),
        (3, "149.999999999", "399.999999998"),
        (4, "150",           "400"),
        (5, "150.000000001", "400.000000001"),
        (6, "0",             "0"),
    ]);
}

/// Protects: all units take the price of the tier that is reached, so that a total may fall at a bound; within a month the
/// hour that crosses it is negative and is kept.
#[test]
fn volume_tiers_reprice_the_whole() {
    let books = always(&format!("model = \"volume\"\ntiers_over = \"hour\"\n{BOUNDS}"));
    #[rustfmt::skip]
    check(&books, &[
        (0, "99.999999999",  "299.999999997"),
        (1, "100",           "300"),
        (2, "100.000000001", "200.000000002"),
        (3, "150",           "300"),
        (4, "150.000000001", "150.000000001"),
    ]);
    let books = always(&format!("model = \"volume\"\ntiers_over = \"month\"\n{BOUNDS}"));
    #[rustfmt::skip]
    check(&books, &[
        (0, "100", "300"),
        (1, "1",   "-98"),  // 101 × 2 − 100 × 3
        (2, "49",  "98"),   // 150 × 2 − 101 × 2
        (3, "1",   "-149"), // 151 × 1 − 150 × 2
    ]);
}

/// Protects: a step is one amount for all that lies in it, due once a span.
#[test]
fn stairstep_has_one_amount_a_step() {
    let steps = "tiers = [{ up_to = \"10\", amount = \"5\" }, { up_to = \"20\", amount = \"8\" }, { amount = \"12\" }]";
    let books = always(&format!("model = \"stairstep\"\ntiers_over = \"day\"\n{steps}"));
    #[rustfmt::skip]
    check(&books, &[
        (0,  "0.000000001", "5"),
        (1,  "9",           "0"),
        (2,  "1.5",         "3"),
        (3,  "100",         "4"),
        (24, "10",          "5"), // the next day begins at 0
        (25, "0.1",         "3"),
    ]);
}

/// Protects: a tier's fee is due once, in the hour that enters it, and not for a quantity that only reaches its bound.
#[test]
fn fees_are_due_when_a_tier_is_entered() {
    let tiers = "tiers = [{ up_to = \"10\", price = \"1\", fee = \"100\" }, { price = \"2\", fee = \"50\" }]";
    let books = always(&format!("model = \"graduated\"\ntiers_over = \"month\"\n{tiers}"));
    check(
        &books,
        &[(0, "4", "104"), (1, "6", "6"), (2, "1", "52"), (3, "1", "2")],
    );
    let books = always(&format!("model = \"volume\"\ntiers_over = \"month\"\n{tiers}"));
    check(&books, &[(0, "10", "110"), (1, "1", "-38"), (2, "1", "2")]);
}

/// Protects: packages are whole, round up after the allowance, and carry over the hours of a split period.
#[test]
fn packages_round_up_behind_the_allowance() {
    let books = always(
        "model = \"package\"\nprice = \"7\"\nsize = \"10\"\npackage_over = \"month\"\n\
         allowance = \"5\"\nallowance_over = \"month\"",
    );
    #[rustfmt::skip]
    check(&books, &[
        (0, "5",           "0"),  // all free
        (1, "0.000000001", "7"),  // the first package
        (2, "9.999999999", "0"),  // filled
        (3, "0.1",         "7"),
        (4, "19.9",        "7"),
        (5, "0.000000001", "7"),
    ]);
    let books = always("model = \"package\"\nprice = \"7\"\nsize = \"0.25\"\npackage_over = \"hour\"");
    check(
        &books,
        &[(0, "0.25", "7"), (1, "0.250000001", "14"), (2, "1", "28")],
    );
}

/// Protects: an allowance comes off before tiers, once a span of its own, which need not be the tiers'.
#[test]
fn allowances_come_off_before_tiers() {
    let books = always(&format!(
        "model = \"graduated\"\ntiers_over = \"hour\"\nallowance = \"10\"\nallowance_over = \"month\"\n{BOUNDS}"
    ));
    #[rustfmt::skip]
    check(&books, &[
        (0, "4",   "0"),
        (1, "6",   "0"),
        (2, "101", "302"), // nothing is free any more; tiers are the hour's own
        (3, "101", "302"),
    ]);
    let books = always("model = \"per_unit\"\nprice = \"2\"\nallowance = \"10\"\nallowance_over = \"day\"");
    #[rustfmt::skip]
    check(&books, &[
        (22, "8", "0"),
        (23, "8", "12"),
        (24, "8", "0"),  // a new day
        (25, "2", "0"),
        (26, "2", "4"),
    ]);
}

/// Protects: used = free + billed, where nothing is raised.
#[test]
fn used_is_free_and_billed() {
    let books = always(&format!(
        "model = \"graduated\"\ntiers_over = \"month\"\nallowance = \"40\"\nallowance_over = \"month\"\n{BOUNDS}"
    ));
    let hours: Vec<HourUsage> = (0..20).map(|at| usage(at, "13.7")).collect();
    for line in rate_period(&books, &hours).expect("rated") {
        let billed = line.parts.iter().map(|it| it.quantity);
        let all = billed.fold(line.free, |sum, it| sum.checked_add(it).expect("fits"));
        assert_eq!(all, line.quantity);
    }
}

/// Protects: an hour with any usage is billed for at least so much, and one without for nothing.
#[test]
fn least_quantities_of_an_hour() {
    let books = always("model = \"per_unit\"\nprice = \"2\"\nat_least = \"1\"");
    #[rustfmt::skip]
    check(&books, &[
        (0, "0.000000001", "2"),
        (1, "1",           "2"),
        (2, "1.5",         "3"),
        (3, "0",           "0"),
    ]);
}

/// Protects: a flat amount is due once in each span with usage.
#[test]
fn flat_amounts_by_hour_day_and_month() {
    #[rustfmt::skip]
    let table = [
        ("hour",  ["9", "9", "9", "9"]),
        ("day",   ["9", "0", "9", "0"]),
        ("month", ["9", "0", "0", "0"]),
    ];
    for (over, amounts) in table {
        let books = always(&format!(
            "model = \"flat\"\nprice = \"9\"\nflat_over = \"{over}\""
        ));
        let hours = [0, 23, 24, 25];
        let rows: Vec<(u32, &str, &str)> = hours.into_iter().zip(amounts).map(|(h, a)| (h, "1", a)).collect();
        check(&books, &rows);
    }
}

/// Protects: the position on tiers and what was used of an allowance carry over new prices, unless the item resets.
#[test]
fn positions_carry_over_new_prices_unless_the_item_resets() {
    let model = |price: &str, reset: &str| {
        book(&format!(
            "model = \"graduated\"\ntiers_over = \"month\"\nallowance = \"2\"\nallowance_over = \"month\"\n{reset}\n\
             tiers = [{{ up_to = \"10\", price = \"{price}\" }}, {{ price = \"1\" }}]"
        ))
    };
    let versions = |reset: &str| {
        let both = vec![(Hour(0), model("3", "")), (Hour(2), model("5", reset))];
        BookVersions::new(both).expect("rising")
    };
    check(&versions(""), &[(0, "2", "0"), (1, "9", "27"), (2, "4", "8")]); // 1×5 + 3×1
    check(
        &versions("reset = true"),
        &[(0, "2", "0"), (1, "9", "27"), (2, "4", "10")],
    ); // 2 free, 2×5
}

/// Protects: a share of other items' amounts is exact, follows them hour by hour, and may be taken of a share again.
#[test]
fn shares_of_amounts() {
    let text = format!(
        "{HEAD}[[item]]\nkey = \"support\"\ntitle = \"S\"\nmodel = \"percent_of_amount\"\nof = [\"x\", \"care\"]\npercent = \"10\"\n\
         [[item]]\nkey = \"care\"\ntitle = \"C\"\nmodel = \"percent_of_amount\"\nof = \"x\"\npercent = \"2.5\"\n\
         [[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"requests.read\"]\nunit = \"request\"\nmodel = \"per_unit\"\nprice = \"0.4\"\n"
    );
    let book = Arc::new(PriceBook::parse(&text).unwrap_or_else(|f| panic!("{f:?}")));
    let lines = rate_period(&BookVersions::always(book), &[usage(0, "100")]).expect("rated");
    let rows: Vec<String> = lines
        .iter()
        .map(|it| format!("{} {}", it.item, it.amount))
        .collect();
    assert_eq!(rows, ["x 40", "care 1", "support 4.1"]);
}

/// Protects: what can't be priced is refused where it is written.
#[test]
fn faults_of_models() {
    let item = |rest: &str| {
        format!(
            "{HEAD}[[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"requests.read\"]\nunit = \"request\"\n{rest}\n"
        )
    };
    let share = |key: &str, of: &str| {
        format!(
            "[[item]]\nkey = \"{key}\"\ntitle = \"{key}\"\nmodel = \"percent_of_amount\"\nof = \"{of}\"\npercent = \"1\"\n"
        )
    };
    #[rustfmt::skip]
    let table: Vec<(String, &str)> = vec![
        (item("model = \"package\"\nprice = \"1\"\nsize = \"0\"\npackage_over = \"hour\""),
         "line 11: item `x`: `size` of a package is above 0"),
        (item("model = \"per_unit\"\nprice = \"1000000001\""),
         "line 10: item `x`: `price = \"1000000001\"` is above 1000000000: is that a slip of the pen?"),
        (item("model = \"per_unit\"\nprice = \"1\"\nallowance = \"3\""),
         "line 4: item `x`: `allowance_over` is missing"),
        (item("model = \"stairstep\"\ntiers_over = \"hour\"\ntiers = [{ price = \"1\" }]"),
         "line 11: item `x`: tier 1 unknown key `price`; known are `up_to`, `amount`"),
        (item("model = \"per_unit\"\nprice = \"1\"\nminimum = \"5\"\nmaximum = \"4\""),
         "line 4: item `x`: `minimum` is above `maximum`"),
        (item("model = \"percentile\"\npercentile = \"95\"\nprice = \"1\""),
         "line 8: item `x`: model `percentile` is priced by a rate such as `Mbit/s`, not by `request`"),
        (format!("{HEAD}{}{}", share("a", "b"), share("b", "a")),
         "line 14: item `b`: takes a share of its own amount: a → b → a"),
        (format!("{HEAD}{}", share("a", "a")),
         "line 8: item `a`: takes a share of its own amount: a → a"),
        (format!("{HEAD}{}", share("a", "c")),
         "line 8: item `a`: there is no item `c` to take amounts from"),
    ];
    for (text, wanted) in table {
        let faults = PriceBook::parse(&text).expect_err(wanted);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert!(
            faults.iter().any(|it| it == wanted),
            "{wanted}\nis not among {faults:#?}"
        );
    }
}
