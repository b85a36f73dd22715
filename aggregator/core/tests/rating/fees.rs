//! The naive model of fees: half day by half day, as sets of numbered ones (docs/PRICES.md). Fractions; calls nothing of the product.

use std::collections::BTreeSet;

use crate::exact::Ratio;
use crate::month::{Agreed, Plan, Policies};

/// Parts of a day that are counted: a plan may begin and end at noon.
pub const PARTS: u32 = 2;

/// A plan from a half day on. They are counted from the first of January 1900.
#[derive(Clone, Debug)]
pub struct Subscription {
    pub plan: String,
    pub from: u32,
    pub until: Option<u32>,
}

/// What other invoices have of a plan's fee for a period.
#[derive(Clone, Debug)]
pub struct Ahead {
    pub plan: String,
    pub period: (u32, u32),
    pub days: (u32, u32),
    pub fee: Ratio,
    pub net: Ratio,
    pub is_settled: bool,
}

/// A line of a fee.
#[derive(Debug)]
pub struct Fee {
    pub plan: String,
    pub class: String,
    pub amount: Ratio,
    /// Its period begins behind the month.
    pub is_next: bool,
}

type Period = (u32, u32);

/// How many days a month has; months are counted from the year 0.
fn length(month: u32) -> u32 {
    let (year, number) = (month / 12, month % 12 + 1);
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match number {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// The number of the first half of a month's day, counted from 0.
pub fn day(month: u32, day: u32) -> u32 {
    ((1900 * 12..month).map(length).sum::<u32>() + day) * PARTS
}

/// The month of a numbered half day, its day there from 0, and which half.
pub fn month_of(part: u32) -> (u32, u32, u32) {
    let (mut day, mut month) = (part / PARTS, 1900 * 12);
    while day >= length(month) {
        day -= length(month);
        month += 1;
    }
    (month, day, part % PARTS)
}

/// The same half day some years later, or the last one of its month.
fn years_later(from: u32, years: u32) -> u32 {
    let (month, own, half) = month_of(from);
    let month = month + 12 * years;
    day(month, own.min(length(month) - 1)) + half
}

/// The year of a plan's cycles that has a day, if the plan had begun.
pub fn year_with(from: u32, wanted: u32) -> Option<Period> {
    (0..60)
        .map(|it| (years_later(from, it), years_later(from, it + 1)))
        .find(|it| it.0 <= wanted && wanted < it.1)
}

/// The plan that counts in a month: most days, then the later one.
pub fn counting<'p>(policies: &'p Policies, own: &[Subscription], month: u32) -> Option<&'p Plan> {
    let first = day(month, 0);
    let mut best: Option<(usize, u32, &Plan)> = None;
    for plan in &policies.plans {
        let of_plan: Vec<&Subscription> = own.iter().filter(|it| it.plan == plan.key).collect();
        let days = (first..day(month + 1, 0)).filter(|day| of_plan.iter().any(|it| has(it, *day)));
        let days: Vec<u32> = days.collect();
        if let Some(last) = days.last()
            && best.is_none_or(|(count, day, _)| (days.len(), *last) > (count, day))
        {
            best = Some((days.len(), *last, plan));
        }
    }
    best.map(|it| it.2)
}

fn has(own: &Subscription, day: u32) -> bool {
    own.from <= day && own.until.is_none_or(|it| day < it)
}

struct Fees<'a> {
    policies: &'a Policies,
    agreed: &'a Agreed,
    first: u32,
    next: u32,
    end: u32,
    made: Vec<Fee>,
    seen: Vec<(String, Period)>,
}

/// The fees of a month.
pub fn fees(policies: &Policies, agreed: &Agreed, month: u32) -> Vec<Fee> {
    let mut fees = Fees {
        policies,
        agreed,
        first: day(month, 0),
        next: day(month + 1, 0),
        end: day(month + 2, 0),
        made: Vec::new(),
        seen: Vec::new(),
    };
    fees.due();
    fees.ended();
    fees.back();
    fees.made
}

impl Fees<'_> {
    fn plan(&self, key: &str) -> &Plan {
        let found = self.policies.plans.iter().find(|it| it.key == key);
        found.expect("a plan of the book")
    }

    fn had(&self, plan: &str, period: Period) -> Option<Ahead> {
        let mut all = self.agreed.ahead.iter();
        all.find(|it| it.plan == plan && it.period == period).cloned()
    }

    fn due(&mut self) {
        for own in &self.agreed.subscriptions {
            let plan = self.plan(&own.plan).clone();
            let candidates: Vec<Period> = if plan.is_yearly {
                let found: BTreeSet<Period> = (self.first..self.end)
                    .filter_map(|it| year_with(own.from, it))
                    .collect();
                found.into_iter().collect()
            } else {
                vec![(self.first, self.next), (self.next, self.end)]
            };
            for period in candidates {
                let days: Vec<u32> = (period.0..period.1).filter(|it| has(own, *it)).collect();
                let Some(last) = days.last() else { continue };
                let is_ahead = plan.in_advance || (plan.is_yearly && self.had(&plan.key, period).is_some());
                let is_wanted = if is_ahead {
                    *last >= self.first
                } else {
                    self.first <= *last && *last < self.next
                };
                let key = (plan.key.clone(), period);
                if !is_wanted || self.seen.contains(&key) {
                    continue;
                }
                self.seen.push(key);
                self.settle(&plan, period, is_ahead);
            }
        }
    }

    fn settle(&mut self, plan: &Plan, period: Period, is_ahead: bool) {
        // A plan that is left and begun anew begins a year of its own.
        let is_of = |it: &&Subscription| {
            it.plan == plan.key && (!plan.is_yearly || year_with(it.from, period.0) == Some(period))
        };
        let of_plan: Vec<&Subscription> = self.agreed.subscriptions.iter().filter(is_of).collect();
        let own: BTreeSet<u32> = (period.0..period.1)
            .filter(|day| of_plan.iter().any(|it| has(it, *day)))
            .collect();
        let had = self.had(&plan.key, period);
        let billed: BTreeSet<u32> = had.iter().flat_map(|it| it.days.0..it.days.1).collect();
        let (fee, net) = had
            .as_ref()
            .map_or((Ratio::ZERO, Ratio::ZERO), |it| (it.fee, it.net));
        let price = |days: usize| self.round(plan.fee * count(days) / count((period.0..period.1).len()));
        let amount = if is_ahead && period.0 < self.first {
            let open = |days: &BTreeSet<u32>| days.range(self.first..).copied().collect::<BTreeSet<u32>>();
            let (now, was) = (open(&own), open(&billed));
            let (new, gone) = (now.difference(&was).count(), was.difference(&now).count());
            let added = price(billed.len() + new) - price(billed.len());
            added - self.part_gone(net, count(billed.len() - gone), count(billed.len()))
        } else {
            let is = price(own.len());
            if is < fee {
                -self.part_gone(net, is, fee)
            } else {
                is - fee
            }
        };
        let is_back = !amount.is_above_zero();
        if amount.is_zero() || is_back && had.is_some_and(|it| it.is_settled) {
            return;
        }
        self.push(&plan.key, &plan.tax_class, amount, period);
    }

    fn round(&self, it: Ratio) -> Ratio {
        it.rounded(self.policies.places)
    }

    /// What is gone of money of which a part of all is kept.
    fn part_gone(&self, of: Ratio, kept: Ratio, all: Ratio) -> Ratio {
        if all.is_zero() {
            return Ratio::ZERO;
        }
        of - self.round(of * kept / all)
    }

    fn push(&mut self, plan: &str, class: &str, amount: Ratio, period: Period) {
        self.made.push(Fee {
            plan: plan.to_owned(),
            class: class.to_owned(),
            amount,
            is_next: period.0 >= self.next,
        });
    }

    /// Years in arrears that ended with the terms of the month before.
    fn ended(&mut self) {
        for own in &self.agreed.before {
            let plan = self.plan(&own.plan).clone();
            let period = year_with(own.from, self.first);
            let Some(period) = period.filter(|it| it.0 < self.first && plan.is_yearly && !plan.in_advance)
            else {
                continue;
            };
            let goes_on = |it: &Subscription| (self.first..period.1).any(|day| has(it, day));
            let is_same = |it: &&Subscription| {
                it.plan == own.plan && year_with(it.from, self.first) == Some(period) && goes_on(it)
            };
            let is_continued = self.agreed.subscriptions.iter().any(|it| is_same(&it));
            if !goes_on(own) || is_continued || self.had(&plan.key, period).is_some() {
                continue;
            }
            let days = (period.0..self.first).filter(|it| has(own, *it)).count();
            let amount = self.round(plan.fee * count(days) / count((period.0..period.1).len()));
            if !amount.is_zero() {
                self.push(&plan.key, &plan.tax_class, amount, period);
            }
        }
    }

    /// What nobody wants any more.
    fn back(&mut self) {
        let mut rest: Vec<Ahead> = self.agreed.ahead.clone();
        rest.retain(|it| !it.is_settled && !self.seen.contains(&(it.plan.clone(), it.period)));
        rest.sort_by(|one, other| (&one.plan, one.period).cmp(&(&other.plan, other.period)));
        for it in rest {
            let (all, gone) = (it.days.0..it.days.1, it.days.0.max(self.first)..it.days.1);
            let amount = self.part_gone(it.net, count(all.len() - gone.len()), count(all.len()));
            if !amount.is_zero() {
                self.push(&it.plan, "standard", -amount, it.period);
            }
        }
    }
}

fn count(days: usize) -> Ratio {
    Ratio::whole(i128::try_from(days).expect("few days"))
}
