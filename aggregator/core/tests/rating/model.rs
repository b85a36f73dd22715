//! The naive model of rating, written after docs/PRICES.md and docs/adr/0011: fractions, no positions, no slices.
//!
//! What an hour costs is F(P + q) − F(P), and P is found anew each time by going through everything before. It calls
//! nothing of the product.

use std::collections::BTreeMap;

use crate::exact::Ratio;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Span {
    Hour,
    Day,
    Month,
}

/// `up_to` is the last quantity in it.
#[derive(Clone, Debug)]
pub struct Tier {
    pub up_to: Option<Ratio>,
    pub price: Ratio,
    pub fee: Ratio,
}

#[derive(Clone, Debug)]
pub enum Shape {
    Flat(Ratio),
    PerUnit(Ratio),
    Graduated(Vec<Tier>),
    Volume(Vec<Tier>),
    /// The fee is the step's amount.
    Steps(Vec<Tier>),
    Package {
        size: Ratio,
        price: Ratio,
    },
}

#[derive(Clone, Debug)]
pub struct Metered {
    pub shape: Shape,
    pub over: Span,
    pub free: Option<(Ratio, Span)>,
    pub at_least: Ratio,
    pub reset: bool,
}

#[derive(Clone, Debug)]
pub enum Charge {
    Free,
    Metered(Metered),
    OfPrice { of: String, percent: Ratio },
    OfAmounts { of: Vec<String>, percent: Ratio },
    Percentile { percentile: Ratio, tiers: Vec<Tier> },
}

#[derive(Clone, Debug)]
pub struct Item {
    pub key: String,
    pub tax_class: String,
    pub minimum: Option<Ratio>,
    pub maximum: Option<Ratio>,
    pub charge: Charge,
}

/// An hour of a month, and the number of the day that it lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct At {
    pub hour: u32,
    pub day: u32,
}

/// What one tenant used of one item in one hour.
#[derive(Clone, Debug)]
pub struct Used {
    pub at: At,
    pub tenant: String,
    pub item: String,
    pub quantity: Ratio,
}

/// Items in force: those of the book, overridden and with what a plan includes.
#[derive(Clone, Debug)]
pub struct Version {
    pub from: u32,
    /// By tenant.
    pub items: BTreeMap<String, Vec<Item>>,
}

/// An hour of an item of a tenant.
#[derive(Clone, Debug, PartialEq)]
pub struct Rated {
    pub at: At,
    pub tenant: String,
    pub item: String,
    pub quantity: Ratio,
    pub free: Ratio,
    pub charged: Ratio,
    pub amount: Ratio,
}

/// What a quantity of a whole span costs.
pub fn cost(shape: &Shape, quantity: Ratio) -> Ratio {
    if quantity.is_zero() {
        return Ratio::ZERO;
    }
    match shape {
        Shape::Flat(price) => *price,
        Shape::PerUnit(price) => quantity * *price,
        Shape::Graduated(tiers) => graduated(tiers, quantity),
        Shape::Volume(tiers) => {
            let tier = reached(tiers, quantity);
            quantity * tier.price + tier.fee
        }
        Shape::Steps(tiers) => reached(tiers, quantity).fee,
        Shape::Package { size, price } => Ratio::whole((quantity / *size).ceil()) * *price,
    }
}

fn reached(tiers: &[Tier], quantity: Ratio) -> &Tier {
    let fits = |tier: &&Tier| tier.up_to.is_none_or(|bound| quantity <= bound);
    tiers.iter().find(fits).expect("the last tier is open")
}

/// Each unit at the price of its tier, and the fee of each tier in which anything lies.
pub fn graduated(tiers: &[Tier], quantity: Ratio) -> Ratio {
    let mut sum = Ratio::ZERO;
    let mut below = Ratio::ZERO;
    for tier in tiers {
        let top = tier.up_to.map_or(quantity, |bound| bound.min(quantity));
        if top > below {
            sum = sum + (top - below) * tier.price + tier.fee;
            below = top;
        }
    }
    sum
}

/// The same shape at a share of its prices.
fn share_of(shape: &Shape, percent: Ratio) -> Shape {
    let part = |price: &Ratio| *price * percent / Ratio::HUNDRED;
    let tiers = |tiers: &[Tier]| {
        let scaled = tiers.iter().map(|it| Tier {
            up_to: it.up_to,
            price: part(&it.price),
            fee: part(&it.fee),
        });
        scaled.collect()
    };
    match shape {
        Shape::Flat(price) => Shape::Flat(part(price)),
        Shape::PerUnit(price) => Shape::PerUnit(part(price)),
        Shape::Graduated(it) => Shape::Graduated(tiers(it)),
        Shape::Volume(it) => Shape::Volume(tiers(it)),
        Shape::Steps(it) => Shape::Steps(tiers(it)),
        Shape::Package { size, price } => Shape::Package {
            size: *size,
            price: part(price),
        },
    }
}

/// Rates everything in the order of (hour, tenant). With `pools` all tenants climb together.
pub fn rate(versions: &[Version], usage: &[Used], pools: bool) -> Vec<Rated> {
    let mut usage: Vec<&Used> = usage.iter().filter(|it| it.quantity.is_above_zero()).collect();
    usage.sort_by(|a, b| (a.at, &a.tenant, &a.item).cmp(&(b.at, &b.tenant, &b.item)));
    let mut done: Vec<Rated> = Vec::new();
    for used in &usage {
        let rated = rate_one(versions, &done, used, pools);
        done.push(rated);
    }
    let mut hours: Vec<(At, &str)> = usage.iter().map(|it| (it.at, it.tenant.as_str())).collect();
    hours.dedup();
    let shares: Vec<Rated> = hours
        .iter()
        .flat_map(|(at, tenant)| shares(versions, &done, *at, tenant))
        .collect();
    done.extend(shares);
    done
}

fn version(versions: &[Version], hour: u32) -> usize {
    let found = versions.iter().rposition(|it| it.from <= hour);
    found.expect("a book in force")
}

/// The item of a tenant in an hour, if it is metered or a share of another's price.
fn metered(versions: &[Version], place: usize, tenant: &str, key: &str) -> Option<Metered> {
    let version = &versions[place];
    let item = version.items[tenant].iter().find(|it| it.key == key)?;
    match &item.charge {
        Charge::Metered(it) => Some(it.clone()),
        Charge::OfPrice { .. } => panic!("shares of prices are worked out before: {key}"),
        _ => None,
    }
}

fn rate_one(versions: &[Version], done: &[Rated], used: &Used, pools: bool) -> Rated {
    let place = version(versions, used.at.hour);
    let mut rated = Rated {
        at: used.at,
        tenant: used.tenant.clone(),
        item: used.item.clone(),
        quantity: used.quantity,
        free: Ratio::ZERO,
        charged: Ratio::ZERO,
        amount: Ratio::ZERO,
    };
    let Some(tariff) = metered(versions, place, &used.tenant, &used.item) else {
        return rated;
    };
    // A reset lets everything before its book's first hour be forgotten.
    let since = if tariff.reset { versions[place].from } else { 0 };
    let before = |span: Span| {
        done.iter().filter(move |it| {
            let is_in_span = match span {
                Span::Hour => it.at.hour == used.at.hour,
                Span::Day => it.at.day == used.at.day,
                Span::Month => true,
            };
            let is_same = it.item == used.item && (pools || it.tenant == used.tenant);
            is_same && is_in_span && it.at.hour >= since
        })
    };
    let billed = used.quantity.max(tariff.at_least);
    if let Some((allowance, span)) = tariff.free {
        let used_up: Ratio = before(span).map(|it| it.free).sum();
        rated.free = (allowance - used_up).max(Ratio::ZERO).min(billed);
    }
    rated.charged = billed - rated.free;
    let position: Ratio = before(tariff.over).map(|it| it.charged).sum();
    rated.amount = cost(&tariff.shape, position + rated.charged) - cost(&tariff.shape, position);
    rated
}

/// Items of an hour that cost a share of what others cost in it.
fn shares(versions: &[Version], done: &[Rated], at: At, tenant: &str) -> Vec<Rated> {
    let items = &versions[version(versions, at.hour)].items[tenant];
    let mut found = Vec::new();
    for item in items {
        let Charge::OfAmounts { of, percent } = &item.charge else {
            continue;
        };
        let base = of.iter().filter_map(|it| amount_of(items, done, at, tenant, it));
        let base: Ratio = base.sum();
        // Nothing is taken from nothing; a share of 0 % is a line of nothing.
        if !base.is_zero() {
            found.push(Rated {
                at,
                tenant: tenant.to_owned(),
                item: item.key.clone(),
                quantity: Ratio::ZERO,
                free: Ratio::ZERO,
                charged: Ratio::ZERO,
                amount: base * *percent / Ratio::HUNDRED,
            });
        }
    }
    found
}

fn amount_of(items: &[Item], done: &[Rated], at: At, tenant: &str, key: &str) -> Option<Ratio> {
    let item = items.iter().find(|it| it.key == key)?;
    match &item.charge {
        Charge::OfAmounts { of, percent } => {
            let base = of.iter().filter_map(|it| amount_of(items, done, at, tenant, it));
            Some(base.sum::<Ratio>() * *percent / Ratio::HUNDRED)
        }
        _ => done
            .iter()
            .find(|it| it.at == at && it.tenant == tenant && it.item == key)
            .map(|it| it.amount),
    }
}

/// A share of another item's price as prices of its own: those of the book's item, for the own quantity.
pub fn priced(book: &[Item], item: &Item) -> Item {
    let Charge::OfPrice { of, percent } = &item.charge else {
        return item.clone();
    };
    let base = book
        .iter()
        .find(|it| it.key == *of)
        .expect("checked by the generator");
    let Charge::Metered(base) = &base.charge else {
        panic!("the generator takes shares of metered items");
    };
    let charge = Charge::Metered(Metered {
        shape: share_of(&base.shape, *percent),
        over: base.over,
        free: None,
        at_least: Ratio::ZERO,
        reset: base.reset,
    });
    Item {
        charge,
        ..item.clone()
    }
}
