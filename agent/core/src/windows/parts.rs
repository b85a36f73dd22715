//! A window too large for one batch goes in parts, each a batch of its own; an owner is in a part once.
//!
//! Sizes are estimated from above, so that no part needs to be encoded twice.

use tallyman_common::record::{Hole, Inventory, WorkloadUse};

use super::meters::COUNT;
use super::series::OwnerId;
use crate::limits::PART_BYTES_MAX;

/// What one owner says in one part.
#[derive(Debug, Clone)]
pub(super) struct Share {
    /// Who.
    pub owner: OwnerId,
    /// Bytes of the owner's name.
    pub name_bytes: usize,
    /// Rows and peaks go here.
    pub first: bool,
    /// Breakdown.
    pub workloads: Vec<WorkloadUse>,
    /// Holes.
    pub holes: Vec<Hole>,
    /// The machine.
    pub inventory: Option<Inventory>,
}

/// Bytes of a leaf without its lists: length, salt, owner, section heads.
const LEAF_BYTES: usize = 200;
/// Rows with a group each, and a peak.
const ROWS_BYTES: usize = COUNT * 100 + 100;

impl Share {
    fn is_empty(&self) -> bool {
        !self.first && self.workloads.is_empty()
    }

    fn base_bytes(&self) -> usize {
        let holes: usize = self.holes.iter().map(|h| 32 + h.workload.len()).sum();
        let rows = if self.first { ROWS_BYTES } else { 0 };
        let machine = self.inventory.as_ref().map_or(0, |i| {
            200 + i.host_name.len() + i.os.len() + i.kernel.len() + i.agent_version.len()
        });
        LEAF_BYTES + self.name_bytes + holes + rows + machine
    }
}

fn workload_bytes(w: &WorkloadUse) -> usize {
    40 + w.id.len() + w.name.len() + w.usage.len() * 18
}

/// One row per life: a workload that changed its owner twice can have two of them.
pub(super) fn merge(mut rows: Vec<WorkloadUse>) -> Vec<WorkloadUse> {
    rows.sort_by(|a, b| (&a.id, a.life).cmp(&(&b.id, b.life)));
    let mut merged: Vec<WorkloadUse> = Vec::new();
    for row in rows {
        match merged.last_mut() {
            Some(last) if (&last.id, last.life) == (&row.id, row.life) => {
                last.is_final |= row.is_final;
                for (meter, used) in row.usage {
                    match last.usage.iter_mut().find(|(m, _)| *m == meter) {
                        Some((_, sum)) => *sum += used,
                        None => last.usage.push((meter, used)),
                    }
                }
                last.usage.sort_by_key(|(meter, _)| *meter);
            }
            _ => merged.push(row),
        }
    }
    merged
}

/// Distributes owners over parts, in order; an owner with a long breakdown goes over several. At least one part.
pub(super) fn split(shares: Vec<Share>) -> Vec<Vec<Share>> {
    let mut parts: Vec<Vec<Share>> = vec![Vec::new()];
    let mut bytes = 0;
    for mut share in shares {
        let rows = std::mem::take(&mut share.workloads);
        let base = share.base_bytes();
        if bytes > 0 && bytes + base > PART_BYTES_MAX {
            parts.push(Vec::new());
            bytes = 0;
        }
        bytes += base;
        for row in rows {
            let more = workload_bytes(&row);
            if bytes + more > PART_BYTES_MAX {
                let rest = Share {
                    first: false,
                    workloads: Vec::new(),
                    holes: Vec::new(),
                    inventory: None,
                    ..share
                };
                push(&mut parts, std::mem::replace(&mut share, rest));
                parts.push(Vec::new());
                bytes = share.base_bytes();
            }
            bytes += more;
            share.workloads.push(row);
        }
        push(&mut parts, share);
    }
    parts
}

fn push(parts: &mut [Vec<Share>], share: Share) {
    if let Some(part) = parts.last_mut().filter(|_| !share.is_empty()) {
        part.push(share);
    }
}
