//! Windows that are in a checkpoint and in no batch: the checkpoint is durable first, then the append behind it fails or
//! the process is killed at it. Where the checkpoint before it is damaged, this one counts at the next start: then
//! readings alone tell of the window, and who loses the batch that tells them loses the window with it (I1).
//!
//! Must not know what a checkpoint says.

use std::collections::BTreeMap;

use tallyman_common::ids::{Owner, Seq, SpoolId};

use super::ledger::{Gone, RowUsage};
use super::node::Node;
use super::truth::{Counters, Workload};
use super::world::World;

/// What a window would have said, had it become a batch.
#[derive(Debug, Clone)]
pub struct Unfinished {
    spool: SpoolId,
    seq: Seq,
    /// By workload.
    sampled: BTreeMap<u64, Counters>,
}

impl Node {
    /// A step wrote a checkpoint and closed no window: it may have tried to.
    pub(super) fn note_not_closed(&mut self) {
        let Some(status) = self.agent.as_ref().map(|a| a.status()) else {
            return;
        };
        let sampled = self.workloads.iter().map(|(life, w)| (*life, w.sampled));
        self.unfinished = Some(Unfinished {
            spool: status.spool,
            seq: status.last_seq + 1,
            sampled: sampled.collect(),
        });
    }

    /// A start went on from a checkpoint of a batch that is not there. Of workloads that ended meanwhile all is at risk
    /// already; of the others what the window would have said.
    pub(super) fn lose_unfinished(&mut self) {
        let Some(Unfinished { spool, seq, sampled }) = self.unfinished.take() else {
            return;
        };
        let is_alt = self.is_alt;
        let mut rows: Vec<RowUsage> = Vec::new();
        for (life, workload) in &mut self.workloads {
            let Some(then) = sampled.get(life) else { continue };
            let before = std::mem::replace(&mut workload.recorded, *then).base_units();
            let owner = claim(workload, is_alt);
            let used = then.base_units().into_iter().zip(before).enumerate();
            rows.extend(used.map(|(at, (then, before))| (owner.clone(), at, then - before)));
        }
        let (key, was_told) = ((self.id, spool, seq), false);
        self.lost_window = Some(Gone { key, was_told, rows });
    }
}

/// The owner as batches name it.
fn claim(workload: &Workload, is_alt: bool) -> Owner {
    if is_alt && workload.container.is_none() {
        Owner::claim(&format!("alt-{}", workload.owner.name())).expect("a good name")
    } else {
        workload.owner.clone()
    }
}

impl World {
    /// Such a window is a lost batch like any other: owed where it was told again.
    pub(super) fn note_unfinished(&mut self, node: usize) {
        if let Some(window) = self.nodes[node].lost_window.take() {
            self.hit("window in a checkpoint alone");
            let (_, spool, seq) = window.key;
            self.note(format!("n{node} batch {seq} of {spool} is in a checkpoint alone"));
            self.ledger.never_written(window);
        }
    }
}
