//! Whose a workload's usage is: by its description, by the workload that it lies in, or nobody's after a while.
//!
//! A measured parent cgroup's owner beats a child's; the parent's counters have the child's usage already. Only the
//! network, which no cgroup counts, is taken from the child.

use tallyman_common::ids::Owner;

use super::series::OwnerId;
use super::workload::{Attribution, Key, Workload};
use super::{Directory, Windows};
use crate::event::{Slot, SourceKind};
use crate::mapping::Subject;
use crate::notice::Notice;
use crate::sources::identity::{ContainerId, ancestors};

impl Windows {
    /// Finds the owner of a workload that came; a container without a description waits.
    pub(super) fn attribute(&mut self, slot: Slot, directory: &Directory) {
        let Some(workload) = self.get(slot) else { return };
        let described = workload.container.is_none_or(|id| directory.get(&id).is_some());
        let known = matches!(workload.attribution, Attribution::Owned(_));
        if described {
            self.assign(slot, directory);
        } else if !known && let Some(workload) = self.get_mut(slot) {
            workload.attribution = Attribution::Held {
                since: workload.seen_since,
            };
        }
    }

    /// A container was described: all its workloads, also those that ended, have an owner now.
    pub fn described(&mut self, id: ContainerId, directory: &Directory) {
        for slot in self.slots() {
            if self.get(slot).is_some_and(|w| w.container == Some(id)) {
                self.assign(slot, directory);
            }
        }
        self.land_ended(directory, |w| w.container == Some(id));
    }

    /// Containers that waited too long are nobody's from now on, with all they used.
    pub(super) fn expire_holds(&mut self, directory: &Directory) {
        let (now, hold_ms) = (self.now_ms(), self.settings.hold_ms);
        let is_due = move |w: &Workload| match w.attribution {
            Attribution::Held { since } => now.0 >= since.0 + hold_ms,
            Attribution::Owned(_) => false,
        };
        for slot in self.slots() {
            if self.get(slot).is_some_and(is_due) {
                self.assign(slot, directory);
            }
        }
        // One that lay in a held workload waits no longer than that one.
        self.land_ended(directory, |w| {
            is_due(w) || matches!(w.attribution, Attribution::Owned(_))
        });
    }

    fn land_ended(&mut self, directory: &Directory, which: impl Fn(&Workload) -> bool) {
        let (due, waiting) = std::mem::take(&mut self.held_ended)
            .into_iter()
            .partition(|held| which(&held.workload));
        self.held_ended = waiting;
        for mut held in due {
            let (owner, _) = self.claim(&held.workload, directory);
            let owner = self.owners.place(&owner);
            self.land(&mut held.workload, owner, true);
        }
    }

    /// Gives a workload the owner that its description says. What it used so far stays with the owner it had.
    fn assign(&mut self, slot: Slot, directory: &Directory) {
        let Some(workload) = self.get(slot) else { return };
        let (owner, warning) = self.claim(workload, directory);
        let name = directory.get_name(workload);
        if let Some(text) = warning {
            self.tell(Notice::warning("mapping", text));
        }
        let owner = self.owners.place(&owner);
        // Inside another workload the surroundings' owner has it, before and after.
        let before = self
            .get(slot)
            .filter(|w| w.inside.is_none())
            .map(|w| w.attribution);
        match before {
            Some(Attribution::Owned(before)) if before != owner => self.take(slot, before),
            _ => {}
        }
        if let Some(workload) = self.get_mut(slot) {
            workload.attribution = Attribution::Owned(owner);
            workload.name = name.unwrap_or_else(|| workload.name.clone());
        }
        self.tell_disagreement(slot, owner);
    }

    /// What rules and description say of a workload by itself.
    fn claim(&self, workload: &Workload, directory: &Directory) -> (Owner, Option<String>) {
        if workload.kind == SourceKind::Host {
            return (Owner::Host, None);
        }
        let description = workload.container.and_then(|id| directory.get(&id));
        self.mapping.owner_of(&Subject {
            path: &workload.key.path,
            name: description.map_or(&workload.name, |d| &d.name),
            labels: description.map(|d| (&d.labels, &d.image_labels)),
        })
    }

    fn tell_disagreement(&mut self, slot: Slot, own: OwnerId) {
        let Some(workload) = self.get(slot) else { return };
        let Some(parent) = workload.inside.and_then(|parent| self.get(parent)) else {
            return;
        };
        let Attribution::Owned(theirs) = parent.attribution else {
            return;
        };
        let (own, theirs) = (&self.owners.get(own).owner, &self.owners.get(theirs).owner);
        if own == theirs || *own == Owner::Unattributed {
            return;
        }
        let text = format!(
            "`{}` says it belongs to {own}, but it runs in {}, which belongs to {theirs}; {theirs} is charged",
            workload.name, parent.key.path
        );
        self.tell(Notice::warning("owner-disagreement", text));
    }

    /// Whose a workload's usage is, its surroundings included.
    pub(super) fn attribution_of(&self, workload: &Workload) -> Attribution {
        let parent = workload.inside.and_then(|parent| self.get(parent));
        parent.map_or(workload.attribution, |parent| parent.attribution)
    }

    /// New rules hold from here: the window that ended went by the old ones.
    pub fn apply_mapping(&mut self, revision: u64, directory: &Directory) {
        let Some(mapping) = self.next_mapping.take() else {
            return;
        };
        self.mapping = mapping;
        self.mapping_revision = self
            .mapping_revision
            .checked_add(1)
            .map_or(revision, |next| next.max(revision));
        for slot in self.slots() {
            let Some(workload) = self.get(slot) else { continue };
            let described = workload.container.is_none_or(|id| directory.get(&id).is_some());
            if described && matches!(workload.attribution, Attribution::Owned(_)) {
                self.assign(slot, directory);
            }
        }
    }

    /// The top-most measured workload around this one.
    pub(super) fn find_parent(&mut self, slot: Slot) {
        let Some(workload) = self.get(slot) else { return };
        if workload.kind == SourceKind::Host {
            return;
        }
        let parent = ancestors(workload.key.path.as_bytes())
            .filter_map(|path| std::str::from_utf8(path).ok())
            .find_map(|path| self.slot_of_path(path));
        if let Some(workload) = self.get_mut(slot) {
            workload.inside = parent.filter(|parent| *parent != slot);
        }
    }

    fn slot_of_path(&self, path: &str) -> Option<Slot> {
        let from = Key {
            path: path.to_owned(),
            life: 0,
        };
        let (key, slot) = self.by_key.range(from..).next()?;
        let is_host = self.get(*slot).is_some_and(|w| w.kind == SourceKind::Host);
        (key.path == path && !is_host).then_some(*slot)
    }

    /// Workloads that this one contains count for the breakdown only from now on.
    pub(super) fn adopt_children(&mut self, slot: Slot) {
        let Some(parent) = self.get(slot) else { return };
        if parent.kind == SourceKind::Host || parent.inside.is_some() {
            return;
        }
        let prefix = format!("{}/", parent.key.path);
        let from = Key {
            path: prefix.clone(),
            life: 0,
        };
        let below: Vec<Slot> = self
            .by_key
            .range(from..)
            .take_while(|(key, _)| key.path.starts_with(&prefix))
            .map(|(_, slot)| *slot)
            .collect();
        for child in below {
            if let Some(Attribution::Owned(owner)) = self.get(child).map(|w| self.attribution_of(w)) {
                self.take(child, owner);
            }
            if let Some(child) = self.get_mut(child) {
                child.inside = Some(slot);
            }
        }
    }
}

impl Directory {
    fn get_name(&self, workload: &Workload) -> Option<String> {
        let description = self.get(&workload.container?)?;
        Some(description.name.clone())
    }
}
