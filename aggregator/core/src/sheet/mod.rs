//! The closing sheet of a month, for finance: where every unit that was metered is, by item and at list price, and what the
//! month comes to by account.
//!
//! Invariant: I1 at the scale of a month: metered = billed + free + rounding + late + what belongs to nobody + what is held.
//! Each part is read where it comes from, so that the equation can fail; it is never made to hold. It changes nothing.

// A sheet as a table for other programs.
mod csv;
/// What the month comes to by account.
pub mod money;
/// What became of usage.
pub mod parts;
// A row of it.
mod row;
// From where it is read.
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tallyman_common::money::{Amount, Currency, MoneyError};

use crate::accounts::adjust::LateMonths;
use crate::accounts::draft::{DraftError, Past};
use crate::accounts::month::{Payer, View, at_month, payer};
use crate::accounts::run::accounts;
use crate::bills::{AsOf, BillError, Books};
use crate::ports::StoreError;
use crate::rating::calendar::CalendarError;
use crate::rating::instant::instant_text;
use crate::rating::{BillingZone, BookVersions, ItemKey, Month, hour_text};
pub use csv::csv;
use money::{AccountRow, NotBilled, Sum};
use parts::{Parts, Rows, TooLarge};
pub use row::Row;
use row::{ordered, row};
use usage::{Reading, Who};

/// Faults told in words; the others are counted.
const FAULTS_MAX: usize = 100;

/// Why there is no sheet.
#[derive(Debug, thiserror::Error)]
pub enum SheetError {
    /// Prices in several currencies are in force.
    #[error("prices in several currencies are in force: say which of {0}")]
    WhichCurrency(String),
    /// No price book.
    #[error("no price book in {0} is active: add one with `tallyman-aggregator price-book add`")]
    NoBook(String),
    /// It has not begun.
    #[error("month {0} has not begun")]
    NotBegun(Month),
    /// Usage that no host can have had.
    #[error(transparent)]
    TooLarge(#[from] TooLarge),
    /// Amounts that can't be added up.
    #[error("a sum of the sheet: {0}")]
    Money(#[from] MoneyError),
    /// The month or zone lies outside the calendar.
    #[error(transparent)]
    Calendar(#[from] CalendarError),
    /// The store can't be read, or the month can't be rated.
    #[error(transparent)]
    Draft(#[from] DraftError),
}

impl From<BillError> for SheetError {
    fn from(error: BillError) -> Self {
        Self::Draft(error.into())
    }
}

impl From<StoreError> for SheetError {
    fn from(error: StoreError) -> Self {
        Self::Draft(BillError::Fold(error.into()).into())
    }
}

/// A month's closing sheet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sheet {
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Which month.
    pub month: Month,
    /// Currency of all amounts.
    pub currency: Currency,
    /// Zone of the month of what belongs to nobody; tenants' months are those of their accounts.
    pub zone: String,
    /// First instant of that month.
    pub period_start: String,
    /// First instant after it.
    pub period_end: String,
    /// Every account's month never changes any more.
    pub is_final: bool,
    /// In every row the parts sum to what was metered.
    pub balances: bool,
    /// The same in words, for the foot of the sheet.
    pub verdict: String,
    /// Items of the price book, then meters that no item names.
    pub rows: Vec<Row>,
    /// All rows at list price.
    pub at_list: Parts,
    /// What the usage of all rows came to, unrounded, before minimums, discounts, credits and tax.
    pub amount_exact: Amount,
    /// The month by account.
    pub accounts: Vec<AccountRow>,
    /// Accounts by status.
    pub sums: Vec<Sum>,
    /// Accounts without a sum, and why.
    pub not_billed: Vec<NotBilled>,
    /// What could not be read or rated, in words; the first hundred.
    pub faults: Vec<String>,
    /// Faults beyond these.
    pub more_faults: u64,
}

/// Makes the sheet of a month in a currency; without one in that of the only price list.
pub fn sheet(books: Books<'_>, month: Month, currency: Option<Currency>) -> Result<Sheet, SheetError> {
    let currency = match currency {
        Some(currency) => currency,
        None => only_currency(books)?,
    };
    let versions = books.registry.books_of(currency.code());
    let versions = versions.filter(|it| !it.versions().is_empty());
    let versions = versions.ok_or_else(|| SheetError::NoBook(currency.code().to_owned()))?;
    let zone = zone(&versions, books)?;
    let hours = zone.month_hours(month)?;
    if books.now < hours.start.start() {
        return Err(SheetError::NotBegun(month));
    }
    let payers: Vec<Payer> = accounts(books.registry)
        .iter()
        .filter_map(|it| payer(books.registry, it))
        .filter(|it| it.currency == currency.code())
        .collect();
    let mut reading = Reading {
        who: Who {
            books,
            versions,
            hours,
            own: BTreeMap::new(),
            others: BTreeMap::new(),
        },
        rows: Rows::default(),
        amounts: BTreeMap::new(),
        faults: Vec::new(),
    };
    let past = Past::new(books.store);
    let is_final = reading.find_tenants((&payers, currency, month), &past)?;
    reading.add_cells()?;
    reading.add_held()?;
    let late = LateMonths::read(books)?;
    for payer in &payers {
        reading.add_account((payer, month), (&past, &late))?;
    }
    finish(
        (reading, &past, &late),
        (payers, currency, month),
        (zone, is_final),
    )
}

fn only_currency(books: Books<'_>) -> Result<Currency, SheetError> {
    let all: BTreeSet<Currency> = books.registry.books.iter().map(|it| it.book.currency()).collect();
    let mut all = all.into_iter();
    match (all.next(), all.next()) {
        (Some(only), None) => Ok(only),
        (None, _) => Err(SheetError::NoBook("any currency".to_owned())),
        (Some(first), Some(second)) => {
            let names: Vec<&str> = [first, second]
                .into_iter()
                .chain(all)
                .map(Currency::code)
                .collect();
            Err(SheetError::WhichCurrency(names.join(", ")))
        }
    }
}

/// The zone of the price list that is in force now, or comes first.
fn zone(versions: &BookVersions, books: Books<'_>) -> Result<BillingZone, SheetError> {
    let now = versions.at(books.now.hour());
    let book = now.or(versions.versions().first().map(|(_, book)| book));
    let book = book.ok_or_else(|| SheetError::NoBook("this currency".to_owned()))?;
    Ok(book.time_zone().clone())
}

impl Reading<'_> {
    /// Notes whose hours are whose; whether every account's month is final.
    fn find_tenants(
        &mut self,
        (payers, currency, month): (&[Payer], Currency, Month),
        past: &Past<'_>,
    ) -> Result<bool, SheetError> {
        let books = self.who.books;
        let mut is_final = books.registry.seals.is_final(&self.who.hours);
        for payer in payers {
            is_final &= at_month(books, (payer, month), (View::Now, past), |it| {
                for payee in it.payees {
                    self.who.own.insert(payee.tenant, (it.hours.clone(), payee.books));
                }
                Ok::<_, SheetError>(it.is_final)
            })?;
        }
        for terms in books.registry.tenants.iter() {
            if terms.currency != currency.code() {
                let hours = BillingZone::parse(&terms.zone)?.month_hours(month)?;
                self.who.others.insert(terms.tenant.clone(), hours);
            }
        }
        Ok(is_final)
    }
}

fn finish(
    (reading, past, late): (Reading<'_>, &Past<'_>, &LateMonths),
    (payers, currency, month): (Vec<Payer>, Currency, Month),
    (zone, is_final): (BillingZone, bool),
) -> Result<Sheet, SheetError> {
    let Reading {
        who,
        rows,
        amounts,
        mut faults,
    } = reading;
    let (mut made, mut list, mut amount_exact) = (Vec::new(), [Amount::ZERO; 11], Amount::ZERO);
    for (key, sums) in ordered(&rows, &who.versions) {
        // A row without any line came to nothing.
        let amount = amounts.get(key).map_or(Amount::ZERO, |it| *it);
        let (row, of_row) = row(&who.versions, (key, sums), amount)?;
        if !row.balances {
            let name = row.item.as_ref().map_or(row.title.as_str(), ItemKey::as_str);
            faults.push(format!("`{name}`: the parts do not sum to what was metered"));
        }
        for (sum, more) in list.iter_mut().zip(of_row) {
            *sum = sum.checked_add(more)?;
        }
        amount_exact = amount_exact.checked_add(amount)?;
        made.push(row);
    }
    let (accounts, not_billed) = by_account((who.books, past, late), &payers, (currency, month))?;
    let balances = made.iter().all(|it| it.balances);
    let more_faults = faults.len().checked_sub(FAULTS_MAX).map_or(0, |more| more as u64);
    faults.truncate(FAULTS_MAX);
    Ok(Sheet {
        as_of: AsOf {
            position: who.books.position,
            at: instant_text(who.books.now),
        },
        month,
        currency,
        zone: zone.name().to_owned(),
        period_start: hour_text(who.hours.start),
        period_end: hour_text(who.hours.end),
        is_final,
        balances,
        verdict: verdict(&made),
        rows: made,
        at_list: Parts::of(&list, |it| it.to_string()),
        amount_exact,
        sums: money::sums(&accounts, currency)?,
        accounts,
        not_billed,
        faults,
        more_faults,
    })
}

/// What the month comes to by account, and who has no sum.
fn by_account(
    (books, past, late): (Books<'_>, &Past<'_>, &LateMonths),
    payers: &[Payer],
    (currency, month): (Currency, Month),
) -> Result<(Vec<AccountRow>, Vec<NotBilled>), SheetError> {
    let (mut accounts, mut not_billed) = (Vec::new(), Vec::new());
    for payer in payers {
        let hours = BillingZone::parse(&payer.zone)?.month_hours(month)?;
        let is_final = books.registry.seals.is_final(&hours);
        match money::row((books, past, late), (payer, currency), (month, is_final)) {
            Ok(row) => accounts.push(row),
            Err(error) => not_billed.push(NotBilled {
                account: payer.account.clone(),
                reason: error.to_string(),
            }),
        }
    }
    Ok((accounts, not_billed))
}

fn verdict(rows: &[Row]) -> String {
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|it| !it.balances)
        .map(|it| it.item.as_ref().map_or(it.title.as_str(), ItemKey::as_str))
        .collect();
    let equation = "metered = billed + free + rounding + late + not rated + other currencies + unattributed + \
                    unconfirmed + quarantined + discarded";
    match wrong.len() {
        0 => format!("balances, {0} of {0} rows: {equation}", rows.len()),
        count => format!(
            "does NOT balance, {count} of {} rows ({}): {equation}",
            rows.len(),
            wrong.join(", ")
        ),
    }
}

#[cfg(test)]
mod tests;
