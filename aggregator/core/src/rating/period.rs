//! From billed quantities to rated lines, hour by hour through one month of one tenant.
//!
//! Invariants: I6, I7. Over the month an hour costs F(P + q) − F(P), where P is the quantity of all earlier hours of
//! the month and F the function of the price book in force in that hour; so the hours sum exactly to the month, also
//! when prices change in between. P follows the item's key from one version to the next.
//! It must not know cells, tenants, zones or rounding: the caller passes the hours of one month.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use tallyman_common::ids::Digest;
use tallyman_common::money::{Amount, MoneyError, Quantity};
use tallyman_common::time::Hour;

use super::RatingError;
use super::book::{BookVersions, Charge, Item, ItemKey, Over, PriceBook};
use super::calendar::hour_text;
use super::ladder::{Ladder, TierPart};

/// What one tenant used in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourUsage {
    /// The hour.
    pub hour: Hour,
    /// Billed quantities; each item once. An item that is not here used nothing.
    pub quantities: Vec<(ItemKey, Quantity)>,
}

/// One item of one hour, rated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RatedLine {
    /// The hour; in JSON its start in UTC.
    #[serde(serialize_with = "as_hour_text")]
    pub hour: Hour,
    /// The item.
    pub item: ItemKey,
    /// Billed quantity in the item's unit.
    pub quantity: Quantity,
    /// Quantity of the item in the month before this hour.
    pub month_before: Quantity,
    /// Exact amount in the price book's currency.
    pub amount: Amount,
    /// How the amount came about, one part per tier; its amounts sum to the line's. Empty for free and flat items.
    pub parts: Vec<TierPart>,
    /// The price book in force.
    pub book: Digest,
}

/// How far into the month each item is: what later hours of the month depend on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(BTreeMap<ItemKey, Reached>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Reached {
    quantity: Quantity,
    unit: &'static str,
}

/// Rates the hours of one month from its beginning, in rising order. Quantities of 0 give no line.
pub fn rate_period(books: &BookVersions, hours: &[HourUsage]) -> Result<Vec<RatedLine>, RatingError> {
    let mut position = Position::default();
    let mut lines = Vec::new();
    let mut last: Option<(Hour, &PriceBook)> = None;
    for usage in hours {
        let hour = usage.hour;
        let book = books.at(hour).ok_or(RatingError::NoPriceBook { hour })?;
        if let Some((last_hour, last_book)) = last {
            if hour <= last_hour {
                return Err(RatingError::HoursOutOfOrder { hour });
            }
            if book.currency() != last_book.currency() {
                let (before, after) = (last_book.currency(), book.currency());
                return Err(RatingError::CurrencyChanged { before, after });
            }
        }
        lines.extend(rate_hour(book, &mut position, usage)?);
        last = Some((hour, book));
    }
    Ok(lines)
}

/// Rates one hour under the book in force and moves the position past it. After an error the position is as before.
pub fn rate_hour(
    book: &PriceBook,
    position: &mut Position,
    usage: &HourUsage,
) -> Result<Vec<RatedLine>, RatingError> {
    let mut moved = position.clone();
    let mut lines: Vec<RatedLine> = Vec::with_capacity(usage.quantities.len());
    for (key, quantity) in usage
        .quantities
        .iter()
        .filter(|(_, quantity)| !quantity.is_zero())
    {
        let hour = usage.hour;
        let item = book
            .item(key)
            .ok_or_else(|| RatingError::UnknownItem { item: key.clone() })?;
        if lines.iter().any(|it| it.item == *key) {
            return Err(RatingError::ItemTwice {
                item: key.clone(),
                hour,
            });
        }
        let month_before = moved.advance(item, *quantity, hour)?;
        let (amount, parts) =
            charge(item.charge(), month_before, *quantity).map_err(|source| RatingError::Money {
                item: key.clone(),
                source,
            })?;
        let (item, quantity, book) = (key.clone(), *quantity, book.digest());
        lines.push(RatedLine {
            hour,
            item,
            quantity,
            month_before,
            amount,
            parts,
            book,
        });
    }
    *position = moved;
    Ok(lines)
}

impl Position {
    /// Quantity of an item in the month so far.
    pub fn of(&self, item: &ItemKey) -> Quantity {
        self.0.get(item).map_or(Quantity::ZERO, |it| it.quantity)
    }

    /// Moves past a quantity; gives the quantity before it.
    fn advance(&mut self, item: &Item, quantity: Quantity, hour: Hour) -> Result<Quantity, RatingError> {
        let (key, unit) = (item.key(), item.unit_name());
        let before = self.of(key);
        if let Some(reached) = self.0.get(key).filter(|it| it.unit != unit) {
            return Err(RatingError::UnitChanged {
                item: key.clone(),
                before: reached.unit,
                after: unit,
                hour,
            });
        }
        let quantity = before
            .checked_add(quantity)
            .map_err(|source| RatingError::Money {
                item: key.clone(),
                source,
            })?;
        self.0.insert(key.clone(), Reached { quantity, unit });
        Ok(before)
    }
}

/// Amount of a quantity above 0 that comes after `before` in the month, and its parts.
fn charge(
    charge: &Charge,
    before: Quantity,
    quantity: Quantity,
) -> Result<(Amount, Vec<TierPart>), MoneyError> {
    match charge {
        Charge::Free => Ok((Amount::ZERO, Vec::new())),
        Charge::Flat {
            over: Over::Month, ..
        } if !before.is_zero() => Ok((Amount::ZERO, Vec::new())),
        Charge::Flat { price, .. } => Ok((price.of_one(), Vec::new())),
        Charge::PerUnit(price) => sliced(&Ladder::flat_price(*price), Quantity::ZERO, quantity),
        Charge::Graduated {
            ladder,
            over: Over::Hour,
        } => sliced(ladder, Quantity::ZERO, quantity),
        Charge::Graduated {
            ladder,
            over: Over::Month,
        } => sliced(ladder, before, quantity),
    }
}

fn sliced(
    ladder: &Ladder,
    before: Quantity,
    quantity: Quantity,
) -> Result<(Amount, Vec<TierPart>), MoneyError> {
    let parts = ladder.slices(before, quantity)?;
    let amount = Amount::sum(parts.iter().map(|it| it.amount))?;
    Ok((amount, parts))
}

fn as_hour_text<S: Serializer>(hour: &Hour, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&hour_text(*hour))
}
