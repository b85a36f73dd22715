//! Cells of open hours in memory. Each value carries the position of the last entry in it, so that writing some of
//! them now and some later is safe: a restart folds from the floor on and skips what a value contains already.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::record::Record;
use tallyman_common::time::{Hour, WallMs, Window};

use super::cell::{NodeHour, OwnerHour, node_hour_key, owner_key};
use super::fold::{BatchPlace, Overflow, fold_node, fold_record};
use super::owners::ByOwner;
use crate::limits::{CACHED_HOURS_MAX, FLUSH_AGE_MS, FLUSH_PER_COMMIT_MAX};
use crate::ports::{Changes, Read, StoreError, Table};

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
    Owner(Hour, Owner),
    Node(Hour, NodeId),
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
    hour: Hour,
    owner: &Owner,
    groups: &mut BTreeSet<Arc<str>>,
    store: &dyn Read,
) -> Result<OwnerHour, FoldError> {
    let Some(bytes) = store.get(Table::Cells, &owner_key(hour, owner))? else {
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
    owners: BTreeMap<Hour, ByOwner<Slot<OwnerHour>>>,
    nodes: BTreeMap<(Hour, NodeId), Slot<NodeHour>>,
    waiting: VecDeque<Waiting>,
    cached: usize,
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
            if self
                .only
                .as_ref()
                .is_some_and(|o| !o.contains(&place.pieces[at].hour))
            {
                continue;
            }
            self.fold_owners(records, place, at, now, store)?;
            self.fold_node(place, at, now, store)?;
        }
        Ok(())
    }

    fn fold_owners(
        &mut self,
        records: &[Record],
        place: &BatchPlace,
        at: usize,
        now: WallMs,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let hour = place.pieces[at].hour;
        let owners = self.owners.entry(hour).or_default();
        for record in records {
            let slot = match owners.get_mut(&record.owner) {
                Some(slot) => slot,
                None => {
                    let value = stored_hour(hour, &record.owner, &mut self.groups, store)?;
                    self.cached += 1;
                    owners.put(record.owner.clone(), Slot { value, dirty: false })
                }
            };
            if slot.value.upto >= place.position {
                continue;
            }
            fold_record(&mut slot.value, record, place, at)?;
            if !std::mem::replace(&mut slot.dirty, true) {
                let key = Key::Owner(hour, record.owner.clone());
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
        let key = (place.pieces[at].hour, place.batch.0);
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
            Key::Owner(hour, owner) => {
                let slot = self
                    .owners
                    .get_mut(hour)
                    .and_then(|o| o.get_mut(owner))
                    .expect("waits, so is cached");
                slot.dirty = false;
                changes.put(Table::Cells, owner_key(*hour, owner), codec::encode(&slot.value));
            }
            Key::Node(hour, node) => {
                let slot = self.nodes.get_mut(&(*hour, *node)).expect("waits, so is cached");
                slot.dirty = false;
                changes.put(
                    Table::NodeHours,
                    node_hour_key(*hour, *node),
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

    /// Forgets clean values of the oldest hours while there are too many, and all but the newest three hours.
    fn make_room(&mut self) {
        while self.owners.len() > 3 || self.cached > CACHED_HOURS_MAX {
            let Some((&oldest, owners)) = self.owners.iter_mut().next() else {
                break;
            };
            let before = owners.count();
            owners.retain(|slot| slot.dirty);
            let kept = owners.count();
            self.cached -= before - kept;
            if kept > 0 {
                break;
            }
            self.owners.remove(&oldest);
            let cached = &mut self.cached;
            self.nodes.retain(|(hour, _), slot| {
                let keep = slot.dirty || *hour != oldest;
                *cached -= usize::from(!keep);
                keep
            });
        }
    }

    /// Every value in memory as it would be written, in no order, for comparisons.
    pub fn values(&self) -> impl Iterator<Item = (Table, Vec<u8>, Vec<u8>)> {
        let owners = self.owners.iter().flat_map(|(hour, owners)| {
            owners
                .all()
                .into_iter()
                .map(|(owner, slot)| (Table::Cells, owner_key(*hour, owner), codec::encode(&slot.value)))
        });
        let nodes = self.nodes.iter().map(|((hour, node), slot)| {
            (
                Table::NodeHours,
                node_hour_key(*hour, *node),
                codec::encode(&slot.value),
            )
        });
        owners.chain(nodes)
    }
}
