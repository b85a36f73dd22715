//! The composer: the order of the stages, events in, effects out. No arithmetic on usage here.

use tallyman_common::message::Hello;

use crate::event::{AgentConfig, Effects, Event, Fresh, Identity, Now, ReadFault, Slot, Sweep};
use crate::notice::Notice;
use crate::ports::{Disk, DiskError};
use crate::sources::FileKind;
use crate::status::Status;

/// Why the agent can't start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The spool folder can't be read or written.
    #[error("spool folder: {0}")]
    Disk(#[from] DiskError),
    /// A newer release wrote the checkpoint. Starting anyway would meter from a wrong baseline.
    #[error("{slot} has format {found}; this release reads {known}: start the newer release")]
    CheckpointVersion {
        /// Which slot.
        slot: String,
        /// Its format.
        found: u16,
        /// What this release reads.
        known: u16,
    },
    /// The folder belongs to another node.
    #[error("the spool folder belongs to node {found}, this is node {wanted}: restore the right folder or empty it")]
    OtherNode {
        /// Whose it is.
        found: String,
        /// Who we are.
        wanted: String,
    },
}

/// The agent.
pub struct Agent {
    now: Now,
}

impl Agent {
    /// Reads the spool folder and takes metering up again.
    ///
    /// # Errors
    /// See [`OpenError`]; nothing was changed that a second start could miss.
    pub fn open(
        config: AgentConfig,
        identity: Identity,
        now: Now,
        fresh: Fresh,
        disk: &mut dyn Disk,
    ) -> Result<(Self, Vec<Notice>), OpenError> {
        let _ = (config, identity, fresh, disk);
        Ok((Self { now }, Vec::new()))
    }

    /// Begins a sweep, or the last samples of a workload that ends: later samples count for this moment.
    pub fn begin(&mut self, now: Now) -> Sweep {
        self.now = now;
        Sweep { full: true }
    }

    /// The files of a workload that this sweep reads; empty for a slot without a workload.
    pub fn wants(&self, slot: Slot, sweep: Sweep) -> &[FileKind] {
        let _ = (slot, sweep);
        &[]
    }

    /// One file of one workload. Does not allocate in good times.
    pub fn sample(&mut self, slot: Slot, file: FileKind, bytes: Result<&[u8], ReadFault>) {
        let _ = (slot, file, bytes);
    }

    /// Everything else.
    pub fn step(&mut self, now: Now, event: Event, disk: &mut dyn Disk) -> Effects {
        let _ = (event, disk);
        self.now = now;
        Effects::default()
    }

    /// When the next sweep is due, in boot nanoseconds: the next tick of the grid, or the next wall minute's edge.
    pub fn next_timeout(&self) -> u64 {
        self.now.boot_ns
    }

    /// The first word on a new connection.
    pub fn hello(&self, now: Now) -> Hello {
        let _ = now;
        todo_hello()
    }

    /// Figures for people.
    pub fn status(&self) -> Status {
        todo_status()
    }
}
fn todo_hello() -> Hello { panic!() }
fn todo_status() -> Status { panic!() }
