//! The tables of numbers in docs/FORMATS.md are the code's.

use tallyman_aggregator_core::ingest::Reason;
use tallyman_common::message::Verdict;
use tallyman_common::meter::METERS;
use tallyman_common::record::Cause;

fn require_rows(rows: Vec<String>) {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/FORMATS.md");
    let page = std::fs::read_to_string(page).unwrap();
    let missing: Vec<&String> = rows
        .iter()
        .filter(|row| !page.lines().any(|line| line == *row))
        .collect();
    assert!(missing.is_empty(), "docs/FORMATS.md lacks {missing:#?}");
}

#[test]
fn meters() {
    let row = |m: &tallyman_common::meter::MeterInfo| {
        format!("| {} | `{}` | {} |", m.meter.0, m.name, m.unit.name())
    };
    require_rows(METERS.iter().map(row).collect());
}

#[test]
fn causes() {
    let row = |c: &Cause| format!("| {c:?} | {} | {} |", c.number(), c.text());
    require_rows(Cause::ALL.iter().map(row).collect());
}

#[test]
fn reasons() {
    let verdict = |r: Reason| match r.verdict() {
        Verdict::Retry => "retry",
        Verdict::Hold => "hold",
    };
    let row = |r: Reason| {
        format!(
            "| {} | `{}` | {} | {} |",
            r.number(),
            r.label(),
            verdict(r),
            r.text()
        )
    };
    require_rows(Reason::all().map(row).collect());
}

/// An operator who meets a reason finds what to do.
#[test]
fn every_reason_has_its_line_in_the_operating_page() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/OPERATING.md");
    let page = std::fs::read_to_string(page).unwrap();
    for reason in Reason::all() {
        let start = format!("| `{}` |", reason.label());
        assert!(
            page.lines().any(|line| line.starts_with(&start)),
            "docs/OPERATING.md lacks {start}"
        );
    }
}
