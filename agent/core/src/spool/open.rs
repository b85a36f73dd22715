//! Taking a spool folder up again: every segment is read, damage is kept aside and told, the tail is made sound.
//!
//! An entry that was not written whole, and a window of which parts are missing, never became durable and are cut
//! off. Damage is never cut: what was durable once may have been shipped.

use tallyman_common::ids::{BootId, Digest, NodeId, Seq, SpoolId};
use tallyman_common::time::BootMs;

use super::leftover::{self, Leftovers};
use super::scan::{Found, Scan, Tail, scan};
use super::segment::Name;
use super::{FrameKey, Place, Segment, Spool};
use crate::notice::Notice;
use crate::ports::{Disk, DiskError, Listed};

/// Copies of damaged segments begin so; nothing deletes them but an operator.
const QUARANTINE: &str = "quarantine-";

/// Why a folder can't be taken up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SpoolError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// A frame of another node.
    #[error("a frame of node {0} lies in it")]
    OtherNode(NodeId),
}

/// The newest sound frame of a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastFrame {
    /// In which spool.
    pub spool: SpoolId,
    /// Its sequence.
    pub seq: Seq,
    /// Digest of its header.
    pub digest: Digest,
    /// Its boot.
    pub boot: BootId,
    /// Where its window ends.
    pub boot_end: BootMs,
}

/// A piece of time whose frames are damaged, as far as their neighbours tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// Boot of the frame before.
    pub boot: BootId,
    /// End of the frame before.
    pub from: BootMs,
    /// Start of the frame behind, of the same boot; nothing at the tail.
    pub to: Option<BootMs>,
}

/// A folder that was taken up.
#[derive(Debug)]
pub struct OpenedSpool {
    /// The spool; the newest segment's is open.
    pub spool: Spool,
    /// The newest sound frame.
    pub last: Option<LastFrame>,
    /// The folder's tail is damaged: a new spool must be drawn.
    pub tail_is_damaged: bool,
    /// Damage that was not known before.
    pub lost: Vec<Lost>,
    /// To be told.
    pub notices: Vec<Notice>,
}

struct Read {
    name: Name,
    file: String,
    bytes: u64,
    scan: Scan,
}

impl Spool {
    /// Reads a folder. `fresh` becomes the open spool when there is none.
    ///
    /// # Errors
    /// When the folder can't be read or its tail not be made sound, or when it is another node's.
    pub fn open(
        disk: &mut dyn Disk,
        node: NodeId,
        limit_bytes: u64,
        fresh: SpoolId,
    ) -> Result<OpenedSpool, SpoolError> {
        let listed = disk.list()?;
        let mut reads = read_all(&listed, disk)?;
        let foreign = reads
            .iter()
            .flat_map(|r| &r.scan.frames)
            .find(|f| f.header.node != node);
        if let Some(frame) = foreign {
            return Err(SpoolError::OtherNode(frame.header.node));
        }
        let mut notices = Vec::new();
        drop_leftovers(&mut reads, disk)?;
        let lost = keep_damage_aside(&reads, &listed, disk, &mut notices);
        let is_open = settle_tail(&mut reads, disk, &mut notices)?;
        let tail_is_damaged = reads.last().is_some_and(|r| r.scan.tail == Tail::Damaged);
        let next_ordinal = reads.last().map_or(1, |r| r.name.ordinal + 1);
        let quarantine = disk
            .list()?
            .into_iter()
            .filter(|l| l.name.starts_with(QUARANTINE));
        let mut spool = Self {
            limit_bytes,
            current: fresh,
            last_seq: 0,
            last_digest: Digest::default(),
            ages: Vec::new(),
            segments: Vec::new(),
            is_open,
            next_ordinal,
            quarantine_bytes: quarantine.map(|l| l.len).sum(),
            leftovers: Leftovers::default(),
            unacked: std::collections::BTreeSet::new(),
            acked_since: tallyman_common::time::WallMs(0),
        };
        let last = spool.index(reads);
        if spool.ages.is_empty() {
            spool.ages.push(fresh);
        }
        Ok(OpenedSpool {
            spool,
            last,
            tail_is_damaged,
            lost,
            notices,
        })
    }

    fn index(&mut self, reads: Vec<Read>) -> Option<LastFrame> {
        let mut last = None;
        for read in reads {
            let spool = read.name.spool;
            if self.ages.last() != Some(&spool) {
                self.ages.push(spool);
                (self.current, self.last_seq) = (spool, 0);
            }
            let age = self.age();
            for found in &read.scan.frames {
                let (seq, digest) = (found.seq, found.digest);
                self.unacked.insert(FrameKey { age, seq });
                (self.last_seq, self.last_digest) = (seq, digest);
                last = Some(LastFrame {
                    spool,
                    seq,
                    digest,
                    boot: found.header.boot,
                    boot_end: found.header.boot_end,
                });
            }
            self.segments.push(Segment {
                name: read.name,
                file: read.file,
                age,
                places: read.scan.frames.iter().map(place).collect(),
                bytes: read.bytes,
            });
        }
        last
    }
}

fn place(found: &Found) -> Place {
    Place {
        seq: found.seq,
        entry_at: u32::try_from(found.entry_at).expect("segments are below 4 GiB"),
        len: u32::try_from(found.len).expect("frames are bounded"),
        wall: found.header.wall_end,
    }
}

fn read_all(listed: &[Listed], disk: &mut dyn Disk) -> Result<Vec<Read>, DiskError> {
    let mut reads = Vec::new();
    for Listed { name: file, .. } in listed {
        let Some(name) = Name::parse(file) else { continue };
        let bytes = disk.read(file)?;
        reads.push(Read {
            scan: scan(&name, &bytes),
            name,
            file: file.clone(),
            bytes: bytes.len() as u64,
        });
    }
    reads.sort_by_key(|read| read.name);
    Ok(reads)
}

/// Copies damaged segments aside and tells what is missing. Returns what was not known before.
fn keep_damage_aside(
    reads: &[Read],
    listed: &[Listed],
    disk: &mut dyn Disk,
    notices: &mut Vec<Notice>,
) -> Vec<Lost> {
    let mut lost = Vec::new();
    for (at, read) in reads
        .iter()
        .enumerate()
        .filter(|(_, read)| !read.scan.damage.is_empty())
    {
        let copy = format!("{QUARANTINE}{}", read.file);
        let known = known_damage(&read.name, &copy, listed, disk);
        let pieces: Vec<_> = read
            .scan
            .damage
            .iter()
            .filter(|piece| !known.contains(piece))
            .collect();
        if pieces.is_empty() {
            continue;
        }
        let earlier = reads[..at].iter().rev().find_map(|r| r.scan.frames.last());
        let frames = &read.scan.frames;
        lost.extend(
            pieces
                .iter()
                .filter_map(|(from, to)| lost_between(earlier, frames, *from, *to)),
        );
        let kept = match quarantine(&read.file, disk) {
            Some(_) => format!("a copy is kept as {copy}"),
            None => "no copy could be kept aside".to_owned(),
        };
        let pieces: Vec<String> = pieces.iter().map(|(from, to)| format!("{from}..{to}")).collect();
        let text = format!(
            "{} is damaged at bytes {}; missing batches: {}; later ones still ship; {kept}",
            read.file,
            pieces.join(", "),
            missing(read)
        );
        notices.push(Notice::error("spool-damaged", text));
    }
    lost
}

/// The damage that was there when a copy was kept aside.
fn known_damage(name: &Name, copy: &str, listed: &[Listed], disk: &mut dyn Disk) -> Vec<(usize, usize)> {
    if !listed.iter().any(|l| l.name == copy) {
        return Vec::new();
    }
    disk.read(copy)
        .map_or_else(|_| Vec::new(), |bytes| scan(name, &bytes).damage)
}

/// The time between the frames around a damaged piece; `earlier` is the last frame of the segments before. Nothing
/// when there is no frame around it at all.
fn lost_between(earlier: Option<&Found>, frames: &[Found], from: usize, to: usize) -> Option<Lost> {
    let before = frames.iter().rev().find(|f| f.end() <= from).or(earlier);
    let behind = frames.iter().find(|f| f.entry_at >= to);
    let boot = before.or(behind)?.header.boot;
    let behind = behind.filter(|f| f.header.boot == boot);
    Some(Lost {
        boot,
        from: before.map_or(BootMs(0), |f| f.header.boot_end),
        to: behind.map(|f| f.header.boot_start),
    })
}

fn missing(read: &Read) -> String {
    let mut next = read.name.first;
    let mut gaps = Vec::new();
    for frame in &read.scan.frames {
        if frame.seq > next {
            gaps.push(format!("{next} to {}", frame.seq - 1));
        }
        next = frame.seq + 1;
    }
    if read.scan.tail == Tail::Damaged {
        gaps.push(format!("{next} and perhaps more"));
    }
    gaps.join(", ")
}

/// Copies a segment aside; the bytes of the copy, or nothing when that failed.
pub(super) fn quarantine(file: &str, disk: &mut dyn Disk) -> Option<u64> {
    let copy = format!("{QUARANTINE}{file}");
    let bytes = disk.read(file).ok()?;
    disk.truncate(&copy, 0).ok()?;
    disk.append(&copy, &bytes).ok()?;
    disk.sync(&copy).ok()?;
    Some(bytes.len() as u64)
}

/// Takes off what failed writes left, in memory and on disk.
fn drop_leftovers(reads: &mut Vec<Read>, disk: &mut dyn Disk) -> Result<(), DiskError> {
    let begins = leftover::take_off(reads.iter_mut().map(|r| (&r.name, &mut r.scan)));
    for (read, begin) in reads.iter_mut().zip(&begins) {
        if let Some(begin) = *begin {
            leftover::cut(&read.file, begin, disk)?;
            read.bytes = begin;
        }
    }
    let mut begins = begins.into_iter();
    reads.retain(|_| begins.next() != Some(Some(0)));
    Ok(())
}

/// Cuts off what never became durable, and makes durable what is there. True when the newest segment takes more.
fn settle_tail(
    reads: &mut Vec<Read>,
    disk: &mut dyn Disk,
    notices: &mut Vec<Notice>,
) -> Result<bool, DiskError> {
    while let Some(newest) = reads.last_mut() {
        if newest.scan.tail == Tail::Damaged {
            disk.sync(&newest.file)?;
            return Ok(false);
        }
        let whole = whole_windows(&newest.scan.frames);
        newest.scan.frames.truncate(whole);
        let end = newest.scan.frames.last().map_or(0, Found::end) as u64;
        if end == 0 && newest.scan.damage.is_empty() {
            disk.remove(&newest.file)?;
            reads.pop();
            continue;
        }
        if end < newest.bytes {
            let text = format!(
                "{}: {} bytes of a window that never became durable are cut off; its usage is in the next one",
                newest.file,
                newest.bytes - end
            );
            notices.push(Notice::info("spool-tail-cut", text));
            disk.truncate(&newest.file, end)?;
            newest.bytes = end;
        }
        disk.sync(&newest.file)?;
        return Ok(true);
    }
    Ok(false)
}

/// How many frames from the front belong to windows of which the last part is there.
fn whole_windows(frames: &[Found]) -> usize {
    let mut whole = frames.len();
    while let Some(frame) = whole.checked_sub(1).and_then(|at| frames.get(at)) {
        if frame.header.part + 1 == frame.header.parts {
            break;
        }
        whole -= 1;
    }
    whole
}
