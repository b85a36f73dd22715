//! Rows of the sheet: their sums, their list prices, their order.
//!
//! It must not know where usage was read.

use std::collections::BTreeMap;

use serde::Serialize;
use tallyman_common::money::{Amount, MoneyError, Price};
use tallyman_common::time::Hour;

use super::SheetError;
use super::parts::{Parts, RowKey, Rows, accounted, at_list, base_text, list_price, together};
use crate::rating::{BookVersions, Item, ItemKey};

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

/// A row's key and its sums by price book.
pub(super) type Sums<'r> = (&'r RowKey, &'r BTreeMap<Hour, [i128; 11]>);

/// Rows in the newest price list's order; items that only older ones have, then meters.
pub(super) fn ordered<'r>(rows: &'r Rows, versions: &BookVersions) -> Vec<Sums<'r>> {
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

/// A row as it is shown, and itself at list price.
pub(super) fn row(
    versions: &BookVersions,
    (key, by_book): Sums<'_>,
    amount_exact: Amount,
) -> Result<(Row, [Amount; 11]), SheetError> {
    let sums = together(by_book)?;
    let balances = accounted(&sums)? == sums[0];
    let usage = Parts::of(&sums, base_text);
    let item = match key {
        RowKey::Item(key) => {
            let last = by_book.keys().next_back();
            last.and_then(|last| versions.newest_with(key, *last))
        }
        RowKey::Meter(_) => None,
    };
    let list = listed(versions, key, by_book)?;
    let mut row = Row {
        item: None,
        title: String::new(),
        meters: Vec::new(),
        unit: None,
        base_unit: "none",
        base_units: "1".to_owned(),
        usage,
        list_price: item.and_then(list_price).map(|(price, _)| price),
        at_list: Parts::of(&list, |it| it.to_string()),
        amount_exact,
        balances,
    };
    match key {
        RowKey::Item(key) => {
            row.item = Some(key.clone());
            row.title = item.map_or_else(|| key.to_string(), |it| it.title().to_owned());
        }
        RowKey::Meter(meter) => {
            row.title = meter.label();
            row.meters = vec![meter.label()];
            row.base_unit = meter.info().map_or("unknown", |info| info.unit.name());
        }
    }
    if let Some(selection) = item.and_then(Item::selection) {
        let meters = selection.plus().iter().chain(selection.minus());
        row.meters = meters.map(|it| it.label()).collect();
        row.unit = Some(selection.unit().name());
        row.base_unit = selection.unit().base().name();
        row.base_units = selection.unit().base_units().to_string();
    }
    Ok((row, list))
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
