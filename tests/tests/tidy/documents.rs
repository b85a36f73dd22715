//! Documents name only what exists, and everything that must be named is.

use std::collections::BTreeSet;

use crate::files::{TextFile, has_word, paths, root, rust, texts};
use crate::require_none;

fn document(path: &str) -> TextFile {
    let text = std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    let path = path.to_owned();
    TextFile { path, text }
}

/// Lines outside of fenced blocks, with their numbers from 1 on.
fn prose(file: &TextFile) -> Vec<(usize, &str)> {
    let mut fenced = false;
    let mut lines = Vec::new();
    for (number, line) in (1..).zip(file.text.lines()) {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        } else if !fenced {
            lines.push((number, line));
        }
    }
    lines
}

/// What stands between backticks on a line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// The repository path that a code span names, if it names one.
fn repository_path<'a>(span: &'a str, tops: &BTreeSet<String>) -> Option<&'a str> {
    let path = span
        .split([' ', '#', ':'])
        .next()
        .unwrap_or(span)
        .trim_end_matches('/');
    let top = path.split('/').next().unwrap_or(path);
    let is_path = path.contains('/') && tops.contains(top);
    let is_document = !path.contains('/') && path.ends_with(".md");
    (is_path || is_document).then_some(path)
}

/// Whether a path, or one with a `*` in it, is there.
fn exists(path: &str, all: &[String]) -> bool {
    if let Some((before, after)) = path.split_once('*') {
        let after = after.trim_start_matches('*');
        return all.iter().any(|p| p.starts_with(before) && p.ends_with(after));
    }
    let below = format!("{path}/");
    let in_docs = format!("docs/{path}");
    all.iter()
        .any(|p| p == path || p.starts_with(&below) || *p == in_docs)
}

#[test]
fn paths_in_documents_exist() {
    let all = paths();
    let tops: BTreeSet<String> = all
        .iter()
        .map(|p| p.split('/').next().unwrap().to_owned())
        .collect();
    let mut findings = Vec::new();
    for file in texts(|path| path.ends_with(".md")) {
        for (number, line) in prose(&file) {
            for path in code_spans(line).filter_map(|span| repository_path(span, &tops)) {
                if !exists(path, &all) {
                    findings.push(format!("{}:{number}: `{path}` does not exist", file.path));
                }
            }
            for target in line
                .split("](")
                .skip(1)
                .filter_map(|rest| rest.split([')', '#']).next())
            {
                let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
                let is_ours = !target.is_empty() && !target.contains(':');
                if is_ours && !root().join(folder).join(target).exists() {
                    findings.push(format!("{}:{number}: link to {target} leads nowhere", file.path));
                }
            }
        }
    }
    require_none("a path in a document exists", findings);
}

/// Comments send readers to pages; the page must be there.
#[test]
fn pages_named_in_code_exist() {
    let all = paths();
    let mut findings = Vec::new();
    for file in texts(|path| path != "Cargo.lock" && !path.ends_with(".md")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for rest in line.split(concat!("doc", "s/")).skip(1) {
                let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || "/_-.".contains(c)));
                let name = rest[..end.unwrap_or(rest.len())].trim_end_matches('.');
                let page = format!("{}{name}", concat!("doc", "s/"));
                let is_file = [".md", ".json"].iter().any(|end| name.ends_with(end));
                if is_file && !all.contains(&page) {
                    findings.push(format!("{}:{number}: {page} does not exist", file.path));
                }
            }
        }
    }
    require_none("a page that a comment names exists", findings);
}

#[test]
fn commands_in_documents_exist() {
    let makefile = document("Makefile").text;
    let known: Vec<&str> = makefile
        .lines()
        .find_map(|line| line.strip_prefix(".PHONY:"))
        .expect("the Makefile lists its targets")
        .split_whitespace()
        .collect();
    let mut findings = Vec::new();
    for file in texts(|path| path.ends_with(".md")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            let commands = code_spans(line).chain(line.starts_with("make ").then_some(line));
            for target in commands.filter_map(|span| span.strip_prefix("make ")?.split_whitespace().next()) {
                if !known.contains(&target) {
                    findings.push(format!("{}:{number}: `make {target}` is no target", file.path));
                }
            }
        }
    }
    require_none("a command in a document exists", findings);
}

/// Sources that define or use an option of a command line.
fn option_sources() -> String {
    let wanted = |path: &str| {
        path.ends_with(".rs") && (path.contains("/src/") || path.starts_with("tests/"))
            || path == "Makefile"
            || path.starts_with("scripts/")
    };
    texts(wanted).into_iter().map(|file| file.text).collect()
}

/// Options of programs that are not ours.
const FOREIGN_OPTIONS: &[&str] = &[];

#[test]
fn options_in_documents_exist() {
    let sources = option_sources();
    let mut findings = Vec::new();
    for file in texts(|path| path.ends_with(".md")) {
        for (number, line) in (1..).zip(file.text.lines()) {
            for rest in line.split(" --").skip(1).chain(line.split("`--").skip(1)) {
                let option: String = rest
                    .chars()
                    .take_while(|c| c.is_ascii_lowercase() || *c == '-')
                    .collect();
                let field = option.replace('-', "_");
                let is_there = has_word(&sources, &option) || has_word(&sources, &field);
                if option.len() > 1 && !is_there && !FOREIGN_OPTIONS.contains(&option.as_str()) {
                    findings.push(format!("{}:{number}: `--{option}` is no option", file.path));
                }
            }
        }
    }
    require_none("an option in a document exists", findings);
}

/// What follows a program's name where somebody is told to run it: behind a backtick, a quote or a line's start.
fn orders<'a>(line: &'a str, program: &str) -> Vec<&'a str> {
    let starts = line.match_indices(program).filter(|(at, _)| {
        let before = line[..*at].trim_end_matches("/usr/bin/");
        before.is_empty() || before.ends_with(['`', '"', '='])
    });
    let ends = |rest: &'a str| rest.split(['`', '"', ';', '|', '#']).next().unwrap_or(rest);
    starts
        .filter_map(|(at, _)| line[at + program.len()..].strip_prefix(' '))
        .map(ends)
        .collect()
}

fn pascal(word: &str) -> String {
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    word.split('-')
        .filter(|part| !part.is_empty())
        .map(capital)
        .collect()
}

/// One program prints commands of the other, and documents print both: such a line must run.
#[test]
fn orders_to_our_programs_exist() {
    let programs = [
        ("tallyman-agent", "agent/src/cli"),
        ("tallyman-aggregator", "aggregator/src/cli"),
    ];
    let mut findings = Vec::new();
    for (program, place) in programs {
        let sources = texts(|path| path.starts_with(place) && path.ends_with(".rs"));
        let source: String = sources.into_iter().map(|file| file.text).collect();
        assert!(!source.is_empty(), "{place} holds the command line of {program}");
        let wanted = |path: &str| {
            [".md", ".rs", ".sh", ".service"]
                .iter()
                .any(|end| path.ends_with(end))
        };
        for file in texts(wanted) {
            for (number, line) in (1..).zip(file.text.lines()) {
                for order in orders(line, program) {
                    let words: Vec<&str> = order.split_whitespace().collect();
                    let name = words
                        .iter()
                        .find(|word| word.chars().all(|c| c.is_ascii_lowercase() || c == '-'));
                    let is_name = |word: &&&str| !word.starts_with('-');
                    let unknown = name
                        .filter(is_name)
                        .filter(|word| !has_word(&source, &pascal(word)));
                    let options = words.iter().filter_map(|word| word.strip_prefix("--"));
                    let unknown_option = options
                        .map(|option| option.split('=').next().unwrap_or(option).replace('-', "_"))
                        .find(|field| !field.is_empty() && !has_word(&source, field));
                    if unknown.is_some() || unknown_option.is_some() {
                        findings.push(format!("{}:{number}: {program} {order}", file.path));
                    }
                }
            }
        }
    }
    require_none("a command that somebody is told to run exists", findings);
}

#[test]
fn every_invariant_is_asserted_and_tested_where_its_row_says() {
    let file = document("docs/INVARIANTS.md");
    let all = paths();
    let mut findings = Vec::new();
    for number in 1..=12 {
        let id = format!("I{number}");
        let start = format!("| {id} |");
        let Some(row) = file.text.lines().find(|line| line.starts_with(&start)) else {
            findings.push(format!("{id} has no row"));
            continue;
        };
        let columns: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        if columns.len() != 4 {
            findings.push(format!(
                "{id}: {} columns instead of id, promise, asserted, tested",
                columns.len()
            ));
            continue;
        }
        for (what, column) in [("asserted", columns[2]), ("tested", columns[3])] {
            let named: Vec<&str> = code_spans(column).filter(|span| span.contains('/')).collect();
            if named.is_empty() && !column.contains("not built yet") {
                findings.push(format!("{id} is not {what} anywhere"));
            }
            for path in named {
                if !exists(path, &all) {
                    findings.push(format!("{id}: `{path}` does not exist"));
                } else if what == "asserted" && !has_word(&document(path).text, &id) {
                    findings.push(format!("{id}: `{path}` does not speak of it"));
                }
            }
        }
    }
    require_none("an invariant without an assertion and a test is a wish", findings);
}

#[test]
fn the_formats_page_names_every_golden_file_and_no_other() {
    let page = document("docs/FORMATS.md");
    let folder = "tests/golden/formats/";
    let files: BTreeSet<String> = paths()
        .iter()
        .filter_map(|p| p.strip_prefix(folder).map(str::to_owned))
        .collect();
    assert!(files.len() > 20, "only {} golden files", files.len());
    let endings = [".hex", ".jsonl"];
    let named: BTreeSet<String> = prose(&page)
        .into_iter()
        .flat_map(|(_, line)| code_spans(line))
        .filter(|span| endings.iter().any(|e| span.ends_with(e)) && !span.contains(['*', '/', ' ']))
        .map(str::to_owned)
        .collect();
    let missing = files
        .difference(&named)
        .map(|f| format!("{f} is not on the page"));
    let extra = named.difference(&files).map(|f| format!("{f} is no golden file"));
    require_none("formats and golden files", missing.chain(extra).collect());
}

#[test]
fn operators_find_every_reason_and_notice() {
    let page = document("docs/OPERATING.md").text;
    let mut wanted: BTreeSet<String> = BTreeSet::new();
    for file in rust().iter().filter(|f| f.path.starts_with("agent/")) {
        let code: String = file.code().map(|(_, line)| line.trim()).collect();
        for kind in ["info", "warning", "error"] {
            let call = format!("Notice::{kind}(\"");
            wanted.extend(
                code.split(&call)
                    .skip(1)
                    .filter_map(|rest| rest.split('"').next())
                    .map(str::to_owned),
            );
        }
    }
    let missing = wanted.iter().filter(|code| !page.contains(&format!("`{code}`")));
    let findings = missing
        .map(|code| format!("notice `{code}` is not explained"))
        .collect();
    require_none("docs/OPERATING.md says what each notice means", findings);
}

#[test]
fn the_architecture_page_is_short_enough_to_be_read() {
    let lines = document("docs/ARCHITECTURE.md").text.lines().count();
    assert!(lines < 300, "{lines} lines");
}
