//! Canonical bytes: fixed-width little-endian integers, exactly one byte string per value, no trailing bytes, bounded.
//!
//! The one module that knows bincode. It is pinned to 2.0.1 because upstream stopped there (RUSTSEC-2025-0141);
//! `wincode` writes the same bytes for this configuration, and `docs/FORMATS.md` describes them for any language.

use bincode::config::{Configuration, Fixint, Limit, LittleEndian};
use bincode::{BorrowDecode, Decode, Encode};

/// The most bytes that one value may claim to need when it is decoded.
pub const DECODE_BYTES_MAX: usize = 16 << 20;

type Config = Configuration<LittleEndian, Fixint, Limit<DECODE_BYTES_MAX>>;

const CONFIG: Config = bincode::config::standard()
    .with_little_endian()
    .with_fixed_int_encoding()
    .with_limit::<DECODE_BYTES_MAX>();

/// Bytes that are not the encoding of the expected value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The bytes end early, claim too much or hold an impossible value.
    #[error("{what}: not decodable: {reason}")]
    Malformed {
        /// Which value was expected.
        what: &'static str,
        /// What the decoder found.
        reason: String,
    },
    /// Bytes are left over behind the value.
    #[error("{what}: {extra} bytes too many")]
    Trailing {
        /// Which value was expected.
        what: &'static str,
        /// How many bytes are left.
        extra: usize,
    },
    /// The value decodes, but it is not in the one order or form allowed.
    #[error("{what}: not canonical: {reason}")]
    NotCanonical {
        /// Which value was expected.
        what: &'static str,
        /// The rule that it breaks.
        reason: &'static str,
    },
}

/// The encoding of a value.
///
/// # Panics
/// If the value is larger than [`DECODE_BYTES_MAX`]: everything that is built stays far below it.
pub fn encode<T: Encode>(value: &T) -> Vec<u8> {
    bincode::encode_to_vec(value, CONFIG).expect("values are built within the size limit")
}

/// The value of exactly these bytes.
pub fn decode<T: Decode<()>>(what: &'static str, bytes: &[u8]) -> Result<T, CodecError> {
    let (value, used) = bincode::decode_from_slice(bytes, CONFIG).map_err(|e| malformed(what, &e))?;
    at_end(what, &bytes[used..])?;
    Ok(value)
}

/// The value at the front, borrowing from the bytes; what follows it is left in `bytes`.
pub(crate) fn decode_front<'b, T: BorrowDecode<'b, ()>>(
    what: &'static str,
    bytes: &mut &'b [u8],
) -> Result<T, CodecError> {
    let (value, used) = bincode::borrow_decode_from_slice(bytes, CONFIG).map_err(|e| malformed(what, &e))?;
    *bytes = &bytes[used..];
    Ok(value)
}

/// Refuses bytes behind a value.
pub(crate) fn at_end(what: &'static str, rest: &[u8]) -> Result<(), CodecError> {
    match rest.len() {
        0 => Ok(()),
        extra => Err(CodecError::Trailing { what, extra }),
    }
}

fn malformed(what: &'static str, error: &bincode::error::DecodeError) -> CodecError {
    let reason = error.to_string();
    CodecError::Malformed { what, reason }
}

/// Takes a fixed number of bytes off the front.
pub(crate) fn take<'a>(what: &'static str, bytes: &mut &'a [u8], len: usize) -> Result<&'a [u8], CodecError> {
    if bytes.len() < len {
        let reason = format!("{len} bytes wanted, {} left", bytes.len());
        return Err(CodecError::Malformed { what, reason });
    }
    let (head, tail) = bytes.split_at(len);
    *bytes = tail;
    Ok(head)
}

/// Takes a little-endian u32 off the front.
pub(crate) fn take_u32(what: &'static str, bytes: &mut &[u8]) -> Result<u32, CodecError> {
    let head = take(what, bytes, 4)?;
    Ok(u32::from_le_bytes(head.try_into().expect("four bytes")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_fixed_width_little_endian() {
        assert_eq!(
            encode(&(1u16, 2u64, 3u128)),
            [[1, 0].as_slice(), &2u64.to_le_bytes(), &3u128.to_le_bytes()].concat()
        );
    }

    #[test]
    fn trailing_short_and_boastful_bytes_are_refused() {
        let bytes = encode(&vec![1u8, 2, 3]);
        assert_eq!(decode::<Vec<u8>>("list", &bytes), Ok(vec![1, 2, 3]));
        assert!(matches!(
            decode::<Vec<u8>>("list", &bytes[..5]),
            Err(CodecError::Malformed { .. })
        ));
        assert!(matches!(
            decode::<Vec<u8>>("list", &[&bytes[..], &[0]].concat()),
            Err(CodecError::Trailing { .. })
        ));
        assert!(matches!(
            decode::<Vec<u8>>("list", &[0xff; 8]),
            Err(CodecError::Malformed { .. })
        ));
    }
}
