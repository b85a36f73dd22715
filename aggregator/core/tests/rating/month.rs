//! The naive model of a month: lines, minimum and maximum, surcharges, discounts, commitment, fees, coupons, credits, tax, in
//! that order (docs/PRICES.md). Fractions; calls nothing of the product.

use crate::exact::Ratio;
use crate::fees::{self, Ahead, Subscription};
use crate::model::{Charge, Item, Rated, graduated};

#[derive(Clone, Debug)]
pub enum Cut {
    Percent(Ratio),
    Amount(Ratio),
    Steps(Vec<(Ratio, Ratio)>),
}

#[derive(Clone, Debug)]
pub struct Discount {
    pub key: String,
    pub items: Vec<String>,
    pub classes: Vec<String>,
    pub plans: Vec<String>,
    pub from: Option<u32>,
    pub until: Option<u32>,
    pub cut: Cut,
}

#[derive(Clone, Debug)]
pub struct Surcharge {
    pub key: String,
    pub items: Vec<String>,
    pub above: Ratio,
    pub percent: Ratio,
    pub tax_class: String,
}

#[derive(Clone, Debug)]
pub struct Plan {
    pub key: String,
    pub fee: Ratio,
    pub is_yearly: bool,
    pub in_advance: bool,
    pub credits: Ratio,
    pub quantities: Vec<(String, Ratio)>,
    pub tax_class: String,
}

/// What a book says of months.
#[derive(Clone, Debug)]
pub struct Policies {
    pub places: u32,
    pub in_turn: bool,
    pub tax_included: bool,
    pub discounts: Vec<Discount>,
    pub surcharges: Vec<Surcharge>,
    pub plans: Vec<Plan>,
    pub taxes: Vec<(String, Ratio)>,
}

#[derive(Clone, Debug)]
pub struct Coupon {
    pub key: String,
    pub items: Vec<String>,
    pub cut: Cut,
    /// Months from 0; how many.
    pub from: u32,
    pub months: Option<u32>,
}

#[derive(Clone, Debug)]
pub struct Agreed {
    pub class: Option<String>,
    /// In the order of their days.
    pub subscriptions: Vec<Subscription>,
    /// The same of the month before.
    pub before: Vec<Subscription>,
    pub commitment: Option<Ratio>,
    pub tax_exempt: bool,
    /// Rates of its own, by class.
    pub taxes: Vec<(String, Ratio)>,
    pub coupons: Vec<Coupon>,
    /// Key, amount, items.
    pub grants: Vec<(String, Ratio, Vec<String>)>,
    pub ahead: Vec<Ahead>,
}

/// The month that is billed: its number and its length.
#[derive(Clone, Copy, Debug)]
pub struct Which {
    pub number: u32,
    /// Its first hour.
    pub first: u32,
    pub hours: u32,
}

/// Which fee a line is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fee {
    Back,
    OfMonth,
    OfNext,
}

#[derive(Clone, Debug)]
struct Line {
    cause: String,
    item: String,
    tenant: String,
    is_usage: bool,
    fee: Option<Fee>,
    is_percentile: bool,
    class: String,
    exact: Ratio,
    amount: Ratio,
    left: Ratio,
}

/// A month that is being made.
pub struct Made<'a> {
    policies: &'a Policies,
    agreed: &'a Agreed,
    which: Which,
    rated: &'a [Rated],
    lines: Vec<Line>,
    off: Vec<String>,
    credits: Vec<String>,
}

/// The rows of a statement, as `against` writes those of the product. `items` are each tenant's, in the order of the bill.
pub fn statement(
    policies: &Policies,
    agreed: &Agreed,
    which: Which,
    rated: &[Rated],
    items: &[(String, Vec<Item>)],
) -> Vec<String> {
    let mut made = Made {
        policies,
        agreed,
        which,
        rated,
        lines: Vec::new(),
        off: Vec::new(),
        credits: Vec::new(),
    };
    for (tenant, items) in items {
        items.iter().for_each(|item| made.usage(tenant, item));
    }
    made.surcharges();
    made.discounts();
    made.commitment();
    made.fees();
    made.coupons();
    made.use_credits();
    made.rows()
}

fn has(list: &[String], key: &str) -> bool {
    list.is_empty() || list.iter().any(|it| it == key)
}

impl Made<'_> {
    fn round(&self, exact: Ratio) -> Ratio {
        exact.rounded(self.policies.places)
    }

    fn push(&mut self, cause: String, item: &str, class: &str, exact: Ratio) -> usize {
        let amount = self.round(exact);
        self.lines.push(Line {
            cause,
            item: item.to_owned(),
            tenant: String::new(),
            is_usage: false,
            fee: None,
            is_percentile: false,
            class: class.to_owned(),
            exact,
            amount,
            left: amount,
        });
        self.lines.len() - 1
    }

    fn usage(&mut self, tenant: &str, item: &Item) {
        let hours: Vec<&Rated> = self
            .rated
            .iter()
            .filter(|it| it.tenant == tenant && it.item == item.key)
            .collect();
        if hours.is_empty() {
            return;
        }
        let exact = match &item.charge {
            Charge::Percentile { percentile, tiers } => {
                let mut all: Vec<Ratio> = hours.iter().map(|it| it.quantity).collect();
                all.resize(usize::try_from(self.which.hours).expect("few"), Ratio::ZERO);
                all.sort_unstable();
                let rank = (Ratio::whole(i128::from(self.which.hours)) * *percentile / Ratio::HUNDRED).ceil();
                graduated(tiers, all[usize::try_from(rank).expect("above 0") - 1])
            }
            _ => hours.iter().map(|it| it.amount).sum(),
        };
        let at = self.push(format!("usage of {tenant}"), &item.key, &item.tax_class, exact);
        (self.lines[at].tenant, self.lines[at].is_usage) = (tenant.to_owned(), true);
        self.lines[at].is_percentile = matches!(item.charge, Charge::Percentile { .. });
        let bound = match (item.minimum, item.maximum) {
            (Some(least), _) if exact < least => Some((least, "minimum")),
            (_, Some(most)) if exact > most => Some((most, "maximum")),
            _ => None,
        };
        if let Some((bound, what)) = bound {
            let amount = self.round(bound) - self.lines[at].amount;
            let at = self.push(
                format!("{what} of {tenant}"),
                &item.key,
                &item.tax_class,
                bound - exact,
            );
            (self.lines[at].amount, self.lines[at].left) = (amount, amount);
            self.lines[at].tenant = tenant.to_owned();
        }
    }

    fn surcharges(&mut self) {
        let usage = self.lines.len();
        for it in &self.policies.surcharges {
            let of = self.lines[..usage]
                .iter()
                .filter(|line| has(&it.items, &line.item));
            let cost: Ratio = of.map(|line| line.exact).sum();
            if cost > it.above {
                // Rounded once; what discounts count of it is what stands on the bill.
                let exact = self.round((cost - it.above) * it.percent / Ratio::HUNDRED);
                self.push("surcharge".to_owned(), &it.key, &it.tax_class, exact);
            }
        }
    }

    fn discounts(&mut self) {
        let policies = self.policies;
        let chosen: Vec<&Discount> = policies.discounts.iter().filter(|it| self.may_have(it)).collect();
        let cuts = self.cuts(&chosen);
        // What was taken from each line in each hour between cuts, in the order of the cuts.
        let mut taken = vec![vec![Ratio::ZERO; cuts.len() - 1]; self.lines.len()];
        for it in chosen {
            let of: Vec<usize> = (0..self.lines.len())
                .filter(|at| has(&it.items, &self.lines[*at].item))
                .collect();
            let inside: Vec<usize> = (0..cuts.len() - 1)
                .filter(|piece| {
                    it.from.is_none_or(|from| cuts[*piece] >= from)
                        && it.until.is_none_or(|until| cuts[*piece] < until)
                })
                .collect();
            let Some((first, last)) = inside.first().zip(inside.last()) else {
                continue;
            };
            let (from, until) = (cuts[*first], cuts[*last + 1]);
            let (basis, left): (Ratio, Vec<(usize, Ratio)>) = if inside.len() == cuts.len() - 1 {
                let lines = || of.iter().map(|at| &self.lines[*at]);
                let before: Ratio = lines().map(|line| line.amount - line.left).sum();
                let raw: Ratio = lines().map(|line| line.exact).sum();
                let left = of.iter().map(|at| (*at, self.lines[*at].left)).collect();
                (if policies.in_turn { raw - before } else { raw }, left)
            } else {
                let of = || of.iter().copied().filter(|at| !self.is_maximum(*at));
                let before = |at: usize| inside.iter().map(|piece| taken[at][*piece]).sum::<Ratio>();
                let basis = of().map(|at| match policies.in_turn {
                    true => self.within(at, from, until) - before(at),
                    false => self.within(at, from, until),
                });
                let left = of().map(|at| (at, self.left_within(at, from, until, before(at))));
                (basis.sum(), left.collect())
            };
            if basis.is_above_zero() {
                for (at, part) in self.cut(&it.key, &it.cut, basis, &left) {
                    let open = |piece: usize| {
                        let amount = self.upto(at, cuts[piece + 1]) - self.upto(at, cuts[piece]);
                        (amount - taken[at][piece]).max(Ratio::ZERO)
                    };
                    let weights: Vec<Ratio> = inside.iter().map(|piece| open(*piece)).collect();
                    for (piece, part) in inside.iter().zip(split(part, &weights, policies.places)) {
                        taken[at][*piece] = taken[at][*piece] + part;
                    }
                }
            }
        }
    }

    fn may_have(&self, it: &Discount) -> bool {
        let class = self.agreed.class.as_ref();
        let has_class = it.classes.is_empty() || class.is_some_and(|own| it.classes.contains(own));
        let plan = self.plan();
        has_class && (it.plans.is_empty() || plan.is_some_and(|own| it.plans.contains(&own.key)))
    }

    /// Where the month begins and ends, and every date of a discount between.
    fn cuts(&self, chosen: &[&Discount]) -> Vec<u32> {
        let (first, end) = (self.which.first, self.which.first + self.which.hours);
        let mut cuts = vec![first, end];
        for date in chosen.iter().flat_map(|it| [it.from, it.until]).flatten() {
            if first < date && date < end {
                cuts.push(date);
            }
        }
        cuts.sort_unstable();
        cuts.dedup();
        cuts
    }

    fn is_maximum(&self, at: usize) -> bool {
        self.lines
            .get(at)
            .is_some_and(|it| it.cause.starts_with("maximum"))
    }

    /// What a line costs from an hour until another, whatever its maximum is: usage by its hours; a percentile, what is
    /// missing to a minimum, and a surcharge by the number of hours.
    fn raw_within(&self, at: usize, from: u32, until: u32, whole: Ratio) -> Ratio {
        let line = &self.lines[at];
        if line.is_usage && !line.is_percentile {
            let hours = self.rated.iter().filter(|it| {
                it.tenant == line.tenant && it.item == line.item && (from..until).contains(&it.at.hour)
            });
            return hours.map(|it| it.amount).sum();
        }
        whole * Ratio::new(i128::from(until - from), i128::from(self.which.hours))
    }

    /// The same, no more than its item costs with its maximum.
    fn within(&self, at: usize, from: u32, until: u32) -> Ratio {
        let mut whole = self.lines[at].exact;
        if self.is_maximum(at + 1) {
            whole = whole + self.lines[at + 1].exact;
        }
        self.raw_within(at, from, until, whole).min(whole)
    }

    /// What a line costs until an hour, in minor units.
    fn upto(&self, at: usize, hour: u32) -> Ratio {
        let line = &self.lines[at];
        match hour == self.which.first + self.which.hours {
            true => line.amount,
            false => self.round(self.raw_within(at, self.which.first, hour, line.exact)),
        }
    }

    /// What is left of a line within dates, and no more than is left of it and its maximum.
    fn left_within(&self, at: usize, from: u32, until: u32, taken: Ratio) -> Ratio {
        let mut left = self.upto(at, until) - self.upto(at, from) - taken;
        let mut most = self.lines[at].left;
        if self.is_maximum(at + 1) {
            most = most + self.lines[at + 1].left;
            if self.lines[at].is_percentile {
                left = left + self.upto(at + 1, until) - self.upto(at + 1, from);
            }
        }
        left.min(most)
    }

    /// Takes a cut of a basis off what is left of lines; says what of each.
    fn cut(&mut self, key: &str, cut: &Cut, basis: Ratio, left: &[(usize, Ratio)]) -> Vec<(usize, Ratio)> {
        let percent = match cut {
            Cut::Percent(percent) => Some(*percent),
            Cut::Amount(_) => None,
            Cut::Steps(steps) => {
                let passed = steps.iter().rev().find(|(above, _)| basis > *above);
                Some(passed.map_or(Ratio::ZERO, |(_, percent)| *percent))
            }
        };
        let off = match (cut, percent) {
            (Cut::Amount(amount), _) => self.round(*amount),
            (_, Some(percent)) => self.round(basis * percent / Ratio::HUNDRED),
            _ => unreachable!("only amounts have no percentage"),
        };
        let parts = self.take_left(off, left);
        if !parts.is_empty() {
            let taken: Ratio = parts.iter().map(|(_, part)| *part).sum();
            self.off.push(format!("discount {key} {}", -taken));
        }
        parts
    }

    /// Takes money off lines above zero; no more than the lines cost together.
    fn take(&mut self, off: Ratio, of: &[usize]) -> Ratio {
        let left: Vec<(usize, Ratio)> = of.iter().map(|at| (*at, self.lines[*at].left)).collect();
        self.take_left(off, &left).into_iter().map(|(_, part)| part).sum()
    }

    fn take_left(&mut self, off: Ratio, left: &[(usize, Ratio)]) -> Vec<(usize, Ratio)> {
        let taken = off.min(left.iter().map(|(_, left)| *left).sum());
        if !taken.is_above_zero() {
            return Vec::new();
        }
        let open = left.iter().filter(|(_, left)| left.is_above_zero());
        let (open, weights): (Vec<usize>, Vec<Ratio>) = open.copied().unzip();
        let parts = split(taken, &weights, self.policies.places);
        let parts: Vec<(usize, Ratio)> = open.into_iter().zip(parts).collect();
        for (at, part) in &parts {
            self.lines[*at].left = self.lines[*at].left - *part;
        }
        parts
    }

    fn due(&self) -> Ratio {
        self.lines.iter().map(|it| it.left).sum()
    }

    fn commitment(&mut self) {
        if let Some(commitment) = self.agreed.commitment {
            let missing = self.round(commitment) - self.due();
            if missing.is_above_zero() {
                self.push("commitment".to_owned(), "commitment", "standard", missing);
            }
        }
    }

    /// The plan that counts in the month.
    fn plan(&self) -> Option<&Plan> {
        fees::counting(self.policies, &self.agreed.subscriptions, self.which.number)
    }

    fn fees(&mut self) {
        for it in fees::fees(self.policies, self.agreed, self.which.number) {
            let at = self.push("fee".to_owned(), &it.plan, &it.class, it.amount);
            self.lines[at].fee = Some(match (it.amount.is_above_zero(), it.is_next) {
                (false, _) => Fee::Back,
                (true, false) => Fee::OfMonth,
                (true, true) => Fee::OfNext,
            });
        }
    }

    fn coupons(&mut self) {
        for it in &self.agreed.coupons {
            let counts =
                |month: u32| month >= it.from && it.months.is_none_or(|months| month < it.from + months);
            let (now, next) = (counts(self.which.number), counts(self.which.number + 1));
            let is_for = |line: &Line| match line.fee {
                Some(Fee::Back) => false,
                Some(Fee::OfNext) => next && (now || matches!(it.cut, Cut::Percent(_))),
                Some(Fee::OfMonth) | None => now,
            };
            let of: Vec<usize> = (0..self.lines.len())
                .filter(|at| has(&it.items, &self.lines[*at].item) && is_for(&self.lines[*at]))
                .collect();
            let left: Vec<(usize, Ratio)> = of.iter().map(|at| (*at, self.lines[*at].left)).collect();
            let all = left.iter().map(|(_, left)| *left).sum();
            self.cut(&it.key, &it.cut, all, &left);
        }
    }

    fn use_credits(&mut self) {
        if let Some(plan) = self.plan().cloned() {
            let usage: Vec<usize> = (0..self.lines.len())
                .filter(|at| self.lines[*at].fee.is_none())
                .collect();
            let credits = self.round(plan.credits);
            let taken = self.take(credits, &usage);
            if taken.is_above_zero() {
                self.off.push(format!("discount {} {}", plan.key, -taken));
            }
        }
        for (key, amount, items) in &self.agreed.grants {
            let of: Vec<usize> = (0..self.lines.len())
                .filter(|at| has(items, &self.lines[*at].item))
                .collect();
            let taken = self.take((*amount).min(self.due()), &of);
            if taken.is_above_zero() {
                self.credits.push(format!("credit {key} {}", -taken));
            }
        }
    }

    fn rows(self) -> Vec<String> {
        let mut rows: Vec<String> = self
            .lines
            .iter()
            .map(|it| format!("{}: {} {} {}", it.cause, it.item, it.exact, it.amount))
            .collect();
        let mut total = self.due();
        rows.extend(self.off.iter().chain(&self.credits).cloned());
        let mut rates = self.policies.taxes.clone();
        for (class, own) in &self.agreed.taxes {
            match rates.iter_mut().find(|(it, _)| it == class) {
                Some((_, rate)) => *rate = *own,
                None => rates.push((class.clone(), *own)),
            }
        }
        for (class, rate) in rates.iter().filter(|_| !self.agreed.tax_exempt) {
            let of: Vec<&Line> = self.lines.iter().filter(|it| it.class == *class).collect();
            if of.is_empty() {
                continue;
            }
            let basis: Ratio = of.iter().map(|it| it.left).sum();
            let amount = match self.policies.tax_included {
                true => basis * *rate / (Ratio::HUNDRED + *rate),
                false => basis * *rate / Ratio::HUNDRED,
            };
            let amount = self.round(amount);
            rows.push(format!("tax {class} of {basis} {amount}"));
            if !self.policies.tax_included {
                total = total + amount;
            }
        }
        rows.push(format!("total {total}"));
        rows
    }
}

/// Splits money by largest remainder, equal ones to the earlier part.
fn split(money: Ratio, weights: &[Ratio], places: u32) -> Vec<Ratio> {
    let unit = Ratio::new(1, 10_i128.pow(places));
    let all: Ratio = weights.iter().copied().sum();
    let exact: Vec<Ratio> = weights.iter().map(|it| money / unit * *it / all).collect();
    let mut units: Vec<i128> = exact.iter().map(|it| it.floor()).collect();
    let mut missing = (money / unit).floor() - units.iter().sum::<i128>();
    while missing > 0 {
        let rest = |at: usize| exact[at] - Ratio::whole(units[at]);
        // The first of the largest.
        let mut best = 0;
        for at in 1..units.len() {
            if rest(at) > rest(best) {
                best = at;
            }
        }
        units[best] += 1;
        missing -= 1;
    }
    units.into_iter().map(|it| Ratio::whole(it) * unit).collect()
}
