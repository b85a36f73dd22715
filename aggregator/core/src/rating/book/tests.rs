//! What a price book is refused for, as a table: the file, and each fault with its line.

use super::super::tariff::Shape;
use super::super::unit::Unit;
use super::*;

const HEAD: &str = "format = 1\nname = \"Test\"\ncurrency = \"CNY\"\n";

/// A file of three head lines, then the given ones; line numbers in the tables count from 4.
fn faults_of(rest: &str) -> Vec<String> {
    match PriceBook::parse(&format!("{HEAD}{rest}")) {
        Ok(_) => Vec::new(),
        Err(faults) => faults.iter().map(ToString::to_string).collect(),
    }
}

fn check(rest: &str, wanted: &[&str]) {
    assert_eq!(faults_of(rest), wanted, "\n{rest}");
}

/// An item `storage` from line 4 on: `key` on 5, `title` on 6, `meters` on 7, `unit` on 8, the given ones from 9 on.
fn item(rest: &str) -> String {
    let common = "[[item]]\nkey = \"storage\"\ntitle = \"Storage\"\n";
    format!("{common}meters = [\"storage.capacity\"]\nunit = \"GiB-hour\"\n{rest}\n")
}

fn graduated(tiers: &str) -> String {
    item(&format!(
        "model = \"graduated\"\ntiers_over = \"hour\"\ntiers = [\n{tiers}\n]"
    ))
}

#[test]
fn tiers_begin_at_zero_rise_and_end_open() {
    let open = "{ price = \"1\" },";
    check(
        &graduated(&format!("{{ up_to = \"100\", price = \"2\" }},\n{open}")),
        &[],
    );
    check(&graduated(open), &[]);
    check(
        &graduated(&format!(
            "{{ up_to = \"100\", price = \"3\" }},\n{{ up_to = \"90\", price = \"2\" }},\n{open}"
        )),
        &["line 13: item `storage`: tier 2 `up_to = 90` is not above 100"],
    );
    check(
        &graduated(&format!("{{ up_to = \"0\", price = \"3\" }},\n{open}")),
        &["line 12: item `storage`: tier 1 `up_to = 0` is not above 0"],
    );
    check(
        &graduated(&format!(
            "{{ up_to = \"5\", price = \"3\" }},\n{{ up_to = \"5\", price = \"3\" }},\n{open}"
        )),
        &["line 13: item `storage`: tier 2 `up_to = 5` is not above 5"],
    );
    check(
        &graduated("{ up_to = \"5\", price = \"3\" },"),
        &["line 12: item `storage`: tier 1 is the last and must be open: leave its `up_to` out"],
    );
    check(
        &graduated(&format!("{open}\n{open}")),
        &["line 12: item `storage`: tier 1 has no `up_to`; only the last tier is open"],
    );
    check(
        &graduated(""),
        &["line 4: item `storage`: tier 1 is missing: an item with tiers has at least one"],
    );
    check(
        &graduated("{ up_to = \"-1\", price = \"3\", from = \"0\" },\n{ },"),
        &[
            "line 12: item `storage`: tier 1 `up_to`: quantity -1 is negative",
            "line 12: item `storage`: tier 1 unknown key `from`; known are `up_to`, `price`, `fee`",
            "line 13: item `storage`: tier 2 `price` is missing",
        ],
    );
}

#[test]
fn prices_are_exact_decimal_strings() {
    #[rustfmt::skip]
    let table: &[(&str, &str)] = &[
        ("0.5",       "`price = 0.5`: binary fractions have no place in prices; write it as a string: `\"0.5\"`"),
        ("5",         "`price = 5`: write it as a string: `\"5\"`"),
        ("true",      "`price` must be a string, not true or false"),
        ("\"-0.5\"",  "`price`: price -0.5 is negative"),
        ("\"1e3\"",   "`price`: `1e3` is not a decimal number: no exponent is written: all digits are"),
        ("\"¥1\"",    "`price`: `¥1` is not a decimal number: only digits and one point are allowed"),
        ("\"\"",      "`price` is empty, begins or ends with a space or has a control character"),
        ("\"0.0000000000001\"", "`price`: `0.0000000000001` has 13 decimal places, at most 12 are allowed"),
    ];
    for (price, reason) in table {
        let wanted = format!("line 10: item `storage`: {reason}");
        check(
            &item(&format!("model = \"per_unit\"\nprice = {price}")),
            &[&wanted],
        );
    }
    check(&item("model = \"per_unit\"\nprice = \"0\""), &[]);
    check(
        &item("model = \"per_unit\""),
        &["line 4: item `storage`: `price` is missing"],
    );
}

#[test]
fn unknown_keys_and_words_are_named_with_their_line() {
    #[rustfmt::skip]
    let table: &[(&str, &str)] = &[
        ("model = \"per_unit\"\nprice = \"1\"\npirce = \"2\"",
         "line 11: item `storage`: unknown key `pirce`; known are `key`, `title`, `meters`, `minus`, `where`, `unit`, `model`, `tax_class`, `minimum`, `maximum`, `price`, `allowance`, `allowance_over`, `at_least`, `reset`"),
        ("model = \"free\"\nprice = \"1\"",
         "line 10: item `storage`: `price` does not belong to model `free`"),
        ("model = \"cheap\"",
         "line 9: item `storage`: `model = \"cheap\"` is not known; known are `free`, `flat`, `per_unit`, `graduated`, `volume`, `stairstep`, `package`, `percent_of_price`, `percent_of_amount`, `percentile`"),
        ("model = \"flat\"\nprice = \"1\"\nflat_over = \"week\"",
         "line 11: item `storage`: `flat_over = \"week\"` is not known; `hour`, `day` and `month` are"),
        ("model = \"free\"\ntitle_chinese = \"x\"",
         "line 10: item `storage`: `title_chinese`: a language has two or three small letters, such as `title_zh`"),
        ("model = \"free\"\nminus = [\"storage.capacity\"]",
         "line 10: item `storage`: meter `storage.capacity` is named twice"),
        ("model = \"free\"\nminus = [\"requests.read\"]",
         "line 10: item `storage`: unit `GiB-hour` does not measure meter `requests.read`, which counts count; \
          `request`, `1000 requests`, `10000 requests`, `1000000 requests`, `operation`, `1000000 operations` do"),
    ];
    for (rest, wanted) in table {
        check(&item(rest), &[wanted]);
    }
    let unknown_meter =
        "[[item]]\nkey = \"x\"\ntitle = \"X\"\nmodel = \"free\"\nunit = \"GiB\"\nmeters = [\"disk\"]";
    let faults = faults_of(unknown_meter);
    assert!(
        faults[0].starts_with("line 9: item `x`: unknown meter `disk` in `meters`; known are `cpu.time`, ")
    );
    let faults = faults_of(
        &unknown_meter
            .replace("disk", "disk.read.bytes")
            .replace("\"GiB\"", "\"GiB-month\""),
    );
    assert!(
        faults[0].starts_with("line 8: item `x`: `unit = \"GiB-month\"` is not known; known are for ns: ")
    );
}

#[test]
fn the_head_is_checked() {
    let text = "format = 2\nname = \"\"\ncurrency = \"yuan\"\ntime_zone = \"Asia/Kolkata\"\nrounding = \"down\"\nowner = 1\n";
    let faults = PriceBook::parse(text).expect_err("faults");
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        faults,
        [
            "line 1: price book: there is no `[[item]]`",
            "line 1: price book: `format = 2` is not known; 1 is",
            "line 2: price book: `name` is empty, begins or ends with a space or has a control character",
            "line 3: price book: `yuan` is not an ISO 4217 currency code",
            "line 4: price book: time zone `Asia/Kolkata` is not a whole number of hours from UTC; such zones can't be billed yet",
            "line 5: price book: `rounding = \"down\"` is not known; `half_up` is",
            "line 6: price book: unknown key `owner`; known are `format`, `name`, `currency`, `time_zone`, `rounding`, `item`, `discounts`, `tax_included`, `discount`, `surcharge`, `plan`, `tax`",
        ]
    );
    let faults = PriceBook::parse("format = 1\nname = \n").expect_err("faults");
    assert_eq!((faults[0].line, faults[0].path.as_str()), (2, "price book"));
    assert!(faults[0].reason.starts_with("not TOML: "), "{}", faults[0]);
    assert!(PriceBook::parse(&" ".repeat(BOOK_BYTES_MAX + 1)).is_err());
    assert!(PriceBook::parse("").is_err());
}

#[test]
fn keys_are_names_and_unique() {
    let free = |key: &str| format!("[[item]]\nkey = \"{key}\"\ntitle = \"X\"\nmodel = \"free\"\n");
    check(&format!("{}{}", free("a"), free("b")), &[]);
    check(
        &format!("{}{}", free("a"), free("a")),
        &["line 8: item `a`: there is an item of this key above"],
    );
    check(
        &free("Storage"),
        &[
            "line 5: item 1: `Storage` is no item key: 1 to 64 lower-case letters, digits, `.`, `-` and `_` are",
        ],
    );
}

#[test]
fn shares_take_prices_of_an_item_that_has_some() {
    let base = item("model = \"per_unit\"\nprice = \"0.5\"");
    let share = |of: &str, unit: &str, percent: &str| {
        format!(
            "[[item]]\nkey = \"backup\"\ntitle = \"B\"\nmeters = [\"backup.capacity\"]\nunit = \"{unit}\"\n\
             model = \"percent_of_price\"\nof = \"{of}\"\npercent = \"{percent}\"\n"
        )
    };
    check(&format!("{base}{}", share("storage", "GiB-hour", "50")), &[]);
    // The order of the items does not matter.
    check(&format!("{}{base}", share("storage", "GiB-hour", "50")), &[]);
    check(
        &format!("{base}{}", share("disk", "GiB-hour", "50")),
        &["line 17: item `backup`: there is no item `disk` to take prices from"],
    );
    check(
        &format!("{base}{}", share("storage", "GB-hour", "50")),
        &["line 11: item `backup`: unit `GB-hour` is not `GiB-hour`, for which item `storage` has its price"],
    );
    check(
        &format!("{base}{}", share("backup", "GiB-hour", "50")),
        &["line 17: item `backup`: item `backup` takes a share itself; name the item with the prices"],
    );
    check(
        &format!(
            "{}{}",
            item("model = \"free\"\n"),
            share("storage", "GiB-hour", "50")
        ),
        &["line 17: item `backup`: item `storage` has no price per unit"],
    );
    check(
        &format!("{base}{}", share("storage", "GiB-hour", "50%")),
        &["line 18: item `backup`: `percent`: `50%` is not a decimal number: no percent sign is written"],
    );
}

#[test]
fn the_digest_is_that_of_the_exact_bytes() {
    let text = format!("{HEAD}{}", item("model = \"free\""));
    let book = PriceBook::parse(&text).expect("book");
    let spaced = PriceBook::parse(&format!("{text}\n")).expect("book");
    assert_eq!(book.digest(), Digest::of(&[text.as_bytes()]));
    assert_ne!(book.digest(), spaced.digest());
    assert_eq!(
        (book.time_zone().name(), book.rounding()),
        ("UTC", Rounding::HalfUp)
    );
}

#[test]
fn the_example_price_books_are_sound() {
    let storage = include_str!("../../../../../deploy/price-books/storage-cny.toml");
    let sandbox = include_str!("../../../../../deploy/price-books/sandbox-usd.toml");
    for (text, currency, items) in [(storage, "CNY", 15), (sandbox, "USD", 5)] {
        let book = PriceBook::parse(text).expect("sound");
        assert_eq!((book.currency().code(), book.items().len()), (currency, items));
        for item in book.items() {
            assert_ne!(
                item.title_in("zh"),
                item.title(),
                "{} has a Chinese title",
                item.key()
            );
            assert_eq!(item.title_in("fr"), item.title());
        }
    }
    let book = PriceBook::parse(storage).expect("sound");
    let backup = book.item(&ItemKey::parse("backup").expect("key")).expect("item");
    assert_eq!(backup.selection().map(Selection::unit), Unit::by_name("GiB-hour"));
    let Charge::Metered(tariff) = backup.charge() else {
        panic!("metered")
    };
    let (Shape::Graduated(ladder), Over::Hour) = (&tariff.shape, tariff.over) else {
        panic!("tiers of the hour")
    };
    let prices: Vec<String> = ladder.tiers().iter().map(|it| it.price.to_string()).collect();
    assert_eq!(
        prices,
        ["0.0005", "0.0004", "0.0003", "0.00025"],
        "half of the storage prices"
    );
}

#[test]
fn versions_are_in_force_from_their_hour_on() {
    let book = |name: &str| {
        let text = format!("{}{}", HEAD.replace("Test", name), item("model = \"free\""));
        Arc::new(PriceBook::parse(&text).expect("book"))
    };
    let (old, new) = (book("old"), book("new"));
    let versions = BookVersions::new(vec![(Hour(10), Arc::clone(&old)), (Hour(20), Arc::clone(&new))]);
    let versions = versions.expect("rising");
    #[rustfmt::skip]
    let table = [(9, None), (10, Some("old")), (19, Some("old")), (20, Some("new")), (99, Some("new"))];
    for (hour, wanted) in table {
        assert_eq!(versions.at(Hour(hour)).map(|it| it.name()), wanted, "hour {hour}");
    }
    assert_eq!(versions.by_digest(new.digest()), Some(&new));
    let twice = BookVersions::new(vec![(Hour(10), old), (Hour(10), new)]);
    assert_eq!(twice, Err(RatingError::VersionsOutOfOrder { hour: Hour(10) }));
}

/// Protects: the examples that operators copy from the page.
#[test]
fn the_examples_of_the_page_on_prices_are_sound() {
    let page = include_str!("../../../../../docs/PRICES.md");
    let blocks: Vec<&str> = page
        .split("```toml\n")
        .skip(1)
        .filter_map(|it| it.split("```").next())
        .collect();
    let [items, months, terms] = blocks[..] else {
        panic!("{} examples", blocks.len())
    };
    let book = PriceBook::parse(&format!("{items}\n{months}")).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!((book.items().len(), book.policies().plans.len()), (1, 2));
    let terms = super::super::Terms::parse(terms, &book).unwrap_or_else(|faults| panic!("{faults:#?}"));
    assert_eq!((terms.coupons.len(), terms.overrides.len()), (1, 1));
}
