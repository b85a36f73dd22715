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
// From where it is read.
mod usage;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tallyman_common::money::{Amount, Currency, MoneyError, Price};
use tallyman_common::time::Hour;

use crate::accounts::adjust::LateMonths;
use crate::accounts::draft::{DraftError, Past};
use crate::accounts::month::{Payer, View, at_month, payer};
use crate::accounts::run::accounts;
use crate::bills::{AsOf, BillError, Books};
use crate::ports::StoreError;
use crate::rating::calendar::CalendarError;
use crate::rating::instant::instant_text;
use crate::rating::{BillingZone, BookVersions, Item, ItemKey, Month, hour_text};
pub use csv::csv;
use money::{AccountRow, NotBilled, Sum};
use parts::{Parts, RowKey, Rows, TooLarge, accounted, at_list, base_text, list_price, together};
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

/// An item, or a meter that no item names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Key of the item; none for a meter.
    pub item: Option<ItemKey>,
    /// Its title in the price book's own words.
    pub title: String,
    /// Meters that it sums.
    pub meters: Vec<String>,
    /// Unit of its price; none for a meter.
    pub unit: Option<&'static str>,
    /// Base unit of the usage.
    pub base_unit: &'static str,
    /// How many base units make one unit of the price.
    pub base_units: String,
    /// Usage in base units, decimal.
    pub usage: Parts,
    /// Price of a unit, or of a package, in the lowest tier; none where there is no price by the unit.
    pub list_price: Option<Price>,
    /// The same usage at list price, unrounded; nothing where there is none. Metered is the sum of the others.
    pub at_list: Parts,
    /// What the usage came to, unrounded; percentiles have theirs on the accounts' invoices.
    pub amount_exact: Amount,
    /// The parts sum to what was metered.
    pub balances: bool,
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
    for payer in &payers {
        reading.add_account((payer, month), &past)?;
    }
    finish((reading, &past), (payers, currency, month), (zone, is_final))
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
    (reading, past): (Reading<'_>, &Past<'_>),
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
        let amount = amounts.get(key).copied().unwrap_or(Amount::ZERO);
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
    let (mut accounts, mut not_billed) = (Vec::new(), Vec::new());
    let late = LateMonths::read(who.books)?;
    for payer in &payers {
        let hours = BillingZone::parse(&payer.zone)?.month_hours(month)?;
        let is_final = who.books.registry.seals.is_final(&hours);
        match money::row((who.books, past, &late), (payer, currency), (month, is_final)) {
            Ok(row) => accounts.push(row),
            Err(error) => not_billed.push(NotBilled {
                account: payer.account.clone(),
                reason: error.to_string(),
            }),
        }
    }
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

fn verdict(rows: &[Row]) -> String {
    let wrong: Vec<&str> = rows
        .iter()
        .filter(|it| !it.balances)
        .map(|it| it.item.as_ref().map_or(it.title.as_str(), ItemKey::as_str))
        .collect();
    let equation = "metered = billed + free + rounding + late + not rated + other currencies + unattributed + \
                    unconfirmed + quarantined + discarded";
    match wrong.len() {
        0 => format!("balances: in all {} rows {equation}", rows.len()),
        count => format!(
            "DOES NOT BALANCE: {count} of {} rows ({}): {equation} does not hold",
            rows.len(),
            wrong.join(", ")
        ),
    }
}

type Sums<'r> = (&'r RowKey, &'r BTreeMap<Hour, [i128; 11]>);

/// Rows in the newest price list's order; items that only older ones have, then meters.
fn ordered<'r>(rows: &'r Rows, versions: &BookVersions) -> Vec<Sums<'r>> {
    let newest = versions.versions().last().map(|(_, book)| book);
    let place = |key: &RowKey| match (key, newest) {
        (RowKey::Item(key), Some(book)) => book.place_of(key),
        (RowKey::Item(_), None) => usize::MAX - 1,
        (RowKey::Meter(_), _) => usize::MAX,
    };
    let mut all: Vec<Sums<'r>> = rows.iter().collect();
    all.sort_by_key(|(key, _)| (place(key), *key));
    all
}

fn row(
    versions: &BookVersions,
    (key, by_book): Sums<'_>,
    amount_exact: Amount,
) -> Result<(Row, [Amount; 11]), SheetError> {
    let sums = together(by_book)?;
    let balances = accounted(&sums)? == sums[0];
    let usage = Parts::of(&sums, base_text);
    let item = match key {
        RowKey::Item(key) => versions.newest_with(key),
        RowKey::Meter(_) => None,
    };
    let list = listed(versions, key, by_book)?;
    let at_list = Parts::of(&list, |it| it.to_string());
    let row = match (key, item.and_then(Item::selection)) {
        (RowKey::Item(key), Some(selection)) => Row {
            item: Some(key.clone()),
            title: item.map_or_else(String::new, |it| it.title().to_owned()),
            meters: selection
                .plus()
                .iter()
                .chain(selection.minus())
                .map(|it| it.label())
                .collect(),
            unit: Some(selection.unit().name()),
            base_unit: selection.unit().base().name(),
            base_units: selection.unit().base_units().to_string(),
            list_price: item.and_then(list_price).map(|(price, _)| price),
            usage,
            at_list,
            amount_exact,
            balances,
        },
        (RowKey::Item(key), None) => {
            let only_agreed = key.to_string();
            plain(
                Some(key.clone()),
                only_agreed,
                "unknown",
                (usage, at_list),
                (amount_exact, balances),
            )
        }
        (RowKey::Meter(meter), _) => {
            let unit = meter.info().map_or("unknown", |info| info.unit.name());
            plain(
                None,
                meter.label(),
                unit,
                (usage, at_list),
                (amount_exact, balances),
            )
        }
    };
    Ok((row, list))
}

/// A row of what the price list does not know.
fn plain(
    item: Option<ItemKey>,
    title: String,
    base_unit: &'static str,
    (usage, at_list): (Parts, Parts),
    (amount_exact, balances): (Amount, bool),
) -> Row {
    Row {
        item,
        meters: vec![title.clone()],
        title,
        unit: None,
        base_unit,
        base_units: "1".to_owned(),
        usage,
        list_price: None,
        at_list,
        amount_exact,
        balances,
    }
}

/// A row at list price, each part by the price book in force; what was metered is the sum of the others.
fn listed(
    versions: &BookVersions,
    key: &RowKey,
    by_book: &BTreeMap<Hour, [i128; 11]>,
) -> Result<[Amount; 11], MoneyError> {
    let mut list = [Amount::ZERO; 11];
    let RowKey::Item(key) = key else {
        return Ok(list);
    };
    for (from, sums) in by_book {
        let item = versions.at(*from).and_then(|it| it.item(key));
        let priced = item.and_then(|it| Some((it.selection()?, list_price(it)?)));
        let Some((selection, price)) = priced else {
            continue;
        };
        for (sum, value) in list.iter_mut().zip(sums).skip(1) {
            *sum = sum.checked_add(at_list(*value, selection.unit().base_units(), price)?)?;
        }
    }
    list[0] = Amount::sum(list[1..].iter().copied())?;
    Ok(list)
}
