//! The one port of the node: a flat folder of small files (I3).
//!
//! Durable things are synchronous, because the answer is needed in the same step. A [`Durable`] witness comes only
//! from a successful sync, and only what carries one may ship. Must not know what the files mean.

use std::fmt;

/// Why the disk did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No room (ENOSPC, EDQUOT). Nothing is lost: room can come back.
    #[error("no space left")]
    Full,
    /// Anything else, in the words of the operating system.
    #[error("{0}")]
    Failed(String),
}

/// One file of the folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Listed {
    /// Name without any folder.
    pub name: String,
    /// Bytes.
    pub len: u64,
}

/// The spool folder. A call that fails may have done part of its work: an append that failed may have left any part
/// of its bytes, and after a failed sync nothing that was not synced before can be relied on.
pub trait Disk {
    /// All files, sorted by name.
    fn list(&mut self) -> Result<Vec<Listed>, DiskError>;
    /// The whole of a file.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError>;
    /// Exactly `len` bytes from `offset` on; fewer is a failure.
    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError>;
    /// Adds bytes at the end; makes the file when there is none.
    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError>;
    /// The file's bytes and its entry in the folder are durable on return.
    fn sync(&mut self, name: &str) -> Result<(), DiskError>;
    /// Cuts a file to `len` bytes; makes it (empty) when there is none. Durable with the file's next sync.
    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError>;
    /// Takes a file away; durable on return. A file that is not there is no failure.
    fn remove(&mut self, name: &str) -> Result<(), DiskError>;
}

/// Proof that what it holds was synced. Cannot be made outside this module.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// Syncs `name`; `value` is what is durable then.
    pub(crate) fn by_sync(disk: &mut dyn Disk, name: &str, value: T) -> Result<Self, DiskError> {
        disk.sync(name)?;
        Ok(Self(value))
    }

    /// What is durable.
    pub fn get(&self) -> &T {
        &self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Durable<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Durable({:?})", self.0)
    }
}
