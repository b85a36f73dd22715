//! Notes that say which line of an invoice they are about. What credit notes take back of a line is never more than the line
//! with its tax: two notes, each small beside the invoice, could else take one line back twice. It must not know how the whole
//! is limited.

use tallyman_common::money::{Currency, Money, Percent, Rounding, WideAmount};

use super::{Refusal, in_currency};
use crate::accounts::command::NoteLine;
use crate::accounts::document::{Document, Kind, Line};
use crate::accounts::reads::document;
use crate::accounts::standing::Receivable;
use crate::ports::Read;
use crate::registry::Rejected;

/// The lines of a note, those that name a line of what is corrected with its title unless they have words of their own.
pub(super) fn lines_of(
    read: &dyn Read,
    (corrected, original): (&Receivable, &Document),
    (kind, lines): (Kind, &[NoteLine]),
) -> Result<Vec<NoteLine>, Refusal> {
    let mut made: Vec<NoteLine> = Vec::with_capacity(lines.len());
    for line in lines {
        let mut line = line.clone();
        if let Some(number) = line.line {
            let of = corrected_line(original, number)?;
            if line.title.is_empty() {
                line.title.clone_from(&of.title);
            }
            if kind == Kind::CreditNote {
                check(read, (corrected, original, of), &made, &line)?;
            }
        }
        made.push(line);
    }
    Ok(made)
}

fn corrected_line(original: &Document, number: u32) -> Result<&Line, Refusal> {
    let mut lines = original.sections.iter().flat_map(|it| &it.lines);
    let missing = || {
        let count: usize = original.sections.iter().map(|it| it.lines.len()).sum();
        let name = original.number.as_deref().unwrap_or("the document");
        Refusal::invalid(format!("{name} has no line {number}: its lines are 1 to {count}"))
    };
    lines.find(|it| it.number == number).ok_or_else(missing)
}

/// Refuses more than is left of a line behind earlier notes, and those before in the same one.
fn check(
    read: &dyn Read,
    (corrected, original, of): (&Receivable, &Document, &Line),
    before: &[NoteLine],
    line: &NoteLine,
) -> Result<(), Refusal> {
    let all = gross(original, of)?;
    in_currency(line.amount, all, &corrected.document.number)?;
    let mut taken = Money::zero(all.currency());
    for number in &corrected.notes {
        let Some((note, _)) = document(read, number)?.filter(|it| it.0.kind == Kind::CreditNote) else {
            continue;
        };
        let lines = note.sections.iter().flat_map(|it| &it.lines);
        for it in lines.filter(|it| it.corrects_line == Some(of.number)) {
            taken = taken.checked_sub(amount_of(it, all.currency())?)?;
        }
    }
    for it in before.iter().filter(|it| it.line == line.line) {
        taken = taken.checked_add(it.amount)?;
    }
    let left = all.checked_sub(taken)?;
    if line.amount.minor_units() > left.minor_units() {
        return Err(Rejected::NotNow(format!(
            "{} is above the {left} that is left of line {} of {} (`{}`), which comes to {all} with tax",
            line.amount, of.number, corrected.document.number, of.title
        ))
        .into());
    }
    Ok(())
}

/// A line with its tax. Documents say rates, not whose: where there are several it is the highest, so that no line is cut short.
fn gross(original: &Document, of: &Line) -> Result<Money, Refusal> {
    let currency = Currency::parse(&original.currency)?;
    let amount = amount_of(of, currency)?;
    let mut highest = Money::zero(currency);
    for tax in original.taxes.iter().filter(|it| !it.included) {
        let percent = Percent::parse(&tax.percent)?;
        let tax = WideAmount::of_money(amount).percent(percent, 1, currency, Rounding::HalfUp)?;
        if tax.minor_units() > highest.minor_units() {
            highest = tax;
        }
    }
    Ok(amount.checked_add(highest)?)
}

fn amount_of(line: &Line, currency: Currency) -> Result<Money, Refusal> {
    Ok(Money::parse(&format!("{} {currency}", line.amount))?)
}
