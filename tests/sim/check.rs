//! The invariants, asked of the stores and the truth, never of the cores' own state.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tallyman_agent_core::{Disk, spool};
use tallyman_aggregator_core::bills::{Books, Viewer, draft};
use tallyman_aggregator_core::log::{Fate, Kept};
use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::recompute::recompute;
use tallyman_aggregator_core::rollup::cell::{NodeHour, OwnerHour};
use tallyman_aggregator_core::rollup::part::owner_of_key;
use tallyman_common::codec;
use tallyman_common::ids::{BootId, NodeId, Owner, Seq, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::time::{BootMs, Hour, WallMs};
use tallyman_common::wire::Header;

use super::disk::SimDisk;
use super::truth::EXACT;
use super::world::World;

/// I4: what was durable in a spool and was dropped was acknowledged. What an append left that failed was not durable;
/// what a later segment has under the same number is not gone.
pub fn removed(world: &mut World) -> Result<(), String> {
    for node in 0..world.nodes.len() {
        for (name, bytes) in std::mem::take(&mut world.nodes[node].disk.removed) {
            if !name.starts_with("spool-") {
                continue;
            }
            world.hit("segment dropped");
            let kept = kept_batches(world)?;
            for frame in frames_of(&name, &bytes)? {
                let key = (world.nodes[node].id, frame.spool, frame.seq);
                let again = || {
                    let disk = &world.nodes[node].disk;
                    let mut others = disk.names("spool-").into_iter().filter(|other| *other > name);
                    others.any(|other| {
                        let frames = frames_of(&other, disk.bytes(&other));
                        frames.is_ok_and(|f| f.iter().any(|f| (f.spool, f.seq) == (frame.spool, frame.seq)))
                    })
                };
                if !kept.contains_key(&key) && !again() {
                    return Err(format!(
                        "I4: node {node} dropped batch {} that is not durable",
                        frame.seq
                    ));
                }
            }
        }
    }
    Ok(())
}

fn frames_of(name: &str, bytes: &[u8]) -> Result<Vec<spool::ListedFrame>, String> {
    let mut alone = SimDisk::default();
    alone.append(name, bytes).map_err(|e| e.to_string())?;
    spool::list(&mut alone).map_err(|e| e.to_string())
}

/// Everything, after a run has healed.
pub fn all(world: &mut World) -> Result<(), String> {
    let now = WallMs(world.now_ms);
    world.hub.commit(now, true);
    delivered(world)?;
    acknowledged_is_durable(world)?;
    windows_do_not_overlap(world)?;
    conservation(world)?;
    let comparison = recompute(&world.hub.store, now).map_err(|e| e.to_string())?;
    if !comparison.differences.is_empty() {
        return Err(format!(
            "I5: cells are not the fold of the log: {:?}",
            comparison.differences
        ));
    }
    bills_repeat(world, now)
}

fn delivered(world: &World) -> Result<(), String> {
    for (number, node) in world.nodes.iter().enumerate() {
        let status = node.agent.as_ref().ok_or("an agent did not come back")?.status();
        if status.unacked > 1 || status.held_batches > 0 {
            return Err(format!(
                "node {number}: {} batches not delivered: {status:?}",
                status.unacked
            ));
        }
    }
    Ok(())
}

type BatchKey = (NodeId, SpoolId, Seq);

fn kept_batches(world: &World) -> Result<BTreeMap<BatchKey, Header>, String> {
    let mut batches = BTreeMap::new();
    let mut fault = None;
    let visit = &mut |_: &[u8], value: &[u8]| {
        let kept = Kept::decode(value).expect("the store holds what was put");
        let header: Header =
            codec::decode("header", &kept.signed[..kept.signed.len() - 64]).expect("as signed");
        let key = (header.node, header.spool, header.seq);
        if kept.fate() != Ok(Fate::Counted) {
            fault = Some(format!("a genuine batch was held: {:?} {header:?}", kept.fate()));
        }
        if batches.insert(key, header).is_some() {
            fault = Some(format!("I2: two batches of one number {key:?}"));
        }
        ControlFlow::Continue(())
    };
    world
        .hub
        .store
        .scan(Table::Headers, &[], &[u8::MAX; 70], visit)
        .map_err(|e| e.to_string())?;
    fault.map_or(Ok(batches), Err)
}

fn acknowledged_is_durable(world: &World) -> Result<(), String> {
    let kept = kept_batches(world)?;
    for ((node, spool), upto) in &world.upto {
        let there = kept.range((*node, *spool, 1)..=(*node, *spool, *upto)).count();
        if there as u64 != *upto {
            return Err(format!(
                "I3: {node} {spool}: acknowledged up to {upto}, {there} are durable"
            ));
        }
    }
    match world.acked.iter().find(|key| !kept.contains_key(key)) {
        Some(key) => Err(format!("I3: acknowledged, but not durable: {key:?}")),
        None => Ok(()),
    }
}

fn windows_do_not_overlap(world: &World) -> Result<(), String> {
    let mut by_boot: BTreeMap<(NodeId, BootId), BTreeMap<(BootMs, BootMs), SpoolId>> = BTreeMap::new();
    for header in kept_batches(world)?.values() {
        let window = (header.boot_start, header.boot_end);
        by_boot
            .entry((header.node, header.boot))
            .or_default()
            .insert(window, header.spool);
    }
    for ((node, boot), windows) in by_boot {
        let mut last = BootMs(0);
        for (start, end) in windows.keys() {
            if *start < last {
                return Err(format!(
                    "I8: node {node} boot {boot}: {start:?} lies in two windows"
                ));
            }
            last = *end;
        }
    }
    Ok(())
}

/// I1: never more than the truth; less only by what was at risk, and then a hole is recorded.
fn conservation(world: &mut World) -> Result<(), String> {
    let (mut used, mut risk): (BTreeMap<Owner, [u128; 7]>, BTreeMap<Owner, [u128; 7]>) = Default::default();
    let mut memory: BTreeMap<Owner, u128> = BTreeMap::new();
    for node in &world.nodes {
        for (owner, account) in &node.truth.accounts {
            let (u, r) = (
                used.entry(owner.clone()).or_default(),
                risk.entry(owner.clone()).or_default(),
            );
            for at in 0..EXACT.len() {
                u[at] += account.used[at];
                r[at] += account.at_risk[at];
            }
            *memory.entry(owner.clone()).or_default() += account.memory_max;
        }
    }
    let billed = billed(world)?;
    let stranger = billed
        .iter()
        .find(|(o, b)| !used.contains_key(o) && b.sums.values().any(|s| *s > 0));
    if let Some((stranger, _)) = stranger {
        let sums = &billed[stranger].sums;
        return Err(format!("I1: {stranger} used nothing, yet has {sums:?}"));
    }
    let node_holes = nodes_with_holes(world, &billed)?;
    let mut lost = false;
    for (owner, used) in &used {
        let empty = Billed::default();
        let cells = billed.get(owner).unwrap_or(&empty);
        for (at, meter) in EXACT.into_iter().enumerate() {
            let sum = cells.sums.get(&meter).copied().unwrap_or(0);
            let least = used[at] - risk[owner][at];
            // What came and went between two durable windows leaves no owner's name: then the node has the hole.
            let node_holes = world.nodes.iter().any(|n| {
                n.truth.accounts.get(owner).is_some_and(|a| a.at_risk[at] > 0) && node_holes.contains(&n.id)
            });
            if sum > used[at] || sum < least {
                let name = meter.label();
                let most = used[at];
                return Err(format!(
                    "I1: {owner} {name}: billed {sum}, used {most}, at least {least} was due"
                ));
            }
            if sum < used[at] && !cells.has_hole && !node_holes {
                return Err(format!(
                    "I1: {owner} {}: {sum} of {} without a hole",
                    meter.label(),
                    used[at]
                ));
            }
            lost |= sum < used[at];
        }
        let held = cells.sums.get(&Meter::MEMORY_CURRENT).copied().unwrap_or(0);
        if held > memory[owner] {
            return Err(format!(
                "I1: {owner} memory: billed {held}, at most {} was held",
                memory[owner]
            ));
        }
    }
    world.hit(if lost {
        "ended with a recorded hole"
    } else {
        "ended whole"
    });
    Ok(())
}

/// Nodes that say themselves that something went unseen, or whose minutes are not all there.
fn nodes_with_holes(world: &World, billed: &BTreeMap<Owner, Billed>) -> Result<BTreeSet<NodeId>, String> {
    let mut nodes: BTreeSet<NodeId> = billed
        .values()
        .flat_map(|b| b.hole_nodes.iter().copied())
        .collect();
    let mut minutes: BTreeMap<NodeId, BTreeSet<u64>> = BTreeMap::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        let (hour, node) = (&key[..4], &key[4..20]);
        let hour = u64::from(u32::from_be_bytes(hour.try_into().expect("four bytes")));
        let value = NodeHour::decode(value).expect("the store holds what was put");
        let seen = minutes
            .entry(NodeId(node.try_into().expect("sixteen bytes")))
            .or_default();
        seen.extend(
            (0..60)
                .filter(|m| value.minutes & (1 << m) != 0)
                .map(|m| hour * 60 + m),
        );
        ControlFlow::Continue(())
    };
    world
        .hub
        .store
        .scan(Table::NodeHours, &[], &[u8::MAX; 21], visit)
        .map_err(|e| e.to_string())?;
    for (node, seen) in minutes {
        let (first, last) = (
            seen.first().copied().unwrap_or(0),
            seen.last().copied().unwrap_or(0),
        );
        if last - first + 1 > seen.len() as u64 {
            nodes.insert(node);
        }
    }
    Ok(nodes)
}

#[derive(Default)]
struct Billed {
    hole_nodes: BTreeSet<NodeId>,
    sums: BTreeMap<Meter, u128>,
    has_hole: bool,
}

fn billed(world: &World) -> Result<BTreeMap<Owner, Billed>, String> {
    let mut billed: BTreeMap<Owner, Billed> = BTreeMap::new();
    let visit = &mut |key: &[u8], value: &[u8]| {
        let (_, owner) = owner_of_key(key).expect("the store holds what was put");
        let hour = OwnerHour::decode(value).expect("the store holds what was put");
        let entry = billed.entry(owner).or_default();
        for (_, cell) in hour.cells().filter(|(_, c)| c.kind == 0) {
            *entry.sums.entry(cell.meter).or_default() += cell.value;
            entry.has_hole |= cell.causes != 0;
        }
        entry.has_hole |= !hour.holes.is_empty();
        entry.hole_nodes.extend(hour.holes.iter().map(|h| h.node));
        ControlFlow::Continue(())
    };
    world
        .hub
        .store
        .scan(Table::Cells, &[], &[u8::MAX; 200], visit)
        .map_err(|e| e.to_string())?;
    Ok(billed)
}

/// I6 and I7: a bill is the same before and after a restart, and its hours sum to its subtotal.
fn bills_repeat(world: &mut World, now: WallMs) -> Result<(), String> {
    let first = bill(world, now)?;
    world.hub.kill();
    world.hub.start(now);
    let again = bill(world, now)?;
    if first == again {
        Ok(())
    } else {
        Err(format!("I6: a bill changed over a restart:\n{first}\n{again}"))
    }
}

fn bill(world: &World, now: WallMs) -> Result<String, String> {
    let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
    let books = Books {
        store: &world.hub.store,
        registry: process.registry(),
        marks: process.marks(),
        position: process.position(),
        now,
    };
    let day = now.hour().0 / 24 * 24;
    let bill = draft(books, "t1", Hour(day)..Hour(day + 24), Viewer::Tenant).map_err(|e| e.to_string())?;
    let amounts = bill
        .hours
        .iter()
        .map(|h| tallyman_common::money::Amount::parse(&h.amount_exact));
    let amounts = amounts
        .collect::<Result<Vec<_>, _>>()
        .map_err(|e| e.to_string())?;
    let sum = tallyman_common::money::Amount::sum(amounts).map_err(|e| e.to_string())?;
    if sum.to_string() != bill.subtotal_exact {
        return Err(format!(
            "I7: hours sum to {sum}, the subtotal is {}",
            bill.subtotal_exact
        ));
    }
    serde_json::to_string(&bill).map_err(|e| e.to_string())
}
