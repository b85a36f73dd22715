//! I1: never more than the truth. Less only by what could not be read again, by batches that are nowhere any more and by
//! batches that are held; and then a hole is recorded.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::rollup::cell::{
    FLAG_SPREAD, KIND_MAXIMUM, KIND_WITHDRAWN, NodeHour, OwnerHour,
};
use tallyman_aggregator_core::rollup::part::owner_of_key;
use tallyman_common::ids::{Digest, NodeId, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::time::MINUTE_MS;

use super::check::Stored;
use super::ledger::{Gone, Usage, canonical, rows_of, usage_of};
use super::truth::EXACT;
use super::world::World;

/// What an owner used, and what of it may be missing.
#[derive(Debug, Clone, Default)]
struct Due {
    used: [u128; 7],
    at_risk: [u128; 7],
    memory_max: u128,
    /// What is missing is recorded: on a node, or with a batch that is held.
    is_recorded: [bool; 7],
}

/// What the cells say of an owner.
#[derive(Debug, Clone, Default)]
struct Billed {
    hole_nodes: BTreeSet<NodeId>,
    sums: BTreeMap<Meter, u128>,
    has_hole: bool,
    is_spread: bool,
    is_late: bool,
    is_withdrawn: bool,
}

/// Compares every owner's every meter.
pub(super) fn all(world: &mut World, stored: &[Stored]) -> Result<(), String> {
    let billed = billed(world)?;
    let holes = nodes_with_holes(world, &billed, stored)?;
    let due = due(world, stored, &holes)?;
    if billed.values().any(|b| b.is_spread) {
        world.hit("usage spread over hours");
    }
    if billed.values().any(|b| b.is_late) {
        world.hit("usage late");
    }
    if billed.values().any(|b| b.is_withdrawn) {
        world.hit("inferred usage taken back");
    }
    let stranger = billed
        .iter()
        .find(|(o, b)| !due.contains_key(o) && b.sums.values().any(|s| *s > 0));
    if let Some((stranger, billed)) = stranger {
        let sums = &billed.sums;
        return Err(format!("I1: {stranger} used nothing, yet has {sums:?}"));
    }
    let mut lost = false;
    for (owner, due) in &due {
        let empty = Billed::default();
        lost |= one(owner, due, billed.get(owner).unwrap_or(&empty))?;
    }
    world.hit(if lost {
        "ended with a recorded hole"
    } else {
        "ended whole"
    });
    Ok(())
}

/// One owner; true when something is missing, and that is recorded.
fn one(owner: &Owner, due: &Due, billed: &Billed) -> Result<bool, String> {
    let mut lost = false;
    for (at, meter) in EXACT.into_iter().enumerate() {
        let sum = billed.sums.get(&meter).copied().unwrap_or(0);
        let (most, name) = (due.used[at], meter.label());
        if sum > most {
            return Err(format!("I1: {owner} {name}: billed {sum}, only {most} was used"));
        }
        if most - sum > due.at_risk[at] {
            let missing = most - sum;
            let at_risk = due.at_risk[at];
            return Err(format!(
                "I1: {owner} {name}: {missing} of {most} are missing, {at_risk} could be"
            ));
        }
        if sum < most && !billed.has_hole && !due.is_recorded[at] {
            return Err(format!("I1: {owner} {name}: {sum} of {most} without a hole"));
        }
        lost |= sum < most;
    }
    let held = billed.sums.get(&Meter::MEMORY_CURRENT).copied().unwrap_or(0);
    if held > due.memory_max {
        let most = due.memory_max;
        return Err(format!(
            "I1: {owner} memory: billed {held}, at most {most} was held"
        ));
    }
    Ok(lost)
}

/// The truth of all hosts, with what may be missing.
fn due(
    world: &mut World,
    stored: &[Stored],
    holes: &BTreeSet<NodeId>,
) -> Result<BTreeMap<Owner, Due>, String> {
    let mut due: BTreeMap<Owner, Due> = BTreeMap::new();
    for node in &world.nodes {
        let is_recorded = holes.contains(&node.id) || node.former.iter().any(|id| holes.contains(id));
        for (owner, account) in &node.truth.accounts {
            let due = due.entry(canonical(owner)).or_default();
            for at in 0..EXACT.len() {
                due.used[at] += account.used[at];
                due.at_risk[at] += account.at_risk[at];
                due.is_recorded[at] |= is_recorded && account.at_risk[at] > 0;
            }
            due.memory_max += account.memory_max;
        }
    }
    for (usage, is_recorded) in missing(world, stored, holes)? {
        for (owner, sums) in usage {
            let due = due.entry(owner).or_default();
            for (at, sum) in sums.into_iter().enumerate() {
                due.at_risk[at] += sum;
                due.is_recorded[at] |= is_recorded && sum > 0;
            }
        }
    }
    Ok(due)
}

/// Batches that are not counted, and whether that is recorded: held ones, and those that are on no disk any more. Of
/// these only what no later reading holds.
fn missing(
    world: &mut World,
    stored: &[Stored],
    holes: &BTreeSet<NodeId>,
) -> Result<Vec<(Usage, bool)>, String> {
    let mut known: BTreeSet<Digest> = BTreeSet::new();
    let mut missing = Vec::new();
    for batch in stored {
        known.insert(batch.header.digest());
        if !batch.is_counted {
            let (frame, key) = batch.frame(world)?;
            missing.push((usage_of(&rows_of(&frame, &key)), true));
        }
    }
    let mut is_owed = false;
    let gone = world.ledger.gone.iter();
    for (_, gone) in gone.filter(|(digest, _)| !known.contains(&world.ledger.as_sent(**digest))) {
        let again = told_again(world, stored, gone)?;
        let (owed, lost): (Vec<_>, Vec<_>) = gone
            .rows
            .iter()
            .partition(|(owner, at, _)| again.contains(&(owner.clone(), *at)));
        is_owed |= owed.iter().any(|(_, _, used)| *used > 0);
        missing.push((usage_of(lost), holes.contains(&gone.key.0)));
    }
    if is_owed {
        world.hit("lost batch inferred");
    }
    Ok(missing)
}

/// Series that were told again right behind a lost batch, in its spool or in the next one, where its hole was judged:
/// their readings went on, so what it said is owed in full. Not over an end of all series, and not where a restore took more than one can see.
fn told_again(world: &World, stored: &[Stored], gone: &Gone) -> Result<BTreeSet<(Owner, usize)>, String> {
    let (node, spool, seq) = gone.key;
    let goes_on = world.nodes.iter().any(|n| n.id == node && !n.births_ended);
    if gone.was_told || !goes_on || world.twisted.contains(&node) {
        return Ok(BTreeSet::new());
    }
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    let holes = &process.registry().holes;
    let around = holes.around(node, spool, seq);
    let mut judged = holes.iter().filter(|hole| around.contains(&hole.position));
    if around.is_empty() || judged.any(|h| h.judgement.unresolved > 0 || h.judgement.contradictions > 0) {
        return Ok(BTreeSet::new());
    }
    let of_spool = |b: &&Stored| b.is_counted && b.header.node == node && b.header.spool == spool;
    let behind = stored.iter().filter(of_spool).filter(|b| b.header.seq > seq);
    let is_far = |b: &&Stored| {
        let mut far = holes.iter().filter(|hole| around.contains(&hole.position));
        let key = (node, b.header.spool, b.header.seq);
        b.is_counted && far.any(|h| (h.judgement.node, h.judgement.spool, h.judgement.seq) == key)
    };
    let next = behind.min_by_key(|b| b.header.seq);
    let Some(next) = next.or_else(|| stored.iter().find(is_far)) else {
        return Ok(BTreeSet::new());
    };
    let (frame, key) = next.frame(world)?;
    let rows = rows_of(&frame, &key).into_iter();
    Ok(rows.map(|(owner, at, _)| (owner, at)).collect())
}

/// Nodes that say themselves that something went unseen, of which minutes or numbers are missing, or that are silent.
fn nodes_with_holes(
    world: &World,
    billed: &BTreeMap<Owner, Billed>,
    stored: &[Stored],
) -> Result<BTreeSet<NodeId>, String> {
    let told = billed.values().flat_map(|b| b.hole_nodes.iter().copied());
    let mut nodes: BTreeSet<NodeId> = told.collect();
    for (node, seen) in minutes(world)? {
        let (first, last) = (
            seen.first().copied().unwrap_or(0),
            seen.last().copied().unwrap_or(0),
        );
        let is_silent = (last + 20) * MINUTE_MS < world.now_ms;
        if last - first + 1 > seen.len() as u64 || is_silent {
            nodes.insert(node);
        }
    }
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    for id in world.nodes.iter().flat_map(|n| n.former.iter().chain([&n.id])) {
        let marks = process.marks().node(*id);
        if marks.is_none_or(|m| m.spools().any(|(_, _, mark)| !mark.above.is_empty())) {
            nodes.insert(*id);
        }
    }
    let known: BTreeSet<Digest> = stored.iter().map(|b| b.header.digest()).collect();
    let broken = stored.iter().filter(|b| {
        let before = b.header.prev_digest;
        before != Digest::default() && !known.contains(&world.ledger.as_sent(before))
    });
    nodes.extend(broken.map(|b| b.header.node));
    Ok(nodes)
}

fn minutes(world: &World) -> Result<BTreeMap<NodeId, BTreeSet<u64>>, String> {
    let mut minutes: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        let (hour, node) = (&key[..4], &key[4..20]);
        let hour = u64::from(u32::from_be_bytes(hour.try_into().expect("four bytes")));
        let value = NodeHour::decode(value).expect("the store holds what was put");
        let node = NodeId(node.try_into().expect("sixteen bytes"));
        let there = (0..60).filter(|m| value.minutes & (1 << m) != 0);
        minutes
            .entry(node)
            .or_default()
            .extend(there.map(|m| hour * 60 + m));
        ControlFlow::Continue(())
    };
    let store = &world.hub.store;
    store
        .scan(Table::NodeHours, &[], &[u8::MAX; 21], visit)
        .map_err(|e| e.to_string())?;
    Ok(minutes)
}

fn billed(world: &World) -> Result<BTreeMap<Owner, Billed>, String> {
    let mut billed: BTreeMap<Owner, Billed> = BTreeMap::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        let (part, owner) = owner_of_key(key).expect("the store holds what was put");
        let hour = OwnerHour::decode(value).expect("the store holds what was put");
        let entry = billed.entry(canonical(&owner)).or_default();
        for (_, cell) in hour.cells().filter(|(_, c)| c.kind != KIND_MAXIMUM) {
            let sum = entry.sums.entry(cell.meter).or_default();
            entry.is_withdrawn |= cell.kind == KIND_WITHDRAWN && cell.value > 0;
            // Parts come in order, so that what is taken back was added before.
            let new = match cell.kind {
                KIND_WITHDRAWN => sum.checked_sub(cell.value),
                _ => sum.checked_add(cell.value),
            };
            *sum = new.expect("no more is taken back than was inferred");
            entry.has_hole |= cell.causes != 0;
            entry.is_spread |= cell.flags & FLAG_SPREAD != 0;
        }
        entry.is_late |= part.late.is_some();
        entry.has_hole |= !hour.holes.is_empty();
        entry.hole_nodes.extend(hour.holes.iter().map(|h| h.node));
        ControlFlow::Continue(())
    };
    let store = &world.hub.store;
    store
        .scan(Table::Cells, &[], &[u8::MAX; 200], visit)
        .map_err(|e| e.to_string())?;
    Ok(billed)
}
