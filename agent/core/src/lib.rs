//! The agent's core: from the bytes of kernel files to signed batches in flight. Pure, single-threaded,
//! deterministic: clocks, chance, disk and network come in as arguments, messages or the one port.
//!
//! Read in the order of the path: `sources → windows → spool → ship`, then [`agent`], which puts them together.
//! Nothing here knows what usage costs or what the aggregator does with it.

// Declared in reading order, a comment each, so that the order is kept.
/// The composer.
pub mod agent;
/// What survives a restart.
pub mod checkpoint;
/// What goes in and out.
pub mod event;
/// Every named maximum.
pub mod limits;
/// Who owns a workload.
pub mod mapping;
/// What an operator is told.
pub mod notice;
/// The disk port and the witness of durability.
pub mod ports;
/// Which batch goes when.
pub mod ship;
/// Bytes of kernel files in, plain values out.
pub mod sources;
/// Frames and checkpoints on disk.
pub mod spool;
/// The figures of `status`.
pub mod status;
/// From values to readings per owner and window.
pub mod windows;

#[cfg(test)]
mod testing;

pub use agent::{Agent, OpenError};
pub use event::{
    AgentConfig, BatchRange, ClosedWindow, Description, Effects, Event, Fresh, Hardware, Identity, NetEvent,
    NetworkSeen, Now, Outgoing, ReadFault, Slot, SourceKind, Sweep, Tree, Trees, WorkloadSeen,
};
pub use mapping::Mapping;
pub use notice::{Level, Notice};
pub use ports::{Disk, DiskError, Durable, Listed};
pub use ship::Resend;
pub use sources::FileKind;
pub use status::Status;
