//! Documents and the ledger, when a run is over: each closed month has its one invoice, its late usage is billed once, the
//! books balance, and packed days say what the cells say. Asked of the store and of the cells, never of who made them.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use tallyman_aggregator_core::accounts::document::{Kind, SectionKind};
use tallyman_aggregator_core::accounts::ledger::books::{journal, trial_balance};
use tallyman_aggregator_core::accounts::ledger::{LedgerAccount, Posting, Side};
use tallyman_aggregator_core::accounts::reads::document;
use tallyman_aggregator_core::accounts::rebuild;
use tallyman_aggregator_core::accounts::standing::Receivable;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::bills::account::{Payee, rate_account};
use tallyman_aggregator_core::bills::month::rate_month;
use tallyman_aggregator_core::log::position_key;
use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_common::ids::Digest;
use tallyman_common::money::Money;
use tallyman_common::time::Hour;

use super::payers::{MONTHS, PAYERS, Parts, Payer, Used};
use super::world::World;

/// Every document, by number.
fn records(store: &dyn Read) -> Result<Vec<Receivable>, String> {
    let mut records = Vec::new();
    let visit = &mut |_: &[u8], value: &[u8]| {
        records.push(serde_json::from_slice(value).expect("the store holds what was put"));
        ControlFlow::Continue(())
    };
    let all = store.scan(Table::Receivables, &[], &[], visit);
    all.map_err(|e| e.to_string())?;
    Ok(records)
}

/// Every invoice that is not void, by number.
pub(super) fn invoices(store: &dyn Read) -> Result<Vec<Receivable>, String> {
    let mut records = living(store)?;
    records.retain(|it| it.document.kind == Kind::Invoice);
    Ok(records)
}

/// Everything that can be made void and is not, by number.
pub(super) fn living(store: &dyn Read) -> Result<Vec<Receivable>, String> {
    let mut records = records(store)?;
    records.retain(|it| it.document.kind != Kind::CreditNote && it.voided.is_none());
    Ok(records)
}

/// Every number, with position and digest of the decision that gave it: two decisions differ at least by their instant.
pub(super) fn numbers(store: &dyn Read) -> Result<BTreeMap<String, (u64, Digest)>, String> {
    let mut numbers = BTreeMap::new();
    for record in records(store)? {
        let position = record.position;
        let decision = store.get(Table::Decisions, &position_key(position));
        let decision = decision.map_err(|e| e.to_string())?;
        let decision = decision.ok_or_else(|| format!("I12: {} has no decision", record.document.number))?;
        numbers.insert(record.document.number, (position, Digest::of(&[&decision])));
    }
    Ok(numbers)
}

/// Requires it all.
pub(super) fn all(world: &mut World) -> Result<(), String> {
    world.bill_all()?;
    world.settle_cash()?;
    world.remember_numbers()?;
    let records = records(&world.hub.store)?;
    without_gaps(&records)?;
    one_for_each(&records)?;
    let adjusted = amounts(world, &records)?;
    if adjusted {
        world.hit("late usage billed");
    }
    balanced(world, &records)?;
    packed(world)
}

/// Numbers of a series begin at 1 and have no gap; behind a restore a series begins anew under another name.
fn without_gaps(records: &[Receivable]) -> Result<(), String> {
    let mut series: BTreeMap<(&str, &str), Vec<u64>> = BTreeMap::new();
    for record in records {
        let place = &record.document.series;
        let of = series.entry((&place.prefix, &place.generation));
        of.or_default().push(place.ordinal);
    }
    for (name, mut given) in series {
        given.sort_unstable();
        if !given.iter().copied().eq(1..=given.len() as u64) {
            return Err(format!("I9: the numbers of {name:?} are {given:?}"));
        }
    }
    Ok(())
}

/// No account has two living invoices of a month.
fn one_for_each(records: &[Receivable]) -> Result<(), String> {
    let mut found: BTreeMap<(&str, &str), &str> = BTreeMap::new();
    let invoices = records.iter().filter(|it| it.document.kind == Kind::Invoice);
    for record in invoices.filter(|it| it.voided.is_none()) {
        let one = &record.document;
        if let Some(other) = found.insert((&one.account, &one.month), &one.number) {
            let (account, month, number) = (&one.account, &one.month, &one.number);
            return Err(format!("I9: {account} has {other} and {number} of {month}"));
        }
    }
    Ok(())
}

/// What documents say of an account's month, in cents.
#[derive(Debug, Default)]
struct Billed {
    /// Its invoice, if it has one: usage alone.
    invoice: Option<i128>,
    /// What was billed behind it, on later invoices and on notes.
    late: i128,
    /// Something was.
    adjusted: bool,
}

/// I7: what was billed at first is what was there at the month's seal, and all that was billed of a month is what its
/// cells cost, whenever they came.
fn amounts(world: &World, records: &[Receivable]) -> Result<bool, String> {
    let store = &world.hub.store;
    let mut billed: BTreeMap<(String, String), Billed> = BTreeMap::new();
    let void: BTreeSet<&str> = records
        .iter()
        .filter(|it| it.voided.is_some())
        .map(|it| &*it.document.number)
        .collect();
    // What is void bills nothing, nor do the credit notes that it was taken back with.
    let is_gone = |it: &Receivable| {
        let takes_back = it.document.kind == Kind::CreditNote;
        let of = it.document.corrects.as_deref().filter(|_| takes_back);
        it.voided.is_some() || of.is_some_and(|of| void.contains(of))
    };
    for record in records.iter().filter(|it| !is_gone(it)) {
        add_document(store, record, &mut billed)?;
    }
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    let seals = &process.registry().seals;
    let parts = Parts::read(store)?;
    let now = parts.seen(|_| true);
    let mut adjusted = false;
    for (payer, (name, month)) in PAYERS.iter().flat_map(|it| MONTHS.iter().map(move |m| (it, m))) {
        let (hours, empty) = (payer.hours(month), Billed::default());
        if !seals.is_final(&hours) {
            continue;
        }
        let key = (payer.account.to_owned(), (*name).to_owned());
        let billed = billed.get(&key).unwrap_or(&empty);
        adjusted |= billed.adjusted;
        // What came behind the seal of the month's last hour came when that hour or a later one was the newest.
        let last = Hour(hours.end.0 - 1);
        let then = parts.seen(|part| part.late.is_none_or(|newest| newest < last));
        let is_followed = *name == MONTHS[0].0 && seals.is_final(&payer.hours(&MONTHS[1].1));
        one(payer, (name, is_followed), &hours, (&then, &now), billed)?;
    }
    Ok(adjusted)
}

fn one(
    payer: &Payer,
    (month, is_followed): (&str, bool),
    hours: &Range<Hour>,
    (then, now): (&Used, &Used),
    billed: &Billed,
) -> Result<(), String> {
    let (then, now) = (then.cost(payer, hours), now.cost(payer, hours));
    let name = format!("{month} of {}", payer.account);
    match (then, billed.invoice) {
        (Some(cost), None) => return Err(format!("I9: {name} cost {cost} cents and has no invoice")),
        (Some(cost), Some(invoice)) if cost != invoice => {
            return Err(format!(
                "I7: {name} cost {cost} cents at its seal, {invoice} were billed"
            ));
        }
        (None, Some(invoice)) if invoice != 0 => {
            return Err(format!("I7: {name} had no usage, {invoice} cents were billed"));
        }
        // Late usage of such a month waits for a later invoice; there is no note to nothing.
        (None, None) if !billed.adjusted && !is_followed => return Ok(()),
        _ => {}
    }
    let sum: i128 = billed.invoice.into_iter().chain([billed.late]).sum();
    let costs: i128 = now.into_iter().sum();
    if sum == costs {
        return Ok(());
    }
    Err(format!(
        "I7: {name} costs {costs} cents with what came late, {sum} were billed: {billed:?}"
    ))
}

/// Adds what a document bills, each part to the month that it is for.
fn add_document(
    store: &dyn Read,
    record: &Receivable,
    billed: &mut BTreeMap<(String, String), Billed>,
) -> Result<(), String> {
    let of = &record.document;
    let mut late = Vec::new();
    if of.kind == Kind::Invoice {
        let (document, _) = document(store, &of.number)
            .map_err(|e| e.to_string())?
            .ok_or_else(|| format!("I12: {} is not there", of.number))?;
        let invoice = billed.entry((of.account.clone(), of.month.clone())).or_default();
        let mut sum = 0;
        for section in &document.sections {
            let amount = Money::parse(&format!("{} USD", section.subtotal));
            let cents = amount.map_err(|e| e.to_string())?.minor_units();
            match (section.kind, &section.month) {
                (SectionKind::Adjustment, Some(month)) => late.push((month.clone(), cents)),
                _ => sum += cents,
            }
        }
        invoice.invoice = Some(sum);
    }
    if of.kind != Kind::Invoice {
        let months = of.adjusted.iter().map(|it| it.month.clone());
        late.extend(months.map(|month| (month, of.total.minor_units())));
    }
    for (month, cents) in late {
        let billed = billed.entry((of.account.clone(), month)).or_default();
        billed.late += cents;
        billed.adjusted = true;
    }
    Ok(())
}

/// I12: all debits are all credits, each document has its posting, and the tables are what the log says.
fn balanced(world: &World, records: &[Receivable]) -> Result<(), String> {
    let store = &world.hub.store;
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    let mut owed: BTreeMap<(u64, String), i128> = BTreeMap::new();
    let add = |posting: Posting| {
        for entry in posting.entries() {
            // A credit note on what is paid goes to the payer's balance, in the same decision.
            if let LedgerAccount::Receivable(account) | LedgerAccount::Prepaid(account) = &entry.account {
                let sign = if entry.side == Side::Debit { 1 } else { -1 };
                let of = owed.entry((posting.position(), account.clone())).or_default();
                *of += sign * entry.amount.minor_units();
            }
        }
        Ok(ControlFlow::Continue(()))
    };
    journal(store, (0, u64::MAX), add).map_err(|e| e.to_string())?;
    for record in records {
        let key = (record.position, record.document.account.clone());
        let (posted, total) = (owed.get(&key), record.document.total.minor_units());
        // What was nothing is not posted; one decision has one document of an account.
        if posted.is_some_and(|it| *it != total) || posted.is_none() && total != 0 {
            let number = &record.document.number;
            return Err(format!(
                "I12: {number} is over {total} cents, posted are {posted:?}"
            ));
        }
    }
    let newest = process.position();
    let trial = trial_balance(store, None, newest).map_err(|e| e.to_string())?;
    if let Some(total) = trial.totals.iter().find(|it| it.debit != it.credit) {
        return Err(format!("I12: the ledger does not balance: {total:?}"));
    }
    let faults = rebuild::faults(store).map_err(|e| e.to_string())?;
    match faults.first() {
        Some(fault) => Err(format!("I12: the tables of money are not the log's: {fault:?}")),
        None => Ok(()),
    }
}

/// I6: packed days and cells rate the same to the last digit.
fn packed(world: &World) -> Result<(), String> {
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    let books = Books {
        store: &world.hub.store,
        registry: process.registry(),
        marks: process.marks(),
        position: process.position(),
        now: world.wall(),
    };
    let versions = books.registry.books_of("USD").ok_or("there are no prices")?;
    let first = books.registry.seals.iter().next().map_or(Hour(0), |it| it.hour);
    let hours = first..Hour(MONTHS[1].1.start.0 + 24);
    for payer in &PAYERS {
        let zone = BillingZone::parse(payer.zone).map_err(|e| e.to_string())?;
        let tenants = payer.tenants.iter().map(|tenant| Payee {
            tenant: (*tenant).to_owned(),
            books: versions.clone(),
        });
        let payees: Vec<Payee> = tenants.collect();
        let who = (&payees[..], &versions);
        let fast = rate_month(books, who, &zone, hours.clone(), payer.pools).map_err(|e| e.to_string())?;
        let slow = rate_account(books, who, &zone, hours.clone(), payer.pools).map_err(|e| e.to_string())?;
        if (&fast.sums, &fast.faults) != (&slow.sums, &slow.faults) {
            let account = payer.account;
            let (fast, slow) = (fast.sums, slow.sums);
            return Err(format!(
                "I6: packed days of {account} say {fast:?}, its cells {slow:?}"
            ));
        }
    }
    Ok(())
}
