//! The third stage: signed frames in segments on disk, what of them was acknowledged, and what may go (I3, I4).
//!
//! Frames are opaque bytes with a sequence here; they are never rewritten. Unacknowledged ones are never deleted.
//! Must not know records, nor how frames are sent.

use std::collections::BTreeSet;

use tallyman_common::ids::{Digest, Seq, SpoolId};
use tallyman_common::time::WallMs;
use tallyman_common::wire::{Frame, Header};

use crate::limits::{RESERVE_BYTES, SEGMENT_BYTES_MAX};
use crate::ports::{Disk, DiskError, Durable};

/// What the aggregator has.
mod acks;
/// Tells damage.
mod crc;
/// For the command line.
mod inspect;
/// Bytes that never became durable.
mod leftover;
/// Taking a folder up again.
mod open;
/// What a segment holds.
mod scan;
/// Bytes and names of segments.
mod segment;
#[cfg(test)]
mod tests;

pub use crc::crc32c;
pub use inspect::{ListedFrame, Verified, frame_of, list, verify};
pub use open::{LastFrame, Lost, OpenedSpool, SpoolError};
use segment::{Entry, HEAD_BYTES, Name};

/// A frame's place in the order of all frames: spools by age, then the sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameKey {
    age: u32,
    /// Its sequence.
    pub seq: Seq,
}

/// Where a frame lies in its segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    seq: Seq,
    entry_at: u32,
    len: u32,
    /// Label of the window's end.
    wall: WallMs,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    name: Name,
    file: String,
    age: u32,
    /// By rising sequence.
    places: Vec<Place>,
    /// Bytes that are durable.
    bytes: u64,
}

impl Segment {
    /// Label of its newest frame; of a segment without sound frames there is none to keep.
    fn newest(&self) -> WallMs {
        self.places.last().map_or(WallMs(0), |place| place.wall)
    }
}

/// Frames that were appended and synced together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Appended {
    /// First sequence.
    pub first: Seq,
    /// Last sequence.
    pub last: Seq,
}

/// Why a window could not be stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// The spool's own limit.
    #[error("the spool is full: {used} of {limit} bytes are not acknowledged yet")]
    NoRoom {
        /// Bytes used.
        used: u64,
        /// The limit.
        limit: u64,
    },
    /// The disk.
    #[error("disk: {0}")]
    Disk(#[from] DiskError),
}

/// Why a frame could not be read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReadBack {
    /// It is not there (any more).
    Unknown,
    /// The disk did not answer; it can be tried again.
    Disk(DiskError),
    /// Its bytes are damaged; it is lost, and taken off the list.
    Damaged {
        /// In which file.
        file: String,
    },
}

/// The spool folder.
#[derive(Debug)]
pub struct Spool {
    limit_bytes: u64,
    current: SpoolId,
    last_seq: Seq,
    last_digest: Digest,
    /// Spools by age.
    ages: Vec<SpoolId>,
    segments: Vec<Segment>,
    /// The newest segment takes more.
    is_open: bool,
    next_ordinal: u64,
    quarantine_bytes: u64,
    leftovers: leftover::Leftovers,
    unacked: BTreeSet<FrameKey>,
    /// The aggregator's newest restore when it gave the acknowledgements; 0 for none.
    acked_since: WallMs,
}

impl Spool {
    /// The open spool.
    pub fn current(&self) -> SpoolId {
        self.current
    }

    /// Newest durable frame of the open spool; 0 for none.
    pub fn last_seq(&self) -> Seq {
        self.last_seq
    }

    /// Digest of the newest durable frame of all; zeros for none.
    pub fn last_digest(&self) -> Digest {
        self.last_digest
    }

    /// No frame is left, but there was one: the next one names it, so that nobody takes that for the very first.
    pub fn follow_lost(&mut self, digest: Digest) {
        assert_eq!(
            self.last_digest,
            Digest::default(),
            "a sound frame is the one before"
        );
        self.last_digest = digest;
    }

    /// Frames that were not acknowledged.
    pub fn unacked(&self) -> &BTreeSet<FrameKey> {
        &self.unacked
    }

    /// Which spool a frame is in.
    pub fn spool_of(&self, key: FrameKey) -> SpoolId {
        self.ages[key.age as usize]
    }

    /// The key of a frame.
    pub fn key(&self, spool: SpoolId, seq: Seq) -> Option<FrameKey> {
        let age = self.ages.iter().position(|known| *known == spool)?;
        let age = u32::try_from(age).expect("spools are few");
        Some(FrameKey { age, seq })
    }

    /// Bytes of segments and quarantine.
    pub fn used_bytes(&self) -> u64 {
        self.segments.iter().map(|s| s.bytes).sum::<u64>() + self.quarantine_bytes
    }

    /// The limit.
    pub fn limit_bytes(&self) -> u64 {
        self.limit_bytes
    }

    /// Minutes of a window: longer near the limit, so that what is not acknowledged takes less room.
    pub fn window_minutes(&self) -> u64 {
        let held = self.segments.iter().filter(|s| !self.is_acked(s));
        let used = held.map(|s| s.bytes).sum::<u64>() + self.quarantine_bytes + RESERVE_BYTES;
        match used
            .checked_mul(100)
            .map(|hundredfold| hundredfold / self.limit_bytes)
        {
            Some(0..80) => 1,
            Some(80..90) => 5,
            Some(90..95) => 15,
            _ => 60,
        }
    }

    /// A new spool, in which sequences begin with 1.
    pub fn draw(&mut self, fresh: SpoolId) {
        assert!(!self.ages.contains(&fresh), "a spool's id is drawn once");
        self.ages.push(fresh);
        self.current = fresh;
        self.last_seq = 0;
        self.is_open = false;
    }

    /// Appends the frames of one window and syncs them. On failure nothing has changed but, at most, bytes on disk
    /// that the next opening ignores.
    pub fn append(
        &mut self,
        frames: &[(Header, Vec<u8>)],
        disk: &mut dyn Disk,
    ) -> Result<Durable<Appended>, AppendError> {
        let (Some((first, _)), Some((last, _))) = (frames.first(), frames.last()) else {
            unreachable!("a window has at least one part");
        };
        assert_eq!(first.seq, self.last_seq + 1, "I2: sequences have no holes");
        assert_eq!(first.spool, self.current, "frames are written for the open spool");
        let mut buffer = Vec::new();
        let mut places = Vec::with_capacity(frames.len());
        let base = self.begin_segment(first.seq);
        for (header, bytes) in frames {
            places.push(Place {
                seq: header.seq,
                entry_at: u32::try_from(base + buffer.len() as u64).expect("segments are below 4 GiB"),
                len: u32::try_from(bytes.len()).expect("frames are bounded"),
                wall: header.wall_end,
            });
            segment::push_entry(&mut buffer, header.seq, bytes);
        }
        let appended = Appended {
            first: first.seq,
            last: last.seq,
        };
        let durable = self.write(&buffer, appended, disk)?;
        let age = self.age();
        let segment = self.segments.last_mut().expect("begun above");
        segment.bytes += buffer.len() as u64;
        segment.places.extend(places);
        self.unacked
            .extend((first.seq..=last.seq).map(|seq| FrameKey { age, seq }));
        self.last_seq = last.seq;
        self.last_digest = last.digest();
        Ok(durable)
    }

    fn age(&self) -> u32 {
        u32::try_from(self.ages.len() - 1).expect("spools are few")
    }

    /// Makes sure that there is a segment to write to; the durable bytes in it.
    fn begin_segment(&mut self, first: Seq) -> u64 {
        let takes_more = |s: &Segment| s.bytes < SEGMENT_BYTES_MAX;
        if !self.is_open || !self.segments.last().is_some_and(takes_more) {
            let name = Name {
                ordinal: self.next_ordinal,
                spool: self.current,
                first,
            };
            self.next_ordinal += 1;
            self.segments.push(Segment {
                file: name.text(),
                name,
                age: self.age(),
                places: Vec::new(),
                bytes: 0,
            });
            self.is_open = true;
        }
        self.segments.last().map_or(0, |s| s.bytes)
    }

    /// After a failure the segment is cut back to what is durable, and never written to again.
    fn write(
        &mut self,
        buffer: &[u8],
        appended: Appended,
        disk: &mut dyn Disk,
    ) -> Result<Durable<Appended>, AppendError> {
        let segment = self.segments.last().expect("begun before");
        let (file, durable_bytes) = (segment.file.clone(), segment.bytes);
        let outcome = disk
            .append(&file, buffer)
            .and_then(|()| Durable::by_sync(disk, &file, appended));
        if outcome.is_err() {
            self.is_open = false;
            if durable_bytes == 0 {
                self.segments.pop();
            }
            self.leftovers.cut(&file, durable_bytes, disk);
        }
        Ok(outcome?)
    }

    /// Makes room for `bytes` more: acknowledged segments go, the oldest first, whatever their age.
    pub fn make_room(&mut self, bytes: u64, disk: &mut dyn Disk) -> Result<(), AppendError> {
        let limit = self.limit_bytes;
        let fits = |spool: &Self| spool.used_bytes() + bytes + RESERVE_BYTES <= limit;
        while !fits(self) {
            if !self.remove_oldest_acked(disk)? {
                let used = self.used_bytes();
                return Err(AppendError::NoRoom { used, limit });
            }
        }
        Ok(())
    }

    /// Deletes acknowledged segments that are older than the retention, or take more than half of the limit.
    pub fn retain(&mut self, now: WallMs, retention_ms: u64, disk: &mut dyn Disk) -> Result<(), DiskError> {
        loop {
            let acked = self.segments.iter().filter(|s| self.is_acked(s));
            let acked_bytes: u64 = acked.map(|s| s.bytes).sum();
            let Some(oldest) = self.oldest_acked() else {
                return Ok(());
            };
            let age = now.0.checked_sub(self.segments[oldest].newest().0);
            let is_old = age.is_some_and(|ms| ms > retention_ms);
            if !is_old && acked_bytes <= self.limit_bytes / 2 {
                return Ok(());
            }
            if !self.remove_oldest_acked(disk)? {
                return Ok(());
            }
        }
    }

    /// Deletes the oldest segment of which everything is acknowledged (I4); the newest segment stays, for the last
    /// frame's digest and sequence. False when there is none.
    pub fn remove_oldest_acked(&mut self, disk: &mut dyn Disk) -> Result<bool, DiskError> {
        let Some(at) = self.oldest_acked() else {
            return Ok(false);
        };
        self.leftovers.clear(disk)?;
        disk.remove(&self.segments[at].file)?;
        let gone = self.segments.remove(at);
        assert!(self.is_acked(&gone), "I4: deleted means acknowledged");
        Ok(true)
    }

    fn oldest_acked(&self) -> Option<usize> {
        let older = self.segments.len().checked_sub(1)?;
        self.segments[..older].iter().position(|s| self.is_acked(s))
    }

    fn is_acked(&self, segment: &Segment) -> bool {
        let age = segment.age;
        let unacked = |p: &Place| self.unacked.contains(&FrameKey { age, seq: p.seq });
        !segment.places.iter().any(unacked)
    }

    /// A frame's bytes. A damaged frame is lost: it is taken off the list, and its segment is to be kept aside.
    pub fn read(&mut self, key: FrameKey, disk: &mut dyn Disk) -> Result<Vec<u8>, ReadBack> {
        let (segment, place) = self.find(key).ok_or(ReadBack::Unknown)?;
        let (file, len) = (segment.file.clone(), HEAD_BYTES + place.len as usize);
        let mut bytes = disk
            .read_at(&file, u64::from(place.entry_at), len)
            .map_err(ReadBack::Disk)?;
        match segment::entry(&bytes) {
            Entry::Sound { seq, len } if seq == key.seq && len == place.len as usize => {
                Ok(bytes.split_off(HEAD_BYTES))
            }
            _ => {
                self.lose(key);
                self.quarantine_bytes += open::quarantine(&file, disk).unwrap_or(0);
                Err(ReadBack::Damaged { file })
            }
        }
    }

    fn find(&self, key: FrameKey) -> Option<(&Segment, Place)> {
        let of_age = self.segments.iter().filter(|s| s.age == key.age);
        of_age
            .filter_map(|s| {
                let at = s.places.binary_search_by_key(&key.seq, |p| p.seq).ok()?;
                Some((s, s.places[at]))
            })
            .next()
    }

    fn lose(&mut self, key: FrameKey) {
        self.unacked.remove(&key);
        for segment in self.segments.iter_mut().filter(|s| s.age == key.age) {
            segment.places.retain(|p| p.seq != key.seq);
        }
    }

    /// The digest of a frame that is still here.
    pub fn digest(&mut self, key: FrameKey, disk: &mut dyn Disk) -> Option<Digest> {
        let bytes = self.read(key, disk).ok()?;
        Frame::parse(&bytes).ok().map(|frame| frame.digest())
    }

    /// Label of the oldest frame that was not acknowledged.
    pub fn oldest_unacked(&self) -> Option<WallMs> {
        let first = self.unacked.first()?;
        self.find(*first).map(|(_, place)| place.wall)
    }
}
