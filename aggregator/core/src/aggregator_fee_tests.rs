//! Fees billed ahead, over two months of decisions and invoices.

use super::*;

const PLAN: &str = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\ntitle_zh = \"专业版\"\nfee = \"20\"\nper = \"month\"\n\
    due = \"in_advance\"\n";
const WITH_PLAN: &str = "format = 1\nplan = \"pro\"\nplan_from = \"2025-11-01\"\n";

fn next() -> Month {
    month().next().unwrap()
}

/// November is issued as number 1; December is final.
fn two_months(between: impl FnOnce(&mut World)) -> World {
    two_months_of(WITH_PLAN, between)
}

fn two_months_of(terms: &str, between: impl FnOnce(&mut World)) -> World {
    let mut world = final_month_of(&format!("{PRICES}{PLAN}"), terms);
    let first = drafts_of(&world, month());
    let fees = &fees(&first[0]);
    assert_eq!(
        fees[..],
        [
            row("2025-11: 30/30 天", "20.00"),
            row("2025-12: 31/31 天", "20.00")
        ]
    );
    issue(&mut world, first);
    between(&mut world);
    next_month(&mut world);
    world
}

fn row(note: &str, amount: &str) -> (Option<String>, String) {
    (Some(note.to_owned()), amount.to_owned())
}

fn fees(draft: &InvoiceDraft) -> Vec<(Option<String>, String)> {
    let lines = draft.document.sections.iter().flat_map(|it| &it.lines);
    let fees = lines.filter(|it| it.item == "pro");
    fees.map(|it| (it.note.clone(), it.amount.clone())).collect()
}

fn set_terms(world: &mut World, month: Month, text: &str) {
    let from = utc().month_hours(month).unwrap().start;
    let (account, text) = ("acme".to_owned(), text.to_owned());
    applied(world, Command::SetTerms { account, text, from });
}

fn utc() -> crate::rating::BillingZone {
    crate::rating::BillingZone::utc()
}

/// The month behind December becomes final too.
fn january(world: &mut World) -> Month {
    let month = next().next().unwrap();
    let until = u64::from(utc().month_hours(month).unwrap().end.0 - START.0);
    for (seq, hours) in [(8, until - 1), (9, until)] {
        world.pass(seq, hours, 60 * SECOND);
        world.close();
    }
    month
}

/// Protects: a month's fee that the month before had is not billed again.
#[test]
fn a_fee_billed_ahead_is_billed_once() {
    let world = two_months(|_| ());
    let second = drafts_of(&world, next());
    assert_eq!(fees(&second[0]), [row("2026-01: 31/31 天", "20.00")]);
}

/// Protects: it comes back, under the title it was billed with, where new terms have no plan.
#[test]
fn a_fee_billed_ahead_comes_back_when_the_plan_goes() {
    let world = two_months(|world| set_terms(world, next(), "format = 1\n"));
    let second = drafts_of(&world, next());
    assert_eq!(fees(&second[0]), [row("2025-12: 0/31 天", "-20.00")]);
    let line = &second[0].document.sections[0].lines[0];
    assert_eq!(
        (&*line.title, &*second[0].document.subtotal),
        ("专业版", "-20.00")
    );
}

/// Protects: a void invoice's fees were given back with it, so its month ahead is to be billed.
#[test]
fn a_fee_billed_ahead_on_a_void_invoice_counts_as_not_billed() {
    let world = two_months(|world| {
        let void = MoneyCommand::Void {
            trace: "v".into(),
            number: "INV-000001".into(),
            reason: "wrong seller".into(),
        };
        money(world, void);
    });
    let second = drafts_of(&world, next());
    assert_eq!(
        fees(&second[0]),
        [
            row("2025-12: 31/31 天", "20.00"),
            row("2026-01: 31/31 天", "20.00")
        ]
    );
}

/// Protects: what a coupon or a credit paid is no money: where all was taken off a fee ahead, nothing comes back.
#[test]
fn a_fee_that_a_coupon_or_credit_paid_does_not_come_back() {
    let coupon =
        "[[coupon]]\nkey = \"all\"\ntitle = \"All\"\npercent = \"100\"\nfrom = \"2025-11\"\nmonths = \"2\"\n";
    let world = two_months_of(&format!("{WITH_PLAN}{coupon}"), |world| {
        set_terms(world, next(), "format = 1\n");
    });
    assert_eq!(drafts_of(&world, next()), []);
    // Half of it.
    let half = coupon.replace("100", "50");
    let world = two_months_of(&format!("{WITH_PLAN}{half}"), |world| {
        set_terms(world, next(), "format = 1\n");
    });
    let second = drafts_of(&world, next());
    assert_eq!(fees(&second[0]), [row("2025-12: 0/31 天", "-10.00")]);
}

/// Protects: a fee comes back no further than credit notes left something of its invoice.
#[test]
fn a_fee_does_not_come_back_beside_a_credit_note_over_all() {
    // Usage 50, fees 40, tax 6 %: 95.40.
    for (credited, wanted) in [
        ("95.40", None),
        ("84.80", Some("-10.00")),
        ("50.00", Some("-20.00")),
    ] {
        let world = two_months(|world| {
            let amount = tallyman_common::money::Money::parse(&format!("{credited} USD")).unwrap();
            let title = "Outage".to_owned();
            let note = MoneyCommand::IssueNote {
                trace: "n".into(),
                kind: crate::accounts::document::Kind::CreditNote,
                corrects: "INV-000001".into(),
                lines: vec![crate::accounts::command::NoteLine {
                    title,
                    amount,
                    line: None,
                }],
                reason: "outage".into(),
                due: None,
                adjusted: None,
                taxes: Vec::new(),
            };
            money(world, note);
            set_terms(world, next(), "format = 1\n");
        });
        let second = drafts_of(&world, next());
        let found = second.first().map(|it| fees(it)[0].1.clone());
        assert_eq!(found.as_deref(), wanted, "{credited}");
    }
}

/// Protects: a month that is billed behind a later one has of fees what the later one has not.
#[test]
fn a_month_that_is_billed_behind_the_next_one() {
    let mut world = final_month_of(&format!("{PRICES}{PLAN}"), WITH_PLAN);
    next_month(&mut world);
    let second = drafts_of(&world, next());
    let both = [
        row("2025-12: 31/31 天", "20.00"),
        row("2026-01: 31/31 天", "20.00"),
    ];
    assert_eq!(fees(&second[0]), both);
    issue(&mut world, second);
    let first = drafts_of(&world, month());
    assert_eq!(fees(&first[0]), [row("2025-11: 30/30 天", "20.00")]);
}

/// Protects: a year is billed once, stays billed month after month, and comes back by days when its plan ends, months behind
/// its invoice; once.
#[test]
fn a_year_billed_ahead_comes_back_months_later() {
    let plan = PLAN.replace("\"20\"", "\"1200\"").replace("month", "year");
    let mut world = final_month_of(&format!("{PRICES}{plan}"), WITH_PLAN);
    let first = drafts_of(&world, month());
    let year = "2025-11-01/2026-11-01";
    assert_eq!(fees(&first[0]), [row(&format!("{year}: 365/365 天"), "1200.00")]);
    issue(&mut world, first);
    next_month(&mut world);
    assert_eq!(drafts_of(&world, next()), [], "it is paid");
    let third = next().next().unwrap();
    set_terms(
        &mut world,
        third,
        &format!("{WITH_PLAN}plan_until = \"2026-01-16\"\n"),
    );
    january(&mut world);
    let drafts = drafts_of(&world, third);
    // 76 of 365 days are kept: 249.86.
    assert_eq!(fees(&drafts[0]), [row(&format!("{year}: 76/365 天"), "-950.14")]);
    let back = &drafts[0].document.fees[0];
    assert_eq!(
        (back.less.length().days(), back.net.number()),
        (Some(289), "-950.14".to_owned())
    );
}
