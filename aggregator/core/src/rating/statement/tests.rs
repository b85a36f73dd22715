//! Statements as tables that a finance person can read, one per rule, each with what it protects.

// Discounts with dates.
mod dated;
// Percentages of long numbers.
mod percent;
// Taxes by class, and those of an account.
mod tax;

use std::sync::Arc;

use super::*;
use crate::rating::{HourUsage, Moment, Moments, rate_period};
use tallyman_common::time::Hour;

/// Fees of plans.
#[path = "plan_tests.rs"]
mod plans;

const ITEMS: &str = r#"
[[item]]
key = "cpu"
title = "CPU"
meters = ["cpu.time"]
unit = "CPU-second"
model = "per_unit"
price = "1"

[[item]]
key = "disk"
title = "Disk"
meters = ["requests.read"]
unit = "request"
model = "per_unit"
price = "0.01"
tax_class = "reduced"
"#;

/// First hour of November 2026 in UTC.
const NOVEMBER: u32 = 498192;

fn november() -> Month {
    Month::parse("2026-11").expect("month")
}

fn books(currency: &str, policies: &str) -> BookVersions {
    let text = format!("format = 1\nname = \"T\"\ncurrency = \"{currency}\"\n{policies}\n{ITEMS}");
    let book = PriceBook::parse(&text).unwrap_or_else(|faults| panic!("{faults:#?}"));
    BookVersions::always(Arc::new(book))
}

/// Usage of tenants: (tenant, hour of the month, item, quantity).
fn sums(books: &BookVersions, terms: &Terms, usage: &[(&str, u32, &str, &str)]) -> MonthSums {
    let mut sums = MonthSums::new(books);
    let tenants: std::collections::BTreeSet<&str> = usage.iter().map(|it| it.0).collect();
    for tenant in tenants {
        let own = terms.books_for(tenant, november(), books).expect("books");
        let mut hours: Vec<HourUsage> = Vec::new();
        for (_, hour, item, quantity) in usage.iter().filter(|it| it.0 == tenant) {
            let pair = (
                ItemKey::parse(item).expect("key"),
                Quantity::parse(quantity).expect("quantity"),
            );
            let hour = Hour(NOVEMBER + hour);
            match hours.last_mut().filter(|it| it.hour == hour) {
                Some(last) => last.quantities.push(pair),
                None => hours.push(HourUsage {
                    hour,
                    day: Hour(hour.0 / 24 * 24),
                    quantities: vec![pair],
                }),
            }
        }
        for line in rate_period(&own, &hours).expect("rated") {
            sums.add(&own, tenant, &line).expect("sums");
        }
    }
    sums
}

struct Case<'a> {
    currency: &'a str,
    policies: &'a str,
    terms: &'a str,
    grants: &'a [Grant],
    /// Plan, fee of this month.
    ahead: Option<(&'a str, &'a str)>,
    usage: &'a [(&'a str, u32, &'a str, &'a str)],
}

const PLAIN: Case<'static> = Case {
    currency: "USD",
    policies: "",
    terms: "format = 1",
    grants: &[],
    ahead: None,
    usage: &[("acme", 0, "cpu", "100")],
};

fn made(case: &Case<'_>) -> Statement {
    let books = books(case.currency, case.policies);
    let book = books.at(Hour(NOVEMBER)).expect("book");
    let terms = Terms::parse(case.terms, book).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let sums = sums(&books, &terms, case.usage);
    let period = FeePeriod::month(november()).expect("a month");
    let ahead = case.ahead.map(|(plan, fee)| BilledAhead {
        plan: ItemKey::parse(plan).expect("key"),
        titles: Titles {
            own: plan.to_owned(),
            by_language: Default::default(),
        },
        tax_class: "standard".to_owned(),
        period,
        time: Moments::between(period.from, period.until),
        fee: Money::parse(fee).expect("money"),
        net: Money::parse(fee).expect("money"),
        is_settled: false,
    });
    let ahead = Vec::from_iter(ahead);
    statement(Input {
        sums: &sums,
        books: &books,
        until: Hour(NOVEMBER + 719),
        terms: &terms,
        before: None,
        month: november(),
        zone: &BillingZone::utc(),
        grants: case.grants,
        late: &[],
        billed_ahead: &ahead,
    })
    .unwrap_or_else(|e| panic!("{e}"))
}

/// Every printed row: lines, what is taken off, taxes, total.
fn rows(statement: &Statement) -> Vec<String> {
    let mut rows: Vec<String> = Vec::new();
    for line in &statement.lines {
        let cause = match &line.cause {
            Cause::Usage(tenant) => tenant.clone(),
            Cause::Minimum(tenant) => format!("{tenant} minimum"),
            Cause::Maximum(tenant) => format!("{tenant} maximum"),
            Cause::Surcharge => "surcharge".into(),
            Cause::Commitment => "commitment".into(),
            Cause::Fee { period, time, of } => format!("fee {period} {time}/{of}"),
            Cause::Late { month, .. } => format!("late {month}"),
        };
        rows.push(format!("{cause}: {} {}", line.item, line.amount.number()));
    }
    for (what, list) in [("discount", &statement.discounts), ("credit", &statement.credits)] {
        rows.extend(
            list.iter()
                .map(|it| format!("{what}: {} {}", it.key, it.amount.number())),
        );
    }
    for tax in &statement.taxes {
        let (class, basis, amount) = (&tax.class, tax.basis.number(), tax.amount.number());
        rows.push(format!("tax: {class} {}% of {basis} {amount}", tax.percent));
    }
    rows.push(format!("total {}", statement.total.number()));
    rows
}

fn check(case: &Case<'_>, wanted: &[&str]) {
    let statement = made(case);
    assert_eq!(rows(&statement), wanted);
    let off = statement
        .discounts
        .iter()
        .chain(&statement.credits)
        .map(|it| it.amount);
    let taxes = statement
        .taxes
        .iter()
        .filter(|it| !it.is_included)
        .map(|it| it.amount);
    let lines = statement.lines.iter().map(|it| it.amount);
    let zero = Money::zero(statement.currency);
    let printed = lines.chain(off).chain(taxes).try_fold(zero, Money::checked_add);
    assert_eq!(
        printed,
        Ok(statement.total),
        "I7: what is printed sums to the total"
    );
}

/// Protects: each line is rounded once and half-up, and the total is the sum of rounded lines, in currencies of 0, 2 and 3
/// digits.
#[test]
fn lines_are_rounded_once() {
    let usage = &[
        ("acme", 0, "cpu", "0.5"),
        ("acme", 1, "disk", "50"),
        ("beta", 0, "cpu", "0.0005"),
    ];
    #[rustfmt::skip]
    let table = [
        ("JPY", ["acme: cpu 1", "acme: disk 1", "beta: cpu 0", "total 2"]),
        ("USD", ["acme: cpu 0.50", "acme: disk 0.50", "beta: cpu 0.00", "total 1.00"]),
        ("BHD", ["acme: cpu 0.500", "acme: disk 0.500", "beta: cpu 0.001", "total 1.001"]),
    ];
    for (currency, wanted) in table {
        check(
            &Case {
                currency,
                usage,
                ..PLAIN
            },
            &wanted,
        );
    }
}

/// Protects: by the user's guide each discount is taken from the raw cost; in turn, each from what is left.
#[test]
fn discounts_on_the_raw_cost_or_in_turn() {
    let two = "[[discount]]\nkey = \"a\"\ntitle = \"A\"\npercent = \"10\"\n\
               [[discount]]\nkey = \"b\"\ntitle = \"B\"\npercent = \"20\"\n";
    let raw = format!("discounts = \"each_on_raw\"\n{two}");
    check(
        &Case {
            policies: &raw,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "discount: a -10.00",
            "discount: b -20.00",
            "total 70.00",
        ],
    );
    let turn = format!("discounts = \"in_turn\"\n{two}");
    check(
        &Case {
            policies: &turn,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "discount: a -10.00",
            "discount: b -18.00",
            "total 72.00",
        ],
    );
}

/// Protects: discounts take no more than there is, and say so.
#[test]
fn discounts_end_at_the_cost() {
    let policies = "[[discount]]\nkey = \"a\"\ntitle = \"A\"\npercent = \"70\"\n\
                    [[discount]]\nkey = \"b\"\ntitle = \"B\"\namount = \"50\"\n";
    let case = Case { policies, ..PLAIN };
    check(
        &case,
        &[
            "acme: cpu 100.00",
            "discount: a -70.00",
            "discount: b -30.00",
            "total 0.00",
        ],
    );
    assert!(made(&case).discounts[1].is_cut_short);
}

/// Protects: discounts by volume count the whole cost, a bound belongs to the lower step; classes and plans choose.
#[test]
fn discounts_by_volume_class_and_items() {
    let policies = "[[discount]]\nkey = \"volume\"\ntitle = \"V\"\nsteps = [{ above = \"99\", percent = \"1\" }, { above = \"100\", percent = \"5\" }]\n\
                    [[discount]]\nkey = \"gold\"\ntitle = \"G\"\nclasses = [\"gold\"]\nitems = [\"disk\"]\npercent = \"50\"\n";
    let usage = &[("acme", 0, "cpu", "100")];
    check(
        &Case {
            policies,
            usage,
            ..PLAIN
        },
        &["acme: cpu 100.00", "discount: volume -1.00", "total 99.00"],
    );
    let usage = &[("acme", 0, "cpu", "100"), ("acme", 0, "disk", "1000")];
    let terms = "format = 1\nclass = \"gold\"";
    check(
        &Case {
            policies,
            usage,
            terms,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "acme: disk 10.00",
            "discount: volume -5.50",
            "discount: gold -5.00",
            "total 99.50",
        ],
    );
}

/// Protects: minimum and maximum of an item hold per tenant and month; rounded lines together are the bound.
#[test]
fn minimums_and_maximums_of_an_item() {
    let policies = "[[item]]\nkey = \"net\"\ntitle = \"N\"\nmeters = [\"network.transmit.bytes\"]\nunit = \"GB\"\nmodel = \"per_unit\"\nprice = \"0.333\"\nminimum = \"5\"\nmaximum = \"10\"\n";
    let usage = &[
        ("a", 0, "net", "7"),
        ("b", 0, "net", "15.015015"),
        ("c", 0, "net", "40"),
        ("d", 0, "cpu", "1"),
    ];
    #[rustfmt::skip]
    check(&Case { policies, usage, ..PLAIN }, &[
        "a: net 2.33", "a minimum: net 2.67",
        "b: net 5.00", "b minimum: net 0.00",
        "c: net 13.32", "c maximum: net -3.32",
        "d: cpu 1.00", "total 21.00",
    ]);
}

/// Protects: a surcharge takes its share of what is above the cap; the commitment fills up what is left after discounts.
#[test]
fn surcharges_and_commitments() {
    let policies = "[[surcharge]]\nkey = \"over\"\ntitle = \"O\"\nabove = \"80\"\npercent = \"20\"\n\
                    [[discount]]\nkey = \"a\"\ntitle = \"A\"\nitems = [\"cpu\"]\npercent = \"10\"\n";
    let terms = "format = 1\ncommitment = \"200\"";
    check(
        &Case {
            policies,
            terms,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "surcharge: over 4.00",
            "commitment: commitment 106.00",
            "discount: a -10.00",
            "total 200.00",
        ],
    );
    let terms = "format = 1\ncommitment = \"94\"";
    check(
        &Case {
            policies,
            terms,
            ..PLAIN
        },
        &[
            "acme: cpu 100.00",
            "surcharge: over 4.00",
            "discount: a -10.00",
            "total 94.00",
        ],
    );
}

/// Protects: fees by the days of their month, half-open, in arrears and in advance, with what was billed ahead taken off.
#[test]
fn fees_of_plans() {
    let plan = |due: &str, per: &str| {
        format!("[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"100\"\nper = \"{per}\"\ndue = \"{due}\"\n")
    };
    // Due, cycle, dates, billed ahead, rows.
    type Row<'a> = (
        &'a str,
        &'a str,
        &'a str,
        Option<(&'a str, &'a str)>,
        &'a [&'a str],
    );
    let usage = &[];
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        ("in_arrears", "month", "plan_from = \"2026-11-01\"", None, &["fee 2026-11 30/30: pro 100.00", "total 100.00"]),
        ("in_arrears", "month", "plan_from = \"2026-11-21\"", None, &["fee 2026-11 10/30: pro 33.33", "total 33.33"]),
        ("in_arrears", "month", "plan_from = \"2026-01-31\"\nplan_until = \"2026-11-02\"", None, &["fee 2026-11 1/30: pro 3.33", "total 3.33"]),
        ("in_arrears", "month", "plan_from = \"2026-01-31\"\nplan_until = \"2026-11-01\"", None, &["total 0.00"]),
        ("in_advance", "month", "plan_from = \"2026-11-21\"", None,
         &["fee 2026-11 10/30: pro 33.33", "fee 2026-12 31/31: pro 100.00", "total 133.33"]),
        ("in_advance", "month", "plan_from = \"2026-01-01\"", Some(("pro", "100.00 USD")), &["fee 2026-12 31/31: pro 100.00", "total 100.00"]),
        ("in_advance", "month", "plan_from = \"2026-01-01\"\nplan_until = \"2026-11-16\"", Some(("pro", "100.00 USD")),
         &["fee 2026-11 15/30: pro -50.00", "total -50.00"]),
        ("in_arrears", "month", "plan_from = \"2026-01-01\"", Some(("pro", "100.00 USD")), &["total 0.00"]),
        ("in_arrears", "month", "plan_from = \"2026-01-01\"", Some(("old", "70.00 USD")),
         &["fee 2026-11 30/30: pro 100.00", "fee 2026-11 0/30: old -70.00", "total 30.00"]),
        ("in_advance", "month", "plan_from = \"2026-01-01\"\nplan_until = \"2026-02-01\"", Some(("old", "70.00 USD")),
         &["fee 2026-11 0/30: old -70.00", "total -70.00"]),
        ("in_arrears", "year", "plan_from = \"2025-11-21\"", None, &["fee 2025-11-21/2026-11-21 365/365: pro 100.00", "total 100.00"]),
        ("in_arrears", "year", "plan_from = \"2025-12-21\"", None, &["total 0.00"]),
    ];
    for (due, per, dates, ahead, wanted) in table {
        let policies = plan(due, per);
        let terms = format!("format = 1\nplan = \"pro\"\n{dates}");
        check(
            &Case {
                policies: &policies,
                terms: &terms,
                ahead: *ahead,
                usage,
                ..PLAIN
            },
            wanted,
        );
    }
}

/// Protects: a plan's quantities are free before any price; its credits pay usage only and lapse; grants come in order.
#[test]
fn included_quantities_and_credits() {
    let policies = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"20\"\nper = \"month\"\ndue = \"in_arrears\"\ncredits = \"30\"\nquantities = { cpu = \"40\" }\n";
    let terms = "format = 1\nplan = \"pro\"\nplan_from = \"2026-01-01\"";
    let grant = |key: &str, left: &str, items: &[&str]| Grant {
        key: key.into(),
        titles: Titles {
            own: key.into(),
            by_language: Default::default(),
        },
        left: Money::parse(left).expect("money"),
        items: items.iter().map(|it| ItemKey::parse(it).expect("key")).collect(),
    };
    let grants = &[
        grant("disk-only", "50.00 USD", &["disk"]),
        grant("first", "25.00 USD", &[]),
        grant("second", "99.00 USD", &[]),
    ];
    check(
        &Case {
            policies,
            terms,
            grants,
            ..PLAIN
        },
        &[
            "acme: cpu 60.00",
            "fee 2026-11 30/30: pro 20.00",
            "discount: pro -30.00",
            "credit: first -25.00",
            "credit: second -25.00",
            "total 0.00",
        ],
    );
}

/// Protects: a coupon counts in its months, on what is left, in the order of the terms.
#[test]
fn coupons_for_months() {
    let coupon = |from: &str, months: &str| {
        format!(
            "format = 1\n[[coupon]]\nkey = \"c\"\ntitle = \"C\"\npercent = \"10\"\nfrom = \"{from}\"\n{months}\n\
                 [[coupon]]\nkey = \"d\"\ntitle = \"D\"\namount = \"5\"\nfrom = \"2026-11\"\nmonths = \"1\"\n"
        )
    };
    let with = &[
        "acme: cpu 100.00",
        "discount: c -10.00",
        "discount: d -5.00",
        "total 85.00",
    ];
    let without = &["acme: cpu 100.00", "discount: d -5.00", "total 95.00"];
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 6] = [
        ("2026-11", "months = \"1\"", with),
        ("2026-10", "months = \"1\"", without),
        ("2026-10", "months = \"2\"", with),
        ("2026-12", "",               without),
        ("2020-01", "",               with),
        ("2025-11", "months = \"12\"", without),
    ];
    for (from, months, wanted) in table {
        check(
            &Case {
                terms: &coupon(from, months),
                ..PLAIN
            },
            wanted,
        );
    }
}

/// Protects: a price of its own is one tenant's, and the others keep the book's.
#[test]
fn prices_of_a_tenant() {
    let terms = "format = 1\n[[item]]\ntenant = \"acme\"\nkey = \"cpu\"\ntitle = \"CPU, agreed\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"0.8\"\n";
    let usage = &[("acme", 0, "cpu", "100"), ("beta", 0, "cpu", "100")];
    check(
        &Case {
            terms,
            usage,
            ..PLAIN
        },
        &["acme: cpu 80.00", "beta: cpu 100.00", "total 180.00"],
    );
}

/// Protects: the 95th percentile by nearest rank over all hours of the month, those without usage among them.
#[test]
fn percentiles_of_a_month() {
    let policies = "[[item]]\nkey = \"band\"\ntitle = \"B\"\nmeters = [\"network.transmit.bytes\"]\nunit = \"Mbit/s\"\nmodel = \"percentile\"\npercentile = \"95\"\nprice = \"2\"\n";
    // 720 hours: rank 684, so the 36 highest are not counted.
    let at = |hours: u32| -> Vec<(&str, u32, &str, &str)> {
        (0..hours)
            .map(|hour| ("acme", hour, "band", if hour < 36 { "1000" } else { "7" }))
            .collect()
    };
    for (hours, total) in [(36, "0.00"), (37, "14.00"), (720, "14.00")] {
        let usage = at(hours);
        let line = format!("acme: band {total}");
        check(
            &Case {
                policies,
                usage: &usage,
                ..PLAIN
            },
            &[&line, &format!("total {total}")],
        );
    }
}

/// Protects: what can't be agreed is refused where it is written.
#[test]
fn faults_of_terms_and_policies() {
    let books = books(
        "USD",
        "[[plan]]\nkey = \"pro\"\ntitle = \"P\"\nfee = \"1\"\nper = \"month\"\ndue = \"in_arrears\"\n",
    );
    let book = books.at(Hour(0)).expect("book");
    #[rustfmt::skip]
    let table = [
        ("plan = \"gold\"\nplan_from = \"2026-01-01\"", "line 2: terms: the price book `T` has no plan `gold`"),
        ("plan = \"pro\"\nplan_from = \"2026-01-02\"\nplan_until = \"2026-01-02\"", "line 4: terms: `plan_until` is not after `plan_from`"),
        ("[[coupon]]\nkey = \"c\"\ntitle = \"C\"\npercent = \"101\"\nfrom = \"2026-01\"", "line 5: coupon 1: `percent = \"101\"` takes off more than there is"),
        ("[[coupon]]\nkey = \"c\"\ntitle = \"C\"\nfrom = \"2026-01\"", "line 2: coupon 1: one of `percent`, `amount` and `steps` is wanted"),
        ("[[item]]\nkey = \"gpu\"\ntitle = \"G\"\nmodel = \"free\"", "line 2: item `gpu`: the price book `T` has no such item"),
        ("[[tax]]\nclass = \"stnadard\"\ntitle = \"T\"\npercent = \"6\"", "line 2: tax `stnadard`: nothing in the price book has this tax class; known are `reduced`, `standard`"),
        ("tax_exempt = true\n[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"6\"", "line 3: tax `standard`: `tax_exempt = true` says that none is due"),
        ("[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"6\"\n[[tax]]\nclass = \"standard\"\ntitle = \"U\"\npercent = \"7\"", "line 2: tax `standard`: is there twice"),
        ("owner = \"x\"", "line 2: terms: unknown key `owner`; known are `format`, `class`, `plan`, `plan_from`, `plan_until`, `subscription`, `commitment`, `tax_exempt`, `pools`, `coupon`, `tax`, `item`"),
    ];
    for (rest, wanted) in table {
        let faults = Terms::parse(&format!("format = 1\n{rest}\n"), book).expect_err(wanted);
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(faults, [wanted]);
        // What was decided before this was refused holds at the next start.
        let logged = Terms::parse_logged(&format!("format = 1\n{rest}\n"), book);
        assert_eq!(
            logged.is_ok(),
            wanted.contains("tax `st") && !wanted.contains("twice"),
            "{wanted}"
        );
    }
}
