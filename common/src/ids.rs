//! Identities. They come from position and content (node, spool, sequence), never from the moment of an attempt,
//! so that a resend names the same thing (I2).

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use compact_str::CompactString;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A text that is not a valid identity, with the reason.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdError {
    /// Not the expected number of hexadecimal digits.
    #[error("expected {expected} hexadecimal digits, found `{found}`")]
    Hex {
        /// How many digits the identity has.
        expected: usize,
        /// What was given.
        found: String,
    },
    /// An owner's name is empty, too long or has control characters.
    #[error("owner name {0}")]
    Owner(&'static str),
}

/// Lower-case hexadecimal digits of some bytes.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| {
            [
                DIGITS[usize::from(b >> 4)] as char,
                DIGITS[usize::from(b & 15)] as char,
            ]
        })
        .collect()
}

/// Bytes of hexadecimal digits; exactly `N` bytes.
pub fn unhex<const N: usize>(text: &str) -> Result<[u8; N], IdError> {
    let fault = || IdError::Hex {
        expected: N * 2,
        found: text.to_owned(),
    };
    if text.len() != N * 2 {
        return Err(fault());
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |b: u8| {
            (b as char)
                .to_digit(16)
                .and_then(|d| u8::try_from(d).ok())
                .ok_or_else(fault)
        };
        *slot = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(out)
}

macro_rules! byte_id {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Default)]
        pub struct $name(pub [u8; $len]);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), hex(&self.0))
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                unhex::<$len>(text).map(Self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

byte_id!(
    /// A host that meters. Given by the aggregator when the node is enrolled.
    NodeId, 16
);
byte_id!(
    /// One life of a spool folder. Drawn when the folder is made; sequence numbers count within it.
    SpoolId, 16
);
byte_id!(
    /// One boot of a host's kernel (`/proc/sys/kernel/random/boot_id`).
    BootId, 16
);
byte_id!(
    /// One aggregator's data folder.
    StoreId, 16
);
byte_id!(
    /// One start of an agent process; tells a reconnect from a clone.
    Nonce, 16
);
byte_id!(
    /// A SHA-256 digest.
    Digest, 32
);

impl NodeId {
    /// The node of a public signing key: the first 16 bytes of its digest.
    pub fn of_key(signing_key: &[u8; 32]) -> Self {
        let digest = Digest::of(&[b"tallyman/node/1\0", signing_key]);
        Self(digest.0[..16].try_into().expect("16 of 32 bytes"))
    }
}

impl Digest {
    /// SHA-256 of the concatenation of `parts`.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            hash.update(part);
        }
        Self(hash.finalize().into())
    }
}

/// Position of a batch in its spool; the first is 1, and there are no holes in a sound spool.
pub type Seq = u64;

/// The longest owner name in bytes.
pub const OWNER_BYTES_MAX: usize = 128;

/// The claim that a node found on a workload: who used something.
///
/// Three kinds, so that a label can never claim to be the host or to belong to nobody.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Owner {
    /// The whole machine; in no sum.
    Host,
    /// Nobody could be named.
    Unattributed,
    /// The key that a label or a rule gave. The registry says which tenant that is. Up to 24 bytes lie in the value itself:
    /// a batch has a hundred of them.
    Claim(CompactString),
}

impl Owner {
    /// A claim, checked: 1 to [`OWNER_BYTES_MAX`] bytes, no control characters, no white space at its ends.
    pub fn claim(name: &str) -> Result<Self, IdError> {
        check_claim(name)?;
        Ok(Self::Claim(name.into()))
    }

    /// Kind number on the wire and in keys.
    pub fn kind(&self) -> u8 {
        match self {
            Self::Host => 0,
            Self::Unattributed => 1,
            Self::Claim(_) => 2,
        }
    }

    /// Name on the wire and in keys; empty unless a claim.
    pub fn name(&self) -> &str {
        match self {
            Self::Claim(name) => name,
            _ => "",
        }
    }

    /// The owner of a kind number and a name; the reverse of [`Owner::kind`] and [`Owner::name`].
    pub fn from_parts(kind: u8, name: &str) -> Result<Self, IdError> {
        match (kind, name) {
            (0, "") => Ok(Self::Host),
            (1, "") => Ok(Self::Unattributed),
            (2, name) => Self::claim(name),
            _ => Err(IdError::Owner(
                "has an unknown kind, or a name where none belongs",
            )),
        }
    }
}

fn check_claim(name: &str) -> Result<(), IdError> {
    if name.is_empty() {
        Err(IdError::Owner("is empty"))
    } else if name.len() > OWNER_BYTES_MAX {
        Err(IdError::Owner("is longer than 128 bytes"))
    } else if name.chars().any(char::is_control) {
        Err(IdError::Owner("has a control character"))
    } else if name.trim() != name {
        Err(IdError::Owner("begins or ends with white space"))
    } else {
        Ok(())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host => f.write_str("host (whole machine)"),
            Self::Unattributed => f.write_str("unattributed"),
            Self::Claim(name) => f.write_str(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_goes_both_ways_and_refuses_the_rest() {
        let id = NodeId([0xab; 16]);
        assert_eq!(id.to_string().parse::<NodeId>(), Ok(id));
        assert!("ab".parse::<NodeId>().is_err());
        assert!("zz".repeat(16).parse::<NodeId>().is_err());
    }

    #[test]
    fn a_label_can_not_claim_to_be_the_host() {
        let claim = Owner::claim("host").unwrap();
        assert_ne!(claim, Owner::Host);
        assert_eq!(Owner::from_parts(claim.kind(), claim.name()), Ok(claim));
        assert!(Owner::from_parts(0, "x").is_err());
    }

    #[test]
    fn owner_names_are_checked() {
        for bad in ["", " a", "a\n", &"x".repeat(129)] {
            assert!(Owner::claim(bad).is_err(), "{bad:?}");
        }
        assert!(Owner::claim("华东-存储").is_ok());
    }
}
