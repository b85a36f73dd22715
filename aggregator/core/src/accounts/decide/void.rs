//! Taking a document back as a whole. It keeps its number, and what it had is free again: credits, what was paid, late
//! usage, the month (docs/adr/0016-voids-and-months-billed-again.md).
//!
//! Invariants: I9, I12. A document on which a later one counts is not made void before that one, so that nothing is lost
//! or billed twice. It must not know usage.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use super::note::{Numbered, number_it, original};
use super::pay::covered;
use super::{Context, Made, Refusal, living, unfenced, words};
use crate::accounts::command::NoteLine;
use crate::accounts::document::{BilledFee, Kind};
use crate::accounts::ledger::negated;
use crate::accounts::paper::Note;
use crate::accounts::rates::Parts;
use crate::accounts::standing::{Receivable, receivable, released};
use crate::accounts::tables::{AccountsError, Found, get, keys, parse};
use crate::log::prefix_end;
use crate::ports::{Read, Table, try_scan};
use crate::rating::Month;
use crate::registry::Rejected;
use crate::registry::money::{Adjusted, MoneyAct};

pub(super) fn void(read: &dyn Read, context: &Context, number: &str, reason: &str) -> Result<Made, Refusal> {
    unfenced(context)?;
    words("the reason", reason)?;
    let found = living(read, number)?;
    let document = &found.document;
    if document.kind == Kind::CreditNote {
        return Err(Refusal::invalid(format!(
            "{number} is a credit note: issue a debit note instead"
        )));
    }
    let original = original(read, &found)?;
    ends_late_usage(read, &found)?;
    ends_fees(read, &found)?;
    // What had been paid goes to the balance; what a negative invoice put there must still be there.
    covered(read, &document.account, negated(found.paid)?)?;
    let mut note = Note {
        kind: Kind::CreditNote,
        original: &original,
        trace: None,
        lines: &[],
        credits: &document.credits,
        taxes: &[],
        reason,
    };
    let (line, taxes);
    let paper = if found.credited.minor_units() == 0 {
        note.mirror()
    } else {
        line = [rest_line(&found)?];
        taxes = Parts::left(read, &found, &original)?.all();
        (note.lines, note.taxes) = (&line, &taxes);
        note.paper()?
    };
    let (note, bytes) = number_it(read, context, &found, paper, None)?;
    let numbered = Numbered {
        note,
        bytes,
        to_balance: found.paid,
    };
    let (number, reason) = (number.to_owned(), reason.to_owned());
    Ok(numbered.made(|note, to_balance| MoneyAct::Void {
        number,
        note,
        to_balance,
        reason,
    }))
}

/// All that earlier notes left of a document, with the credits that were used on it.
fn rest_line(found: &Receivable) -> Result<NoteLine, Refusal> {
    let mut amount = found.creditable()?;
    for (_, credit) in &found.document.credits {
        amount = amount.checked_add(*credit)?;
    }
    Ok(NoteLine {
        title: found.document.number.clone(),
        amount,
        line: None,
    })
}

/// Late usage that the document has is the last of its month that was billed: what is billed on behind it would begin at
/// a place that nobody billed.
fn ends_late_usage(read: &dyn Read, gone: &Receivable) -> Result<(), Refusal> {
    let account = &gone.document.account;
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    for Adjusted { month, since, upto } in released(read, gone)? {
        let end = match ends.get(&month) {
            Some(end) => Some(*end),
            None => get(read, Table::MoneyIndex, &keys::adjusted(account, &month))?,
        };
        if end != Some(upto) {
            let later = billed_behind(read, account, (&month, upto))?;
            let later = later.unwrap_or_else(|| "a later document".to_owned());
            let number = &gone.document.number;
            return Err(Rejected::NotNow(format!(
                "{later} bills late usage of {month} on behind what goes with {number}: make {later} void first"
            ))
            .into());
        }
        ends.insert(month, since);
    }
    Ok(())
}

/// The living document that bills late usage of a month from a position on.
fn billed_behind(
    read: &dyn Read,
    account: &str,
    (month, since): (&str, u64),
) -> Result<Option<String>, AccountsError> {
    let (from, mut found) = (keys::by_account(account, &[]), None);
    let range = (&from[..], &prefix_end(&from)[..]);
    try_scan(read, Table::MoneyIndex, range, |_, value| {
        let row: Found = parse(Table::MoneyIndex, value)?;
        let record = receivable(read, &row.number)?.filter(|it| it.voided.is_none());
        let bills = |it: &Adjusted| it.month == month && it.since == since;
        if record.is_some_and(|it| it.document.adjusted.iter().any(bills)) {
            found = Some(row.number);
            return Ok(ControlFlow::Break(()));
        }
        Ok::<_, AccountsError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// No later invoice counts on fees that the document bills ahead: they would be taken back, and billed by nobody.
fn ends_fees(read: &dyn Read, gone: &Receivable) -> Result<(), Refusal> {
    let one = &gone.document;
    if one.kind != Kind::Invoice {
        return Ok(());
    }
    for later in months_ahead(&one.fees, &one.month)? {
        let key = keys::unique(&one.account, &later.to_string(), one.kind);
        let found: Option<Found> = get(read, Table::MoneyIndex, &key)?;
        if let Some(Found {
            number: later_one, ..
        }) = found.filter(|it| !it.void)
        {
            return Err(Rejected::NotNow(format!(
                "{later_one} counts on fees of {later} that {} bills ahead: make {later_one} void first",
                one.number
            ))
            .into());
        }
    }
    Ok(())
}

/// Later months with whose first periods a document bills fees: the invoice of such a month counts on it.
pub(super) fn months_ahead(fees: &[BilledFee], own: &str) -> Result<BTreeSet<Month>, Refusal> {
    let month = |text: &str| Month::parse(text).map_err(|e| Refusal::invalid(e.to_string()));
    let (own, mut found) = (month(own)?, BTreeSet::new());
    for fee in fees.iter().filter(|it| it.fee.minor_units() > 0) {
        let begins = fee.from.month();
        if begins > own {
            found.insert(begins);
        }
    }
    Ok(found)
}
