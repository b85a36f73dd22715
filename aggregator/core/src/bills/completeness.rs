//! How complete a period is: for each node that had the tenant's rows in an hour or just beside it, which minutes
//! were expected and which came. Powered off in order is no hole; everything else that did not come is named.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{ControlFlow, Range};

use serde::Serialize;
use tallyman_common::codec;
use tallyman_common::ids::{Digest, NodeId};
use tallyman_common::time::{Hour, MINUTE_MS, WallMs};

use super::Books;
use super::seen::{Seen, WholeHours};
use super::usage::TenantHour;
use crate::log::{HeldNote, position_key, position_of};
use crate::ports::{Table, try_scan};
use crate::rating::instant::instant_text;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{NodeHour, minute_bits};
use crate::rollup::day::Hours;
use crate::rollup::part::read_node;

/// A minute is not missed before it can have come.
const IN_FLIGHT_MS: u64 = 2 * MINUTE_MS;
/// How far back an orderly stop is looked for.
const LOOK_BACK_HOURS: u32 = 48;
/// Holes named in one answer; the rest is in the counts.
const HOLES_MAX: usize = 200;

/// Who looks: an operator sees nodes, a tenant opaque names of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Viewer {
    /// Sees node identities.
    Operator,
    /// Sees names that mean nothing elsewhere.
    Tenant,
}

/// Minutes that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingMinutes {
    /// Node, or its opaque name.
    pub node: String,
    /// Start.
    pub from: String,
    /// End.
    pub to: String,
    /// How many.
    pub minutes: u64,
}

/// How complete a period is so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Completeness {
    /// Node-minutes expected so far.
    pub expected_node_minutes: u64,
    /// Of these, received (also in longer windows).
    pub received_node_minutes: u64,
    /// Of these, in batches that are held for a person's decision, or were discarded.
    pub held_node_minutes: u64,
    /// Minutes in which a node was switched off in order; not expected.
    pub off_node_minutes: u64,
    /// Nodes with the tenant's usage.
    pub nodes: u64,
    /// Everything expected came, and the period has ended.
    pub complete: bool,
    /// The holes, oldest first.
    pub missing: Vec<MissingMinutes>,
}

/// One node's minutes in one hour, as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Minutes {
    /// Expected and not off.
    pub expected: u64,
    /// Came.
    pub received: u64,
    /// Off in order.
    pub off: u64,
}

/// Completeness of a tenant's period.
pub fn of(
    books: Books<'_>,
    hours: &[TenantHour],
    period: Range<Hour>,
    viewer: Viewer,
) -> Result<Completeness, FoldError> {
    let wanted = wanted_hours(hours, &period, books.now);
    let held = held_windows(books)?;
    let mut total = Tally::default();
    for (node, hours) in &wanted {
        let name = display_name(*node, viewer);
        let windows: Vec<_> = held.iter().filter(|(n, _)| n == node).map(|(_, w)| w).collect();
        for hour in hours {
            let minutes = node_minutes(books, *node, *hour)?;
            let held = windows.iter().map(|w| minute_bits(*hour, w.start, w.end));
            total.add(&name, *hour, minutes, held.fold(0, |all, bits| all | bits));
        }
    }
    let ended = books.now >= period.end.start();
    Ok(total.finish(wanted.len() as u64, ended))
}

/// Completeness of a period of which it is known which nodes had rows when. `held` are the windows of held batches.
pub fn of_seen(
    books: Books<'_>,
    seen: &Seen,
    known: (&[HeldWindow], Option<&WholeHours>),
    period: &Range<Hour>,
    viewer: Viewer,
) -> Result<Completeness, FoldError> {
    let (held, whole) = known;
    let sealed = books.registry.seals.newest();
    let (mut total, mut nodes) = (Tally::default(), 0);
    for (node, wanted) in seen.wanted(books.now) {
        nodes += 1;
        let marks = books.marks.node(node);
        if marks.and_then(|m| m.expected_from(sealed)).is_none() {
            continue;
        }
        let whole = whole.and_then(|it| it.of(node, seen.days()));
        let mut name = None;
        for (place, wanted) in wanted.into_iter().enumerate() {
            let plain = whole.map_or(0, |it| it[place]) & wanted;
            total.add_whole(plain);
            for hour in seen.hours_of(place, wanted & !plain) {
                let minutes = node_minutes(books, node, hour)?;
                let windows = held.iter().filter(|(n, _)| *n == node);
                let held = windows.map(|(_, w)| minute_bits(hour, w.start, w.end));
                let held = held.fold(0, |all, bits| all | bits);
                let name = name.get_or_insert_with(|| display_name(node, viewer));
                total.add(name, hour, minutes, held);
            }
        }
    }
    Ok(total.finish(nodes, books.now >= period.end.start()))
}

/// Window of a held or discarded batch, and its node.
pub type HeldWindow = (NodeId, Range<WallMs>);

/// Windows of held and discarded batches, as the batches say.
pub fn held_windows(books: Books<'_>) -> Result<Vec<HeldWindow>, FoldError> {
    let (mut found, end) = (Vec::new(), position_key(books.position + 1));
    try_scan(books.store, Table::Held, (&[], &end), |key, value| {
        let note: HeldNote = codec::decode("held note", value)?;
        let released = books.registry.held.get(&position_of(key)?) == Some(&true);
        found.extend((!released).then_some((note.node, note.wall_start..note.wall_end)));
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// For each node the hours to look at: those with rows of the tenant and the ones just before and after.
fn wanted_hours(hours: &[TenantHour], period: &Range<Hour>, now: WallMs) -> BTreeMap<NodeId, BTreeSet<Hour>> {
    let mut wanted: BTreeMap<NodeId, BTreeSet<Hour>> = BTreeMap::new();
    for hour in hours {
        for trace in hour.owners.iter().flat_map(|(_, v)| &v.traces) {
            let set = wanted.entry(trace.node).or_default();
            let around = [
                hour.hour.0.checked_sub(1).map(Hour),
                Some(hour.hour),
                Some(hour.hour.next()),
            ];
            set.extend(
                around
                    .into_iter()
                    .flatten()
                    .filter(|h| period.contains(h) && h.start() < now),
            );
        }
    }
    wanted
}

/// What a tenant sees of a node's identity.
pub fn display_name(node: NodeId, viewer: Viewer) -> String {
    match viewer {
        Viewer::Operator => node.to_string(),
        Viewer::Tenant => {
            let digest = Digest::of(&[b"tallyman/opaque-node/1\0", &node.0]).to_string();
            format!("node-{}", &digest[..12])
        }
    }
}

/// Which minutes of an hour a node owed, and which came.
pub fn node_minutes(books: Books<'_>, node: NodeId, hour: Hour) -> Result<Minutes, FoldError> {
    let sealed = books.registry.seals.newest();
    let first = books.marks.node(node).and_then(|m| m.expected_from(sealed));
    let Some(first) = first else {
        return Ok(Minutes::default());
    };
    let value = read_node(books.store, hour, node, sealed)?;
    let ended = books.registry.nodes.get(&node).and_then(|n| n.ended);
    let in_flight = WallMs(books.now.0.checked_sub(IN_FLIGHT_MS).map_or(0, |ms| ms));
    let until = ended.map_or(in_flight, |end| end.min(in_flight));
    let owed = minute_bits(hour, first, until) | value.minutes;
    let off = off_minutes(books, node, hour, &value)? & owed & !value.minutes;
    Ok(Minutes {
        expected: owed & !off,
        received: value.minutes,
        off,
    })
}

/// Minutes behind an orderly stop and before the next minute that came.
fn off_minutes(books: Books<'_>, node: NodeId, hour: Hour, value: &NodeHour) -> Result<u64, FoldError> {
    let mut is_off = stopped_before(books, node, hour)?;
    let mut off = 0;
    for minute in 0..60u32 {
        let bit = 1u64 << minute;
        let minute_end = WallMs(hour.start().0 + u64::from(minute + 1) * MINUTE_MS);
        if value.minutes & bit != 0 {
            // The stop that ends in this minute is behind what came in it.
            let start = WallMs(minute_end.0 - MINUTE_MS);
            is_off = value.stops.iter().any(|s| start < *s && *s <= minute_end);
        } else if is_off {
            off |= bit;
        }
    }
    Ok(off)
}

fn stopped_before(books: Books<'_>, node: NodeId, hour: Hour) -> Result<bool, FoldError> {
    for back in 1..=LOOK_BACK_HOURS {
        let Some(earlier) = hour.0.checked_sub(back).map(Hour) else {
            break;
        };
        let value = read_node(books.store, earlier, node, books.registry.seals.newest())?;
        if value.minutes != 0 {
            let last = 63 - value.minutes.leading_zeros();
            let last_start = WallMs(earlier.start().0 + u64::from(last) * MINUTE_MS);
            return Ok(value.stops.iter().any(|s| *s > last_start));
        }
    }
    Ok(false)
}

#[derive(Default)]
struct Tally {
    expected: u64,
    received: u64,
    held: u64,
    off: u64,
    missing: Vec<(String, WallMs, WallMs)>,
}

impl Tally {
    /// Adds hours of which every minute was expected and came.
    fn add_whole(&mut self, hours: Hours) {
        let minutes = u64::from(hours.count_ones()) * 60;
        self.expected += minutes;
        self.received += minutes;
    }

    fn add(&mut self, node: &str, hour: Hour, minutes: Minutes, held: u64) {
        let count = |bits: u64| u64::from(bits.count_ones());
        self.expected += count(minutes.expected);
        self.received += count(minutes.expected & minutes.received);
        self.off += count(minutes.off);
        let held = held & minutes.expected & !minutes.received;
        self.held += count(held);
        let missing = minutes.expected & !minutes.received & !held;
        for minute in (0..60u64).filter(|m| missing & (1 << m) != 0) {
            let start = WallMs(hour.start().0 + minute * MINUTE_MS);
            let end = WallMs(start.0 + MINUTE_MS);
            match self.missing.last_mut() {
                Some((n, _, to)) if n == node && *to == start => *to = end,
                _ => self.missing.push((node.to_owned(), start, end)),
            }
        }
    }

    fn finish(mut self, nodes: u64, ended: bool) -> Completeness {
        self.missing.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        let missing = self
            .missing
            .iter()
            .take(HOLES_MAX)
            .map(|(node, from, to)| MissingMinutes {
                node: node.clone(),
                from: instant_text(*from),
                to: instant_text(*to),
                minutes: (to.0 - from.0) / MINUTE_MS,
            });
        Completeness {
            expected_node_minutes: self.expected,
            received_node_minutes: self.received,
            held_node_minutes: self.held,
            off_node_minutes: self.off,
            nodes,
            complete: ended && self.held == 0 && self.missing.is_empty(),
            missing: missing.collect(),
        }
    }
}
