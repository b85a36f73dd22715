//! Discounts, coupons and credits: how much, from which lines, and never more than is left of them.

use std::ops::Range;

use tallyman_common::money::{Money, MoneyError, Percent, WideAmount, largest_remainder};

use super::dated::{Basis, Pieces};
use super::{Cause, Deduction, Draft, about};
use crate::rating::RatingError;
use crate::rating::book::ItemKey;
use crate::rating::policy::{Cut, Discount, Titles, applies};

/// What was taken from which line.
type Parts = Vec<(usize, Money)>;

impl Draft<'_> {
    pub(super) fn take_discounts(&mut self) -> Result<(), RatingError> {
        let policies = self.book.policies();
        let terms = self.input.terms;
        let plan = terms.plan_in(self.input.month);
        let has = |discount: &&Discount| {
            let has_class = discount.classes.is_empty()
                || terms
                    .class
                    .as_ref()
                    .is_some_and(|it| discount.classes.contains(it));
            let has_plan = discount.plans.is_empty() || plan.is_some_and(|it| discount.plans.contains(it));
            has_class && has_plan
        };
        let discounts: Vec<&Discount> = policies.discounts.iter().filter(has).collect();
        let mut pieces = Pieces::of(self, &discounts)?;
        for discount in discounts {
            self.take_discount(discount, policies.in_turn, &mut pieces)
                .map_err(about(&discount.key))?;
        }
        Ok(())
    }

    fn take_discount(
        &mut self,
        discount: &Discount,
        in_turn: bool,
        pieces: &mut Pieces,
    ) -> Result<(), MoneyError> {
        let lines = self.lines_of(&discount.items);
        let within = pieces.within(discount);
        if within.as_ref().is_some_and(Range::is_empty) {
            return Ok(());
        }
        let (basis, left) = match &within {
            None => (self.raw(&lines, in_turn)?, self.left_by_line(&lines)),
            Some(within) => (
                pieces.basis(self, &lines, within, in_turn)?,
                pieces.left(self, &lines, within)?,
            ),
        };
        if !basis.sum.is_above_zero() {
            return Ok(());
        }
        let (percent, off) = self.cut(&discount.cut, &basis)?;
        if let Some((mut taken, parts)) = self.take(discount.key.as_str(), &discount.titles, &left, off)? {
            pieces.note(&parts, within)?;
            taken.percent = percent;
            taken.basis = percent.map(|_| self.round_basis(&basis)).transpose()?;
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
            let basis = Basis {
                sum: WideAmount::of_money(left),
                times: 1,
            };
            let (percent, off) = self.cut(&coupon.cut, &basis).map_err(&about)?;
            let from = self.left_by_line(&lines);
            let taken = self
                .take(coupon.key.as_str(), &coupon.titles, &from, off)
                .map_err(&about)?;
            if let Some((mut taken, _)) = taken {
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
            let from = self.left_by_line(&self.usage_lines(&[]));
            let taken = self
                .take(plan.key.as_str(), &plan.titles, &from, credits)
                .map_err(&about)?;
            // They lapse, so what is not used of them is no balance: they stand beside the discounts.
            self.discounts.extend(taken.map(|(it, _)| Deduction {
                is_cut_short: false,
                ..it
            }));
        }
        for grant in self.input.grants {
            let from = self.left_by_line(&self.lines_of(&grant.items));
            let taken = self
                .due(grant.left)
                .and_then(|off| self.take(&grant.key, &grant.titles, &from, off));
            let taken = taken.map_err(RatingError::Total)?;
            // What is not used of a grant stays.
            self.credits.extend(taken.map(|(it, _)| Deduction {
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

    fn left_by_line(&self, lines: &[usize]) -> Vec<(usize, Money)> {
        lines.iter().map(|at| (*at, self.left[*at])).collect()
    }

    /// The exact cost of lines; where discounts are taken in turn, less what earlier ones took.
    fn raw(&self, lines: &[usize], in_turn: bool) -> Result<Basis, MoneyError> {
        let raw = WideAmount::sum(lines.iter().map(|at| WideAmount::of(self.lines[*at].exact)))?;
        let mut basis = Basis { sum: raw, times: 1 };
        if in_turn {
            let amounts = lines
                .iter()
                .map(|at| WideAmount::of_money(self.lines[*at].amount));
            let left = WideAmount::of_money(self.left_of(lines)?);
            basis.sum = raw.checked_sub(WideAmount::sum(amounts)?.checked_sub(left)?)?;
        }
        Ok(basis)
    }

    fn cut(&self, cut: &Cut, basis: &Basis) -> Result<(Option<Percent>, Money), MoneyError> {
        let percent = match cut {
            Cut::Amount(amount) => return Ok((None, self.round(amount.of_one())?)),
            Cut::Percent(percent) => Some(*percent),
            Cut::Steps(steps) => {
                let mut passed = None;
                for step in steps {
                    if basis.sum > WideAmount::of(step.above.of_one()).times(basis.times)? {
                        passed = Some(step.percent);
                    }
                }
                passed
            }
        };
        match percent {
            Some(percent) => {
                let (currency, rounding) = (self.currency(), self.book.rounding());
                let off = basis.sum.percent(percent, basis.times, currency, rounding)?;
                Ok((Some(percent), off))
            }
            None => Ok((None, self.zero())),
        }
    }

    /// Takes an amount off what is left of some lines, split by largest remainder over those above zero; less if there
    /// is less in all. Also what was taken from which line.
    fn take(
        &mut self,
        key: &str,
        titles: &Titles,
        from: &[(usize, Money)],
        off: Money,
    ) -> Result<Option<(Deduction, Parts)>, MoneyError> {
        let left = from
            .iter()
            .map(|(_, left)| *left)
            .try_fold(self.zero(), Money::checked_add)?;
        let is_cut_short = off.minor_units() > left.minor_units();
        let taken = if is_cut_short { left } else { off };
        if taken.minor_units() <= 0 {
            return Ok(None);
        }
        // All of these lines have something left, and together no less than is taken, for lines below zero only lessen
        // that: so the weights are above 0 and no part exceeds its line.
        let open = from.iter().filter(|(_, left)| left.minor_units() > 0);
        let (lines, weights): (Vec<usize>, Vec<u128>) = open
            .map(|(at, left)| (*at, left.minor_units().unsigned_abs()))
            .unzip();
        let parts: Parts = lines
            .into_iter()
            .zip(largest_remainder(taken, &weights)?)
            .collect();
        for (at, part) in &parts {
            self.left[*at] = self.left[*at].checked_sub(*part)?;
        }
        let deduction = Deduction {
            key: key.to_owned(),
            titles: titles.clone(),
            percent: None,
            basis: None,
            amount: self.zero().checked_sub(taken)?,
            is_cut_short,
        };
        Ok(Some((deduction, parts)))
    }
}
