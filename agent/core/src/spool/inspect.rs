//! What `spool list` and `spool verify` show. Reads only.

use tallyman_common::ids::{Digest, Seq, SpoolId};
use tallyman_common::time::Window;
use tallyman_common::wire::Frame;

use super::leftover;
use super::scan::{Scan, Tail, scan};
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

struct Scanned {
    name: Name,
    file: String,
    bytes: usize,
    scan: Scan,
    /// Where bytes of failed writes begin.
    leftovers: Option<u64>,
}

/// All segments, oldest first, without what failed writes left in them.
fn scan_all(disk: &mut dyn Disk) -> Result<Vec<Scanned>, DiskError> {
    let mut all = Vec::new();
    for Listed { name: file, .. } in disk.list()? {
        let Some(name) = Name::parse(&file) else { continue };
        let bytes = disk.read(&file)?;
        all.push(Scanned {
            scan: scan(&name, &bytes),
            name,
            file,
            bytes: bytes.len(),
            leftovers: None,
        });
    }
    all.sort_by_key(|scanned| scanned.name);
    let begins = leftover::take_off(all.iter_mut().map(|s| (&s.name, &mut s.scan)));
    for (scanned, begin) in all.iter_mut().zip(begins) {
        scanned.leftovers = begin;
    }
    Ok(all)
}

/// All valid frames, oldest first. Changes nothing.
///
/// # Errors
/// When the folder can't be read.
pub fn list(disk: &mut dyn Disk) -> Result<Vec<ListedFrame>, DiskError> {
    let mut frames = Vec::new();
    for Scanned { name, file, scan, .. } in scan_all(disk)? {
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
    for scanned in scan_all(disk)? {
        let Scanned {
            name,
            file,
            bytes,
            scan,
            leftovers,
        } = scanned;
        verified.segments += 1;
        verified.frames += scan.frames.len() as u64;
        verified.bytes += bytes as u64;
        if let Some(from) = leftovers {
            let text = format!(
                "{file}: from byte {from} on it holds what a failed write left; the next start cuts it off"
            );
            verified.damage.push(text);
        }
        let damage = scan.damage.iter();
        verified
            .damage
            .extend(damage.map(|(from, to)| format!("{file}: damaged bytes {from}..{to}")));
        if scan.tail == Tail::Torn {
            let text = format!(
                "{file}: its last {} bytes are no whole entry",
                bytes - scan.sound_end
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
