//! Corrections: credit and debit notes, disputes. Never more than is left of what they correct; what was issued
//! stays as it is (I9). It must not know usage.

use tallyman_common::money::{Money, largest_remainder};

use super::of_line::lines_of;
use super::{Context, Made, Refusal, in_currency, known, living, positive, unfenced, words};
use crate::accounts::command::{MoneyCommand, NoteLine, NoteTax, Outcome};
use crate::accounts::decide::issue::{check_adjusted, seal};
use crate::accounts::document::{Document, Kind};
use crate::accounts::fold::documents_key;
use crate::accounts::ledger::negated;
use crate::accounts::paper::{Note, sums};
use crate::accounts::rates::{Parts, said};
use crate::accounts::series::{Numbers, generation, note_prefix};
use crate::accounts::standing::Receivable;
use crate::accounts::tables::parse;
use crate::ports::{Read, Table};
use crate::rating::{BillingZone, Day};
use crate::registry::Rejected;
use crate::registry::money::{Adjusted, Issued, MoneyAct};

/// A note that got its number.
pub(super) struct Numbered {
    pub(super) note: Issued,
    pub(super) bytes: Vec<u8>,
    /// What was paid too much by now.
    pub(super) to_balance: Money,
}

impl Numbered {
    pub(super) fn made(self, act: impl FnOnce(Issued, Money) -> MoneyAct) -> Made {
        let id = self.note.id.clone();
        let mut made = Made::act(act(self.note, self.to_balance));
        made.documents.push((id, self.bytes));
        made
    }
}

/// What a note is to be.
struct Asked<'a> {
    kind: Kind,
    trace: &'a str,
    lines: &'a [NoteLine],
    reason: &'a str,
    due: Option<&'a str>,
    adjusted: Option<&'a Adjusted>,
    taxes: &'a [NoteTax],
}

pub(super) fn issue_note(
    read: &dyn Read,
    context: &Context,
    command: &MoneyCommand,
) -> Result<Made, Refusal> {
    let MoneyCommand::IssueNote {
        trace,
        kind,
        corrects,
        lines,
        reason,
        due,
        adjusted,
        taxes,
    } = command
    else {
        unreachable!("called with a note");
    };
    let asked = Asked {
        kind: *kind,
        trace,
        lines,
        reason,
        due: due.as_deref(),
        adjusted: adjusted.as_ref(),
        taxes,
    };
    let corrected = living(read, corrects)?;
    if let Some(adjusted) = adjusted {
        let of = &corrected.document;
        if (of.kind, &of.month) != (Kind::Invoice, &adjusted.month) {
            let text = "a note settles late usage of the month of the invoice that it corrects";
            return Err(Refusal::invalid(text.to_owned()));
        }
        check_adjusted(read, &of.account, std::slice::from_ref(adjusted))?;
    }
    let numbered = numbered(read, context, &corrected, &asked)?;
    let reason = reason.clone();
    Ok(numbered.made(|note, to_balance| MoneyAct::Note {
        note,
        to_balance,
        reason,
    }))
}

/// A note over some lines, with its number.
fn numbered(
    read: &dyn Read,
    context: &Context,
    corrected: &Receivable,
    asked: &Asked<'_>,
) -> Result<Numbered, Refusal> {
    unfenced(context)?;
    words("the reason", asked.reason)?;
    let number = &corrected.document.number;
    let mut amount = Money::zero(corrected.document.total.currency());
    if asked.lines.is_empty() || asked.lines.len() > 1_000 {
        return Err(Refusal::invalid("a note has 1 to 1,000 lines".to_owned()));
    }
    for line in asked.lines {
        positive("a note's line", line.amount)?;
        in_currency(line.amount, amount, number)?;
        amount = amount.checked_add(line.amount)?;
    }
    let to_balance = match asked.kind {
        Kind::CreditNote => check_credit(corrected, amount)?,
        Kind::DebitNote if asked.due.is_some() => Money::zero(amount.currency()),
        Kind::DebitNote => return Err(Refusal::invalid("a debit note has a due day".to_owned())),
        Kind::Invoice => return Err(Refusal::invalid("a note is a credit or a debit note".to_owned())),
    };
    if corrected.document.kind == Kind::CreditNote {
        return Err(Refusal::invalid(format!("{number} is a credit note itself")));
    }
    let original = original(read, corrected)?;
    let lines = lines_of(read, (corrected, &original), (asked.kind, asked.lines))?;
    for line in &lines {
        words("a line's title", &line.title)?;
    }
    let taxes = taxes(read, (corrected, &original), asked, amount)?;
    let note = Note {
        kind: asked.kind,
        original: &original,
        trace: Some(asked.trace),
        lines: &lines,
        credits: &[],
        taxes: &taxes,
        reason: asked.reason,
    };
    let mut paper = note.paper()?;
    paper.adjusted.extend(asked.adjusted.cloned());
    let (note, bytes) = number_it(read, context, corrected, paper, asked.due)?;
    Ok(Numbered {
        note,
        bytes,
        to_balance,
    })
}

/// What a credit note makes the payer have paid too much.
fn check_credit(corrected: &Receivable, amount: Money) -> Result<Money, Refusal> {
    let (number, left) = (&corrected.document.number, corrected.creditable()?);
    if amount.minor_units() > left.minor_units() {
        return Err(Rejected::NotNow(format!(
            "a credit note over {amount} is above the {left} that is left of {number}"
        ))
        .into());
    }
    let owed = corrected.left()?.checked_sub(amount)?;
    Ok(if owed.minor_units() < 0 {
        negated(owed)?
    } else {
        Money::zero(amount.currency())
    })
}

/// The taxes of a note: those that are said of late usage, else those of what it corrects, in proportion.
fn taxes(
    read: &dyn Read,
    (corrected, original): (&Receivable, &Document),
    asked: &Asked<'_>,
    amount: Money,
) -> Result<Vec<NoteTax>, Refusal> {
    if asked.adjusted.is_some() {
        said(asked.taxes, amount.currency())?;
        return Ok(asked.taxes.to_vec());
    }
    if !asked.taxes.is_empty() {
        let text = "taxes are said with late usage alone; other notes have those of what they correct";
        return Err(Refusal::invalid(text.to_owned()));
    }
    let total = corrected.document.total;
    let printed = Parts::of(original)?;
    let (tax, split) = if asked.kind == Kind::CreditNote {
        let tax = tax_taken_back(corrected, amount)?;
        let left = Parts::left(read, corrected, original)?;
        (tax, left.split((amount, tax), corrected.creditable()?)?)
    } else {
        (tax_in(amount, (total, corrected.document.taxes))?, None)
    };
    if tax.minor_units() == 0 {
        return Ok(Vec::new());
    }
    let split = match split {
        Some(split) => Some(split),
        None => printed.split((amount, tax), total)?,
    };
    Ok(split.unwrap_or_else(|| printed.together((amount, tax))))
}

/// The tax in what a credit note takes back. Counted from the document's beginning, so that many small notes take back
/// what one large one would. What was for late usage had taxes of its own.
fn tax_taken_back(corrected: &Receivable, amount: Money) -> Result<Money, Refusal> {
    let Receivable {
        document,
        credited,
        credited_tax,
        credited_late,
        credited_late_tax,
        ..
    } = corrected;
    let total = document.total.checked_sub(*credited_late)?;
    let tax = document.taxes.checked_sub(*credited_late_tax)?;
    let until = credited.checked_sub(*credited_late)?.checked_add(amount)?;
    let before = credited_tax.checked_sub(*credited_late_tax)?;
    Ok(tax_in(until, (total, tax))?.checked_sub(before)?)
}

/// The tax in a part of a total: in proportion, and all of it in all of it.
fn tax_in(amount: Money, (total, tax): (Money, Money)) -> Result<Money, Refusal> {
    let net = total.checked_sub(tax)?;
    let weights = [net, tax].map(|part| u128::try_from(part.minor_units()));
    match weights {
        [Ok(net), Ok(tax)] if tax > 0 => Ok(largest_remainder(amount, &[net, tax])?[1]),
        // Nothing to split, or lines against each other: all of it is revenue.
        _ => Ok(Money::zero(amount.currency())),
    }
}

/// A document as it was printed.
pub(super) fn original(read: &dyn Read, of: &Receivable) -> Result<Document, Refusal> {
    let key = documents_key(&of.document.id, of.position)?;
    let missing = || Rejected::Missing {
        what: "stored document of",
        name: of.document.number.clone(),
    };
    let bytes = read.get(Table::Documents, &key)?.ok_or_else(missing)?;
    Ok(parse(Table::Documents, &bytes)?)
}

pub(super) fn number_it(
    read: &dyn Read,
    context: &Context,
    corrected: &Receivable,
    paper: Document,
    due: Option<&str>,
) -> Result<(Issued, Vec<u8>), Refusal> {
    let sums = sums(&paper)?;
    let Issued {
        kind, series, seller, ..
    } = &corrected.document;
    let prefix = note_prefix(paper.kind, (*kind, &series.prefix));
    let generation = generation(context.restored);
    let place = Numbers::new(read, &generation).next(&prefix, seller, paper.kind)?;
    let zone = BillingZone::parse(&paper.period.zone).map_err(|e| Refusal::invalid(e.to_string()))?;
    let today = zone.day_of(context.at.hour());
    let today = today.map_err(|e| Refusal::invalid(e.to_string()))?;
    let due = match (paper.kind, due) {
        (Kind::DebitNote, Some(due)) => {
            let day = Day::parse(due).map_err(|e| Refusal::invalid(e.to_string()))?;
            if day < today {
                let text = format!("due on {due}, before its issue on {today}");
                return Err(Refusal::invalid(text));
            }
            Some(due.to_owned())
        }
        _ => None,
    };
    Ok(seal(paper, sums, place, (String::from(today), due)))
}

pub(super) fn open_dispute(
    read: &dyn Read,
    number: &str,
    amount: Money,
    reason: &str,
) -> Result<Made, Refusal> {
    words("the reason", reason)?;
    positive("a dispute", amount)?;
    let found = living(read, number)?;
    in_currency(amount, found.document.total, number)?;
    if found.open_dispute().is_some() {
        return Err(Rejected::NotNow(format!("{number} is disputed already")).into());
    }
    let left = found.creditable()?;
    if found.document.kind == Kind::CreditNote || amount.minor_units() > left.minor_units() {
        return Err(Rejected::NotNow(format!(
            "{amount} is above the {left} of {number} that can be disputed"
        ))
        .into());
    }
    Ok(Made::act(MoneyAct::OpenDispute {
        number: number.to_owned(),
        amount,
        reason: reason.to_owned(),
    }))
}

pub(super) fn answer_dispute(read: &dyn Read, number: &str, text: &str) -> Result<Made, Refusal> {
    words("the answer", text)?;
    disputed(&known(read, number)?)?;
    Ok(Made::act(MoneyAct::AnswerDispute {
        number: number.to_owned(),
        text: text.to_owned(),
    }))
}

/// What is disputed of a document.
fn disputed(found: &Receivable) -> Result<Money, Refusal> {
    let number = &found.document.number;
    let none = || Rejected::NotNow(format!("{number} has no open dispute"));
    Ok(found.open_dispute().ok_or_else(none)?.amount)
}

pub(super) fn resolve_dispute(
    read: &dyn Read,
    context: &Context,
    command: &MoneyCommand,
) -> Result<Made, Refusal> {
    let MoneyCommand::ResolveDispute {
        trace,
        number,
        outcome,
        reason,
    } = command
    else {
        unreachable!("called with the end of a dispute");
    };
    words("the reason", reason)?;
    let found = living(read, number)?;
    let disputed = disputed(&found)?;
    let act = |note, to_balance| MoneyAct::ResolveDispute {
        number: number.clone(),
        note,
        to_balance,
        reason: reason.clone(),
    };
    let amount = match outcome {
        Outcome::Rejected => return Ok(Made::act(act(None, Money::zero(disputed.currency())))),
        Outcome::Credited(amount) => *amount,
    };
    in_currency(amount, disputed, "the dispute")?;
    if amount.minor_units() > disputed.minor_units() {
        return Err(Refusal::invalid(format!(
            "{amount} is above the {disputed} that is disputed"
        )));
    }
    let title = found.open_dispute().map_or("", |d| d.reason.as_str()).to_owned();
    let line = None;
    let lines = [NoteLine { title, amount, line }];
    let asked = Asked {
        kind: Kind::CreditNote,
        trace,
        lines: &lines,
        reason,
        due: None,
        adjusted: None,
        taxes: &[],
    };
    let numbered = numbered(read, context, &found, &asked)?;
    Ok(numbered.made(|note, to_balance| act(Some(note), to_balance)))
}
