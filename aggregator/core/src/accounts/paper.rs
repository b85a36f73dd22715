//! Documents as the ledger sees them: whether their sums hold (I7), and the papers of notes. It must not know prices.

use tallyman_common::ids::{Digest, hex};
use tallyman_common::money::{Currency, Money};

use super::command::{AMOUNT_MINOR_MAX, NoteLine, NoteTax};
use super::decide::Refusal;
use super::document::{Deduction, Document, Kind, Line, Section, SectionKind, Tax};
use super::ledger::negated;

/// Sums of a document.
pub struct Sums {
    /// Sum of the lines.
    pub subtotal: Money,
    /// Sum of the discounts, negative.
    pub discounts: Money,
    /// Credits used by grant, positive.
    pub credits: Vec<(String, Money)>,
    /// All taxes.
    pub taxes: Money,
    /// Those that the lines include.
    pub taxes_included: Money,
    /// What is due.
    pub total: Money,
}

/// Checks every sum of a document, to the last digit, and that its amounts are of a size that can be kept.
pub fn sums(document: &Document) -> Result<Sums, Refusal> {
    let currency = Currency::parse(&document.currency)?;
    let money = |text: &str| money(text, currency);
    let zero = Money::zero(currency);
    let mut subtotal = zero;
    for section in &document.sections {
        let mut sum = zero;
        for line in &section.lines {
            sum = sum.checked_add(money(&line.amount)?)?;
        }
        same("the lines of a section", sum, money(&section.subtotal)?)?;
        subtotal = subtotal.checked_add(sum)?;
    }
    same("the sections", subtotal, money(&document.subtotal)?)?;
    let mut discounts = zero;
    for discount in &document.discounts {
        discounts = discounts.checked_add(money(&discount.amount)?)?;
    }
    let (mut credits, mut credit_sum) = (Vec::new(), zero);
    for credit in &document.credits {
        let amount = money(&credit.amount)?;
        credit_sum = credit_sum.checked_add(amount)?;
        credits.push((credit.key.clone(), negated(amount)?));
    }
    let (mut taxes, mut taxes_included) = (zero, zero);
    for tax in &document.taxes {
        let amount = money(&tax.amount)?;
        taxes = taxes.checked_add(amount)?;
        if tax.included {
            taxes_included = taxes_included.checked_add(amount)?;
        }
    }
    let added = taxes.checked_sub(taxes_included)?;
    let before_tax = subtotal.checked_add(discounts)?.checked_add(credit_sum)?;
    let total = before_tax.checked_add(added)?;
    same(
        "lines, discounts, credits and taxes",
        total,
        money(&document.total)?,
    )?;
    Ok(Sums {
        subtotal,
        discounts,
        credits,
        taxes,
        taxes_included,
        total,
    })
}

fn money(text: &str, currency: Currency) -> Result<Money, Refusal> {
    let amount = Money::parse(&format!("{text} {currency}"))?;
    bounded(amount)?;
    if amount.number() != text {
        return Err(Refusal::invalid(format!(
            "`{text}` is not written with the digits of {currency}"
        )));
    }
    Ok(amount)
}

/// Refuses an amount that no invoice of this world has.
pub fn bounded(amount: Money) -> Result<(), Refusal> {
    if amount.minor_units().unsigned_abs() > AMOUNT_MINOR_MAX.unsigned_abs() {
        return Err(Refusal::invalid(format!("{amount} is more than can be booked")));
    }
    Ok(())
}

fn same(what: &str, sum: Money, said: Money) -> Result<(), Refusal> {
    if sum == said {
        return Ok(());
    }
    Err(Refusal::invalid(format!(
        "{what} sum to {sum}, the document says {said} (I7)"
    )))
}

/// What a note says.
pub struct Note<'a> {
    /// Credit or debit.
    pub kind: Kind,
    /// The document that it corrects, as it was printed.
    pub original: &'a Document,
    /// The trace; none for the one note that makes a document void.
    pub trace: Option<&'a str>,
    /// Lines, above zero, tax included.
    pub lines: &'a [NoteLine],
    /// Credits that it gives back, by grant.
    pub credits: &'a [(String, Money)],
    /// The taxes in it, by rate.
    pub taxes: &'a [NoteTax],
    /// Why.
    pub reason: &'a str,
}

impl Note<'_> {
    /// The note's paper, without number and days: the lines include the tax.
    pub fn paper(&self) -> Result<Document, Refusal> {
        let signed = |amount: Money| match self.kind {
            Kind::CreditNote => negated(amount),
            Kind::Invoice | Kind::DebitNote => Ok(amount),
        };
        let mut subtotal = Money::zero(Currency::parse(&self.original.currency)?);
        let mut lines = Vec::with_capacity(self.lines.len());
        for (number, line) in (1..).zip(self.lines) {
            let amount = signed(line.amount)?;
            subtotal = subtotal.checked_add(amount)?;
            lines.push(note_line(number, line, (amount, &self.original.language)));
        }
        let mut paper = self.blank();
        let mut total = subtotal;
        for (key, amount) in self.credits {
            total = total.checked_add(*amount)?;
            paper.credits.push(Deduction {
                key: key.clone(),
                title: key.clone(),
                percent: None,
                basis: None,
                amount: amount.number(),
            });
        }
        for tax in self.taxes {
            paper.taxes.push(Tax {
                title: tax.title.clone(),
                percent: tax.percent.clone(),
                basis: signed(tax.basis)?.number(),
                amount: signed(tax.amount)?.number(),
                included: true,
            });
        }
        paper.sections.push(Section {
            kind: SectionKind::Adjustment,
            tenant: None,
            title: self.reason.to_owned(),
            month: Some(self.original.period.month.clone()),
            lines,
            subtotal: subtotal.number(),
        });
        paper.subtotal = subtotal.number();
        paper.total = total.number();
        Ok(paper)
    }

    /// The full mirror of the original: every amount the other way round.
    pub fn mirror(&self) -> Document {
        let mut paper = self.blank();
        paper.sections.clone_from(&self.original.sections);
        for section in &mut paper.sections {
            flip(&mut section.subtotal);
            for line in &mut section.lines {
                flip(&mut line.amount);
                flip(&mut line.amount_exact);
                for tier in &mut line.tiers {
                    flip(&mut tier.amount_exact);
                }
            }
        }
        paper.discounts.clone_from(&self.original.discounts);
        paper.credits.clone_from(&self.original.credits);
        for deduction in paper.discounts.iter_mut().chain(&mut paper.credits) {
            flip(&mut deduction.amount);
        }
        paper.taxes.clone_from(&self.original.taxes);
        for tax in &mut paper.taxes {
            flip(&mut tax.amount);
            flip(&mut tax.basis);
        }
        for (to, from) in [
            (&mut paper.subtotal, &self.original.subtotal),
            (&mut paper.total, &self.original.total),
        ] {
            to.clone_from(from);
            flip(to);
        }
        paper
    }

    /// What a note has of the document that it corrects.
    fn blank(&self) -> Document {
        let mut paper = self.original.clone();
        let of = self.original.id.as_bytes();
        let cause = match self.trace {
            Some(trace) => Digest::of(&[b"tallyman/note/1\0", of, trace.as_bytes()]),
            None => Digest::of(&[b"tallyman/void/1\0", of]),
        };
        paper.kind = self.kind;
        paper.id = hex(&cause.0[..16]);
        paper.corrects.clone_from(&self.original.number);
        paper.reason = Some(self.reason.to_owned());
        paper.number = None;
        paper.issued = None;
        paper.due = None;
        paper.order = Vec::new();
        paper.sections = Vec::new();
        paper.discounts = Vec::new();
        paper.credits = Vec::new();
        paper.taxes = Vec::new();
        paper.faults = Vec::new();
        paper.adjusted = Vec::new();
        paper.fees = Vec::new();
        paper
    }
}

fn note_line(number: u32, said: &NoteLine, (amount, language): (Money, &str)) -> Line {
    let place = |line: u32| match language {
        "zh" => format!("第 {line} 行"),
        _ => format!("line {line}"),
    };
    Line {
        number,
        item: "correction".to_owned(),
        title: said.title.clone(),
        unit: None,
        quantity: None,
        unit_price: None,
        tiers: Vec::new(),
        amount_exact: canonical(&amount.number()),
        amount: amount.number(),
        tax_class: "standard".to_owned(),
        note: said.line.map(place),
        corrects_line: said.line,
    }
}

/// A decimal without zeros at its end.
fn canonical(text: &str) -> String {
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text.to_owned()
    }
}

/// The other sign; zero has none.
fn flip(text: &mut String) {
    let is_zero = text.bytes().all(|b| matches!(b, b'0' | b'.' | b'-'));
    match text.strip_prefix('-') {
        _ if is_zero => {}
        Some(positive) => *text = positive.to_owned(),
        None => text.insert(0, '-'),
    }
}
