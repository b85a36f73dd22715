//! Fees of plans: for whole months, for the days of a month, in advance or in arrears.

use std::collections::BTreeMap;

use jiff::civil::Date;
use tallyman_common::money::{Money, MoneyError, Price};

use super::{BilledAhead, Cause, Draft, StatementLine, about};
use crate::rating::calendar::{Day, Month};
use crate::rating::policy::{Cycle, Plan};
use crate::rating::{ItemKey, RatingError};

impl Draft<'_> {
    /// Days of a month with the plan, and the days that it has. Intervals are half-open.
    pub(super) fn plan_days(&self, month: Month) -> Result<(u32, u32), RatingError> {
        let calendar = |e: crate::rating::calendar::CalendarError| RatingError::Calendar(e.to_string());
        let (first, next) = (month.first_day(), month.next().map_err(calendar)?.first_day());
        let of = days_between(first, next);
        let Some(subscription) = &self.input.terms.subscription else {
            return Ok((0, of));
        };
        let from = subscription.from.max(first);
        let until = subscription.until.map_or(next, |it| it.min(next));
        Ok((
            if from < until {
                days_between(from, until)
            } else {
                0
            },
            of,
        ))
    }

    /// The plan's fees. In arrears: those of this month. In advance: those of the next one, and of this one what an
    /// earlier statement did not have, or had too much. A fee that was billed ahead comes back whole where its plan is no
    /// longer the account's.
    pub(super) fn add_fees(&mut self) -> Result<(), RatingError> {
        let month = self.input.month;
        let mut ahead: BTreeMap<&ItemKey, &BilledAhead> = BTreeMap::new();
        for it in self.input.billed_ahead {
            ahead.insert(&it.plan, it);
        }
        if let Some(subscription) = &self.input.terms.subscription {
            let Some(plan) = self.book.policies().plan(&subscription.plan) else {
                let item = subscription.plan.clone();
                return Err(RatingError::UnknownItem { item });
            };
            let begun = subscription.from.month();
            let had = ahead.remove(&plan.key).map(|it| it.fee);
            self.add_fee(plan, begun, month, had)?;
            if plan.in_advance {
                let next = month.next().map_err(|e| RatingError::Calendar(e.to_string()))?;
                self.add_fee(plan, begun, next, None)?;
            }
        }
        let (_, of) = self.plan_days(month)?;
        for it in ahead.into_values() {
            let back = self.zero().checked_sub(it.fee).map_err(about(&it.plan))?;
            self.push(fee_line(it, (month, 0, of), back));
        }
        Ok(())
    }

    fn add_fee(
        &mut self,
        plan: &Plan,
        begun: Month,
        month: Month,
        had: Option<Money>,
    ) -> Result<(), RatingError> {
        let (days, of) = self.plan_days(month)?;
        let is_due = match plan.cycle {
            Cycle::Month => days > 0,
            Cycle::Year => days > 0 && begun.number() == month.number(),
        };
        let about = about(&plan.key);
        let fee = match plan.cycle {
            _ if !is_due => self.zero(),
            Cycle::Month => self.share(plan.fee, days, of).map_err(&about)?,
            Cycle::Year => self.round(plan.fee.of_one()).map_err(&about)?,
        };
        let amount = had.map_or(Ok(fee), |had| fee.checked_sub(had)).map_err(&about)?;
        if amount.minor_units() == 0 {
            return Ok(());
        }
        let plan = BilledAhead {
            plan: plan.key.clone(),
            titles: plan.titles.clone(),
            tax_class: plan.tax_class.clone(),
            fee,
        };
        self.push(fee_line(&plan, (month, days, of), amount));
        Ok(())
    }

    /// `days` of `of` days of a fee, rounded half-up to the minor unit.
    fn share(&self, fee: Price, days: u32, of: u32) -> Result<Money, MoneyError> {
        if days == of {
            return self.round(fee.of_one());
        }
        let too_big = || MoneyError::TooManyDigits {
            operation: "a proration",
        };
        let digits = self.currency().minor_digits();
        let (mantissa, scale) = (fee.decimal().mantissa(), fee.decimal().scale());
        let power = |exponent: u32| 10_i128.checked_pow(exponent).ok_or_else(too_big);
        let over = mantissa
            .checked_mul(power(digits)?)
            .and_then(|it| it.checked_mul(i128::from(days)))
            .ok_or_else(too_big)?;
        let under = power(scale)?.checked_mul(i128::from(of)).ok_or_else(too_big)?;
        let doubled = over
            .checked_mul(2)
            .and_then(|it| it.checked_add(under))
            .ok_or_else(too_big)?;
        Ok(Money::from_minor_units(doubled / (2 * under), self.currency()))
    }
}

fn fee_line(it: &BilledAhead, (month, days, of): (Month, u32, u32), amount: Money) -> StatementLine {
    let named = (it.plan.clone(), it.titles.clone());
    StatementLine::unmetered(Cause::Fee { month, days, of }, named, amount, &*it.tax_class)
}

/// Days of `from..until`.
fn days_between(from: Day, until: Day) -> u32 {
    let days = |day: Day| -> Date { day.date() };
    let span = days(until).duration_since(days(from)).as_hours() / 24;
    u32::try_from(span).expect("a month has few days")
}
