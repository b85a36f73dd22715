//! The first stage on the node: the bytes of one kernel file in, plain values out.
//!
//! Nothing here opens a file, knows a clock, keeps a value from one read to the next or decides what is billed. What
//! the kernel did not print is an error or `None`, never 0; a number that a short read cut in its middle is an error,
//! never a smaller number. The readers of the sampled files (`cpu`, `memory`, `io`, `blkio`, `net`) run for every
//! container at every sample and therefore do not allocate: rows go into a `Vec` that the caller keeps.

/// Block I/O of a cgroup, per device: v1.
pub mod blkio;
/// Scanning of bytes without allocation: lines, numbers, keys.
mod bytes;
/// Which cgroups a process is in, and what a cgroup says of itself.
pub mod cgroup;
/// CPU time of a cgroup.
pub mod cpu;
/// What can be wrong with a file, and where.
pub mod error;
/// Where the cgroup trees are mounted, and which of them holds a resource.
pub mod hierarchy;
/// The whole machine: CPU, memory, disks.
pub mod host;
/// Which container a cgroup path belongs to.
pub mod identity;
/// Block I/O of a cgroup, per device: v2.
pub mod io;
/// Memory of a cgroup, in its raw parts.
pub mod memory;
/// Names of interfaces and disks, stored inline.
pub mod name;
/// Bytes of the interfaces of one network namespace.
pub mod net;
/// Patterns that select cgroups and names.
pub mod pattern;
/// What tells one process, and one boot, from the next.
pub mod proc;

pub use error::{FileKind, SourceError};
