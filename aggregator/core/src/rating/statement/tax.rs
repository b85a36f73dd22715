//! Taxes: per class over what is left of its lines, rounded once per rate. What corrects an earlier month is taxed as that
//! month was.

use tallyman_common::money::{Money, MoneyError, Percent, WideAmount};

use super::{Draft, StatementLine, Tax, TaxedBy};
use crate::rating::RatingError;
use crate::rating::policy::TaxRate;

/// A rate, and whether the basis contains the tax.
type Rate<'r> = (&'r TaxRate, bool);

impl Draft<'_> {
    pub(super) fn taxes(&self) -> Result<Vec<Tax>, RatingError> {
        let is_included = self.book.policies().tax_included;
        let own = self.input.terms.taxes_with(self.book);
        let own: Vec<Rate<'_>> = own.into_iter().map(|it| (it, is_included)).collect();
        let rates: Vec<Option<Rate<'_>>> = self.lines.iter().map(|it| rate_of(it, &own)).collect();
        let mut all = own.clone();
        for rate in rates.iter().flatten() {
            if !all.iter().any(|it| is_same(*it, *rate)) {
                all.push(*rate);
            }
        }
        let mut taxes = Vec::new();
        for rate in all {
            let lines = rates.iter().zip(&self.left);
            let mut lines = lines
                .filter(|(it, _)| it.is_some_and(|it| is_same(it, rate)))
                .peekable();
            if lines.peek().is_some() {
                let basis = lines.map(|(_, left)| *left);
                let basis = basis.into_iter().try_fold(self.zero(), Money::checked_add);
                let tax = basis.and_then(|basis| self.tax(rate, basis));
                taxes.push(tax.map_err(RatingError::Total)?);
            }
        }
        Ok(taxes)
    }

    fn tax(&self, (rate, is_included): Rate<'_>, basis: Money) -> Result<Tax, MoneyError> {
        let amount = if is_included {
            included(basis, rate.percent)?
        } else {
            self.percent(rate.percent, WideAmount::of_money(basis))?
        };
        Ok(Tax {
            class: rate.class.clone(),
            titles: rate.titles.clone(),
            percent: rate.percent,
            basis,
            amount,
            is_included,
        })
    }
}

/// The rate by which a line is taxed; none if no tax is due.
fn rate_of<'r>(line: &'r StatementLine, own: &[Rate<'r>]) -> Option<Rate<'r>> {
    match &line.taxed_by {
        TaxedBy::Month => own.iter().copied().find(|it| it.0.class == line.tax_class),
        TaxedBy::Earlier(rate) => rate.as_deref().map(|(rate, is_included)| (rate, *is_included)),
    }
}

/// Rates that are rounded together.
fn is_same((one, one_in): Rate<'_>, (other, other_in): Rate<'_>) -> bool {
    (&one.class, one.percent, one_in) == (&other.class, other.percent, other_in)
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
