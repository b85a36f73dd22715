//! What the shell tells the agent, and what the agent wants done. Values only; every cause that can move the agent
//! is in [`Event`], so that a run can be replayed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tallyman_common::ids::{BootId, NodeId, Nonce, Seq, SpoolId};
use tallyman_common::message::{Ack, Live, Nack, Welcome};
use tallyman_common::record::Inventory;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, WallMs, Window};

use crate::mapping::Mapping;
use crate::notice::Notice;
use crate::sources::identity::ContainerId;
use crate::sources::io::Device;

/// Nanoseconds in a millisecond.
pub const NS_PER_MS: u64 = 1_000_000;
/// Nanoseconds in a second.
pub const NS_PER_S: u64 = 1_000_000_000;

/// The clocks, read together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_BOOTTIME` in nanoseconds: measures.
    pub boot_ns: u64,
    /// Wall time: labels.
    pub wall: WallMs,
    /// Which boot `boot_ns` counts from.
    pub boot: BootId,
}

impl Now {
    /// Boot time in milliseconds.
    pub fn boot_ms(&self) -> BootMs {
        BootMs(self.boot_ns / NS_PER_MS)
    }
}

/// Chance, drawn by the shell once per start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fresh {
    /// A new spool's id, in case one must be drawn.
    pub spool: SpoolId,
    /// This process' life.
    pub nonce: Nonce,
}

/// Who the agent is.
pub struct Identity {
    /// Given when the node was enrolled.
    pub node: NodeId,
    /// Signs batches.
    pub key: NodeKey,
    /// The machine; `cpus` goes into every header.
    pub inventory: Inventory,
}

/// What the operator decided. The shell checks it; a range that is out of bounds is a mistake of the shell.
#[derive(Debug, Clone)]
pub struct AgentConfig {
    /// Sampling interval in nanoseconds, 1 s to 60 s.
    pub interval_ns: u64,
    /// Every so many ticks the costly files (`memory.stat`, swap) are read too; also at each minute's edge.
    pub full_every_ticks: u32,
    /// How long a container waits for its description before it counts as unattributed, milliseconds.
    pub hold_ms: u64,
    /// How often `Live` is sent while connected, milliseconds.
    pub live_every_ms: u64,
    /// Names of the configured sources: a workload that is new under one that the checkpoint did not have was there
    /// before metering began.
    pub sources: Vec<String>,
    /// Who owns what.
    pub mapping: Mapping,
    /// The machine's own devices and interfaces.
    pub hardware: Hardware,
    /// Ticks of `/proc/stat` in a second (`sysconf(_SC_CLK_TCK)`).
    pub clock_ticks_per_s: u64,
    /// The most bytes of segments, quarantine and checkpoints together.
    pub spool_bytes_max: u64,
    /// How long acknowledged frames are kept for a resend, milliseconds of wall time.
    pub retention_ms: u64,
    /// Bytes a second of batches that are sent behind the newest: a backlog, or a resend by hand.
    pub backlog_bytes_per_s: u64,
}

/// Which rows of a file count. Rows of others are followed but not counted, so that a change of the list takes
/// nothing and invents nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Hardware {
    /// Whole disks whose I/O counts; what is stacked on them (dm, md, loop) and their partitions show the same I/O
    /// again. `None`: all rows, which is right only where nothing is stacked.
    pub devices: Option<Vec<Device>>,
    /// Interfaces of the host that lead out of it; only for the host's own figures.
    pub uplinks: Vec<String>,
}

/// A place in the agent's table of workloads. Used again after [`Event::Gone`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u32);

/// What kind of thing a source finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceKind {
    /// A container of Docker.
    Docker,
    /// A cgroup or slice that a pattern names.
    Cgroup,
    /// The whole machine.
    Host,
}

/// Which tree holds a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tree {
    /// A v1 tree.
    V1,
    /// The v2 tree.
    V2,
}

/// Which files a workload has, by resource; `None`: no tree holds it, which is unmeasured, not zero. Ignored for
/// the host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trees {
    /// CPU time.
    pub cpu: Option<Tree>,
    /// Memory.
    pub memory: Option<Tree>,
    /// Block I/O.
    pub io: Option<Tree>,
}

/// Where a workload's network is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetworkSeen {
    /// Not looked for: a cgroup has no network counter of its own.
    None,
    /// A namespace of its own, or shared: inode of `/proc/<pid>/ns/net`.
    Namespace(u64),
    /// The host's namespace: can't be told from the rest of the machine.
    Host,
    /// A container whose namespace could not be looked up.
    Unknown,
}

/// A workload as the shell found it. Parents come before what is inside them (sort by path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkloadSeen {
    /// cgroup path from the root of the tree, or `/` for the host.
    pub path: String,
    /// Inode of the cgroup's directory; 0 for the host. Tells one life from the next.
    pub life: u64,
    /// What found it.
    pub kind: SourceKind,
    /// Name of the configured source that covers it, one of [`AgentConfig::sources`].
    pub source: String,
    /// Container, if it is one.
    pub container: Option<ContainerId>,
    /// A name for people.
    pub name: String,
    /// Its network.
    pub network: NetworkSeen,
    /// Its files.
    pub trees: Trees,
}

/// What Docker says of a container: from the create event, a list or an inspection. May come before the workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Description {
    /// Which container.
    pub container: ContainerId,
    /// Its name, without a slash.
    pub name: String,
    /// The container's labels.
    pub labels: BTreeMap<String, String>,
    /// The labels of its image; a label that the image has with the same value is not believed.
    pub image_labels: BTreeMap<String, String>,
}

/// Why a file of a workload gave no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadFault {
    /// There is no such file: the controller is not on here.
    Absent,
    /// The cgroup or the process is gone (ENODEV, ESRCH).
    Gone,
    /// Anything else: permission, I/O.
    Failed,
}

/// From the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NetEvent {
    /// A session stands. `fresh` is a new random spool id, in case the answer demands a new spool.
    Connected {
        /// The aggregator's answer to [`crate::Agent::hello`].
        welcome: Welcome,
        /// A spool id that was never used.
        fresh: SpoolId,
    },
    /// The session is gone; what was in flight is sent again.
    Disconnected,
    /// A batch is durable at the aggregator.
    Ack(Ack),
    /// A batch was not taken.
    Nack(Nack),
}

/// Everything that can move the agent, beside samples.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A workload was found; the answer is in [`Effects::slot`].
    Appeared(WorkloadSeen),
    /// A container was described.
    Described(Description),
    /// The network namespace of a workload became known, or changed.
    NetworkFound {
        /// Which workload.
        slot: Slot,
        /// Its network.
        network: NetworkSeen,
    },
    /// A workload ended; its last sample was made before, as well as it could be.
    Gone {
        /// Which workload.
        slot: Slot,
    },
    /// All files of a sweep were sampled.
    SweepDone,
    /// The network spoke.
    Net(NetEvent),
    /// Whether a source could be listed. Say `false` before the first sweep when it could not (Docker does not answer),
    /// and `true` once all that is there has appeared: until then what is found there may be old.
    SourceListed {
        /// Name of the source.
        source: String,
        /// Could it?
        listed: bool,
    },
    /// New rules from the next minute's edge on.
    MappingChanged(Mapping),
    /// Disks or uplinks came or went.
    HardwareChanged(Hardware),
    /// A person wants batches sent again that were acknowledged; the aggregator counts none of them twice.
    Resend(Vec<BatchRange>),
    /// The process ends in order.
    Stop,
}

/// Batches of one spool, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BatchRange {
    /// In which spool.
    pub spool: SpoolId,
    /// First batch.
    pub first: Seq,
    /// Last batch.
    pub last: Seq,
}

/// A batch to be sent on a stream of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its spool; can be an older one than the open one.
    pub spool: SpoolId,
    /// Its position.
    pub seq: Seq,
    /// The frame as it lies in the spool.
    pub frame: Vec<u8>,
}

/// A window that became durable in this step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClosedWindow {
    /// The window.
    pub window: Window,
    /// In which spool.
    pub spool: SpoolId,
    /// Its first batch.
    pub first_seq: Seq,
    /// Its last batch (a large window goes in parts).
    pub last_seq: Seq,
}

/// What the shell does after a step.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Where the workload of [`Event::Appeared`] was put; `None` when it is refused (the table is full).
    pub slot: Option<Slot>,
    /// Batches to send.
    pub send: Vec<Outgoing>,
    /// Current readings to send.
    pub live: Option<Live>,
    /// To be logged.
    pub notices: Vec<Notice>,
    /// The connection is to be ended, and made anew with a new hello; the reason is for the log.
    pub disconnect: Option<String>,
    /// A window became durable.
    pub closed: Option<ClosedWindow>,
}

/// A sweep over the workloads' files: which moment the samples count for, and how much is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sweep {
    pub(crate) full: bool,
}

impl Sweep {
    /// Whether the costly files are read too.
    pub fn is_full(&self) -> bool {
        self.full
    }
}
