//! The closing sheet of a month, for finance: where every unit that was metered is, by item and at list price, and what the
//! month comes to by account.
//!
//! Invariant: I1 at the scale of a month: metered = billed + free + rounding + late + what belongs to nobody + what is held.
//! Each part is read where it comes from, so that the equation can fail; it is never made to hold. It changes nothing.

// Tenants' usage as it is billed.
mod billed;
// A sheet as a table for other programs.
mod csv;
// Batches that wait.
mod held;
// All cells.
mod metered;
/// What the month comes to by account.
pub mod money;
/// What became of usage.
pub mod parts;
// The plain way, which says whether the fast one is right.
#[cfg(test)]
mod plain;
// A row of it.
mod row;
// Whose usage is whose.
mod who;

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Serialize;
use tallyman_common::money::{Amount, Currency, MoneyError};
use tallyman_common::time::Hour;

use crate::accounts::draft::DraftError;
use crate::accounts::month::{Payer, View, at_month, payer};
use crate::accounts::past::Prepared;
use crate::accounts::run::accounts;
use crate::bills::{AsOf, BillError, Books};
use crate::ports::StoreError;
use crate::rating::calendar::CalendarError;
use crate::rating::instant::instant_text;
use crate::rating::{BillingZone, BookVersions, ItemKey, Month, hour_text};
use crate::rollup::cache::FoldError;
use billed::Billed;
pub use csv::csv;
pub use metered::Metered;
use money::{AccountRow, NotBilled, Sum};
use parts::{Parts, TooLarge};
pub use row::Row;
use row::{ordered, row};
use who::Who;

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

impl From<FoldError> for SheetError {
    fn from(error: FoldError) -> Self {
        Self::Draft(BillError::from(error).into())
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

/// A month's sheet in the making: pieces of what was metered and of what is billed, each for any thread, then all together.
/// What comes out depends on no thread, for sums are integers and exact amounts.
pub struct Closing<'a> {
    who: Who<'a>,
    payers: Vec<Payer>,
    prepared: Prepared,
    of: Of,
}

/// Which sheet.
struct Of {
    month: Month,
    currency: Currency,
    zone: BillingZone,
    is_final: bool,
}

/// What some accounts used, and what that comes to.
#[derive(Debug, Default)]
pub struct Part {
    usage: Billed,
    accounts: Vec<AccountRow>,
    not_billed: Vec<NotBilled>,
}

/// Makes the sheet of a month in a currency on one thread; without a currency in that of the only price list.
///
/// # Errors
/// When there is no price book, the month has not begun, the store can't be read, or usage is impossible.
pub fn sheet(books: Books<'_>, month: Month, currency: Option<Currency>) -> Result<Sheet, SheetError> {
    let closing = Closing::begin(books, month, currency)?;
    let mut metered = Metered::default();
    for piece in closing.pieces() {
        closing.add_metered(&mut metered, &piece)?;
    }
    let part = closing.billed(closing.payers())?;
    closing.together(&[metered], vec![part])
}

impl<'a> Closing<'a> {
    /// Looks at who pays, and reads what all accounts need.
    ///
    /// # Errors
    /// As [`sheet`].
    pub fn begin(books: Books<'a>, month: Month, currency: Option<Currency>) -> Result<Self, SheetError> {
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
        let zones = payers.iter().map(|it| it.zone.as_str()).collect();
        let prepared = Prepared::read_open(books, (month, &zones))?;
        let mut who = Who::new(books, versions, hours);
        let is_final = find_tenants(&mut who, (&payers, currency, month), &prepared)?;
        let of = Of {
            month,
            currency,
            zone,
            is_final,
        };
        Ok(Self {
            who,
            payers,
            prepared,
            of,
        })
    }

    /// Pieces of what was metered.
    pub fn pieces(&self) -> Vec<Range<Hour>> {
        self.who.pieces()
    }

    /// Who pays, by key: pieces of what is billed.
    pub fn payers(&self) -> &[Payer] {
        &self.payers
    }

    /// Adds a piece of what was metered.
    ///
    /// # Errors
    /// When the store can't be read, or usage is impossible.
    pub fn add_metered(&self, metered: &mut Metered, piece: &Range<Hour>) -> Result<(), SheetError> {
        metered.add(&self.who, piece)
    }

    /// What is billed of some accounts.
    ///
    /// # Errors
    /// When the store can't be read, or usage is impossible. Why an account has no sum is in the sheet.
    pub fn billed(&self, payers: &[Payer]) -> Result<Part, SheetError> {
        let (books, month) = (self.who.books, self.of.month);
        let (past, late) = (self.prepared.past(books.store), self.prepared.late());
        let mut part = Part::default();
        for payer in payers {
            part.usage.add_account(books, (payer, month), (&past, late))?;
            let hours = BillingZone::parse(&payer.zone)?.month_hours(month)?;
            let is_final = books.registry.seals.is_final(&hours);
            let (who, which) = ((payer, self.of.currency), (month, is_final));
            match money::row((books, &past, late), who, which) {
                Ok(row) => part.accounts.push(row),
                Err(error) => part.not_billed.push(NotBilled {
                    account: payer.account.clone(),
                    reason: error.to_string(),
                }),
            }
        }
        Ok(part)
    }

    /// The sheet of all that was metered, and of all parts in the order of accounts.
    ///
    /// # Errors
    /// When a held batch can't be looked for, or a sum does not fit.
    pub fn together(self, metered: &[Metered], parts: Vec<Part>) -> Result<Sheet, SheetError> {
        let mut all = Part::default();
        for it in metered {
            it.put(&self.who, &mut all.usage.rows)?;
        }
        held::add_held(&self.who, &mut all.usage.rows, &mut all.usage.faults)?;
        for part in parts {
            all.usage.join(part.usage)?;
            all.accounts.extend(part.accounts);
            all.not_billed.extend(part.not_billed);
        }
        finish((&self.who, self.of), all)
    }
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

/// Notes whose hours are whose; whether every account's month is final.
fn find_tenants(
    who: &mut Who<'_>,
    (payers, currency, month): (&[Payer], Currency, Month),
    prepared: &Prepared,
) -> Result<bool, SheetError> {
    let books = who.books;
    let past = prepared.past(books.store);
    let mut is_final = books.registry.seals.is_final(&who.hours);
    for payer in payers {
        is_final &= at_month(books, (payer, month), (View::Now, &past), |it| {
            for payee in it.payees {
                who.add(payee.tenant, it.hours.clone(), payee.books);
            }
            Ok::<_, SheetError>(it.is_final)
        })?;
    }
    for terms in books.registry.tenants.iter() {
        if terms.currency != currency.code() {
            let hours = BillingZone::parse(&terms.zone)?.month_hours(month)?;
            who.others.insert(terms.tenant.clone(), hours);
        }
    }
    Ok(is_final)
}

fn finish((who, of): (&Who<'_>, Of), all: Part) -> Result<Sheet, SheetError> {
    let Billed {
        rows,
        amounts,
        mut faults,
    } = all.usage;
    let (mut made, mut list, mut amount_exact) = (Vec::new(), [Amount::ZERO; 11], Amount::ZERO);
    for (key, sums) in ordered(&rows, who.versions()) {
        // A row without any line came to nothing.
        let amount = amounts.get(key).map_or(Amount::ZERO, |it| *it);
        let (row, of_row) = row(who.versions(), (key, sums), amount)?;
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
    let more_faults = faults.len().checked_sub(FAULTS_MAX).map_or(0, |more| more as u64);
    faults.truncate(FAULTS_MAX);
    Ok(Sheet {
        as_of: AsOf {
            position: who.books.position,
            at: instant_text(who.books.now),
        },
        month: of.month,
        currency: of.currency,
        zone: of.zone.name().to_owned(),
        period_start: hour_text(who.hours.start),
        period_end: hour_text(who.hours.end),
        is_final: of.is_final,
        balances: made.iter().all(|it| it.balances),
        verdict: verdict(&made),
        rows: made,
        at_list: Parts::of(&list, |it| it.to_string()),
        amount_exact,
        sums: money::sums(&all.accounts, of.currency)?,
        accounts: all.accounts,
        not_billed: all.not_billed,
        faults,
        more_faults,
    })
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
mod fast_tests;
#[cfg(test)]
mod tests;
