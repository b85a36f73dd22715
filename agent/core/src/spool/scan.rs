//! What a segment holds: its sound entries, what is damaged between them, and how it ends.
//!
//! After damage the search goes on at the next marker with a sound entry, so that one broken frame never hides later
//! ones. A tail that only stops too early is what a crash leaves; anything else is damage.

use tallyman_common::ids::{Digest, Seq};
use tallyman_common::sign::SIGNATURE_BYTES;
use tallyman_common::wire::{Frame, Header};

use super::segment::{Entry, HEAD_BYTES, MARKER, Name, entry};

/// A sound frame in a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    /// Its sequence.
    pub seq: Seq,
    /// Where its entry begins.
    pub entry_at: usize,
    /// Bytes of the frame, which begin behind the entry's head.
    pub len: usize,
    /// Its header.
    pub header: Header,
    /// Digest of its header.
    pub digest: Digest,
}

impl Found {
    /// Where the frame begins.
    pub fn frame_at(&self) -> usize {
        self.entry_at + HEAD_BYTES
    }

    /// Where the entry ends.
    pub fn end(&self) -> usize {
        self.frame_at() + self.len
    }
}

/// How a segment ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tail {
    /// With its last entry.
    Clean,
    /// With an entry that was not written whole: what an append leaves that never became durable.
    Torn,
    /// With bytes that were something else once.
    Damaged,
}

/// A segment's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Sound frames, in order.
    pub frames: Vec<Found>,
    /// Damaged pieces between or behind them: from, to.
    pub damage: Vec<(usize, usize)>,
    /// How it ends.
    pub tail: Tail,
    /// Where the last sound frame ends.
    pub sound_end: usize,
}

/// Reads a segment.
pub(super) fn scan(name: &Name, bytes: &[u8]) -> Scan {
    let mut scan = Scan {
        frames: Vec::new(),
        damage: Vec::new(),
        tail: Tail::Clean,
        sound_end: 0,
    };
    let mut at = 0;
    while at < bytes.len() {
        if let Some(found) = sound(name, bytes, at) {
            at = found.end();
            scan.sound_end = at;
            scan.frames.push(found);
            continue;
        }
        match next_sound(name, bytes, at + 1) {
            Some(next) => {
                scan.damage.push((at, next));
                at = next;
            }
            None => {
                scan.tail = tail(&bytes[at..]);
                if scan.tail == Tail::Damaged {
                    scan.damage.push((at, bytes.len()));
                }
                break;
            }
        }
    }
    scan
}

/// What is behind the last sound frame. A crash can leave a prefix of an entry, or zeros in place of its bytes.
fn tail(rest: &[u8]) -> Tail {
    let is_prefix = rest.len() < MARKER.len() && MARKER.starts_with(rest);
    let begins_like_one =
        rest.starts_with(&MARKER) && entry(rest) == Entry::Short && !holds_whole_frame(&rest[MARKER.len()..]);
    if is_prefix || begins_like_one || rest.iter().all(|byte| *byte == 0) {
        Tail::Torn
    } else {
        Tail::Damaged
    }
}

/// Whether the frame behind an entry's head is all there, so that it is the head's length that is wrong.
fn holds_whole_frame(behind_marker: &[u8]) -> bool {
    let Some(frame) = behind_marker.get(HEAD_BYTES - MARKER.len()..) else {
        return false;
    };
    // Magic, header length, header, signature, payload length, payload.
    let Some(header) = frame
        .get(4..6)
        .map(|b| usize::from(u16::from_le_bytes([b[0], b[1]])))
    else {
        return false;
    };
    let payload_at = 4 + 2 + header + SIGNATURE_BYTES;
    let Some(len) = frame.get(payload_at..payload_at + 4) else {
        return false;
    };
    let payload = u32::from_le_bytes([len[0], len[1], len[2], len[3]]) as usize;
    frame.len() >= payload_at + 4 + payload
}

fn sound(name: &Name, bytes: &[u8], at: usize) -> Option<Found> {
    let Entry::Sound { seq, len } = entry(bytes.get(at..)?) else {
        return None;
    };
    let frame_at = at + HEAD_BYTES;
    let frame = Frame::parse(bytes.get(frame_at..frame_at + len)?).ok()?;
    let belongs = frame.header.seq == seq && frame.header.spool == name.spool;
    belongs.then(|| Found {
        seq,
        entry_at: at,
        len,
        digest: frame.digest(),
        header: frame.header,
    })
}

fn next_sound(name: &Name, bytes: &[u8], from: usize) -> Option<usize> {
    let markers = bytes.get(from..)?.windows(MARKER.len()).enumerate();
    markers
        .filter(|(_, window)| *window == MARKER)
        .map(|(at, _)| from + at)
        .find(|at| sound(name, bytes, *at).is_some())
}
