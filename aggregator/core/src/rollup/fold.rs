//! Adding one batch to the hours it touches. What crosses an hour's edge is split by boot time back from the wall
//! end, in integers, the remainder to the last, and flagged.

use std::sync::Arc;

use tallyman_common::ids::{NodeId, Owner, Seq, SpoolId};
use tallyman_common::record::{Group, Hole, Record, State};
use tallyman_common::time::{Hour, WallMs, Window, split_by_weight};
use tallyman_common::wire::{FLAG_CLEAN_STOP, Header};

use super::cell::{Addition, HoleNote, KIND_MAXIMUM, KIND_SUM, NodeHour, OwnerHour, minute_bits};
use super::part::Part;
use crate::limits::HOLES_PER_HOUR_MAX;

/// One hour's share of a batch's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Piece {
    /// The hour.
    pub hour: Hour,
    /// Milliseconds of the window in it.
    pub length_ms: u64,
    /// Bits of its minutes that the window touches.
    pub minutes: u64,
}

/// What a fold needs to know of a batch besides its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchPlace {
    /// Position of the entry or decision that counts it.
    pub position: u64,
    /// Group of the node then.
    pub group: Arc<str>,
    /// Node, spool and number.
    pub batch: (NodeId, SpoolId, Seq),
    /// The window.
    pub window: Window,
    /// Its hours, oldest first.
    pub pieces: Vec<Piece>,
    /// The agent stopped in order behind it.
    pub clean_stop: bool,
    /// Newest hour that was sealed before the entry or decision.
    pub sealed: Option<Hour>,
}

impl BatchPlace {
    /// The place of a batch; `None` if its window lies before 1970, which no counted batch does.
    pub fn new(position: u64, sealed: Option<Hour>, group: Arc<str>, header: &Header) -> Option<Self> {
        let window = header.window();
        let start = window.booked_start()?;
        let piece = |(hour, length_ms)| {
            let minutes = minute_bits(hour, start, window.wall_end);
            Piece {
                hour,
                length_ms,
                minutes,
            }
        };
        let pieces = window.by_hour()?.into_iter().map(piece).collect();
        let clean_stop = header.flags & FLAG_CLEAN_STOP != 0;
        Some(Self {
            position,
            group,
            batch: (header.node, header.spool, header.seq),
            window,
            pieces,
            clean_stop,
            sealed,
        })
    }

    /// The part of its hour that piece `at` belongs to.
    pub fn part(&self, at: usize) -> Part {
        Part::of(self.pieces[at].hour, self.sealed)
    }
}

/// A sum that does not fit into 128 bits: impossible usage, shown and not wrapped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("usage of `{owner}` in hour {hour} does not fit into 128 bits", hour = hour.0)]
pub struct Overflow {
    /// Whose.
    pub owner: Owner,
    /// When.
    pub hour: Hour,
}

/// Adds a record's share of piece `at` to its owner's hour.
pub fn fold_record(
    target: &mut OwnerHour,
    record: &Record,
    place: &BatchPlace,
    at: usize,
) -> Result<(), Overflow> {
    let piece = place.pieces[at];
    let overflow = || Overflow {
        owner: record.owner.clone(),
        hour: piece.hour,
    };
    target.upto = place.position;
    let (node, spool, seq) = place.batch;
    target.trace(node, spool, seq, piece.minutes);
    for group in &record.groups {
        fold_group(target, group, place, at).ok_or_else(overflow)?;
    }
    for peak in &record.peaks {
        let (value, state) = (peak.level, State::Measured);
        let addition = Addition {
            value,
            covered_ms: 0,
            state,
            spread: false,
        };
        target
            .set_mut(&place.group, &peak.dims)
            .cell_mut(peak.meter, KIND_MAXIMUM)
            .add(addition)
            .ok_or_else(overflow)?;
    }
    if at + 1 == place.pieces.len() {
        record
            .holes
            .iter()
            .for_each(|hole| note_hole(target, hole, place));
    }
    Ok(())
}

fn fold_group(target: &mut OwnerHour, group: &Group, place: &BatchPlace, at: usize) -> Option<()> {
    let dims: Vec<(String, String)> = group.dims.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
    let set = target.set_mut(&place.group, &dims);
    let mut next = 0;
    for row in &group.rows {
        let addition = Addition {
            value: share(row.to - row.from, &place.pieces, at)?,
            covered_ms: u64::try_from(share(u128::from(row.covered_ms), &place.pieces, at)?).ok()?,
            state: row.state,
            spread: place.pieces.len() > 1,
        };
        let cell = set.cell_at(next, row.meter, KIND_SUM);
        set.cells[cell].add(addition)?;
        next = cell + 1;
    }
    Some(())
}

/// The share of piece `at` of a total; all shares sum to it.
fn share(total: u128, pieces: &[Piece], at: usize) -> Option<u128> {
    if pieces.len() == 1 {
        return Some(total);
    }
    let weights: Vec<u64> = pieces.iter().map(|p| p.length_ms).collect();
    split_by_weight(total, &weights).map(|parts| parts[at])
}

fn note_hole(target: &mut OwnerHour, hole: &Hole, place: &BatchPlace) {
    if target.holes.len() >= HOLES_PER_HOUR_MAX {
        target.more_holes += 1;
        return;
    }
    // Boot times become labels by counting back from the window's end; before 1970 is shown as 1970.
    let on_wall = |boot: u64| {
        let back = place.window.boot_end.0.checked_sub(boot);
        WallMs(
            back.and_then(|b| place.window.wall_end.0.checked_sub(b))
                .map_or(0, |ms| ms),
        )
    };
    target.holes.push(HoleNote {
        node: place.batch.0,
        meter: hole.meter.map_or(0, |m| m.0),
        cause: hole.cause.number(),
        start: on_wall(hole.boot_start.0),
        end: on_wall(hole.boot_end.0),
        workload: hole.workload.clone(),
    });
}

/// Notes a batch in its node's hour.
pub fn fold_node(target: &mut NodeHour, place: &BatchPlace, at: usize) {
    target.upto = place.position;
    target.minutes |= place.pieces[at].minutes;
    target.batches += 1;
    if place.clean_stop && at + 1 == place.pieces.len() {
        target.stops.push(place.window.wall_end);
    }
}
