//! Reads how an item of a price book is charged: prices, tiers, shares of another item's prices.
//!
//! It must not know meters.

use tallyman_common::money::{Percent, Price, Quantity};
use toml::de::DeTable;

use super::super::ladder::{Ladder, Tier};
use super::parse::{path_of, taken};
use super::reader::{At, Faults, Reader};
use super::{Charge, Item, ItemKey, Over, Share, TIERS_MAX};

const TIER_KEYS: &[&str] = &["up_to", "price"];

/// An item whose share of another item's prices is not worked out yet.
pub(super) struct Draft {
    pub(super) item: Item,
    /// Where a share's faults are told: offsets of the item's table and of its `of`.
    pub(super) offset: usize,
    pub(super) of_offset: usize,
}

pub(super) fn parse_flat(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Charge> {
    let price = parse_price(reader, faults);
    let over = parse_over(reader, faults, "flat_over");
    Some(Charge::Flat {
        price: price?,
        over: over?,
    })
}

pub(super) fn parse_graduated(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Charge> {
    let over = parse_over(reader, faults, "tiers_over");
    reader.require(faults, "tiers");
    let tables = reader.tables(faults, "tiers");
    if tables.len() > TIERS_MAX {
        reader.fault(faults, reader.offset(), format!("more than {TIERS_MAX} tiers"));
        return None;
    }
    let tiers: Vec<Option<Tier>> = tables
        .iter()
        .enumerate()
        .map(|(index, it)| parse_tier(reader.path(), index, it, faults))
        .collect();
    let tiers: Vec<Tier> = tiers.into_iter().collect::<Option<_>>()?;
    let ladder = match Ladder::new(tiers) {
        Ok(ladder) => ladder,
        Err(tier_faults) => {
            for fault in tier_faults {
                let offset = tables.get(fault.index).map_or(reader.offset(), |it| it.offset);
                reader.fault(
                    faults,
                    offset,
                    format!("tier {} {}", fault.index + 1, fault.reason),
                );
            }
            return None;
        }
    };
    Some(Charge::Graduated { ladder, over: over? })
}

fn parse_tier(path: &str, index: usize, at: &At<&DeTable<'_>>, faults: &mut Faults<'_>) -> Option<Tier> {
    let part = format!("tier {} ", index + 1);
    let reader = Reader::new(at.value, at.offset, path.to_owned(), part);
    reader.only(faults, TIER_KEYS, |it| TIER_KEYS.contains(&it));
    let price = parse_price(&reader, faults);
    let up_to = match reader.key_offset("up_to") {
        None => None,
        Some(_) => {
            let bound = reader.text(faults, "up_to");
            Some(taken(&reader, faults, bound, |it| {
                Quantity::parse(it).map_err(|it| format!("`up_to`: {it}"))
            })?)
        }
    };
    Some(Tier { up_to, price: price? })
}

pub(super) fn parse_share(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Share> {
    let item = reader.required(faults, "of");
    let item = taken(reader, faults, item, ItemKey::parse);
    let percent = reader.required(faults, "percent");
    let percent = taken(reader, faults, percent, |it| {
        Percent::parse(it).map_err(|it| format!("`percent`: {it}"))
    });
    Some(Share {
        item: item?,
        percent: percent?,
    })
}

pub(super) fn parse_price(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Price> {
    let price = reader.required(faults, "price");
    taken(reader, faults, price, |it| {
        Price::parse(it).map_err(|it| format!("`price`: {it}"))
    })
}

fn parse_over(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, name: &str) -> Option<Over> {
    let over = reader.required(faults, name);
    taken(reader, faults, over, |it| match it {
        "hour" => Ok(Over::Hour),
        "month" => Ok(Over::Month),
        other => Err(format!(
            "`{name} = \"{other}\"` is not known; `hour` and `month` are"
        )),
    })
}

/// Gives a share its own prices: those of the item it names, scaled.
pub(super) fn resolve_share(draft: &mut Draft, share: &Share, bases: &[Item], faults: &mut Faults<'_>) {
    let path = path_of(&draft.item.key);
    let Some(base) = bases.iter().find(|it| it.key == share.item) else {
        faults.add(
            draft.of_offset,
            &path,
            format!("there is no item `{}` to take prices from", share.item),
        );
        return;
    };
    if base.unit_name() != draft.item.unit_name() {
        let (own, theirs) = (draft.item.unit_name(), base.unit_name());
        let reason = format!(
            "unit `{own}` is not `{theirs}`, for which item `{}` has its price",
            base.key
        );
        faults.add(draft.offset, &path, reason);
    }
    let charge = match (&base.charge, &base.share) {
        (_, Some(_)) => Err(format!(
            "item `{}` takes a share itself; name the item with the prices",
            base.key
        )),
        (Charge::Free | Charge::Flat { .. }, None) => {
            Err(format!("item `{}` has no price per unit", base.key))
        }
        (Charge::PerUnit(price), None) => share
            .percent
            .of_price(*price)
            .map(Charge::PerUnit)
            .map_err(|it| format!("`percent`: {it}")),
        (Charge::Graduated { ladder, over }, None) => ladder
            .scaled(share.percent)
            .map(|ladder| Charge::Graduated { ladder, over: *over })
            .map_err(|it| format!("`percent`: {it}")),
    };
    match charge {
        Ok(charge) => draft.item.charge = charge,
        Err(reason) => faults.add(draft.of_offset, &path, reason),
    }
}
