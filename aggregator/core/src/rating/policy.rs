//! What a price book says about a whole month: discounts, surcharges, plans, taxes.
//!
//! They apply to the sums of a month, after its usage was rated, in one stated order ([`ORDER`]). It must not know
//! quantities, accounts or clocks.

use std::collections::BTreeMap;

use tallyman_common::money::{Percent, Price, Quantity};
use tallyman_common::time::Hour;

use super::book::ItemKey;

/// The order in which a statement is made. It stands on every invoice.
pub const ORDER: [&str; 10] = [
    "usage",
    "minimum_maximum",
    "surcharges",
    "discounts",
    "commitment",
    "subscription",
    "coupons",
    "adjustments",
    "credits",
    "tax",
];

/// A name in the book's own words and in other languages.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Titles {
    /// The book's own words.
    pub own: String,
    /// By language, such as `zh`.
    pub by_language: BTreeMap<String, String>,
}

/// Everything that a price book says about months.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Policies {
    /// Each discount is taken from what the ones before it left, not from the raw cost.
    pub in_turn: bool,
    /// Prices contain the tax.
    pub tax_included: bool,
    /// In the order of the file.
    pub discounts: Vec<Discount>,
    /// In the order of the file.
    pub surcharges: Vec<Surcharge>,
    /// In the order of the file.
    pub plans: Vec<Plan>,
    /// One per tax class.
    pub taxes: Vec<TaxRate>,
}

/// How much a discount or coupon takes off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cut {
    /// A share.
    Percent(Percent),
    /// A fixed amount in the book's currency.
    Amount(Price),
    /// The share of the highest step whose bound the basis passes; by volume.
    Steps(Vec<Step>),
}

/// A step of a discount by volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// The basis is above this.
    pub above: Price,
    /// Share of the whole basis.
    pub percent: Percent,
}

/// A discount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// Its key.
    pub key: ItemKey,
    /// Its name.
    pub titles: Titles,
    /// Items that it is for; all if empty.
    pub items: Vec<ItemKey>,
    /// Member classes that have it; all if empty.
    pub classes: Vec<String>,
    /// Plans that have it; all if empty.
    pub plans: Vec<ItemKey>,
    /// First hour of usage that it is for.
    pub from: Option<Hour>,
    /// First hour that it is not for any more.
    pub until: Option<Hour>,
    /// How much.
    pub cut: Cut,
}

/// What is due on top, above a cap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surcharge {
    /// Its key.
    pub key: ItemKey,
    /// Its name.
    pub titles: Titles,
    /// Items that it is for; all if empty.
    pub items: Vec<ItemKey>,
    /// Nothing up to this cost of the month.
    pub above: Price,
    /// Share of what is above.
    pub percent: Percent,
    /// Its tax class.
    pub tax_class: String,
}

/// How often a plan's fee is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cycle {
    /// Each month.
    Month,
    /// Each twelve months from the plan's first day on.
    Year,
}

/// A plan that accounts subscribe to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its key.
    pub key: ItemKey,
    /// Its name.
    pub titles: Titles,
    /// The fee of a cycle.
    pub fee: Price,
    /// How often.
    pub cycle: Cycle,
    /// The fee is due before the cycle, not behind it.
    pub in_advance: bool,
    /// Credits of each month, which lapse at its end.
    pub credits: Price,
    /// Quantities of each month that are free.
    pub quantities: Vec<(ItemKey, Quantity)>,
    /// Its tax class.
    pub tax_class: String,
}

/// The tax of a class of items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaxRate {
    /// Class of the items.
    pub class: String,
    /// Its name.
    pub titles: Titles,
    /// The rate.
    pub percent: Percent,
}

impl Titles {
    /// The name in a language, else in the book's own words.
    pub fn in_language(&self, language: &str) -> &str {
        self.by_language.get(language).unwrap_or(&self.own)
    }
}

impl Policies {
    /// The plan of a key.
    pub fn plan(&self, key: &ItemKey) -> Option<&Plan> {
        self.plans.iter().find(|it| it.key == *key)
    }

    /// The tax of a class; none is due without a rate.
    pub fn tax(&self, class: &str) -> Option<&TaxRate> {
        self.taxes.iter().find(|it| it.class == class)
    }
}

/// Whether a list that may be empty for "all" has an item.
pub fn applies<T: PartialEq>(list: &[T], item: &T) -> bool {
    list.is_empty() || list.contains(item)
}
