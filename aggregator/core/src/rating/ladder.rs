//! Tiers: prices by quantity, with bounds that leave no gap.
//!
//! Bounds are inclusive: `up_to = 100` holds (0, 100], any fraction above is in the next tier. Tiers start at 0, rise,
//! meet and end open, so every quantity has a price.
//! It must not know items, hours or currencies.

use serde::Serialize;
use tallyman_common::money::{Amount, MoneyError, Percent, Price, Quantity};

/// One tier: from the bound of the tier below (exclusive) up to its own (inclusive).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tier {
    /// Largest quantity in the tier; none for the last one.
    pub up_to: Option<Quantity>,
    /// Price of a unit inside the tier.
    pub price: Price,
    /// What is due once when the tier is entered.
    pub fee: Price,
}

/// Tiers that are known to be sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ladder(Vec<Tier>);

/// What is wrong with one tier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TierFault {
    /// Index of the tier, from 0.
    pub index: usize,
    /// Words that go after "tier N ".
    pub reason: String,
}

/// A part of a line's quantity that has one price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierPart {
    /// Lower bound of the tier, exclusive.
    pub from: Quantity,
    /// Upper bound of the tier, inclusive; none if it is open.
    pub to: Option<Quantity>,
    /// How much of the line's quantity lies in it.
    pub quantity: Quantity,
    /// Price of a unit, or of a package.
    pub price: Price,
    /// What is due once for the tier or the span.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fee: Option<Price>,
    /// Number of packages, where packages are priced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub packages: Option<Quantity>,
    /// Exact: quantity, or packages, times price, and the fee.
    pub amount: Amount,
}

impl Ladder {
    /// Checks tiers; all faults are told.
    pub fn new(tiers: Vec<Tier>) -> Result<Self, Vec<TierFault>> {
        let faults = check(&tiers);
        if faults.is_empty() {
            Ok(Self(tiers))
        } else {
            Err(faults)
        }
    }

    /// One open tier: the same price for every unit.
    pub fn flat_price(price: Price) -> Self {
        let (up_to, fee) = (None, Price::ZERO);
        Self(vec![Tier { up_to, price, fee }])
    }

    /// The tiers, lowest first.
    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// The same bounds at a share of the prices and fees.
    pub fn scaled(&self, percent: Percent) -> Result<Self, MoneyError> {
        let scale = |tier: &Tier| {
            Ok(Tier {
                up_to: tier.up_to,
                price: percent.of_price(tier.price)?,
                fee: percent.of_price(tier.fee)?,
            })
        };
        self.0.iter().map(scale).collect::<Result<_, _>>().map(Self)
    }

    /// The slices of (before, before + quantity], lowest first; empty for a quantity of 0. The fee of a tier is in the
    /// slice that enters it.
    pub fn slices(&self, before: Quantity, quantity: Quantity) -> Result<Vec<TierPart>, MoneyError> {
        let end = before.checked_add(quantity)?;
        let mut parts = Vec::new();
        let mut from = Quantity::ZERO;
        for tier in &self.0 {
            let low = before.max(from);
            let high = tier.up_to.map_or(end, |bound| bound.min(end));
            if high > low {
                let is_entered = low == from;
                parts.push(tier.part(from, high.checked_sub(low)?, is_entered)?);
            }
            match tier.up_to {
                Some(bound) if bound < end => from = bound,
                _ => break,
            }
        }
        Ok(parts)
    }

    /// The whole of a quantity in the tier that it reaches; none for a quantity of 0.
    pub fn reached(&self, quantity: Quantity) -> Result<Option<TierPart>, MoneyError> {
        if quantity.is_zero() {
            return Ok(None);
        }
        let mut from = Quantity::ZERO;
        for tier in &self.0 {
            match tier.up_to {
                Some(bound) if bound < quantity => from = bound,
                _ => return tier.part(from, quantity, true).map(Some),
            }
        }
        unreachable!("the last tier is open")
    }
}

impl Tier {
    fn part(&self, from: Quantity, quantity: Quantity, with_fee: bool) -> Result<TierPart, MoneyError> {
        let fee = Some(self.fee).filter(|fee| with_fee && *fee != Price::ZERO);
        let product = quantity.times(self.price)?;
        Ok(TierPart {
            from,
            to: self.up_to,
            quantity,
            price: self.price,
            fee,
            packages: None,
            amount: fee.map_or(Ok(product), |fee| product.checked_add(fee.of_one()))?,
        })
    }
}

fn check(tiers: &[Tier]) -> Vec<TierFault> {
    let mut faults = Vec::new();
    let mut fault = |index, reason: String| faults.push(TierFault { index, reason });
    if tiers.is_empty() {
        fault(0, "is missing: an item with tiers has at least one".to_owned());
    }
    let mut below = Quantity::ZERO;
    for (index, tier) in tiers.iter().enumerate() {
        let is_last = index + 1 == tiers.len();
        match tier.up_to {
            Some(bound) if bound <= below => {
                fault(index, format!("`up_to = {bound}` is not above {below}"));
            }
            Some(bound) => below = bound,
            None if !is_last => fault(index, "has no `up_to`; only the last tier is open".to_owned()),
            None => {}
        }
        if is_last && tier.up_to.is_some() {
            fault(
                index,
                "is the last and must be open: leave its `up_to` out".to_owned(),
            );
        }
    }
    faults
}
