//! What one owner used on one node in one window: readings of counters that only grow, from and to.
//!
//! A record is a list of sections, one per kind of row, so that a kind this release does not know is carried and
//! stored. Their bytes are `layout`'s.

/// A record's bytes.
mod layout;

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use smallvec::SmallVec;

use crate::ids::{Owner, Seq, SpoolId};
use crate::meter::Meter;
use crate::time::BootMs;
pub(crate) use layout::strictly_rising;

/// Dimensions of a series: name to value, from the closed list of the meter; mostly none.
pub type Dims = BTreeMap<String, String>;

/// What a row says about the time it stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// Measured over the whole window.
    Measured,
    /// Measured, but some of the window or of the workloads went unseen.
    Partial(Cause),
    /// Nothing could be read; `from` equals `to` and that is not a zero.
    Unmeasured(Cause),
}

/// Why something could not be measured. Numbers are on the wire and never change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Cause {
    /// The agent was not running.
    AgentDown = 1,
    /// The workload was there before metering began; what it used before is not known.
    NoBaseline = 2,
    /// The kernel's file could not be read.
    Unreadable = 3,
    /// The kernel's file could be read but not understood.
    Malformed = 4,
    /// A counter went back without a new life of its workload.
    CounterWentBack = 5,
    /// The kernel has no such counter switched on here.
    NotAvailable = 6,
    /// The workload ended before its last counters could be read.
    EndedUnseen = 7,
    /// The spool lost frames; the readings go on.
    SpoolDamaged = 8,
    /// Several workloads share one network; it is counted once, for another.
    SharedNetwork = 9,
}

impl Cause {
    /// All causes, by number.
    pub const ALL: [Self; 9] = [
        Self::AgentDown,
        Self::NoBaseline,
        Self::Unreadable,
        Self::Malformed,
        Self::CounterWentBack,
        Self::NotAvailable,
        Self::EndedUnseen,
        Self::SpoolDamaged,
        Self::SharedNetwork,
    ];

    /// Number on the wire.
    pub fn number(self) -> u8 {
        self as u8
    }

    /// The cause of a number.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|c| c.number() == number)
    }

    /// Words for a person.
    pub fn text(self) -> &'static str {
        match self {
            Self::AgentDown => "the agent was not running",
            Self::NoBaseline => "already running when metering began",
            Self::Unreadable => "the kernel's file could not be read",
            Self::Malformed => "the kernel's file could not be understood",
            Self::CounterWentBack => "a counter went back",
            Self::NotAvailable => "not counted by this kernel or runtime",
            Self::EndedUnseen => "ended before its last counters were read",
            Self::SpoolDamaged => "frames of the spool were lost",
            Self::SharedNetwork => "shares another workload's network",
        }
    }
}

impl State {
    /// The worse of two states of one series in one window.
    pub fn worse(self, other: Self) -> Self {
        match (self, other) {
            (Self::Measured, o) => o,
            (s, Self::Measured) => s,
            (Self::Unmeasured(c), Self::Unmeasured(_)) => Self::Unmeasured(c),
            (Self::Unmeasured(c), Self::Partial(_)) | (Self::Partial(c), _) => Self::Partial(c),
        }
    }
}

/// One reading pair of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// What is counted.
    pub meter: Meter,
    /// What the row says about the time it stands for.
    pub state: State,
    /// Time covered by measurement in the window, milliseconds.
    pub covered_ms: u64,
    /// The series' counter at the window's start, in the meter's base unit; the last row's `to`.
    pub from: u128,
    /// The series' counter at the window's end.
    pub to: u128,
}

/// Where a series began: its counter was 0 just before batch `seq` of `spool`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Birth {
    /// Spool that was open.
    pub spool: SpoolId,
    /// First batch with a row of the series.
    pub seq: Seq,
}

/// Rows that share dimensions and birth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Dimensions of each row's series.
    pub dims: Dims,
    /// Birth of each row's series.
    pub birth: Birth,
    /// Rows by meter, strictly rising, at least one.
    pub rows: Vec<Row>,
}

/// Usage of one life of one workload in the window, for the breakdown; never billed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct WorkloadUse {
    /// Container id or cgroup path.
    pub id: String,
    /// Which life: the cgroup directory's inode.
    pub life: u64,
    /// A name for people.
    pub name: String,
    /// True when this life ended in the window.
    pub is_final: bool,
    /// Usage by meter, strictly rising meters.
    pub usage: Vec<(Meter, u128)>,
}

/// The largest level seen in the window.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Peak {
    /// A gauge's meter; the level is in bytes where the meter is in byte-milliseconds.
    pub meter: Meter,
    /// Dimensions of the series.
    pub dims: Vec<(String, String)>,
    /// Largest level.
    pub level: u128,
}

/// A piece of boot time in which something went unmeasured, as the agent knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Which meter; `None` for all of the owner's.
    pub meter: Option<Meter>,
    /// Why.
    pub cause: Cause,
    /// Start of the hole; before the window when the hole is older than metering here.
    pub boot_start: BootMs,
    /// End of the hole.
    pub boot_end: BootMs,
    /// Which workload, for people; empty when it is all of them.
    pub workload: String,
}

/// What a machine is; signed along so that impossible usage can be told.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Inventory {
    /// Host name.
    pub host_name: String,
    /// Operating system and version.
    pub os: String,
    /// Kernel release.
    pub kernel: String,
    /// Logical processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Version of the agent.
    pub agent_version: String,
}

/// All rows of one owner in one window on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub owner: Owner,
    /// Owner rows: what is billed. Mostly one group, which lies in the record itself.
    pub groups: SmallVec<[Group; 1]>,
    /// Workloads, for the breakdown.
    pub workloads: Vec<WorkloadUse>,
    /// Largest levels.
    pub peaks: Vec<Peak>,
    /// Holes that the agent knows.
    pub holes: Vec<Hole>,
    /// The machine; only in the host's record.
    pub inventory: Option<Box<Inventory>>,
    /// Sections of kinds that this release does not know, by kind.
    pub unknown: Vec<(u16, Vec<u8>)>,
}

impl Record {
    /// A record without rows.
    pub fn new(owner: Owner) -> Self {
        let (workloads, peaks, holes) = (Vec::new(), Vec::new(), Vec::new());
        Self {
            owner,
            groups: SmallVec::new(),
            workloads,
            peaks,
            holes,
            inventory: None,
            unknown: Vec::new(),
        }
    }

    /// True when there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.groups.is_empty()
            && self.workloads.is_empty()
            && self.peaks.is_empty()
            && self.holes.is_empty()
            && self.inventory.is_none()
            && self.unknown.is_empty()
    }
}

#[cfg(test)]
#[path = "record_tests.rs"]
mod tests;
