//! What a month under other prices is answered with, as plain data. It knows no arithmetic.

use serde::Serialize;
use tallyman_common::money::{Amount, Currency};

use crate::bills::AsOf;
use crate::rating::Month;

/// A month under other prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct WhatIf {
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Which month.
    pub month: Month,
    /// Currency of all amounts.
    pub currency: Currency,
    /// The left side: SHA-256 of the price book's file, or `real`.
    pub before: String,
    /// SHA-256 of the right side's file.
    pub after: String,
    /// Accounts that were rated.
    pub accounts: Vec<AccountDifference>,
    /// Lines that differ, by account, tenant and item.
    pub rows: Vec<Row>,
    /// Lines that differ beyond these.
    pub more_rows: u64,
    /// Lines that do not differ.
    pub same_rows: u64,
    /// All accounts, or of a tenant its lines.
    pub total: Sides,
    /// Accounts that could not be rated on one side, and why; they are in no sum.
    pub not_rated: Vec<NotRated>,
}

/// An amount on both sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sides {
    /// On the left side, decimal.
    pub before: String,
    /// On the right side.
    pub after: String,
    /// Right without left.
    pub difference: String,
}

/// An account's month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountDifference {
    /// Which.
    pub account: String,
    /// Its month never changes any more.
    pub is_final: bool,
    /// Lines before discounts, credits and tax.
    pub subtotal: Sides,
    /// Discounts, coupons and credits of the plan; negative.
    pub discounts: Sides,
    /// Taxes, those that prices include too.
    pub taxes: Sides,
    /// What would be due before granted credits.
    pub total: Sides,
    /// What could not be rated on either side, in words.
    pub faults: Vec<String>,
}

/// A line on both sides; usage with its minimum or maximum.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Account.
    pub account: String,
    /// Tenant; none for what the account as a whole owes.
    pub tenant: Option<String>,
    /// Key of the item, surcharge, plan or commitment.
    pub item: String,
    /// Quantity on the left side, in the item's unit; none if there is no such line, or nothing metered.
    pub quantity_before: Option<Amount>,
    /// On the right side.
    pub quantity_after: Option<Amount>,
    /// Unrounded amount on the left side.
    pub exact_before: Amount,
    /// On the right side.
    pub exact_after: Amount,
    /// Amounts.
    pub amount: Sides,
}

/// An account that could not be rated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotRated {
    /// Which.
    pub account: String,
    /// Why.
    pub reason: String,
}
