//! The windows as a checkpoint holds them, and back; what a restart in the same boot or in a new one means (I8).
//!
//! In the same boot everything goes on where it stopped. In a new boot the kernel's counters began again: what was
//! not told yet lands in the first window, which begins with the boot.

use std::collections::{BTreeMap, BTreeSet};

use bincode::{Decode, Encode};
use tallyman_common::ids::{BootId, IdError, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, Hole, WorkloadUse};
use tallyman_common::time::BootMs;

use super::counter::{Counter, Counters};
use super::edge::Edge;
use super::mark::Marks;
use super::meters::{COUNT, GAUGE_COUNT};
use super::series::{OwnerEntry, OwnerId, Series};
use super::workload::{Attribution, Baseline, Key, Workload};
use super::{Departed, HeldEnded, Past, Settings, Windows};
use crate::event::{NetworkSeen, Now, SourceKind, Tree, Trees, WorkloadSeen};
use crate::mapping::Mapping;
use crate::sources::identity::ContainerId;

/// Everything but owners and workloads, which come in pieces of their own.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Frame {
    /// Which boot the times belong to.
    pub boot: BootId,
    /// Where the open window begins.
    pub start: Edge,
    /// Until when everything that was sampled is in here.
    pub covered_until: BootMs,
    uncovered_ms: u64,
    was_down: bool,
    stepped: bool,
    carried: bool,
    restate: bool,
    offset_ms: Option<i64>,
    mapping: Mapping,
    mapping_revision: u64,
    sources: Vec<String>,
    namespaces: Vec<(u64, String, u64)>,
    finished: Vec<(u32, WorkloadUse)>,
    holes: Vec<(u32, RawHole)>,
}

/// An owner and its series.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SavedOwner {
    kind: u8,
    name: String,
    series: Vec<(u8, Series)>,
    peak_bytes: Option<u128>,
}

/// Why a workload is in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
enum Kept {
    /// It runs.
    Live,
    /// It ended, its owner is not known yet.
    HeldEnded,
    /// It was not found after a restart, at this time.
    Unseen(BootMs),
}

/// A workload's raw values.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct SavedWorkload {
    kept: Kept,
    path: String,
    life: u64,
    kind: u8,
    source: String,
    container: Option<[u8; 32]>,
    name: String,
    namespace: Option<u64>,
    counts_network: bool,
    /// Index of its owner; nothing while it waits.
    owner: Option<u32>,
    held_since: BootMs,
    inside: bool,
    baseline_current: bool,
    primed: u16,
    counters: Vec<Counter>,
    integrals: [u128; GAUGE_COUNT],
    marks: Marks,
    holes: Vec<RawHole>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct RawHole(u16, u8, BootMs, BootMs, String);

/// All pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The windows themselves.
    pub frame: Frame,
    /// Owners, by index.
    pub owners: Vec<SavedOwner>,
    /// Workloads.
    pub workloads: Vec<SavedWorkload>,
}

/// A checkpoint whose bytes are sound but whose values can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("checkpoint: {0}")]
pub struct SnapshotError(String);

impl From<IdError> for SnapshotError {
    fn from(error: IdError) -> Self {
        Self(error.to_string())
    }
}

impl Windows {
    /// The windows for a checkpoint.
    pub fn snapshot(&self) -> Snapshot {
        let ids: Vec<OwnerId> = self.owners.ids();
        let index: BTreeMap<OwnerId, u32> = ids.into_iter().zip(0u32..).collect();
        let workloads = self.workloads.iter().flatten().chain(self.missing.values());
        let live = workloads.map(|w| self.save(w, Kept::Live, &index));
        let held = self.held_ended.iter();
        let held = held.map(|h| self.save(&h.workload, Kept::HeldEnded, &index));
        let unseen = self.departed.values().filter(|d| d.unseen);
        let unseen = unseen.map(|d| self.save(&d.workload, Kept::Unseen(d.since), &index));
        Snapshot {
            frame: self.save_frame(&index),
            owners: self.owners.iter().map(|(_, entry)| save_owner(entry)).collect(),
            workloads: live.chain(held).chain(unseen).collect(),
        }
    }

    fn save_frame(&self, index: &BTreeMap<OwnerId, u32>) -> Frame {
        let namespaces = self.namespaces.iter();
        let finished = self.finished.iter();
        let holes = self.holes.iter();
        Frame {
            boot: self.boot,
            start: self.start,
            // Before the first sweep nothing was sampled since the last process.
            covered_until: match (self.first_sweep, self.past.down_since) {
                (None, Some(since)) => since,
                _ => self.now_ms(),
            },
            uncovered_ms: self.uncovered_ms,
            was_down: self.was_down,
            stepped: self.stepped,
            carried: self.carried,
            restate: self.restate,
            offset_ms: self.offset_ms,
            mapping: self.mapping.clone(),
            mapping_revision: self.mapping_revision,
            sources: self.covered_sources(),
            namespaces: namespaces
                .map(|(i, key)| (*i, key.path.clone(), key.life))
                .collect(),
            finished: finished.map(|(owner, row)| (index[owner], row.clone())).collect(),
            holes: holes
                .map(|(owner, hole)| (index[owner], save_hole(hole)))
                .collect(),
        }
    }

    fn covered_sources(&self) -> Vec<String> {
        let sources = self.settings.sources.iter();
        sources
            .filter(|source| self.is_covered(source))
            .cloned()
            .collect()
    }

    fn save(&self, w: &Workload, kept: Kept, index: &BTreeMap<OwnerId, u32>) -> SavedWorkload {
        let (owner, held_since) = match self.attribution_of(w) {
            Attribution::Owned(owner) => (Some(index[&owner]), BootMs(0)),
            Attribution::Held { since } => (None, since),
        };
        SavedWorkload {
            kept,
            path: w.key.path.clone(),
            life: w.key.life,
            kind: match w.kind {
                SourceKind::Docker => 0,
                SourceKind::Cgroup => 1,
                SourceKind::Host => 2,
            },
            source: w.source.clone(),
            container: w.container.map(|id| *id.as_bytes()),
            name: w.name.clone(),
            namespace: match w.network {
                NetworkSeen::Namespace(inode) => Some(inode),
                _ => None,
            },
            counts_network: w.counts_network,
            owner,
            held_since,
            inside: w.inside.is_some() || w.was_inside,
            baseline_current: w.baseline == Baseline::Current,
            primed: w.primed,
            counters: w.counters.rows().to_vec(),
            integrals: std::array::from_fn(|at| w.gauges[at].since_window),
            marks: w.marks,
            holes: w.holes.iter().map(save_hole).collect(),
        }
    }

    /// The windows of a checkpoint, at the start of a process.
    ///
    /// # Errors
    /// When the checkpoint's values contradict each other.
    pub fn restore(
        snapshot: Snapshot,
        settings: Settings,
        mapping: Mapping,
        now: Now,
    ) -> Result<Self, SnapshotError> {
        let Snapshot {
            frame,
            owners,
            workloads,
        } = snapshot;
        let same_boot = frame.boot == now.boot;
        let mut windows = Self::new(settings, frame.mapping.clone(), now);
        windows.mapping_revision = frame.mapping_revision;
        windows.restate = frame.restate;
        windows.change_mapping(mapping);
        let ids = windows.restore_owners(owners)?;
        let owner_at = |at: u32| {
            let id = ids.get(at as usize).copied();
            id.ok_or_else(|| SnapshotError(format!("there is no owner {at}")))
        };
        for (owner, row) in frame.finished.clone() {
            windows.finished.push((owner_at(owner)?, row));
        }
        for (owner, hole) in frame.holes.clone() {
            windows.holes.push((owner_at(owner)?, load_hole(hole)?));
        }
        let mut loaded = Vec::with_capacity(workloads.len());
        for saved in workloads {
            let owner = saved.owner.map(owner_at).transpose()?;
            loaded.push((saved.kept, load_workload(saved, owner)?));
        }
        if same_boot {
            windows.resume(frame, loaded);
        } else {
            windows.start_new_boot(&frame, loaded, now);
        }
        Ok(windows)
    }

    fn restore_owners(&mut self, owners: Vec<SavedOwner>) -> Result<Vec<OwnerId>, SnapshotError> {
        let mut ids = Vec::with_capacity(owners.len());
        for saved in owners {
            let mut entry = OwnerEntry::new(Owner::from_parts(saved.kind, &saved.name)?);
            entry.peak_bytes = saved.peak_bytes;
            for (place, series) in saved.series {
                let slot = entry.series.get_mut(usize::from(place));
                *slot.ok_or_else(|| SnapshotError(format!("there is no meter at {place}")))? = series;
            }
            ids.push(self.owners.insert(entry));
        }
        Ok(ids)
    }

    fn resume(&mut self, frame: Frame, workloads: Vec<(Kept, Workload)>) {
        self.start = frame.start;
        self.uncovered_ms = frame.uncovered_ms;
        self.was_down = frame.was_down;
        self.stepped = frame.stepped;
        self.carried = frame.carried;
        self.offset_ms = frame.offset_ms;
        self.past = Past {
            covered: frame.sources.into_iter().collect(),
            down_since: Some(frame.covered_until),
        };
        let key = |(inode, path, life)| (inode, Key { path, life });
        self.namespaces = frame.namespaces.into_iter().map(key).collect();
        for (kept, workload) in workloads {
            let key = workload.key.clone();
            match kept {
                Kept::Live => {
                    self.missing.insert(key, workload);
                }
                Kept::HeldEnded => self.held_ended.push(HeldEnded { workload }),
                Kept::Unseen(since) => {
                    let departed = Departed {
                        workload,
                        since,
                        unseen: true,
                    };
                    self.departed.insert(key, departed);
                }
            }
        }
    }

    fn start_new_boot(&mut self, frame: &Frame, workloads: Vec<(Kept, Workload)>, now: Now) {
        self.start = Edge::boot_start(now);
        self.carried = frame.carried || frame.covered_until > frame.start.boot;
        let covered: BTreeSet<String> = self.settings.sources.iter().cloned().collect();
        self.past = Past {
            covered: covered.into_iter().chain(frame.sources.iter().cloned()).collect(),
            down_since: Some(BootMs(0)),
        };
        for (kept, mut workload) in workloads {
            let has_usage = workload.usage(&self.settings.hardware) != [0; COUNT];
            if !has_usage || matches!(kept, Kept::Unseen(_)) {
                continue;
            }
            match workload.attribution {
                Attribution::Owned(owner) => self.land(&mut workload, owner, true),
                Attribution::Held { .. } => {
                    // Its waiting counts from the new boot on.
                    workload.attribution = Attribution::Held { since: now.boot_ms() };
                    self.held_ended.push(HeldEnded { workload });
                }
            }
        }
    }
}

fn save_owner(entry: &OwnerEntry) -> SavedOwner {
    let series = (0u8..).zip(entry.series).filter(|(_, s)| *s != Series::default());
    SavedOwner {
        kind: entry.owner.kind(),
        name: entry.owner.name().to_owned(),
        series: series.collect(),
        peak_bytes: entry.peak_bytes,
    }
}

fn save_hole(hole: &Hole) -> RawHole {
    RawHole(
        hole.meter.map_or(0, |m| m.0),
        hole.cause.number(),
        hole.boot_start,
        hole.boot_end,
        hole.workload.clone(),
    )
}

fn load_hole(RawHole(meter, cause, boot_start, boot_end, workload): RawHole) -> Result<Hole, SnapshotError> {
    let unknown = || SnapshotError(format!("there is no cause {cause}"));
    Ok(Hole {
        meter: (meter != 0).then_some(Meter(meter)),
        cause: Cause::from_number(cause).ok_or_else(unknown)?,
        boot_start,
        boot_end,
        workload,
    })
}

fn load_workload(saved: SavedWorkload, owner: Option<OwnerId>) -> Result<Workload, SnapshotError> {
    let container = saved.container.map(|id| {
        let text = tallyman_common::ids::hex(&id);
        ContainerId::parse(text.as_bytes()).ok_or_else(|| SnapshotError(format!("no container id: {text}")))
    });
    let seen = WorkloadSeen {
        path: saved.path,
        life: saved.life,
        kind: match saved.kind {
            0 => SourceKind::Docker,
            1 => SourceKind::Cgroup,
            _ => SourceKind::Host,
        },
        source: saved.source,
        container: container.transpose()?,
        name: saved.name,
        network: saved.namespace.map_or(NetworkSeen::None, NetworkSeen::Namespace),
        // Not known until it is seen again; nothing is said to be absent until then.
        trees: Trees {
            cpu: Some(Tree::V2),
            memory: Some(Tree::V2),
            io: Some(Tree::V2),
        },
    };
    let since = saved.held_since;
    let attribution = owner.map_or(Attribution::Held { since }, Attribution::Owned);
    let baseline = if saved.baseline_current {
        Baseline::Current
    } else {
        Baseline::Zero
    };
    let mut workload = Workload::new(seen, attribution, baseline, since);
    workload.counts_network = saved.counts_network;
    workload.was_inside = saved.inside;
    workload.primed = saved.primed;
    workload.counters = Counters::restore(saved.counters);
    for (gauge, integral) in workload.gauges.iter_mut().zip(saved.integrals) {
        gauge.since_window = integral;
    }
    workload.marks = saved.marks;
    workload.holes = saved.holes.into_iter().map(load_hole).collect::<Result<_, _>>()?;
    Ok(workload)
}
