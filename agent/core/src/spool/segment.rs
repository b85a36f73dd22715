//! Bytes of a segment: entries one behind the other, and the names of segments.
//!
//! Entry: marker `TLSE` ‖ length u32 ‖ sequence u64 ‖ CRC-32C u32 over length, sequence and bytes ‖ bytes, all little
//! endian. Must not know what the bytes are.

use tallyman_common::ids::{Seq, SpoolId};
use tallyman_common::wire::FRAME_BYTES_MAX;

use super::crc::crc32c;

/// Begins each entry.
pub(super) const MARKER: [u8; 4] = *b"TLSE";
/// Bytes in front of an entry's own.
pub(super) const HEAD_BYTES: usize = 20;
const PREFIX: &str = "spool-";
const SUFFIX: &str = ".seg";

/// An entry at the start of `bytes`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// Sound: its sequence and the length of its own bytes.
    Sound { seq: Seq, len: usize },
    /// The bytes end before the entry does.
    Short,
    /// Not an entry, or a damaged one.
    Broken,
}

/// Adds an entry to a buffer.
pub(super) fn push_entry(buffer: &mut Vec<u8>, seq: Seq, bytes: &[u8]) {
    let len = u32::try_from(bytes.len())
        .expect("frames are bounded")
        .to_le_bytes();
    let seq = seq.to_le_bytes();
    let crc = crc32c(&[&len, &seq, bytes]).to_le_bytes();
    for part in [&MARKER[..], &len, &seq, &crc, bytes] {
        buffer.extend_from_slice(part);
    }
}

/// Looks at the entry at the start of `bytes`.
pub(super) fn entry(bytes: &[u8]) -> Entry {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() else {
        return Entry::Short;
    };
    if head[..4] != MARKER {
        return Entry::Broken;
    }
    let number = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let len = number(4) as usize;
    if len > FRAME_BYTES_MAX {
        return Entry::Broken;
    }
    let Some(own) = rest.get(..len) else {
        return Entry::Short;
    };
    if crc32c(&[&head[4..16], own]) != number(16) {
        return Entry::Broken;
    }
    let seq = u64::from(number(8)) | u64::from(number(12)) << 32;
    Entry::Sound { seq, len }
}

/// What a segment's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name {
    /// Segments of the folder in the order in which they were begun.
    pub ordinal: u64,
    /// Which spool.
    pub spool: SpoolId,
    /// The first sequence that was to be written to it.
    pub first: Seq,
}

impl Name {
    /// The name itself. Names sort like their ordinals.
    pub fn text(&self) -> String {
        let Self {
            ordinal,
            spool,
            first,
        } = self;
        format!("{PREFIX}{ordinal:010}-{spool}-{first:012}{SUFFIX}")
    }

    /// What a name says; `None` for other files.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split('-');
        let name = Self {
            ordinal: parts.next()?.parse().ok()?,
            spool: parts.next()?.parse().ok()?,
            first: parts.next()?.parse().ok()?,
        };
        (parts.next().is_none() && name.text() == text).then_some(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        let name = Name {
            ordinal: 7,
            spool: SpoolId([0xab; 16]),
            first: 12,
        };
        assert_eq!(Name::parse(&name.text()), Some(name));
        for other in [
            "checkpoint-0",
            "spool-7.seg",
            "quarantine-spool-1.seg",
            "spool-1-2-3-4.seg",
        ] {
            assert_eq!(Name::parse(other), None, "{other}");
        }
    }

    #[test]
    fn no_cut_and_no_flip_passes() {
        let mut bytes = Vec::new();
        push_entry(&mut bytes, 9, b"frame");
        assert_eq!(entry(&bytes), Entry::Sound { seq: 9, len: 5 });
        for cut in 0..bytes.len() {
            assert_eq!(entry(&bytes[..cut]), Entry::Short, "cut at {cut}");
        }
        for at in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[at / 8] ^= 1 << (at % 8);
            assert!(!matches!(entry(&flipped), Entry::Sound { .. }), "bit {at}");
        }
    }
}
