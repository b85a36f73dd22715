//! Works out what an item takes from another: a share of its prices, or of its amounts.
//!
//! It must not know TOML.

use tallyman_common::money::{PRICE_SCALE_MAX, Percent, QUANTITY_SCALE};

use super::super::ladder::Ladder;
use super::super::tariff::{Shape, Tariff};
use super::parse::path_of;
use super::reader::Faults;
use super::{Charge, Item, ItemKey};

/// Most decimal places of an hour's amount: those of a quantity at the finest price. What has no more reaches
/// 79 million units of currency a month before it has too many digits (docs/adr/0003-exact-arithmetic.md).
const AMOUNT_SCALE_MAX: u32 = QUANTITY_SCALE + PRICE_SCALE_MAX;

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

/// Shares of amounts that have more decimal places than are kept, by place in the book, and why. They are exact amounts of an
/// hour, so that hours sum to the month to the last digit, and each share of a share has more places than the one before.
pub(super) fn too_fine(items: &[Item], order: &[usize]) -> Vec<(usize, String)> {
    let mut scales: Vec<u32> = items.iter().map(|it| scale_of(&it.charge)).collect();
    let mut found = Vec::new();
    for at in order {
        let Charge::ShareOfAmounts { of, percent } = &items[*at].charge else {
            continue;
        };
        let bases = items.iter().zip(&scales).filter(|(it, _)| of.contains(&it.key));
        let Some((base, scale)) = bases.max_by_key(|(_, scale)| **scale) else {
            continue;
        };
        let own = scale + scale_of_share(*percent);
        if *scale <= AMOUNT_SCALE_MAX && own > AMOUNT_SCALE_MAX {
            let more = own - AMOUNT_SCALE_MAX;
            let reason = format!(
                "{percent} % of what `{}` costs has up to {own} decimal places and {AMOUNT_SCALE_MAX} are kept: write the prices \
                 of `{}` or the percentage with {more} fewer, or take a share of the price (`percent_of_price`)",
                base.key, base.key
            );
            found.push((*at, reason));
        }
        scales[*at] = own;
    }
    found
}

/// Most decimal places of what an hour costs; of a share none yet.
fn scale_of(charge: &Charge) -> u32 {
    let of_ladder = |ladder: &Ladder| {
        let tiers = ladder.tiers().iter();
        let scales = tiers.flat_map(|it| {
            let price = it.price.decimal();
            let priced = if price.is_zero() {
                0
            } else {
                QUANTITY_SCALE + price.scale()
            };
            [priced, it.fee.decimal().scale()]
        });
        scales.max().map_or(0, |it| it)
    };
    match charge {
        Charge::Free | Charge::ShareOfAmounts { .. } => 0,
        Charge::Percentile { ladder, .. } => of_ladder(ladder),
        Charge::Metered(tariff) => match &tariff.shape {
            Shape::Flat(price) | Shape::Package { price, .. } => price.decimal().scale(),
            Shape::Graduated(ladder) | Shape::Volume(ladder) => of_ladder(ladder),
        },
    }
}

/// Decimal places of a percentage as a factor: none for 100, one for 50, three for 12.5.
fn scale_of_share(percent: Percent) -> u32 {
    let percent = percent.decimal();
    let zeros = [100, 10].iter().position(|it| percent.mantissa() % it == 0);
    match zeros {
        Some(0) => percent.scale(),
        Some(_) => percent.scale() + 1,
        None => percent.scale() + 2,
    }
}
