//! Workloads come, are described, and go; and where their counters start.
//!
//! Known in the checkpoint of this boot: its raw values. New under a source that was covered, or in a new boot: 0.
//! Else the current value, and a recorded hole: installing on a live host must not bill months into a minute.

use std::collections::BTreeMap;

use tallyman_common::record::{Cause, Hole};
use tallyman_common::time::BootMs;

use super::workload::{Attribution, Baseline, Key, Workload};
use super::{Departed, HeldEnded, Windows};
use crate::event::{Description, NetworkSeen, Slot, SourceKind, WorkloadSeen};
use crate::limits::{DEPARTED_MAX, DESCRIPTIONS_MAX, HELD_ENDED_MAX, LABELS_MAX, WORKLOADS_MAX};
use crate::notice::Notice;
use crate::sources::identity::ContainerId;

/// What Docker said of containers, by id.
#[derive(Debug, Clone, Default)]
pub struct Directory {
    entries: BTreeMap<ContainerId, Description>,
    /// Oldest first, so that the list stays bounded.
    order: std::collections::VecDeque<ContainerId>,
}

impl Directory {
    /// Takes a description in; the oldest goes when there are too many.
    pub fn put(&mut self, mut description: Description) {
        while description.labels.len() > LABELS_MAX {
            description.labels.pop_last();
        }
        let id = description.container;
        if self.entries.insert(id, description).is_none() {
            self.order.push_back(id);
        }
        if self.order.len() > DESCRIPTIONS_MAX + WORKLOADS_MAX
            && let Some(oldest) = self.order.pop_front()
        {
            self.entries.remove(&oldest);
        }
    }

    /// What was said of a container.
    pub fn get(&self, id: &ContainerId) -> Option<&Description> {
        self.entries.get(id)
    }
}

impl Windows {
    /// A workload was found. `None` when there are too many; that is told.
    pub fn appeared(&mut self, seen: WorkloadSeen, directory: &Directory) -> Option<Slot> {
        let key = Key {
            path: seen.path.clone(),
            life: seen.life,
        };
        if let Some(slot) = self.by_key.get(&key) {
            return Some(*slot);
        }
        if self.by_key.len() >= WORKLOADS_MAX {
            let text = format!(
                "{} is not metered: there are {WORKLOADS_MAX} workloads already",
                key.path
            );
            self.tell(Notice::error("too-many-workloads", text));
            return None;
        }
        let workload = self.known_or_new(&key, seen);
        let slot = self.seat(workload);
        self.find_parent(slot);
        self.adopt_children(slot);
        self.join_network(slot);
        self.attribute(slot, directory);
        Some(slot)
    }

    fn known_or_new(&mut self, key: &Key, seen: WorkloadSeen) -> Workload {
        let known = self.missing.remove(key);
        let known = known.or_else(|| self.departed.remove(key).map(|departed| departed.workload));
        let now = self.now_ms();
        if let Some(mut workload) = known {
            workload.seen_again(seen);
            (workload.inside, workload.was_inside) = (None, false);
            workload.seen_since = now;
            return workload;
        }
        let baseline = self.baseline(&seen.source);
        let held = Attribution::Held { since: now };
        let mut workload = Workload::new(seen, held, baseline, now);
        if baseline == Baseline::Current {
            let hole = Hole {
                meter: None,
                cause: Cause::NoBaseline,
                boot_start: BootMs(0),
                boot_end: now,
                workload: workload.name.clone(),
            };
            // At boot's first instant nothing can have been missed.
            workload.holes.extend((now > BootMs(0)).then_some(hole));
        }
        workload
    }

    fn baseline(&self, source: &str) -> Baseline {
        if self.is_covered(source) {
            Baseline::Zero
        } else {
            Baseline::Current
        }
    }

    /// Whether everything of a source that is there was seen before, so that what comes now is new.
    pub(super) fn is_covered(&self, source: &str) -> bool {
        let here = self.first_sweep.is_some() && !self.unlisted.contains(source);
        self.past.covered.contains(source) || here
    }

    /// A workload ended.
    pub fn gone(&mut self, slot: Slot) {
        let Some(mut workload) = self.workloads.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        self.by_key.remove(&workload.key);
        let now = self.now_ms();
        let now_ns = self.now_ns;
        workload.gauges.iter_mut().for_each(|gauge| gauge.end(now_ns));
        if workload.ended_unread {
            let since = workload.last_read.unwrap_or(workload.seen_since);
            self.add_end_hole(&mut workload, since, now);
        }
        self.network_marks(&mut workload);
        let attribution = self.attribution_of(&workload);
        workload.was_inside = workload.inside.is_some();
        self.end(workload, attribution, false);
        for other in self.workloads.iter_mut().flatten() {
            if other.inside == Some(slot) {
                other.inside = None;
            }
        }
    }

    pub(super) fn add_end_hole(&self, workload: &mut Workload, from: BootMs, to: BootMs) {
        // What lies in a measured cgroup is in that one's counters.
        if from < to && workload.inside.is_none() && !workload.was_inside {
            workload.holes.push(Hole {
                meter: None,
                cause: Cause::EndedUnseen,
                boot_start: from,
                boot_end: to,
                workload: workload.name.clone(),
            });
        }
    }

    /// What is left of a workload that ended: its usage lands, or waits for its owner; its counters are remembered.
    pub(super) fn end(&mut self, mut workload: Workload, attribution: Attribution, unseen: bool) {
        match attribution {
            Attribution::Owned(owner) => self.land(&mut workload, owner, true),
            Attribution::Held { .. } if self.held_ended.len() < HELD_ENDED_MAX => {
                let workload = workload.clone();
                self.held_ended.push(HeldEnded { workload });
            }
            Attribution::Held { .. } => {
                let nobody = self.owners.place(&tallyman_common::ids::Owner::Unattributed);
                self.land(&mut workload, nobody, true);
            }
        }
        workload.settle();
        self.leave_network(&mut workload);
        if self.departed.len() >= DEPARTED_MAX {
            let oldest = self.departed.iter().min_by_key(|(_, d)| d.since);
            if let Some(key) = oldest.map(|(key, _)| key.clone()) {
                self.departed.remove(&key);
            }
        }
        let since = self.now_ms();
        let key = workload.key.clone();
        let departed = Departed {
            workload,
            since,
            unseen,
        };
        self.departed.insert(key, departed);
    }

    /// Workloads of the checkpoint that are not there any more: they ended while nobody looked.
    pub(super) fn declare_missing(&mut self) {
        let Some(to) = self.first_sweep else { return };
        let from = self.past.down_since.unwrap_or(to);
        for (_, mut workload) in std::mem::take(&mut self.missing) {
            self.add_end_hole(&mut workload, from, to);
            let attribution = workload.attribution;
            self.end(workload, attribution, true);
        }
    }

    fn seat(&mut self, workload: Workload) -> Slot {
        let free = self.workloads.iter().position(Option::is_none);
        let at = free.unwrap_or(self.workloads.len());
        let slot = Slot(u32::try_from(at).expect("workloads are bounded"));
        self.by_key.insert(workload.key.clone(), slot);
        match free {
            Some(at) => self.workloads[at] = Some(workload),
            None => self.workloads.push(Some(workload)),
        }
        slot
    }

    /// The network of a workload became known, or changed.
    pub fn network_found(&mut self, slot: Slot, network: NetworkSeen) {
        if self
            .get(slot)
            .is_some_and(|w| w.network != network && w.kind != SourceKind::Host)
        {
            self.part_from_network(slot);
            if let Some(workload) = self.get_mut(slot) {
                workload.network = network;
            }
            self.join_network(slot);
        }
    }
}
