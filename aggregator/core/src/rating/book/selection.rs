//! Reads which cells an item of a price book sums, and its unit.
//!
//! It must not know prices.

use std::collections::BTreeMap;

use tallyman_common::meter::{BaseUnit, METERS, Meter};

use super::super::unit::Unit;
use super::Selection;
use super::parse::taken;
use super::reader::{Faults, Reader, list};

impl Selection {
    /// [`Selection::admits`] of dimensions that are not in a map.
    pub fn admits_pairs(&self, dims: &[(&str, &str)]) -> bool {
        let has = |(name, value): (&String, &String)| dims.contains(&(name.as_str(), value.as_str()));
        self.dims.iter().all(has)
    }
}

/// The outer option is none after a fault, the inner one for a free item that is only announced.
pub(super) fn parse_selection(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    model: &str,
) -> Option<Option<Selection>> {
    let selects = ["meters", "minus", "where", "unit"]
        .iter()
        .any(|it| reader.key_offset(it).is_some());
    if model == "percent_of_amount" {
        for key in ["meters", "minus", "where", "unit"] {
            if let Some(offset) = reader.key_offset(key) {
                reader.fault(
                    faults,
                    offset,
                    format!("`{key}` does not belong to model `{model}`"),
                );
            }
        }
        return Some(None);
    }
    if model == "free" && !selects {
        return Some(None);
    }
    let count = faults.count();
    reader.require(faults, "meters");
    let unit = reader.required(faults, "unit");
    let unit = taken(reader, faults, unit, |it| {
        Unit::by_name(it).ok_or_else(|| format!("`unit = \"{it}\"` is not known; {}", all_units()))
    });
    if let (Some(unit), Some(offset)) = (unit, reader.key_offset("unit"))
        && unit.is_rate() != (model == "percentile")
    {
        let words = if unit.is_rate() {
            format!("`{unit}` is a rate: only model `percentile` is priced by it")
        } else {
            format!("model `percentile` is priced by a rate such as `Mbit/s`, not by `{unit}`")
        };
        reader.fault(faults, offset, words);
    }
    let plus = parse_meters(reader, faults, "meters", unit, &[]);
    let minus = parse_meters(reader, faults, "minus", unit, &plus);
    if let (Some(offset), true) = (
        reader.key_offset("meters"),
        plus.is_empty() && faults.count() == count,
    ) {
        reader.fault(faults, offset, "`meters` names none");
    }
    let mut dims = BTreeMap::new();
    for (name, value) in reader.text_table(faults, "where") {
        dims.insert(name.to_owned(), value.to_owned());
    }
    (faults.count() == count).then_some(Some(Selection {
        unit: unit?,
        plus,
        minus,
        dims,
    }))
}

fn parse_meters(
    reader: &Reader<'_, '_>,
    faults: &mut Faults<'_>,
    key: &str,
    unit: Option<Unit>,
    taken_already: &[Meter],
) -> Vec<Meter> {
    let mut meters = Vec::new();
    for name in reader.texts(faults, key) {
        let Some(row) = METERS.iter().find(|it| it.name == name.value) else {
            let names: Vec<&str> = METERS.iter().map(|it| it.name).collect();
            let reason = format!(
                "unknown meter `{}` in `{key}`; known are {}",
                name.value,
                list(&names)
            );
            reader.fault(faults, name.offset, reason);
            continue;
        };
        if let Some(unit) = unit.filter(|it| it.base() != row.unit) {
            let reason = format!(
                "unit `{unit}` does not measure meter `{}`, which counts {}; {} do",
                row.name,
                row.unit.name(),
                units_of(row.unit)
            );
            reader.fault(faults, name.offset, reason);
        }
        if meters.contains(&row.meter) || taken_already.contains(&row.meter) {
            reader.fault(
                faults,
                name.offset,
                format!("meter `{}` is named twice", row.name),
            );
        }
        meters.push(row.meter);
    }
    meters
}

fn units_of(base: BaseUnit) -> String {
    let names: Vec<&str> = Unit::of_base(base).map(Unit::name).collect();
    list(&names)
}

fn all_units() -> String {
    let bases = [
        BaseUnit::Nanoseconds,
        BaseUnit::ByteMilliseconds,
        BaseUnit::Bytes,
        BaseUnit::Count,
        BaseUnit::Milliseconds,
    ];
    let lists: Vec<String> = bases
        .into_iter()
        .map(|it| format!("for {}: {}", it.name(), units_of(it)))
        .collect();
    format!("known are {}", lists.join("; "))
}
