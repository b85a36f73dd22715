//! Packing an owner's day, hour by hour: what is plain goes into the sums, what needs a closer look is marked. The layout is
//! that of [`super::day`].

use std::collections::BTreeMap;

use tallyman_common::ids::NodeId;
use tallyman_common::meter::Meter;

use super::cell::{KIND_MAXIMUM, KIND_SUM, OwnerHour};
use super::day::{FORMAT, Hours};

/// Dimensions: names and values, rising.
type Name = Vec<(String, String)>;

/// Packs a day, hour by hour.
#[derive(Debug, Default)]
pub struct Packer {
    hours: Hours,
    apart: Hours,
    flawed: Hours,
    nodes: BTreeMap<NodeId, Hours>,
    columns: BTreeMap<(Meter, Name), (Hours, Vec<u128>)>,
}

impl Packer {
    /// Adds the next hour that has a value, in rising order.
    pub fn add(&mut self, at: usize, value: &OwnerHour) {
        let bit = 1 << at;
        self.hours |= bit;
        let is_flawed = value.cells().any(|(_, cell)| cell.causes != 0);
        if is_flawed || !value.holes.is_empty() || value.more_holes > 0 {
            self.flawed |= bit;
        }
        let Some(sums) = plain_sums(value) else {
            self.apart |= bit;
            return;
        };
        for trace in &value.traces {
            *self.nodes.entry(trace.node).or_insert(0) |= bit;
        }
        for (key, sum) in sums {
            let (hours, values) = self.columns.entry(key).or_default();
            *hours |= bit;
            values.push(sum);
        }
    }

    /// The bytes.
    pub fn finish(self) -> Vec<u8> {
        let mut out = vec![FORMAT];
        for hours in [self.hours, self.apart, self.flawed] {
            put_hours(&mut out, hours);
        }
        put_count(&mut out, self.nodes.len());
        for (node, hours) in &self.nodes {
            out.extend_from_slice(&node.0);
            put_hours(&mut out, *hours);
        }
        put_count(&mut out, self.columns.len());
        for ((meter, dims), (hours, values)) in &self.columns {
            out.extend_from_slice(&meter.0.to_le_bytes());
            out.push(u8::try_from(dims.len()).expect("looked at before"));
            for text in dims.iter().flat_map(|(name, value)| [name, value]) {
                let length = u16::try_from(text.len()).expect("looked at before");
                out.extend_from_slice(&length.to_le_bytes());
                out.extend_from_slice(text.as_bytes());
            }
            put_hours(&mut out, *hours);
            put_values(&mut out, values);
        }
        out
    }
}

/// Sums over the groups by meter and dimensions. None where something is inferred or taken back, of an unknown kind, or too
/// large for this layout: such an hour is read from its cells.
fn plain_sums(value: &OwnerHour) -> Option<BTreeMap<(Meter, Name), u128>> {
    let mut sums: BTreeMap<(Meter, Name), u128> = BTreeMap::new();
    for (set, cell) in value.cells() {
        match cell.kind {
            KIND_MAXIMUM => continue,
            KIND_SUM => {}
            _ => return None,
        }
        let is_long = |text: &String| text.len() > usize::from(u16::MAX);
        if set.dims.len() > usize::from(u8::MAX) || set.dims.iter().any(|(n, v)| is_long(n) || is_long(v)) {
            return None;
        }
        let sum = sums.entry((cell.meter, set.dims.clone())).or_insert(0);
        *sum = sum.checked_add(cell.value)?;
    }
    Some(sums)
}

fn put_hours(out: &mut Vec<u8>, hours: Hours) {
    out.extend_from_slice(&hours.to_le_bytes()[..3]);
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).expect("an owner's hour is bounded by a batch");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_values(out: &mut Vec<u8>, values: &[u128]) {
    let least = values.iter().min().copied().expect("a column has a value");
    let most = values.iter().max().expect("a column has a value");
    put_number(out, least);
    let width = bytes_of(most - least);
    out.push(u8::try_from(width).expect("at most 16"));
    for value in values {
        out.extend_from_slice(&(value - least).to_le_bytes()[..width]);
    }
}

fn put_number(out: &mut Vec<u8>, number: u128) {
    let width = bytes_of(number);
    out.push(u8::try_from(width).expect("at most 16"));
    out.extend_from_slice(&number.to_le_bytes()[..width]);
}

/// The fewest bytes that hold a number; none for 0.
fn bytes_of(number: u128) -> usize {
    16 - (number.leading_zeros() / 8) as usize
}
