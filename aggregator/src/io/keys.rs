//! The authority of this data folder: it signs the certificates of nodes and the aggregator's own. Its key never
//! leaves the folder; nodes pin its certificate. Does not know who may have a certificate.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateSigningRequestDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tallyman_common::ids::{Digest, NodeId, hex};
use tallyman_common::message::{ALPN_ENROL, ALPN_INGEST};
use tallyman_common::time::{HOUR_MS, WallMs};
use time::OffsetDateTime;
use x509_parser::extensions::GeneralName;

use crate::tokens;

/// Life of the authority.
const CA_LIFE_MS: u64 = 20 * 365 * 24 * HOUR_MS;
/// Life of the aggregator's own certificate, made anew at each start and each day.
const SERVER_LIFE_MS: u64 = 30 * 24 * HOUR_MS;
/// Life of a node's certificate when nothing else is said.
pub const NODE_LIFE_MS: u64 = 30 * 24 * HOUR_MS;
/// How far back certificates begin, for clocks that differ.
const BACKDATE_MS: u64 = HOUR_MS;
/// What a node's certificate names it by.
const NODE_URI: &str = "tallyman:node:";
/// The same for its signing key.
const KEY_URI: &str = "tallyman:signing-key:";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// A file could not be read or written.
    #[error("{path}: {reason}")]
    File {
        /// Which.
        path: PathBuf,
        /// What the system said.
        reason: std::io::Error,
    },
    /// A file holds something else.
    #[error("{path} is damaged: {reason}")]
    Damaged {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A certificate could not be made.
    #[error("certificate: {0}")]
    Certificate(String),
    /// A request that is not one, or not signed by its own key.
    #[error("the certificate request can't be used: {0}")]
    Request(String),
}

impl From<rcgen::Error> for KeysError {
    fn from(error: rcgen::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

impl From<rustls::Error> for KeysError {
    fn from(error: rustls::Error) -> Self {
        Self::Certificate(error.to_string())
    }
}

/// The authority.
pub struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
    provider: Arc<CryptoProvider>,
    node_life_ms: u64,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Authority").field(&self.fingerprint()).finish()
    }
}

impl Authority {
    /// Makes a new authority in a folder that has none.
    pub fn create(folder: &Path, now: WallMs) -> Result<Self, KeysError> {
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        made.map_err(|reason| file(folder, reason))?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&format!(
            "Tallyman authority {:08x}",
            u32::from_be_bytes(tokens::random())
        ));
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        dated(&mut params, now, CA_LIFE_MS)?;
        let certificate = params.self_signed(&key)?;
        write_secret(&folder.join(KEY_FILE), key.serialize_pem().as_bytes())?;
        write_secret(&folder.join(CERTIFICATE_FILE), certificate.pem().as_bytes())?;
        sync_folder(folder)?;
        Self::load(folder)
    }

    /// Reads the authority of a folder.
    pub fn load(folder: &Path) -> Result<Self, KeysError> {
        let (key_path, path) = (folder.join(KEY_FILE), folder.join(CERTIFICATE_FILE));
        let damaged = |path: &Path, reason: String| KeysError::Damaged {
            path: path.to_owned(),
            reason,
        };
        let key = KeyPair::from_pem(&read(&key_path)?).map_err(|e| damaged(&key_path, e.to_string()))?;
        let pem = read(&path)?;
        let certificate =
            CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|e| damaged(&path, e.to_string()))?;
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|e| damaged(&path, e.to_string()))?;
        Ok(Self {
            certificate,
            issuer,
            provider: Arc::new(rustls::crypto::ring::default_provider()),
            node_life_ms: NODE_LIFE_MS,
        })
    }

    /// The same, with another life of nodes' certificates, milliseconds.
    pub fn with_node_life(mut self, life_ms: u64) -> Self {
        self.node_life_ms = life_ms;
        self
    }

    /// SHA-256 of the authority's certificate; what a node that enrols compares.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(&[&self.certificate])
    }

    /// The fingerprint as the agent's command line takes it.
    pub fn fingerprint_text(&self) -> String {
        format!("sha256:{}", self.fingerprint())
    }

    /// The authority's certificate, DER.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// TLS for agents: clients with a certificate of ours, and clients without one, who may only enrol.
    pub fn agent_tls(&self, names: &[String], now: WallMs) -> Result<rustls::ServerConfig, KeysError> {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone())?;
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .allow_unauthenticated()
            .build()
            .map_err(|e| KeysError::Certificate(e.to_string()))?;
        let (chain, key) = self.own_certificate(names, now)?;
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![ALPN_INGEST.to_vec(), ALPN_ENROL.to_vec()];
        // Connections live long: resumption and early data would only weaken the check of certificates.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// TLS for HTTP clients.
    pub fn http_tls(&self, names: &[String], now: WallMs) -> Result<rustls::ServerConfig, KeysError> {
        let (chain, key) = self.own_certificate(names, now)?;
        let mut config = rustls::ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// Signs a node's TLS key; DER and end of life.
    ///
    /// The certificate names the signing key too: an aggregator that was set back to an older copy knows from it whose
    /// batches a node signs that joined since.
    pub fn sign_node(
        &self,
        csr: &[u8],
        signing_key: &[u8; 32],
        now: WallMs,
    ) -> Result<(Vec<u8>, WallMs), KeysError> {
        let node = NodeId::of_key(signing_key);
        let csr = CertificateSigningRequestDer::from(csr);
        let request =
            CertificateSigningRequestParams::from_der(&csr).map_err(|e| KeysError::Request(e.to_string()))?;
        // Nothing that the request says about itself is taken over but its key.
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&node.to_string());
        let uris = [
            format!("{NODE_URI}{node}"),
            format!("{KEY_URI}{}", hex(signing_key)),
        ];
        let names = uris.map(|uri| uri.try_into().map(SanType::URI));
        params.subject_alt_names = names.into_iter().collect::<Result<_, _>>()?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let expires = dated(&mut params, now, self.node_life_ms)?;
        let certificate = params.signed_by(&request.public_key, &self.issuer)?;
        Ok((certificate.der().to_vec(), expires))
    }

    /// A certificate for the aggregator itself, with the authority's behind it so that a node can compare its
    /// fingerprint; the key lives in memory alone.
    fn own_certificate(
        &self,
        names: &[String],
        now: WallMs,
    ) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), KeysError> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = name("Tallyman aggregator");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        dated(&mut params, now, SERVER_LIFE_MS)?;
        let own = params.signed_by(&key, &self.issuer)?;
        let chain = vec![own.der().clone(), self.certificate.clone()];
        let key = PrivatePkcs8KeyDer::from(key.serialize_der());
        Ok((chain, PrivateKeyDer::Pkcs8(key)))
    }
}

/// The certificate that the other side of a connection showed, verified by the handshake.
pub fn peer_certificate(connection: &quinn::Connection) -> Option<CertificateDer<'static>> {
    let identity = connection.peer_identity()?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    chain.into_iter().next()
}

/// The node that the certificate of the other side names.
pub fn peer_node(connection: &quinn::Connection) -> Option<NodeId> {
    node_of(&peer_certificate(connection)?)
}

/// The node that a verified certificate names.
pub fn node_of(certificate: &CertificateDer<'_>) -> Option<NodeId> {
    uri_of(certificate, NODE_URI)?.parse().ok()
}

/// The signing key that a verified certificate names; those of early releases name none.
pub fn signing_key_of(certificate: &CertificateDer<'_>) -> Option<[u8; 32]> {
    let key: Digest = uri_of(certificate, KEY_URI)?.parse().ok()?;
    Some(key.0)
}

/// What is left of the life of the certificate that the other side showed; nothing when it can't be read.
pub fn life_left(connection: &quinn::Connection, now: WallMs) -> Duration {
    let end_ms = peer_certificate(connection).and_then(|certificate| {
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate).ok()?;
        let seconds = u64::try_from(parsed.validity().not_after.timestamp()).ok()?;
        seconds.checked_mul(1_000)
    });
    let left_ms = end_ms.and_then(|end| end.checked_sub(now.0));
    left_ms.map_or(Duration::ZERO, Duration::from_millis)
}

fn uri_of(certificate: &CertificateDer<'_>, prefix: &str) -> Option<String> {
    let (_, parsed) = x509_parser::parse_x509_certificate(certificate).ok()?;
    let names = parsed.subject_alternative_name().ok()??;
    names.value.general_names.iter().find_map(|name| match name {
        GeneralName::URI(uri) => uri.strip_prefix(prefix).map(str::to_owned),
        _ => None,
    })
}

const KEY_FILE: &str = "ca-key.pem";
const CERTIFICATE_FILE: &str = "ca.pem";

fn name(common: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common);
    name
}

fn dated(params: &mut CertificateParams, now: WallMs, life_ms: u64) -> Result<WallMs, KeysError> {
    let expires = WallMs(now.0 + life_ms);
    // A clock in 1970 can't be set back further.
    params.not_before = instant(WallMs(now.0.checked_sub(BACKDATE_MS).map_or(0, |ms| ms)))?;
    params.not_after = instant(expires)?;
    params.serial_number = Some(SerialNumber::from_slice(&positive(tokens::random::<16>())));
    params.use_authority_key_identifier_extension = true;
    Ok(expires)
}

/// Serial numbers are positive.
fn positive(mut serial: [u8; 16]) -> [u8; 16] {
    serial[0] = serial[0] & 0x7f | 0x40;
    serial
}

fn instant(at: WallMs) -> Result<OffsetDateTime, KeysError> {
    let seconds = i64::try_from(at.0 / 1_000).map_err(|e| KeysError::Certificate(e.to_string()))?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|e| KeysError::Certificate(e.to_string()))
}

fn file(path: &Path, reason: std::io::Error) -> KeysError {
    KeysError::File {
        path: path.to_owned(),
        reason,
    }
}

fn read(path: &Path) -> Result<String, KeysError> {
    fs::read_to_string(path).map_err(|reason| file(path, reason))
}

fn write_secret(path: &Path, content: &[u8]) -> Result<(), KeysError> {
    let written = (|| {
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)?;
        file.write_all(content)?;
        file.sync_all()
    })();
    written.map_err(|reason| file(path, reason))
}

fn sync_folder(folder: &Path) -> Result<(), KeysError> {
    let synced = fs::File::open(folder).and_then(|f| f.sync_all());
    synced.map_err(|reason| file(folder, reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn an_authority_comes_back_and_signs_what_names_the_node() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        let now = WallMs(1_800_000_000_000);
        let made = Authority::create(&keys, now).unwrap();
        let loaded = Authority::load(&keys).unwrap();
        assert_eq!(made.fingerprint(), loaded.fingerprint());
        let mode = fs::metadata(keys.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);

        let key = KeyPair::generate().unwrap();
        let signing = tallyman_common::sign::NodeKey::from_seed(&[7; 32])
            .public()
            .to_bytes();
        let node = NodeId::of_key(&signing);
        let csr = CertificateParams::new(vec!["evil.example".to_owned()])
            .unwrap()
            .serialize_request(&key)
            .unwrap();
        let (der, expires) = loaded.sign_node(csr.der(), &signing, now).unwrap();
        assert_eq!(expires, WallMs(now.0 + NODE_LIFE_MS));
        let certificate = CertificateDer::from(der);
        assert_eq!(node_of(&certificate), Some(node));
        assert_eq!(signing_key_of(&certificate), Some(signing));
        assert!(matches!(
            loaded.sign_node(b"no request", &signing, now),
            Err(KeysError::Request(_))
        ));
        let again = Authority::create(&keys, now).map(drop).unwrap_err();
        assert!(again.to_string().contains(KEY_FILE), "{again}");
    }
}
