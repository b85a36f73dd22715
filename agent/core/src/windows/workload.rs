//! One life of one workload: its files, its raw values, whose it is.
//!
//! Must not know other workloads; parents, shared networks and holding are decided in `arrive` and `settle`.

use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, Hole, WorkloadUse};
use tallyman_common::time::BootMs;

use super::counter::Counters;
use super::gauge::{self, Gauge};
use super::mark::Marks;
use super::meters::{self, COUNT, GAUGE_COUNT, METERS, Totals};
use super::series::OwnerId;
use crate::event::{Hardware, NetworkSeen, Slot, SourceKind, Tree, Trees, WorkloadSeen};
use crate::sources::FileKind;
use crate::sources::identity::ContainerId;

/// What tells a workload from all others of this boot: path and inode of its cgroup.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// cgroup path.
    pub path: String,
    /// Inode of the directory.
    pub life: u64,
}

/// Whose usage it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribution {
    /// A container that waits for its description; its usage is held back whole.
    Held {
        /// Since when.
        since: BootMs,
    },
    /// This owner's.
    Owned(OwnerId),
}

/// Where a counter that is read for the first time starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Baseline {
    /// All of it is ours: the workload began under our eyes.
    Zero,
    /// What was before is not known.
    Current,
}

/// A workload that is metered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// Its identity.
    pub key: Key,
    /// What found it.
    pub kind: SourceKind,
    /// Name of the source that covers it.
    pub source: String,
    /// Container, if it is one.
    pub container: Option<ContainerId>,
    /// A name for people.
    pub name: String,
    /// Its network.
    pub network: NetworkSeen,
    /// Whether its network namespace is counted for it.
    pub counts_network: bool,
    /// Whose it is, unless it lies in another workload.
    pub attribution: Attribution,
    /// The top-most measured workload that it lies in.
    pub inside: Option<Slot>,
    /// It lay in another workload when the checkpoint was written; for those that are not found again.
    pub was_inside: bool,
    /// Where counters start.
    pub baseline: Baseline,
    /// Places that were read at least once, as bits.
    pub primed: u16,
    /// Raw counters.
    pub counters: Counters,
    /// Raw levels.
    pub gauges: [Gauge; GAUGE_COUNT],
    /// How the open window was measured.
    pub marks: Marks,
    /// Holes for its owner, once that is known.
    pub holes: Vec<Hole>,
    /// When it was first seen by this process.
    pub seen_since: BootMs,
    /// When its CPU time was last read.
    pub last_read: Option<BootMs>,
    /// Its CPU time could not be read any more: it ended between two reads.
    pub ended_unread: bool,
    trees: Trees,
    /// Files of each sweep, then those of full sweeps only.
    files: Vec<FileKind>,
    every: usize,
}

impl Workload {
    /// A workload that is new to the node.
    pub fn new(seen: WorkloadSeen, attribution: Attribution, baseline: Baseline, now: BootMs) -> Self {
        let key = Key {
            path: seen.path,
            life: seen.life,
        };
        let mut workload = Self {
            key,
            kind: seen.kind,
            source: seen.source,
            container: seen.container,
            name: seen.name,
            network: seen.network,
            counts_network: false,
            attribution,
            inside: None,
            was_inside: false,
            baseline,
            primed: 0,
            counters: Counters::default(),
            gauges: [Gauge::default(); GAUGE_COUNT],
            marks: Marks::default(),
            holes: Vec::new(),
            seen_since: now,
            last_read: None,
            ended_unread: false,
            trees: seen.trees,
            files: Vec::new(),
            every: 0,
        };
        workload.plan_files();
        workload
    }

    /// Takes over what may differ in a workload that a checkpoint knew.
    pub fn seen_again(&mut self, seen: WorkloadSeen) {
        self.trees = seen.trees;
        self.kind = seen.kind;
        self.name = seen.name;
        self.network = seen.network;
        self.plan_files();
    }

    /// The files to read.
    pub fn files(&self, full: bool) -> &[FileKind] {
        if full {
            &self.files
        } else {
            &self.files[..self.every]
        }
    }

    /// Works out the files; after each change of network.
    pub fn plan_files(&mut self) {
        let (mut every, mut full) = (Vec::new(), Vec::new());
        if self.kind == SourceKind::Host {
            every.extend([
                FileKind::ProcStat,
                FileKind::Meminfo,
                FileKind::Diskstats,
                FileKind::NetDev,
            ]);
        } else {
            every.extend(self.trees.cpu.map(|tree| match tree {
                Tree::V1 => FileKind::CpuacctUsage,
                Tree::V2 => FileKind::CpuStat,
            }));
            match self.trees.memory {
                Some(Tree::V1) => {
                    every.push(FileKind::MemoryUsageInBytes);
                    full.push(FileKind::MemoryStatV1);
                }
                Some(Tree::V2) => {
                    every.push(FileKind::MemoryCurrent);
                    full.extend([FileKind::MemoryStat, FileKind::MemorySwapCurrent]);
                }
                None => {}
            }
            match self.trees.io {
                Some(Tree::V1) => every.extend([FileKind::BlkioServiceBytes, FileKind::BlkioServiced]),
                Some(Tree::V2) => every.push(FileKind::IoStat),
                None => {}
            }
            if self.counts_network {
                every.push(FileKind::NetDev);
            }
        }
        self.every = every.len();
        every.extend(full);
        self.files = every;
    }

    /// Usage since the last window, raw.
    pub fn usage(&self, hardware: &Hardware) -> Totals {
        let mut totals = [0; COUNT];
        let host = self.kind == SourceKind::Host;
        self.counters
            .add_to(&mut totals, |row| hardware.counts(row, host));
        gauge::add_to(&self.gauges, &mut totals);
        totals
    }

    /// Marks what its machine does not count at all.
    pub fn mark_absent(&mut self) {
        if self.kind == SourceKind::Host {
            return;
        }
        let absent = [
            (self.trees.cpu.is_none(), &[meters::CPU][..]),
            (self.trees.memory.is_none(), &[1, 2, 3, 4, 5, 6]),
            (self.trees.io.is_none(), &meters::DISK),
        ];
        for place in absent
            .iter()
            .filter(|(gone, _)| *gone)
            .flat_map(|(_, places)| *places)
        {
            self.marks[*place].fault(Cause::NotAvailable);
        }
    }

    /// Everything up to now was taken.
    pub fn settle(&mut self) {
        self.counters.settle();
        self.gauges.iter_mut().for_each(|gauge| gauge.since_window = 0);
        self.marks = Marks::default();
    }

    /// Its row of the breakdown; nothing when it used nothing and goes on.
    pub fn breakdown(&self, usage: &Totals, is_final: bool) -> Option<WorkloadUse> {
        breakdown(&self.key, self.container, &self.name, usage, is_final)
    }
}

/// A row of the breakdown; nothing when nothing was used by a workload that goes on.
fn breakdown(
    key: &Key,
    container: Option<ContainerId>,
    name: &str,
    usage: &Totals,
    is_final: bool,
) -> Option<WorkloadUse> {
    let base = |place: usize| meters::to_base(place, usage[place]).0;
    let used: Vec<(Meter, u128)> = (0..COUNT)
        .map(|place| (METERS[place], base(place)))
        .filter(|(_, used)| *used > 0)
        .collect();
    (is_final || !used.is_empty()).then(|| WorkloadUse {
        id: container.map_or_else(|| key.path.clone(), |id| id.to_string()),
        life: key.life,
        name: name.to_owned(),
        is_final,
        usage: used,
    })
}
