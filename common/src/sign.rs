//! Ed25519 over headers: strict verification, domain separated (I10). Keys are values; files are the shells' business.

use ed25519_dalek::{Signer, SigningKey, VerifyingKey};

use crate::ids::Digest;

/// Bytes of a signature.
pub const SIGNATURE_BYTES: usize = 64;

/// What a signature is for; a signature for one purpose never passes for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A batch's header.
    Batch,
    /// A request to enrol or to renew a certificate.
    Certificate,
}

impl Purpose {
    fn domain(self) -> &'static [u8] {
        match self {
            Self::Batch => b"tallyman/batch/1\0",
            Self::Certificate => b"tallyman/certificate/1\0",
        }
    }
}

/// A node's signing key.
pub struct NodeKey(SigningKey);

impl NodeKey {
    /// The key of a 32-byte seed, which the caller keeps secret.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signature over `bytes` for one purpose.
    pub fn sign(&self, purpose: Purpose, bytes: &[u8]) -> [u8; SIGNATURE_BYTES] {
        self.0.sign(&[purpose.domain(), bytes].concat()).to_bytes()
    }

    /// Secret from which the salts of leaves are derived.
    pub fn salt_secret(&self) -> [u8; 32] {
        Digest::of(&[b"tallyman/salt-secret/1\0", &self.0.to_bytes()]).0
    }
}

/// A node's public signing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// The key of its 32 bytes; `None` if they are no point of the curve.
    pub fn from_bytes(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().map(Self)
    }

    /// The key's 32 bytes.
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// True when the signature is this key's over `bytes` for this purpose (RFC 8032, strict).
    pub fn verifies(&self, purpose: Purpose, bytes: &[u8], signature: &[u8; SIGNATURE_BYTES]) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(signature);
        self.0
            .verify_strict(&[purpose.domain(), bytes].concat(), &signature)
            .is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_holds_for_its_bytes_key_and_purpose_only() {
        let key = NodeKey::from_seed(&[1; 32]);
        let signature = key.sign(Purpose::Batch, b"header");
        assert!(key.public().verifies(Purpose::Batch, b"header", &signature));
        assert!(!key.public().verifies(Purpose::Batch, b"Header", &signature));
        assert!(!key.public().verifies(Purpose::Certificate, b"header", &signature));
        assert!(
            !NodeKey::from_seed(&[2; 32])
                .public()
                .verifies(Purpose::Batch, b"header", &signature)
        );
    }
}
