//! Rating: sums of base units in, exact amounts out.
//!
//! `cells → quantity_of → HourUsage → rate_period → RatedLine → bill_totals`. Everything here is a function of its
//! arguments: the same cells and price books give the same bill, byte for byte (I6), and the hourly lines of a month
//! sum to its unrounded subtotal to the last digit (I7).
//! It must not know stores, clocks, nodes or invoices' numbers, dates and taxes.

// In reading order.
/// The checked price book and its versions over time.
pub mod book;
/// Hours, days and months of a billing time zone.
pub mod calendar;
/// Instants as text, and back.
pub mod instant;
/// Tiers: the function F(q) from a quantity to an amount.
pub mod ladder;
/// Seconds of a calendar without a zone, and sets of them.
pub mod moments;
/// The same rating over files, without a store.
pub mod offline;
/// From quantities to rated lines, hour by hour.
pub mod period;
/// Discounts, surcharges, plans and taxes.
pub mod policy;
/// From cells to the billed quantity of an item.
pub mod select;
/// Many hours of one item at once.
pub mod span;
/// A month of an account.
pub mod statement;
/// A month's lines, summed.
pub mod sums;
/// What a metered quantity costs.
pub mod tariff;
/// What was agreed with one account.
pub mod terms;
/// From rated lines to a bill: one rounding per line.
pub mod totals;
/// The closed table of units that prices are written for.
pub mod unit;

#[cfg(test)]
mod model_tests;
#[cfg(test)]
mod tests;

use tallyman_common::meter::Meter;
use tallyman_common::money::{Currency, MoneyError};
use tallyman_common::time::Hour;

pub use book::{BookVersions, Charge, Fault, Item, ItemKey, Over, PriceBook, Selection};
pub use calendar::{BillingZone, Day, Month, hour_text, parse_hour};
pub use ladder::TierPart;
pub use moments::{Length, Moment, Moments};
pub use period::{HourUsage, Position, RatedLine, rate_hour, rate_period};
pub use select::{MeterSum, quantities_of_hour, quantity_of};
pub use sums::MonthSums;
pub use tariff::{Charged, Shape, Tariff};
pub use terms::Terms;
pub use totals::{BillLine, BillTotals, bill_totals};
pub use unit::Unit;

/// Why usage could not be rated. Each names what to look at; none is ever turned into a zero.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RatingError {
    /// No price book was in force in that hour.
    #[error("no price book is in force at {}", hour_text(*hour))]
    NoPriceBook {
        /// The hour with usage.
        hour: Hour,
    },
    /// Two versions of the price book begin in the same hour, or they are not in order.
    #[error("price-book versions are not in rising order at {}", hour_text(*hour))]
    VersionsOutOfOrder {
        /// Start of the version that is out of order.
        hour: Hour,
    },
    /// The hours of a period are not strictly rising.
    #[error("hour {} is not after the hour before it", hour_text(*hour))]
    HoursOutOfOrder {
        /// The hour that is out of order.
        hour: Hour,
    },
    /// The item is twice in one hour.
    #[error("item `{item}` is twice in the hour {}", hour_text(*hour))]
    ItemTwice {
        /// Its key.
        item: ItemKey,
        /// The hour.
        hour: Hour,
    },
    /// The price book in force has no such item.
    #[error("the price book has no item `{item}`")]
    UnknownItem {
        /// Its key.
        item: ItemKey,
    },
    /// What is taken off an item is more than there is; the readings don't fit together.
    #[error(
        "item `{item}`: the meters taken off sum to {minus}, the others to {plus}: less than nothing was used"
    )]
    NegativeUsage {
        /// Its key.
        item: ItemKey,
        /// Sum of its meters in base units.
        plus: u128,
        /// Sum of the meters taken off, in base units.
        minus: u128,
    },
    /// A sum of base units passes 128 bits.
    #[error("item `{item}`: the sum of {} passes 128 bits", meter.label())]
    SumTooLarge {
        /// Its key.
        item: ItemKey,
        /// The meter that passed it.
        meter: Meter,
    },
    /// The unit of an item changed inside a month, so its position on the tiers means nothing any more.
    #[error("item `{item}` changes its unit from {before} to {after} at {} inside a month", hour_text(*hour))]
    UnitChanged {
        /// Its key.
        item: ItemKey,
        /// Unit before, `none` for an item without meters.
        before: &'static str,
        /// Unit after.
        after: &'static str,
        /// First hour with the new unit.
        hour: Hour,
    },
    /// The currency changed inside a bill.
    #[error("the currency changes from {before} to {after} inside the period")]
    CurrencyChanged {
        /// Currency before.
        before: Currency,
        /// Currency after.
        after: Currency,
    },
    /// A line was rated under a price book that is not among the given versions.
    #[error("the price book {digest} of a rated line is not known")]
    UnknownBook {
        /// Its SHA-256 in hexadecimal digits.
        digest: String,
    },
    /// An exact result does not fit.
    #[error("item `{item}`: {source}")]
    Money {
        /// Key of the item.
        item: ItemKey,
        /// What failed.
        source: MoneyError,
    },
    /// A month or day lies outside the calendar.
    #[error("{0}")]
    Calendar(String),
    /// The bill's total does not fit.
    #[error("the total: {0}")]
    Total(MoneyError),
}
