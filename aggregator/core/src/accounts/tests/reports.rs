//! Lists, statements, ages and notes' papers, as somebody reads them.

use tallyman_common::time::WallMs;

use super::world::{World, day};
use crate::accounts::ledger::books::{journal, trial_balance};
use crate::accounts::paper::sums;
use crate::accounts::reads::{Filter, ages, document, documents, grants_of, statement};
use crate::accounts::standing::Status;

fn world() -> World {
    let mut world = World::new();
    world.obey(
        "issue acme 2026-10 100.00 tax 6.00          -> INV-000001
         issue acme 2026-11 50.00                    -> INV-000002
         issue beta 2026-11 70.00                    -> INV-000003
         pay t1 acme 110.00 INV-000001=106.00 rest   -> to balance 4.00
         credit t2 INV-000002 20.00                  -> CN-000001
         dispute t3 INV-000003 70.00                 -> booked",
    );
    world
}

fn numbers(world: &World, filter: &Filter) -> Vec<String> {
    let today = day("2027-02-05");
    let page = documents(&world.store, filter, today, (None, 100)).unwrap();
    assert_eq!(page.next, None);
    page.rows.into_iter().map(|row| row.number).collect()
}

/// An account's list holds its own documents and nobody else's; months and states narrow it.
#[test]
fn lists_hold_what_is_asked_for() {
    let world = world();
    let filter = |account: Option<&str>, status| Filter {
        account: account.map(str::to_owned),
        status,
        ..Filter::default()
    };
    let all = numbers(&world, &filter(None, None));
    assert_eq!(all, ["INV-000001", "CN-000001", "INV-000002", "INV-000003"]);
    let acme = numbers(&world, &filter(Some("acme"), None));
    assert_eq!(acme, ["INV-000001", "CN-000001", "INV-000002"]);
    assert_eq!(numbers(&world, &filter(Some("acm"), None)), [""; 0]);
    let overdue = numbers(&world, &filter(None, Some(Status::Overdue)));
    assert_eq!(overdue, ["INV-000002"]);
    let disputed = numbers(&world, &filter(Some("beta"), Some(Status::Disputed)));
    assert_eq!(disputed, ["INV-000003"]);
    let november = Filter {
        from_month: Some("2026-11".to_owned()),
        to_month: Some("2026-12".to_owned()),
        ..filter(Some("acme"), None)
    };
    assert_eq!(numbers(&world, &november), ["CN-000001", "INV-000002"]);
    let october = Filter {
        to_month: Some("2026-11".to_owned()),
        ..Filter::default()
    };
    assert_eq!(numbers(&world, &october), ["INV-000001"]);
}

/// Pages hold each document once, though others are issued between two of them.
#[test]
fn pages_are_stable() {
    let mut world = world();
    let (mut after, mut seen) = (None::<Vec<u8>>, Vec::new());
    for month in ["2026-01", "2026-02", "2026-03", "2026-04", "2026-05", "2026-06"] {
        let place = (after.as_deref(), 1);
        let page = documents(&world.store, &Filter::default(), day("2026-12-10"), place).unwrap();
        seen.extend(page.rows.into_iter().map(|row| row.number));
        let Some(next) = page.next else { break };
        let bytes = |at: usize| u8::from_str_radix(&next[at..at + 2], 16).unwrap();
        after = Some((0..next.len()).step_by(2).map(bytes).collect());
        // It stands before everything that was seen.
        world.obey(&format!("issue late {month} 1.00 -> ... INV"));
    }
    assert_eq!(seen, ["INV-000001", "CN-000001", "INV-000002", "INV-000003"]);
}

/// A statement shows each movement once and ends at what is owed.
#[test]
fn a_statement_runs_to_what_is_owed() {
    let world = world();
    let found = statement(&world.store, "acme", (WallMs(0), WallMs(u64::MAX))).unwrap();
    let rows: Vec<String> = found
        .movements
        .iter()
        .map(|m| format!("{} {} {}", m.reason, m.amount, m.balance))
        .collect();
    assert_eq!(
        rows,
        [
            "invoice INV-000001 106.00 106.00",
            "invoice INV-000002 50.00 156.00",
            "payment bank slip t1 -110.00 46.00",
            "credit_note CN-000001 -20.00 26.00",
        ]
    );
    assert_eq!(found.closing[0].number(), "26.00");
    let later = statement(&world.store, "acme", (WallMs(u64::MAX), WallMs(u64::MAX))).unwrap();
    assert_eq!(
        (later.opening[0].number(), later.movements.len()),
        ("26.00".to_owned(), 0)
    );
}

/// What is due is sorted by how late it is; the sum is what all documents leave to pay.
#[test]
fn receivables_by_age() {
    let world = world();
    let found = ages(&world.store, day("2027-02-05")).unwrap();
    let row = |at: usize| {
        let it = &found[at];
        [
            &it.account,
            &it.current,
            &it.days_1_30,
            &it.days_31_60,
            &it.disputed,
            &it.total,
        ]
        .map(String::as_str)
    };
    assert_eq!(row(0), ["acme", "0.00", "0.00", "30.00", "0.00", "30.00"]);
    assert_eq!(row(1), ["beta", "0.00", "0.00", "70.00", "70.00", "70.00"]);
    let early = ages(&world.store, day("2027-01-03")).unwrap();
    assert_eq!(early[0].current, "30.00");
}

/// The trial balance at a position is what it was then.
#[test]
fn a_trial_balance_of_the_past() {
    let world = world();
    let newest = world.aggregator.position();
    let then = trial_balance(&world.store, Some(1), newest).unwrap();
    let rows: Vec<String> = then
        .lines
        .iter()
        .map(|l| format!("{} {:?} {:?}", l.account, l.debit.as_deref(), l.credit.as_deref()))
        .collect();
    assert_eq!(
        rows,
        [
            "receivable/acme Some(\"106.00\") None",
            "tax/cloud None Some(\"6.00\")",
            "revenue/cloud None Some(\"100.00\")",
        ]
    );
    let mut reasons = Vec::new();
    journal(&world.store, (2, 5), |posting| {
        reasons.push(posting.reason().to_owned());
        Ok(std::ops::ControlFlow::Continue(()))
    })
    .unwrap();
    assert_eq!(
        reasons,
        ["invoice INV-000002", "invoice INV-000003", "payment bank slip t1"]
    );
}

/// Credits are drawn by priority, then by their end, then by age; ended ones are not.
#[test]
fn credits_are_drawn_in_order() {
    let mut world = World::new();
    world.obey(
        "grant acme old 1.00 50                      -> booked
         grant acme ends-late 1.00 50 2027-06-01     -> booked
         grant acme ends-soon 1.00 50 2027-01-01     -> booked
         grant acme first 1.00 10                    -> booked
         grant acme newer 1.00 50                    -> booked
         grant acm other 1.00 1                      -> booked",
    );
    let keys = |at| {
        let found = grants_of(&world.store, "acme", at).unwrap();
        found.into_iter().map(|g| g.granted.key).collect::<Vec<_>>()
    };
    assert_eq!(
        keys(world.now),
        ["first", "ends-soon", "ends-late", "old", "newer"]
    );
    let later = WallMs(world.now.0 + 40 * 24 * 3_600_000);
    assert_eq!(keys(later), ["first", "ends-late", "old", "newer"]);
}

/// Notes are documents of their own whose sums hold; a void mirrors every line of its invoice.
#[test]
fn notes_are_documents_whose_sums_hold() {
    let mut world = world();
    world.obey("void t9 INV-000001 -> CN-000002, to balance 106.00");
    let (paper, _) = document(&world.store, "CN-000001").unwrap().unwrap();
    assert_eq!(paper.corrects.as_deref(), Some("INV-000002"));
    assert_eq!(
        (paper.subtotal.as_str(), paper.total.as_str()),
        ("-20.00", "-20.00")
    );
    assert!(sums(&paper).is_ok());
    let (mirror, record) = document(&world.store, "CN-000002").unwrap().unwrap();
    assert_eq!(mirror.sections[0].lines[0].amount, "-100.00");
    assert_eq!(mirror.taxes[0].amount, "-6.00");
    assert_eq!(mirror.total, "-106.00");
    assert!(sums(&mirror).is_ok());
    let (same, _) = document(&world.store, &record.document.id).unwrap().unwrap();
    assert_eq!(same, mirror);
}
