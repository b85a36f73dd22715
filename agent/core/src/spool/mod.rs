//! (being written)

use tallyman_common::ids::{Digest, Seq, SpoolId};
use tallyman_common::time::Window;

use crate::ports::{Disk, DiskError};

/// One valid frame of the folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ListedFrame {
    /// In which file.
    pub segment: String,
    /// In which spool.
    pub spool: SpoolId,
    /// Its position.
    pub seq: Seq,
    /// Bytes of the frame.
    pub bytes: u64,
    /// Digest of its header.
    pub digest: Digest,
    /// Its window.
    pub window: Window,
    /// Part and parts of the window.
    pub part: (u16, u16),
}

/// What was found by reading everything.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize)]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Valid frames.
    pub frames: u64,
    /// Bytes of all segments.
    pub bytes: u64,
    /// Damage, in words, one line each; empty when all is sound.
    pub damage: Vec<String>,
}

/// All valid frames, oldest first. Changes nothing.
pub fn list(disk: &mut dyn Disk) -> Result<Vec<ListedFrame>, DiskError> { let _ = disk; Ok(Vec::new()) }

/// Reads everything and says what is damaged or missing. Changes nothing.
pub fn verify(disk: &mut dyn Disk) -> Result<Verified, DiskError> { let _ = disk; Ok(Verified::default()) }
