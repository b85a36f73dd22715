//! Discounts, coupons and credits: how much, from which lines, and never more than is left of them.

use tallyman_common::money::{Amount, Money, MoneyError, Percent, WideAmount, largest_remainder};
use tallyman_common::time::Hour;

use super::{Cause, Deduction, Draft, about};
use crate::rating::RatingError;
use crate::rating::book::ItemKey;
use crate::rating::policy::{Cut, Discount, Titles, applies};

impl Draft<'_> {
    pub(super) fn take_discounts(&mut self) -> Result<(), RatingError> {
        let policies = self.book.policies();
        let terms = self.input.terms;
        let plan = terms.plan_in(self.input.month);
        for discount in &policies.discounts {
            let has_class = discount.classes.is_empty()
                || terms
                    .class
                    .as_ref()
                    .is_some_and(|it| discount.classes.contains(it));
            let has_plan = discount.plans.is_empty() || plan.is_some_and(|it| discount.plans.contains(it));
            if has_class && has_plan {
                self.take_discount(discount, policies.in_turn)
                    .map_err(about(&discount.key))?;
            }
        }
        Ok(())
    }

    fn take_discount(&mut self, discount: &Discount, in_turn: bool) -> Result<(), MoneyError> {
        let lines = self.lines_of(&discount.items);
        let basis = match (discount.from, discount.until) {
            (None, None) => self.raw(&lines, in_turn)?,
            dates => self.raw_between(dates, &lines, in_turn)?,
        };
        if !basis.is_above_zero() {
            return Ok(());
        }
        let (percent, off) = self.cut(&discount.cut, basis)?;
        let taken = self.take(&discount.key.to_string(), &discount.titles, &lines, off)?;
        if let Some(mut taken) = taken {
            taken.percent = percent;
            taken.basis = percent.map(|_| self.round_wide(basis)).transpose()?;
            self.discounts.push(taken);
        }
        Ok(())
    }

    /// Coupons of the account, each on what is left.
    pub(super) fn take_coupons(&mut self) -> Result<(), RatingError> {
        for coupon in &self.input.terms.coupons {
            let about = about(&coupon.key);
            let lines = self.lines_of_coupon(coupon)?;
            let left = self.left_of(&lines).map_err(&about)?;
            let (percent, off) = self
                .cut(&coupon.cut, WideAmount::of_money(left))
                .map_err(&about)?;
            let taken = self
                .take(coupon.key.as_str(), &coupon.titles, &lines, off)
                .map_err(&about)?;
            if let Some(mut taken) = taken {
                taken.percent = percent;
                taken.basis = percent.map(|_| left);
                self.discounts.push(taken);
            }
        }
        Ok(())
    }

    /// Credits that the plan includes, which lapse with the month, then those that were granted.
    pub(super) fn take_credits(&mut self) -> Result<(), RatingError> {
        let book = self.book;
        let plan = self.input.terms.plan_in(self.input.month);
        if let Some(plan) = plan.and_then(|it| book.policies().plan(it)) {
            let about = about(&plan.key);
            let credits = self.round(plan.credits.of_one()).map_err(&about)?;
            let lines = self.usage_lines(&[]);
            let taken = self
                .take(plan.key.as_str(), &plan.titles, &lines, credits)
                .map_err(&about)?;
            // They lapse, so what is not used of them is no balance: they stand beside the discounts.
            self.discounts.extend(taken.map(|it| Deduction {
                is_cut_short: false,
                ..it
            }));
        }
        for grant in self.input.grants {
            let lines = self.lines_of(&grant.items);
            let taken = self
                .due(grant.left)
                .and_then(|off| self.take(&grant.key, &grant.titles, &lines, off));
            let taken = taken.map_err(RatingError::Total)?;
            // What is not used of a grant stays.
            self.credits.extend(taken.map(|it| Deduction {
                is_cut_short: false,
                ..it
            }));
        }
        Ok(())
    }

    /// So much of a credit, but not more than is due in all: days of a fee that come back make no money of a credit.
    fn due(&self, credit: Money) -> Result<Money, MoneyError> {
        let due = self
            .left
            .iter()
            .copied()
            .try_fold(self.zero(), Money::checked_add)?;
        Ok(if credit.minor_units() > due.minor_units() {
            due
        } else {
            credit
        })
    }

    /// Places of the lines of some items, all if empty. A line below zero, such as what is above a maximum, is among them:
    /// what its item costs is the sum of both.
    pub(super) fn lines_of(&self, items: &[ItemKey]) -> Vec<usize> {
        let lines = self.lines.iter().enumerate();
        let chosen = lines.filter(|(_, line)| applies(items, &line.item));
        chosen.map(|(at, _)| at).collect()
    }

    fn usage_lines(&self, items: &[ItemKey]) -> Vec<usize> {
        let mut lines = self.lines_of(items);
        let is_usage = |cause: &Cause| !matches!(cause, Cause::Fee { .. } | Cause::Late { .. });
        lines.retain(|at| is_usage(&self.lines[*at].cause));
        lines
    }

    fn left_of(&self, lines: &[usize]) -> Result<Money, MoneyError> {
        lines
            .iter()
            .map(|at| self.left[*at])
            .try_fold(self.zero(), Money::checked_add)
    }

    /// The exact cost of lines; where discounts are taken in turn, less what earlier ones took.
    fn raw(&self, lines: &[usize], in_turn: bool) -> Result<WideAmount, MoneyError> {
        let raw = WideAmount::sum(lines.iter().map(|at| WideAmount::of(self.lines[*at].exact)))?;
        if !in_turn {
            return Ok(raw);
        }
        let amounts = lines
            .iter()
            .map(|at| WideAmount::of_money(self.lines[*at].amount));
        let left = WideAmount::of_money(self.left_of(lines)?);
        raw.checked_sub(WideAmount::sum(amounts)?.checked_sub(left)?)
    }

    /// The same of usage within dates only.
    fn raw_between(
        &self,
        (from, until): (Option<Hour>, Option<Hour>),
        lines: &[usize],
        in_turn: bool,
    ) -> Result<WideAmount, MoneyError> {
        let sums = self.input.sums;
        let segments = sums.segments_in(from, until);
        let mut all = WideAmount::ZERO;
        for at in lines {
            let line = &self.lines[*at];
            let Cause::Usage(tenant) = &line.cause else {
                continue;
            };
            let sum = sums.tenants.get(tenant).and_then(|it| it.get(&line.item));
            let inside = sum.and_then(|it| it.segments.get(segments.clone()));
            let inside = Amount::sum(inside.into_iter().flatten().copied())?;
            let inside = inside.min(self.net_of(*at)?);
            all = all.checked_add(WideAmount::of(inside))?;
            if in_turn {
                all = all.checked_sub(WideAmount::of_money(self.taken_within(*at, inside)?))?;
            }
        }
        Ok(all)
    }

    /// What usage costs less what of it is above its maximum, which stands behind it.
    fn net_of(&self, at: usize) -> Result<Amount, MoneyError> {
        let line = &self.lines[at];
        match self.lines.get(at + 1) {
            Some(next) if next.item == line.item && matches!(next.cause, Cause::Maximum(_)) => {
                line.exact.checked_add(next.exact)
            }
            _ => Ok(line.exact),
        }
    }

    /// What earlier discounts took from a part of a line: their part of it, in proportion.
    fn taken_within(&self, at: usize, inside: Amount) -> Result<Money, MoneyError> {
        let taken = self.lines[at].amount.checked_sub(self.left[at])?;
        let inside_units = self.round(inside)?;
        let outside = self.round(self.net_of(at)?)?.checked_sub(inside_units)?;
        let weights = [inside_units, outside].map(|it| u128::try_from(it.minor_units()));
        match weights {
            [Ok(inside), Ok(outside)] if inside > 0 => Ok(largest_remainder(taken, &[inside, outside])?[0]),
            // Nothing was taken from what costs nothing; a part that is more than the whole bore all of it.
            [Ok(_), Err(_)] => Ok(taken),
            _ => Ok(self.zero()),
        }
    }

    fn cut(&self, cut: &Cut, basis: WideAmount) -> Result<(Option<Percent>, Money), MoneyError> {
        let percent = match cut {
            Cut::Amount(amount) => return Ok((None, self.round(amount.of_one())?)),
            Cut::Percent(percent) => Some(*percent),
            Cut::Steps(steps) => {
                let passed = steps
                    .iter()
                    .rev()
                    .find(|it| basis > WideAmount::of(it.above.of_one()));
                passed.map(|it| it.percent)
            }
        };
        match percent {
            Some(percent) => Ok((Some(percent), self.percent(percent, basis)?)),
            None => Ok((None, self.zero())),
        }
    }

    /// Takes an amount off what is left of some lines, split by largest remainder over those above zero; less if there
    /// is less in all.
    fn take(
        &mut self,
        key: &str,
        titles: &Titles,
        lines: &[usize],
        off: Money,
    ) -> Result<Option<Deduction>, MoneyError> {
        let left = self.left_of(lines)?;
        let mut lines = lines.to_vec();
        lines.retain(|at| self.left[*at].minor_units() > 0);
        let is_cut_short = off.minor_units() > left.minor_units();
        let taken = if is_cut_short { left } else { off };
        if taken.minor_units() <= 0 {
            return Ok(None);
        }
        // All of these lines have something left, and together no less than is taken, for lines below zero only lessen
        // that: so the weights are above 0 and no part exceeds its line.
        let weights: Vec<u128> = lines
            .iter()
            .map(|at| self.left[*at].minor_units().unsigned_abs())
            .collect();
        for (at, part) in lines.iter().zip(largest_remainder(taken, &weights)?) {
            self.left[*at] = self.left[*at].checked_sub(part)?;
        }
        Ok(Some(Deduction {
            key: key.to_owned(),
            titles: titles.clone(),
            percent: None,
            basis: None,
            amount: self.zero().checked_sub(taken)?,
            is_cut_short,
        }))
    }
}
