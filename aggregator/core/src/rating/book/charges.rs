//! Reads how an item of a price book is charged: prices, tiers, packages, allowances.
//!
//! It must not know meters, nor what one item takes from another (`shares`).

use rust_decimal::Decimal;
use tallyman_common::money::{Percent, Price, Quantity};
use toml::de::DeTable;

use super::super::ladder::{Ladder, Tier};
use super::super::tariff::{Allowance, Over, Shape, Tariff};
use super::parse::taken;
use super::reader::{At, Faults, Reader};
use super::{Charge, ItemKey, TIERS_MAX};

const TIER_KEYS: &[&str] = &["up_to", "price", "fee"];
const STEP_KEYS: &[&str] = &["up_to", "amount"];
/// A price above this for one unit is taken for a slip of the pen.
const PRICE_MAX: Decimal = Decimal::from_parts(1_000_000_000, 0, 0, false, 0);

/// A percentage above this, a hundred times the whole, too.
const PERCENT_MAX: Decimal = Decimal::from_parts(10_000, 0, 0, false, 0);

/// How a model's tiers are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Tiers {
    /// Each with a price, and a fee if there is one.
    Priced,
    /// Each with the amount of the whole.
    Steps,
}

/// The charge of a metered model; none after a fault.
pub(super) fn parse_metered(model: &str, reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Charge> {
    let (shape, over) = match model {
        "flat" => (
            parse_price(reader, faults, "price").map(Shape::Flat),
            parse_over(reader, faults, "flat_over"),
        ),
        "per_unit" => {
            let price = parse_price(reader, faults, "price");
            (
                price.map(|it| Shape::Graduated(Ladder::flat_price(it))),
                Some(Over::Hour),
            )
        }
        "package" => {
            let over = parse_over(reader, faults, "package_over");
            (parse_package(reader, faults), over)
        }
        _ => {
            let over = parse_over(reader, faults, "tiers_over");
            let tiers = if model == "stairstep" {
                Tiers::Steps
            } else {
                Tiers::Priced
            };
            let ladder = parse_ladder(reader, faults, tiers);
            let shape = ladder.map(|it| match model {
                "graduated" => Shape::Graduated(it),
                _ => Shape::Volume(it),
            });
            (shape, over)
        }
    };
    let allowance = parse_allowance(reader, faults);
    let at_least = parse_quantity(reader, faults, "at_least");
    Some(Charge::Metered(Tariff {
        shape: shape?,
        over: over?,
        allowance: allowance?,
        at_least: at_least?.unwrap_or(Quantity::ZERO),
        resets: reader.flag(faults, "reset")?,
    }))
}

/// The charge of a percentile of the hours of a month.
pub(super) fn parse_percentile(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Charge> {
    let percentile = reader.required(faults, "percentile");
    let percentile = taken(reader, faults, percentile, |it| match Percent::parse(it) {
        Ok(percent) if percent.decimal() > Decimal::ZERO && percent.decimal() <= Decimal::ONE_HUNDRED => {
            Ok(percent)
        }
        _ => Err(format!("`percentile = \"{it}\"` is not above 0 and at most 100")),
    });
    let ladder = if reader.key_offset("tiers").is_some() {
        parse_ladder(reader, faults, Tiers::Priced)
    } else {
        parse_price(reader, faults, "price").map(Ladder::flat_price)
    };
    Some(Charge::Percentile {
        percentile: percentile?,
        ladder: ladder?,
    })
}

fn parse_package(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Shape> {
    let price = parse_price(reader, faults, "price");
    reader.require(faults, "size");
    let size = parse_quantity(reader, faults, "size")??;
    if size.is_zero() {
        let offset = reader.key_offset("size").unwrap_or(reader.offset());
        reader.fault(faults, offset, "`size` of a package is above 0");
        return None;
    }
    Some(Shape::Package { size, price: price? })
}

/// The outer option is none after a fault, the inner one where there is none.
fn parse_allowance(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Option<Allowance>> {
    let names = ["allowance", "allowance_over"];
    if names.iter().all(|it| reader.key_offset(it).is_none()) {
        return Some(None);
    }
    reader.require(faults, "allowance");
    let quantity = parse_quantity(reader, faults, "allowance");
    let over = parse_over(reader, faults, "allowance_over");
    let (quantity, over) = (quantity??, over?);
    Some(Some(Allowance { quantity, over }))
}

fn parse_ladder(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, kind: Tiers) -> Option<Ladder> {
    reader.require(faults, "tiers");
    let tables = reader.tables(faults, "tiers");
    if tables.len() > TIERS_MAX {
        reader.fault(faults, reader.offset(), format!("more than {TIERS_MAX} tiers"));
        return None;
    }
    let tiers: Vec<Option<Tier>> = tables
        .iter()
        .enumerate()
        .map(|(index, it)| parse_tier(reader.path(), index, it, faults, kind))
        .collect();
    let tiers: Vec<Tier> = tiers.into_iter().collect::<Option<_>>()?;
    match Ladder::new(tiers) {
        Ok(ladder) => Some(ladder),
        Err(tier_faults) => {
            for fault in tier_faults {
                let offset = tables.get(fault.index).map_or(reader.offset(), |it| it.offset);
                reader.fault(
                    faults,
                    offset,
                    format!("tier {} {}", fault.index + 1, fault.reason),
                );
            }
            None
        }
    }
}

fn parse_tier(
    path: &str,
    index: usize,
    at: &At<&DeTable<'_>>,
    faults: &mut Faults<'_>,
    kind: Tiers,
) -> Option<Tier> {
    let part = format!("tier {} ", index + 1);
    let reader = Reader::new(at.value, at.offset, path.to_owned(), part);
    let keys = match kind {
        Tiers::Priced => TIER_KEYS,
        Tiers::Steps => STEP_KEYS,
    };
    reader.only(faults, keys, |it| keys.contains(&it));
    let (price, fee) = match kind {
        Tiers::Steps => (Some(Price::ZERO), parse_price(&reader, faults, "amount")),
        Tiers::Priced => {
            let price = parse_price(&reader, faults, "price");
            let fee = match reader.key_offset("fee") {
                None => Some(Price::ZERO),
                Some(_) => parse_price(&reader, faults, "fee"),
            };
            (price, fee)
        }
    };
    let up_to = parse_quantity(&reader, faults, "up_to")?;
    Some(Tier {
        up_to,
        price: price?,
        fee: fee?,
    })
}

/// Reads a price, fee or amount that must be there.
pub(super) fn parse_price(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, name: &str) -> Option<Price> {
    let price = reader.required(faults, name);
    taken(reader, faults, price, |it| match Price::parse(it) {
        Ok(price) if price.decimal() > PRICE_MAX => Err(format!(
            "`{name} = \"{it}\"` is above {PRICE_MAX}: is that a slip of the pen?"
        )),
        other => other.map_err(|it| format!("`{name}`: {it}")),
    })
}

/// The outer option is none after a fault, the inner one where the key is missing.
fn parse_quantity(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, name: &str) -> Option<Option<Quantity>> {
    if reader.key_offset(name).is_none() {
        return Some(None);
    }
    let text = reader.text(faults, name);
    taken(reader, faults, text, |it| {
        Quantity::parse(it).map_err(|it| format!("`{name}`: {it}"))
    })
    .map(Some)
}

fn parse_over(reader: &Reader<'_, '_>, faults: &mut Faults<'_>, name: &str) -> Option<Over> {
    let over = reader.required(faults, name);
    taken(reader, faults, over, |it| match it {
        "hour" => Ok(Over::Hour),
        "day" => Ok(Over::Day),
        "month" => Ok(Over::Month),
        other => Err(format!(
            "`{name} = \"{other}\"` is not known; `hour`, `day` and `month` are"
        )),
    })
}

/// Reads `of`, one item's key or several, and where each stands.
pub(super) fn parse_of(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Vec<(usize, ItemKey)>> {
    let mut keys = Vec::new();
    for text in reader.text_or_texts(faults, "of") {
        let offset = text.offset;
        keys.push((offset, taken(reader, faults, Some(text), ItemKey::parse)?));
    }
    if keys.is_empty() {
        reader.require(faults, "of");
        return None;
    }
    Some(keys)
}

/// Reads `percent`.
pub(super) fn parse_percent(reader: &Reader<'_, '_>, faults: &mut Faults<'_>) -> Option<Percent> {
    let percent = reader.required(faults, "percent");
    taken(reader, faults, percent, |it| match Percent::parse(it) {
        Ok(percent) if percent.decimal() > PERCENT_MAX => Err(format!(
            "`percent = \"{it}\"` is above {PERCENT_MAX}: is that a slip of the pen?"
        )),
        other => other.map_err(|it| format!("`percent`: {it}")),
    })
}
