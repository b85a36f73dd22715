//! The one log: batches as they came, and decisions, by position. Keys and values of its tables; append only.
//!
//! Knows bytes, not prices and not clocks. Layouts are in docs/FORMATS.md.

use bincode::{Decode, Encode};
use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::time::WallMs;

use crate::ingest::Reason;
use crate::registry::Decision;

/// What became of a batch when it came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// In the cells.
    Counted,
    /// Kept for a person's decision.
    Held(Reason),
}

impl Fate {
    /// 0 for counted, else the reason's number.
    fn number(self) -> u16 {
        match self {
            Self::Counted => 0,
            Self::Held(reason) => reason.number(),
        }
    }

    fn from_number(number: u16) -> Result<Self, CodecError> {
        match number {
            0 => Ok(Self::Counted),
            n => Reason::from_number(n)
                .map(Self::Held)
                .ok_or_else(|| CodecError::Malformed {
                    what: "fate of a batch",
                    reason: format!("unknown reason {n}"),
                }),
        }
    }
}

/// A batch in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What became of it.
    pub fate: Fate,
    /// When it came.
    pub received: WallMs,
    /// The frame, unchanged.
    pub frame: Vec<u8>,
}

impl Entry {
    /// Value in the log: fate (u16) ‖ received (u64) ‖ frame.
    pub fn encode(fate: Fate, received: WallMs, frame: &[u8]) -> Vec<u8> {
        let mut value = Vec::with_capacity(frame.len() + 10);
        value.extend_from_slice(&fate.number().to_le_bytes());
        value.extend_from_slice(&received.0.to_le_bytes());
        value.extend_from_slice(frame);
        value
    }

    /// The entry of a value.
    pub fn decode(value: &[u8]) -> Result<Self, CodecError> {
        let Some((head, frame)) = value.split_at_checked(10) else {
            return Err(CodecError::Malformed {
                what: "log entry",
                reason: "shorter than its head".into(),
            });
        };
        Ok(Self {
            fate: Fate::from_number(u16::from_le_bytes([head[0], head[1]]))?,
            received: WallMs(u64::from_le_bytes(head[2..].try_into().expect("eight bytes"))),
            frame: frame.to_vec(),
        })
    }
}

/// Key of a position: partition (u16) ‖ position (u64), big-endian.
pub fn position_key(position: u64) -> Vec<u8> {
    [&PARTITION.to_be_bytes()[..], &position.to_be_bytes()].concat()
}

/// The position of a key.
pub fn position_of(key: &[u8]) -> Result<u64, CodecError> {
    let malformed = || CodecError::Malformed {
        what: "log key",
        reason: format!("{} bytes", key.len()),
    };
    Ok(u64::from_be_bytes(
        key.get(2..)
            .and_then(|b| b.try_into().ok())
            .ok_or_else(malformed)?,
    ))
}

/// The one partition of an embedded log.
const PARTITION: u16 = 0;

/// What is kept of every batch for good.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Kept {
    /// Its position in the log.
    pub position: u64,
    /// 0 for counted, else the number of the reason for which it was held.
    pub fate: u16,
    /// The header's digest.
    pub digest: Digest,
    /// Header bytes and signature.
    pub signed: Vec<u8>,
}

impl Kept {
    /// What is kept of a batch.
    pub fn new(position: u64, fate: Fate, digest: Digest, signed: Vec<u8>) -> Self {
        Self {
            position,
            fate: fate.number(),
            digest,
            signed,
        }
    }

    /// What became of it.
    pub fn fate(&self) -> Result<Fate, CodecError> {
        Fate::from_number(self.fate)
    }

    /// The kept part of a value.
    pub fn decode(value: &[u8]) -> Result<Self, CodecError> {
        codec::decode("kept header", value)
    }
}

/// Key of a header: node ‖ spool ‖ partition ‖ seq, big-endian, ‖ first 16 bytes of the digest, so that two batches of
/// one number stand side by side.
pub fn header_key(node: NodeId, spool: SpoolId, partition: u16, seq: Seq, digest: &Digest) -> Vec<u8> {
    [&header_prefix(node, spool, partition, seq)[..], &digest.0[..16]].concat()
}

/// What the keys of all batches of one number begin with.
pub fn header_prefix(node: NodeId, spool: SpoolId, partition: u16, seq: Seq) -> Vec<u8> {
    [
        &node.0[..],
        &spool.0,
        &partition.to_be_bytes(),
        &seq.to_be_bytes(),
    ]
    .concat()
}

/// The smallest key above all that begin with `prefix`; empty if there is none.
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            break;
        }
    }
    end
}

/// Why a batch is held, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HeldNote {
    /// Whose.
    pub node: NodeId,
    /// In which spool.
    pub spool: SpoolId,
    /// Partition.
    pub partition: u16,
    /// Which batch.
    pub seq: Seq,
    /// Number of the reason.
    pub reason: u16,
    /// When it came.
    pub received: WallMs,
    /// Start of its window, as it says.
    pub wall_start: WallMs,
    /// End of its window, as it says.
    pub wall_end: WallMs,
    /// Particulars.
    pub detail: String,
}

/// Value of a decision: JSON, so that it can be read without this program for as long as it must be kept.
pub fn encode_decision(decision: &Decision) -> Vec<u8> {
    serde_json::to_vec(decision).expect("decisions are plain data")
}

/// The decision of a value.
pub fn decode_decision(value: &[u8]) -> Result<Decision, CodecError> {
    serde_json::from_slice(value).map_err(|e| CodecError::Malformed {
        what: "decision",
        reason: e.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back() {
        let value = Entry::encode(Fate::Held(Reason::Future), WallMs(7), b"frame");
        let entry = Entry::decode(&value).unwrap();
        assert_eq!(
            entry,
            Entry {
                fate: Fate::Held(Reason::Future),
                received: WallMs(7),
                frame: b"frame".to_vec()
            }
        );
        assert!(Entry::decode(&value[..9]).is_err());
    }

    #[test]
    fn keys_sort_by_number() {
        let key = |seq| header_key(NodeId([1; 16]), SpoolId([2; 16]), 0, seq, &Digest([3; 32]));
        assert!(key(255) < key(256));
        assert!(position_key(255) < position_key(256));
        assert_eq!(position_of(&position_key(77)), Ok(77));
        assert_eq!(prefix_end(&[1, 255]), [2]);
        assert!(prefix_end(&[255]).is_empty());
    }
}
