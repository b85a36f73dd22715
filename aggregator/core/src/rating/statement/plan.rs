//! Fees of plans: for whole months or years and for parts of them, in advance or in arrears, less what other invoices have.
//!
//! A period is settled by its time: what the terms have and no invoice has is billed, what an invoice has and the terms don't
//! comes back, net of what was taken off it there (I7). Time before the month stays as it is.

use std::collections::BTreeMap;

use tallyman_common::money::{Money, MoneyError, Price};
use tallyman_common::time::Hour;

use super::{BilledAhead, Cause, Draft, FeeOfLine, FeePeriod, StatementLine, about};
use crate::rating::calendar::CalendarError;
use crate::rating::moments::{Length, Moment, Moments};
use crate::rating::policy::{Cut, Cycle, Plan, Titles};
use crate::rating::terms::{Coupon, Subscription};
use crate::rating::{ItemKey, RatingError};

/// The month, and the one behind it, which is billed in advance.
struct Dates {
    first: Moment,
    next: Moment,
    end: Moment,
}

/// Time of a period for which a plan's fee is due.
struct Due<'p> {
    plan: &'p Plan,
    period: FeePeriod,
    time: Moments,
    /// The price stands since an earlier invoice: only time is added or comes back.
    is_running: bool,
}

/// What a line of a fee says.
struct Change {
    /// Time of the period that is billed in all.
    time: Length,
    more: Moments,
    less: Moments,
    /// Before and after what had been taken off.
    fee: Money,
    amount: Money,
}

type Ahead<'a> = BTreeMap<(&'a ItemKey, FeePeriod), &'a BilledAhead>;

impl<'a> Draft<'a> {
    /// The plans' fees. In arrears: of what ends in this month. In advance: of what begins in the next one, and of this one
    /// what no other invoice has, or had too much.
    pub(super) fn add_fees(&mut self) -> Result<(), RatingError> {
        let dates = self.dates()?;
        let of_key = |it: &'a BilledAhead| ((&it.plan, it.period), it);
        let mut ahead: Ahead<'a> = self.input.billed_ahead.iter().map(of_key).collect();
        let mut due = self.due_fees(&dates, &ahead)?;
        due.extend(self.ended(&dates, &ahead)?);
        for it in &due {
            let had = ahead.remove(&(&it.plan.key, it.period));
            self.add_fee(it, had, &dates).map_err(about(&it.plan.key))?;
        }
        for it in ahead.into_values() {
            self.give_back(it, &dates).map_err(about(&it.plan))?;
        }
        Ok(())
    }

    fn dates(&self) -> Result<Dates, RatingError> {
        let next = self.input.month.next().map_err(calendar)?;
        Ok(Dates {
            first: self.input.month.first_day().into(),
            next: next.first_day().into(),
            end: next.next().map_err(calendar)?.first_day().into(),
        })
    }

    /// What the terms have, in the order of plans; what is of one period together.
    fn due_fees(&self, dates: &Dates, ahead: &Ahead<'a>) -> Result<Vec<Due<'a>>, RatingError> {
        let (book, mut found) = (self.book, Vec::<Due<'a>>::new());
        for own in &self.input.terms.subscriptions {
            let Some(plan) = book.policies().plan(&own.plan) else {
                if own.time(dates.first, dates.next).is_empty() {
                    continue;
                }
                let item = own.plan.clone();
                return Err(RatingError::UnknownItem { item });
            };
            for period in periods(plan, own, dates, ahead).map_err(calendar)? {
                let time = own.time(period.from, period.until);
                let is_running = is_ahead(plan, period, ahead) && period.from < dates.first;
                let known = found
                    .iter_mut()
                    .find(|it| it.plan.key == plan.key && it.period == period);
                match known {
                    Some(known) => known.time = known.time.with(&time),
                    None => found.push(Due {
                        plan,
                        period,
                        time,
                        is_running,
                    }),
                }
            }
        }
        Ok(found)
    }

    /// Years in arrears that the terms of the month before had and those of this one don't go on with: they have ended with
    /// that month, and no statement had them.
    fn ended(&self, dates: &Dates, ahead: &Ahead<'a>) -> Result<Vec<Due<'a>>, RatingError> {
        let mut found = Vec::new();
        let Some(before) = self.input.before else {
            return Ok(found);
        };
        let hours = self.input.zone.month_hours(self.input.month).map_err(calendar)?;
        let last = hours.start.0.checked_sub(1).map(Hour);
        let Some(book) = last.and_then(|last| self.input.books.at(last)) else {
            return Ok(found);
        };
        for own in &before.subscriptions {
            let Some(plan) = book.policies().plan(&own.plan) else {
                continue;
            };
            if plan.cycle != Cycle::Year || plan.in_advance {
                continue;
            }
            for period in FeePeriod::years(own.from, (dates.first, dates.next)).map_err(calendar)? {
                let goes_on = !own.time(dates.first, period.until).is_empty();
                let had = ahead.contains_key(&(&plan.key, period));
                if period.from < dates.first && goes_on && !had && !self.is_continued(plan, period, dates)? {
                    found.push(Due {
                        plan,
                        period,
                        time: own.time(period.from, dates.first),
                        is_running: false,
                    });
                }
            }
        }
        Ok(found)
    }

    /// Whether a year in arrears goes on under the terms of this month, to be billed when it ends.
    fn is_continued(&self, plan: &Plan, period: FeePeriod, dates: &Dates) -> Result<bool, RatingError> {
        let now = self.book.policies().plan(&plan.key);
        if now.is_none_or(|it| it.cycle != Cycle::Year || it.in_advance) {
            return Ok(false);
        }
        for own in self
            .input
            .terms
            .subscriptions
            .iter()
            .filter(|it| it.plan == plan.key)
        {
            let years = FeePeriod::years(own.from, (dates.first, dates.next)).map_err(calendar)?;
            if years.contains(&period) && !own.time(dates.first, period.until).is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn add_fee(&mut self, due: &Due<'_>, had: Option<&BilledAhead>, dates: &Dates) -> Result<(), MoneyError> {
        let change = if due.is_running {
            self.running(due, had, dates)?
        } else {
            self.anew(due, had)?
        };
        if change.amount.minor_units() < 0 && had.is_some_and(|it| it.is_settled) {
            return Ok(());
        }
        let plan = due.plan;
        let named = (plan.key.clone(), plan.titles.clone());
        self.push_fee(named, &plan.tax_class, due.period, change);
        Ok(())
    }

    /// A period at this month's price: what it costs less what was billed.
    fn anew(&self, due: &Due<'_>, had: Option<&BilledAhead>) -> Result<Change, MoneyError> {
        let (covered, was, net) = self.known(had);
        let is = self.share(due.plan.fee, due.time.length(), due.period.length())?;
        let fee = is.checked_sub(was)?;
        let keeps = (is.minor_units(), was.minor_units());
        Ok(Change {
            time: due.time.length(),
            more: due.time.without(&covered),
            less: covered.without(&due.time),
            fee,
            amount: if fee.minor_units() < 0 {
                self.zero().checked_sub(back(net, keeps)?)?
            } else {
                fee
            },
        })
    }

    /// A period that began before this month: time from the month on that is new or gone. The rest stays as it was billed.
    fn running(&self, due: &Due<'_>, had: Option<&BilledAhead>, dates: &Dates) -> Result<Change, MoneyError> {
        let (covered, fee, net) = self.known(had);
        let (open, of) = (due.time.since(dates.first), due.period.length());
        let (more, less) = (open.without(&covered), covered.since(dates.first).without(&open));
        let (all, kept) = (covered.with(&more).length(), covered.without(&less).length());
        // Of the rounded fees, so that all parts of the period together cost the fee.
        let before = self.share(due.plan.fee, covered.length(), of)?;
        let added = self.share(due.plan.fee, all, of)?.checked_sub(before)?;
        let keeps = (kept.into(), covered.length().into());
        Ok(Change {
            time: covered.with(&more).without(&less).length(),
            more,
            less,
            fee: added.checked_sub(back(fee, keeps)?)?,
            amount: added.checked_sub(back(net, keeps)?)?,
        })
    }

    fn known(&self, had: Option<&BilledAhead>) -> (Moments, Money, Money) {
        let nothing = || (Moments::none(), self.zero(), self.zero());
        had.map_or_else(nothing, |it| (it.time.clone(), it.fee, it.net))
    }

    /// What was billed ahead from this month on, where the terms don't have it any more.
    fn give_back(&mut self, it: &BilledAhead, dates: &Dates) -> Result<(), MoneyError> {
        let less = it.time.since(dates.first);
        if less.is_empty() || it.is_settled {
            return Ok(());
        }
        let time = it.time.without(&less).length();
        let (zero, keeps) = (self.zero(), (time.into(), it.time.length().into()));
        let change = Change {
            time,
            more: Moments::none(),
            less,
            fee: zero.checked_sub(back(it.fee, keeps)?)?,
            amount: zero.checked_sub(back(it.net, keeps)?)?,
        };
        self.push_fee(
            (it.plan.clone(), it.titles.clone()),
            &it.tax_class,
            it.period,
            change,
        );
        Ok(())
    }

    fn push_fee(&mut self, named: (ItemKey, Titles), tax_class: &str, period: FeePeriod, change: Change) {
        if change.amount.minor_units() == 0 {
            return;
        }
        self.fees.push(FeeOfLine {
            line: self.lines.len(),
            period,
            more: change.more,
            less: change.less,
            fee: change.fee,
        });
        let (time, of) = (change.time, period.length());
        let cause = Cause::Fee { period, time, of };
        self.push(StatementLine::unmetered(cause, named, change.amount, tax_class));
    }

    /// Lines that a coupon is for: of the month if it counts there, and a fee of the next month if it counts in that. What
    /// of a fee comes back is net of its own coupons, and no others lessen it. A fixed amount or one by volume is for a
    /// month as a whole, so it takes part of a fee ahead only together with its own month.
    pub(super) fn lines_of_coupon(&self, coupon: &Coupon) -> Result<Vec<usize>, RatingError> {
        let month = self.input.month;
        let next = month.next().map_err(calendar)?;
        let counts_now = coupon.counts_in(month);
        let is_share = matches!(coupon.cut, Cut::Percent(_));
        let mut lines = self.lines_of(&coupon.items);
        lines.retain(|at| match &self.lines[*at].cause {
            Cause::Fee { .. } if self.lines[*at].amount.minor_units() < 0 => false,
            Cause::Fee { period, .. } if period.from >= next.first_day().into() => {
                coupon.counts_in(next) && (counts_now || is_share)
            }
            _ => counts_now,
        });
        Ok(lines)
    }

    /// So much of all the time that a fee is for, rounded half-up to the minor unit.
    fn share(&self, fee: Price, time: Length, of: Length) -> Result<Money, MoneyError> {
        if time == of {
            return self.round(fee.of_one());
        }
        let digits = self.currency().minor_digits();
        let (mantissa, scale) = (fee.decimal().mantissa(), fee.decimal().scale());
        let power = |exponent: u32| 10_i128.checked_pow(exponent).ok_or_else(too_big);
        let over = mantissa.checked_mul(power(digits)?).ok_or_else(too_big)?;
        let over = over.checked_mul(time.into()).ok_or_else(too_big)?;
        let under = power(scale)?.checked_mul(of.into()).ok_or_else(too_big)?;
        Ok(Money::from_minor_units(quotient(over, under)?, self.currency()))
    }
}

/// Periods of a plan that this statement has to do with.
fn periods(
    plan: &Plan,
    own: &Subscription,
    dates: &Dates,
    ahead: &Ahead<'_>,
) -> Result<Vec<FeePeriod>, CalendarError> {
    let mut found = match plan.cycle {
        Cycle::Month => {
            let (this, next) = (dates.first.month(), dates.next.month());
            let mut months = vec![FeePeriod::month(this)?];
            if plan.in_advance {
                months.push(FeePeriod::month(next)?);
            }
            months
        }
        Cycle::Year => {
            let years = FeePeriod::years(own.from, (dates.first, dates.end))?;
            let ends_now = |it: &FeePeriod| {
                let end = own.until.map_or(it.until, |own| own.min(it.until));
                dates.first < end && end <= dates.next
            };
            let counts = |it: &FeePeriod| match is_ahead(plan, *it, ahead) {
                true => dates.first < it.until,
                false => ends_now(it),
            };
            years.into_iter().filter(counts).collect()
        }
    };
    // What is past stays, and what has no time is nothing.
    found.retain(|it| {
        let time = own.time(it.from, it.until);
        !time.is_empty() && (it.from >= dates.first || !time.since(dates.first).is_empty())
    });
    Ok(found)
}

/// Whether a period is billed before it ends: in advance, or because an invoice has it already.
fn is_ahead(plan: &Plan, period: FeePeriod, ahead: &Ahead<'_>) -> bool {
    plan.in_advance || ahead.contains_key(&(&plan.key, period))
}

/// What comes back of money of which so many parts of all are kept; nothing of nothing.
fn back(of: Money, (kept, all): (i128, i128)) -> Result<Money, MoneyError> {
    if all <= 0 || of.minor_units() <= 0 {
        return Ok(Money::zero(of.currency()));
    }
    let over = of.minor_units().checked_mul(kept).ok_or_else(too_big)?;
    of.checked_sub(Money::from_minor_units(quotient(over, all)?, of.currency()))
}

/// Rounded half-up; neither is below zero.
fn quotient(over: i128, under: i128) -> Result<i128, MoneyError> {
    let doubled = over.checked_mul(2).and_then(|it| it.checked_add(under));
    let twice = under.checked_mul(2).ok_or_else(too_big)?;
    Ok(doubled.ok_or_else(too_big)? / twice)
}

fn too_big() -> MoneyError {
    MoneyError::TooManyDigits {
        operation: "a proration",
    }
}

fn calendar(e: CalendarError) -> RatingError {
    RatingError::Calendar(e.to_string())
}
