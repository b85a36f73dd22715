//! What became of usage: the parts that a month's metered usage falls into, by row of the sheet.
//!
//! Invariant: I1. Sums are integers of 10⁻⁹ base units, so that what rounding to nine digits of a unit took off is one of
//! them. It must not know stores or accounts.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use tallyman_common::meter::Meter;
use tallyman_common::money::{Amount, MoneyError, Price, QUANTITY_SCALE, Quantity};
use tallyman_common::record::Dims;
use tallyman_common::time::Hour;

use crate::rating::{BookVersions, Charge, Item, ItemKey, Selection, Shape};

/// Parts of a base unit that are counted.
pub const NANO: i128 = 1_000_000_000;

/// Where usage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Everything that batches brought or holes hid.
    Metered,
    /// Charged for.
    Billed,
    /// Inside an allowance, or of an item or meter without a price.
    Free,
    /// What rounding to nine digits of the unit took off; negative for what it added.
    Rounding,
    /// Came behind the seal of a final month: on a later invoice, or waiting for one; negative for what was taken back.
    Late,
    /// Could not be rated.
    NotRated,
    /// Of tenants that pay in another currency.
    OtherCurrencies,
    /// Nobody could be named for it.
    Unattributed,
    /// Under claims that nobody registered.
    Unconfirmed,
    /// In batches that wait for a person's decision.
    Quarantined,
    /// In batches that a person refused.
    Discarded,
}

/// How many places there are.
const PLACES: usize = 11;
/// All of them, in order.
const ALL: [Place; PLACES] = [
    Place::Metered,
    Place::Billed,
    Place::Free,
    Place::Rounding,
    Place::Late,
    Place::NotRated,
    Place::OtherCurrencies,
    Place::Unattributed,
    Place::Unconfirmed,
    Place::Quarantined,
    Place::Discarded,
];

/// A number for each place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Parts {
    /// Everything; the sum of the others.
    pub metered: String,
    /// Charged for.
    pub billed: String,
    /// Inside an allowance, or of an item or meter without a price.
    pub free: String,
    /// What rounding to nine digits of the unit took off.
    pub rounding: String,
    /// Came behind the seal of a final month: on a later invoice, or waiting for one.
    pub late: String,
    /// Could not be rated.
    pub not_rated: String,
    /// Of tenants that pay in another currency.
    pub other_currencies: String,
    /// Nobody could be named for it.
    pub unattributed: String,
    /// Under claims that nobody registered.
    pub unconfirmed: String,
    /// In batches that wait for a person's decision.
    pub quarantined: String,
    /// In batches that a person refused.
    pub discarded: String,
}

impl Parts {
    pub(super) fn of<T: Copy>(sums: &[T; PLACES], text: impl Fn(T) -> String) -> Self {
        let [
            metered,
            billed,
            free,
            rounding,
            late,
            not_rated,
            other_currencies,
            unattributed,
            unconfirmed,
            quarantined,
            discarded,
        ] = sums.map(text);
        Self {
            metered,
            billed,
            free,
            rounding,
            late,
            not_rated,
            other_currencies,
            unattributed,
            unconfirmed,
            quarantined,
            discarded,
        }
    }

    /// Names and numbers, in order.
    pub fn columns(&self) -> [(&'static str, &str); PLACES] {
        [
            ("metered", &self.metered),
            ("billed", &self.billed),
            ("free", &self.free),
            ("rounding", &self.rounding),
            ("late", &self.late),
            ("not_rated", &self.not_rated),
            ("other_currencies", &self.other_currencies),
            ("unattributed", &self.unattributed),
            ("unconfirmed", &self.unconfirmed),
            ("quarantined", &self.quarantined),
            ("discarded", &self.discarded),
        ]
    }
}

/// What a row is for: an item, or a meter that no item names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum RowKey {
    /// An item of the price book.
    Item(ItemKey),
    /// A meter without a price.
    Meter(Meter),
}

/// Sums by row, and within it by the price book in force.
#[derive(Debug, Default)]
pub struct Rows(BTreeMap<RowKey, BTreeMap<Hour, [i128; PLACES]>>);

/// A sum passes 127 bits of 10⁻⁹ base units: no honest usage does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a sum of usage does not fit into 128 bits")]
pub struct TooLarge;

/// Whole base units as 10⁻⁹ ones.
pub fn nano(base: u128) -> Result<i128, TooLarge> {
    let whole = i128::try_from(base).map_err(|_| TooLarge)?;
    whole.checked_mul(NANO).ok_or(TooLarge)
}

/// The same of a difference.
pub fn nano_signed(base: i128) -> Result<i128, TooLarge> {
    base.checked_mul(NANO).ok_or(TooLarge)
}

/// A billed quantity as 10⁻⁹ base units, exactly.
pub fn nano_of(quantity: Quantity, base_units: u128) -> Result<i128, TooLarge> {
    let decimal = quantity.decimal();
    let missing = QUANTITY_SCALE.checked_sub(decimal.scale());
    let factor = missing
        .and_then(|it| 10_i128.checked_pow(it))
        .and_then(|it| it.checked_mul(i128::try_from(base_units).ok()?));
    factor
        .and_then(|it| decimal.mantissa().checked_mul(it))
        .ok_or(TooLarge)
}

impl Rows {
    /// Adds 10⁻⁹ base units to a place of a row.
    pub fn add(&mut self, row: RowKey, book: Hour, place: Place, value: i128) -> Result<(), TooLarge> {
        let sums = self.0.entry(row).or_default().entry(book).or_insert([0; PLACES]);
        let sum = &mut sums[place as usize];
        *sum = sum.checked_add(value).ok_or(TooLarge)?;
        Ok(())
    }

    /// Adds a meter's usage to every item that names it, on its side; to the meter's own row if none does.
    pub fn add_usage(
        &mut self,
        versions: &BookVersions,
        (hour, meter, dims): (Hour, Meter, &Dims),
        place: Place,
        value: i128,
    ) -> Result<(), TooLarge> {
        let book = version_of(versions, hour);
        let mut is_named = false;
        for item in items_of(versions, hour) {
            if let Some(sign) = item.selection().and_then(|it| sign(it, meter, dims)) {
                is_named = true;
                let signed = value.checked_mul(sign).ok_or(TooLarge)?;
                self.add(RowKey::Item(item.key().clone()), book, place, signed)?;
            }
        }
        if !is_named {
            self.add(RowKey::Meter(meter), book, place, value)?;
        }
        Ok(())
    }

    /// Adds all of other ones.
    pub fn join(&mut self, other: Self) -> Result<(), TooLarge> {
        for (row, versions) in other.0 {
            for (book, sums) in versions {
                for (place, value) in ALL.into_iter().zip(sums) {
                    self.add(row.clone(), book, place, value)?;
                }
            }
        }
        Ok(())
    }

    /// Rows with their sums by price book.
    pub fn iter(&self) -> impl Iterator<Item = (&RowKey, &BTreeMap<Hour, [i128; PLACES]>)> {
        self.0.iter()
    }

    /// Items that have a row.
    pub fn items(&self) -> BTreeSet<&ItemKey> {
        let keys = self.0.keys().filter_map(|it| match it {
            RowKey::Item(key) => Some(key),
            RowKey::Meter(_) => None,
        });
        keys.collect()
    }
}

/// From when on the book in force in an hour prices; it names the version.
pub fn version_of(versions: &BookVersions, hour: Hour) -> Hour {
    let all = versions.versions().iter().rev();
    let mut found = all.filter(|(from, _)| *from <= hour).map(|(from, _)| *from);
    found.next().unwrap_or(Hour(0))
}

/// Items of the book in force in an hour.
pub fn items_of(versions: &BookVersions, hour: Hour) -> &[Item] {
    versions.at(hour).map_or(&[], |book| book.items())
}

/// 1 for a meter that an item adds, −1 for one that it takes off.
pub fn sign(selection: &Selection, meter: Meter, dims: &Dims) -> Option<i128> {
    if !selection.admits(dims) {
        None
    } else if selection.plus().contains(&meter) {
        Some(1)
    } else {
        selection.minus().contains(&meter).then_some(-1)
    }
}

/// All versions of a row together.
pub fn together(versions: &BTreeMap<Hour, [i128; PLACES]>) -> Result<[i128; PLACES], TooLarge> {
    let mut sums = [0; PLACES];
    for more in versions.values() {
        for (sum, more) in sums.iter_mut().zip(more) {
            *sum = i128::checked_add(*sum, *more).ok_or(TooLarge)?;
        }
    }
    Ok(sums)
}

/// What the places sum to, without what was metered.
pub fn accounted(sums: &[i128; PLACES]) -> Result<i128, TooLarge> {
    let mut parts = sums[1..].iter();
    parts
        .try_fold(0_i128, |sum, it| sum.checked_add(*it))
        .ok_or(TooLarge)
}

/// Base units with what there is of a part of one.
pub fn base_text(nano: i128) -> String {
    let sign = if nano < 0 { "-" } else { "" };
    let (whole, part) = (
        nano.unsigned_abs() / 1_000_000_000,
        nano.unsigned_abs() % 1_000_000_000,
    );
    if part == 0 {
        return format!("{sign}{whole}");
    }
    let digits = format!("{part:09}");
    format!("{sign}{whole}.{}", digits.trim_end_matches('0'))
}

/// The list price of an item: of one unit in its lowest tier, without what was agreed with anybody. An item without a
/// price by the unit has none.
pub fn list_price(item: &Item) -> Option<(Price, Option<Quantity>)> {
    let first = |ladder: &crate::rating::ladder::Ladder| ladder.tiers().first().map(|it| (it.price, None));
    match item.charge() {
        Charge::Free => Some((Price::ZERO, None)),
        Charge::ShareOfAmounts { .. } | Charge::Percentile { .. } => None,
        Charge::Metered(tariff) => match &tariff.shape {
            Shape::Flat(_) => None,
            Shape::Graduated(ladder) => first(ladder),
            Shape::Volume(ladder) if ladder.tiers().iter().all(|it| it.price == Price::ZERO) => None,
            Shape::Volume(ladder) => first(ladder),
            Shape::Package { size, price } => Some((*price, Some(*size))),
        },
    }
}

/// Usage at a list price: rounded once to nine digits of the unit, or up to whole packages.
pub fn at_list(
    value: i128,
    base_units: u128,
    (price, size): (Price, Option<Quantity>),
) -> Result<Amount, MoneyError> {
    let too_big = || MoneyError::TooManyDigits {
        operation: "a list price",
    };
    let unit = base_units.checked_mul(NANO.unsigned_abs()).ok_or_else(too_big)?;
    let quantity = Quantity::from_base_units(value.unsigned_abs(), unit)?;
    let quantity = size.map_or(Ok(quantity), |size| quantity.packages_of(size))?;
    let amount = quantity.times(price)?;
    if value < 0 {
        Amount::ZERO.checked_sub(amount)
    } else {
        Ok(amount)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_base_units_have_their_digits() {
        #[rustfmt::skip]
        let table = [
            (0,              "0"),
            (NANO,           "1"),
            (-NANO,          "-1"),
            (1_500_000_000,  "1.5"),
            (-1,             "-0.000000001"),
            (NANO * 7 + 70,  "7.00000007"),
        ];
        for (value, text) in table {
            assert_eq!(base_text(value), text);
        }
    }

    #[test]
    fn quantities_come_back_to_base_units_exactly() {
        let third = Quantity::from_base_units(1, 3).unwrap();
        assert_eq!(third.to_string(), "0.333333333");
        // 0.333333333 of 3 base units: a thousand-millionth is missing to one.
        assert_eq!(nano_of(third, 3), Ok(NANO - 1));
        let whole = Quantity::parse("2").unwrap();
        assert_eq!(nano_of(whole, 5), nano(10));
        assert_eq!(nano(u128::MAX), Err(TooLarge));
    }

    #[test]
    fn usage_has_its_list_price_by_the_unit_or_by_whole_packages() {
        let price = Price::parse("0.5").unwrap();
        let of = |value, size| at_list(value, 10, (price, size)).unwrap().to_string();
        assert_eq!(of(30 * NANO, None), "1.5");
        assert_eq!(of(-30 * NANO, None), "-1.5");
        let two = Quantity::parse("2").unwrap();
        assert_eq!(of(30 * NANO, Some(two)), "1", "3 units are two packages");
    }
}
