//! Decisions about money become tables: documents' standing, balances, journal, indexes. The same decisions over an empty
//! store give the same bytes (I12). It must not refuse: what is in the log was checked.

/// Documents that got their numbers.
mod documents;
/// Money and credits that move.
mod moves;

use tallyman_common::money::Money;
use tallyman_common::time::WallMs;

use super::command::Booked;
use super::ledger::books::post;
use super::ledger::{Draft, Heading, LedgerAccount, negated};
use super::standing::{Dispute, Payment, Receivable, Resolved, receivable};
use super::tables::{AccountsError, Found, Overlay, Traced, keys};
use crate::ports::Table;
use crate::registry::money::{DocumentKind, Issued, MoneyAct, MoneyDecision};

/// Key of a document: its identity as 16 bytes.
pub fn documents_key(id: &str, position: u64) -> Result<Vec<u8>, AccountsError> {
    let broken = || AccountsError::Broken {
        position,
        reason: format!("`{id}` is no identity of a document"),
    };
    let is_digit = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if id.len() != 32 || !id.bytes().all(is_digit) {
        return Err(broken());
    }
    let number = u128::from_str_radix(id, 16).map_err(|_| broken())?;
    Ok(number.to_be_bytes().to_vec())
}

/// Puts a decision into the tables; what is answered to it. Documents themselves are put by who has them.
pub fn fold(
    tables: &mut Overlay<'_>,
    position: u64,
    at: WallMs,
    decision: &MoneyDecision,
) -> Result<Booked, AccountsError> {
    let mut fold = Fold {
        tables,
        position,
        at,
        trace: decision.trace.clone(),
        place: 0,
    };
    let to_balance = fold.act(&decision.act)?;
    let booked = Booked {
        position: Some(position),
        repeated: false,
        documents: documents::fates(&decision.act),
        to_balance: to_balance.filter(|it| it.minor_units() != 0),
    };
    if let Some(trace) = &decision.trace {
        let traced = Traced {
            content: decision.content,
            booked: booked.clone(),
        };
        tables.put(Table::MoneyIndex, keys::trace(trace), &traced);
    }
    Ok(booked)
}

/// One decision on its way into the tables.
struct Fold<'t, 's> {
    tables: &'t mut Overlay<'s>,
    position: u64,
    at: WallMs,
    trace: Option<String>,
    place: u32,
}

impl Fold<'_, '_> {
    /// What went to the prepaid balance.
    fn act(&mut self, act: &MoneyAct) -> Result<Option<Money>, AccountsError> {
        match act {
            MoneyAct::Issue { documents } => {
                documents.iter().try_for_each(|one| self.issue(one))?;
                Ok(None)
            }
            MoneyAct::Pay { to_balance, .. } => {
                self.pay(act)?;
                Ok(Some(*to_balance))
            }
            MoneyAct::ApplyBalance {
                account, allocations, ..
            } => self.apply_balance(account, allocations).map(Some),
            MoneyAct::Refund { amount, .. } => {
                self.refund(act)?;
                Ok(Some(negated(*amount)?))
            }
            MoneyAct::Grant(granted) => {
                self.grant(granted)?;
                Ok(None)
            }
            MoneyAct::Expire { rests } => {
                rests.iter().try_for_each(|rest| self.expire(rest))?;
                Ok(None)
            }
            MoneyAct::Note { note, to_balance, .. } => {
                self.note(note, *to_balance)?;
                Ok(Some(*to_balance))
            }
            MoneyAct::Void {
                number,
                note,
                to_balance,
                reason,
            } => {
                self.void(number, note, *to_balance, reason)?;
                Ok(Some(*to_balance))
            }
            MoneyAct::ResolveDispute {
                number,
                note,
                to_balance,
                reason,
            } => {
                self.resolve(number, note.as_ref(), *to_balance, reason)?;
                Ok(Some(*to_balance))
            }
            MoneyAct::OpenDispute { .. }
            | MoneyAct::AnswerDispute { .. }
            | MoneyAct::SetExternalTaxNumber { .. } => {
                self.annotate(act)?;
                Ok(None)
            }
        }
    }

    /// What changes a document's record and posts nothing.
    fn annotate(&mut self, act: &MoneyAct) -> Result<(), AccountsError> {
        let (position, at) = (self.position, self.at);
        match act {
            MoneyAct::OpenDispute {
                number,
                amount,
                reason,
            } => self.change(number, |document| {
                document.disputes.push(Dispute {
                    position,
                    at,
                    amount: *amount,
                    reason: reason.clone(),
                    answers: Vec::new(),
                    resolved: None,
                });
                Ok(())
            }),
            MoneyAct::AnswerDispute { number, text } => self.change(number, |document| {
                let last = document.disputes.last_mut();
                last.expect("checked before it was logged")
                    .answers
                    .push(text.clone());
                Ok(())
            }),
            MoneyAct::SetExternalTaxNumber { number, text } => self.name_by(number, text),
            _ => Ok(()),
        }
    }

    /// The tax office's number of a document, and what finds it.
    fn name_by(&mut self, number: &str, text: &str) -> Result<(), AccountsError> {
        let known = self.record(number)?;
        let seller = &known.document.seller;
        if let Some(before) = &known.external_tax_number {
            self.tables
                .delete(Table::MoneyIndex, keys::tax_number(seller, before));
        }
        let found = Found::new(number, &known.document.id);
        self.tables
            .put(Table::MoneyIndex, keys::tax_number(seller, text), &found);
        self.change(number, |document| {
            document.external_tax_number = Some(text.to_owned());
            Ok(())
        })
    }

    fn resolve(
        &mut self,
        number: &str,
        note: Option<&Issued>,
        to_balance: Money,
        reason: &str,
    ) -> Result<(), AccountsError> {
        self.end_dispute(number, note.map(|n| n.number.clone()), reason)?;
        note.map_or(Ok(()), |note| self.note(note, to_balance))
    }

    fn end_dispute(&mut self, number: &str, note: Option<String>, reason: &str) -> Result<(), AccountsError> {
        let at = self.at;
        self.change(number, |document| {
            if let Some(last) = document.disputes.last_mut().filter(|d| d.resolved.is_none()) {
                last.resolved = Some(Resolved {
                    at,
                    note,
                    reason: reason.to_owned(),
                });
            }
            Ok(())
        })
    }

    /// A document's record, which must be there.
    fn record(&self, number: &str) -> Result<Receivable, AccountsError> {
        receivable(self.tables, number)?.ok_or_else(|| AccountsError::Broken {
            position: self.position,
            reason: format!("there is no document {number}"),
        })
    }

    /// Changes a document's record and what finds it while something is left to pay.
    fn change(
        &mut self,
        number: &str,
        change: impl FnOnce(&mut Receivable) -> Result<(), AccountsError>,
    ) -> Result<(), AccountsError> {
        let mut document = self.record(number)?;
        let was_open = document.left()?.minor_units() != 0;
        change(&mut document)?;
        self.keep(&document, was_open)
    }

    fn keep(&mut self, document: &Receivable, was_open: bool) -> Result<(), AccountsError> {
        let is_open = document.left()?.minor_units() != 0;
        let number = &document.document.number;
        if let Some(due) = &document.document.due {
            let key = keys::open(&[due, number]);
            match (was_open, is_open) {
                (false, true) => self.tables.put_raw(Table::MoneyIndex, key, Vec::new()),
                (true, false) => self.tables.delete(Table::MoneyIndex, key),
                _ => {}
            }
        }
        self.tables
            .put(Table::Receivables, number.as_bytes().to_vec(), document);
        Ok(())
    }

    /// A movement against a document. Posts nothing.
    fn settle(
        &mut self,
        number: &str,
        amount: Money,
        (source, reference, on): (&str, &str, Option<&str>),
    ) -> Result<(), AccountsError> {
        let payment = Payment {
            position: self.position,
            on: on.map(str::to_owned),
            at: self.at,
            reference: reference.to_owned(),
            source: source.to_owned(),
            amount,
        };
        self.change(number, |document| {
            document.paid = document.paid.checked_add(amount)?;
            document.payments.push(payment);
            Ok(())
        })
    }

    /// Moves what was paid for a document to the prepaid balance; the other way round when it is negative.
    fn move_to_balance(&mut self, number: &str, amount: Money) -> Result<(), AccountsError> {
        if amount.minor_units() == 0 {
            return Ok(());
        }
        let account = self.record(number)?.document.account;
        self.settle(number, negated(amount)?, ("balance", "", None))?;
        let mut draft = Draft::default();
        draft.debit(LedgerAccount::Receivable(account.clone()), amount)?;
        draft.credit(LedgerAccount::Prepaid(account), amount)?;
        self.post(draft, format!("{number}: to the prepaid balance"))
    }

    fn post(&mut self, draft: Draft, reason: String) -> Result<(), AccountsError> {
        let trace = self.trace.clone();
        self.post_as(
            draft,
            trace.unwrap_or_else(|| format!("decision/{}", self.position)),
            reason,
        )
    }

    fn post_as(&mut self, draft: Draft, trace: String, reason: String) -> Result<(), AccountsError> {
        let heading = Heading {
            position: self.position,
            trace,
            at: self.at,
            reason,
        };
        post(self.tables, heading, draft, &mut self.place)
    }

    fn void(
        &mut self,
        number: &str,
        note: &Issued,
        to_balance: Money,
        reason: &str,
    ) -> Result<(), AccountsError> {
        self.end_dispute(number, Some(note.number.clone()), reason)?;
        let gone = self.record(number)?;
        self.release(&gone)?;
        self.note(note, to_balance)?;
        self.change(number, |document| {
            document.voided = Some((note.number.clone(), reason.to_owned()));
            Ok(())
        })
    }

    /// A note with its paper's place and its postings.
    fn note(&mut self, note: &Issued, to_balance: Money) -> Result<(), AccountsError> {
        self.issue(note)?;
        let corrected = note.corrects.as_deref().ok_or_else(|| AccountsError::Broken {
            position: self.position,
            reason: format!("note {} corrects nothing", note.number),
        })?;
        self.change(corrected, |document| {
            document.notes.push(note.number.clone());
            if note.kind == DocumentKind::CreditNote {
                document.credited = document.credited.checked_sub(note.total)?;
                document.credited_tax = document.credited_tax.checked_sub(note.taxes)?;
                if !note.adjusted.is_empty() {
                    document.credited_late = document.credited_late.checked_sub(note.total)?;
                    document.credited_late_tax = document.credited_late_tax.checked_sub(note.taxes)?;
                }
            }
            Ok(())
        })?;
        self.move_to_balance(corrected, to_balance)
    }
}
