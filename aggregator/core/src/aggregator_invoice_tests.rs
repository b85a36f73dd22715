//! From batches to a numbered invoice: what is final is drafted as it was sealed, is issued once, balances, and stays.

use super::*;
use crate::accounts::adjust::Accounted;
use crate::accounts::command::{Draft as InvoiceDraft, Fate};
use crate::accounts::draft::{DraftError, Purpose, draft as draft_month};
use crate::accounts::ledger::books::trial_balance;
use crate::accounts::{MoneyCommand, adjust, reads, run};
use crate::rating::Month;
use crate::registry::{Account, Seller};

/// Claims of final months.
#[path = "aggregator_back_dated_tests.rs"]
mod back_dated;
/// Fees billed ahead.
#[path = "aggregator_fee_tests.rs"]
mod fees;
/// Another account pays.
#[path = "aggregator_payer_tests.rs"]
mod payers;
/// Voids, months billed again, notes, credits that end.
#[path = "aggregator_void_tests.rs"]
mod voids;
/// Why an amount, what if, closing sheet.
#[path = "aggregator_why_tests.rs"]
mod why;

const MONTH: &str = "2025-11";
const PRICES: &str = "format = 1\nname = \"Plain\"\ncurrency = \"USD\"\n\
    [[item]]\nkey = \"cpu\"\ntitle = \"CPU\"\ntitle_zh = \"处理器\"\nmeters = [\"cpu.time\"]\nunit = \"CPU-second\"\n\
    model = \"graduated\"\ntiers_over = \"month\"\ntiers = [{ up_to = \"40\", price = \"1\" }, { price = \"0.5\" }]\n\
    [[discount]]\nkey = \"gold\"\ntitle = \"Gold\"\nclasses = [\"gold\"]\npercent = \"10\"\n\
    [[tax]]\nclass = \"standard\"\ntitle = \"VAT\"\npercent = \"6\"\n";

fn month() -> Month {
    Month::parse(MONTH).unwrap()
}

fn applied(world: &mut World, command: Command) {
    let answer = world.command(command);
    assert!(matches!(answer, Answer::Applied(_)), "{answer:?}");
}

/// A tenant with 60 CPU-seconds, of which 20 are in a hole, and who pays for it.
fn billed() -> (World, u64) {
    billed_of(PRICES, "format = 1\nclass = \"gold\"\n")
}

/// The same under other prices and terms.
fn billed_of(prices: &str, agreed: &str) -> (World, u64) {
    let (mut world, terms, month) = with_a_bill_of(prices);
    register_payer(&mut world, &terms);
    let agreed = Command::SetTerms {
        account: terms.account,
        text: agreed.into(),
        from: month.start,
    };
    applied(&mut world, agreed);
    (world, u64::from(month.end.0 - START.0))
}

/// A seller, and the account that pays for a tenant.
fn register_payer(world: &mut World, terms: &TenantTerms) {
    let seller = Seller {
        seller: "cloud".into(),
        name: "云海存储有限公司".into(),
        address: vec!["上海".into()],
        tax_id: None,
        contact: vec![],
        bank: vec![],
        prefix: "INV".into(),
    };
    applied(world, Command::SetSeller(Box::new(seller)));
    let account = Account {
        account: terms.account.clone(),
        organisation: None,
        name: "Acme".into(),
        seller: "cloud".into(),
        currency: terms.currency.clone(),
        zone: terms.zone.clone(),
        language: "zh".into(),
        address: vec![],
        tax_id: None,
        contact: vec![],
        due_days: 30,
    };
    applied(world, Command::SetAccount(Box::new(account)));
}

fn final_month() -> World {
    until_final(billed())
}

fn final_month_of(prices: &str, agreed: &str) -> World {
    until_final(billed_of(prices, agreed))
}

fn until_final((mut world, hours): (World, u64)) -> World {
    world.pass(4, hours - 1, 60 * SECOND);
    world.close();
    world.pass(5, hours, 60 * SECOND);
    world.close();
    world
}

/// The month behind it becomes final too; without usage.
fn next_month(world: &mut World) {
    let utc = crate::rating::BillingZone::utc();
    let hours = utc.month_hours(month().next().unwrap()).unwrap();
    let until = u64::from(hours.end.0 - START.0);
    for (seq, hours) in [(6, until - 1), (7, until)] {
        world.pass(seq, hours, 60 * SECOND);
        world.close();
    }
}

/// Corrected month, item and amount of each line.
fn rows(draft: &InvoiceDraft) -> Vec<(Option<&str>, &str, &str)> {
    let sections = draft.document.sections.iter();
    let rows = sections.flat_map(|s| {
        s.lines
            .iter()
            .map(move |it| (s.month.as_deref(), &*it.item, &*it.amount))
    });
    rows.collect()
}

fn drafts_of(world: &World, month: Month) -> Vec<InvoiceDraft> {
    let found = run::drafts(world.books(), month, &["acme".to_owned()]).unwrap();
    assert_eq!(found.not_billed, []);
    found.drafts
}

/// Another host's batch with 20 CPU-seconds in a minute of the first month, which was on its way for long.
fn late_host(world: &mut World) {
    late_host_at(world, 1);
}

/// The same in another minute, counted from `START`.
fn late_host_at(world: &mut World, minute: u64) {
    let token = Digest::of(&[b"second"]);
    let made = Command::CreateNodeToken {
        id: "second".into(),
        hash: token,
        group: "default".into(),
        expires: WallMs(world.now.0 + HOUR_MS),
    };
    applied(world, made);
    let key = NodeKey::from_seed(&[2; 32]);
    let node = NodeId::of_key(&key.public().to_bytes());
    let enrol = Command::EnrolNode {
        token,
        node,
        signing_key: key.public().to_bytes(),
        host_name: "second".into(),
    };
    applied(world, enrol);
    let own = (
        std::mem::replace(&mut world.key, key),
        std::mem::replace(&mut world.node, node),
    );
    let other = Sent {
        spool: OTHER,
        birth: (OTHER, 1),
        minute,
        ..sent(1, (0, 20 * SECOND))
    };
    let answer = world.take_batch(other);
    assert!(matches!(answer, Answer::Ack(_)), "{answer:?}");
    world.flush();
    (world.key, world.node) = own;
}

fn money(world: &mut World, command: MoneyCommand) -> crate::accounts::Booked {
    let asker = Asker {
        actor: "test".into(),
        source: "test".into(),
    };
    let event = Event::Money(1, asker, Box::new(command));
    world.aggregator.step(world.now, event, &world.store).unwrap();
    match world.commit().remove(0) {
        Answer::Booked(booked) => booked,
        other => panic!("{other:?}"),
    }
}

fn issue(world: &mut World, documents: Vec<InvoiceDraft>) -> Vec<Fate> {
    let month = documents[0].document.period.month.clone();
    let booked = money(world, MoneyCommand::IssueInvoices { month, documents });
    booked.documents.into_iter().map(|it| it.fate).collect()
}

#[test]
fn a_month_becomes_an_invoice_once_it_is_final() {
    let (mut world, _) = billed();
    let early = draft_month(world.books(), "acme", month(), Purpose::Issue);
    assert!(matches!(early, Err(DraftError::NotFinal { .. })));
    world.flush();
    let preview = draft_month(world.books(), "acme", month(), Purpose::Preview).unwrap();
    assert_eq!(
        preview.document.subtotal, "40.00",
        "what is in the hole is not known yet"
    );

    let mut world = final_month();
    let all: Vec<String> = run::accounts(world.aggregator.registry()).into_iter().collect();
    let found = run::drafts(world.books(), month(), &all).unwrap();
    assert_eq!(
        (found.drafts.len(), found.not_billed.len()),
        (1, 0),
        "{:?}",
        found.not_billed
    );
    let document = &found.drafts[0].document;
    // 40 × 1 + 20 × 0.5, less 10 %, and 6 % of the rest.
    let money = (
        &*document.subtotal,
        &*document.discounts[0].amount,
        &*document.taxes[0].amount,
        &*document.total,
    );
    assert_eq!(money, ("50.00", "-5.00", "2.70", "47.70"));
    assert_eq!(document.sections[0].lines[0].title, "处理器");
    assert_eq!(document.sections[0].lines[0].tiers.len(), 2);
    assert_eq!(
        document.coverage.inferred,
        ["cpu.time"],
        "a bill says what is inferred"
    );
    assert_eq!(document.number, None);

    let drafts = found.drafts.clone();
    assert_eq!(
        issue(&mut world, drafts.clone()),
        [Fate::Issued {
            number: "INV-000001".into()
        }]
    );
    // Run twice is run once, whether drafted again or sent again.
    assert_eq!(
        issue(&mut world, drafts),
        [Fate::Existed {
            number: "INV-000001".into()
        }]
    );
    let again = run::drafts(world.books(), month(), &all).unwrap();
    assert_eq!(
        (again.drafts.len(), &*again.existing[0].number),
        (0, "INV-000001")
    );

    let (stored, _) = reads::document(&world.store, "INV-000001").unwrap().unwrap();
    assert_eq!(
        (&*stored.total, stored.number.as_deref()),
        ("47.70", Some("INV-000001"))
    );
    let balance = trial_balance(&world.store, None, world.aggregator.position()).unwrap();
    let balance = serde_json::to_value(balance).unwrap();
    assert_eq!(
        balance["totals"][0]["debit"], balance["totals"][0]["credit"],
        "I12"
    );
}

#[test]
fn late_usage_changes_no_invoice() {
    let mut world = final_month();
    let draft = || {
        run::drafts(world.books(), month(), &["acme".to_owned()])
            .unwrap()
            .drafts
    };
    let before = draft();
    issue(&mut world, before.clone());
    let stored = |world: &World| reads::document(&world.store, "INV-000001").unwrap().unwrap().0;
    let first = stored(&world);
    assert!(matches!(
        world.take_batch(sent(2, (30 * SECOND, 45 * SECOND))),
        Answer::Ack(_)
    ));
    world.flush();
    assert_eq!(stored(&world), first, "I9");
    // Drafted anew, the final month is still what was sealed.
    let after = draft_month(world.books(), "acme", month(), Purpose::Issue).unwrap();
    assert_eq!(after.document, before[0].document, "I6");
}

#[test]
fn late_usage_is_on_the_next_invoice_in_its_own_tiers_and_once() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    // 5 CPU-seconds less than was inferred, and 20 that nobody knew of: all in the tier above 40, at half the price.
    assert!(matches!(
        world.take_batch(sent(2, (30 * SECOND, 45 * SECOND))),
        Answer::Ack(_)
    ));
    late_host(&mut world);
    next_month(&mut world);
    let second = drafts_of(&world, month().next().unwrap());
    let document = second[0].document.clone();
    let section = &document.sections[0];
    let rows: Vec<_> = section.lines.iter().map(|it| (&*it.item, &*it.amount)).collect();
    assert_eq!(
        (section.month.as_deref(), rows),
        (Some(MONTH), vec![("cpu", "7.50")])
    );
    assert_eq!(section.lines[0].quantity.as_deref(), Some("15"));
    // The discount of that month holds for it, the tax is this month's: (7.50 - 0.75) × 1.06.
    let discount = &document.sections[1].lines[0];
    assert_eq!((&*discount.item, &*discount.amount), ("discounts", "-0.75"));
    assert_eq!((&*document.subtotal, &*document.total), ("6.75", "7.16"));
    let stale = second.clone();
    assert_eq!(
        issue(&mut world, second),
        [Fate::Issued {
            number: "INV-000002".into()
        }]
    );
    let billed = adjust::accounted(&world.store, "acme", MONTH).unwrap();
    assert_eq!(billed, Accounted::Upto(document.adjusted[0].upto));
    // What was drafted from where it was billed before is not issued a second time, whatever month it is for.
    let mut again = stale[0].clone();
    let later = month().next().unwrap().next().unwrap();
    (again.document.period.month, again.document.id) = (later.to_string(), "7".repeat(32));
    let [Fate::Refused { reason }] = &issue(&mut world, vec![again])[..] else {
        panic!("billed twice");
    };
    assert!(reason.contains("billed meanwhile"), "{reason}");
    // A void takes it back: the next draft has it again.
    let void = MoneyCommand::Void {
        trace: "v".into(),
        number: "INV-000002".into(),
        reason: "wrong address".into(),
    };
    money(&mut world, void);
    let billed = adjust::accounted(&world.store, "acme", MONTH).unwrap();
    assert_eq!(billed, Accounted::Upto(document.adjusted[0].since));
}

#[test]
fn late_usage_becomes_a_note_when_somebody_asks() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    let note = |world: &World| adjust::note(world.books(), "INV-000001", "late").unwrap();
    assert_eq!(note(&world), None, "nothing came");
    late_host(&mut world);
    next_month(&mut world);
    let command = note(&world).expect("something came");
    let booked = money(&mut world, command.clone());
    assert!(
        matches!(&booked.documents[0].fate, Fate::Issued { number } if number.starts_with('D')),
        "{booked:?}"
    );
    let id = &booked.documents[0].id;
    let (paper, _) = reads::document(&world.store, id).unwrap().unwrap();
    // 20 × 0.5, less 10 %, and 6 % of the rest.
    assert_eq!((&*paper.total, &*paper.adjusted[0].month), ("9.54", MONTH));
    assert_eq!(note(&world), None, "once");
    assert!(money(&mut world, command).repeated);
    let next = run::drafts(world.books(), month().next().unwrap(), &["acme".to_owned()]).unwrap();
    assert_eq!(
        (next.drafts, next.nothing),
        (vec![], vec!["acme".to_owned()]),
        "a month without usage has no invoice"
    );
}

#[test]
fn late_usage_of_a_month_without_an_invoice_is_billed_too() {
    let mut world = final_month();
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    next_month(&mut world);
    let (empty, then) = (month().next().unwrap(), month().next().unwrap().next().unwrap());
    late_host_at(&mut world, 20 * 24 * 60);
    let utc = crate::rating::BillingZone::utc();
    let until = u64::from(utc.month_hours(then).unwrap().end.0 - START.0);
    for (seq, hours) in [(8, until - 1), (9, until)] {
        world.pass(seq, hours, 60 * SECOND);
        world.close();
    }
    let found = run::drafts(world.books(), empty, &["acme".to_owned()]).unwrap();
    assert_eq!(found.nothing, ["acme"], "as it was sealed");
    let document = &drafts_of(&world, then)[0].document;
    let section = &document.sections[0];
    assert_eq!(
        (section.month.as_deref(), &*section.lines[0].amount),
        (Some(&*empty.to_string()), "20.00"),
        "in that month's own tiers"
    );
    assert_eq!(document.adjusted.len(), 1);
}

#[test]
fn what_became_final_since_an_account_was_registered_is_due() {
    let mut world = final_month();
    let due = |world: &World| run::due(world.books()).unwrap();
    let of = |month: Month| run::Due {
        month,
        accounts: vec!["acme".to_owned()],
        again: false,
    };
    assert_eq!(due(&world), [of(month())]);
    let first = drafts_of(&world, month());
    issue(&mut world, first);
    assert_eq!(due(&world), []);
    next_month(&mut world);
    assert_eq!(due(&world), [of(month().next().unwrap())]);
    // Who is registered later is billed for earlier months only when somebody asks.
    let known = world.aggregator.registry().payers.accounts["acme"].clone();
    let later = Account {
        account: "later".into(),
        ..known
    };
    applied(&mut world, Command::SetAccount(Box::new(later)));
    assert_eq!(due(&world), [of(month().next().unwrap())]);
}

#[test]
fn who_is_not_billed_is_told() {
    let mut world = final_month();
    let found = run::drafts(world.books(), month(), &["nobody".to_owned()]).unwrap();
    assert!(
        found.not_billed[0].reason.contains("account set"),
        "{:?}",
        found.not_billed
    );
    // Terms for a final month are refused: what was agreed for it stays.
    let late = Command::SetTerms {
        account: "acme".into(),
        text: "format = 1\n".into(),
        from: with_a_bill_of(PRICES).2.start,
    };
    assert!(matches!(world.command(late), Answer::Rejected(_)));
}

/// Packs everything that is sealed, as the shell does.
fn pack(world: &mut World) -> usize {
    use crate::seal::packing::next_piece;
    let (mut cursor, mut rows) = (None, 0);
    for _ in 0..1_000 {
        let piece = next_piece(&world.store, world.aggregator.registry(), cursor.as_ref()).unwrap();
        let Some(piece) = piece else { return rows };
        cursor = piece.next.clone().map(|from| (piece.until, from));
        rows += piece.rows.len();
        let event = Event::Pack(1, Box::new(piece.clone()));
        world.aggregator.step(world.now, event, &world.store).unwrap();
        assert!(matches!(world.commit().remove(0), Answer::Applied(_)));
        // What is packed is not taken again.
        let event = Event::Pack(1, Box::new(piece));
        world.aggregator.step(world.now, event, &world.store).unwrap();
        assert!(cursor.is_some() || matches!(world.commit().remove(0), Answer::Rejected(_)));
    }
    panic!("it does not end");
}

/// Protects: packed days change no invoice, neither what is on time nor what comes behind it.
#[test]
fn packed_days_change_no_invoice() {
    let mut world = final_month();
    let all: Vec<String> = run::accounts(world.aggregator.registry()).into_iter().collect();
    let before = drafts_of(&world, month());
    assert!(pack(&mut world) > 0);
    let packed = run::drafts(world.books(), month(), &all).unwrap();
    assert_eq!(packed.drafts, before);
    let prepared = run::Prepared::read(world.books(), month()).unwrap();
    assert_eq!(run::drafts_of(world.books(), &prepared, &all).unwrap(), packed);
    issue(&mut world, before);
    late_host(&mut world);
    next_month(&mut world);
    let next = month().next().unwrap();
    let late = drafts_of(&world, next);
    assert_eq!(
        late[0].document.adjusted.len(),
        1,
        "the late part is found behind its packed day"
    );
    pack(&mut world);
    assert_eq!(drafts_of(&world, next), late);
    let prepared = run::Prepared::read(world.books(), next).unwrap();
    assert_eq!(
        run::drafts_of(world.books(), &prepared, &all).unwrap().drafts,
        late
    );
}

/// Usage before the end is on the month's invoice; what still runs under the claim is nobody's, and is shown.
#[test]
fn a_tenant_that_left_has_its_last_invoice() {
    let (mut world, hours) = billed();
    let left = TenantTerms {
        claims: vec![],
        from: Hour(START.0 + 2),
        ..world
            .aggregator
            .registry()
            .tenants
            .latest("acme")
            .unwrap()
            .clone()
    };
    applied(&mut world, Command::SetTenant(left));
    world.now = WallMs(world.now.0 + 5 * HOUR_MS);
    late_host_at(&mut world, 3 * 60);
    let mut world = until_final((world, hours));
    let drafts = drafts_of(&world, month());
    assert_eq!(
        drafts[0].document.total, "47.70",
        "as without what came behind the end"
    );
    let nobodys = crate::api::operator::unconfirmed(world.books(), START..Hour(START.0 + 24)).unwrap();
    let nobodys: Vec<_> = nobodys
        .iter()
        .map(|it| (&*it.claim, &*it.usage["cpu.time"]))
        .collect();
    assert_eq!(nobodys, [("acme", "20000000000")]);
    issue(&mut world, drafts);
    next_month(&mut world);
    assert_eq!(drafts_of(&world, month().next().unwrap()), []);
}
