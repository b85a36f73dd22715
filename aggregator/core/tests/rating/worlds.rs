//! Random price books, terms and usage of one account's month: once in the model's words, once as the texts that the product
//! reads. The same seed gives the same world.

// Plans, terms, fees on other invoices.
mod plans;

use std::collections::{BTreeMap, BTreeSet};

use tallyman_aggregator_core::rating::statement::Grant;

use crate::chance::Chance;
use crate::exact::Ratio;
use crate::fees::{self, Ahead};
use crate::model::{At, Charge, Item, Metered, Shape, Span, Tier, Used, Version, priced};
use crate::month::{Agreed, Cut, Discount, Plan, Policies, Surcharge, Which};
use crate::product::{Case, Use};
use crate::texts;
use crate::zones::{MONTHS, ZoneMonth, hours_of};

/// A month of an account, in both languages.
pub struct World {
    pub case: Case,
    pub versions: Vec<Version>,
    pub usage: Vec<Used>,
    pub policies: Policies,
    pub agreed: Agreed,
    pub pools: bool,
    pub which: Which,
    /// Of each tenant, in the order of the bill.
    pub items: Vec<(String, Vec<Item>)>,
}

const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];

struct Maker {
    chance: Chance,
    /// Hours of the month, and the number of the day of each.
    hours: Vec<At>,
    number: u32,
}

/// The world of a seed.
pub fn world(seed: u64) -> World {
    let mut chance = Chance::new(seed);
    let month = *chance.pick(MONTHS);
    let (first, lengths) = hours_of(&month);
    let days = (0..)
        .zip(&lengths)
        .flat_map(|(day, hours)| (0..*hours).map(move |_| day));
    let hours: Vec<At> = (first..).zip(days).map(|(hour, day)| At { hour, day }).collect();
    let number = month.1 * 12 + month.2 - 1;
    let maker = Maker {
        chance,
        number,
        hours,
    };
    maker.make(month)
}

impl Maker {
    fn make(mut self, month: ZoneMonth) -> World {
        let old = self.items();
        let new = self.changed(&old);
        let has_change = self.chance.once_in(2);
        let change = self.an_hour().hour;
        let plans = self.plans(&new);
        let (currency, policies) = self.policies(&new, plans);
        let agreed = self.agreed(&policies, &new);
        let pools = self.chance.once_in(4);
        let overrides = self.overrides(&new, (&policies, &agreed), pools);
        let mut books = vec![(0, if has_change { old } else { new.clone() })];
        if has_change {
            books.push((change, new));
        }
        let plan = fees::counting(&policies, &agreed.subscriptions, self.number);
        let versions: Vec<Version> = books
            .iter()
            .map(|(from, book)| version(*from, book, &overrides, plan))
            .collect();
        let usage = self.usage(&books, change);
        let texts = books
            .iter()
            .map(|(from, book)| (*from, texts::book(*from, currency, book, &policies)));
        let case = Case {
            books: texts.collect(),
            terms: texts::terms(&agreed, pools, &overrides),
            month: texts::month(self.number),
            zone: month.0.to_owned(),
            usage: usage.iter().map(as_text).collect(),
            grants: agreed.grants.iter().map(|it| grant(it, currency)).collect(),
            before: Some(format!("format = 1\n{}", texts::subscriptions(&agreed.before))),
            ahead: agreed.ahead.iter().map(|it| as_ahead(it, currency)).collect(),
        };
        World {
            case,
            items: in_order(&versions),
            versions,
            usage,
            policies,
            agreed,
            pools,
            which: Which {
                number: self.number,
                first: self.hours[0].hour,
                hours: u32::try_from(self.hours.len()).expect("few hours"),
            },
        }
    }

    fn an_hour(&mut self) -> At {
        *self.chance.pick(&self.hours)
    }

    // Items.

    fn items(&mut self) -> Vec<Item> {
        let mut items: Vec<Item> = Vec::new();
        for key in ["a", "b", "c", "d", "e", "f"].into_iter().take(2 + self.few(5)) {
            let charge = match self.chance.below(10) {
                0 => Charge::Free,
                1 => self.percentile(),
                2 | 3 => self.of_price(&items),
                4 => self.of_amounts(&items),
                _ => Charge::Metered(self.metered()),
            };
            let item = self.item(key, charge);
            items.push(item);
        }
        let turn = self.few(items.len());
        items.rotate_left(turn);
        items
    }

    fn few(&mut self, bound: usize) -> usize {
        usize::try_from(self.chance.below(bound as u64)).expect("few")
    }

    fn item(&mut self, key: &str, charge: Charge) -> Item {
        let tax_class = (*self.chance.pick(&["standard", "reduced", "none"])).to_owned();
        let (least, most) = (self.chance.decimal(200, 3), self.chance.decimal(2000, 3));
        Item {
            key: key.to_owned(),
            tax_class,
            minimum: self.chance.once_in(5).then_some(least),
            maximum: self.chance.once_in(4).then_some(least + most),
            charge,
        }
    }

    fn metered(&mut self) -> Metered {
        let shape = match self.chance.below(6) {
            0 => Shape::Flat(self.chance.decimal(100, 3)),
            1 => Shape::PerUnit(self.chance.decimal(20, 3)),
            2 => Shape::Graduated(self.tiers()),
            3 => Shape::Volume(self.tiers()),
            4 => Shape::Steps(self.tiers().into_iter().map(step).collect()),
            _ => Shape::Package {
                size: self.chance.some(50, 2),
                price: self.chance.decimal(20, 3),
            },
        };
        let over = if matches!(shape, Shape::PerUnit(_)) {
            Span::Hour
        } else {
            self.span()
        };
        let (free, span) = (self.chance.decimal(150, 3), self.span());
        let (at_least, has_least) = (self.chance.decimal(5, 2), self.chance.once_in(5));
        Metered {
            shape,
            over,
            free: self.chance.once_in(3).then_some((free, span)),
            at_least: if has_least { at_least } else { Ratio::ZERO },
            reset: self.chance.once_in(4),
        }
    }

    fn span(&mut self) -> Span {
        *self.chance.pick(&[Span::Hour, Span::Day, Span::Month])
    }

    fn tiers(&mut self) -> Vec<Tier> {
        let mut tiers = Vec::new();
        let mut top = Ratio::ZERO;
        for _ in 0..self.chance.below(4) {
            top = top + bound(&mut self.chance);
            let tier = self.tier(Some(top));
            tiers.push(tier);
        }
        let last = self.tier(None);
        tiers.push(last);
        tiers
    }

    fn tier(&mut self, up_to: Option<Ratio>) -> Tier {
        let fee = self.chance.decimal(50, 2);
        Tier {
            up_to,
            price: self.chance.decimal(20, 3),
            fee: if self.chance.once_in(4) { fee } else { Ratio::ZERO },
        }
    }

    fn percentile(&mut self) -> Charge {
        let percentile = *self
            .chance
            .pick(&[Ratio::whole(95), Ratio::whole(100), Ratio::new(999, 10)]);
        let tiers = self.tiers();
        Charge::Percentile { percentile, tiers }
    }

    fn of_price(&mut self, items: &[Item]) -> Charge {
        let has_unit_price = |it: &&Item| match &it.charge {
            Charge::Metered(tariff) => !matches!(tariff.shape, Shape::Flat(_)),
            _ => false,
        };
        let bases: Vec<&Item> = items.iter().filter(has_unit_price).collect();
        if bases.is_empty() {
            return Charge::Metered(self.metered());
        }
        Charge::OfPrice {
            of: self.chance.pick(&bases).key.clone(),
            percent: Ratio::whole(i128::from(self.chance.below(250))),
        }
    }

    fn of_amounts(&mut self, items: &[Item]) -> Charge {
        let bases: Vec<&Item> = items
            .iter()
            .filter(|it| !matches!(it.charge, Charge::Percentile { .. }))
            .collect();
        if bases.is_empty() {
            return Charge::Free;
        }
        let mut of: Vec<String> = (0..2).map(|_| self.chance.pick(&bases).key.clone()).collect();
        of.dedup();
        Charge::OfAmounts {
            of,
            percent: Ratio::whole(i128::from(self.chance.below(150))),
        }
    }

    /// The next version of a book: other prices, other models where the unit allows it, an item less. What holds for whole
    /// months stays, as it must inside one: a percentile's prices, and tax classes that some item has.
    fn changed(&mut self, old: &[Item]) -> Vec<Item> {
        let mut items = old.to_vec();
        for item in &mut items {
            let is_base = old.iter().any(|it| takes_from(it, &item.key));
            item.charge = match (&item.charge, self.chance.below(3)) {
                (charge @ Charge::Percentile { .. }, _) => charge.clone(),
                (charge @ Charge::OfAmounts { .. }, _) => charge.clone(),
                (_, 0) if !is_base && self.chance.once_in(5) => Charge::Free,
                (_, 0) if !is_base => Charge::Metered(self.metered()),
                (charge, _) => charge.clone(),
            };
        }
        let at = self.few(items.len());
        let is_base = items.iter().any(|it| takes_from(it, &items[at].key));
        let class = &items[at].tax_class;
        let is_alone = items.iter().filter(|it| it.tax_class == *class).count() == 1;
        if !is_base && !is_alone && self.chance.once_in(4) {
            items.remove(at);
        }
        items
    }

    // Months.

    fn policies(&mut self, items: &[Item], plans: Vec<Plan>) -> (&'static str, Policies) {
        let (currency, places) = *self.chance.pick(&[("JPY", 0), ("USD", 2), ("BHD", 3)]);
        let discounts = (0..self.chance.below(4))
            .map(|at| self.discount(at, items, &plans))
            .collect();
        let surcharges = (0..self.chance.below(3)).map(|at| Surcharge {
            key: format!("s{at}"),
            items: self.some_of(items),
            above: self.chance.decimal(500, 2),
            percent: self.chance.decimal(60, 1),
            tax_class: "standard".to_owned(),
        });
        let surcharges = surcharges.collect();
        // All classes that are named have a tax, or no class has.
        let named = items.iter().map(|it| &*it.tax_class);
        let of_plans = plans.iter().map(|it| &*it.tax_class);
        let named: BTreeSet<&str> = named.chain(of_plans).chain(["standard"]).collect();
        let rates = named.into_iter().map(|class| match class {
            "none" => (class.to_owned(), Ratio::ZERO),
            _ => (class.to_owned(), self.chance.decimal(30, 1)),
        });
        let rates: Vec<(String, Ratio)> = rates.collect();
        let taxes = if self.chance.once_in(3) { Vec::new() } else { rates };
        let policies = Policies {
            places,
            in_turn: self.chance.once_in(2),
            tax_included: self.chance.once_in(3),
            discounts,
            surcharges,
            plans,
            taxes,
        };
        (currency, policies)
    }

    fn some_of(&mut self, items: &[Item]) -> Vec<String> {
        if self.chance.once_in(2) {
            return Vec::new();
        }
        let mut keys: Vec<String> = (0..2).map(|_| self.chance.pick(items).key.clone()).collect();
        keys.dedup();
        keys
    }

    fn discount(&mut self, at: u64, items: &[Item], plans: &[Plan]) -> Discount {
        let (mut from, mut until) = (self.an_hour().hour, self.an_hour().hour);
        if from > until {
            (from, until) = (until, from);
        }
        let is_dated = self.chance.once_in(3);
        let class = (*self.chance.pick(&["gold", "silver"])).to_owned();
        let plans = plans.iter().take(1).map(|it| it.key.clone()).collect();
        Discount {
            key: format!("d{at}"),
            items: self.some_of(items),
            classes: if self.chance.once_in(3) {
                vec![class]
            } else {
                Vec::new()
            },
            plans: if self.chance.once_in(4) { plans } else { Vec::new() },
            from: (is_dated && self.chance.below(4) > 0).then_some(from),
            until: (is_dated && self.chance.below(4) > 0).then_some(until + 1),
            cut: self.a_cut(),
        }
    }

    fn a_cut(&mut self) -> Cut {
        match self.chance.below(4) {
            0 => Cut::Amount(self.chance.decimal(300, 3)),
            1 => {
                let low = self.chance.decimal(300, 2);
                let high = low + self.chance.some(2000, 2);
                let percents = [self.chance.decimal(30, 1), self.chance.decimal(101, 0)];
                Cut::Steps(vec![(low, percents[0]), (high, percents[1])])
            }
            2 if self.chance.once_in(3) => Cut::Percent(Ratio::HUNDRED),
            _ => Cut::Percent(self.chance.decimal(60, 1)),
        }
    }

    /// Items with prices of their own: for one tenant, or all.
    fn overrides(
        &mut self,
        items: &[Item],
        (policies, agreed): (&Policies, &Agreed),
        pools: bool,
    ) -> Vec<(Option<String>, Item)> {
        let mut found = Vec::new();
        for item in items {
            let has_unit = matches!(item.charge, Charge::Metered(_) | Charge::OfPrice { .. });
            if !has_unit || !self.chance.once_in(6) {
                continue;
            }
            let tenant = (!pools && self.chance.once_in(2)).then(|| (*self.chance.pick(&TENANTS)).to_owned());
            let mut tariff = self.metered();
            tariff.reset = false;
            // What a plan includes can't be made less.
            let plans = policies.plans.iter();
            let plans = plans.filter(|it| agreed.subscriptions.iter().any(|own| own.plan == it.key));
            let included = plans
                .flat_map(|it| &it.quantities)
                .filter(|(key, _)| *key == item.key);
            let included = included.map(|(_, quantity)| *quantity).max();
            let more = |quantity: Ratio| quantity + Ratio::whole(5);
            tariff.free = match included {
                None => tariff.free,
                Some(quantity) => tariff.free.map(|_| (more(quantity), Span::Month)),
            };
            let own = self.item(&item.key, Charge::Metered(tariff));
            found.push((tenant, own));
        }
        found
    }

    // Usage.

    fn usage(&mut self, books: &[(u32, Vec<Item>)], change: u32) -> Vec<Used> {
        let mut hours: Vec<At> = (0..self.few(6)).map(|_| self.an_hour()).collect();
        let last = self.hours.len() - 1;
        hours.extend([self.hours[0], self.hours[last]]);
        // Around the change of prices, and in its day.
        let count = self.few(6);
        let near = self.hours.iter().filter(|it| it.hour.abs_diff(change) <= 2);
        hours.extend(near.copied().take(count));
        hours.sort_unstable();
        hours.dedup();
        let tenants = 1 + self.few(TENANTS.len());
        let mut usage = Vec::new();
        for at in hours {
            let book = &books
                .iter()
                .rfind(|(from, _)| *from <= at.hour)
                .expect("in force")
                .1;
            for tenant in TENANTS.iter().take(tenants) {
                for item in book {
                    let is_metered = !matches!(item.charge, Charge::OfAmounts { .. });
                    if is_metered && self.chance.below(3) > 0 {
                        usage.push(Used {
                            at,
                            tenant: (*tenant).to_owned(),
                            item: item.key.clone(),
                            quantity: self.quantity(),
                        });
                    }
                }
            }
        }
        usage
    }

    /// Often a bound of tiers, or a billionth beside it.
    fn quantity(&mut self) -> Ratio {
        let billionth = Ratio::new(1, 1_000_000_000);
        match self.chance.below(6) {
            0 => bound(&mut self.chance) + billionth,
            1 => bound(&mut self.chance) - billionth,
            2 => bound(&mut self.chance),
            3 => billionth,
            4 => self.chance.decimal(300, 9),
            _ => self.chance.decimal(30, 2),
        }
    }
}

/// Steps from one bound to the next.
fn bound(chance: &mut Chance) -> Ratio {
    let texts = ["100", "10", "0.5", "50", "3.333333333"];
    Ratio::read(chance.pick::<&str>(&texts)).expect("a number")
}

fn step(tier: Tier) -> Tier {
    Tier {
        price: Ratio::ZERO,
        fee: tier.fee + tier.price,
        ..tier
    }
}

fn takes_from(item: &Item, key: &str) -> bool {
    match &item.charge {
        Charge::OfPrice { of, .. } => of == key,
        Charge::OfAmounts { of, .. } => of.iter().any(|it| it == key),
        _ => false,
    }
}

/// A book as it is for each tenant.
fn version(from: u32, book: &[Item], overrides: &[(Option<String>, Item)], plan: Option<&Plan>) -> Version {
    let of_tenant = |tenant: &str| -> Vec<Item> {
        let own = |item: &Item| {
            let mut own = priced(book, item);
            for (who, it) in overrides {
                if it.key == item.key && who.as_ref().is_none_or(|name| name == tenant) {
                    own = it.clone();
                }
            }
            let included = plan.and_then(|it| it.quantities.iter().find(|(key, _)| *key == item.key));
            let included = included.filter(|(key, _)| texts::can_include(book, key));
            if let (Charge::Metered(tariff), Some((_, quantity))) = (&mut own.charge, included)
                && tariff.free.is_none()
            {
                tariff.free = Some((*quantity, Span::Month));
            }
            own
        };
        book.iter().map(own).collect()
    };
    let items = TENANTS
        .iter()
        .map(|it| ((*it).to_owned(), of_tenant(it)))
        .collect();
    Version { from, items }
}

/// Items in the order of the newest book, then those that only an earlier one had.
fn in_order(versions: &[Version]) -> Vec<(String, Vec<Item>)> {
    let newest = versions.last().expect("a book");
    let of_tenant = |tenant: &&str| {
        let mut items = newest.items[*tenant].clone();
        let earlier = versions.iter().rev().flat_map(|it| &it.items[*tenant]);
        let mut gone: BTreeMap<String, Item> = BTreeMap::new();
        for item in earlier.filter(|it| items.iter().all(|own| own.key != it.key)) {
            gone.entry(item.key.clone()).or_insert(item.clone());
        }
        items.extend(gone.into_values());
        ((*tenant).to_owned(), items)
    };
    TENANTS.iter().map(of_tenant).collect()
}

fn as_ahead(it: &Ahead, currency: &str) -> crate::product::Ahead {
    let interval = |(from, until): (u32, u32)| [texts::day(from), texts::day(until)];
    crate::product::Ahead {
        plan: it.plan.clone(),
        fee: texts::money(it.fee, currency),
        net: texts::money(it.net, currency),
        period: Some(interval(it.period)),
        days: Some(interval(it.days)),
        is_settled: it.is_settled,
    }
}

fn as_text(it: &Used) -> Use {
    Use {
        hour: it.at.hour,
        tenant: it.tenant.clone(),
        item: it.item.clone(),
        quantity: it.quantity.to_string(),
    }
}

fn grant((key, left, items): &(String, Ratio, Vec<String>), currency: &str) -> Grant {
    Grant {
        key: key.clone(),
        titles: tallyman_aggregator_core::rating::policy::Titles {
            own: key.clone(),
            by_language: BTreeMap::new(),
        },
        left: tallyman_common::money::Money::parse(&texts::money(*left, currency)).expect("money"),
        items: items.iter().map(|it| crate::product::key(it)).collect(),
    }
}
