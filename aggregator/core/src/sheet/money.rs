//! What a month comes to by account: what was invoiced, what is to be, and what has accrued so far.
//!
//! Sums of documents as they are printed; nothing is rated here that an invoice would not rate. It must not know usage.

use serde::Serialize;
use tallyman_common::money::{Currency, Money, MoneyError};

use crate::accounts::adjust::LateMonths;
use crate::accounts::document::Document;
use crate::accounts::draft::{DraftError, Past, Purpose, draft_beside};
use crate::accounts::month::Payer;
use crate::accounts::reads;
use crate::bills::Books;
use crate::rating::Month;

/// An account's month in money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountRow {
    /// Which.
    pub account: String,
    /// `invoiced`, `void` for an invoice that was taken back, `final` for what can be invoiced, or `accrued` for what was
    /// drafted of an open month so far.
    pub status: &'static str,
    /// Number of the invoice.
    pub number: Option<String>,
    /// Lines before discounts, credits and tax.
    pub subtotal: Money,
    /// Discounts and coupons; negative.
    pub discounts: Money,
    /// Credits; negative.
    pub credits: Money,
    /// Taxes that are due on top.
    pub taxes: Money,
    /// What is due.
    pub total: Money,
    /// How much could not be rated.
    pub faults: u64,
}

/// An account without a sum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotBilled {
    /// Which.
    pub account: String,
    /// Why.
    pub reason: String,
}

/// All accounts of a status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// `invoiced`, `void`, `final` or `accrued`.
    pub status: &'static str,
    /// How many.
    pub accounts: u64,
    /// Lines before discounts, credits and tax.
    pub subtotal: Money,
    /// Discounts and coupons; negative.
    pub discounts: Money,
    /// Credits; negative.
    pub credits: Money,
    /// Taxes that are due on top.
    pub taxes: Money,
    /// What is due.
    pub total: Money,
}

/// An account's month: its invoice, else its draft.
pub(super) fn row(
    (books, past, late): (Books<'_>, &Past<'_>, &LateMonths),
    (payer, currency): (&Payer, Currency),
    (month, is_final): (Month, bool),
) -> Result<AccountRow, DraftError> {
    if let Some((document, record)) = reads::invoice_of(books.store, &payer.account, &month.to_string())? {
        let is_void = record.voided.is_some();
        return of(&document, currency, if is_void { "void" } else { "invoiced" });
    }
    let made = draft_beside((books, past, late), &payer.account, month, Purpose::Preview)?.document;
    of(&made, currency, if is_final { "final" } else { "accrued" })
}

fn of(document: &Document, currency: Currency, status: &'static str) -> Result<AccountRow, DraftError> {
    let row = || -> Result<AccountRow, MoneyError> {
        let read = |text: &str| Money::parse(&format!("{text} {currency}"));
        let sum = |amounts: Vec<&String>| {
            let mut all = amounts.into_iter();
            all.try_fold(Money::zero(currency), |sum, it| sum.checked_add(read(it)?))
        };
        let due = document.taxes.iter().filter(|it| !it.included);
        Ok(AccountRow {
            account: document.account.key.clone(),
            status,
            number: document.number.clone(),
            subtotal: read(&document.subtotal)?,
            discounts: sum(document.discounts.iter().map(|it| &it.amount).collect())?,
            credits: sum(document.credits.iter().map(|it| &it.amount).collect())?,
            taxes: sum(due.map(|it| &it.amount).collect())?,
            total: read(&document.total)?,
            faults: document.faults.len() as u64,
        })
    };
    row().map_err(|e| DraftError::Accounts(e.into()))
}

/// Sums by status.
pub(super) fn sums(rows: &[AccountRow], currency: Currency) -> Result<Vec<Sum>, MoneyError> {
    let mut found = Vec::new();
    for status in ["invoiced", "void", "final", "accrued"] {
        let these: Vec<&AccountRow> = rows.iter().filter(|it| it.status == status).collect();
        let sum = |take: fn(&AccountRow) -> Money| {
            let mut all = these.iter().map(|it| take(it));
            all.try_fold(Money::zero(currency), Money::checked_add)
        };
        found.push(Sum {
            status,
            accounts: these.len() as u64,
            subtotal: sum(|it| it.subtotal)?,
            discounts: sum(|it| it.discounts)?,
            credits: sum(|it| it.credits)?,
            taxes: sum(|it| it.taxes)?,
            total: sum(|it| it.total)?,
        });
    }
    Ok(found)
}
