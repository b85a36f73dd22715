//! Taxes of statements, as tables.

use super::*;

/// Protects: tax per class over what is left of its lines, rounded once per rate; included tax adds nothing; the exempt pay none.
#[test]
fn taxes_per_class() {
    let taxes = "[[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"6\"\n[[tax]]\nclass = \"reduced\"\ntitle = \"VAT\"\npercent = \"3\"\n\
                 [[discount]]\nkey = \"a\"\ntitle = \"A\"\namount = \"10\"\n";
    let usage = &[("acme", 0, "cpu", "66.67"), ("acme", 0, "disk", "3333")];
    check(
        &Case {
            policies: taxes,
            usage,
            ..PLAIN
        },
        &[
            "acme: cpu 66.67",
            "acme: disk 33.33",
            "discount: a -10.00",
            "tax: standard 6% of 60.00 3.60",
            "tax: reduced 3% of 30.00 0.90",
            "total 94.50",
        ],
    );
    let included = format!("tax_included = true\n{taxes}");
    check(
        &Case {
            policies: &included,
            usage,
            ..PLAIN
        },
        &[
            "acme: cpu 66.67",
            "acme: disk 33.33",
            "discount: a -10.00",
            "tax: standard 6% of 60.00 3.40",
            "tax: reduced 3% of 30.00 0.87",
            "total 90.00",
        ],
    );
    let terms = "format = 1\ntax_exempt = true";
    check(
        &Case {
            policies: taxes,
            terms,
            ..PLAIN
        },
        &["acme: cpu 100.00", "discount: a -10.00", "total 90.00"],
    );
}

/// Protects: an account's own rate stands in place of the book's for its class alone, with its own name, in prices that
/// contain the tax too; a book without taxes taxes this account alone.
#[test]
fn taxes_of_an_account() {
    let taxes = "[[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"6\"\n[[tax]]\nclass = \"reduced\"\ntitle = \"VAT\"\npercent = \"3\"\n[[surcharge]]\nkey = \"s\"\ntitle = \"S\"\nabove = \"0\"\npercent = \"10\"\ntax_class = \"reduced\"\n";
    let own = "format = 1\n[[tax]]\nclass = \"standard\"\ntitle = \"Reverse charge\"\npercent = \"0\"\n";
    let other = "format = 1\n[[tax]]\nclass = \"standard\"\ntitle = \"GST\"\npercent = \"15\"\n";
    let included = format!("tax_included = true\n{taxes}");
    #[rustfmt::skip]
    let table: [(&str, &str, &[&str]); 4] = [
        (taxes, own, &["acme: cpu 100.00", "surcharge: s 10.00", "tax: standard 0% of 100.00 0.00", "tax: reduced 3% of 10.00 0.30", "total 110.30"]),
        (taxes, other, &["acme: cpu 100.00", "surcharge: s 10.00", "tax: standard 15% of 100.00 15.00", "tax: reduced 3% of 10.00 0.30", "total 125.30"]),
        (&included, other, &["acme: cpu 100.00", "surcharge: s 10.00", "tax: standard 15% of 100.00 13.04", "tax: reduced 3% of 10.00 0.29", "total 110.00"]),
        ("", other, &["acme: cpu 100.00", "tax: standard 15% of 100.00 15.00", "total 115.00"]),
    ];
    for (policies, terms, wanted) in table {
        check(
            &Case {
                policies,
                terms,
                ..PLAIN
            },
            wanted,
        );
    }
}

/// Protects: what corrects an earlier month is taxed as that month was, and together with the month's own lines where the
/// rates are the same; tax that was never charged does not come back.
#[test]
fn late_usage_is_taxed_as_its_month() {
    let tax = |percent: &str| {
        format!(
            "[[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"{percent}\"\n[[tax]]\nclass = \"reduced\"\ntitle = \"VAT\"\npercent = \"0\"\n"
        )
    };
    let included = |percent: &str| format!("tax_included = true\n{}", tax(percent));
    #[rustfmt::skip]
    let table: [(String, String, &[&str]); 4] = [
        (tax("6"), tax("6"), &["acme: cpu 100.00", "late: cpu -30.00", "tax: standard 6% of 70.00 4.20", "total 74.20"]),
        (String::new(), tax("6"), &["acme: cpu 100.00", "late: cpu -30.00", "tax: standard 6% of 100.00 6.00", "total 76.00"]),
        (tax("16"), tax("6"), &["acme: cpu 100.00", "late: cpu -30.00", "tax: standard 6% of 100.00 6.00", "tax: standard 16% of -30.00 -4.80", "total 71.20"]),
        (included("20"), tax("6"), &["acme: cpu 100.00", "late: cpu -30.00", "tax: standard 6% of 100.00 6.00", "tax: standard 20% of -30.00 -5.00", "total 76.00"]),
    ];
    for (then, now, wanted) in &table {
        let before = made(&Case {
            policies: then,
            ..PLAIN
        });
        let after = made(&Case {
            policies: then,
            usage: &[("acme", 0, "cpu", "70")],
            ..PLAIN
        });
        let late = difference(november(), &before, &after).expect("a difference");
        let books = books("USD", now);
        let terms = Terms::none();
        let sums = sums(&books, &terms, PLAIN.usage);
        let made = statement(Input {
            sums: &sums,
            books: &books,
            until: Hour(NOVEMBER + 719),
            terms: &terms,
            before: None,
            month: november(),
            zone: &BillingZone::utc(),
            grants: &[],
            late: &late,
            billed_ahead: &[],
        });
        let mut rows = rows(&made.expect("a statement"));
        for row in &mut rows {
            if row.contains("-30.00") && !row.starts_with("tax") {
                *row = "late: cpu -30.00".to_owned();
            }
        }
        assert_eq!(rows, *wanted, "{then} {now}");
    }
}
