//! Openings, sizes, banned words, floats and clamps.

use crate::files::{TextFile, has_word, is_comment, rust, texts};
use crate::require_none;

const FILE_LINES_MAX: usize = 600;
const CODE_LINES_MAX: usize = 400;
const FUNCTION_LINES_MAX: usize = 70;

#[test]
fn every_file_says_at_its_top_what_it_is_for() {
    let mut findings = Vec::new();
    for file in texts(|_| true) {
        let mut lines = file.text.lines();
        let first = lines.next().unwrap_or("");
        let opens = if file.path.ends_with(".rs") {
            first.starts_with("//! ") && first.len() > 12
        } else if first.starts_with("#!") {
            lines.next().is_some_and(|second| second.starts_with("# "))
        } else {
            true
        };
        if !opens {
            findings.push(format!("{}:1: {first}", file.path));
        }
    }
    require_none("a Rust file opens with `//!`, a script with a comment", findings);
}

#[test]
fn files_stay_short() {
    let mut findings = Vec::new();
    for file in rust() {
        let (all, code) = (file.text.lines().count(), file.code().count());
        if all > FILE_LINES_MAX || code > CODE_LINES_MAX {
            findings.push(format!("{}: {all} lines, {code} without tests", file.path));
        }
    }
    require_none("600 lines a file, 400 without tests", findings);
}

#[test]
fn functions_stay_short() {
    let findings = rust().iter().flat_map(long_functions).collect();
    require_none("70 lines a function", findings);
}

fn long_functions(file: &TextFile) -> Vec<String> {
    let lines: Vec<&str> = file.text.lines().collect();
    let mut findings = Vec::new();
    for (start, line) in lines.iter().enumerate().filter(|(_, line)| begins_function(line)) {
        let indent = &line[..line.len() - line.trim_start().len()];
        let closing = format!("{indent}}}");
        let body = lines[start..]
            .iter()
            .position(|l| l.ends_with('{') || l.ends_with(';') || l.ends_with('}'));
        let Some(opens) = body.map(|at| start + at).filter(|at| lines[*at].ends_with('{')) else {
            continue;
        };
        let length = lines[opens..]
            .iter()
            .position(|l| *l == closing)
            .map_or(0, |at| opens + at + 1 - start);
        if length > FUNCTION_LINES_MAX {
            findings.push(format!(
                "{}:{}: {length} lines: {}",
                file.path,
                start + 1,
                line.trim()
            ));
        }
    }
    findings
}

fn begins_function(line: &str) -> bool {
    let mut words = line.trim_start().split(' ');
    let is_prefix = |word: &str| {
        word.starts_with("pub") || ["const", "async", "unsafe", "extern", "\"C\""].contains(&word)
    };
    words.find(|word| !is_prefix(word)) == Some("fn")
}

/// Written apart, so that this file does not hold them.
const BANNED: &[(&str, &str)] = &[
    (concat!("FIX", "ME"), "open ends belong into the tracker"),
    (concat!("X", "XX"), "open ends belong into the tracker"),
    (concat!("TO", "DO"), "open ends belong into the tracker"),
    (concat!("to", "do!"), "what is not built is absent"),
    (concat!("unimpl", "emented!"), "what is not built is absent"),
    (concat!("db", "g!"), "left from a search"),
    (concat!("#[ign", "ore"), "a test that does not run is no test"),
    (concat!("/wo", "rk/"), "a path of somebody's machine"),
    (concat!("/home", "/"), "a path of somebody's machine"),
    (concat!("/tmp", "/brief"), "a path of somebody's machine"),
    (concat!("/tmp", "/env"), "a path of somebody's machine"),
    (concat!("(being ", "written)"), "an empty module says nothing"),
];

/// (path, word, why it stands there)
const MAY_SAY: &[(&str, &str, &str)] = &[
    (
        "common/src/money/tests.rs",
        concat!("X", "XX"),
        "ISO 4217 has this code for no currency",
    ),
    (
        "aggregator/src/io/admin.rs",
        concat!("/home", "/"),
        "a test reads a line of a passwd file",
    ),
];

#[test]
fn no_banned_words() {
    let mut findings = Vec::new();
    for file in texts(|path| path != "Cargo.lock") {
        for (number, line) in (1..).zip(file.text.lines()) {
            for (word, why) in BANNED.iter().filter(|(word, _)| line.contains(word)) {
                if MAY_SAY
                    .iter()
                    .any(|(path, said, _)| *path == file.path && said == word)
                {
                    continue;
                }
                findings.push(format!("{}:{number}: `{word}`: {why}", file.path));
            }
        }
    }
    require_none("banned words", findings);
}

/// Tests that look again and again for what another process does, each with a deadline, and never take time that
/// passed for something that happened.
const MAY_SLEEP: &[(&str, &str)] = &[];

#[test]
fn no_test_waits_for_time_to_pass() {
    let call = concat!("sle", "ep(");
    let mut findings = Vec::new();
    for file in rust() {
        if MAY_SLEEP.iter().any(|(path, _)| file.path.starts_with(path)) {
            continue;
        }
        for (number, line) in file
            .tests()
            .filter(|(_, line)| line.contains(call) && !is_comment(line))
        {
            findings.push(format!("{}:{number}: {}", file.path, line.trim()));
        }
    }
    require_none("no sleep as synchronisation", findings);
}

const PURE: &[&str] = &["common/src/", "agent/core/src/", "aggregator/core/src/"];

/// (path, pattern, why it is no clamp and no float on usage or money)
const MAY_CLAMP: &[(&str, &str, &str)] = &[
    (
        "agent/core/src/sources/bytes.rs",
        "wrapping_",
        "digits and marks inside a machine word, no quantities",
    ),
    (
        "agent/core/src/windows/counter.rs",
        "wrapping_",
        "stamps of sweeps, compared for equality only",
    ),
];

#[test]
fn usage_and_money_are_neither_clamped_nor_floats() {
    let calls = ["saturating_", "unwrap_or(0", ".max(0)", "wrapping_"];
    let types = ["f64", "f32"];
    let mut findings = Vec::new();
    for file in rust()
        .iter()
        .filter(|f| PURE.iter().any(|p| f.path.starts_with(p)))
    {
        for (number, line) in file.code().filter(|(_, line)| !is_comment(line)) {
            let call = calls.iter().filter(|call| line.contains(*call));
            let float = types.iter().filter(|name| has_word(line, name));
            for pattern in call.chain(float) {
                let explained = |(path, p, _): &(&str, &str, &str)| *path == file.path && p == pattern;
                if !MAY_CLAMP.iter().any(explained) {
                    findings.push(format!("{}:{number}: `{pattern}`: {}", file.path, line.trim()));
                }
            }
        }
    }
    require_none("an impossible number is a fault that is shown", findings);
}
