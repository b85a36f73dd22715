//! The second stage: raw values in, readings per owner and window out (I1, I8).
//!
//! Owners' usage is the difference of raw counters since the last window that became durable; a window is closed on a
//! copy, which takes the original's place once the frame is durable. Must not know signing, frames, files or prices.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_common::ids::BootId;
use tallyman_common::record::{Cause, Hole, WorkloadUse};
use tallyman_common::time::{BootMs, WallMs};

use crate::event::{Hardware, Now, Slot};
use crate::limits::{FINISHED_MAX, HOLES_MAX};
use crate::mapping::Mapping;
use crate::notice::Notice;

/// Workloads come, are described, and go.
mod arrive;
/// Whose a workload's usage is.
mod attribute;
/// A window's records.
pub mod close;
/// Raw counters.
pub mod counter;
/// Edges of windows in boot time and wall time.
pub mod edge;
/// Integrals of levels.
pub mod gauge;
/// How well a meter was measured.
pub mod mark;
/// The agent's meters as places in arrays.
pub mod meters;
/// Where a workload's network is counted.
mod network;
/// Large windows in parts.
mod parts;
/// One file of one workload.
mod sample;
/// Owners and their readings.
pub mod series;
/// From workloads to owners.
mod settle;
/// To and from a checkpoint.
pub mod snapshot;
#[cfg(test)]
mod tests;
/// One life of one workload.
pub mod workload;

use edge::Edge;
use series::{OwnerId, Owners};
use workload::{Attribution, Key, Workload};

pub use arrive::Directory;

/// What does not change while the agent runs, but for orders of the operator.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a container waits for its description, milliseconds.
    pub hold_ms: u64,
    /// Configured sources.
    pub sources: Vec<String>,
    /// Rows that count.
    pub hardware: Hardware,
}

/// How the agent came to be where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    /// Sources that an earlier process of this boot, or of an earlier boot, covered.
    pub covered: BTreeSet<String>,
    /// Since when nothing was measured; nothing on the very first start.
    pub down_since: Option<BootMs>,
}

/// A container that ended while it waited for its description.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldEnded {
    /// The workload as it ended.
    pub workload: Workload,
}

/// Raw counters of a workload that is gone, in case it is found again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Departed {
    /// The workload, settled.
    pub workload: Workload,
    /// When it went.
    pub since: BootMs,
    /// Not found after a restart: such are kept in the checkpoint too.
    pub unseen: bool,
}

/// Everything between kernel files and records. A clone is a full copy.
#[derive(Debug, Clone)]
pub struct Windows {
    settings: Settings,
    mapping: Mapping,
    mapping_revision: u64,
    /// Rules that hold from the next window on.
    next_mapping: Option<Mapping>,
    boot: BootId,
    start: Edge,
    /// Milliseconds of the open window in which the agent did not run.
    uncovered_ms: u64,
    /// The open window has such milliseconds.
    was_down: bool,
    stepped: bool,
    /// The open window also has usage of an earlier boot, which could not be told in it.
    carried: bool,
    /// Wall minus boot at the newest sweep, milliseconds.
    offset_ms: Option<i64>,
    past: Past,
    /// Sources that could not be listed yet.
    unlisted: BTreeSet<String>,
    /// End of the first sweep of this process.
    first_sweep: Option<BootMs>,
    now_ns: u64,
    workloads: Vec<Option<Workload>>,
    by_key: BTreeMap<Key, Slot>,
    /// Workloads of the checkpoint that were not found yet.
    missing: BTreeMap<Key, Workload>,
    departed: BTreeMap<Key, Departed>,
    /// Whose counters stand for a network namespace.
    namespaces: BTreeMap<u64, Key>,
    owners: Owners,
    held_ended: Vec<HeldEnded>,
    finished: Vec<(OwnerId, WorkloadUse)>,
    holes: Vec<(OwnerId, Hole)>,
    /// Frames were lost: all series are told again.
    restate: bool,
    /// When the machine was described last, by this process.
    described: Option<BootMs>,
    notices: Vec<Notice>,
    read_faults: u64,
    scratch: sample::Scratch,
}

/// The most notices kept between two steps.
const NOTICES_MAX: usize = 256;

impl Windows {
    /// Windows of a node without a past, from `now` on.
    pub fn new(settings: Settings, mapping: Mapping, now: Now) -> Self {
        Self {
            settings,
            mapping,
            mapping_revision: now.wall.0,
            next_mapping: None,
            boot: now.boot,
            start: Edge::at(now),
            uncovered_ms: 0,
            was_down: false,
            stepped: false,
            carried: false,
            offset_ms: None,
            past: Past {
                covered: BTreeSet::new(),
                down_since: None,
            },
            unlisted: BTreeSet::new(),
            first_sweep: None,
            now_ns: now.boot_ns,
            workloads: Vec::new(),
            by_key: BTreeMap::new(),
            missing: BTreeMap::new(),
            departed: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            owners: Owners::default(),
            held_ended: Vec::new(),
            finished: Vec::new(),
            holes: Vec::new(),
            restate: false,
            described: None,
            notices: Vec::new(),
            read_faults: 0,
            scratch: sample::Scratch::default(),
        }
    }

    /// Later samples count for this moment.
    pub fn begin(&mut self, now: Now) {
        self.now_ns = now.boot_ns;
    }

    /// Where the open window begins.
    pub fn start(&self) -> Edge {
        self.start
    }

    /// Which boot it lies in.
    pub fn boot(&self) -> BootId {
        self.boot
    }

    /// Whether rules or a mapping wait for the window's end.
    pub fn mapping_waits(&self) -> bool {
        self.next_mapping.is_some()
    }

    /// New rules, from the next window on.
    pub fn change_mapping(&mut self, mapping: Mapping) {
        self.next_mapping = (mapping != self.mapping).then_some(mapping);
    }

    /// Disks or uplinks came or went.
    pub fn change_hardware(&mut self, hardware: Hardware) {
        self.settings.hardware = hardware;
    }

    /// Whether a source could be listed. One that could not is not covered.
    pub fn source_listed(&mut self, source: &str, listed: bool) {
        if listed {
            self.unlisted.remove(source);
        } else {
            self.unlisted.insert(source.to_owned());
        }
    }

    /// Frames were lost: the next window tells all series again, and says why.
    pub fn frames_lost(&mut self, from: BootMs, to: BootMs) {
        self.restate = true;
        let host = self.owners.place(&tallyman_common::ids::Owner::Host);
        self.hole(
            host,
            Hole {
                meter: None,
                cause: Cause::SpoolDamaged,
                boot_start: from,
                boot_end: to,
                workload: String::new(),
            },
        );
    }

    /// All series start at 0 in a new spool.
    pub fn rebirth(&mut self) {
        self.owners.rebirth();
    }

    /// Workloads that are metered.
    pub fn workload_count(&self) -> u64 {
        self.by_key.len() as u64
    }

    /// Containers that wait for their description.
    pub fn held_count(&self) -> u64 {
        let held = |w: &&Workload| matches!(w.attribution, Attribution::Held { .. }) && w.inside.is_none();
        (self.workloads.iter().flatten().filter(held).count() + self.held_ended.len()) as u64
    }

    /// Series that are not retired.
    pub fn series_count(&self) -> u64 {
        self.owners.series_count()
    }

    /// Faults of kernel files since the process began.
    pub fn read_faults(&self) -> u64 {
        self.read_faults
    }

    /// What there is to tell; empties the list.
    pub fn take_notices(&mut self) -> Vec<Notice> {
        std::mem::take(&mut self.notices)
    }

    fn tell(&mut self, notice: Notice) {
        if self.notices.len() < NOTICES_MAX {
            self.notices.push(notice);
        }
    }

    /// The files of a workload that a sweep reads.
    pub fn files(&self, slot: Slot, full: bool) -> &[crate::sources::FileKind] {
        self.get(slot).map_or(&[], |workload| workload.files(full))
    }

    fn get(&self, slot: Slot) -> Option<&Workload> {
        self.workloads.get(slot.0 as usize)?.as_ref()
    }

    fn get_mut(&mut self, slot: Slot) -> Option<&mut Workload> {
        self.workloads.get_mut(slot.0 as usize)?.as_mut()
    }

    fn slots(&self) -> Vec<Slot> {
        self.by_key.values().copied().collect()
    }

    fn now_ms(&self) -> BootMs {
        BootMs(self.now_ns / crate::event::NS_PER_MS)
    }

    fn hole(&mut self, owner: OwnerId, hole: Hole) {
        if self.holes.len() < HOLES_MAX {
            self.holes.push((owner, hole));
            return;
        }
        // Too many to name each: the last one of the owner is widened, so that no time goes unsaid.
        let same = |(o, h): &&mut (OwnerId, Hole)| *o == owner && h.cause == hole.cause;
        match self.holes.iter_mut().rev().find(same) {
            Some((_, wide)) => {
                wide.boot_start = wide.boot_start.min(hole.boot_start);
                wide.boot_end = wide.boot_end.max(hole.boot_end);
                (wide.meter, wide.workload) = (None, String::new());
            }
            None => self.holes.push((owner, hole)),
        }
    }

    fn finish(&mut self, owner: OwnerId, row: WorkloadUse) {
        if self.finished.len() < FINISHED_MAX {
            self.finished.push((owner, row));
        }
    }

    /// The window's labels at this moment, for status.
    pub fn open_since(&self) -> WallMs {
        self.start.wall
    }
}
