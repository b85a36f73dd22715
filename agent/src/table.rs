//! The shell's side of the core's table of workloads: which slot is which cgroup, and its kept files.
//!
//! Must not know usage: that is the core's.

use std::collections::BTreeMap;

use tallyman_agent_core::Slot;
use tallyman_agent_core::sources::identity::ContainerId;

use crate::io::files::Files;

/// What is known of a workload's network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// It has none to look for.
    None,
    /// It is looked for.
    Sought,
    /// It was in the host's when it was last looked at, which can be for a moment only.
    InHosts,
    /// The core was told.
    Told,
}

/// A workload.
#[derive(Debug)]
pub struct Entry {
    /// Its place in the core's table.
    pub slot: Slot,
    /// cgroup path, or `/` for the machine.
    pub path: String,
    /// Inode of the folder; 0 for the machine.
    pub life: u64,
    /// The container, if it is one.
    pub container: Option<ContainerId>,
    /// Its files.
    pub files: Files,
    /// Its network.
    pub network: Network,
    /// Number of the watch of its `cgroup.events`.
    pub events: Option<i32>,
    /// Its last process ended, and everything was read after that.
    pub is_read_out: bool,
    /// When it was found, nanoseconds of boot time.
    pub since_ns: u64,
}

/// All workloads, by slot and by path.
#[derive(Debug, Default)]
pub struct Table {
    entries: Vec<Option<Entry>>,
    by_path: BTreeMap<String, Slot>,
}

impl Table {
    /// Takes a workload in.
    pub fn put(&mut self, entry: Entry) {
        let at = entry.slot.0 as usize;
        if self.entries.len() <= at {
            self.entries.resize_with(at + 1, || None);
        }
        self.by_path.insert(entry.path.clone(), entry.slot);
        self.entries[at] = Some(entry);
    }

    /// Lets a workload go.
    pub fn take(&mut self, slot: Slot) -> Option<Entry> {
        let entry = self.entries.get_mut(slot.0 as usize)?.take()?;
        self.by_path.remove(&entry.path);
        Some(entry)
    }

    /// The workload of a slot.
    pub fn get_mut(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0 as usize)?.as_mut()
    }

    /// The workload at a path.
    pub fn at(&self, path: &str) -> Option<&Entry> {
        let slot = self.by_path.get(path)?;
        self.entries.get(slot.0 as usize)?.as_ref()
    }

    /// Slots of the workloads at and below a path, those below first.
    pub fn below(&self, path: &str) -> Vec<Slot> {
        let inside = |found: &str| {
            found
                .strip_prefix(path)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let range = self.by_path.range(path.to_owned()..);
        let near = range.take_while(|(found, _)| found.starts_with(path));
        let mut slots: Vec<Slot> = near
            .filter(|(found, _)| inside(found))
            .map(|(_, slot)| *slot)
            .collect();
        slots.reverse();
        slots
    }

    /// All workloads, by slot.
    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter().flatten()
    }

    /// All workloads, by slot.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.entries.iter_mut().flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workloads_are_found_by_slot_and_by_path() {
        let mut table = Table::default();
        for (slot, path) in [(3, "/a"), (0, "/a/b"), (1, "/ab"), (2, "/a-b")] {
            table.put(Entry {
                slot: Slot(slot),
                path: path.to_owned(),
                life: 1,
                container: None,
                files: Files::of_cgroup(path),
                network: Network::None,
                events: None,
                is_read_out: false,
                since_ns: 0,
            });
        }
        assert_eq!(table.below("/a"), [Slot(0), Slot(3)]);
        assert_eq!(table.at("/ab").map(|e| e.slot), Some(Slot(1)));
        assert_eq!(table.take(Slot(0)).map(|e| e.path), Some("/a/b".to_owned()));
        assert_eq!(table.below("/a"), [Slot(3)]);
        assert_eq!(table.iter().count(), 3);
        assert!(table.get_mut(Slot(0)).is_none());
    }
}
