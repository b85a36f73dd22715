//! Golden documents on paper: what a reader finds, the same bytes twice, no character lost, nothing run as script.

#![allow(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "tests read files and start readers of PDF; the package itself does neither"
)]

use std::io::Write;
use std::process::{Command, Stdio};

use tallyman_aggregator_core::accounts::Document;
use tallyman_paper::{Extra, Press, html, missing_glyphs};

const NAMES: [&str; 4] = [
    "invoice-zh",
    "invoice-long-en",
    "credit-note-zh",
    "draft-holes-en",
];
const TOTALS: [&str; 4] = ["¥14,622.19", "EUR560,635.68", "-¥132.56", "EUR953.45"];

fn golden(name: &str) -> Document {
    let path = format!("{}/tests/golden/{name}.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn pdf(document: &Document) -> Vec<u8> {
    Press::new().pdf(document, &Extra::default()).unwrap()
}

/// Output of one of poppler's programs over a PDF; none where it is not installed.
fn poppler(program: &str, arguments: &[&str], pdf: &[u8]) -> Option<String> {
    let file = {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(pdf).unwrap();
        file
    };
    let mut command = Command::new(program);
    command.args(arguments).arg(file.path()).stderr(Stdio::inherit());
    if program == "pdftotext" {
        command.arg("-");
    }
    let Ok(output) = command.output() else {
        eprintln!("SKIPPED: there is no {program}; scripts/setup.sh test installs it");
        return None;
    };
    assert!(output.status.success(), "{program} reads the file");
    Some(String::from_utf8(output.stdout).unwrap())
}

/// Without white space: lines break where the page ends.
fn squeezed(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace()).collect()
}

#[test]
fn the_same_document_gives_the_same_bytes() {
    let press = Press::new();
    for name in NAMES {
        let document = golden(name);
        let first = press.pdf(&document, &Extra::default()).unwrap();
        assert!(
            first == press.pdf(&document, &Extra::default()).unwrap(),
            "{name}"
        );
        assert!(first == pdf(&document), "{name} from another press");
    }
}

#[test]
fn a_reader_finds_everything() {
    for (name, total) in NAMES.into_iter().zip(TOTALS) {
        let document = golden(name);
        let Some(text) = poppler("pdftotext", &["-layout"], &pdf(&document)) else {
            return;
        };
        let text = squeezed(&text);
        let page = squeezed(&html(&document, &Extra::default()));
        for wanted in document.number.iter().map(String::as_str).chain([total]) {
            assert!(text.contains(wanted) && page.contains(wanted), "{name}: {wanted}");
        }
        for line in document.sections.iter().flat_map(|section| &section.lines) {
            // A title may be broken over lines with other columns between them: its first words are enough.
            let start: String = squeezed(&line.title).chars().take(8).collect();
            assert!(text.contains(&start), "{name}: {}", line.title);
            assert!(page.contains(&squeezed(&line.title)), "{name}: {}", line.title);
        }
        assert!(missing_glyphs(&document).is_empty(), "{name}");
    }
}

#[test]
fn all_fonts_are_in_the_file() {
    for name in NAMES {
        let Some(fonts) = poppler("pdffonts", &[], &pdf(&golden(name))) else {
            return;
        };
        let rows: Vec<&str> = fonts.lines().skip(2).collect();
        assert!(
            !rows.is_empty() && rows.iter().all(|row| row.contains(" yes yes yes ")),
            "{fonts}"
        );
    }
}

#[test]
fn a_draft_says_so_and_has_no_number() {
    let document = golden("draft-holes-en");
    let page = html(&document, &Extra::default());
    assert!(page.contains("DRAFT") && !page.contains("Tax invoice no."));
    if let Some(text) = poppler("pdftotext", &[], &pdf(&document)) {
        assert!(
            text.contains("DRAFT") && text.contains("Held for a decision"),
            "{text}"
        );
    }
}

#[test]
fn currencies_keep_their_digits() {
    for (currency, total, wanted) in [
        ("JPY", "1234567", "JPY1,234,567"),
        ("BHD", "-1234.567", "-BHD1,234.567"),
    ] {
        let mut document = golden("credit-note-zh");
        (document.currency, document.total) = (currency.to_owned(), total.to_owned());
        assert!(
            squeezed(&html(&document, &Extra::default())).contains(wanted),
            "{currency}"
        );
        if let Some(text) = poppler("pdftotext", &["-layout"], &pdf(&document)) {
            assert!(squeezed(&text).contains(wanted), "{currency}: {text}");
        }
    }
}

#[test]
fn a_character_that_no_font_has_stops_nothing() {
    let mut document = golden("invoice-zh");
    document.account.name = "가게 \u{1f600}\u{fffe}".to_owned();
    assert_eq!(missing_glyphs(&document), ['가', '게', '\u{fffe}', '\u{1f600}']);
    assert!(!pdf(&document).is_empty());
}

#[test]
fn nothing_in_a_document_becomes_markup() {
    let mut document = golden("invoice-zh");
    let bad = "<script>alert(1)</script>\"'&<img src=x onerror=alert(1)>".to_owned();
    document.account.name = bad.clone();
    document.sections[0].title = bad.clone();
    document.sections[0].lines[0].unit = Some(bad.clone());
    document.faults.push(bad.clone());
    let page = html(
        &document,
        &Extra {
            external_tax_number: Some(bad),
        },
    );
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("&lt;script&gt;"));
}

#[test]
fn any_length_of_text_is_printed() {
    let mut document = golden("invoice-zh");
    document.account.name = "很长的名字".repeat(400);
    document.sections[0].lines[0].title = "w".repeat(9_000);
    document.sections[0].lines[1].amount = "9".repeat(60);
    assert!(!pdf(&document).is_empty());
}
