//! The taxes of notes by rate: of the document that a note corrects, or as they are known of late usage.
//!
//! Invariant: I7, the parts sum to the note's tax, and what all notes took back of a rate is never more than the document
//! has of it. It must not know prices.

use tallyman_common::money::{Currency, Money, Percent, largest_remainder};

use super::command::NoteTax;
use super::decide::Refusal;
use super::document::{Document, Kind, Tax};
use super::paper::bounded;
use super::reads::document;
use super::standing::Receivable;
use crate::ports::Read;

/// Rates that a note has at most.
const RATES_MAX: usize = 100;

/// What is taxed at one rate, tax included, and the tax in it.
struct Part {
    title: String,
    percent: String,
    gross: Money,
    tax: Money,
}

/// What is taxed at the rates of a document.
pub struct Parts(Vec<Part>);

impl Parts {
    /// As the document has them.
    pub fn of(document: &Document) -> Result<Self, Refusal> {
        let currency = Currency::parse(&document.currency)?;
        let money = |text: &str| Money::parse(&format!("{text} {currency}"));
        let part = |it: &Tax| {
            let (basis, tax) = (money(&it.basis)?, money(&it.amount)?);
            let gross = if it.included {
                basis
            } else {
                basis.checked_add(tax)?
            };
            Ok(Part {
                title: it.title.clone(),
                percent: it.percent.clone(),
                gross,
                tax,
            })
        };
        document
            .taxes
            .iter()
            .map(part)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// What credit notes left of them.
    pub fn left(read: &dyn Read, corrected: &Receivable, original: &Document) -> Result<Self, Refusal> {
        let mut left = Self::of(original)?;
        for number in &corrected.notes {
            let Some((note, _)) = document(read, number)?.filter(|it| it.0.kind == Kind::CreditNote) else {
                continue;
            };
            for taken in Self::of(&note)?.0 {
                let same = |it: &&mut Part| it.title == taken.title && it.percent == taken.percent;
                match left.0.iter_mut().find(same) {
                    Some(part) => {
                        part.gross = part.gross.checked_add(taken.gross)?;
                        part.tax = part.tax.checked_add(taken.tax)?;
                    }
                    None => left.0.push(taken),
                }
            }
        }
        Ok(left)
    }

    /// All of it, as a note that takes it back says it.
    pub fn all(self) -> Vec<NoteTax> {
        let parts = self.0.into_iter().filter(|it| it.tax.minor_units() != 0);
        let parts = parts.map(|it| NoteTax {
            title: it.title,
            percent: it.percent,
            basis: it.gross,
            amount: it.tax,
        });
        parts.collect()
    }

    /// A tax over the rates, in proportion to what each has; nothing where that can't be said. `amount` is what the tax is
    /// in, `total` what the parts are in.
    pub fn split(
        &self,
        (amount, tax): (Money, Money),
        total: Money,
    ) -> Result<Option<Vec<NoteTax>>, Refusal> {
        let taxes = weights(self.0.iter().map(|it| it.tax));
        let mut rest = total;
        for part in &self.0 {
            rest = rest.checked_sub(part.gross)?;
        }
        let grosses = weights(self.0.iter().map(|it| it.gross).chain([rest]));
        let (Some(taxes), Some(grosses)) = (taxes, grosses) else {
            return Ok(None);
        };
        let bases = largest_remainder(amount, &grosses)?;
        let amounts = largest_remainder(tax, &taxes)?;
        let parts = self.0.iter().zip(bases.into_iter().zip(amounts));
        let parts = parts.map(|(part, (basis, amount))| NoteTax {
            title: part.title.clone(),
            percent: part.percent.clone(),
            basis,
            amount,
        });
        Ok(Some(parts.filter(|it| it.amount.minor_units() != 0).collect()))
    }

    /// One line for all rates, where their shares can't be told.
    pub fn together(&self, (amount, tax): (Money, Money)) -> Vec<NoteTax> {
        let of = |text: fn(&Part) -> &str| {
            let mut all: Vec<&str> = self.0.iter().map(text).collect();
            all.dedup();
            all.join(" + ")
        };
        vec![NoteTax {
            title: of(|it| &it.title),
            percent: of(|it| &it.percent),
            basis: amount,
            amount: tax,
        }]
    }
}

/// Amounts as weights; nothing if one is below zero or all are zero.
fn weights(amounts: impl Iterator<Item = Money>) -> Option<Vec<u128>> {
    let all = amounts.map(|it| u128::try_from(it.minor_units()).ok());
    let all: Vec<u128> = all.collect::<Option<_>>()?;
    all.iter().any(|it| *it > 0).then_some(all)
}

/// Checks taxes that are said with a note, and sums them.
pub fn said(taxes: &[NoteTax], currency: Currency) -> Result<Money, Refusal> {
    let mut sum = Money::zero(currency);
    if taxes.len() > RATES_MAX {
        return Err(Refusal::invalid(format!("a note has up to {RATES_MAX} taxes")));
    }
    for tax in taxes {
        super::decide::words("a tax's title", &tax.title)?;
        Percent::parse(&tax.percent)?;
        bounded(tax.basis)?;
        bounded(tax.amount)?;
        if tax.basis.currency() != currency {
            return Err(Refusal::invalid(format!(
                "{}: the note is in {currency}",
                tax.basis
            )));
        }
        sum = sum.checked_add(tax.amount)?;
    }
    bounded(sum)?;
    Ok(sum)
}
