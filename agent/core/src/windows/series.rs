//! Owners and their series: the counters that only grow, and what the open window adds to them.
//!
//! A series that was not reported for a day, all of it acknowledged, is retired; when it comes back it starts at 0
//! under a new birth. Must not know workloads or files.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::ids::{Owner, Seq, SpoolId};
use tallyman_common::record::Birth;
use tallyman_common::time::WallMs;

use super::mark::{Mark, Marks};
use super::meters::{COUNT, Totals};

/// A place in the table of owners.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct OwnerId(u32);

/// One series of an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Encode, Decode)]
pub struct Series {
    /// Reading at the end of the last window, base units.
    pub reading: u128,
    /// What a gauge has beyond whole base units, raw.
    pub remainder: u128,
    /// Usage since the last window that no workload carries any more, raw.
    pub pending: u128,
    /// How it was measured in the open window.
    pub mark: Mark,
    /// Where it began; `None` until it has a row.
    pub birth: Option<Birth>,
    /// The batch of its last row, and when that was.
    pub reported: Option<(SpoolId, Seq, WallMs)>,
}

/// An owner on this node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnerEntry {
    /// Who.
    pub owner: Owner,
    /// Series by the meters' places.
    pub series: [Series; COUNT],
    /// Largest sum of memory over the owner's workloads at one sweep of the open window.
    pub peak_bytes: Option<u128>,
    /// The sum of the sweep that is being made.
    pub sweep_bytes: Option<u128>,
}

impl OwnerEntry {
    /// An owner without usage.
    pub fn new(owner: Owner) -> Self {
        Self {
            owner,
            series: [Series::default(); COUNT],
            peak_bytes: None,
            sweep_bytes: None,
        }
    }

    fn is_forgettable(&self) -> bool {
        self.peak_bytes.is_none() && self.series.iter().all(|s| *s == Series::default())
    }
}

/// All owners of the node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners {
    entries: Vec<Option<OwnerEntry>>,
    index: BTreeMap<Owner, OwnerId>,
}

impl Owners {
    /// The place of an owner, who is made known if need be.
    pub fn place(&mut self, owner: &Owner) -> OwnerId {
        match self.index.get(owner) {
            Some(id) => *id,
            None => self.insert(OwnerEntry::new(owner.clone())),
        }
    }

    /// Puts an owner in, who must not be there yet.
    pub fn insert(&mut self, entry: OwnerEntry) -> OwnerId {
        let free = self.entries.iter().position(Option::is_none);
        let at = free.unwrap_or(self.entries.len());
        let id = OwnerId(u32::try_from(at).expect("owners are bounded by workloads"));
        let before = self.index.insert(entry.owner.clone(), id);
        assert!(before.is_none(), "an owner is in the table once");
        match free {
            Some(at) => self.entries[at] = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        id
    }

    /// The owner at a place.
    pub fn get(&self, id: OwnerId) -> &OwnerEntry {
        self.entries[id.0 as usize]
            .as_ref()
            .expect("places are given out by this table")
    }

    /// The owner at a place.
    pub fn get_mut(&mut self, id: OwnerId) -> &mut OwnerEntry {
        self.entries[id.0 as usize]
            .as_mut()
            .expect("places are given out by this table")
    }

    /// All owners, in their order on the wire.
    pub fn iter(&self) -> impl Iterator<Item = (OwnerId, &OwnerEntry)> {
        self.index.values().map(|id| (*id, self.get(*id)))
    }

    /// Places of all owners, in their order on the wire.
    pub fn ids(&self) -> Vec<OwnerId> {
        self.index.values().copied().collect()
    }

    /// Adds usage and marks to an owner's series.
    pub fn add(&mut self, id: OwnerId, usage: &Totals, marks: &Marks) {
        let entry = self.get_mut(id);
        for (series, (used, mark)) in entry.series.iter_mut().zip(usage.iter().zip(marks)) {
            series.pending += used;
            series.mark.merge(*mark);
        }
    }

    /// Forgets owners without series; `keep` are still looked at by workloads.
    pub fn forget(&mut self, keep: impl Fn(OwnerId) -> bool) {
        for slot in &mut self.entries {
            let Some(entry) = slot else { continue };
            let id = self.index[&entry.owner];
            if entry.is_forgettable() && !keep(id) {
                self.index.remove(&entry.owner);
                *slot = None;
            }
        }
    }

    /// All series start at 0 under new births; what the open window has stays.
    pub fn rebirth(&mut self) {
        for entry in self.entries.iter_mut().flatten() {
            for series in &mut entry.series {
                (series.reading, series.birth, series.reported) = (0, None, None);
            }
        }
    }

    /// Series that have a birth.
    pub fn series_count(&self) -> u64 {
        let born = |e: &OwnerEntry| e.series.iter().filter(|s| s.birth.is_some()).count() as u64;
        self.entries.iter().flatten().map(born).sum()
    }
}
