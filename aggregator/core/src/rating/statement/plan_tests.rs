//! Fees of plans, as tables that a finance person can read.

use super::*;

/// Protects: a year of a plan is billed once, by its own days, before it or behind it; what was billed ahead for days that
/// go comes back, many months later too.
#[test]
fn years_of_plans() {
    // Due, dates, days that were billed of the year from 2025-11-16 or 2026-03-15 on, rows.
    type Row<'a> = (&'a str, &'a str, Option<[&'a str; 3]>, &'a [&'a str]);
    #[rustfmt::skip]
    let table: &[Row<'_>] = &[
        // One year, seen from its first month, between, and from its last one.
        ("in_advance", "plan_from = \"2026-11-16\"\nplan_until = \"2027-11-16\"", None,
         &["fee 2026-11-16/2027-11-16 365/365: pro 1200.00", "total 1200.00"]),
        ("in_advance", "plan_from = \"2025-11-16\"\nplan_until = \"2026-11-16\"", Some(["2025-11-16", "2026-11-16", "2026-11-16"]), &["total 0.00"]),
        ("in_arrears", "plan_from = \"2026-11-16\"\nplan_until = \"2027-11-16\"", None, &["total 0.00"]),
        ("in_arrears", "plan_from = \"2026-03-15\"\nplan_until = \"2027-03-15\"", None, &["total 0.00"]),
        ("in_arrears", "plan_from = \"2025-11-16\"\nplan_until = \"2026-11-16\"", None,
         &["fee 2025-11-16/2026-11-16 365/365: pro 1200.00", "total 1200.00"]),
        // It ends with the last day of the month.
        ("in_arrears", "plan_from = \"2025-12-01\"", None, &["fee 2025-12-01/2026-12-01 365/365: pro 1200.00", "total 1200.00"]),
        ("in_arrears", "plan_from = \"2025-11-01\"", None, &["total 0.00"]),
        // Two years in arrears, the second one of 4 days.
        ("in_arrears", "plan_from = \"2025-11-16\"\nplan_until = \"2026-11-20\"", None,
         &["fee 2025-11-16/2026-11-16 365/365: pro 1200.00", "fee 2026-11-16/2027-11-16 4/365: pro 13.15", "total 1213.15"]),
        // The next year is billed with the month before it begins.
        ("in_advance", "plan_from = \"2025-12-16\"", Some(["2025-12-16", "2026-12-16", "2026-12-16"]),
         &["fee 2026-12-16/2027-12-16 365/365: pro 1200.00", "total 1200.00"]),
        // Cut short from the outset.
        ("in_advance", "plan_from = \"2026-11-16\"\nplan_until = \"2027-01-30\"", None,
         &["fee 2026-11-16/2027-11-16 75/365: pro 246.58", "total 246.58"]),
        // Cut short months behind its invoice: 245 of 365 days are kept.
        ("in_advance", "plan_from = \"2026-03-15\"\nplan_until = \"2026-11-15\"", Some(["2026-03-15", "2027-03-15", "2027-03-15"]),
         &["fee 2026-03-15/2027-03-15 245/365: pro -394.52", "total -394.52"]),
        ("in_arrears", "plan_from = \"2026-03-15\"\nplan_until = \"2026-11-15\"", None,
         &["fee 2026-03-15/2027-03-15 245/365: pro 805.48", "total 805.48"]),
        // The price book bills it behind the year now: what was billed stays.
        ("in_arrears", "plan_from = \"2026-03-15\"", Some(["2026-03-15", "2027-03-15", "2027-03-15"]), &["total 0.00"]),
        // It was to end earlier, and goes on.
        ("in_advance", "plan_from = \"2026-03-15\"", Some(["2026-03-15", "2027-03-15", "2026-12-01"]),
         &["fee 2026-03-15/2027-03-15 365/365: pro 341.92", "total 341.92"]),
        // Nobody billed it when it began: days of this month on.
        ("in_advance", "plan_from = \"2026-03-15\"", None, &["fee 2026-03-15/2027-03-15 134/365: pro 440.55", "total 440.55"]),
        // A leap day begins the year on February 28, and again on the 29th.
        ("in_arrears", "plan_from = \"2024-02-29\"\nplan_until = \"2026-11-03\"", None,
         &["fee 2026-02-28/2027-02-28 248/365: pro 815.34", "total 815.34"]),
    ];
    for (due, dates, had, wanted) in table {
        let policies = format!(
            "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"1200\"\nper = \"year\"\ndue = \"{due}\"\n"
        );
        let terms = format!("format = 1\nplan = \"pro\"\n{dates}");
        let had = had.map(|[from, until, billed]| billed_year(from, until, billed));
        check_ahead(&policies, &terms, None, &Vec::from_iter(had), wanted);
    }
}

/// Protects: a plan that begins, changes or ends within a day costs its seconds of its month or year; a year from a moment
/// on is whole, and the seconds before and behind a change together cost the fee.
#[test]
fn fees_by_the_second() {
    let month = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"720\"\nper = \"month\"\ndue = \"in_arrears\"\n\
                 [[plan]]\nkey = \"team\"\ntitle = \"Team\"\nfee = \"1440\"\nper = \"month\"\ndue = \"in_arrears\"\n";
    let year =
        "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"1200\"\nper = \"year\"\ndue = \"in_advance\"\n";
    #[rustfmt::skip]
    let table: &[(&str, &str, &[&str])] = &[
        // One an hour: 10 hours and a half.
        (month, "plan = \"pro\"\nplan_from = \"2026-11-05T10:30:00\"\nplan_until = \"2026-11-05T21:00:00\"",
         &["fee 2026-11 0 d 10:30:00/30: pro 10.50", "total 10.50"]),
        (month, "[[subscription]]\nplan = \"pro\"\nfrom = \"2026-11-01\"\nuntil = \"2026-11-16T00:00:01\"\n[[subscription]]\nplan = \"team\"\nfrom = \"2026-11-16T00:00:01\"",
         &["fee 2026-11 15 d 00:00:01/30: pro 360.00", "fee 2026-11 14 d 23:59:59/30: team 720.00", "total 1080.00"]),
        (month, "[[subscription]]\nplan = \"pro\"\nfrom = \"2026-11-01\"\nuntil = \"2026-11-11T12:00:00\"\n[[subscription]]\nplan = \"pro\"\nfrom = \"2026-11-11T12:00:00\"",
         &["fee 2026-11 30/30: pro 720.00", "total 720.00"]),
        (year, "plan = \"pro\"\nplan_from = \"2026-11-05T10:30:00\"",
         &["fee 2026-11-05T10:30:00/2027-11-05T10:30:00 365/365: pro 1200.00", "total 1200.00"]),
        (year, "plan = \"pro\"\nplan_from = \"2026-11-05T10:30:00\"\nplan_until = \"2026-11-12T22:30:00\"",
         &["fee 2026-11-05T10:30:00/2027-11-05T10:30:00 7 d 12:00:00/365: pro 24.66", "total 24.66"]),
    ];
    for (policies, terms, wanted) in table {
        check_ahead(policies, &format!("format = 1\n{terms}"), None, &[], wanted);
    }
}

/// 1200 for days of a year from its first one on.
fn billed_year(from: &str, until: &str, billed: &str) -> BilledAhead {
    let day = |text: &str| Moment::parse(text).expect("moment");
    let (period, time) = (
        FeePeriod {
            from: day(from),
            until: day(until),
        },
        Moments::between(day(from), day(billed)),
    );
    // In cents, half-up.
    let days = time.length().days().expect("whole days");
    let fee = (120_000 * 2 * i128::from(days) + 365) / (2 * 365);
    let fee = Money::from_minor_units(fee, Currency::parse("USD").expect("currency"));
    BilledAhead {
        plan: ItemKey::parse("pro").expect("key"),
        titles: Titles {
            own: "Pro".to_owned(),
            by_language: Default::default(),
        },
        tax_class: "standard".to_owned(),
        period,
        time,
        fee,
        net: fee,
        is_settled: false,
    }
}

/// A month without usage.
fn check_ahead(policies: &str, terms: &str, before: Option<&str>, ahead: &[BilledAhead], wanted: &[&str]) {
    let books = books("USD", policies);
    let book = books.at(Hour(NOVEMBER)).expect("book");
    let parse = |text: &str| Terms::parse(text, book).unwrap_or_else(|faults| panic!("{faults:#?}"));
    let (terms, before) = (parse(terms), before.map(parse));
    let made = statement(Input {
        sums: &MonthSums::new(&books),
        books: &books,
        until: Hour(NOVEMBER + 719),
        terms: &terms,
        before: before.as_ref(),
        month: november(),
        zone: &BillingZone::utc(),
        grants: &[],
        late: &[],
        billed_ahead: ahead,
    });
    let made = made.unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(rows(&made), wanted, "{terms:#?}");
}

/// Protects: terms that drop a plan, change it or move its first day settle the year that had begun: in advance days of the
/// month on come back, in arrears those before it are billed.
#[test]
fn years_that_end_with_their_terms() {
    let plans = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"1200\"\nper = \"year\"\ndue = \"in_arrears\"\n\
                 [[plan]]\nkey = \"team\"\ntitle = \"Team\"\nfee = \"300\"\nper = \"month\"\ndue = \"in_arrears\"\n";
    let had = "format = 1\nplan = \"pro\"\nplan_from = \"2026-03-15\"";
    let ended = "fee 2026-03-15/2027-03-15 231/365: pro 759.45";
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("format = 1", &[ended, "total 759.45"]),
        (had, &["total 0.00"]),
        ("format = 1\nplan = \"team\"\nplan_from = \"2026-11-01\"", &["fee 2026-11 30/30: team 300.00", ended, "total 1059.45"]),
        ("format = 1\nplan = \"pro\"\nplan_from = \"2026-11-01\"", &[ended, "total 759.45"]),
        ("format = 1\nplan = \"pro\"\nplan_from = \"2026-03-15\"\nplan_until = \"2026-11-02\"", &["fee 2026-03-15/2027-03-15 232/365: pro 762.74", "total 762.74"]),
    ];
    for (terms, wanted) in table {
        check_ahead(plans, terms, Some(had), &[], wanted);
    }
    let advance = plans.replacen("in_arrears", "in_advance", 1);
    let billed = || billed_year("2026-03-15", "2027-03-15", "2027-03-15");
    let back = "fee 2026-03-15/2027-03-15 231/365: pro -440.55";
    let moved = "fee 2026-11-01/2027-11-01 365/365: pro 1200.00";
    let anew = "format = 1\nplan = \"pro\"\nplan_from = \"2026-11-01\"";
    check_ahead(
        &advance,
        "format = 1",
        Some(had),
        &[billed()],
        &[back, "total -440.55"],
    );
    check_ahead(
        &advance,
        anew,
        Some(had),
        &[billed()],
        &[moved, back, "total 759.45"],
    );
    // Paid half of it, so half comes back.
    let half = BilledAhead {
        net: Money::parse("600.00 USD").expect("money"),
        ..billed()
    };
    let wanted = &["fee 2026-03-15/2027-03-15 231/365: pro -220.27", "total -220.27"];
    check_ahead(&advance, "format = 1", Some(had), &[half], wanted);
    // A later month's invoice has settled it.
    let settled = BilledAhead {
        is_settled: true,
        ..billed()
    };
    check_ahead(&advance, "format = 1", Some(had), &[settled], &["total 0.00"]);
}

/// Protects: several plans in one month, each by its days; the one with the most days counts for all else, of as many the
/// later one.
#[test]
fn plans_that_change_within_a_month() {
    let plans = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"100\"\nper = \"month\"\ndue = \"in_advance\"\n\
                 quantities = { cpu = \"40\" }\n\
                 [[plan]]\nkey = \"team\"\ntitle = \"Team\"\nfee = \"300\"\nper = \"month\"\ndue = \"in_arrears\"\n";
    let terms = |first: &str, from: &str| {
        format!("format = 1\n{first}\n[[subscription]]\nplan = \"team\"\nfrom = \"{from}\"\n")
    };
    let pro = |until: &str| format!("plan = \"pro\"\nplan_from = \"2026-01-01\"\nplan_until = \"{until}\"");
    let half = "acme: cpu 60.00";
    #[rustfmt::skip]
    let table: &[(String, &[&str])] = &[
        (terms(&pro("2026-11-15"), "2026-11-15"), &["acme: cpu 100.00", "fee 2026-11 14/30: pro -53.33", "fee 2026-11 16/30: team 160.00", "total 206.67"]),
        (terms(&pro("2026-11-16"), "2026-11-16"), &["acme: cpu 100.00", "fee 2026-11 15/30: pro -50.00", "fee 2026-11 15/30: team 150.00", "total 200.00"]),
        (terms(&pro("2026-11-17"), "2026-11-17"), &[half, "fee 2026-11 16/30: pro -46.67", "fee 2026-11 14/30: team 140.00", "total 153.33"]),
        // A gap, and the same plan twice.
        ("format = 1\n[[subscription]]\nplan = \"pro\"\nfrom = \"2026-11-21\"\n[[subscription]]\nplan = \"pro\"\nfrom = \"2026-01-01\"\nuntil = \"2026-11-11\"\n".to_owned(),
         &[half, "fee 2026-11 20/30: pro -33.33", "fee 2026-12 31/31: pro 100.00", "total 126.67"]),
    ];
    for (terms, wanted) in table {
        check(
            &Case {
                policies: plans,
                terms,
                ahead: Some(("pro", "100.00 USD")),
                ..PLAIN
            },
            wanted,
        );
    }
}

/// Protects: a plan that the price book does not have any more is a fault only where the account has days of it.
#[test]
fn a_plan_that_the_book_dropped() {
    let plan =
        "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"1\"\nper = \"month\"\ndue = \"in_advance\"\n";
    let (with, without) = (books("USD", plan), books("USD", ""));
    let book = with.at(Hour(NOVEMBER)).expect("book");
    for (until, is_fault) in [("2026-11-01", false), ("2026-11-02", true)] {
        let text =
            format!("format = 1\nplan = \"pro\"\nplan_from = \"2026-01-01\"\nplan_until = \"{until}\"");
        let terms = Terms::parse(&text, book).expect("terms");
        let made = statement(Input {
            sums: &MonthSums::new(&without),
            books: &without,
            until: Hour(NOVEMBER + 719),
            terms: &terms,
            before: Some(&terms),
            month: november(),
            zone: &BillingZone::utc(),
            grants: &[],
            late: &[],
            billed_ahead: &[],
        });
        assert_eq!(made.is_err(), is_fault, "{until}");
    }
}

/// Protects: a coupon takes of a fee ahead only where it counts in that month, and nothing of what comes back.
#[test]
fn coupons_and_fees_ahead() {
    let plan =
        "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"100\"\nper = \"month\"\ndue = \"in_advance\"\n";
    let coupon = |cut: &str, from: &str, months: &str| {
        format!(
            "format = 1\nplan = \"pro\"\nplan_from = \"2026-11-01\"\n[[coupon]]\nkey = \"c\"\ntitle = \"C\"\n{cut}\nfrom = \"{from}\"\nmonths = \"{months}\"\n"
        )
    };
    let fees = ["fee 2026-11 30/30: pro 100.00", "fee 2026-12 31/31: pro 100.00"];
    #[rustfmt::skip]
    let table = [
        ("percent = \"100\"", "2026-11", "1", &["discount: c -100.00", "total 100.00"][..]),
        ("percent = \"100\"", "2026-11", "2", &["discount: c -200.00", "total 0.00"]),
        ("percent = \"100\"", "2026-12", "1", &["discount: c -100.00", "total 100.00"]),
        ("amount = \"130\"",  "2026-11", "1", &["discount: c -100.00", "total 100.00"]),
        ("amount = \"130\"",  "2026-11", "2", &["discount: c -130.00", "total 70.00"]),
        ("amount = \"130\"",  "2026-12", "2", &["total 200.00"]),
    ];
    for (cut, from, months, wanted) in table {
        check(
            &Case {
                policies: plan,
                terms: &coupon(cut, from, months),
                usage: &[],
                ..PLAIN
            },
            &[&fees[..], wanted].concat(),
        );
    }
}

/// Protects: an allowance of its own stands in place of a plan's quantity, which an own price alone keeps.
#[test]
fn quantities_of_items_with_prices_of_their_own() {
    let plan = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"0\"\nper = \"month\"\ndue = \"in_arrears\"\nquantities = { cpu = \"40\" }\n";
    let own = |allowance: &str| {
        format!(
            "format = 1\nplan = \"pro\"\nplan_from = \"2026-01-01\"\n[[item]]\nkey = \"cpu\"\ntitle = \"CPU\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"2\"\n{allowance}"
        )
    };
    for (allowance, wanted) in [
        ("", ["acme: cpu 120.00", "total 120.00"]),
        (
            "allowance = \"70\"\nallowance_over = \"month\"\n",
            ["acme: cpu 60.00", "total 60.00"],
        ),
    ] {
        check(
            &Case {
                policies: plan,
                terms: &own(allowance),
                ..PLAIN
            },
            &wanted,
        );
    }
}
