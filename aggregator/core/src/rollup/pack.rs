//! Packing sealed days, and reading them: an owner's month is one range of neighbouring rows.
//!
//! Packed days are made from cells on time, which never change (I9), so they can be made at any time behind the last
//! hour's seal, from any snapshot, and again. What came behind a seal, or was replaced, is noted beside them by whoever
//! writes the cell, in the same commit: such an hour is read from its cells. It must not know tenants.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use tallyman_common::codec::CodecError;
use tallyman_common::ids::Owner;
use tallyman_common::time::Hour;

use super::cache::FoldError;
use super::cell::OwnerHour;
use super::day::{PackedDay, Row, UtcDay, day_key, note_key, owner_prefix, row_of};
use super::packer::Packer;
use super::part::owner_of_key;
use crate::ports::{Changes, Read, Table, try_scan};

/// Key of the packed hours in the table of single values: the first one and the first one behind them, 32 bits each.
pub const META_PACKED: &[u8] = b"packed-hours";
/// Owners of an hour that are looked at for one piece.
const OWNERS_MAX: usize = 512;

/// Some owners of a day, packed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Behind its last hour: the day's end, or a month's.
    pub until: Hour,
    /// Keys and values.
    pub rows: Vec<(Vec<u8>, Vec<u8>)>,
    /// Where the next piece begins; `None`: all owners are packed.
    pub next: Option<Vec<u8>>,
}

/// Hours that are packed, of every owner; empty before the first.
pub fn packed_hours(store: &dyn Read) -> Result<Range<Hour>, FoldError> {
    let Some(value) = store.get(Table::Meta, META_PACKED)? else {
        return Ok(Hour(0)..Hour(0));
    };
    let number = |bytes: &[u8]| bytes.try_into().map(u32::from_be_bytes).ok();
    let both = value
        .split_at_checked(4)
        .and_then(|(from, to)| Some(Hour(number(from)?)..Hour(number(to)?)));
    Ok(both.ok_or_else(|| CodecError::Malformed {
        what: "packed hours",
        reason: "not two numbers of four bytes".to_owned(),
    })?)
}

/// Packs owners' sealed hours of the day that `until` ends or lies in, from `from` on, which is empty or what the piece
/// before said.
pub fn pack(store: &dyn Read, until: Hour, from: &[u8]) -> Result<Piece, FoldError> {
    let day = UtcDay::of(Hour(until.0 - 1)).0;
    let mut owners: BTreeMap<Vec<u8>, (Owner, Packer)> = BTreeMap::new();
    let (mut notes, mut end) = (Vec::new(), None::<Vec<u8>>);
    for hour in day.start().0..until.0 {
        let (hour, at) = (Hour(hour), UtcDay::of(Hour(hour)).1);
        let (start, stop) = (hour.0.to_be_bytes(), hour.next().0.to_be_bytes());
        let start = [&start[..], from].concat();
        let mut seen = 0;
        try_scan(store, Table::Cells, (&start, &stop), |key, value| {
            let (part, owner) = owner_of_key(key)?;
            let name = [&[owner.kind()], owner.name().as_bytes()].concat();
            if end.as_ref().is_some_and(|end| name >= *end) {
                return Ok(ControlFlow::Break(()));
            }
            if part.late.is_some() {
                notes.push((name, note_key(&owner, hour)));
                return Ok(ControlFlow::Continue(()));
            }
            seen += 1;
            if seen > OWNERS_MAX {
                end = Some(name);
                return Ok(ControlFlow::Break(()));
            }
            let value = OwnerHour::decode(value)?;
            let (_, packer) = owners.entry(name).or_insert_with(|| (owner, Packer::default()));
            packer.add(at, &value);
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
    }
    let inside = |name: &Vec<u8>| end.as_ref().is_none_or(|end| name < end);
    let days = owners.into_iter().filter(|(name, _)| inside(name));
    let mut rows: Vec<_> = days
        .map(|(_, (owner, packer))| (day_key(&owner_prefix(&owner), day), packer.finish()))
        .collect();
    let notes = notes.into_iter().filter(|(name, _)| inside(name));
    rows.extend(notes.map(|(_, key)| (key, Vec::new())));
    rows.sort();
    rows.dedup();
    Ok(Piece {
        until,
        rows,
        next: end,
    })
}

/// Puts a piece into a commit. `packed` are the hours that are packed now.
pub fn put(piece: Piece, packed: Range<Hour>, changes: &mut Changes) {
    let Piece { until, rows, next } = piece;
    for (key, value) in rows {
        changes.put(Table::Days, key, value);
    }
    if next.is_none() {
        let day = UtcDay::of(Hour(until.0 - 1)).0;
        let from = if packed.is_empty() {
            day.start()
        } else {
            packed.start
        };
        let value = [from.0.to_be_bytes(), until.0.to_be_bytes()].concat();
        changes.put(Table::Meta, META_PACKED.to_vec(), value);
    }
}

/// Notes that an hour of an owner is to be read from its cells.
pub fn note(owner: &Owner, hour: Hour, changes: &mut Changes) {
    changes.put(Table::Days, note_key(owner, hour), Vec::new());
}

/// What an owner's rows say, in order of time.
pub enum Found<'b> {
    /// A packed day.
    Day(UtcDay, PackedDay<'b>),
    /// An hour that is to be read from its cells, whatever its day says.
    Note(Hour),
}

/// Visits the rows of an owner's days.
pub fn scan_days(
    store: &dyn Read,
    owner: &Owner,
    days: Range<UtcDay>,
    mut visit: impl FnMut(Found<'_>) -> Result<(), FoldError>,
) -> Result<(), FoldError> {
    let prefix = owner_prefix(owner);
    let (from, to) = (day_key(&prefix, days.start), day_key(&prefix, days.end));
    try_scan(store, Table::Days, (&from, &to), |key, value| {
        match row_of(&key[prefix.len()..])? {
            Row::Day(day) => visit(Found::Day(day, PackedDay::parse(value)?))?,
            Row::Note(hour) => visit(Found::Note(hour))?,
        }
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })
}
