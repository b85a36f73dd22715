//! Taxes: per class over what is left of its lines, rounded once per rate.

use std::collections::BTreeMap;

use tallyman_common::money::{Money, MoneyError, Percent, WideAmount};

use super::{Draft, Tax};
use crate::rating::RatingError;

impl Draft<'_> {
    pub(super) fn taxes(&self) -> Result<Vec<Tax>, RatingError> {
        let is_included = self.book.policies().tax_included;
        let mut bases: BTreeMap<&str, Money> = BTreeMap::new();
        for (line, left) in self.lines.iter().zip(&self.left) {
            let basis = bases.entry(&line.tax_class).or_insert(self.zero());
            *basis = basis.checked_add(*left).map_err(RatingError::Total)?;
        }
        let mut taxes = Vec::new();
        for rate in self.input.terms.taxes_with(self.book) {
            let Some(basis) = bases.get(rate.class.as_str()).copied() else {
                continue;
            };
            let amount = if is_included {
                included(basis, rate.percent)
            } else {
                self.percent(rate.percent, WideAmount::of_money(basis))
            };
            taxes.push(Tax {
                class: rate.class.clone(),
                titles: rate.titles.clone(),
                percent: rate.percent,
                basis,
                amount: amount.map_err(RatingError::Total)?,
                is_included,
            });
        }
        Ok(taxes)
    }
}

/// The tax that an amount contains: amount × rate / (100 + rate), half-up away from zero.
fn included(amount: Money, percent: Percent) -> Result<Money, MoneyError> {
    let too_big = || MoneyError::TooManyDigits { operation: "a tax" };
    let (rate, scale) = (percent.decimal().mantissa(), percent.decimal().scale());
    let hundred = 10_i128
        .checked_pow(scale)
        .and_then(|it| it.checked_mul(100))
        .ok_or_else(too_big)?;
    let under = hundred.checked_add(rate).ok_or_else(too_big)?;
    let units = amount.minor_units();
    let over = units
        .abs()
        .checked_mul(rate)
        .and_then(|it| it.checked_mul(2))
        .ok_or_else(too_big)?;
    let rounded = over.checked_add(under).ok_or_else(too_big)? / (2 * under);
    Ok(Money::from_minor_units(
        rounded * units.signum(),
        amount.currency(),
    ))
}
