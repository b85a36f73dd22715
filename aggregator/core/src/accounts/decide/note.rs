//! Corrections: credit and debit notes, voids, disputes. Never more than is left of what they correct; what was issued
//! stays as it is (I9). It must not know usage.

use tallyman_common::money::{Money, largest_remainder};

use super::pay::covered;
use super::{Context, Made, Refusal, in_currency, known, living, positive, unfenced, words};
use crate::accounts::command::{MoneyCommand, NoteLine, Outcome};
use crate::accounts::decide::issue::{check_adjusted, seal};
use crate::accounts::document::{Document, Kind};
use crate::accounts::fold::documents_key;
use crate::accounts::ledger::negated;
use crate::accounts::paper::{Note, sums};
use crate::accounts::series::{Numbers, generation, note_prefix};
use crate::accounts::standing::Receivable;
use crate::accounts::tables::parse;
use crate::ports::{Read, Table};
use crate::rating::{BillingZone, Day};
use crate::registry::Rejected;
use crate::registry::money::{Adjusted, Issued, MoneyAct};

/// A note that got its number.
struct Numbered {
    note: Issued,
    bytes: Vec<u8>,
    /// What was paid too much by now.
    to_balance: Money,
}

impl Numbered {
    fn made(self, act: impl FnOnce(Issued, Money) -> MoneyAct) -> Made {
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
        words("a line's title", &line.title)?;
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
    let tax = match asked.kind {
        Kind::CreditNote => tax_until(corrected, corrected.credited.checked_add(amount)?)?
            .checked_sub(corrected.credited_tax)?,
        Kind::Invoice | Kind::DebitNote => tax_until(corrected, amount)?,
    };
    let original = original(read, corrected)?;
    let note = Note {
        kind: asked.kind,
        original: &original,
        trace: Some(asked.trace),
        lines: asked.lines,
        credits: &[],
        tax,
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

/// The tax in the first `amount` of a document's total: in proportion, and all of it in all of it. Counted from the
/// document's beginning, so that many small notes take back what one large one would.
fn tax_until(corrected: &Receivable, amount: Money) -> Result<Money, Refusal> {
    let (total, tax) = (corrected.document.total, corrected.document.taxes);
    let net = total.checked_sub(tax)?;
    let weights = [net, tax].map(|part| u128::try_from(part.minor_units()));
    match weights {
        [Ok(net), Ok(tax)] if tax > 0 => Ok(largest_remainder(amount, &[net, tax])?[1]),
        // Nothing to split, or lines against each other: all of it is revenue.
        _ => Ok(Money::zero(amount.currency())),
    }
}

/// A document as it was printed.
fn original(read: &dyn Read, of: &Receivable) -> Result<Document, Refusal> {
    let key = documents_key(&of.document.id, of.position)?;
    let missing = || Rejected::Missing {
        what: "stored document of",
        name: of.document.number.clone(),
    };
    let bytes = read.get(Table::Documents, &key)?.ok_or_else(missing)?;
    Ok(parse(Table::Documents, &bytes)?)
}

fn number_it(
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
    // What had been paid goes to the balance; what a negative invoice put there must still be there.
    covered(read, &document.account, negated(found.paid)?)?;
    let original = original(read, &found)?;
    let mut note = Note {
        kind: Kind::CreditNote,
        original: &original,
        trace: None,
        lines: &[],
        credits: &document.credits,
        tax: document.taxes.checked_sub(found.credited_tax)?,
        reason,
    };
    let line;
    let paper = if found.credited.minor_units() == 0 {
        note.mirror()
    } else {
        line = [rest_line(&found)?];
        note.lines = &line;
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
    })
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
    let lines = [NoteLine { title, amount }];
    let asked = Asked {
        kind: Kind::CreditNote,
        trace,
        lines: &lines,
        reason,
        due: None,
        adjusted: None,
    };
    let numbered = numbered(read, context, &found, &asked)?;
    Ok(numbered.made(|note, to_balance| act(Some(note), to_balance)))
}
