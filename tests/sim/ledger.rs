//! What the oracle remembers of batches: which were acknowledged, and what those say that are on no disk any more. A
//! batch that is gone and was not counted is usage that may be missing, and then a hole must be recorded.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_agent_core::spool::{self, ListedFrame};
use tallyman_agent_core::{Disk, spool::frame_of};
use tallyman_common::ids::{Digest, NodeId, Owner, Seq, SpoolId};
use tallyman_common::record::Record;
use tallyman_common::sign::PublicKey;
use tallyman_common::wire::Frame;

use super::disk::SimDisk;
use super::truth::EXACT;

/// A batch's number.
pub type BatchKey = (NodeId, SpoolId, Seq);
/// Usage by owner, by [`EXACT`].
pub type Usage = BTreeMap<Owner, [u128; 7]>;
/// Usage of one row: the claim as the batch names it, the meter's place in [`EXACT`], base units.
pub type RowUsage = (Owner, usize, u128);

/// A batch that is on no disk any more.
#[derive(Debug, Clone)]
pub struct Gone {
    /// Its number.
    pub key: BatchKey,
    /// It was acknowledged: only a restore can have taken it from the store, and later readings need not tell of it.
    pub was_told: bool,
    /// What it says.
    pub rows: Vec<RowUsage>,
}

/// What an agent was told since the last restore.
#[derive(Debug, Clone, Default)]
pub struct Told {
    /// Batches whose acknowledgement it saw.
    pub acked: BTreeSet<BatchKey>,
    /// How far each spool was acknowledged.
    pub upto: BTreeMap<(NodeId, SpoolId), Seq>,
}

impl Told {
    /// An acknowledgement came.
    pub fn note(&mut self, (node, spool, seq): BatchKey, upto: Seq) {
        self.acked.insert((node, spool, seq));
        self.note_upto((node, spool), upto);
    }

    /// A spool was acknowledged up to here.
    pub fn note_upto(&mut self, spool: (NodeId, SpoolId), upto: Seq) {
        let known = self.upto.entry(spool).or_insert(upto);
        *known = upto.max(*known);
    }

    /// Whether a batch was acknowledged.
    pub fn has(&self, (node, spool, seq): BatchKey) -> bool {
        let upto = self.upto.get(&(node, spool)).is_some_and(|upto| seq <= *upto);
        upto || self.acked.contains(&(node, spool, seq))
    }
}

/// The oracle's book of batches.
#[derive(Debug, Clone, Default)]
pub struct Ledger {
    /// Since the aggregator's last restore.
    pub told: Told,
    /// Before it: an agent may have believed it until it heard better.
    pub told_before: Told,
    /// Batches that the aggregator answered as new since its last restore, in the order of its commits: copies of a node
    /// hear their answers in any order, and may never hear them.
    pub new: BTreeSet<(SpoolId, Seq)>,
    /// On no disk any more, with what they say.
    pub gone: BTreeMap<Digest, Gone>,
    /// What frames became on their way, by their digests on disk: only under a planted bug.
    pub sent_as: BTreeMap<Digest, Digest>,
}

impl Ledger {
    /// The aggregator was set back: what it said is no longer its word.
    pub fn set_back(&mut self) {
        self.new.clear();
        let told = std::mem::take(&mut self.told);
        self.told_before.acked.extend(told.acked);
        for (spool, upto) in told.upto {
            self.told_before.note_upto(spool, upto);
        }
    }

    /// Batches are on this disk no longer.
    pub fn lost(&mut self, node: NodeId, frames: Vec<(ListedFrame, Vec<u8>)>, key: &PublicKey) {
        for (listed, frame) in frames {
            let number = (node, listed.spool, listed.seq);
            let gone = Gone {
                key: number,
                was_told: self.told.has(number) || self.told_before.has(number),
                rows: rows_of(&frame, key),
            };
            self.gone.insert(listed.digest, gone);
        }
    }

    /// A window that never was a batch: no frame has this digest.
    pub fn never_written(&mut self, window: Gone) {
        let (node, spool, seq) = window.key;
        let digest = Digest::of(&[b"never written", &node.0, &spool.0, &seq.to_le_bytes()]);
        self.gone.insert(digest, window);
    }

    /// The digest under which the aggregator knows a frame.
    pub fn as_sent(&self, digest: Digest) -> Digest {
        self.sent_as.get(&digest).copied().unwrap_or(digest)
    }

    /// The digest under which the node knows a frame.
    pub fn as_written(&self, digest: Digest) -> Digest {
        let written = self.sent_as.iter().find(|(_, sent)| **sent == digest);
        written.map_or(digest, |(written, _)| *written)
    }
}

/// Sound frames of one segment's bytes.
pub fn frames_of(name: &str, bytes: &[u8]) -> Vec<(ListedFrame, Vec<u8>)> {
    let mut alone = SimDisk::default();
    alone.append(name, bytes).expect("a disk of its own works");
    let listed = spool::list(&mut alone).expect("a disk of its own works");
    let with_bytes = |l: ListedFrame| frame_of(&l, &mut alone).map(|bytes| (l, bytes));
    listed.into_iter().filter_map(with_bytes).collect()
}

/// Sound frames of a whole disk.
pub fn frames_on(disk: &SimDisk) -> Vec<(ListedFrame, Vec<u8>)> {
    let names = disk.names("spool-");
    names.iter().flat_map(|n| frames_of(n, disk.bytes(n))).collect()
}

/// The records of a genuine batch.
pub fn records_of(frame: &[u8], key: &PublicKey) -> Vec<Record> {
    let parsed = Frame::parse(frame).expect("agents write frames");
    let verified = parsed.verify(key).expect("signed by its node");
    let leaves = verified.open().expect("agents write genuine batches");
    leaves.into_iter().map(|leaf| leaf.record).collect()
}

/// What each row of a genuine batch says was used.
pub fn rows_of(frame: &[u8], key: &PublicKey) -> Vec<RowUsage> {
    let mut usage = Vec::new();
    for record in records_of(frame, key) {
        for row in record.groups.iter().flat_map(|group| &group.rows) {
            let at = EXACT.iter().position(|meter| *meter == row.meter);
            usage.extend(at.map(|at| (record.owner.clone(), at, row.to - row.from)));
        }
    }
    usage
}

/// Sums of rows by account.
pub fn usage_of<'a>(rows: impl IntoIterator<Item = &'a RowUsage>) -> Usage {
    let mut usage = Usage::new();
    for (owner, at, used) in rows {
        usage.entry(canonical(owner)).or_default()[*at] += used;
    }
    usage
}

/// The owner whose account a claim belongs to: rules come and go that give owners another name.
pub fn canonical(owner: &Owner) -> Owner {
    match owner.name().strip_prefix("alt-") {
        Some(name) => Owner::claim(name).expect("a good name"),
        None => owner.clone(),
    }
}
