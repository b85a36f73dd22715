//! The node's keys and its certificate, in a folder that only the agent may read (files 0600).
//!
//! The signing key is the node's identity and is never made anew while it is there. Each file is written beside and
//! renamed, so that a crash leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use serde::{Deserialize, Serialize};
use tallyman_common::ids::{NodeId, hex, unhex};
use tallyman_common::message::CertificateGrant;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::WallMs;

const SIGNING_KEY: &str = "signing.key";
const TLS_KEY: &str = "tls-key.pem";
const CERTIFICATE: &str = "certificate.der";
const CA: &str = "ca.der";
const ENROLMENT: &str = "enrolment.json";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file can't be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: io::Error,
    },
    /// A file holds something else.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The node was not enrolled.
    #[error(
        "this node is not enrolled ({0} is missing): run `tallyman-agent enrol --server HOST:PORT \
         --ca-fingerprint sha256:HEX --token-file FILE` with a token of `tallyman-aggregator node token`"
    )]
    NotEnrolled(PathBuf),
    /// No key could be made.
    #[error("no key could be made: {0}")]
    Making(String),
}

/// What was granted, beside the certificate itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// Who we are.
    pub node: NodeId,
    /// Where the aggregator was when we enrolled, `HOST:PORT`.
    pub server: String,
    /// When the certificate was given, milliseconds of wall time.
    pub issued: WallMs,
    /// When it ends, milliseconds of wall time.
    pub expires: WallMs,
}

impl Enrolment {
    /// Whether two thirds of the certificate's life are over.
    pub fn is_to_be_renewed(&self, now: WallMs) -> bool {
        // A life that ends before it begins is over.
        let life = self.expires.0.checked_sub(self.issued.0);
        life.is_none_or(|life| now.0 >= self.issued.0 + life / 3 * 2)
    }

    /// How long until then; nothing when it is so already.
    pub fn renewal_in(&self, now: WallMs) -> Option<Duration> {
        let life = self.expires.0.checked_sub(self.issued.0)?;
        let left_ms = (self.issued.0 + life / 3 * 2).checked_sub(now.0)?;
        (left_ms > 0).then(|| Duration::from_millis(left_ms))
    }
}

/// The folder of keys.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

impl KeyFolder {
    /// The keys of a state folder; nothing is made yet.
    pub fn of_state(state: &Path) -> Self {
        Self(state.join("identity"))
    }

    /// The signing key; made if there is none.
    pub fn make_signing_key(&self) -> Result<NodeKey, KeysError> {
        if !self.0.join(SIGNING_KEY).exists() {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(|e| KeysError::Making(e.to_string()))?;
            self.write(SIGNING_KEY, format!("{}\n", hex(&seed)).as_bytes())?;
        }
        self.signing_key()
    }

    /// The signing key.
    pub fn signing_key(&self) -> Result<NodeKey, KeysError> {
        let text = self.read(SIGNING_KEY)?;
        let text = String::from_utf8_lossy(&text);
        let seed =
            unhex(text.trim_end()).map_err(|_| self.damaged(SIGNING_KEY, "it is no key of 64 digits"))?;
        Ok(NodeKey::from_seed(&seed))
    }

    /// The TLS key; made if there is none.
    pub fn make_tls_key(&self) -> Result<KeyPair, KeysError> {
        if !self.0.join(TLS_KEY).exists() {
            let key = KeyPair::generate().map_err(|e| KeysError::Making(e.to_string()))?;
            self.write(TLS_KEY, key.serialize_pem().as_bytes())?;
        }
        self.tls_key()
    }

    /// The TLS key.
    pub fn tls_key(&self) -> Result<KeyPair, KeysError> {
        let text = self.read(TLS_KEY)?;
        KeyPair::from_pem(&String::from_utf8_lossy(&text)).map_err(|e| self.damaged(TLS_KEY, &e.to_string()))
    }

    /// A request for a certificate of the TLS key, DER.
    pub fn request(&self) -> Result<Vec<u8>, KeysError> {
        let key = self.make_tls_key()?;
        let request = CertificateParams::default().serialize_request(&key);
        let request = request.map_err(|e| KeysError::Making(e.to_string()))?;
        Ok(request.der().to_vec())
    }

    /// Keeps a grant.
    pub fn keep(&self, grant: &CertificateGrant, server: &str, now: WallMs) -> Result<Enrolment, KeysError> {
        let enrolment = Enrolment {
            node: grant.node,
            server: server.to_owned(),
            issued: now,
            expires: grant.expires,
        };
        self.write(CA, &grant.ca_der)?;
        self.write(CERTIFICATE, &grant.certificate_der)?;
        let text = serde_json::to_vec_pretty(&enrolment).expect("plain fields");
        // Last: with it the node counts as enrolled.
        self.write(ENROLMENT, &text)?;
        Ok(enrolment)
    }

    /// What was granted.
    pub fn enrolment(&self) -> Result<Enrolment, KeysError> {
        let text = self.read(ENROLMENT)?;
        serde_json::from_slice(&text).map_err(|e| self.damaged(ENROLMENT, &e.to_string()))
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> Result<Vec<u8>, KeysError> {
        self.read(CERTIFICATE)
    }

    /// The aggregator's authority, DER.
    pub fn ca(&self) -> Result<Vec<u8>, KeysError> {
        self.read(CA)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, KeysError> {
        let path = self.0.join(name);
        fs::read(&path).map_err(|reason| match reason.kind() {
            io::ErrorKind::NotFound => KeysError::NotEnrolled(path),
            _ => KeysError::File { path, reason },
        })
    }

    fn write(&self, name: &str, content: &[u8]) -> Result<(), KeysError> {
        let path = self.0.join(name);
        let written = (|| {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&self.0)?;
            let beside = self.0.join(format!("{name}.new"));
            let mut options = OpenOptions::new();
            let mut file = options
                .write(true)
                .create(true)
                .truncate(true)
                .mode(0o600)
                .open(&beside)?;
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&beside, &path)?;
            File::open(&self.0)?.sync_all()
        })();
        written.map_err(|reason| KeysError::File { path, reason })
    }

    fn damaged(&self, name: &str, reason: &str) -> KeysError {
        KeysError::Damaged {
            path: self.0.join(name),
            reason: reason.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn keys_are_made_once_and_only_ours_to_read() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::of_state(state.path());
        let missing = keys.signing_key().map(drop).unwrap_err().to_string();
        assert!(missing.contains("tallyman-agent enrol"), "{missing}");
        let first = keys.make_signing_key().unwrap().public();
        assert_eq!(keys.make_signing_key().unwrap().public(), first);
        let request = keys.request().unwrap();
        assert!(!request.is_empty());
        assert_eq!(
            keys.make_tls_key().unwrap().serialize_pem(),
            keys.tls_key().unwrap().serialize_pem()
        );
        for entry in fs::read_dir(state.path().join("identity")).unwrap() {
            let mode = entry.unwrap().metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(state.path().join("identity/signing.key"), "x").unwrap();
        let damaged = keys.make_signing_key().map(drop).unwrap_err().to_string();
        assert!(damaged.contains("signing.key is damaged"), "{damaged}");
    }

    #[test]
    fn a_grant_is_kept_and_renewed_at_two_thirds_of_its_life() {
        let state = tempfile::tempdir().unwrap();
        let keys = KeyFolder::of_state(state.path());
        let grant = CertificateGrant {
            node: NodeId([3; 16]),
            certificate_der: vec![1],
            ca_der: vec![2],
            expires: WallMs(3_100),
        };
        let kept = keys.keep(&grant, "a:1", WallMs(100)).unwrap();
        assert_eq!(keys.enrolment().unwrap(), kept);
        assert_eq!(
            (keys.certificate().unwrap(), keys.ca().unwrap()),
            (vec![1], vec![2])
        );
        assert!(!kept.is_to_be_renewed(WallMs(2_099)));
        assert!(kept.is_to_be_renewed(WallMs(2_100)));
        assert_eq!(kept.renewal_in(WallMs(2_099)), Some(Duration::from_millis(1)));
        assert_eq!(kept.renewal_in(WallMs(2_100)), None);
        let reversed = Enrolment {
            issued: WallMs(9_999),
            ..kept
        };
        assert!(reversed.is_to_be_renewed(WallMs(0)));
    }
}
