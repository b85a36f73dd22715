//! The checked price book: what is charged, for which meters, in which unit, at which price.
//!
//! A book exists only checked: [`PriceBook::parse`] tells every fault of a file with its line. Its identity is the
//! SHA-256 of the file's exact bytes, which stands on every line rated under it (I6).
//! It must not know quantities, tenants or where files are kept.

// The terms of an account, over a book.
mod agreed;
// From TOML to a checked book.
mod parse;
pub(super) use agreed::parse_terms;
// What changes from one book to another.
pub mod diff;
// The meters, dimensions and unit of an item.
mod selection;
// Prices, tiers and packages of an item.
mod charges;
// Discounts, surcharges, plans and taxes.
mod policies;
// Whether what is said in different places fits together.
mod fits;
// What holds for whole months.
mod months;
// What an item takes from another.
mod shares;
// Typed reading of a TOML table that collects faults with their lines.
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use serde::{Deserialize, Serialize};
use tallyman_common::ids::Digest;
use tallyman_common::meter::Meter;
use tallyman_common::money::{Currency, Percent, Price, Rounding};
use tallyman_common::record::Dims;
use tallyman_common::time::Hour;

use super::RatingError;
use super::calendar::BillingZone;
use super::ladder::Ladder;
use super::policy::Policies;
pub use super::tariff::Over;
use super::tariff::Tariff;
use super::unit::Unit;

/// Longest price book in bytes.
pub const BOOK_BYTES_MAX: usize = 1 << 20;
/// Most items in a price book.
pub const ITEMS_MAX: usize = 1_000;
/// Most tiers of an item.
pub const TIERS_MAX: usize = 100;
/// Most faults told about one file.
pub const FAULTS_MAX: usize = 100;
/// Tax class of an item that names none.
pub const DEFAULT_TAX_CLASS: &str = "standard";
/// Longest title or name in characters.
pub const TITLE_CHARS_MAX: usize = 200;

/// One thing wrong with a price book.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Fault {
    /// Line in the file, from 1.
    pub line: usize,
    /// Column in the line, from 1, in characters.
    pub column: usize,
    /// Where in the book, such as "item `storage`"; "price book" for its head.
    pub path: String,
    /// What is wrong, and what to write.
    pub reason: String,
}

/// Name of an item: lower-case letters, digits, `.`, `-` and `_`; at most 64. Positions on tiers follow it. Every rated line
/// has one, so short ones are kept without a heap.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ItemKey(CompactString);

/// A price book without faults.
#[derive(Debug, Clone, PartialEq)]
pub struct PriceBook {
    name: String,
    currency: Currency,
    time_zone: BillingZone,
    rounding: Rounding,
    items: Vec<Item>,
    /// Places of items that cost a share of amounts, each behind those that it takes from.
    share_order: Vec<usize>,
    policies: Policies,
    digest: Digest,
}

/// One line of the price list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    key: ItemKey,
    title: String,
    titles: BTreeMap<String, String>,
    selection: Option<Selection>,
    charge: Charge,
    share: Option<Share>,
    tax_class: String,
    minimum: Option<Price>,
    maximum: Option<Price>,
}

/// Which cells an item sums, and the unit of the sum.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selection {
    unit: Unit,
    plus: Vec<Meter>,
    minus: Vec<Meter>,
    dims: Dims,
}

/// How a quantity becomes an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Charge {
    /// Nothing is due; the quantity is shown.
    Free,
    /// By the metered quantity.
    Metered(Tariff),
    /// A share of what other items cost in the same hour.
    ShareOfAmounts {
        /// These items.
        of: Vec<ItemKey>,
        /// The share.
        percent: Percent,
    },
    /// By a percentile of the hours of a month, each hour with the quantity that it has; booked at the month's end.
    Percentile {
        /// Above 0, at most 100; the nearest rank counts.
        percentile: Percent,
        /// Prices of that quantity.
        ladder: Ladder,
    },
}

/// An item whose prices are a share of another item's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// The item whose prices are taken.
    pub item: ItemKey,
    /// The share of them.
    pub percent: Percent,
}

/// Price books in force, each from an hour on until the next one.
#[derive(Debug, Clone, PartialEq)]
pub struct BookVersions(Vec<(Hour, Arc<PriceBook>)>);

impl PriceBook {
    /// Reads and checks a price book; every fault is told, in the order of lines.
    pub fn parse(text: &str) -> Result<Self, Vec<Fault>> {
        parse::parse(text, true)
    }

    /// Reads a price book that was checked when it came into force: what a later release would refuse of it stays in force,
    /// for the log is read again at every start.
    pub fn parse_logged(text: &str) -> Result<Self, Vec<Fault>> {
        parse::parse(text, false)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The currency of all its prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// The zone of its months where no account says otherwise.
    pub fn time_zone(&self) -> &BillingZone {
        &self.time_zone
    }

    /// How lines are rounded.
    pub fn rounding(&self) -> Rounding {
        self.rounding
    }

    /// Place of an item in the file; behind all for one that is not there.
    pub fn place_of(&self, key: &ItemKey) -> usize {
        let found = self.items.iter().position(|it| it.key == *key);
        found.unwrap_or(self.items.len())
    }

    /// What it says about months.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Its items in the order of the file, which is the order on the bill.
    pub fn items(&self) -> &[Item] {
        &self.items
    }

    /// Items that cost a share of other items' amounts, each behind those that it takes from.
    pub fn shares_of_amounts(&self) -> impl Iterator<Item = &Item> {
        self.share_order.iter().map(|at| &self.items[*at])
    }

    /// The item of a key.
    pub fn item(&self, key: &ItemKey) -> Option<&Item> {
        self.items.iter().find(|it| it.key == *key)
    }

    /// What keeps this book from following `earlier` inside a month; empty if nothing does. Such a book can only
    /// come into force at a month's edge: bills have one currency, and positions on tiers one unit.
    pub fn needs_new_month_after(&self, earlier: &Self) -> Vec<String> {
        let mut reasons = Vec::new();
        if self.currency != earlier.currency {
            reasons.push(format!(
                "the currency changes from {} to {}",
                earlier.currency, self.currency
            ));
        }
        for item in &self.items {
            if let Some(old) = earlier
                .item(&item.key)
                .filter(|it| it.unit_name() != item.unit_name())
            {
                let (before, after) = (old.unit_name(), item.unit_name());
                reasons.push(format!(
                    "item `{}` changes its unit from {before} to {after}",
                    item.key
                ));
            }
        }
        reasons
    }

    /// SHA-256 of the file's bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl Item {
    /// Its key.
    pub fn key(&self) -> &ItemKey {
        &self.key
    }

    /// Its title in the book's own words.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// Its title in a language such as `zh`, else the book's own words.
    pub fn title_in(&self, language: &str) -> &str {
        self.titles.get(language).unwrap_or(&self.title)
    }

    /// Its titles in other languages.
    pub fn titles(&self) -> &BTreeMap<String, String> {
        &self.titles
    }

    /// What it sums; none for a free item that is only announced.
    pub fn selection(&self) -> Option<&Selection> {
        self.selection.as_ref()
    }

    /// How it is charged; for a share of another item's price already with its own prices.
    pub fn charge(&self) -> &Charge {
        &self.charge
    }

    /// Whose prices it takes a share of.
    pub fn share(&self) -> Option<&Share> {
        self.share.as_ref()
    }

    /// Its tax class.
    pub fn tax_class(&self) -> &str {
        &self.tax_class
    }

    /// What a tenant pays for it in a month at least, once anything of the item was used.
    pub fn minimum(&self) -> Option<Price> {
        self.minimum
    }

    /// What a tenant pays for it in a month at most.
    pub fn maximum(&self) -> Option<Price> {
        self.maximum
    }

    /// Name of its unit; `none` for a free item that is only announced.
    pub fn unit_name(&self) -> &'static str {
        self.selection.as_ref().map_or("none", |it| it.unit.name())
    }
}

impl Selection {
    /// The unit of the sum.
    pub fn unit(&self) -> Unit {
        self.unit
    }

    /// Meters that are added.
    pub fn plus(&self) -> &[Meter] {
        &self.plus
    }

    /// Meters that are taken off.
    pub fn minus(&self) -> &[Meter] {
        &self.minus
    }

    /// Whether a cell has all the dimensions that the item asks for.
    pub fn admits(&self, dims: &Dims) -> bool {
        self.dims
            .iter()
            .all(|(name, value)| dims.get(name) == Some(value))
    }
}

impl ItemKey {
    /// Checks a key.
    pub fn parse(text: &str) -> Result<Self, String> {
        let allowed = |it: char| it.is_ascii_lowercase() || it.is_ascii_digit() || "._-".contains(it);
        if text.is_empty() || text.len() > 64 || !text.chars().all(allowed) {
            let shown: String = text.chars().take(64).collect();
            return Err(format!(
                "`{shown}` is no item key: 1 to 64 lower-case letters, digits, `.`, `-` and `_` are"
            ));
        }
        Ok(Self(text.into()))
    }

    /// Its text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl BookVersions {
    /// Versions with the hour from which each is in force, strictly rising.
    pub fn new(versions: Vec<(Hour, Arc<PriceBook>)>) -> Result<Self, RatingError> {
        match versions.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            Some(pair) => Err(RatingError::VersionsOutOfOrder { hour: pair[1].0 }),
            None => Ok(Self(versions)),
        }
    }

    /// One book from the beginning of time on.
    pub fn always(book: Arc<PriceBook>) -> Self {
        Self(vec![(Hour(0), book)])
    }

    /// The book in force in an hour.
    pub fn at(&self, hour: Hour) -> Option<&Arc<PriceBook>> {
        self.0
            .iter()
            .rev()
            .find(|(from, _)| *from <= hour)
            .map(|(_, book)| book)
    }

    /// An item of the newest version that has it, of those in force in an hour or before.
    pub fn newest_with(&self, key: &ItemKey, until: Hour) -> Option<&Item> {
        let known = self.0.iter().rev().filter(|(from, _)| *from <= until);
        known.into_iter().find_map(|(_, book)| book.item(key))
    }

    /// The book of a digest.
    pub fn by_digest(&self, digest: Digest) -> Option<&Arc<PriceBook>> {
        self.0.iter().map(|(_, book)| book).find(|it| it.digest == digest)
    }

    /// The same versions with other books in their places; where `change` gives none, the book stays.
    pub fn map(&self, change: impl Fn(&PriceBook) -> Option<PriceBook>) -> Result<Self, RatingError> {
        let changed = |(from, book): &(Hour, Arc<PriceBook>)| {
            let book = change(book).map_or_else(|| book.clone(), Arc::new);
            (*from, book)
        };
        Self::new(self.0.iter().map(changed).collect())
    }

    /// All versions, oldest first.
    pub fn versions(&self) -> &[(Hour, Arc<PriceBook>)] {
        &self.0
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}: {}: {}", self.line, self.path, self.reason)
    }
}

impl fmt::Display for ItemKey {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl From<ItemKey> for String {
    fn from(key: ItemKey) -> Self {
        key.0.into_string()
    }
}

impl TryFrom<String> for ItemKey {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text)
    }
}
