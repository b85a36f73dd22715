//! Offline rating against golden files, and what its input is refused for.

use super::*;

const STORAGE: &str = include_str!("../../../../deploy/price-books/storage-cny.toml");
const USAGE: &str = include_str!("../../../../tests/golden/rating/storage.usage.jsonl");
const RATED: &str = include_str!("../../../../tests/golden/rating/storage.rated.json");

#[test]
fn usage_is_rated_byte_for_byte_as_in_the_golden_file() {
    let rated = rate(STORAGE, USAGE).unwrap_or_else(|error| panic!("{error}"));
    assert!(
        rated == RATED.trim_end(),
        "I6: tests/golden/rating/storage.rated.json is not:\n{rated}"
    );
}

#[test]
fn the_order_of_the_lines_does_not_matter() {
    let mut lines: Vec<&str> = USAGE.lines().collect();
    lines.reverse();
    assert_eq!(
        rate(STORAGE, &lines.join("\n")).as_deref(),
        Ok(RATED.trim_end()),
        "I6"
    );
}

#[test]
fn faults_name_their_line_and_nothing_is_rated() {
    let good = r#"{"tenant":"a","hour":"2026-01-01T00:00:00Z","item":"storage","quantity":"1"}"#;
    #[rustfmt::skip]
    let table: &[(&str, &str, &str)] = &[
        // in the good line   instead                     what is said
        ("\"1\"",             "1",                        "column 73: invalid type: integer `1`, expected a string"),
        ("\"1\"",             "1.5",                      "column 75: invalid type: floating point `1.5`, expected a string"),
        ("\"1\"",             "\"-1\"",                   "`quantity`: quantity -1 is negative"),
        ("\"1\"",             "\"1e3\"",                  "`quantity`: `1e3` is not a decimal number: no exponent is written: all digits are"),
        ("\"1\"",             "\"0.0000000001\"",         "`quantity`: `0.0000000001` has 10 decimal places, at most 9 are allowed"),
        ("00:00Z",            "30:00Z",                   "`hour`: `2026-01-01T00:30:00Z` is not the start of an hour in UTC such as `2026-01-31T23:00:00Z`"),
        ("storage",           "disk",                     "`item`: the price book has no item `disk`"),
        ("\"a\"",             "\"\"",                     "`tenant` must have 1 to 128 bytes, no control characters and no spaces at its ends"),
        ("\"item\"",          "\"thing\"",                "column 51: unknown field `thing`, expected one of `tenant`, `hour`, `item`, `quantity`"),
        ("}",                 "",                         "column 75: EOF while parsing an object"),
    ];
    for (part, instead, reason) in table {
        let usage = format!("{good}\n\n{}\n", good.replacen(part, instead, 1));
        let error = rate(STORAGE, &usage).expect_err("refused").to_string();
        assert_eq!(error, format!("usage: line 3: {reason}"));
    }
    let list = r#"["a","2026-01-01T00:00:00Z","storage","1"]"#;
    assert_eq!(
        rate(STORAGE, list).expect_err("refused").to_string(),
        "usage: line 1: a JSON object is wanted, one a line"
    );
    let twice = format!("{good}\n{}\n{good}\n", good.replace("\"a\"", "\"b\""));
    assert_eq!(
        rate(STORAGE, &twice).expect_err("refused").to_string(),
        "usage: line 3: tenant `a`, hour 2026-01-01T00:00:00Z and item `storage` are already on line 1"
    );
    let book = STORAGE.replace("price = \"0.0008\"", "price = 0.0008");
    assert_eq!(
        rate(&book, good).expect_err("refused").to_string(),
        "price book: line 24: item `storage`: tier 2 `price = 0.0008`: binary fractions have no place in prices; \
         write it as a string: `\"0.0008\"`"
    );
}

#[test]
fn no_usage_is_no_bill() {
    let rated = rate(STORAGE, "\n").expect("rated");
    assert!(rated.contains("\"bills\": []"), "{rated}");
}
