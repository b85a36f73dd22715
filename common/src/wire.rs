//! The signed header and the frame that carries a batch, from the spool to the aggregator's log, unchanged.
//!
//! Frame: `TLYM` ‖ header length (u16) ‖ header ‖ signature (64) ‖ payload length (u32) ‖ payload. The payload is the
//! compressed concatenation of leaves, each with its length (u32) in front. Only the header is signed; its root
//! covers the leaves, its raw length bounds what is decompressed.

use std::cell::RefCell;

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError, take, take_u32};
use crate::ids::{BootId, Digest, NodeId, Seq, SpoolId};
use crate::record::{Record, strictly_rising};
use crate::sign::{NodeKey, PublicKey, Purpose, SIGNATURE_BYTES};
use crate::time::{BootMs, WallMs, Window};
use crate::tree::{self, SALT_BYTES};

/// The wire version that this release writes. Version 1: the first.
pub const VERSION: u16 = 1;
/// The most bytes of leaves in one batch; a larger window goes in parts.
pub const RAW_BYTES_MAX: usize = 4 << 20;
/// The most bytes of a frame: leaves that do not compress, the header and the signature.
pub const FRAME_BYTES_MAX: usize = RAW_BYTES_MAX + (64 << 10);
const MAGIC: &[u8; 4] = b"TLYM";
const HEADER_BYTES_MAX: usize = 1 << 10;

const _: () = assert!(FRAME_BYTES_MAX < codec::DECODE_BYTES_MAX);

/// Bit of [`Header::flags`]: the agent stopped in order behind this batch; what follows until the next is no hole.
pub const FLAG_CLEAN_STOP: u16 = 1;
/// Bit of [`Header::flags`]: the wall clock stepped within the window.
pub const FLAG_CLOCK_STEP: u16 = 2;
/// Bit of [`Header::flags`]: the window also tells what an earlier boot used and could not tell any more, because there
/// was no room for a batch; its usage is not bounded by its length.
pub const FLAG_CARRIED: u16 = 4;
/// Codec number: leaves as they are.
pub const CODEC_NONE: u8 = 0;
/// Codec number: one Zstandard frame.
pub const CODEC_ZSTD: u8 = 1;
/// Level 1: measured on batches of 100 owners with 8 meters in docs/BENCH.md.
const ZSTD_LEVEL: i32 = 1;

/// The bytes that a node signs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Header {
    /// Wire version of header, leaves and records.
    pub version: u16,
    /// Who metered.
    pub node: NodeId,
    /// In which spool.
    pub spool: SpoolId,
    /// Which partition of tenants; 0 until there are several.
    pub partition: u16,
    /// Position in the spool, from 1 on, without holes.
    pub seq: Seq,
    /// Digest of the header before; of the last valid frame of the old spool in a new spool; zeros at the very first.
    pub prev_digest: Digest,
    /// Boot that the times belong to.
    pub boot: BootId,
    /// Start of the window in boot time.
    pub boot_start: BootMs,
    /// End of the window in boot time.
    pub boot_end: BootMs,
    /// Wall label of the start.
    pub wall_start: WallMs,
    /// Wall label of the end.
    pub wall_end: WallMs,
    /// Which part of the window, from 0 on.
    pub part: u16,
    /// How many parts the window has.
    pub parts: u16,
    /// Bits: [`FLAG_CLEAN_STOP`], [`FLAG_CLOCK_STEP`], [`FLAG_CARRIED`].
    pub flags: u16,
    /// Revision of the rules that named the owners.
    pub mapping_revision: u64,
    /// Logical processors of the machine, so that impossible CPU time can be told.
    pub cpus: u32,
    /// Number of leaves.
    pub leaves: u32,
    /// Root of the tree over the leaves.
    pub root: Digest,
    /// Bytes of the leaves before compression.
    pub raw_bytes: u32,
    /// How the payload is compressed.
    pub codec: u8,
}

impl Header {
    /// The digest that names this batch: in acknowledgements, in `prev_digest`, against duplicates.
    pub fn digest(&self) -> Digest {
        Digest::of(&[&codec::encode(self)])
    }

    /// The window.
    pub fn window(&self) -> Window {
        let Self {
            boot_start,
            boot_end,
            wall_start,
            wall_end,
            ..
        } = *self;
        Window {
            boot_start,
            boot_end,
            wall_start,
            wall_end,
        }
    }
}

/// Everything of a header but what [`seal`] works out.
pub type Draft = Header;

/// A frame taken apart but not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame<'a> {
    /// The header.
    pub header: Header,
    /// The header's bytes as received; what the signature is over.
    pub header_bytes: &'a [u8],
    /// Signature over the header's bytes.
    pub signature: &'a [u8; SIGNATURE_BYTES],
    /// Compressed leaves.
    pub payload: &'a [u8],
}

/// Why a frame is not what it says.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not decodable, or not canonical.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// Does not begin like a frame.
    #[error("not a frame: it does not begin with `TLYM`")]
    Magic,
    /// A version that this release does not read.
    #[error("wire version {0} is not read by this release (it reads {VERSION})")]
    Version(u16),
    /// Larger than allowed.
    #[error("{what} of {bytes} bytes is above the limit of {limit}")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its bytes.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Header fields that contradict each other.
    #[error("header: {0}")]
    Header(&'static str),
    /// Not signed by the node's key.
    #[error("signature does not match the key of node {0}")]
    Signature(NodeId),
    /// The payload does not decompress to what the header says.
    #[error("payload: {0}")]
    Payload(&'static str),
    /// The leaves do not hash to the signed root.
    #[error("leaves do not hash to the root that was signed")]
    Root,
}

/// A leaf: an owner's record behind its salt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaf {
    /// The salt.
    pub salt: [u8; SALT_BYTES],
    /// What the owner used.
    pub record: Record,
}

/// Signs records as one frame. `draft`'s leaves, root, raw length and codec are worked out here.
///
/// # Errors
/// [`FrameError::TooLarge`] when the records need more than [`RAW_BYTES_MAX`]; the caller makes parts.
pub fn seal(draft: Draft, records: &[Record], key: &NodeKey) -> Result<(Header, Vec<u8>), FrameError> {
    let mut header = draft;
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by(|a, b| a.owner.cmp(&b.owner));
    let secret = key.salt_secret();
    let (mut raw, mut hashes) = (Vec::new(), Vec::with_capacity(sorted.len()));
    for record in sorted {
        let salt = tree::salt(&secret, header.spool, header.seq, &record.owner);
        let leaf = [salt.as_slice(), &record.encode()].concat();
        raw.extend_from_slice(
            &u32::try_from(leaf.len())
                .expect("a leaf is below 4 GiB")
                .to_le_bytes(),
        );
        raw.extend_from_slice(&leaf);
        hashes.push(tree::leaf_hash(&leaf));
    }
    within("batch", raw.len(), RAW_BYTES_MAX)?;
    header.leaves = u32::try_from(hashes.len()).expect("leaves are bounded by their bytes");
    header.root = tree::root(&hashes);
    header.raw_bytes = u32::try_from(raw.len()).expect("bounded above");
    let squeezed = zstd::bulk::compress(&raw, ZSTD_LEVEL)
        .ok()
        .filter(|z| z.len() < raw.len());
    header.codec = if squeezed.is_some() {
        CODEC_ZSTD
    } else {
        CODEC_NONE
    };
    let frame = assemble(&header, key, &squeezed.unwrap_or(raw));
    Ok((header, frame))
}

fn assemble(header: &Header, key: &NodeKey, payload: &[u8]) -> Vec<u8> {
    let bytes = codec::encode(header);
    let mut frame = Vec::with_capacity(payload.len() + bytes.len() + 128);
    frame.extend_from_slice(MAGIC);
    frame.extend_from_slice(
        &u16::try_from(bytes.len())
            .expect("headers are small")
            .to_le_bytes(),
    );
    frame.extend_from_slice(&bytes);
    frame.extend_from_slice(&key.sign(Purpose::Batch, &bytes));
    frame.extend_from_slice(
        &u32::try_from(payload.len())
            .expect("bounded by seal")
            .to_le_bytes(),
    );
    frame.extend_from_slice(payload);
    frame
}

fn within(what: &'static str, bytes: usize, limit: usize) -> Result<(), FrameError> {
    if bytes > limit {
        Err(FrameError::TooLarge { what, bytes, limit })
    } else {
        Ok(())
    }
}

impl<'a> Frame<'a> {
    /// Takes a frame apart; checks sizes, version and that the header does not contradict itself.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, FrameError> {
        within("frame", bytes.len(), FRAME_BYTES_MAX)?;
        let mut rest = bytes;
        if take("frame magic", &mut rest, MAGIC.len())? != MAGIC {
            return Err(FrameError::Magic);
        }
        let len = take("header length", &mut rest, 2)?;
        let len = usize::from(u16::from_le_bytes([len[0], len[1]]));
        within("header", len, HEADER_BYTES_MAX)?;
        let header_bytes = take("header", &mut rest, len)?;
        let version = header_bytes
            .get(..2)
            .map_or(0, |v| u16::from_le_bytes([v[0], v[1]]));
        if version != VERSION {
            return Err(FrameError::Version(version));
        }
        let header: Header = codec::decode("header", header_bytes)?;
        check_header(&header)?;
        let signature = take("signature", &mut rest, SIGNATURE_BYTES)?
            .try_into()
            .expect("64 bytes");
        let payload_len = take_u32("payload length", &mut rest)? as usize;
        if payload_len != rest.len() {
            return Err(FrameError::Payload("its length is not what the frame says"));
        }
        Ok(Self {
            header,
            header_bytes,
            signature,
            payload: rest,
        })
    }

    /// Digest of the header; the name of the batch.
    pub fn digest(&self) -> Digest {
        Digest::of(&[self.header_bytes])
    }

    /// Checks the signature; only then the payload may be opened (I10).
    pub fn verify(self, key: &PublicKey) -> Result<Verified<'a>, FrameError> {
        if key.verifies(Purpose::Batch, self.header_bytes, self.signature) {
            Ok(Verified(self))
        } else {
            Err(FrameError::Signature(self.header.node))
        }
    }
}

fn check_header(h: &Header) -> Result<(), FrameError> {
    within("batch", h.raw_bytes as usize, RAW_BYTES_MAX)?;
    let checks = [
        (h.seq >= 1, "sequence numbers begin with 1"),
        (h.boot_start < h.boot_end, "the window ends before it begins"),
        (h.part < h.parts, "part number is not below the number of parts"),
        (h.cpus >= 1, "a machine has a processor"),
        (h.codec <= CODEC_ZSTD, "unknown codec"),
        (
            h.window().by_hour_bounded(),
            "the window is longer than its place in time allows",
        ),
    ];
    match checks.iter().find(|(holds, _)| !holds) {
        Some((_, reason)) => Err(FrameError::Header(reason)),
        None => Ok(()),
    }
}

/// A frame whose header is known to be the node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<'a>(Frame<'a>);

impl Verified<'_> {
    /// The header.
    pub fn header(&self) -> &Header {
        &self.0.header
    }

    /// Digest of the header.
    pub fn digest(&self) -> Digest {
        self.0.digest()
    }

    /// Decompresses, checks the leaves against the signed root and returns them by owner.
    pub fn open(&self) -> Result<Vec<Leaf>, FrameError> {
        let raw = self.raw()?;
        let leaves = split_leaves(&raw)?;
        let hashes: Vec<Digest> = leaves.iter().map(|leaf| tree::leaf_hash(leaf)).collect();
        if hashes.len() != self.0.header.leaves as usize {
            return Err(FrameError::Payload("its number of leaves is not what was signed"));
        }
        if tree::root(&hashes) != self.0.header.root {
            return Err(FrameError::Root);
        }
        let leaves = leaves
            .into_iter()
            .map(decode_leaf)
            .collect::<Result<Vec<_>, _>>()?;
        strictly_rising("leaves", leaves.iter().map(|l: &Leaf| &l.record.owner))?;
        Ok(leaves)
    }

    fn raw(&self) -> Result<Vec<u8>, FrameError> {
        let Frame { header, payload, .. } = &self.0;
        let len = header.raw_bytes as usize;
        let raw = match header.codec {
            CODEC_NONE => payload.to_vec(),
            _ => decompress(payload, len)?,
        };
        if raw.len() == len {
            Ok(raw)
        } else {
            Err(FrameError::Payload("its raw length is not what was signed"))
        }
    }
}

thread_local! {
    /// A context is 150 KB and the same for every batch: made anew for each, it cost a tenth of a batch's time.
    static DECOMPRESSOR: RefCell<Option<zstd::bulk::Decompressor<'static>>> = const { RefCell::new(None) };
}

fn decompress(payload: &[u8], len: usize) -> Result<Vec<u8>, FrameError> {
    let fault = FrameError::Payload("it does not decompress");
    DECOMPRESSOR.with_borrow_mut(|kept| {
        let mut context = match kept.take() {
            Some(context) => context,
            None => zstd::bulk::Decompressor::new().map_err(|_| fault.clone())?,
        };
        let raw = context.decompress(payload, len).map_err(|_| fault)?;
        // A context that failed is not used again.
        *kept = Some(context);
        Ok(raw)
    })
}

fn split_leaves(raw: &[u8]) -> Result<Vec<&[u8]>, FrameError> {
    let (mut rest, mut leaves) = (raw, Vec::new());
    while !rest.is_empty() {
        let len = take_u32("leaf length", &mut rest)? as usize;
        leaves.push(take("leaf", &mut rest, len)?);
    }
    Ok(leaves)
}

fn decode_leaf(bytes: &[u8]) -> Result<Leaf, FrameError> {
    let mut rest = bytes;
    let salt = take("leaf salt", &mut rest, SALT_BYTES)?
        .try_into()
        .expect("16 bytes");
    Ok(Leaf {
        salt,
        record: Record::decode(rest)?,
    })
}

#[cfg(test)]
#[path = "wire_tests.rs"]
mod tests;
