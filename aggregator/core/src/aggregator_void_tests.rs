//! Months billed again after a void, taxes of notes over late usage, credits that end before the month that uses them is
//! billed.

use super::*;
use crate::accounts::expiry;
use crate::accounts::ledger::LedgerAccount;
use crate::accounts::ledger::books::balance;
use crate::accounts::run::{Drafts, HasOne, Prepared};
use crate::registry::money::Granted;
use tallyman_common::money::{Currency, Money};

/// A plan that is not taxed, beside usage that is.
const UNTAXED: &str = "[[plan]]\nkey = \"pro\"\ntitle = \"Pro\"\nfee = \"900\"\nper = \"month\"\n\
    due = \"in_arrears\"\ntax_class = \"exempt\"\n\
    [[tax]]\nclass = \"exempt\"\ntitle = \"Exempt\"\npercent = \"0\"\n";
const WITH_PLAN: &str = "format = 1\nclass = \"gold\"\nplan = \"pro\"\nplan_from = \"2025-11-01\"\n";

fn found(world: &World, month: Month, again: bool) -> Drafts {
    let prepared = Prepared::read(world.books(), month).unwrap().again(again);
    run::drafts_of(world.books(), &prepared, &["acme".to_owned()]).unwrap()
}

fn void(world: &mut World, number: &str) -> crate::accounts::Booked {
    let command = MoneyCommand::Void {
        trace: format!("void {number}"),
        number: number.into(),
        reason: "sent to the wrong company".into(),
    };
    money(world, command)
}

fn number(fates: &[Fate]) -> &str {
    match fates {
        [Fate::Issued { number }] => number,
        other => panic!("{other:?}"),
    }
}

fn owed(world: &World, account: LedgerAccount) -> String {
    let currency = Currency::parse("USD").unwrap();
    let net = balance(&world.store, &account, currency).unwrap().of_debits();
    net.unwrap().number()
}

/// Protects: the month of a void invoice is told, is billed again only when somebody asks, with what it had and who pays
/// now, and once.
#[test]
fn a_month_is_billed_again_after_a_void() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first.clone());
    assert_eq!(found(&world, month(), true).existing[0].number, "INV-000001");
    void(&mut world, "INV-000001");

    let looked = run::open(world.books()).unwrap();
    assert_eq!(looked.due, [], "not by itself");
    assert_eq!(looked.void[0].number, "INV-000001");
    let plain = found(&world, month(), false);
    let has = HasOne {
        account: "acme".into(),
        number: "INV-000001".into(),
    };
    assert_eq!(
        (plain.drafts, plain.existing, plain.void),
        (vec![], vec![], vec![has])
    );

    let known = world.aggregator.registry().payers.accounts["acme"].clone();
    let right = Account {
        name: "Acme Trading".into(),
        ..known
    };
    applied(&mut world, Command::SetAccount(Box::new(right)));
    let again = found(&world, month(), true).drafts;
    let (old, new) = (&first[0].document, &again[0].document);
    assert_eq!((&new.sections, &new.total), (&old.sections, &old.total));
    assert_eq!(
        (&*new.account.name, new.corrects.as_deref()),
        ("Acme Trading", Some("INV-000001"))
    );
    assert_ne!(new.id, old.id);
    assert_eq!(number(&issue(&mut world, again.clone())), "INV-000002");
    let existed = Fate::Existed {
        number: "INV-000002".into(),
    };
    assert_eq!(issue(&mut world, again), [existed], "run twice is run once");
    assert_eq!(found(&world, month(), true).existing[0].number, "INV-000002");
    assert_eq!(run::open(world.books()).unwrap(), run::Open::default());
    assert_eq!(owed(&world, LedgerAccount::Receivable("acme".into())), "47.70");
    assert_eq!(
        reads::document(&world.store, "INV-000001").unwrap().unwrap().0.id,
        old.id,
        "I9"
    );
}

/// Protects: late usage waits while the month is void, and is billed once behind the invoice that stands in for it.
#[test]
fn late_usage_follows_the_invoice_that_stands_in() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    void(&mut world, "INV-000001");
    late_host(&mut world);
    next_month(&mut world);
    let next = month().next().unwrap();
    assert_eq!(found(&world, next, false).nothing, ["acme"], "it waits");
    let again = found(&world, month(), true).drafts;
    issue(&mut world, again);
    let late = found(&world, next, false).drafts;
    assert_eq!(rows(&late[0])[0], (Some(MONTH), "cpu", "10.00"));
    issue(&mut world, late);
    // Behind the late part the month itself can still be taken back, and is what it was.
    void(&mut world, "INV-000002");
    let again = found(&world, month(), true).drafts;
    assert_eq!(again[0].document.total, "47.70");
    issue(&mut world, again);
    assert_eq!(owed(&world, LedgerAccount::Receivable("acme".into())), "57.24");
}

/// Protects: a note over late usage has the tax of that usage, not a share of what else the invoice had, and says it.
#[test]
fn a_note_over_late_usage_has_its_own_tax() {
    let mut world = final_month_of(&format!("{PRICES}{UNTAXED}"), WITH_PLAN);
    let first = drafts_of(&world, month());
    assert_eq!(first[0].document.total, "947.70");
    issue(&mut world, first);
    late_host(&mut world);
    next_month(&mut world);
    let asked = |world: &World| {
        adjust::note(world.books(), "INV-000001", "late")
            .unwrap()
            .unwrap()
    };
    let command = asked(&world);
    let booked = money(&mut world, command);
    let id = &booked.documents[0].id;
    let (paper, _) = reads::document(&world.store, id).unwrap().unwrap();
    // 20 × 0.5, less 10 %, and 6 % of the rest.
    let tax = &paper.taxes[0];
    assert_eq!(paper.total, "9.54");
    assert_eq!(
        (
            &*tax.title,
            &*tax.percent,
            &*tax.basis,
            &*tax.amount,
            tax.included
        ),
        ("VAT", "6", "9.54", "0.54", true)
    );
    assert_eq!(owed(&world, LedgerAccount::Tax("cloud".into())), "-3.24");
    // Void, it is issued again under another name.
    let dn = paper.number.unwrap();
    void(&mut world, &dn);
    let command = asked(&world);
    let again = money(&mut world, command);
    assert!(!again.repeated, "{again:?}");
    assert_eq!(owed(&world, LedgerAccount::Tax("cloud".into())), "-3.24");
}

/// Protects: a credit that ends with the month pays for the month, whenever its invoice comes; then its rest goes.
#[test]
fn a_credit_ends_behind_the_months_that_can_use_it() {
    let (mut world, hours) = billed();
    let end = crate::rating::BillingZone::utc()
        .month_hours(month())
        .unwrap()
        .end
        .start();
    for (key, expires) in [("whole", end), ("early", WallMs(end.0 - 1))] {
        let granted = Granted {
            key: key.into(),
            account: "acme".into(),
            title: key.into(),
            amount: Money::parse("60.00 USD").unwrap(),
            priority: 50,
            expires: Some(expires),
            items: vec![],
        };
        money(&mut world, MoneyCommand::GrantCredit(granted));
    }
    let names = |world: &World| -> Vec<String> {
        let ended = expiry::ended(world.books(), world.now).unwrap();
        ended
            .into_iter()
            .map(|it| format!("{} {}", it.key, it.amount))
            .collect()
    };
    assert_eq!(names(&world), Vec::<String>::new(), "no end has come");
    let mut world = until_final((world, hours));
    assert_eq!(
        names(&world),
        ["early 60.00 USD"],
        "no month can use it; the other waits for November"
    );
    let first = drafts_of(&world, month());
    assert_eq!(first[0].document.credits[0].key, "whole");
    issue(&mut world, first);
    assert_eq!(names(&world), ["early 60.00 USD", "whole 15.00 USD"]);
    // Void, its month can be billed again.
    void(&mut world, "INV-000001");
    assert_eq!(names(&world), ["early 60.00 USD"]);
    let again = found(&world, month(), true).drafts;
    issue(&mut world, again);
    let stale = expiry::ended(world.books(), world.now).unwrap();
    let expire = |rests| MoneyCommand::ExpireCredits {
        upto: end,
        rests: Some(rests),
    };
    void(&mut world, "INV-000002");
    money(&mut world, expire(stale));
    assert_eq!(
        owed(&world, LedgerAccount::Grant("acme".into(), "whole".into())),
        "-60.00",
        "what changed meanwhile stays"
    );
    let again = found(&world, month(), true).drafts;
    assert_eq!(again[0].document.credits.len(), 1);
    issue(&mut world, again);
    let rests = expiry::ended(world.books(), world.now).unwrap();
    assert!(money(&mut world, expire(rests.clone())).position.is_some());
    assert_eq!(money(&mut world, expire(rests)).position, None, "once");
    assert_eq!(names(&world), Vec::<String>::new());
    assert_eq!(owed(&world, LedgerAccount::Promotion), "45.00");
}

/// Protects: a month in which there was nothing to bill keeps no credit alive.
#[test]
fn a_month_of_nothing_keeps_no_credit() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    let next = month().next().unwrap();
    let end = crate::rating::BillingZone::utc()
        .month_hours(next)
        .unwrap()
        .end
        .start();
    let granted = Granted {
        key: "gift".into(),
        account: "acme".into(),
        title: "Gift".into(),
        amount: Money::parse("5.00 USD").unwrap(),
        priority: 50,
        expires: Some(end),
        items: vec![],
    };
    money(&mut world, MoneyCommand::GrantCredit(granted));
    next_month(&mut world);
    let ended = expiry::ended(world.books(), world.now).unwrap();
    assert_eq!(ended.len(), 1);
    assert_eq!(expiry::ended(world.books(), WallMs(end.0 - 1)).unwrap(), []);
}
