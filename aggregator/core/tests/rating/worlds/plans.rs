//! Random plans, terms with plans one after the other, and what other invoices have of their fees.

use super::Maker;
use crate::fees::{self, Ahead, Subscription};
use crate::model::Item;
use crate::month::{Agreed, Coupon, Plan, Policies};
use crate::texts;

impl Maker {
    pub(super) fn plans(&mut self, items: &[Item]) -> Vec<Plan> {
        let count = self.few(3);
        ["pro", "team"]
            .into_iter()
            .take(count)
            .map(|key| self.plan(key, items))
            .collect()
    }

    fn plan(&mut self, key: &str, items: &[Item]) -> Plan {
        let eligible: Vec<&Item> = items
            .iter()
            .filter(|it| texts::can_include(items, &it.key))
            .collect();
        let mut quantities = Vec::new();
        if let (false, true) = (eligible.is_empty(), self.chance.once_in(2)) {
            let key = self.chance.pick(&eligible).key.clone();
            quantities.push((key, self.chance.decimal(200, 3)));
        }
        Plan {
            key: key.to_owned(),
            fee: self.chance.decimal(1000, 3),
            is_yearly: self.chance.once_in(3),
            in_advance: self.chance.once_in(2),
            credits: self.chance.decimal(100, 2),
            quantities,
            tax_class: (*self.chance.pick(&["standard", "none"])).to_owned(),
        }
    }

    pub(super) fn agreed(&mut self, policies: &Policies, items: &[Item]) -> Agreed {
        let class = (*self.chance.pick(&["gold", "silver"])).to_owned();
        let mut agreed = Agreed {
            class: self.chance.once_in(2).then_some(class),
            subscriptions: self.subscriptions(policies),
            before: Vec::new(),
            commitment: None,
            tax_exempt: self.chance.once_in(6),
            taxes: Vec::new(),
            coupons: Vec::new(),
            grants: Vec::new(),
            ahead: Vec::new(),
        };
        if !agreed.tax_exempt && self.chance.once_in(3) {
            let rate = self.chance.decimal(99, 2);
            agreed.taxes.push(("standard".to_owned(), rate));
        }
        let commitment = self.chance.decimal(3000, 3);
        agreed.commitment = self.chance.once_in(4).then_some(commitment);
        for at in 0..self.chance.below(3) {
            let back = u32::try_from(self.chance.below(5)).expect("few");
            let months = u32::try_from(1 + self.chance.below(5)).expect("few");
            agreed.coupons.push(Coupon {
                key: format!("c{at}"),
                items: self.some_of(items),
                cut: self.a_cut(),
                from: self.number + 1 - back,
                months: self.chance.below(3).ge(&1).then_some(months),
            });
        }
        for at in 0..self.chance.below(3) {
            let left = self.chance.some(300, 0);
            agreed.grants.push((format!("g{at}"), left, self.some_of(items)));
        }
        // Terms change, or not.
        agreed.before = if self.chance.once_in(2) {
            self.subscriptions(policies)
        } else {
            agreed.subscriptions.clone()
        };
        self.ahead(policies, &mut agreed);
        agreed
    }

    /// Plans one after the other, around the month.
    fn subscriptions(&mut self, policies: &Policies) -> Vec<Subscription> {
        let mut found = Vec::new();
        if policies.plans.is_empty() {
            return found;
        }
        let back = *self.chance.pick(&[80, 800, 1_600]);
        let mut from = fees::day(self.number + 1, 0) - self.upto(back);
        for _ in 0..self.few(4) {
            let plan = self.chance.pick(&policies.plans).key.clone();
            let length = *self.chance.pick(&[80, 1_400]);
            let until = from + 1 + self.upto(length);
            let ends = self.chance.below(4) > 0;
            found.push(Subscription {
                plan,
                from,
                until: ends.then_some(until),
            });
            if !ends {
                break;
            }
            from = until + if self.chance.once_in(2) { 0 } else { self.upto(40) };
        }
        found
    }

    fn upto(&mut self, bound: u64) -> u32 {
        u32::try_from(self.chance.below(bound)).expect("few")
    }

    /// Fees on other invoices: of plans that the account has or not, in advance or not, with parts of their periods.
    fn ahead(&mut self, policies: &Policies, agreed: &mut Agreed) {
        let first = fees::day(self.number, 0);
        let next = fees::day(self.number + 1, 0);
        let mut periods = vec![
            ("former".to_owned(), (first, next)),
            ("former".to_owned(), (first - 200, first + 530)),
        ];
        periods.extend(policies.plans.iter().map(|it| (it.key.clone(), (first, next))));
        for own in agreed.subscriptions.iter().chain(&agreed.before) {
            let day = first + self.upto(120);
            let year = fees::year_with(own.from, day);
            periods.extend(year.map(|it| (own.plan.clone(), it)));
        }
        periods.sort();
        periods.dedup();
        for (plan, period) in periods {
            if !self.chance.once_in(3) {
                continue;
            }
            let length = u64::from(period.1 - period.0);
            let mut days = (period.0, period.1);
            if self.chance.once_in(2) {
                days.0 += self.upto(length);
                days.1 = days.0 + 1 + self.upto(u64::from(period.1 - days.0));
            }
            let fee = self.chance.some(1000, 0);
            let net = if self.chance.once_in(2) {
                fee
            } else {
                self.chance.decimal(1000, 0).min(fee)
            };
            agreed.ahead.push(Ahead {
                plan,
                period,
                days: (days.0, days.1.min(period.1)),
                fee,
                net,
                is_settled: self.chance.once_in(6),
            });
        }
    }
}
