//! Workloads come and go: by the kernel's hints, and by a full look every so often that makes up for hints that were
//! lost. What a hint says is read again before it counts.

use std::collections::BTreeMap;

use tallyman_agent_core::{Event, Slot, WorkloadSeen};

use super::Meter;
use crate::io::discover::{Found, scan};
use crate::io::files::Files;
use crate::io::host::hardware;
use crate::io::watch::Hint;
use crate::limits::RESCAN_NS;
use crate::table::{Entry, Network};

impl Meter {
    /// Takes the kernel's hints that are there.
    pub fn take_hints(&mut self) {
        let mut hints = std::mem::take(&mut self.hints);
        self.watch.take(&mut hints);
        for hint in hints.drain(..) {
            match hint {
                Hint::Created(path) => {
                    for found in self.scan(&path) {
                        self.appear(found, true);
                    }
                }
                Hint::Deleted(path) => self.went(&path),
                Hint::Changed(path) => self.population_changed(&path),
                Hint::Lost => self.rescan(),
            }
        }
        self.hints = hints;
    }

    /// Everything that is to be metered from a cgroup on; its folders are watched from now on.
    pub(super) fn scan(&mut self, from: &str) -> Vec<Found> {
        let (trees, watch) = (&self.parts.machine.trees, &mut self.watch);
        scan(trees, &self.parts.selection, from, &mut |path| {
            if let Some(folder) = trees.folder(path) {
                watch.folder(path, &folder);
            }
        })
    }

    /// Compares everything that is there with everything that is metered.
    pub(super) fn rescan(&mut self) {
        self.rescan_at_ns = self.now_ns() + RESCAN_NS;
        let there = self
            .scan("/")
            .into_iter()
            .map(|found| (found.path.clone(), found));
        let there: BTreeMap<String, Found> = there.collect();
        let is_there = |path: &str, life: u64| there.get(path).is_some_and(|found| found.life == life);
        self.ended.retain(|path, life| is_there(path, *life));
        let metered = self.table.iter().filter(|entry| entry.path != "/");
        let gone: Vec<Slot> = metered
            .filter(|entry| !is_there(&entry.path, entry.life))
            .map(|entry| entry.slot)
            .collect();
        for slot in gone {
            self.end(slot);
        }
        for found in there.into_values() {
            self.appear(found, true);
        }
        for entry in self.table.iter_mut() {
            entry.files.look_again();
            if entry.events.is_none() && entry.path != "/" {
                self.unsettled.insert(entry.slot);
            }
        }
        let hardware = hardware(&self.parts.machine.sys, &self.parts.machine.proc);
        if hardware != self.parts.hardware {
            self.parts.hardware = hardware.clone();
            self.step(Event::HardwareChanged(hardware));
        }
    }

    /// A cgroup is there. `at_once`: it is read right away, for it may not live until the next sweep.
    pub(super) fn appear(&mut self, found: Found, at_once: bool) {
        if let Some(known) = self.table.at(&found.path) {
            if known.life == found.life {
                return;
            }
            let slot = known.slot;
            self.end(slot);
        }
        let has_ended = self.ended.get(&found.path) == Some(&found.life);
        if has_ended && self.parts.machine.trees.is_populated(&found.path) != Some(true) {
            return;
        }
        self.ended.remove(&found.path);
        let mut files = Files::of_cgroup(&found.path);
        let (seen_network, network) = self.first_look(&found, &mut files);
        let seen = WorkloadSeen {
            name: name_of(&found),
            network: seen_network,
            trees: self.parts.machine.trees.trees(),
            path: found.path,
            life: found.life,
            kind: found.kind,
            source: found.source,
            container: found.container,
        };
        let Some(slot) = self.seat(seen, files, network) else {
            return;
        };
        self.unsettled.insert(slot);
        self.look_at(slot);
        if at_once {
            self.read_last(slot);
        }
    }

    /// Gives a workload a place; `None` when the core has none for it.
    pub(super) fn seat(&mut self, seen: WorkloadSeen, files: Files, network: Network) -> Option<Slot> {
        let now = self.parts.machine.clock.now();
        let (path, life, container) = (seen.path.clone(), seen.life, seen.container);
        let effects = self.agent.step(now, Event::Appeared(seen), &mut self.disk);
        let slot = effects.slot;
        self.apply(effects);
        self.table.put(Entry {
            slot: slot?,
            path,
            life,
            container,
            files,
            network,
            events: None,
            is_read_out: false,
            since_ns: now.boot_ns,
        });
        slot
    }

    /// The folder at a path went, and all below it.
    fn went(&mut self, path: &str) {
        self.ended.remove(path);
        for slot in self.table.below(path) {
            self.end(slot);
        }
        self.ended.remove(path);
    }

    /// `cgroup.events` of a workload says that it became empty, or is not any more.
    fn population_changed(&mut self, path: &str) {
        let Some((slot, container)) = self.table.at(path).map(|e| (e.slot, e.container)) else {
            return;
        };
        let is_populated = self.parts.machine.trees.is_populated(path);
        tracing::debug!(path, is_populated, "the population of a cgroup changed");
        match is_populated {
            Some(true) => {
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.is_read_out = false;
                }
                self.look_at(slot);
            }
            Some(false) => {
                self.read_last(slot);
                if let Some(entry) = self.table.get_mut(slot) {
                    entry.is_read_out = true;
                }
                // A slice can be filled again; a container's life is over.
                if container.is_some() {
                    self.end(slot);
                }
            }
            // It is being removed.
            None if !self.parts.machine.trees.is_there(path) => self.end(slot),
            None => {}
        }
    }

    fn end(&mut self, slot: Slot) {
        let is_read_out = self.table.get_mut(slot).is_none_or(|entry| entry.is_read_out);
        if !is_read_out && self.read_last(slot) {
            tracing::debug!(
                slot = slot.0,
                "a workload ended before its last counters were read"
            );
        }
        self.unsettled.remove(&slot);
        self.last_look(slot);
        if let Some(entry) = self.table.take(slot) {
            entry.events.into_iter().for_each(|wd| self.watch.forget(wd));
            // Until its folder goes, it would be found again.
            if entry.container.is_some() && self.parts.machine.trees.life(&entry.path) == Some(entry.life) {
                self.ended.insert(entry.path, entry.life);
            }
            self.step(Event::Gone { slot });
        }
    }
}

fn name_of(found: &Found) -> String {
    /// As `docker ps` shows it, until Docker says its name.
    const SHORT: usize = 12;
    match &found.container {
        Some(id) => id.to_string()[..SHORT].to_owned(),
        None => found.path.rsplit('/').next().unwrap_or(&found.path).to_owned(),
    }
}
