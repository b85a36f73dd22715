//! Tiers: the function F(q) from a quantity to an amount.
//!
//! Bounds are inclusive: `up_to = 100` holds (0, 100], any fraction above is in the next tier. Tiers start at 0, rise,
//! meet and end open, so every quantity has a price. F(to) − F(from) is the exact sum of the slices in between, which
//! makes the hourly amounts of a month sum to the month's (I7).
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

/// The slice of a quantity that lies in one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TierPart {
    /// Lower bound of the tier, exclusive.
    pub from: Quantity,
    /// Upper bound of the tier, inclusive; none if it is open.
    pub to: Option<Quantity>,
    /// How much of the line's quantity lies in it.
    pub quantity: Quantity,
    /// Price of a unit.
    pub price: Price,
    /// Exact product of both.
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
        Self(vec![Tier { up_to: None, price }])
    }

    /// The tiers, lowest first.
    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// The same bounds at a share of the prices.
    pub fn scaled(&self, percent: Percent) -> Result<Self, MoneyError> {
        let scale = |tier: &Tier| {
            Ok(Tier {
                up_to: tier.up_to,
                price: percent.of_price(tier.price)?,
            })
        };
        self.0.iter().map(scale).collect::<Result<_, _>>().map(Self)
    }

    /// The slices of (before, before + quantity], lowest first; empty for a quantity of 0.
    pub fn slices(&self, before: Quantity, quantity: Quantity) -> Result<Vec<TierPart>, MoneyError> {
        let end = before.checked_add(quantity)?;
        let mut parts = Vec::new();
        let mut from = Quantity::ZERO;
        for tier in &self.0 {
            let low = before.max(from);
            let high = tier.up_to.map_or(end, |bound| bound.min(end));
            if high > low {
                let quantity = high.checked_sub(low)?;
                let amount = quantity.times(tier.price)?;
                parts.push(TierPart {
                    from,
                    to: tier.up_to,
                    quantity,
                    price: tier.price,
                    amount,
                });
            }
            match tier.up_to {
                Some(bound) if bound < end => from = bound,
                _ => break,
            }
        }
        Ok(parts)
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
