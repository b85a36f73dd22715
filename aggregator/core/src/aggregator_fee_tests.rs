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
    let mut world = final_month_of(&format!("{PRICES}{PLAN}"), WITH_PLAN);
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
    let world = two_months(|world| {
        let from = crate::rating::BillingZone::utc()
            .month_hours(next())
            .unwrap()
            .start;
        let (account, text) = ("acme".to_owned(), "format = 1\n".to_owned());
        applied(world, Command::SetTerms { account, text, from });
    });
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
