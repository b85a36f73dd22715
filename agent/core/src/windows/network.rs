//! Where a workload's network is counted: once per namespace, for the workload that was there first.
//!
//! Sharing a namespace must not bill its traffic twice; the others say that theirs is counted elsewhere. The host's
//! namespace can't be told from the rest of the machine.

use tallyman_common::record::Cause;

use super::Windows;
use super::meters::NETWORK;
use super::workload::{Attribution, Workload};
use crate::event::{NetworkSeen, Slot, SourceKind};

impl Windows {
    /// Counts a workload's namespace for it, unless another one has it.
    pub(super) fn join_network(&mut self, slot: Slot) {
        let Some(workload) = self.get(slot) else { return };
        let counts = match workload.network {
            NetworkSeen::Namespace(inode) => {
                let holder = self.namespaces.get(&inode);
                let is_taken = holder.is_some_and(|key| {
                    *key != workload.key && (self.by_key.contains_key(key) || self.missing.contains_key(key))
                });
                let key = workload.key.clone();
                if !is_taken {
                    self.namespaces.insert(inode, key);
                }
                !is_taken
            }
            _ => false,
        };
        if let Some(workload) = self.get_mut(slot) {
            workload.counts_network = counts;
            workload.plan_files();
        }
    }

    /// A workload ended: another one in its namespace goes on counting where it stopped.
    pub(super) fn leave_network(&mut self, workload: &mut Workload) {
        let NetworkSeen::Namespace(inode) = workload.network else {
            return;
        };
        if !workload.counts_network {
            return;
        }
        self.namespaces.remove(&inode);
        let heir = self.slots().into_iter().find(|slot| {
            self.get(*slot)
                .is_some_and(|w| w.network == workload.network && w.key != workload.key)
        });
        let Some(heir) = heir else { return };
        let mut rows = workload.counters.split_off(&NETWORK);
        rows.iter_mut()
            .for_each(|row| (row.last, row.carried) = (row.current, 0));
        if let Some(heir) = self.get_mut(heir) {
            heir.counters.split_off(&NETWORK);
            heir.counters.adopt(rows);
            NETWORK.iter().for_each(|place| heir.primed |= 1 << place);
        }
        self.join_network(heir);
    }

    /// A workload's namespace changed while it runs: what was counted so far is its owner's.
    pub(super) fn part_from_network(&mut self, slot: Slot) {
        if let Some(Attribution::Owned(owner)) = self.get(slot).map(|w| self.attribution_of(w)) {
            self.take(slot, owner);
        }
        let Some(mut workload) = self.workloads.get_mut(slot.0 as usize).and_then(Option::take) else {
            return;
        };
        self.leave_network(&mut workload);
        workload.counts_network = false;
        self.workloads[slot.0 as usize] = Some(workload);
    }

    /// Says of a workload why its network is not counted for it.
    pub(super) fn network_marks(&self, workload: &mut Workload) {
        if workload.kind == SourceKind::Host {
            return;
        }
        let cause = match workload.network {
            NetworkSeen::Host => Some(Cause::NotAvailable),
            NetworkSeen::Unknown => Some(Cause::Unreadable),
            NetworkSeen::Namespace(inode) if !workload.counts_network => self.shared(inode, workload),
            NetworkSeen::Namespace(_) | NetworkSeen::None => None,
        };
        if let Some(cause) = cause {
            NETWORK.iter().for_each(|place| {
                workload.marks[*place].fault(cause);
            });
        }
    }

    /// Nothing to say when the namespace is counted for the same owner.
    fn shared(&self, inode: u64, workload: &Workload) -> Option<Cause> {
        let holder = self.namespaces.get(&inode).and_then(|key| self.by_key.get(key));
        let holder = holder.and_then(|slot| self.get(*slot));
        let same = holder.is_some_and(|holder| self.attribution_of(holder) == self.attribution_of(workload));
        (!same).then_some(Cause::SharedNetwork)
    }
}
