//! Works out what an item takes from another: a share of its prices, or of its amounts.
//!
//! It must not know TOML.

use tallyman_common::money::Percent;

use super::super::tariff::Tariff;
use super::parse::path_of;
use super::reader::Faults;
use super::{Charge, Item, ItemKey};

/// An item as it was read, with what it takes from others not worked out yet.
pub(super) struct Draft {
    pub(super) item: Item,
    /// Where its table stands.
    pub(super) offset: usize,
    /// What it takes from whom, and where that is written.
    pub(super) takes: Takes,
}

/// What an item takes from others.
pub(super) enum Takes {
    Nothing,
    Price { of: (usize, ItemKey), percent: Percent },
    Amounts(Vec<(usize, ItemKey)>),
}

/// Gives every item that takes a share of another's price its own prices. What is wrong with a faulty item (`is_faulty`)
/// is told there, not again at those that take from it.
pub(super) fn resolve(drafts: &mut [Draft], faults: &mut Faults<'_>, is_faulty: impl Fn(&ItemKey) -> bool) {
    let bases: Vec<Item> = drafts.iter().map(|it| it.item.clone()).collect();
    for draft in drafts.iter_mut() {
        let known = |key: &ItemKey| bases.iter().find(|it| it.key == *key);
        let path = path_of(&draft.item.key);
        match &draft.takes {
            Takes::Nothing => {}
            Takes::Price {
                of: (at, key),
                percent,
            } => match known(key) {
                _ if is_faulty(key) => {}
                None => missing(faults, *at, &path, key, "prices"),
                Some(base) => match priced(draft, base, *percent, faults) {
                    Ok(charge) => draft.item.charge = charge,
                    Err(reason) => faults.add(*at, &path, reason),
                },
            },
            Takes::Amounts(of) => {
                for (at, key) in of.iter().filter(|(_, key)| !is_faulty(key)) {
                    match known(key) {
                        None => missing(faults, *at, &path, key, "amounts"),
                        Some(base) if matches!(base.charge, Charge::Percentile { .. }) => {
                            let reason = format!("item `{key}` has its amount at the month's end only");
                            faults.add(*at, &path, reason);
                        }
                        Some(_) => {}
                    }
                }
            }
        }
    }
}

fn missing(faults: &mut Faults<'_>, at: usize, path: &str, key: &ItemKey, what: &str) {
    faults.add(at, path, format!("there is no item `{key}` to take {what} from"));
}

/// A base item's function at a share of its prices, from zero, for the own quantity.
fn priced(draft: &Draft, base: &Item, percent: Percent, faults: &mut Faults<'_>) -> Result<Charge, String> {
    if base.unit_name() != draft.item.unit_name() {
        let (own, theirs) = (draft.item.unit_name(), base.unit_name());
        let reason = format!(
            "unit `{own}` is not `{theirs}`, for which item `{}` has its price",
            base.key
        );
        faults.add(draft.offset, &path_of(&draft.item.key), reason);
    }
    if base.share.is_some() {
        return Err(format!(
            "item `{}` takes a share itself; name the item with the prices",
            base.key
        ));
    }
    let Charge::Metered(tariff) = &base.charge else {
        return Err(format!("item `{}` has no price per unit", base.key));
    };
    if !tariff.is_by_unit() {
        return Err(format!("item `{}` has no price per unit", base.key));
    }
    let shape = tariff.shape.scaled(percent);
    let shape = shape.map_err(|it| format!("`percent`: {it}"))?;
    Ok(Charge::Metered(Tariff {
        resets: tariff.resets,
        ..Tariff::of(shape, tariff.over)
    }))
}

/// Items that cost a share of amounts, each behind those that it takes from; loops are told as faults.
pub(super) fn order_of_shares(drafts: &[Draft], faults: &mut Faults<'_>) -> Vec<usize> {
    let mut order: Vec<usize> = Vec::new();
    for at in 0..drafts.len() {
        let mut path = Vec::new();
        visit(drafts, at, &mut path, &mut order, faults);
    }
    order
}

/// Depth first; a book has few items, and each is entered once.
fn visit(
    drafts: &[Draft],
    at: usize,
    path: &mut Vec<usize>,
    order: &mut Vec<usize>,
    faults: &mut Faults<'_>,
) {
    let Takes::Amounts(of) = &drafts[at].takes else {
        return;
    };
    if order.contains(&at) {
        return;
    }
    path.push(at);
    for (offset, key) in of {
        let Some(next) = drafts.iter().position(|it| it.item.key == *key) else {
            continue;
        };
        if let Some(from) = path.iter().position(|it| *it == next) {
            let names = path[from..].iter().chain([&next]);
            let names: Vec<&str> = names.map(|it| drafts[*it].item.key.as_str()).collect();
            let reason = format!("takes a share of its own amount: {}", names.join(" → "));
            faults.add(*offset, &path_of(&drafts[at].item.key), reason);
        } else {
            visit(drafts, next, path, order, faults);
        }
    }
    path.pop();
    order.push(at);
}
