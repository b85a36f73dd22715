//! What survives a restart: two slots, written in turn, each synced before the frame that it names (I1, I3).
//!
//! Slot: magic `TLYC` ‖ CRC-32C u32 over the rest ‖ version u16 ‖ pieces, each length u32 ‖ bytes: [`Named`], the
//! windows, then owners and workloads in lists. Which slot counts is decided by the newest sound frame.

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::codec;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::time::WallMs;

use crate::ports::{Disk, DiskError, Durable};
use crate::spool::{OpenedSpool, Spool, crc32c};
use crate::windows::snapshot::{Frame, SavedOwner, SavedWorkload, Snapshot};

/// The format that this release writes.
pub const VERSION: u16 = 1;
const MAGIC: &[u8; 4] = b"TLYC";
const SLOTS: [&str; 2] = ["checkpoint-0", "checkpoint-1"];
/// Owners or workloads in one piece.
const PIECE_LEN: usize = 256;

/// The frame that a checkpoint belongs to, and what is known of acknowledgements.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Named {
    /// Whose.
    pub node: NodeId,
    /// Counts checkpoints.
    pub generation: u64,
    /// The open spool.
    pub spool: SpoolId,
    /// The window's last batch in it; 0 in a new spool.
    pub seq: Seq,
    /// Digest of the newest frame of all; in a new spool the old one's; zeros when there is none.
    pub digest: Digest,
    acked: Vec<(SpoolId, Vec<(Seq, Seq)>)>,
    /// The aggregator's newest restore when it gave the acknowledgements; 0 for none.
    pub acked_since: WallMs,
}

/// A checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which frame it belongs to.
    pub named: Named,
    /// The windows.
    pub snapshot: Snapshot,
}

/// What a slot holds.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Slot {
    Empty,
    Damaged,
    Sound(Box<Checkpoint>),
}

/// A checkpoint of a newer release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVersion {
    /// Which slot.
    pub slot: &'static str,
    /// Its version.
    pub found: u16,
}

/// Both slots, and which of them must not be written next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slots {
    /// The slot with the newest checkpoint of the newest durable frame.
    precious: usize,
    generation: u64,
}

/// Which checkpoint counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// There is none: nothing is known.
    None,
    /// It names the newest sound frame.
    Matches(Box<Checkpoint>),
    /// It names a frame behind the newest sound one: the frames between are lost.
    Ahead(Box<Checkpoint>),
    /// Frames are or were there, but what there is of checkpoints is older, or may be: counters can't be told from what
    /// was billed.
    Behind,
}

/// What was found in the slots.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opened {
    /// The slots.
    pub slots: Slots,
    /// The checkpoint that counts.
    pub choice: Choice,
    /// Slots that are damaged, which one crash can leave one of.
    pub damaged: Vec<&'static str>,
}

/// Why the slots can't be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SlotsError {
    /// The disk.
    Disk(DiskError),
    /// A newer release wrote one.
    Version(UnknownVersion),
}

impl From<DiskError> for SlotsError {
    fn from(error: DiskError) -> Self {
        Self::Disk(error)
    }
}

impl Named {
    /// Names the newest durable frame, or the one that is about to be written.
    pub fn new(node: NodeId, spool: SpoolId, seq: Seq, digest: Digest, acked: &Spool) -> Self {
        Self {
            node,
            generation: 0,
            spool,
            seq,
            digest,
            acked: acked.acked_ranges().into_iter().collect(),
            acked_since: acked.acked_since(),
        }
    }

    /// Acknowledged batches by spool, half-open ranges.
    pub fn acked(&self) -> BTreeMap<SpoolId, Vec<(Seq, Seq)>> {
        self.acked.iter().cloned().collect()
    }
}

impl Slots {
    /// Reads both slots and decides which checkpoint counts.
    ///
    /// # Errors
    /// When a slot can't be read, or a newer release wrote it.
    pub fn open(disk: &mut dyn Disk, opened: &OpenedSpool) -> Result<Opened, SlotsError> {
        let names = disk.list()?;
        let mut found = Vec::new();
        let mut damaged = Vec::new();
        for (at, file) in SLOTS.into_iter().enumerate() {
            if !names.iter().any(|listed| listed.name == file) {
                continue;
            }
            let slot = decode(file, &disk.read(file)?).map_err(SlotsError::Version)?;
            // What was read is what counts from here on: a crash of the machine must neither take a checkpoint now nor
            // bring an older one back under a truncation that was not synced.
            disk.sync(file)?;
            match slot {
                Slot::Sound(checkpoint) => found.push((at, checkpoint)),
                Slot::Damaged => damaged.push(file),
                Slot::Empty => {}
            }
        }
        found.sort_by_key(|(_, checkpoint)| std::cmp::Reverse(checkpoint.named.generation));
        let generation = found
            .first()
            .map_or(0, |(_, checkpoint)| checkpoint.named.generation);
        let (precious, choice) = choose(found, !damaged.is_empty(), opened);
        // Where none counts, the damaged slot is written next: while it is there and the tail is damaged, no checkpoint
        // counts at the next start either.
        let useless = if damaged == [SLOTS[1]] { 1 } else { 0 };
        let slots = Self {
            precious: precious.unwrap_or(1 - useless),
            generation,
        };
        Ok(Opened {
            slots,
            choice,
            damaged,
        })
    }

    /// Writes and syncs a checkpoint into the slot that is not precious. Returns which one it was; it becomes precious
    /// by [`Slots::keep`], once the frame that it names is durable.
    pub fn write(
        &mut self,
        mut named: Named,
        snapshot: &Snapshot,
        disk: &mut dyn Disk,
    ) -> Result<Durable<usize>, DiskError> {
        self.generation += 1;
        named.generation = self.generation;
        let at = 1 - self.precious;
        let bytes = encode(&named, snapshot);
        disk.truncate(SLOTS[at], 0)?;
        disk.append(SLOTS[at], &bytes)?;
        Durable::by_sync(disk, SLOTS[at], at)
    }

    /// The frame that this checkpoint names is durable.
    pub fn keep(&mut self, slot: &Durable<usize>) {
        self.precious = *slot.get();
    }
}

type Found = Vec<(usize, Box<Checkpoint>)>;

/// `found` is sorted newest first. What lies in a damaged tail may have been durable and shipped: then a checkpoint
/// of a lost frame is as good as one of the newest sound frame. And when a slot is damaged too, it may be the one that
/// named the newest lost frame: the other checkpoint, be it of the sound frame or of an older lost one, would bill
/// again what that frame has billed, so it does not count, and the time since becomes a hole.
fn choose(mut found: Found, slot_is_damaged: bool, opened: &OpenedSpool) -> (Option<usize>, Choice) {
    let digest = opened.last.map_or(Digest::default(), |last| last.digest);
    let matches = |c: &Checkpoint| c.named.digest == digest;
    let is_ahead = |c: &Checkpoint| match opened.last {
        None => true,
        // Made when there was no frame at all, so before the first of those that are there.
        Some(_) if c.named.digest == Digest::default() => false,
        Some(last) if last.spool == c.named.spool => c.named.seq >= last.seq,
        // A spool of which no frame is left is newer than one of which some are, also when damaged bytes of it are.
        Some(last) => opened.spool.is_newer(c.named.spool, last.spool),
    };
    let matching = found.iter().position(|(_, c)| matches(c));
    let ahead = found.iter().position(|(_, c)| !matches(c) && is_ahead(c));
    let chosen = match (matching, ahead) {
        (Some(matching), Some(ahead)) if opened.tail_is_damaged => Some(matching.min(ahead)),
        _ if opened.tail_is_damaged && slot_is_damaged => None,
        (matching, ahead) => matching.or(ahead),
    };
    match chosen {
        Some(at) => {
            let (slot, checkpoint) = found.swap_remove(at);
            if matches(&checkpoint) {
                (Some(slot), Choice::Matches(checkpoint))
            } else {
                (Some(slot), Choice::Ahead(checkpoint))
            }
        }
        None if opened.last.is_some() || opened.tail_is_damaged => (None, Choice::Behind),
        None => (None, Choice::None),
    }
}

fn encode(named: &Named, snapshot: &Snapshot) -> Vec<u8> {
    let mut body = VERSION.to_le_bytes().to_vec();
    push(&mut body, &codec::encode(named));
    push(&mut body, &codec::encode(&snapshot.frame));
    push(
        &mut body,
        &codec::encode(&snapshot.owners.len().div_ceil(PIECE_LEN)),
    );
    for owners in snapshot.owners.chunks(PIECE_LEN) {
        push(&mut body, &codec::encode(&owners.to_vec()));
    }
    for workloads in snapshot.workloads.chunks(PIECE_LEN) {
        push(&mut body, &codec::encode(&workloads.to_vec()));
    }
    [MAGIC.as_slice(), &crc32c(&[&body]).to_le_bytes(), &body].concat()
}

fn push(body: &mut Vec<u8>, piece: &[u8]) {
    let len = u32::try_from(piece.len()).expect("pieces are small");
    body.extend_from_slice(&len.to_le_bytes());
    body.extend_from_slice(piece);
}

fn decode(slot: &'static str, bytes: &[u8]) -> Result<Slot, UnknownVersion> {
    if bytes.is_empty() {
        return Ok(Slot::Empty);
    }
    let Some(body) = sound_body(bytes) else {
        return Ok(Slot::Damaged);
    };
    let Some((version, pieces)) = body.split_first_chunk::<2>() else {
        return Ok(Slot::Damaged);
    };
    let found = u16::from_le_bytes(*version);
    if found != VERSION {
        return Err(UnknownVersion { slot, found });
    }
    Ok(decode_pieces(pieces).map_or(Slot::Damaged, |checkpoint| Slot::Sound(Box::new(checkpoint))))
}

fn sound_body(bytes: &[u8]) -> Option<&[u8]> {
    let (magic, rest) = bytes.split_first_chunk::<4>()?;
    let (crc, body) = rest.split_first_chunk::<4>()?;
    (magic == MAGIC && u32::from_le_bytes(*crc) == crc32c(&[body])).then_some(body)
}

fn decode_pieces(mut bytes: &[u8]) -> Option<Checkpoint> {
    let mut pieces = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk::<4>() {
        let len = u32::from_le_bytes(*len) as usize;
        pieces.push(rest.get(..len)?);
        bytes = &rest[len..];
    }
    let [named, frame, count, lists @ ..] = pieces.as_slice() else {
        return None;
    };
    let count: usize = codec::decode("checkpoint", count).ok()?;
    let mut owners: Vec<SavedOwner> = Vec::new();
    for piece in lists.get(..count)? {
        owners.extend(codec::decode::<Vec<SavedOwner>>("checkpoint owners", piece).ok()?);
    }
    let mut workloads: Vec<SavedWorkload> = Vec::new();
    for piece in &lists[count..] {
        workloads.extend(codec::decode::<Vec<SavedWorkload>>("checkpoint workloads", piece).ok()?);
    }
    let frame: Frame = codec::decode("checkpoint windows", frame).ok()?;
    let snapshot = Snapshot {
        frame,
        owners,
        workloads,
    };
    let named = codec::decode("checkpoint name", named).ok()?;
    Some(Checkpoint { named, snapshot })
}
