//! What `spool list` and `spool verify` show. Reads only.

use tallyman_common::ids::{Digest, Seq, SpoolId};
use tallyman_common::time::Window;
use tallyman_common::wire::Frame;

use super::scan::{Tail, scan};
use super::segment::Name;
use crate::ports::{Disk, DiskError, Listed};

/// One valid frame of the folder.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct ListedFrame {
    /// In which file.
    pub segment: String,
    /// In which spool.
    pub spool: SpoolId,
    /// Its position.
    pub seq: Seq,
    /// Where in the file it begins.
    pub at: u64,
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
///
/// # Errors
/// When the folder can't be read.
pub fn list(disk: &mut dyn Disk) -> Result<Vec<ListedFrame>, DiskError> {
    let mut frames = Vec::new();
    for Listed { name: file, .. } in disk.list()? {
        let Some(name) = Name::parse(&file) else { continue };
        let scan = scan(&name, &disk.read(&file)?);
        frames.extend(scan.frames.into_iter().map(|found| ListedFrame {
            segment: file.clone(),
            spool: name.spool,
            seq: found.seq,
            at: found.frame_at() as u64,
            bytes: found.len as u64,
            digest: found.digest,
            window: found.header.window(),
            part: (found.header.part, found.header.parts),
        }));
    }
    Ok(frames)
}

/// The bytes of a listed frame; `None` when it is gone or no longer what was listed.
pub fn frame_of(listed: &ListedFrame, disk: &mut dyn Disk) -> Option<Vec<u8>> {
    let len = usize::try_from(listed.bytes).ok()?;
    let bytes = disk.read_at(&listed.segment, listed.at, len).ok()?;
    let is_it = Frame::parse(&bytes).is_ok_and(|frame| frame.digest() == listed.digest);
    is_it.then_some(bytes)
}

/// Reads everything and says what is damaged or missing. Changes nothing.
///
/// # Errors
/// When the folder can't be read.
pub fn verify(disk: &mut dyn Disk) -> Result<Verified, DiskError> {
    let mut verified = Verified::default();
    let mut before: Option<(SpoolId, Seq, Digest)> = None;
    for Listed { name: file, .. } in disk.list()? {
        let Some(name) = Name::parse(&file) else { continue };
        let bytes = disk.read(&file)?;
        let scan = scan(&name, &bytes);
        verified.segments += 1;
        verified.frames += scan.frames.len() as u64;
        verified.bytes += bytes.len() as u64;
        let damage = scan.damage.iter();
        verified
            .damage
            .extend(damage.map(|(from, to)| format!("{file}: damaged bytes {from}..{to}")));
        if scan.tail == Tail::Torn {
            let text = format!(
                "{file}: its last {} bytes are no whole entry",
                bytes.len() - scan.sound_end
            );
            verified.damage.push(text);
        }
        for found in &scan.frames {
            if let Some((spool, seq, digest)) = before {
                if spool == name.spool && found.seq != seq + 1 {
                    let text = format!("{file}: batch {} comes behind {seq} of the same spool", found.seq);
                    verified.damage.push(text);
                } else if found.header.prev_digest != digest {
                    let text = format!("{file}: batch {} does not name the batch before it", found.seq);
                    verified.damage.push(text);
                }
            }
            before = Some((name.spool, found.seq, found.digest));
        }
    }
    Ok(verified)
}
