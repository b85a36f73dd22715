//! Whether what a price book says in different places fits together: names that nothing has, and prices that are absurd for
//! their unit. Each would cost money in silence.
//!
//! It must not know how tables are read.

use tallyman_common::meter::BaseUnit;
use tallyman_common::money::{Price, QUANTITY_SCALE};

use super::super::policy::Policies;
use super::super::tariff::Shape;
use super::super::terms::Terms;
use super::super::unit::Unit;
use super::parse::path_of;
use super::reader::{Faults, Reader};
use super::{Charge, DEFAULT_TAX_CLASS, Item, ItemKey, PriceBook};

/// Largest mantissa of a decimal.
const MANTISSA_MAX: i128 = (1 << 96) - 1;

/// Prices above these are taken for slips of the pen: so much for so many base units. More than the dearest thing
/// of its kind costs in the currency with the smallest unit.
fn most(unit: Unit) -> Option<(i128, i128)> {
    match unit.base() {
        _ if unit.is_rate() => None,
        BaseUnit::Nanoseconds => Some((100_000, 1_000_000_000)),
        BaseUnit::Milliseconds => Some((100_000, 1_000)),
        BaseUnit::ByteMilliseconds => Some((100_000, (1 << 30) * 1_000)),
        BaseUnit::Bytes => Some((10_000_000, 1_000_000_000)),
        BaseUnit::Count => None,
    }
}

/// Tells what does not fit in a book of which every table was read.
pub(super) fn check(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[Item], policies: &Policies) {
    let places = |name: &str, faults: &mut Faults<'_>| -> Vec<usize> {
        reader.tables(faults, name).iter().map(|it| it.offset).collect()
    };
    for (item, at) in items.iter().zip(places("item", faults)) {
        if let Some(reason) = item.absurd_price() {
            faults.add(at, &path_of(&item.key), reason);
        }
    }
    for (index, (discount, at)) in (1..).zip(policies.discounts.iter().zip(places("discount", faults))) {
        let path = format!("discount {index}");
        for plan in discount.plans.iter().filter(|it| policies.plan(it).is_none()) {
            let plans: Vec<&str> = policies.plans.iter().map(|it| it.key.as_str()).collect();
            let reason = format!("there is no plan `{plan}`; {}", known(&plans));
            faults.add(at, &path, reason);
        }
        for class in &discount.classes {
            if let Err(reason) = ItemKey::parse(class) {
                faults.add(at, &path, format!("`classes`: {reason}"));
            }
        }
    }
    check_taxes(reader, faults, items, policies);
}

fn check_taxes(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, items: &[Item], policies: &Policies) {
    if policies.taxes.is_empty() {
        return;
    }
    // What is named where, with the place to look at.
    let mut named: Vec<(&str, usize, String)> = Vec::new();
    let mut note = |class, at: usize, path: String| named.push((class, at, path));
    for (it, table) in items.iter().zip(reader.tables(faults, "item")) {
        note(it.tax_class(), table.offset, path_of(&it.key));
    }
    for (it, table) in policies.surcharges.iter().zip(reader.tables(faults, "surcharge")) {
        note(&it.tax_class, table.offset, format!("surcharge `{}`", it.key));
    }
    for (it, table) in policies.plans.iter().zip(reader.tables(faults, "plan")) {
        note(&it.tax_class, table.offset, format!("plan `{}`", it.key));
    }
    let free = |path: &str| {
        items
            .iter()
            .any(|it| it.charge == Charge::Free && path_of(&it.key) == path)
    };
    let taxed: Vec<&str> = policies.taxes.iter().map(|it| it.class.as_str()).collect();
    let mut told: Vec<&str> = Vec::new();
    for (class, at, path) in named.iter().filter(|(_, _, path)| !free(path)) {
        if !taxed.contains(class) && !told.contains(class) {
            let reason = format!(
                "no `[[tax]]` has its tax class `{class}`, so it would be untaxed; {}; or write a tax of 0 percent for it",
                known(&taxed)
            );
            faults.add(*at, path, reason);
            told.push(class);
        }
    }
    let mut classes: Vec<&str> = named.iter().map(|(class, ..)| *class).collect();
    classes.sort_unstable();
    classes.dedup();
    for (tax, table) in policies.taxes.iter().zip(reader.tables(faults, "tax")) {
        // What is missing to a commitment has the default class, without any item of it.
        if tax.class != DEFAULT_TAX_CLASS && !classes.contains(&tax.class.as_str()) {
            let reason = format!(
                "no item, surcharge or plan has this tax class; {}; where only prices of accounts have it, a free item may name it",
                known(&classes)
            );
            faults.add(table.offset, &format!("tax `{}`", tax.class), reason);
        }
    }
}

/// Own rates of an account are for classes that something has which it may be billed for.
pub(super) fn check_own_taxes(
    reader: &Reader<'_, '_>,
    terms: &Terms,
    book: &PriceBook,
    faults: &mut Faults<'_>,
) {
    let policies = book.policies();
    let mut classes: Vec<&str> = [DEFAULT_TAX_CLASS].into();
    classes.extend(policies.taxes.iter().map(|it| it.class.as_str()));
    classes.extend(book.items().iter().map(Item::tax_class));
    classes.extend(policies.surcharges.iter().map(|it| it.tax_class.as_str()));
    classes.extend(policies.plans.iter().map(|it| it.tax_class.as_str()));
    classes.extend(terms.overrides.iter().map(|it| it.item.tax_class()));
    classes.sort_unstable();
    classes.dedup();
    for (tax, table) in terms.taxes.iter().zip(reader.tables(faults, "tax")) {
        let path = format!("tax `{}`", tax.class);
        if terms.tax_exempt {
            faults.add(table.offset, &path, "`tax_exempt = true` says that none is due");
        } else if !classes.contains(&tax.class.as_str()) {
            let reason = format!(
                "nothing in the price book has this tax class; {}",
                known(&classes)
            );
            faults.add(table.offset, &path, reason);
        }
    }
}

impl Item {
    /// Why a price is absurd for its unit, or too fine for the item's minimum; none if none is.
    pub fn absurd_price(&self) -> Option<String> {
        absurd(self).or_else(|| too_fine(self))
    }
}

fn absurd(item: &Item) -> Option<String> {
    let unit = item.selection()?.unit();
    let (amount, per) = most(unit)?;
    let Charge::Metered(tariff) = item.charge() else {
        return None;
    };
    let (Shape::Graduated(ladder) | Shape::Volume(ladder)) = &tariff.shape else {
        return None;
    };
    let size = i128::try_from(unit.base_units()).ok()?;
    let is_above = |price: Price| {
        let price = price.decimal();
        // A price has at most 10²¹ of its digits, a unit 10¹⁹ of its base.
        let (own, most) = (price.mantissa().checked_mul(per), amount.checked_mul(size));
        let most = most.and_then(|it| it.checked_mul(10_i128.pow(price.scale())));
        own > most
    };
    let tier = ladder.tiers().iter().find(|it| is_above(it.price))?;
    Some(format!(
        "a price of {} for one {unit} is more than anything costs: is that a slip of the pen?",
        tier.price
    ))
}

/// A minimum less what was used has as many places as the price and a quantity together, and must fit a decimal: else a
/// month would be rated that has no invoice.
fn too_fine(item: &Item) -> Option<String> {
    let (Charge::Metered(tariff), Some(minimum)) = (item.charge(), item.minimum()) else {
        return None;
    };
    let (Shape::Graduated(ladder) | Shape::Volume(ladder)) = &tariff.shape else {
        return None;
    };
    let prices = ladder.tiers().iter().map(|it| it.price);
    let finest = prices.max_by_key(|it| it.decimal().scale())?;
    let most = MANTISSA_MAX / 10_i128.checked_pow(finest.decimal().scale() + QUANTITY_SCALE)?;
    let least = minimum.decimal();
    // At most 10³² and so far below what is held here.
    let is_above = least.mantissa() > most.checked_mul(10_i128.checked_pow(least.scale())?)?;
    is_above.then(|| {
        format!(
            "`minimum` of {minimum} is too large beside a price of {finest}: with that many decimal places a month is kept \
             exactly up to {most}; write the price with fewer places"
        )
    })
}

fn known(names: &[&str]) -> String {
    if names.is_empty() {
        return "there is none".to_owned();
    }
    let names: Vec<String> = names.iter().map(|it| format!("`{it}`")).collect();
    format!("known are {}", names.join(", "))
}
