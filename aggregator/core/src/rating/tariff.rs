//! What a metered quantity costs: the function F of an item over its span, and the allowance before it.
//!
//! Invariants: I7. An hour costs F(P + q) − F(P), where P is what was chargeable in the span before; so the hours of a
//! span sum exactly to it, whatever the shape. Where a higher tier is cheaper for the whole, an hour can be negative: it
//! is kept. An allowance comes off before tiers and packages, and packages round up behind it (reference: rules of the
//! field, `docs/adr/0011`).
//! It must not know hours, tenants or currencies.

use serde::Serialize;
use tallyman_common::money::{Amount, MoneyError, Percent, Price, Quantity};

use super::ladder::{Ladder, TierPart};

/// The span in which usage climbs tiers, fills packages, uses an allowance, or in which a flat amount is due once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Over {
    /// One UTC hour.
    Hour,
    /// One day of the paying account's time zone.
    Day,
    /// One month of the paying account's time zone.
    Month,
}

/// The function from the chargeable quantity of a span to an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Shape {
    /// A fixed amount for any quantity above 0.
    Flat(Price),
    /// Each unit at the price of the tier that it lies in; one open tier is a plain price per unit.
    Graduated(Ladder),
    /// All units at the price of the tier that the quantity reaches; with fees alone, steps.
    Volume(Ladder),
    /// Whole packages of a size, rounded up.
    Package {
        /// Units in a package.
        size: Quantity,
        /// Price of a package.
        price: Price,
    },
}

/// Units that are free in each span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// How many.
    pub quantity: Quantity,
    /// In which span.
    pub over: Over,
}

/// How a metered quantity becomes an amount.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tariff {
    /// The function.
    pub shape: Shape,
    /// Its span.
    pub over: Over,
    /// What is free before it.
    pub allowance: Option<Allowance>,
    /// Quantity that an hour with any usage is billed for at least.
    pub at_least: Quantity,
    /// The span begins anew when a price book comes into force.
    pub resets: bool,
}

/// What a quantity costs, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Charged {
    /// Exact amount: parts less `less`.
    pub amount: Amount,
    /// What the span costs with the quantity; for graduated tiers only what the quantity adds.
    pub parts: Vec<TierPart>,
    /// What the span cost before it; empty for graduated tiers.
    pub less: Vec<TierPart>,
}

impl Tariff {
    /// A price per unit.
    pub fn per_unit(price: Price) -> Self {
        Self::of(Shape::Graduated(Ladder::flat_price(price)), Over::Hour)
    }

    /// A function over a span, without more.
    pub fn of(shape: Shape, over: Over) -> Self {
        Self {
            shape,
            over,
            allowance: None,
            at_least: Quantity::ZERO,
            resets: false,
        }
    }

    /// Whether what is used is priced by the unit, so that a share of the price can be taken.
    pub fn is_by_unit(&self) -> bool {
        !matches!(self.shape, Shape::Flat(_))
    }

    /// Whether the amount depends on what was used in the span before.
    pub fn has_memory(&self) -> bool {
        let is_plain = matches!(&self.shape, Shape::Graduated(ladder) if ladder.tiers().len() == 1
            && ladder.tiers()[0].fee == Price::ZERO);
        !is_plain
    }
}

impl Shape {
    /// What `quantity` costs behind `before` in the same span.
    pub fn charge(&self, before: Quantity, quantity: Quantity) -> Result<Charged, MoneyError> {
        let (parts, less) = match self {
            Self::Graduated(ladder) => (ladder.slices(before, quantity)?, Vec::new()),
            _ => (
                self.whole(before.checked_add(quantity)?)?.into_iter().collect(),
                self.whole(before)?.into_iter().collect(),
            ),
        };
        let sum = |parts: &[TierPart]| Amount::sum(parts.iter().map(|it| it.amount));
        let amount = sum(&parts)?.checked_sub(sum(&less)?)?;
        Ok(Charged { amount, parts, less })
    }

    /// The same function at a share of its prices.
    pub fn scaled(&self, percent: Percent) -> Result<Self, MoneyError> {
        Ok(match self {
            Self::Flat(price) => Self::Flat(percent.of_price(*price)?),
            Self::Graduated(ladder) => Self::Graduated(ladder.scaled(percent)?),
            Self::Volume(ladder) => Self::Volume(ladder.scaled(percent)?),
            Self::Package { size, price } => Self::Package {
                size: *size,
                price: percent.of_price(*price)?,
            },
        })
    }

    /// F of a quantity of the whole span as one part; none for 0.
    fn whole(&self, quantity: Quantity) -> Result<Option<TierPart>, MoneyError> {
        let part = |price, fee, packages, amount| TierPart {
            from: Quantity::ZERO,
            to: None,
            quantity,
            price,
            fee,
            packages,
            amount,
        };
        match self {
            _ if quantity.is_zero() => Ok(None),
            Self::Flat(fee) => Ok(Some(part(Price::ZERO, Some(*fee), None, fee.of_one()))),
            Self::Volume(ladder) => ladder.reached(quantity),
            Self::Package { size, price } => {
                let packages = quantity.packages_of(*size)?;
                let amount = packages.times(*price)?;
                Ok(Some(part(*price, None, Some(packages), amount)))
            }
            Self::Graduated(_) => unreachable!("graduated tiers are sliced"),
        }
    }
}
