//! What an explanation answers, as plain data for programs and people. It knows no arithmetic.

use serde::Serialize;
use tallyman_common::money::{Amount, Quantity};

use super::totals::Totals;
use crate::bills::AsOf;
use crate::bills::sources::Sources;
use crate::rating::{Month, TierPart};

/// Why amounts are what they are. Amounts are exact where they are called so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Number of the invoice, if one was asked for.
    pub invoice: Option<String>,
    /// Who pays.
    pub account: String,
    /// Which month.
    pub month: Month,
    /// Zone of its days.
    pub zone: String,
    /// Currency of all amounts.
    pub currency: String,
    /// The month never changes any more.
    pub is_final: bool,
    /// Lines: all that can be asked for, or those of the item.
    pub lines: Vec<Line>,
    /// Of all lines: what makes the total of them.
    pub totals: Option<Totals>,
    /// Of an item: hour by hour, or the hour that was asked for.
    pub hours: Vec<HourLine>,
    /// Of an item: what its hours sum to.
    pub sum_exact: Option<Amount>,
    /// Of an item: the hours sum to the line, and the line is the invoice's, to the last digit.
    pub agrees: Option<bool>,
    /// Of an hour: where it comes from.
    pub sources: Option<Sources>,
    /// What of the tenant's month could not be rated, in words.
    pub faults: Vec<String>,
}

/// A line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// Tenant; none for what the account as a whole owes.
    pub tenant: Option<String>,
    /// Key of the item.
    pub item: String,
    /// Its title in the account's language.
    pub title: String,
    /// `usage`, `minimum`, `maximum`, or what the line is otherwise.
    pub cause: &'static str,
    /// How it is charged, in words.
    pub charged: Option<String>,
    /// What the words leave open, such as which hour a percentile is.
    pub note: Option<String>,
    /// Unit of the quantity.
    pub unit: Option<String>,
    /// Quantity.
    pub quantity: Option<String>,
    /// Parts by tier and price; they sum to the exact amount.
    pub tiers: Vec<Tier>,
    /// Unrounded amount.
    pub amount_exact: String,
    /// Amount.
    pub amount: String,
}

/// Part of a line in one tier, at one price; signed where a price for the whole takes back what it had charged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tier {
    /// Lower bound, exclusive.
    pub from: String,
    /// Upper bound, inclusive; none for the open tier.
    pub to: Option<String>,
    /// Quantity in the tier.
    pub quantity: String,
    /// Price of a unit or package.
    pub price: String,
    /// Unrounded amount; with the tier's fee, if it has one.
    pub amount_exact: String,
}

/// An hour of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HourLine {
    /// Start of the hour.
    pub hour: String,
    /// Used quantity in the item's unit.
    pub quantity: Quantity,
    /// What is billed instead, where an hour with usage is billed for at least so much.
    pub raised_to: Option<Quantity>,
    /// What of it was free by an allowance.
    pub free: Quantity,
    /// What was chargeable in the item's span (hour, day, month) before.
    pub before: Quantity,
    /// Unrounded amount: `parts` without `less`, or the percentage of `share_of`.
    pub amount_exact: Amount,
    /// By tier.
    pub parts: Vec<TierPart>,
    /// What the span had cost before, where its price is that of the whole.
    pub less: Vec<TierPart>,
    /// What other items cost in the hour, of which this one is a percentage.
    pub share_of: Vec<ItemAmount>,
    /// Some of the usage is inferred over a hole.
    pub inferred: bool,
    /// SHA-256 of the price book in force, with the account's terms if they have prices of their own.
    pub price_book: String,
}

/// What an item cost in an hour.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ItemAmount {
    /// Key of the item.
    pub item: String,
    /// Unrounded amount.
    pub amount_exact: Amount,
}
