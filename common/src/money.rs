//! The exact numbers that stand on a bill: prices, billed quantities, amounts, rounded money.
//!
//! Invariants: I7 (lines sum to totals; hourly amounts sum to the month's to the last digit), which holds only
//! because no operation here loses a digit in silence: it is exact or it fails with [`MoneyError`].
//! `rust_decimal`'s own operators, also its checked ones, round past 28 digits; they are not used here.
//!
//! It must not know meters, price books, tenants, clocks or floating point.

// Currencies, rounding to their minor units, splitting.
mod currency;
// Exact sums and products of decimals.
mod exact;
// Sums and percentages of amounts on 256 bits.
mod wide;
// The test's own big integers, the oracle of the arithmetic above.
#[cfg(test)]
mod tests;

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

pub use currency::{Currency, Money, Rounding, largest_remainder, round_minor};
pub use exact::{exact_add, exact_mul, exact_sub, exact_sum, parse_decimal};
pub use wide::WideAmount;

/// Decimal places of a billed quantity.
pub const QUANTITY_SCALE: u32 = 9;
/// Most decimal places of a price for one unit.
pub const PRICE_SCALE_MAX: u32 = 12;
/// Most decimal places of a percentage.
pub const PERCENT_SCALE_MAX: u32 = 6;

// A price times a quantity must fit the 28 places of a decimal.
const _: () = assert!(QUANTITY_SCALE + PRICE_SCALE_MAX <= 28);

/// Why a number could not be taken in or an operation could not be exact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MoneyError {
    /// The text is not a plain decimal number.
    #[error("`{text}` is not a decimal number: {reason}")]
    NotDecimal {
        /// What was read.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The text has more decimal places than its kind of number may have.
    #[error("`{text}` has {places} decimal places, at most {places_max} are allowed")]
    TooManyPlaces {
        /// What was read.
        text: String,
        /// Decimal places found, without trailing zeros.
        places: u32,
        /// Decimal places allowed.
        places_max: u32,
    },
    /// A number that can't be negative is.
    #[error("{what} {value} is negative")]
    Negative {
        /// The kind of number.
        what: &'static str,
        /// Its value.
        value: String,
    },
    /// The exact result does not fit 96 bits and 28 decimal places.
    #[error("the exact result of {operation} has too many digits")]
    TooManyDigits {
        /// The operation that failed.
        operation: &'static str,
    },
    /// No such currency in ISO 4217.
    #[error("`{code}` is not an ISO 4217 currency code")]
    UnknownCurrency {
        /// What was read.
        code: String,
    },
    /// Two amounts of different currencies met.
    #[error("{left} and {right} can't be added")]
    CurrencyMismatch {
        /// Currency of the first amount.
        left: Currency,
        /// Currency of the second amount.
        right: Currency,
    },
    /// An amount can't be split over parts that weigh nothing.
    #[error("an amount can't be split over parts that weigh nothing")]
    NoWeight,
    /// A conversion divides by zero.
    #[error("a unit of zero base units")]
    ZeroUnit,
}

/// Price of one unit of an item in the price book's currency; never negative, at most 12 decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Price(Decimal);

impl Price {
    /// The price of what is free.
    pub const ZERO: Self = Self(Decimal::ZERO);
    /// One unit of the currency for one unit of the item.
    pub const ONE: Self = Self(Decimal::ONE);

    /// Reads a price such as `0.0008`; refuses signs, exponents and more than 12 decimal places.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        parse_within(text, "price", PRICE_SCALE_MAX).map(Self)
    }

    /// The value, canonical.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// What one unit costs.
    pub fn of_one(self) -> Amount {
        Amount(self.0)
    }
}

/// A percentage such as `50` or `12.5`; never negative, at most 6 decimal places, may pass 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(Decimal);

impl Percent {
    /// Reads a percentage such as `12.5`, without a percent sign.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        parse_within(text, "percentage", PERCENT_SCALE_MAX).map(Self)
    }

    /// That share of a price, exact; fails if the share needs more than 12 decimal places.
    pub fn of_price(self, price: Price) -> Result<Price, MoneyError> {
        let product = exact_mul(self.0, price.0)?;
        let share = exact_mul(product, Decimal::new(1, 2))?;
        if share.scale() > PRICE_SCALE_MAX {
            return Err(MoneyError::TooManyPlaces {
                text: share.to_string(),
                places: share.scale(),
                places_max: PRICE_SCALE_MAX,
            });
        }
        Ok(Price(share))
    }

    /// That share of an exact amount, exact; fails if the share needs more digits than a decimal has. What is rounded in any
    /// case is taken with [`WideAmount::percent`].
    pub fn of_amount(self, amount: Amount) -> Result<Amount, MoneyError> {
        exact_mul(exact_mul(self.0, amount.0)?, Decimal::new(1, 2)).map(Amount)
    }

    /// The value, canonical.
    pub fn decimal(self) -> Decimal {
        self.0
    }
}

/// Billed quantity of an item in the item's unit; never negative, at most 9 decimal places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Quantity(Decimal);

impl Quantity {
    /// Nothing used.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Reads a quantity such as `2048` or `0.5`; refuses signs and more than 9 decimal places.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        parse_within(text, "quantity", QUANTITY_SCALE).map(Self)
    }

    /// `base` base units in units of `unit` base units each, rounded half-up to 9 decimal places.
    ///
    /// This is the one rounding of usage; it is done once per (tenant, item, hour), after all sums.
    pub fn from_base_units(base: u128, unit: u128) -> Result<Self, MoneyError> {
        let too_big = || MoneyError::TooManyDigits {
            operation: "a quantity's conversion",
        };
        let (whole, rest) = div_rem(base, unit).ok_or(MoneyError::ZeroUnit)?;
        let billionths = 10_u128.pow(QUANTITY_SCALE);
        let doubled = rest.checked_mul(2 * billionths).ok_or_else(too_big)?;
        let fraction =
            doubled.checked_add(unit).ok_or_else(too_big)? / unit.checked_mul(2).ok_or_else(too_big)?;
        let mantissa = whole
            .checked_mul(billionths)
            .and_then(|it| it.checked_add(fraction))
            .and_then(|it| i128::try_from(it).ok())
            .ok_or_else(too_big)?;
        exact::canonical(mantissa, QUANTITY_SCALE, "a quantity's conversion").map(Self)
    }

    /// The value, canonical.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Whether nothing was used.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// The exact sum.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        exact_add(self.0, other.0).map(Self)
    }

    /// The exact difference; fails if `other` is larger.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        let value = exact_sub(self.0, other.0)?;
        refuse_negative(value, "quantity").map(Self)
    }

    /// How many whole packages of a size hold it: rounded up.
    pub fn packages_of(self, size: Self) -> Result<Self, MoneyError> {
        let (own, size) = (self.billionths()?, size.billionths()?);
        if size == 0 {
            return Err(MoneyError::ZeroUnit);
        }
        let packages = own / size + i128::from(own % size != 0);
        exact::canonical(packages, 0, "a number of packages").map(Self)
    }

    /// The quantity of so many units of 10⁻⁹; the reverse of [`Quantity::billionths`]. Refuses what is negative.
    pub fn of_billionths(billionths: i128) -> Result<Self, MoneyError> {
        let value = exact::canonical(billionths, QUANTITY_SCALE, "a quantity's conversion")?;
        refuse_negative(value, "quantity").map(Self)
    }

    /// The value in units of 10⁻⁹.
    pub fn billionths(self) -> Result<i128, MoneyError> {
        let missing = QUANTITY_SCALE.checked_sub(self.0.scale());
        let factor = missing.and_then(|it| 10_i128.checked_pow(it));
        factor
            .and_then(|it| self.0.mantissa().checked_mul(it))
            .ok_or(MoneyError::TooManyDigits {
                operation: "a quantity's conversion",
            })
    }

    /// The exact product with a price.
    pub fn times(self, price: Price) -> Result<Amount, MoneyError> {
        exact_mul(self.0, price.0).map(Amount)
    }
}

/// An exact, unrounded amount in some currency; may be negative.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Amount(Decimal);

impl Amount {
    /// No money.
    pub const ZERO: Self = Self(Decimal::ZERO);

    /// Reads an amount such as `-1.4536`.
    pub fn parse(text: &str) -> Result<Self, MoneyError> {
        parse_decimal(text).map(Self)
    }

    /// The amount mantissa / 10^scale.
    pub fn of_parts(mantissa: i128, scale: u32) -> Result<Self, MoneyError> {
        exact::canonical(mantissa, scale, "an amount").map(Self)
    }

    /// The value, canonical.
    pub fn decimal(self) -> Decimal {
        self.0
    }

    /// Whether it is exactly nothing.
    pub fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Whether it is below zero.
    pub fn is_negative(self) -> bool {
        self.0 < Decimal::ZERO
    }

    /// The exact sum.
    pub fn checked_add(self, other: Self) -> Result<Self, MoneyError> {
        exact_add(self.0, other.0).map(Self)
    }

    /// The exact difference.
    pub fn checked_sub(self, other: Self) -> Result<Self, MoneyError> {
        exact_sub(self.0, other.0).map(Self)
    }

    /// The exact sum of all of them.
    pub fn sum<I: IntoIterator<Item = Self>>(amounts: I) -> Result<Self, MoneyError> {
        exact_sum(amounts.into_iter().map(Self::decimal)).map(Self)
    }
}

fn parse_within(text: &str, what: &'static str, places_max: u32) -> Result<Decimal, MoneyError> {
    let value = refuse_negative(parse_decimal(text)?, what)?;
    if value.scale() > places_max {
        let text = text.to_owned();
        return Err(MoneyError::TooManyPlaces {
            text,
            places: value.scale(),
            places_max,
        });
    }
    Ok(value)
}

/// Quotient and rest; `None` by zero. One word's division where both fit, as nearly always.
fn div_rem(base: u128, unit: u128) -> Option<(u128, u128)> {
    if let (Ok(base), Ok(unit)) = (u64::try_from(base), u64::try_from(unit)) {
        let (whole, rest) = (base.checked_div(unit)?, base.checked_rem(unit)?);
        return Some((whole.into(), rest.into()));
    }
    Some((base.checked_div(unit)?, base.checked_rem(unit)?))
}

fn refuse_negative(value: Decimal, what: &'static str) -> Result<Decimal, MoneyError> {
    if value < Decimal::ZERO {
        return Err(MoneyError::Negative {
            what,
            value: value.to_string(),
        });
    }
    Ok(value)
}

// The text forms: one canonical string per value, in and out, also through serde.

impl fmt::Display for Price {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

impl From<Price> for String {
    fn from(value: Price) -> Self {
        value.to_string()
    }
}

impl From<Percent> for String {
    fn from(value: Percent) -> Self {
        value.to_string()
    }
}

impl From<Quantity> for String {
    fn from(value: Quantity) -> Self {
        value.to_string()
    }
}

impl From<Amount> for String {
    fn from(value: Amount) -> Self {
        value.to_string()
    }
}

impl TryFrom<String> for Price {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Percent {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Quantity {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}

impl TryFrom<String> for Amount {
    type Error = MoneyError;

    fn try_from(text: String) -> Result<Self, MoneyError> {
        Self::parse(&text)
    }
}
