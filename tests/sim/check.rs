//! The invariants, asked of the stores and the truth, never of the cores' own state.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use tallyman_aggregator_core::bills::{Books, Viewer, draft};
use tallyman_aggregator_core::log::{Entry, Fate, Kept, position_key};
use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::recompute::recompute;
use tallyman_common::codec;
use tallyman_common::ids::{BootId, Digest, NodeId, Seq, SpoolId};
use tallyman_common::sign::PublicKey;
use tallyman_common::time::{BootMs, Hour, WallMs};
use tallyman_common::wire::Header;

use super::conserve;
use super::documents;
use super::ledger::{BatchKey, frames_of, frames_on};
use super::series;
use super::world::World;

/// I3 at the node, and I4: what was durable in a spool and was dropped was acknowledged. What an append left that failed was not durable;
/// what a later segment has under the same number is not gone.
pub fn removed(world: &mut World) -> Result<(), String> {
    for node in 0..world.nodes.len() {
        if let Some(broken) = world.nodes[node].broken.take() {
            return Err(format!("node {node}: {broken}"));
        }
        for (name, bytes) in std::mem::take(&mut world.nodes[node].disk.removed) {
            if !name.starts_with("spool-") {
                continue;
            }
            world.hit("segment dropped");
            let mut frames = frames_of(&name, &bytes);
            let others = world.nodes[node].disk.names("spool-").into_iter();
            let later: BTreeSet<_> = others
                .filter(|other| *other > name)
                .flat_map(|other| frames_of(&other, world.nodes[node].disk.bytes(&other)))
                .map(|(frame, _)| (frame.spool, frame.seq))
                .collect();
            frames.retain(|(frame, _)| !later.contains(&(frame.spool, frame.seq)));
            let id = world.nodes[node].id;
            for (frame, _) in &frames {
                let key = (id, frame.spool, frame.seq);
                let was_told = world.ledger.told.has(key) || world.ledger.told_before.has(key);
                if !was_told {
                    let seq = frame.seq;
                    return Err(format!(
                        "I4: node {node} dropped batch {seq} that was not acknowledged"
                    ));
                }
            }
            world.lost(node, frames);
        }
    }
    Ok(())
}

/// Everything, after a run has healed.
pub fn all(world: &mut World) -> Result<(), String> {
    let now = WallMs(world.now_ms);
    world.close_due(0);
    if let Some(broken) = world.fault.take() {
        return Err(broken);
    }
    world.hub.commit(now, true);
    let stored = stored(world)?;
    let counted = counted_once(world, &stored)?;
    acknowledged_is_durable(world, &counted)?;
    delivered(world)?;
    nothing_left_behind(world, &stored)?;
    windows_do_not_overlap(&counted)?;
    conserve::all(world, &stored)?;
    series::retired(world, &stored)?;
    let comparison = recompute(&world.hub.store, now).map_err(|e| e.to_string())?;
    if !comparison.differences.is_empty() {
        return Err(format!(
            "I5: cells are not the fold of the log: {:?}",
            comparison.differences
        ));
    }
    bills_repeat(world, now)?;
    documents::all(world)
}

fn delivered(world: &World) -> Result<(), String> {
    for (number, node) in world.nodes.iter().enumerate() {
        let status = node.agent.as_ref().ok_or("an agent did not come back")?.status();
        let may_be_held = world.twisted.contains(&node.id);
        let waits = i128::from(status.unacked) - i128::from(status.held_batches);
        if !(0..=1).contains(&waits) || status.held_batches > 0 && !may_be_held {
            return Err(format!(
                "node {number}: {waits} batches not delivered: {status:?}"
            ));
        }
    }
    Ok(())
}

/// I3, from the other end: what lies on a disk and waits no longer is in the store, counted or held.
fn nothing_left_behind(world: &World, stored: &[Stored]) -> Result<(), String> {
    let there: BTreeSet<Digest> = stored.iter().map(|b| b.header.digest()).collect();
    for (number, node) in world.nodes.iter().enumerate() {
        let mut frames: BTreeMap<(SpoolId, Seq), bool> = BTreeMap::new();
        let mut newest = None;
        for (frame, _) in frames_on(&node.disk) {
            newest = Some((frame.spool, frame.seq));
            // A number that was written twice was durable once.
            let sent = world.ledger.as_sent(frame.digest);
            *frames.entry((frame.spool, frame.seq)).or_default() |= there.contains(&sent);
        }
        let left = frames
            .iter()
            .find(|(key, is_there)| !**is_there && Some(**key) != newest);
        if let Some(((spool, seq), _)) = left {
            return Err(format!(
                "I3: node {number}: batch {seq} of {spool} is on its disk alone"
            ));
        }
    }
    Ok(())
}

/// A batch as the store keeps it.
pub(super) struct Stored {
    pub(super) header: Header,
    pub(super) position: u64,
    pub(super) is_counted: bool,
}

impl Stored {
    /// The frame in the log, and the key of the node that signed it.
    pub(super) fn frame(&self, world: &World) -> Result<(Vec<u8>, PublicKey), String> {
        let value = world.hub.store.get(Table::Log, &position_key(self.position));
        let value = value.map_err(|e| e.to_string())?;
        let value = value.ok_or("a batch is not in the log any more")?;
        let entry = Entry::decode(&value).map_err(|e| e.to_string())?;
        let process = world.hub.process.as_ref().ok_or("the aggregator is down")?;
        Ok((
            entry.frame,
            process.registry().nodes[&self.header.node].signing_key,
        ))
    }
}

/// Every batch in the store, by number.
pub(super) fn stored(world: &World) -> Result<Vec<Stored>, String> {
    let mut batches = Vec::new();
    let visit = &mut |_: &[u8], value: &[u8]| {
        let kept = Kept::decode(value).expect("the store holds what was put");
        let signed = &kept.signed[..kept.signed.len() - 64];
        batches.push(Stored {
            header: codec::decode("header", signed).expect("as signed"),
            position: kept.position,
            is_counted: kept.fate() == Ok(Fate::Counted),
        });
        ControlFlow::Continue(())
    };
    let store = &world.hub.store;
    store
        .scan(Table::Headers, &[], &[u8::MAX; 70], visit)
        .map_err(|e| e.to_string())?;
    Ok(batches)
}

/// I2: of one number one batch counts; and what nobody copied or changed is never held.
fn counted_once(world: &mut World, stored: &[Stored]) -> Result<BTreeMap<BatchKey, Header>, String> {
    let mut counted = BTreeMap::new();
    for batch in stored {
        let header = &batch.header;
        let key = (header.node, header.spool, header.seq);
        if !batch.is_counted {
            world.hit("hold");
            if !world.twisted.contains(&header.node) {
                return Err(format!("I1: a genuine batch was held: {header:?}"));
            }
        } else if counted.insert(key, header.clone()).is_some() {
            return Err(format!("I2: two batches of one number {key:?}"));
        }
    }
    Ok(counted)
}

fn acknowledged_is_durable(world: &World, counted: &BTreeMap<BatchKey, Header>) -> Result<(), String> {
    let told = &world.ledger.told;
    for ((node, spool), upto) in told.upto.iter().filter(|(_, upto)| **upto > 0) {
        let there = counted.range((*node, *spool, 1)..=(*node, *spool, *upto)).count();
        if there as u64 != *upto {
            return Err(format!(
                "I3: {node} {spool}: acknowledged up to {upto}, {there} are durable"
            ));
        }
    }
    match told.acked.iter().find(|key| !counted.contains_key(key)) {
        Some(key) => Err(format!("I3: acknowledged, but not durable: {key:?}")),
        None => Ok(()),
    }
}

fn windows_do_not_overlap(counted: &BTreeMap<BatchKey, Header>) -> Result<(), String> {
    let mut by_boot: BTreeMap<(NodeId, BootId), BTreeMap<(BootMs, BootMs), SpoolId>> = BTreeMap::new();
    for header in counted.values() {
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
