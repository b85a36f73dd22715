//! Percentages of ordinary sums with the longest numbers that a price book may hold.

use super::*;

/// A price of 12 places for a quantity of 9: 999 999.993601428898011688386, which is 27 digits.
const LONG: &str = r#"
[[item]]
key = "long"
title = "Long"
meters = ["requests.write"]
unit = "request"
model = "per_unit"
price = "0.000011574074"
"#;
const USED: &[(&str, u32, &str, &str)] = &[("acme", 0, "long", "86400000000.123456789")];

/// Protects: a discount, a surcharge, a step and a tax of any percentage that can be written are billed for any sum that an
/// amount can reach; what is rounded is the exact product, once.
#[test]
fn percentages_of_long_amounts() {
    #[rustfmt::skip]
    let table: &[(&str, &[&str])] = &[
        ("[[discount]]\nkey = \"a\"\ntitle = \"A\"\npercent = \"12.5\"", &["discount: a -125000.00", "total 874999.99"]),
        ("[[discount]]\nkey = \"a\"\ntitle = \"A\"\npercent = \"33.333333\"", &["discount: a -333333.33", "total 666666.66"]),
        ("[[discount]]\nkey = \"a\"\ntitle = \"A\"\nsteps = [{ above = \"999999.993601428898\", percent = \"7.654321\" }]",
         &["discount: a -76543.21", "total 923456.78"]),
        ("[[discount]]\nkey = \"a\"\ntitle = \"A\"\nfrom = \"2026-11-01T00:00:00Z\"\npercent = \"33.333333\"",
         &["discount: a -333333.33", "total 666666.66"]),
        ("[[surcharge]]\nkey = \"s\"\ntitle = \"S\"\nabove = \"1000\"\npercent = \"12.345678\"", &["surcharge: s 123333.32", "total 1123333.31"]),
        ("[[tax]]\nclass = \"standard\"\ntitle = \"T\"\npercent = \"13.333333\"\n[[tax]]\nclass = \"reduced\"\ntitle = \"R\"\npercent = \"0\"",
         &["tax: standard 13.333333% of 999999.99 133333.33", "total 1133333.32"]),
    ];
    for (policies, wanted) in table {
        let policies = &format!("{policies}\n{LONG}");
        let case = Case {
            policies,
            usage: USED,
            ..PLAIN
        };
        check(&case, &[&["acme: long 999999.99"], *wanted].concat());
    }
}

/// Protects: the costs of items of which each fits are summed for a surcharge and a discount, also where the sum has more
/// digits than an amount: 10¹⁰ at no places and 10⁻²¹ at 21.
#[test]
fn sums_of_long_and_large_amounts() {
    let large = "[[item]]\nkey = \"large\"\ntitle = \"L\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\nmodel = \"per_unit\"\nprice = \"1\"\n";
    let policies = &format!(
        "[[surcharge]]\nkey = \"s\"\ntitle = \"S\"\nabove = \"0\"\npercent = \"10\"\n\
         [[discount]]\nkey = \"a\"\ntitle = \"A\"\npercent = \"50\"\n{large}{LONG}"
    );
    let usage = &[
        ("acme", 0, "large", "10000000000"),
        ("acme", 0, "long", "0.000000001"),
    ];
    check(
        &Case {
            policies,
            usage,
            ..PLAIN
        },
        &[
            "acme: large 10000000000.00",
            "acme: long 0.00",
            "surcharge: s 1000000000.00",
            "discount: a -5500000000.00",
            "total 5500000000.00",
        ],
    );
}
