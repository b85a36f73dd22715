//! From rated lines to a bill: one line per item, rounded once; the total is the sum of the rounded lines.
//!
//! Invariant: I7, the printed lines sum to the printed total, and the unrounded lines to the unrounded subtotal.
//! It must not know tenants, taxes, discounts or invoice numbers.

use std::collections::BTreeMap;

use tallyman_common::money::{Amount, Currency, Money, MoneyError, Quantity, Rounding, round_minor};
use tallyman_common::time::Hour;

use super::RatingError;
use super::book::{BookVersions, Item, ItemKey};
use super::period::RatedLine;

/// One item of a bill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillLine {
    /// The item.
    pub item: ItemKey,
    /// Its title in the price book's own words.
    pub title: String,
    /// Name of its unit, `none` for an item without meters.
    pub unit: &'static str,
    /// Billed quantity of the period.
    pub quantity: Quantity,
    /// Exact amount.
    pub unrounded: Amount,
    /// The amount rounded to the minor unit: what is due.
    pub amount: Money,
}

/// Lines and totals of one tenant and period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BillTotals {
    /// Currency of all amounts.
    pub currency: Currency,
    /// How the lines were rounded.
    pub rounding: Rounding,
    /// Lines in the order of the price book; items that only earlier versions had come last, by key.
    pub lines: Vec<BillLine>,
    /// Exact sum of the unrounded lines, which is that of the hourly amounts.
    pub subtotal: Amount,
    /// Sum of the rounded lines.
    pub total: Money,
}

/// Sums rated lines of one tenant into a bill. `until` is the last hour of the period, or the present one of a
/// period that still runs: the price book in force there gives order, titles, currency and rounding.
pub fn bill_totals(
    books: &BookVersions,
    until: Hour,
    lines: &[RatedLine],
) -> Result<BillTotals, RatingError> {
    let book = books.at(until).ok_or(RatingError::NoPriceBook { hour: until })?;
    let mut bill = BillTotals {
        currency: book.currency(),
        rounding: book.rounding(),
        lines: Vec::new(),
        subtotal: Amount::sum(lines.iter().map(|it| it.amount)).map_err(RatingError::Total)?,
        total: Money::zero(book.currency()),
    };
    let mut sums = sum_by_item(books, bill.currency, lines)?;
    for item in book.items() {
        if let Some(sum) = sums.remove(item.key()) {
            bill.push(item, &sum)?;
        }
    }
    for sum in sums.values() {
        bill.push(sum.item, sum)?;
    }
    let unrounded = Amount::sum(bill.lines.iter().map(|it| it.unrounded)).map_err(RatingError::Total)?;
    assert!(
        unrounded == bill.subtotal,
        "I7: the items of a bill sum to its hourly lines"
    );
    Ok(bill)
}

impl BillTotals {
    fn push(&mut self, item: &Item, sum: &Sum<'_>) -> Result<(), RatingError> {
        let money = |source: MoneyError| RatingError::Money {
            item: item.key().clone(),
            source,
        };
        let amount = round_minor(sum.amount, self.currency, self.rounding).map_err(money)?;
        self.total = self.total.checked_add(amount).map_err(RatingError::Total)?;
        self.lines.push(BillLine {
            item: item.key().clone(),
            title: item.title().to_owned(),
            unit: item.unit_name(),
            quantity: sum.quantity,
            unrounded: sum.amount,
            amount,
        });
        Ok(())
    }
}

struct Sum<'b> {
    /// The item in the latest version that rated any of it.
    item: &'b Item,
    quantity: Quantity,
    amount: Amount,
}

fn sum_by_item<'b>(
    books: &'b BookVersions,
    currency: Currency,
    lines: &[RatedLine],
) -> Result<BTreeMap<ItemKey, Sum<'b>>, RatingError> {
    let mut sums: BTreeMap<ItemKey, Sum<'b>> = BTreeMap::new();
    for line in lines {
        let book = books
            .by_digest(line.book)
            .ok_or_else(|| RatingError::UnknownBook {
                digest: line.book.to_string(),
            })?;
        if book.currency() != currency {
            return Err(RatingError::CurrencyChanged {
                before: book.currency(),
                after: currency,
            });
        }
        let item = book.item(&line.item).ok_or_else(|| RatingError::UnknownItem {
            item: line.item.clone(),
        })?;
        let money = |source: MoneyError| RatingError::Money {
            item: line.item.clone(),
            source,
        };
        let sum = sums.entry(line.item.clone()).or_insert(Sum {
            item,
            quantity: Quantity::ZERO,
            amount: Amount::ZERO,
        });
        sum.item = item;
        sum.quantity = sum.quantity.checked_add(line.quantity).map_err(money)?;
        sum.amount = sum.amount.checked_add(line.amount).map_err(money)?;
    }
    Ok(sums)
}
