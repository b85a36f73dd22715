//! From billed quantities to rated lines, hour by hour through one month of one tenant, or of an account that pools.
//!
//! Invariants: I6, I7. An hour costs F(P + q) − F(P), where P is what was chargeable in the item's span (hour, day,
//! month) before and F the function of the price book in force in that hour; so the hours sum exactly to the span, also
//! when prices change in between. P follows the item's key from one version to the next, unless the item resets.
//! It must not know cells, tenants, zones or rounding: the caller passes the hours of one month.

use serde::{Serialize, Serializer};
use tallyman_common::ids::Digest;
use tallyman_common::money::{Amount, MoneyError, Quantity};
use tallyman_common::time::Hour;

use super::RatingError;
use super::book::{BookVersions, Charge, Item, ItemKey, PriceBook};
use super::calendar::hour_text;
use super::ladder::TierPart;
use super::tariff::{Charged, Over, Tariff};

/// What one tenant used in one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HourUsage {
    /// The hour.
    pub hour: Hour,
    /// First hour of its day in the paying account's zone.
    pub day: Hour,
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
    /// Used quantity in the item's unit; 0 for a share of other amounts.
    pub quantity: Quantity,
    /// What is billed instead, where the item bills at least so much.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub raised_to: Option<Quantity>,
    /// What of it is free by the allowance.
    #[serde(skip_serializing_if = "is_zero")]
    pub free: Quantity,
    /// Chargeable quantity in the item's span before this hour.
    pub before: Quantity,
    /// Exact amount in the price book's currency: parts less `less`, or a share of other amounts.
    pub amount: Amount,
    /// How the amount came about, one part per tier. Empty for what is free or a share of other amounts.
    pub parts: Vec<TierPart>,
    /// What the span had cost before, where its price is that of the whole.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub less: Vec<TierPart>,
    /// The price book in force.
    pub book: Digest,
}

/// How far into its spans each item is: what later hours of the month depend on. By key; few, and looked up in every hour.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Position(Vec<(ItemKey, Reached)>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reached {
    unit: &'static str,
    book: Digest,
    /// Span of the tariff that was in force last.
    over: Over,
    // All three, for the next price book may count in another span than this one.
    hour: Counted,
    day: Counted,
    month: Counted,
}

/// Quantities since the start of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    since: Hour,
    free: Quantity,
    charged: Quantity,
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
    let mut reached: Vec<(&Item, Reached)> = Vec::with_capacity(usage.quantities.len());
    let mut lines: Vec<RatedLine> = Vec::with_capacity(usage.quantities.len());
    for (key, quantity) in usage.quantities.iter().filter(|(_, q)| !q.is_zero()) {
        let hour = usage.hour;
        let item = book.item(key);
        let item = item.ok_or_else(|| RatingError::UnknownItem { item: key.clone() })?;
        if reached.iter().any(|(it, _)| std::ptr::eq(*it, item)) {
            let item = key.clone();
            return Err(RatingError::ItemTwice { item, hour });
        }
        let before = position.at(item, book.digest(), usage)?;
        let (line, after) = rate_item(item, before, *quantity, hour, book.digest()).map_err(money(key))?;
        lines.push(line);
        reached.push((item, after));
    }
    rate_shares(book, usage.hour, &mut lines)?;
    for (item, after) in reached {
        position.put(item.key(), after);
    }
    Ok(lines)
}

fn rate_item(
    item: &Item,
    mut reached: Reached,
    quantity: Quantity,
    hour: Hour,
    book: Digest,
) -> Result<(RatedLine, Reached), MoneyError> {
    let mut line = RatedLine {
        hour,
        item: item.key().clone(),
        quantity,
        raised_to: None,
        free: Quantity::ZERO,
        before: Quantity::ZERO,
        amount: Amount::ZERO,
        parts: Vec::new(),
        less: Vec::new(),
        book,
    };
    if let Charge::Metered(tariff) = item.charge() {
        let used = tariff.allowance.map(|it| reached.within(it.over).free);
        let (raised, free, chargeable) = split(tariff, used.unwrap_or(Quantity::ZERO), quantity)?;
        line.raised_to = raised;
        line.free = free;
        line.before = reached.within(tariff.over).charged;
        let charged = tariff.shape.charge(line.before, chargeable)?;
        Charged {
            amount: line.amount,
            parts: line.parts,
            less: line.less,
        } = charged;
        reached.over = tariff.over;
        for span in [&mut reached.hour, &mut reached.day, &mut reached.month] {
            span.add(free, chargeable)?;
        }
    }
    Ok((line, reached))
}

/// What is billed instead of a quantity, what of it is free behind `used` of the allowance, and what is chargeable.
fn split(
    tariff: &Tariff,
    used: Quantity,
    quantity: Quantity,
) -> Result<(Option<Quantity>, Quantity, Quantity), MoneyError> {
    let raised = Some(tariff.at_least).filter(|least| *least > quantity);
    let billed = raised.unwrap_or(quantity);
    let free = match tariff.allowance {
        Some(allowance) if used < allowance.quantity => allowance.quantity.checked_sub(used)?.min(billed),
        _ => Quantity::ZERO,
    };
    Ok((raised, free, billed.checked_sub(free)?))
}

/// Adds the items that cost a share of other items' amounts of the hour. The book has them in an order in which each
/// stands behind those that it takes from.
fn rate_shares(book: &PriceBook, hour: Hour, lines: &mut Vec<RatedLine>) -> Result<(), RatingError> {
    for item in book.shares_of_amounts() {
        let Charge::ShareOfAmounts { of, percent } = item.charge() else {
            continue;
        };
        let of_these = lines.iter().filter(|it| of.contains(&it.item));
        let base = Amount::sum(of_these.map(|it| it.amount)).map_err(money(item.key()))?;
        if base.is_zero() {
            continue;
        }
        lines.push(RatedLine {
            hour,
            item: item.key().clone(),
            quantity: Quantity::ZERO,
            raised_to: None,
            free: Quantity::ZERO,
            before: Quantity::ZERO,
            amount: percent.of_amount(base).map_err(money(item.key()))?,
            parts: Vec::new(),
            less: Vec::new(),
            book: book.digest(),
        });
    }
    Ok(())
}

fn money(item: &ItemKey) -> impl Fn(MoneyError) -> RatingError {
    move |source| RatingError::Money {
        item: item.clone(),
        source,
    }
}

impl Position {
    /// Chargeable quantity of an item in its span so far.
    pub fn of(&self, item: &ItemKey) -> Quantity {
        self.reached(item)
            .map_or(Quantity::ZERO, |it| it.within(it.over).charged)
    }

    fn place(&self, item: &ItemKey) -> Result<usize, usize> {
        self.0.binary_search_by(|(key, _)| key.cmp(item))
    }

    fn reached(&self, item: &ItemKey) -> Option<&Reached> {
        self.place(item).ok().map(|at| &self.0[at].1)
    }

    /// Where an item stands at the start of an hour.
    fn at(&self, item: &Item, book: Digest, usage: &HourUsage) -> Result<Reached, RatingError> {
        let unit = item.unit_name();
        let fresh = Reached {
            unit,
            book,
            over: Over::Hour,
            hour: Counted::since(usage.hour),
            day: Counted::since(usage.day),
            // A position is of one month.
            month: Counted::since(Hour(0)),
        };
        let Some(before) = self.reached(item.key()) else {
            return Ok(fresh);
        };
        if before.unit != unit {
            return Err(RatingError::UnitChanged {
                item: item.key().clone(),
                before: before.unit,
                after: unit,
                hour: usage.hour,
            });
        }
        let resets = matches!(item.charge(), Charge::Metered(tariff) if tariff.resets);
        if resets && before.book != book {
            return Ok(fresh);
        }
        let going_on = |before: Counted, fresh: Counted| {
            if before.since == fresh.since {
                before
            } else {
                fresh
            }
        };
        Ok(Reached {
            hour: going_on(before.hour, fresh.hour),
            day: going_on(before.day, fresh.day),
            month: before.month,
            over: before.over,
            ..fresh
        })
    }

    fn put(&mut self, item: &ItemKey, reached: Reached) {
        match self.place(item) {
            Ok(at) => self.0[at].1 = reached,
            Err(at) => self.0.insert(at, (item.clone(), reached)),
        }
    }
}

impl Reached {
    fn within(&self, over: Over) -> Counted {
        match over {
            Over::Hour => self.hour,
            Over::Day => self.day,
            Over::Month => self.month,
        }
    }
}

impl Counted {
    fn since(since: Hour) -> Self {
        let (free, charged) = (Quantity::ZERO, Quantity::ZERO);
        Self { since, free, charged }
    }

    fn add(&mut self, free: Quantity, charged: Quantity) -> Result<(), MoneyError> {
        for (sum, more) in [(&mut self.free, free), (&mut self.charged, charged)] {
            // Most hours have nothing free, and are the first of their span.
            if sum.is_zero() {
                *sum = more;
            } else if !more.is_zero() {
                *sum = sum.checked_add(more)?;
            }
        }
        Ok(())
    }
}

fn is_zero(quantity: &Quantity) -> bool {
    quantity.is_zero()
}

fn as_hour_text<S: Serializer>(hour: &Hour, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&hour_text(*hour))
}
