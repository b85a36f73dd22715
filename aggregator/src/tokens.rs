//! Secrets that are shown once: the text of a token, and the digest that is kept of it.

use tallyman_common::ids::{Digest, hex};

/// What every token begins with, so that scanners for leaked secrets find it.
pub const PREFIX: &str = "tally_";

/// A new token: 32 random bytes.
pub fn fresh() -> String {
    format!("{PREFIX}{}", hex(&random::<32>()))
}

/// What is kept of a token.
pub fn digest(token: &str) -> Digest {
    Digest::of(&[token.as_bytes()])
}

/// Bytes of the kernel's generator.
///
/// # Panics
/// When the kernel gives none: nothing secret can be made then.
pub fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel's random generator answers");
    bytes
}
