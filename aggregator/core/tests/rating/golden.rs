//! One golden bill per charge model and per policy: `tests/golden/*.txt`.
//!
//! A file says in its first sentence what it protects, works the figures out by hand, and holds book, terms, usage and the
//! expected hours and statement. The whole text is compared; `UPDATE_GOLDEN=1` writes what the product gives. That can't
//! hide a fault: each sum in the comment is worked out again here with fractions, its result must stand in the expected
//! tables, and the last one must be the total.
#![allow(clippy::disallowed_methods, reason = "a test reads its golden files")]

use std::path::{Path, PathBuf};

use tallyman_aggregator_core::rating::parse_hour;
use tallyman_aggregator_core::rating::policy::Titles;
use tallyman_aggregator_core::rating::statement::Grant;
use tallyman_common::money::Money;

use crate::exact::Ratio;
use crate::product::{Ahead, Case, Outcome, Use, key};
use crate::{hand, table};

/// Sections that a person writes; all behind them is expected.
const GIVEN: &[&str] = &[
    "price book",
    "terms",
    "terms before",
    "month",
    "billed ahead",
    "credits",
    "usage",
];

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let entries = std::fs::read_dir(&folder).expect("the folder of golden files");
    let mut files: Vec<PathBuf> = entries.map(|it| it.expect("an entry").path()).collect();
    files.sort();
    files
}

/// Protects: every bill below, to the last character.
#[test]
fn bills_are_as_they_were_worked_out() {
    let files = files();
    assert!(files.len() >= 50, "only {} golden files", files.len());
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut faults = Vec::new();
    for path in files {
        let name = path.file_name().expect("a name").to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).expect("listed, so there");
        let (given, _) = text.split_once("=== hours ===").unwrap_or((&text, ""));
        let outcome = case(&name, given).run();
        let expected = tables(&outcome);
        let whole = format!("{given}{expected}");
        if is_update {
            std::fs::write(&path, &whole).expect("written");
        } else if whole != text {
            faults.push(format!("{name}: the product gives\n{expected}"));
        }
        faults.extend(
            check_by_hand(given, &expected, &outcome)
                .into_iter()
                .map(|it| format!("{name}: {it}")),
        );
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn tables(outcome: &Outcome) -> String {
    format!(
        "=== hours ===\n{}\n=== statement ===\n{}",
        table::hours(&outcome.lines),
        table::statement(&outcome.statement)
    )
}

/// What is wrong with the comment: no sentence, a wrong sum, a result that is nowhere, a total that is not the last result.
fn check_by_hand(given: &str, expected: &str, outcome: &Outcome) -> Vec<String> {
    let mut faults = Vec::new();
    if !given.starts_with("# Protects: ") {
        faults.push("does not say in its first sentence what it protects".to_owned());
    }
    let in_tables: Vec<Ratio> = expected
        .split(|it: char| !it.is_ascii_digit() && it != '.')
        .filter_map(Ratio::read)
        .collect();
    let mut results = Vec::new();
    let comment = given.lines().take_while(|it| it.starts_with('#'));
    for line in comment.filter_map(|it| it.strip_prefix("#   ")) {
        let formula = line.trim_start().split("  ").next().unwrap_or(line);
        match hand::check(formula) {
            Ok(result) if in_tables.contains(&result.size()) => results.push(result),
            Ok(result) => faults.push(format!("`{formula}`: {result} is nowhere in the tables")),
            Err(reason) => faults.push(format!("`{formula}`: {reason}")),
        }
    }
    let total = Ratio::read(&outcome.statement.total.number()).expect("a number");
    if results.last() != Some(&total) {
        faults.push(format!("the last sum by hand is not the total {total}"));
    }
    faults
}

/// Reads the given part of a file.
fn case(name: &str, given: &str) -> Case {
    let mut case = Case::of("", "");
    case.books.clear();
    for section in given.split("\n=== ").skip(1) {
        let (title, body) = section.split_once(" ===\n").expect("a title");
        let rows: Vec<Vec<&str>> = body
            .lines()
            .filter(|it| !it.trim().is_empty())
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        let (kind, from) = title.split_once(" from ").unwrap_or((title, "1970-01-01 00h"));
        assert!(GIVEN.contains(&kind), "{name}: unknown section `{title}`");
        match (kind, &rows[..]) {
            ("price book", _) => case.books.push((hour(from), body.to_owned())),
            ("terms", _) => case.terms = body.to_owned(),
            ("month", [row]) => {
                case.month = row[0].to_owned();
                case.zone = row[1].to_owned();
            }
            ("terms before", _) => case.before = Some(body.to_owned()),
            ("billed ahead", rows) => case.ahead = rows.iter().map(|it| ahead(it)).collect(),
            ("credits", rows) => case.grants = rows.iter().map(|it| grant(it)).collect(),
            ("usage", rows) => case.usage = rows.iter().flat_map(|it| uses(it)).collect(),
            _ => panic!("{name}: section `{title}` has one row"),
        }
    }
    case
}

/// `plan | fee` of this month; or `plan | fee | what was left of it | period | days of it`, both half-open.
fn ahead(row: &[&str]) -> Ahead {
    let interval = |at: usize| {
        let (from, until) = row.get(at)?.split_once('/').expect("from/until");
        Some([from.to_owned(), until.to_owned()])
    };
    Ahead {
        plan: row[0].to_owned(),
        fee: row[1].to_owned(),
        net: row.get(2).unwrap_or(&row[1]).to_string(),
        period: interval(3),
        days: interval(4).or(interval(3)),
        is_settled: false,
    }
}

fn hour(text: &str) -> u32 {
    let instant = format!("{}:00:00Z", text.trim_end_matches('h').replace(' ', "T"));
    parse_hour(&instant).unwrap_or_else(|e| panic!("{e}")).0
}

/// `2026-11-01 00h, 36 hours | tenant | item | quantity` of each.
fn uses(row: &[&str]) -> Vec<Use> {
    let [hours, tenant, item, quantity] = row else {
        panic!("usage has four columns: {row:?}");
    };
    let (first, count) = hours.split_once(", ").unwrap_or((hours, "1 hours"));
    let count: u32 = count
        .trim_end_matches(" hours")
        .parse()
        .expect("a number of hours");
    let first = hour(first);
    (first..first + count)
        .map(|hour| Use {
            hour,
            tenant: (*tenant).to_owned(),
            item: (*item).to_owned(),
            quantity: (*quantity).to_owned(),
        })
        .collect()
}

/// `key | left | items, or nothing for all`.
fn grant(row: &[&str]) -> Grant {
    let [name, left, items] = row else {
        panic!("credits have three columns: {row:?}");
    };
    Grant {
        key: (*name).to_owned(),
        titles: Titles {
            own: (*name).to_owned(),
            by_language: Default::default(),
        },
        left: Money::parse(left).expect("money"),
        items: items.split_whitespace().map(key).collect(),
    }
}
