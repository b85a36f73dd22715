//! What price books and terms are refused for: the faulty lines, and the whole message with its line and its reason.
//!
//! A refusal gives no book, so nothing is changed by it.

use tallyman_aggregator_core::rating::{PriceBook, Terms};

/// Three lines; items begin on line 4.
const HEAD: &str = "format = 1\nname = \"T\"\ncurrency = \"USD\"\n";

/// Eight lines: `[[item]]` on 4, `key` on 5, `unit` on 8; what follows begins on 9.
const ITEM: &str = "[[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"requests.read\"]\nunit = \"request\"\n";

const GOOD: &str = "model = \"per_unit\"\nprice = \"1\"\n";

fn faults(text: &str) -> Vec<String> {
    match PriceBook::parse(text) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

/// Each row: lines behind `before`, and what is said of them, all of it.
fn check(before: &str, table: &[(&str, &str)]) {
    let mut wrong = Vec::new();
    for (lines, wanted) in table {
        let got = faults(&format!("{before}{lines}\n"));
        if got != [*wanted] {
            wrong.push(format!("{lines}\n  wanted {wanted}\n  got    {got:#?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Protects: no quantity is without a price, and none has two.
#[test]
fn tiers_with_gaps_and_overlaps() {
    let before = format!("{HEAD}{ITEM}model = \"graduated\"\ntiers_over = \"hour\"\n");
    #[rustfmt::skip]
    check(&before, &[
        ("tiers = [\n{ up_to = \"100\", price = \"2\" },\n{ up_to = \"100\", price = \"1\" },\n{ price = \"1\" },\n]",
         "line 13: item `x`: tier 2 `up_to = 100` is not above 100"),
        ("tiers = [\n{ up_to = \"100\", price = \"2\" },\n{ up_to = \"50\", price = \"1\" },\n{ price = \"1\" },\n]",
         "line 13: item `x`: tier 2 `up_to = 50` is not above 100"),
        ("tiers = [\n{ up_to = \"0\", price = \"2\" },\n{ price = \"1\" },\n]",
         "line 12: item `x`: tier 1 `up_to = 0` is not above 0"),
        ("tiers = [\n{ price = \"2\" },\n{ price = \"1\" },\n]",
         "line 12: item `x`: tier 1 has no `up_to`; only the last tier is open"),
        ("tiers = [\n{ up_to = \"100\", price = \"2\" },\n]",
         "line 12: item `x`: tier 1 is the last and must be open: leave its `up_to` out"),
        ("tiers = [\n{ from = \"100\", price = \"2\" },\n]",
         "line 12: item `x`: tier 1 unknown key `from`; known are `up_to`, `price`, `fee`"),
        ("tiers = []", "line 4: item `x`: tier 1 is missing: an item with tiers has at least one"),
        ("tiers = [\n{ up_to = \"-1\", price = \"2\" },\n{ price = \"1\" },\n]",
         "line 12: item `x`: tier 1 `up_to`: quantity -1 is negative"),
    ]);
    let before = format!("{HEAD}{ITEM}model = \"stairstep\"\ntiers_over = \"week\"\n");
    check(
        &before,
        &[(
            "tiers = [{ amount = \"2\" }]",
            "line 10: item `x`: `tiers_over = \"week\"` is not known; `hour`, `day` and `month` are",
        )],
    );
}

/// Protects: prices are decimal strings of sane size, exact.
#[test]
fn prices_negative_absurd_or_no_numbers() {
    let before = format!("{HEAD}{ITEM}model = \"per_unit\"\n");
    #[rustfmt::skip]
    check(&before, &[
        ("price = \"-0.01\"",      "line 10: item `x`: `price`: price -0.01 is negative"),
        ("price = \"1000000001\"", "line 10: item `x`: `price = \"1000000001\"` is above 1000000000: is that a slip of the pen?"),
        ("price = 0.01",           "line 10: item `x`: `price = 0.01`: binary fractions have no place in prices; write it as a string: `\"0.01\"`"),
        ("price = \"1,50\"",       "line 10: item `x`: `price`: `1,50` is not a decimal number: the decimal separator is a point, and digits are not grouped"),
        ("price = \"0,1\"",        "line 10: item `x`: `price`: `0,1` is not a decimal number: the decimal separator is a point, and digits are not grouped"),
        ("price = \"1_000\"",      "line 10: item `x`: `price`: `1_000` is not a decimal number: digits are not grouped"),
        ("price = \"1.0000000000001\"", "line 10: item `x`: `price`: `1.0000000000001` has 13 decimal places, at most 12 are allowed"),
        ("price = \"\"",           "line 10: item `x`: `price` is empty, begins or ends with a space or has a control character"),
        ("price = \"1\"\nat_least = \"-1\"",  "line 11: item `x`: `at_least`: quantity -1 is negative"),
        ("price = \"1\"\nallowance = \"-1\"\nallowance_over = \"day\"", "line 11: item `x`: `allowance`: quantity -1 is negative"),
        ("price = \"1\"\nallowance = \"1\"",  "line 4: item `x`: `allowance_over` is missing"),
        ("price = \"1\"\nminimum = \"-1\"",   "line 11: item `x`: `minimum`: price -1 is negative"),
        ("price = \"0.000000000001\"\nminimum = \"79228163\"",
         "line 4: item `x`: `minimum` of 79228163 is too large beside a price of 0.000000000001: with that many decimal places a \
          month is kept exactly up to 79228162; write the price with fewer places"),
        ("price = \"1\"\nminimum = \"5\"\nmaximum = \"4\"", "line 4: item `x`: `minimum` is above `maximum`"),
    ]);
    let before = format!("{HEAD}{ITEM}model = \"package\"\nprice = \"1\"\npackage_over = \"day\"\n");
    check(
        &before,
        &[
            (
                "size = \"0\"",
                "line 12: item `x`: `size` of a package is above 0",
            ),
            ("", "line 4: item `x`: `size` is missing"),
        ],
    );
}

/// Protects: what an item takes from others is there, has a price, and does not come back to itself.
#[test]
fn percentages_in_a_loop_or_of_nothing() {
    let share = |key: &str, of: &str, percent: &str| {
        format!(
            "[[item]]\nkey = \"{key}\"\ntitle = \"S\"\nmodel = \"percent_of_amount\"\nof = {of}\npercent = \"{percent}\"\n"
        )
    };
    let price = |of: &str, unit: &str| {
        format!(
            "[[item]]\nkey = \"p\"\ntitle = \"P\"\nmeters = [\"requests.write\"]\nunit = \"{unit}\"\n\
             model = \"percent_of_price\"\nof = \"{of}\"\npercent = \"50\"\n"
        )
    };
    let before = format!("{HEAD}{ITEM}{GOOD}");
    #[rustfmt::skip]
    let table = [
        (format!("{}{}", share("a", "\"b\"", "1"), share("b", "\"a\"", "1")),
         "line 21: item `b`: takes a share of its own amount: a → b → a"),
        (format!("{}{}{}", share("a", "\"b\"", "1"), share("b", "[\"x\", \"c\"]", "1"), share("c", "\"a\"", "1")),
         "line 27: item `c`: takes a share of its own amount: a → b → c → a"),
        (share("a", "\"a\"", "1"),      "line 15: item `a`: takes a share of its own amount: a → a"),
        (share("a", "\"nobody\"", "1"), "line 15: item `a`: there is no item `nobody` to take amounts from"),
        (share("a", "\"x\"", "-1"),     "line 16: item `a`: `percent`: percentage -1 is negative"),
        (share("a", "\"x\"", "50%"),    "line 16: item `a`: `percent`: `50%` is not a decimal number: no percent sign is written"),
        (share("a", "\"x\"", "10001"),  "line 16: item `a`: `percent = \"10001\"` is above 10000: is that a slip of the pen?"),
        (price("nobody", "request"),    "line 17: item `p`: there is no item `nobody` to take prices from"),
        (price("p", "request"),         "line 17: item `p`: item `p` takes a share itself; name the item with the prices"),
        (price("x", "1000 requests"),   "line 11: item `p`: unit `1000 requests` is not `request`, for which item `x` has its price"),
    ];
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(lines, wanted)| (lines.as_str(), *wanted))
        .collect();
    check(&before, &table);
}

/// Protects: a share of amounts is exact in every hour, so one that could have more digits than are kept is refused when the
/// book is checked, also through another share; the same of a price that an account has of its own.
#[test]
fn shares_of_amounts_that_are_too_fine() {
    let book = |price: &str, first: &str, second: &str| {
        format!(
            "{HEAD}{ITEM}model = \"graduated\"\ntiers_over = \"hour\"\ntiers = [{{ up_to = \"1\", price = \"1\" }}, {{ price = \"{price}\" }}]\n\
             [[item]]\nkey = \"a\"\ntitle = \"A\"\nmodel = \"percent_of_amount\"\nof = \"x\"\npercent = \"{first}\"\n\
             [[item]]\nkey = \"b\"\ntitle = \"B\"\nmodel = \"percent_of_amount\"\nof = [\"x\", \"a\"]\npercent = \"{second}\"\n"
        )
    };
    let said = |at: &str, percent: &str, of: &str, places: u32, more: u32| {
        format!(
            "line {at}: {percent} % of what `{of}` costs has up to {places} decimal places and 21 are kept: write the prices of `{of}` \
             or the percentage with {more} fewer, or take a share of the price (`percent_of_price`)"
        )
    };
    #[rustfmt::skip]
    let table = [
        ("0.000011574074", "100",      "200",  vec![]),
        ("0.000011574074", "50",       "100",  vec![said("12: item `a`", "50", "x", 22, 1)]),
        ("0.000000001",    "12.5",     "100",  vec![]),
        ("0.0000000001",   "12.5",     "100",  vec![said("12: item `a`", "12.5", "x", 22, 1)]),
        ("0.000000001",    "12.5",     "10",   vec![said("18: item `b`", "10", "a", 22, 1)]),
        ("0.0001",         "33.333333", "1",   vec![said("18: item `b`", "1", "a", 23, 2)]),
    ];
    for (price, first, second, wanted) in table {
        assert_eq!(
            faults(&book(price, first, second)),
            wanted,
            "{price} {first} {second}"
        );
    }
    let book = PriceBook::parse(&book("0.000000001", "12.5", "100")).expect("a book");
    let own = format!("format = 1\n{ITEM}model = \"per_unit\"\nprice = \"0.0000000001\"\n");
    let faults = Terms::parse(&own, &book).expect_err("its share is too fine");
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(faults, [said("2: terms", "12.5", "x", 22, 1)]);
}

/// Protects: meters, units, currencies and zones are known; a zone off the hour can't be billed.
#[test]
fn unknown_meters_units_currencies_and_zones() {
    let start = |lines: &str| faults(lines).first().cloned().unwrap_or_default();
    let with = |from: &str, to: &str| start(&format!("{HEAD}{ITEM}{GOOD}").replace(from, to));
    #[rustfmt::skip]
    let table = [
        (with("requests.read", "requests.raed"), "line 7: item `x`: unknown meter `requests.raed` in `meters`; known are `cpu.time`, "),
        (with("\"request\"", "\"requests\""),    "line 8: item `x`: `unit = \"requests\"` is not known; known are for ns: "),
        (with("\"request\"", "\"GiB\""),         "line 7: item `x`: unit `GiB` does not measure meter `requests.read`, which counts count; "),
        (with("\"request\"", "\"Mbit/s\""),      "line 7: item `x`: unit `Mbit/s` does not measure meter "),
        (with("USD", "usd"),                     "line 3: price book: `usd` is not an ISO 4217 currency code"),
        (with("USD\"", "USD\"\ntime_zone = \"Asia/Kolkata\""),
         "line 4: price book: time zone `Asia/Kolkata` is not a whole number of hours from UTC; such zones can't be billed yet"),
        (with("USD\"", "USD\"\ntime_zone = \"Mars/Olympus\""),
         "line 4: price book: `Mars/Olympus` is not an IANA time zone such as `UTC` or `Asia/Shanghai`"),
        (with("USD\"", "USD\"\nrounding = \"half_even\""),
         "line 4: price book: `rounding = \"half_even\"` is not known; `half_up` is"),
        (with("format = 1", "format = 2"),       "line 1: price book: `format = 2` is not known; 1 is"),
        (with("price = \"1\"", "pirce = \"1\""), "line 4: item `x`: `price` is missing"),
        (with("[[item]]", "[[itme]]"),           "line 1: price book: there is no `[[item]]`"),
        (with("format = 1", "format = "),        "line 1: price book: not TOML: "),
    ];
    for (got, wanted) in table {
        assert!(got.starts_with(wanted), "wanted {wanted}\ngot    {got}");
    }
}

/// Protects: what is said of months is checked as strictly as prices: shares, dates, items, keys that are there twice.
#[test]
fn policies() {
    let before = format!("{HEAD}{ITEM}{GOOD}");
    let discount = "[[discount]]\nkey = \"d\"\ntitle = \"D\"\n";
    let plan = "[[plan]]\nkey = \"p\"\ntitle = \"P\"\nfee = \"1\"\n";
    #[rustfmt::skip]
    let table = [
        (format!("{discount}percent = \"101\""),  "line 14: discount 1: `percent = \"101\"` takes off more than there is"),
        (format!("{discount}percent = \"-1\""),   "line 14: discount 1: `percent`: percentage -1 is negative"),
        (format!("{discount}amount = \"-1\""),    "line 14: discount 1: `amount`: price -1 is negative"),
        (discount.to_owned(),                     "line 11: discount 1: one of `percent`, `amount` and `steps` is wanted"),
        (format!("{discount}percent = \"1\"\namount = \"1\""), "line 11: discount 1: one of `percent`, `amount` and `steps` is wanted"),
        (format!("{discount}percent = \"1\"\nitems = [\"y\"]"), "line 15: discount 1: there is no item `y`"),
        (format!("{discount}percent = \"1\"\nfrom = \"2026-11-02T00:00:00Z\"\nuntil = \"2026-11-01T00:00:00Z\""),
         "line 11: discount 1: `until` is not after `from`"),
        (format!("{discount}percent = \"1\"\nfrom = \"2026-11-02T00:30:00Z\""),
         "line 15: discount 1: `from`: `2026-11-02T00:30:00Z` is not the start of an hour in UTC such as `2026-01-31T23:00:00Z`"),
        (format!("{discount}steps = [\n{{ above = \"5\", percent = \"1\" }},\n{{ above = \"5\", percent = \"2\" }},\n]"),
         "line 16: discount 1: step 2 is not above the one before"),
        (format!("{discount}percent = \"1\"\n{discount}percent = \"2\""), "line 11: discount `d`: is there twice"),
        (format!("{plan}per = \"week\"\ndue = \"in_advance\""),  "line 15: plan 1: `per = \"week\"` is not known; `month` and `year` are"),
        (format!("{plan}per = \"year\"\ndue = \"later\""),       "line 16: plan 1: `due = \"later\"` is not known; `in_advance` and `in_arrears` are"),
        (format!("{plan}per = \"year\"\ndue = \"in_advance\"\nquantities = {{ y = \"1\" }}"), "line 17: plan 1: there is no item `y`"),
        ("[[surcharge]]\nkey = \"s\"\ntitle = \"S\"\nabove = \"-1\"\npercent = \"5\"".to_owned(), "line 14: surcharge 1: `above`: price -1 is negative"),
        ("[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"-6\"".to_owned(), "line 14: tax 1: `percent`: percentage -6 is negative"),
        ("[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"106\"".to_owned(), "line 14: tax 1: `percent = \"106\"` is more than what is taxed: a tax of 6 percent is `6`"),
        ("[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"100\"".to_owned(), "line 14: tax 1: `percent = \"100\"` is more than what is taxed: a tax of 6 percent is `6`"),
        (format!("{discount}percent = \"1\"\nplans = [\"none\"]"), "line 11: discount 1: there is no plan `none`; there is none"),
        (format!("{plan}per = \"month\"\ndue = \"in_arrears\"\n{discount}percent = \"1\"\nplans = [\"q\", \"p\"]"), "line 17: discount 1: there is no plan `q`; known are `p`"),
        (format!("{discount}percent = \"1\"\nclasses = [\"Gold\"]"), "line 11: discount 1: `classes`: `Gold` is no item key: 1 to 64 lower-case letters, digits, `.`, `-` and `_` are"),
        ("[[tax]]\nclass = \"a\"\ntitle = \"T\"\npercent = \"6\"\n[[tax]]\nclass = \"a\"\ntitle = \"T\"\npercent = \"7\"".to_owned(),
         "line 11: tax `a`: is there twice"),
    ];
    let table: Vec<(&str, &str)> = table
        .iter()
        .map(|(lines, wanted)| (lines.as_str(), *wanted))
        .collect();
    check(&before, &table);
}

/// Protects: where anything is taxed, everything is by a class that has a rate, and every rate has something to tax; a rate of
/// 0 percent says that nothing is due.
#[test]
fn tax_classes_that_do_not_fit() {
    let tax = |class: &str, percent: &str| {
        format!("[[tax]]\nclass = \"{class}\"\ntitle = \"T\"\npercent = \"{percent}\"\n")
    };
    let reduced = format!("{GOOD}tax_class = \"reduced\"\n");
    let free = "[[item]]\nkey = \"y\"\ntitle = \"Y\"\nmodel = \"free\"\ntax_class = \"export\"\n";
    let plan = "[[plan]]\nkey = \"p\"\ntitle = \"P\"\nfee = \"1\"\nper = \"month\"\ndue = \"in_arrears\"\ntax_class = \"fees\"\n";
    #[rustfmt::skip]
    let table: [(String, &[&str]); 8] = [
        (format!("{GOOD}{}", tax("standard", "6")), &[]),
        (reduced.clone(), &[]),
        (format!("{reduced}{}{}", tax("reduced", "0"), tax("standard", "6")), &[]),
        (format!("{reduced}{}", tax("standard", "6")),
         &["line 4: item `x`: no `[[tax]]` has its tax class `reduced`, so it would be untaxed; known are `standard`; or write a tax of 0 percent for it"]),
        (format!("{GOOD}{}{}", tax("standrad", "6"), tax("standard", "6")),
         &["line 11: tax `standrad`: no item, surcharge or plan has this tax class; known are `standard`; where only prices of accounts have it, a free item may name it"]),
        (format!("{GOOD}{free}{}{}", tax("standard", "6"), tax("export", "0")), &[]),
        (format!("{GOOD}{free}{}", tax("standard", "6")), &[]),
        (format!("{GOOD}{plan}{}", tax("standard", "6")),
         &["line 11: plan `p`: no `[[tax]]` has its tax class `fees`, so it would be untaxed; known are `standard`; or write a tax of 0 percent for it"]),
    ];
    for (lines, wanted) in table {
        assert_eq!(faults(&format!("{HEAD}{ITEM}{lines}")), *wanted, "{lines}");
    }
}

/// Protects: a price is looked at with its unit: what is fair for a million requests is absurd for a second of a processor.
#[test]
fn prices_that_are_absurd_for_their_unit() {
    #[rustfmt::skip]
    let table = [
        ("cpu.time", "CPU-second", "100000", true),
        ("cpu.time", "CPU-second", "100000.000001", false),
        ("cpu.time", "CPU-hour", "360000000", true),
        ("cpu.time", "CPU-second", "99999999", false),
        ("storage.capacity", "MiB-second", "97.65625", true),
        ("storage.capacity", "MiB-second", "97.65626", false),
        ("storage.capacity", "TiB-hour", "1000000000", true),
        ("network.transmit.bytes", "GB", "10000000", true),
        ("network.transmit.bytes", "GB", "10000000.5", false),
        ("gpu.time", "GPU-second", "100001", false),
        ("requests.read", "request", "1000000000", true),
    ];
    for (meter, unit, price, is_fair) in table {
        let item = format!(
            "[[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"{meter}\"]\nunit = \"{unit}\"\nmodel = \"volume\"\ntiers_over = \"hour\"\n\
             tiers = [{{ up_to = \"1\", price = \"1\" }}, {{ price = \"{price}\" }}]\n"
        );
        let said = format!(
            "line 4: item `x`: a price of {price} for one {unit} is more than anything costs: is that a slip of the pen?"
        );
        let wanted = if is_fair { Vec::new() } else { vec![said] };
        assert_eq!(faults(&format!("{HEAD}{item}")), wanted);
    }
}

/// Protects: a plan that includes a quantity gives it. An item with an allowance of its own would keep that alone, and one
/// that is free, or is billed by other amounts or by a percentile, can't have any.
#[test]
fn quantities_that_a_plan_could_not_give() {
    let plan = "[[plan]]\nkey = \"p\"\ntitle = \"P\"\nfee = \"1\"\nper = \"month\"\ndue = \"in_arrears\"\nquantities = { x = \"500\" }";
    #[rustfmt::skip]
    let table = [
        (format!("{GOOD}allowance = \"100\"\nallowance_over = \"month\"\n"), "line 19: plan 1: item `x` has an allowance of its own, so a plan can't include a quantity of it"),
        ("model = \"free\"\n".to_owned(), "line 16: plan 1: item `x` has no metered price, so a plan can't include a quantity of it"),
    ];
    for (model, wanted) in table {
        assert_eq!(faults(&format!("{HEAD}{ITEM}{model}{plan}\n")), [wanted]);
    }
}

/// Protects: what is agreed with an account must fit the book in force, and be possible.
#[test]
fn terms() {
    let plan = "[[plan]]\nkey = \"pro\"\ntitle = \"P\"\nfee = \"1\"\nper = \"month\"\ndue = \"in_arrears\"\nquantities = { x = \"500\" }\n";
    let book = PriceBook::parse(&format!("{HEAD}{ITEM}{GOOD}{plan}")).expect("a book");
    let short = "plan = \"pro\"\nplan_from = \"2026-01-01\"\n";
    let more = "[[subscription]]\nplan = \"pro\"\n";
    let coupon = "[[coupon]]\nkey = \"c\"\ntitle = \"C\"\n";
    let own = |unit: &str, model: &str| {
        format!(
            "[[item]]\nkey = \"x\"\ntitle = \"X\"\nmeters = [\"requests.read\"]\nunit = \"{unit}\"\n{model}"
        )
    };
    #[rustfmt::skip]
    let table = [
        ("plan = \"gold\"\nplan_from = \"2026-01-01\"".to_owned(), "line 2: terms: the price book `T` has no plan `gold`"),
        ("plan = \"pro\"".to_owned(),                              "line 1: terms: `plan_from` is missing"),
        ("plan = \"pro\"\nplan_from = \"2026-02-30\"".to_owned(),  "line 3: terms: `2026-02-30` is neither a day such as `2026-01-31` nor a second of one such as `2026-01-31T10:30:00`"),
        ("plan = \"pro\"\nplan_from = \"2026-02-02\"\nplan_until = \"2026-02-02\"".to_owned(), "line 4: terms: `plan_until` is not after `plan_from`"),
        (format!("{short}plan_until = \"2026-02-03\"\n{more}from = \"2026-02-02\""),
         "line 5: terms: plan `pro` begins on 2026-02-02, and plan `pro` before it ends on 2026-02-03"),
        (format!("{more}from = \"2026-02-02\"\n{more}from = \"2026-03-02\""),
         "line 5: terms: plan `pro` begins on 2026-03-02, and plan `pro` before it has no end"),
        (format!("{more}from = \"2026-02-02\"\nuntil = \"2026-02-01\""), "line 5: subscription 1: `until` is not after `from`"),
        (format!("{more}plan_from = \"2026-02-02\"\nfrom = \"2026-02-02\""),
         "line 4: subscription 1: unknown key `plan_from`; known are `plan`, `from`, `until`"),
        (format!("{short}{}allowance = \"499\"\nallowance_over = \"month\"", own("request", GOOD)),
         "line 4: item `x`: has less free than plan `pro`, which includes 500 each month; leave the allowance out, or give at least as much over a month"),
        (format!("{short}{}allowance = \"500\"\nallowance_over = \"day\"", own("request", GOOD)),
         "line 4: item `x`: has less free than plan `pro`, which includes 500 each month; leave the allowance out, or give at least as much over a month"),
        (format!("{short}{}", own("request", "model = \"free\"")),
         "line 4: item `x`: has no metered price, but plan `pro` includes 500 of it each month"),
        ("commitment = \"-500\"".to_owned(),                       "line 2: terms: `commitment`: price -500 is negative"),
        ("pools = \"yes\"".to_owned(),                             "line 2: terms: `pools` is true or false, not a string"),
        (format!("{coupon}percent = \"10\"\nfrom = \"2026-13\""),  "line 6: coupon 1: `2026-13` is not a month such as `2026-01`"),
        (format!("{coupon}percent = \"110\"\nfrom = \"2026-11\""), "line 5: coupon 1: `percent = \"110\"` takes off more than there is"),
        (format!("{coupon}percent = \"10\"\nfrom = \"2026-11\"\nmonths = \"0\""),
         "line 7: coupon 1: `months = \"0\"` is not a number from 1 to 1200; leave it out for ever"),
        (format!("{coupon}percent = \"10\"\nfrom = \"2026-11\"\nitems = [\"y\"]"), "line 7: coupon 1: there is no item `y`"),
        (own("request", GOOD).replace("\"x\"", "\"y\""),           "line 2: item `y`: the price book `T` has no such item"),
        (own("1000 requests", GOOD),                               "line 2: item `x`: unit `1000 requests` is not `request`, which the price book has"),
        (own("request", "model = \"percent_of_price\"\nof = \"x\"\npercent = \"50\""),
         "line 2: item `x`: takes from another item; write its own prices here"),
        (format!("pools = true\n{}tenant = \"acme\"", own("request", GOOD)),
         "line 2: terms: tenants with prices of their own can't be pooled"),
    ];
    for (lines, wanted) in table {
        let faults = Terms::parse(&format!("format = 1\n{lines}\n"), &book).expect_err(wanted);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [wanted], "{lines}");
    }
}

/// Protects: a book of another currency, or with another unit of an item, comes into force at a month's edge only.
#[test]
fn books_that_need_a_new_month() {
    let book = |text: &str| PriceBook::parse(text).expect("a book");
    let old = format!("{HEAD}{ITEM}{GOOD}");
    #[rustfmt::skip]
    let table: [(String, &[&str]); 4] = [
        (old.replace("USD", "CNY"),                          &["the currency changes from USD to CNY"]),
        (old.replace("\"request\"", "\"1000 requests\""),    &["item `x` changes its unit from request to 1000 requests"]),
        (old.replace("price = \"1\"", "price = \"2\""),      &[]),
        (old.replace("key = \"x\"", "key = \"y\""),          &[]),
    ];
    for (new, wanted) in table {
        assert_eq!(book(&new).needs_new_month_after(&book(&old)), *wanted, "{new}");
    }
}

/// Protects: all faults of a file are told at once, in the order of lines, each once.
#[test]
fn all_faults_at_once() {
    let text = format!(
        "{}{ITEM}model = \"per_unit\"\nprice = \"-1\"\n[[item]]\nkey = \"X\"\ntitle = \"X\"\nmodel = \"free\"\n\
         [[discount]]\nkey = \"d\"\ntitle = \"D\"\npercent = \"200\"\n",
        HEAD.replace("USD", "US")
    );
    assert_eq!(
        faults(&text),
        [
            "line 3: price book: `US` is not an ISO 4217 currency code",
            "line 10: item `x`: `price`: price -1 is negative",
            "line 12: item 2: `X` is no item key: 1 to 64 lower-case letters, digits, `.`, `-` and `_` are",
            "line 18: discount 1: `percent = \"200\"` takes off more than there is",
        ]
    );
}
