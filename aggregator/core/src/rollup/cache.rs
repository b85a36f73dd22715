//! Cells of open hours in memory. Each value carries the position of the last entry in it, so that writing some of
//! them now and some later is safe: a restart folds from the floor on and skips what a value contains already.

/// How much stays in memory.
mod room;

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::record::Record;
use tallyman_common::time::{Hour, WallMs, Window};

use super::cell::{NodeHour, OwnerHour};
use super::fold::{BatchPlace, Overflow, fold_node, fold_record};
use super::inference::Inference;
use super::owners::ByOwner;
use super::pack;
use super::part::{Part, late_key, node_hour_key, owner_key};
use crate::limits::{FLUSH_AGE_MS, FLUSH_PER_COMMIT_MAX};
use crate::ports::{Changes, Read, StoreError, Table};
use room::Room;

/// Why a fold stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FoldError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A value in the store is not one of ours.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Impossible usage.
    #[error(transparent)]
    Overflow(#[from] Overflow),
    /// A batch in the log can't be read any more.
    #[error("entry {position} of the log: {reason}")]
    Entry {
        /// Its position.
        position: u64,
        /// What is wrong.
        reason: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Owner(Part, Owner),
    Node(Part, NodeId),
}

#[derive(Debug, Clone, Default)]
struct Slot<T> {
    value: T,
    dirty: bool,
}

/// A changed value that waits to be written.
#[derive(Debug, Clone)]
struct Waiting {
    /// First position that it has and the store lacks.
    since: u64,
    /// When that was.
    at: WallMs,
    key: Key,
}

fn shared(groups: &mut BTreeSet<Arc<str>>, name: &str) -> Arc<str> {
    if let Some(known) = groups.get(name) {
        return known.clone();
    }
    let new: Arc<str> = name.into();
    groups.insert(new.clone());
    new
}

/// What the store has of an owner's hour; nothing is an empty one.
fn stored_hour(
    part: Part,
    owner: &Owner,
    groups: &mut BTreeSet<Arc<str>>,
    store: &dyn Read,
) -> Result<OwnerHour, FoldError> {
    let Some(bytes) = store.get(Table::Cells, &owner_key(part, owner))? else {
        return Ok(OwnerHour::default());
    };
    let mut value = OwnerHour::decode(&bytes)?;
    for set in value.sets.iter_mut() {
        set.group = shared(groups, &set.group);
    }
    Ok(value)
}

/// The cells.
#[derive(Debug, Clone, Default)]
pub struct Rollup {
    owners: BTreeMap<Part, ByOwner<Slot<OwnerHour>>>,
    nodes: BTreeMap<(Part, NodeId), Slot<NodeHour>>,
    /// Newest position that an hour's values on time have, since the start.
    newest: BTreeMap<Hour, u64>,
    waiting: VecDeque<Waiting>,
    cached: usize,
    room: Room,
    /// Names of groups, each once.
    groups: BTreeSet<Arc<str>>,
    /// Only these hours; all when there are no bounds.
    only: Option<Range<Hour>>,
}

impl Rollup {
    /// A group's name, shared with all sets of cells of the group.
    pub fn group(&mut self, name: &str) -> Arc<str> {
        shared(&mut self.groups, name)
    }

    /// An empty one that takes in some hours alone.
    pub fn of_hours(hours: Range<Hour>) -> Self {
        Self {
            only: Some(hours),
            ..Self::default()
        }
    }

    /// Whether any of a window falls into the hours that are taken in.
    pub fn takes(&self, window: &Window) -> bool {
        let Some(only) = &self.only else { return true };
        // A window without a place in time is for the fold to refuse.
        let hours = window.by_hour();
        hours.is_none_or(|hours| hours.iter().any(|(hour, _)| only.contains(hour)))
    }

    /// Adds a batch. Values that contain it already (a restart) stay as they are.
    pub fn fold(
        &mut self,
        place: &BatchPlace,
        records: &[Record],
        now: WallMs,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        for at in 0..place.pieces.len() {
            let part = place.part(at);
            if !self.touch(part, place.position) {
                continue;
            }
            self.fold_owners(records, place, at, now, store)?;
            self.fold_node(place, at, now, store)?;
        }
        Ok(())
    }

    /// Adds usage over a hole, or takes it back: as `kind`, by the decision at `position`, when everything up to
    /// `sealed` is sealed.
    pub fn fold_inference(
        &mut self,
        (position, sealed): (u64, Option<Hour>),
        inference: &Inference,
        kind: u8,
        now: WallMs,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let group = self.group(&inference.group);
        for span in &inference.spans {
            let pieces = span.pieces();
            for (at, (hour, _)) in pieces.iter().enumerate() {
                let part = Part::of(*hour, sealed);
                if !self.touch(part, position) {
                    continue;
                }
                for set in &span.sets {
                    let owner = set.owner().ok_or_else(|| FoldError::Entry {
                        position,
                        reason: "it names an owner of an unknown kind".to_owned(),
                    })?;
                    let slot = self.owner_slot(part, &owner, store)?;
                    // Several sets and spans of one decision meet in one value: only an earlier run has it already.
                    if slot.value.upto > position || (slot.value.upto == position && !slot.dirty) {
                        continue;
                    }
                    let done = set.fold(&mut slot.value, &group, &pieces, at, kind);
                    done.ok_or_else(|| set.overflow(&owner, *hour))?;
                    slot.value.upto = position;
                    if !std::mem::replace(&mut slot.dirty, true) {
                        let key = Key::Owner(part, owner);
                        self.wait(position, now, key);
                    }
                }
            }
        }
        Ok(())
    }

    /// Newest position that an hour's values on time took in since the start; `None` if they did not change.
    pub fn newest_of(&self, hour: Hour) -> Option<u64> {
        self.newest.get(&hour).copied()
    }

    /// Forgets when hours up to a sealed one changed: on time they never will again.
    pub fn close(&mut self, sealed: Hour) {
        self.newest = self.newest.split_off(&sealed.next());
    }

    /// Notes that a stored value is changed behind this cache, by its key: an hour, and what is in it.
    pub fn touch_key(&mut self, key: &[u8], position: u64) {
        if let Some(hour) = key.first_chunk() {
            self.newest.insert(Hour(u32::from_be_bytes(*hour)), position);
        }
    }

    /// Forgets all values, for they are stored otherwise now.
    pub fn forget_values(&mut self) {
        let (newest, room) = (std::mem::take(&mut self.newest), self.room);
        *self = Self {
            newest,
            room,
            ..Self::default()
        };
    }

    /// Notes that a part changes; false if its hour is not taken in.
    fn touch(&mut self, part: Part, position: u64) -> bool {
        let is_taken = self.only.as_ref().is_none_or(|o| o.contains(&part.hour));
        if is_taken && part.late.is_none() {
            self.newest.insert(part.hour, position);
        }
        is_taken
    }

    fn owner_slot(
        &mut self,
        part: Part,
        owner: &Owner,
        store: &dyn Read,
    ) -> Result<&mut Slot<OwnerHour>, FoldError> {
        let owners = self.owners.entry(part).or_default();
        if owners.get_mut(owner).is_none() {
            let value = stored_hour(part, owner, &mut self.groups, store)?;
            self.cached += 1;
            owners.put(owner.clone(), Slot { value, dirty: false });
        }
        Ok(owners.get_mut(owner).expect("was put"))
    }

    fn wait(&mut self, since: u64, at: WallMs, key: Key) {
        self.waiting.push_back(Waiting { since, at, key });
    }

    fn fold_owners(
        &mut self,
        records: &[Record],
        place: &BatchPlace,
        at: usize,
        now: WallMs,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let part = place.part(at);
        let owners = self.owners.entry(part).or_default();
        for record in records {
            let slot = match owners.get_mut(&record.owner) {
                Some(slot) => slot,
                None => {
                    let value = stored_hour(part, &record.owner, &mut self.groups, store)?;
                    self.cached += 1;
                    owners.put(record.owner.clone(), Slot { value, dirty: false })
                }
            };
            if slot.value.upto >= place.position {
                continue;
            }
            fold_record(&mut slot.value, record, place, at)?;
            if !std::mem::replace(&mut slot.dirty, true) {
                let key = Key::Owner(part, record.owner.clone());
                self.waiting.push_back(Waiting {
                    since: place.position,
                    at: now,
                    key,
                });
            }
        }
        Ok(())
    }

    fn fold_node(
        &mut self,
        place: &BatchPlace,
        at: usize,
        now: WallMs,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let key = (place.part(at), place.batch.0);
        let slot = match self.nodes.entry(key) {
            Entry::Occupied(slot) => slot.into_mut(),
            Entry::Vacant(vacant) => {
                let stored = store.get(Table::NodeHours, &node_hour_key(key.0, key.1))?;
                let value = stored.map_or_else(|| Ok(NodeHour::default()), |v| NodeHour::decode(&v))?;
                self.cached += 1;
                vacant.insert(Slot { value, dirty: false })
            }
        };
        if slot.value.upto >= place.position {
            return Ok(());
        }
        fold_node(&mut slot.value, place, at);
        if !std::mem::replace(&mut slot.dirty, true) {
            let key = Key::Node(key.0, key.1);
            self.waiting.push_back(Waiting {
                since: place.position,
                at: now,
                key,
            });
        }
        Ok(())
    }

    /// Puts values that have waited long enough into a commit. `all` writes everything.
    pub fn flush(&mut self, now: WallMs, all: bool, changes: &mut Changes) {
        let mut room = if all { usize::MAX } else { FLUSH_PER_COMMIT_MAX };
        while room > 0 {
            let due = |w: &Waiting| all || now.0 >= w.at.0 + FLUSH_AGE_MS || now < w.at;
            let Some(waiting) = self.waiting.pop_front_if(|w| due(w)) else {
                break;
            };
            self.write(&waiting.key, changes);
            room -= 1;
        }
        self.make_room();
    }

    fn write(&mut self, key: &Key, changes: &mut Changes) {
        match key {
            Key::Owner(part, owner) => {
                let slot = self
                    .owners
                    .get_mut(part)
                    .and_then(|o| o.get_mut(owner))
                    .expect("waits, so is cached");
                slot.dirty = false;
                if let Some(late) = late_key(*part, owner) {
                    changes.put(Table::LateParts, late, Vec::new());
                    pack::note(owner, part.hour, changes);
                }
                changes.put(Table::Cells, owner_key(*part, owner), codec::encode(&slot.value));
            }
            Key::Node(part, node) => {
                let slot = self.nodes.get_mut(&(*part, *node)).expect("waits, so is cached");
                slot.dirty = false;
                changes.put(
                    Table::NodeHours,
                    node_hour_key(*part, *node),
                    codec::encode(&slot.value),
                );
            }
        }
    }

    /// The position up to which the store's cells contain everything, when the last entry is `last`.
    pub fn floor(&self, last: u64) -> u64 {
        self.waiting.front().map_or(last, |w| w.since - 1)
    }

    /// True when something waits to be written.
    pub fn is_dirty(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Every value in memory as it would be written, in no order, for comparisons.
    pub fn values(&self) -> impl Iterator<Item = (Table, Vec<u8>, Vec<u8>)> {
        let owners = self.owners.iter().flat_map(|(part, owners)| {
            owners
                .all()
                .into_iter()
                .map(|(owner, slot)| (Table::Cells, owner_key(*part, owner), codec::encode(&slot.value)))
        });
        let nodes = self.nodes.iter().map(|((part, node), slot)| {
            (
                Table::NodeHours,
                node_hour_key(*part, *node),
                codec::encode(&slot.value),
            )
        });
        owners.chain(nodes)
    }
}
