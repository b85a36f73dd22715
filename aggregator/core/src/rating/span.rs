//! Many hours of one item at once, where their order does not matter: in integers, to the same digits as hour by hour.
//!
//! Invariants: I6, I7. Each hour's quantity is still rounded once, by itself; quantities are summed as billionths and
//! priced once, which is exact because a price is the same for all of them. Whatever could make hour by hour refuse
//! (a sum that does not fit, more taken off than there is) gives `None`, and the caller goes hour by hour.
//! It must not know tenants, cells or discounts.

use tallyman_common::money::{Amount, Price, QUANTITY_SCALE, Quantity};

use super::book::{Charge, Item, Over};
use super::ladder::Ladder;
use super::sums::{TierKey, TierSum};
use super::tariff::Shape;

const BILLIONTHS: u128 = 1_000_000_000;
/// The largest mantissa of an exact decimal; see `tallyman_common::money`.
const MANTISSA_MAX: u128 = (1 << 96) - 1;

/// From base units to billionths of an item's unit, rounded half-up: [`Quantity::from_base_units`] in one or two divisions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Conversion {
    unit: u128,
    /// The unit, and the factor and divisor of what is left below one unit, where 64 bits hold them all.
    narrow: Option<(u64, u64, u64)>,
}

impl Conversion {
    /// For a unit of so many base units.
    pub fn new(unit: u128) -> Self {
        Self {
            unit,
            narrow: narrow(unit),
        }
    }

    /// So many base units as billionths of the unit; `None` if they do not fit.
    pub fn billionths(&self, base: u128) -> Option<u128> {
        match (self.narrow, u64::try_from(base)) {
            (Some((unit, factor, divisor)), Ok(base)) => {
                let (whole, rest) = (base / unit, base % unit);
                let fraction = (rest * factor + divisor / 2) / divisor;
                Some(u128::from(whole) * BILLIONTHS + u128::from(fraction))
            }
            _ => {
                let quantity = Quantity::from_base_units(base, self.unit).ok()?;
                quantity.billionths().ok().and_then(|it| u128::try_from(it).ok())
            }
        }
    }
}

/// `rest × 10⁹ / unit`, rounded half-up, is `(rest × factor + divisor / 2) / divisor` with an even divisor.
fn narrow(unit: u128) -> Option<(u64, u64, u64)> {
    if unit == 0 {
        return None;
    }
    let common = common_divisor(unit, BILLIONTHS);
    let (factor, divisor) = (2 * (BILLIONTHS / common), 2 * (unit / common));
    let most = (unit - 1).checked_mul(factor)?.checked_add(divisor / 2)?;
    u64::try_from(most).ok()?;
    Some((
        u64::try_from(unit).ok()?,
        u64::try_from(factor).ok()?,
        u64::try_from(divisor).ok()?,
    ))
}

fn common_divisor(mut left: u128, mut right: u128) -> u128 {
    while right != 0 {
        (left, right) = (right, left % right);
    }
    left
}

/// How the hours of an item are rated together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Way {
    /// Nothing is due.
    Free,
    /// Nothing is due yet: the hours' quantities are kept for a percentile.
    Samples,
    /// Each hour climbs the tiers from zero; one open tier is a price per unit.
    Tiers(Vec<Step>),
    /// Hours depend on each other, or are changed before they are priced: one by one.
    ByHour,
}

/// A tier in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    key: TierKey,
    fee: Price,
    up_to: u128,
}

impl Way {
    /// The way of an item; where tenants pool, they climb the tiers of an hour together.
    pub fn of(item: &Item, pools: bool) -> Self {
        match item.charge() {
            Charge::Free => Self::Free,
            Charge::Percentile { .. } => Self::Samples,
            Charge::ShareOfAmounts { .. } => Self::ByHour,
            Charge::Metered(tariff) => {
                let is_plain = tariff.allowance.is_none() && tariff.at_least.is_zero();
                match &tariff.shape {
                    Shape::Graduated(ladder)
                        if is_plain && (!tariff.has_memory() || (tariff.over == Over::Hour && !pools)) =>
                    {
                        steps(ladder).map_or(Self::ByHour, Self::Tiers)
                    }
                    _ => Self::ByHour,
                }
            }
        }
    }
}

fn steps(ladder: &Ladder) -> Option<Vec<Step>> {
    let mut from = Quantity::ZERO;
    let mut steps = Vec::with_capacity(ladder.tiers().len());
    for tier in ladder.tiers() {
        let up_to = match tier.up_to {
            Some(bound) => u128::try_from(bound.billionths().ok()?).ok()?,
            None => u128::MAX,
        };
        let key = TierKey {
            from,
            to: tier.up_to,
            price: tier.price,
        };
        steps.push(Step {
            key,
            fee: tier.fee,
            up_to,
        });
        from = tier.up_to.unwrap_or(from);
    }
    Some(steps)
}

/// What hours of an item sum to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpanSum {
    /// Used quantity.
    pub quantity: Quantity,
    /// Exact amount.
    pub amount: Amount,
    /// Tiers with anything in them.
    pub tiers: Vec<(TierKey, TierSum)>,
    /// Quantities of hours, for percentiles.
    pub samples: Vec<Quantity>,
}

/// Sums hours of an item, none of which is nothing: billionths of its unit. `None`: hour by hour; also when all are zero
/// there is a sum, of nothing.
pub fn rate_span(way: &Way, hours: impl Iterator<Item = Option<u128>>) -> Option<SpanSum> {
    let mut span = SpanSum {
        quantity: Quantity::ZERO,
        amount: Amount::ZERO,
        tiers: Vec::new(),
        samples: Vec::new(),
    };
    let mut all = 0u128;
    match way {
        Way::ByHour => return None,
        Way::Free => {
            for hour in hours {
                all = all.checked_add(hour?)?;
            }
        }
        Way::Samples => {
            for hour in hours {
                let hour = hour?;
                all = all.checked_add(hour)?;
                if hour > 0 {
                    span.samples.push(quantity(hour)?);
                }
            }
        }
        Way::Tiers(steps) => match &steps[..] {
            [one] if one.fee == Price::ZERO => {
                for hour in hours {
                    all = all.checked_add(hour?)?;
                }
                span.price(&[(*one, all, 0)])?;
            }
            _ => {
                let mut filled: Vec<(Step, u128, u32)> = steps.iter().map(|it| (*it, 0, 0)).collect();
                for hour in hours {
                    let hour = hour?;
                    all = all.checked_add(hour)?;
                    climb(&mut filled, hour)?;
                }
                span.price(&filled)?;
            }
        },
    }
    span.quantity = quantity(all)?;
    Some(span)
}

/// Puts an hour into its tiers: how much, and how often each is entered.
fn climb(tiers: &mut [(Step, u128, u32)], hour: u128) -> Option<()> {
    let mut from = 0;
    for (step, inside, entered) in tiers {
        if hour <= from {
            break;
        }
        let high = hour.min(step.up_to);
        *inside = inside.checked_add(high - from)?;
        *entered += 1;
        from = high;
    }
    Some(())
}

/// The quantity, if not only its shortest form fits.
fn quantity(billionths: u128) -> Option<Quantity> {
    let billionths = i128::try_from(billionths)
        .ok()
        .filter(|_| billionths <= MANTISSA_MAX)?;
    Quantity::of_billionths(billionths).ok()
}

impl SpanSum {
    /// Prices what lies in each tier. All sums of hours along the way have no more digits than the sum of all at the
    /// finest scale, so that hour by hour refuses nothing that fits here.
    fn price(&mut self, tiers: &[(Step, u128, u32)]) -> Option<()> {
        let mut whole = 0u128;
        let scales = tiers.iter().flat_map(|(step, ..)| {
            let fee = step.fee.decimal().scale();
            [QUANTITY_SCALE + step.key.price.decimal().scale(), fee]
        });
        let scale = scales.max()?;
        for (step, inside, entered) in tiers.iter().filter(|(_, inside, _)| *inside > 0) {
            let price = scaled(step.key.price, scale - QUANTITY_SCALE)?;
            let fee = scaled(step.fee, scale)?;
            let mantissa = inside
                .checked_mul(price)?
                .checked_add(fee.checked_mul(u128::from(*entered))?)?;
            whole = whole.checked_add(mantissa)?;
            let sum = TierSum {
                quantity: quantity(*inside)?.times(Price::ONE).ok()?,
                packages: Amount::ZERO,
                amount: amount(mantissa, scale)?,
            };
            self.tiers.push((step.key, sum));
        }
        self.amount = amount(whole, scale)?;
        Some(())
    }
}

/// A price as an integer at a scale that is at least its own.
fn scaled(price: Price, scale: u32) -> Option<u128> {
    let price = price.decimal();
    let factor = 10u128.checked_pow(scale.checked_sub(price.scale())?)?;
    u128::try_from(price.mantissa()).ok()?.checked_mul(factor)
}

/// The amount, if not only its shortest form fits.
fn amount(mantissa: u128, scale: u32) -> Option<Amount> {
    let mantissa = i128::try_from(mantissa)
        .ok()
        .filter(|_| mantissa <= MANTISSA_MAX)?;
    Amount::of_parts(mantissa, scale).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rating::Unit;
    use tallyman_common::meter::BaseUnit;

    #[test]
    fn conversions_are_those_of_quantities() {
        let bases = [
            BaseUnit::Nanoseconds,
            BaseUnit::ByteMilliseconds,
            BaseUnit::Bytes,
            BaseUnit::Count,
            BaseUnit::Milliseconds,
        ];
        let mut state = 1u64;
        let mut next = move || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            state >> 8
        };
        let units = bases.into_iter().flat_map(Unit::of_base).map(Unit::base_units);
        for unit in units.chain([3, 7, 11_111_111_111, u128::from(u64::MAX), 1 << 70]) {
            let conversion = Conversion::new(unit);
            let edges = [
                0,
                1,
                unit - 1,
                unit,
                unit + 1,
                unit / 2,
                unit * 3 / 2,
                u128::from(u64::MAX),
                1 << 80,
            ];
            let random = (0..200).map(|at| u128::from(next()) << (at % 24) >> (at % 17));
            for base in edges.into_iter().chain(random) {
                let Ok(slow) = Quantity::from_base_units(base, unit) else {
                    continue;
                };
                let slow = u128::try_from(slow.billionths().unwrap()).ok();
                assert_eq!(conversion.billionths(base), slow, "{base} of {unit}");
            }
        }
    }

    #[test]
    fn an_hour_fills_its_tiers() {
        let step = |up_to| Step {
            key: TierKey {
                from: Quantity::ZERO,
                to: None,
                price: Price::ONE,
            },
            fee: Price::ZERO,
            up_to,
        };
        let mut tiers = vec![(step(100), 0, 0), (step(1_000), 0, 0), (step(u128::MAX), 0, 0)];
        for hour in [0, 1, 100, 101, 5_000] {
            climb(&mut tiers, hour).unwrap();
        }
        let filled: Vec<(u128, u32)> = tiers
            .iter()
            .map(|(_, inside, entered)| (*inside, *entered))
            .collect();
        assert_eq!(filled, [(301, 4), (901, 2), (4_000, 1)]);
    }
}
