//! Discounts with dates: what they are taken from, how much at most, and from which lines.

use super::*;

/// November has 720 hours. A percentile of 1000 Mbit/s costs 1000 whatever its hours are.
const NET: &str = r#"
[[item]]
key = "net"
title = "Net"
meters = ["network.transmit.bytes"]
unit = "Mbit/s"
model = "percentile"
percentile = "100"
price = "1"
"#;
const TAXES: &str = "[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"13\"\n[[tax]]\nclass = \"reduced\"\ntitle = \"R\"\npercent = \"6\"\n";

/// A discount of an amount, a percentage or steps within dates of November, as `(from, until)`.
fn promo(key: &str, (from, until): (&str, &str), cut: &str) -> String {
    let date = |name: &str, day: &str| match day {
        "" => String::new(),
        day => format!("{name} = \"{day}:00:00Z\"\n"),
    };
    let (from, until) = (date("from", from), date("until", until));
    format!("[[discount]]\nkey = \"{key}\"\ntitle = \"P\"\n{from}{until}{cut}\n")
}

/// Protects: a percentile belongs to the month as a whole, and a discount has the part of it that its hours have of the
/// month's: all of it where the dates hold for the whole month, as if there were none.
#[test]
fn percentiles_within_dates() {
    let usage = &[("acme", 5, "net", "1000")];
    #[rustfmt::skip]
    let table = [
        (("", ""),                             Some("-100.00")),
        (("2026-01-01T00", ""),                Some("-100.00")),
        (("2026-11-01T00", "2026-12-01T00"),   Some("-100.00")),
        (("2026-11-16T00", ""),                Some("-50.00")),
        (("2026-11-01T00", "2026-11-01T01"),   Some("-0.14")),   // 1000 × 1 / 720 × 10 % = 0.1388…
        (("2026-12-01T00", ""),                None),
        (("", "2026-11-01T00"),                None),
    ];
    for (dates, off) in table {
        let policies = &format!("{}{NET}", promo("p", dates, "percent = \"10\""));
        let statement = made(&Case {
            policies,
            usage,
            ..PLAIN
        });
        let taken: Vec<String> = statement.discounts.iter().map(|it| it.amount.number()).collect();
        assert_eq!(taken, Vec::from_iter(off.map(str::to_owned)), "{dates:?}");
    }
}

/// Protects: a fixed amount within dates takes no more than was used within them, and says that it was cut short; a step
/// counts what was used within them.
#[test]
fn amounts_and_steps_within_dates() {
    let usage = &[("acme", 0, "cpu", "1"), ("acme", 100, "cpu", "1000")];
    let dates = ("2026-11-01T00", "2026-11-02T00");
    let policies = &promo("p", dates, "amount = \"50\"");
    let case = Case {
        policies,
        usage,
        ..PLAIN
    };
    check(
        &case,
        &["acme: cpu 1001.00", "discount: p -1.00", "total 1000.00"],
    );
    assert!(made(&case).discounts[0].is_cut_short);
    let policies = &promo("p", dates, "steps = [{ above = \"1\", percent = \"50\" }]");
    check(
        &Case {
            policies,
            usage,
            ..PLAIN
        },
        &["acme: cpu 1001.00", "total 1001.00"],
    );
}

/// Protects: what is taken for usage within dates comes off the lines that had it, and lowers the tax of those alone.
#[test]
fn lines_outside_the_dates_bear_nothing() {
    let usage = &[("acme", 0, "cpu", "100"), ("acme", 100, "disk", "10000")];
    let policies = &format!("{TAXES}{}", promo("p", ("", "2026-11-02T00"), "percent = \"50\""));
    check(
        &Case {
            policies,
            usage,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "acme: disk 100.00",
            "discount: p -50.00",
            "tax: standard 13% of 50.00 6.50",
            "tax: reduced 6% of 100.00 6.00",
            "total 162.50",
        ],
    );
}

/// Protects: of two promotions one after the other each has its own days; of two on the same days the second has what the
/// first left, and where that is nothing it takes nothing from other days.
#[test]
fn promotions_one_after_the_other_and_on_the_same_days() {
    let usage = &[("acme", 0, "cpu", "100"), ("acme", 100, "cpu", "100")];
    let (first, then) = (
        ("2026-11-01T00", "2026-11-02T00"),
        ("2026-11-02T00", "2026-11-20T00"),
    );
    let half = "percent = \"50\"";
    #[rustfmt::skip]
    let table: [(String, &[&str]); 4] = [
        (format!("discounts = \"in_turn\"\n{}{}", promo("a", first, half), promo("b", then, half)),
         &["acme: cpu 200.00", "discount: a -50.00", "discount: b -50.00", "total 100.00"]),
        (format!("discounts = \"in_turn\"\n{}{}", promo("a", first, half), promo("b", first, half)),
         &["acme: cpu 200.00", "discount: a -50.00", "discount: b -25.00", "total 125.00"]),
        (format!("{}{}", promo("a", first, "percent = \"100\""), promo("b", first, half)),
         &["acme: cpu 200.00", "discount: a -100.00", "total 100.00"]),
        // 10 % of all come off every day alike, so 90 are left of the first.
        (format!("{}{}", promo("a", ("", ""), "percent = \"10\""), promo("b", first, "amount = \"95\"")),
         &["acme: cpu 200.00", "discount: a -20.00", "discount: b -90.00", "total 90.00"]),
    ];
    for (policies, wanted) in &table {
        check(
            &Case {
                policies,
                usage,
                ..PLAIN
            },
            wanted,
        );
    }
}

/// Protects: dates that hold for the whole month are like none, also for what is missing to a minimum, above a maximum, and
/// a surcharge; a part of the month has that part of what belongs to it as a whole.
#[test]
fn minimums_maximums_and_surcharges_within_dates() {
    let least = "[[item]]\nkey = \"least\"\ntitle = \"L\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"1\"\nminimum = \"721\"\n";
    let most = "[[item]]\nkey = \"most\"\ntitle = \"M\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"1\"\nmaximum = \"300\"\n";
    let surcharge = "[[surcharge]]\nkey = \"s\"\ntitle = \"S\"\nabove = \"301\"\npercent = \"100\"\n";
    let usage = &[
        ("acme", 0, "least", "1"),
        ("acme", 0, "most", "200"),
        ("acme", 700, "most", "200"),
    ];
    #[rustfmt::skip]
    let table = [
        // (721 + 300 + 720) × 10 %
        (("", ""),                           "-174.10"),
        (("2026-01-01T00", ""),              "-174.10"),
        // 1 + 720 / 2 + 200 + 720 / 2
        (("", "2026-11-16T00"),              "-92.10"),
        // 720 / 720 × 2, and nothing used
        (("2026-11-02T00", "2026-11-02T01"), "-0.20"),
        // 720 / 2 + 200 + 720 / 2
        (("2026-11-16T00", ""),              "-92.00"),
    ];
    for (dates, off) in table {
        let policies = &format!(
            "{}{surcharge}{least}{most}",
            promo("p", dates, "percent = \"10\"")
        );
        let statement = made(&Case {
            policies,
            usage,
            ..PLAIN
        });
        let taken: Vec<String> = statement.discounts.iter().map(|it| it.amount.number()).collect();
        assert_eq!(taken, [off], "{dates:?}");
    }
}

/// Protects: a promotion takes its share only of usage within its dates, half-open.
#[test]
fn promotions_by_date() {
    let policies = "[[discount]]\nkey = \"promo\"\ntitle = \"P\"\nfrom = \"2026-11-01T01:00:00Z\"\nuntil = \"2026-11-01T03:00:00Z\"\npercent = \"50\"\n";
    let usage = &[
        ("acme", 0, "cpu", "1"),
        ("acme", 1, "cpu", "2"),
        ("acme", 2, "cpu", "4"),
        ("acme", 3, "cpu", "8"),
    ];
    check(
        &Case {
            policies,
            usage,
            ..PLAIN
        },
        &["acme: cpu 15.00", "discount: promo -3.00", "total 12.00"],
    );
}
