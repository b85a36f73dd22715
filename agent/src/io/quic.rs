//! Connections to the aggregator: QUIC with TLS 1.3, our certificate shown, its authority pinned. Whole messages on
//! and off streams. Knows no batches.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    ClientConfig, Connection, Endpoint, IdleTimeout, MtuDiscoveryConfig, ReadExactError, RecvStream,
    TransportConfig, VarInt,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, SignatureScheme};
use tallyman_common::codec::CodecError;
use tallyman_common::ids::Digest;
use tallyman_common::message::{ALPN_ENROL, ALPN_INGEST, DATAGRAM_BYTES_MAX, Message};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::faults;
use super::keys::{KeyFolder, KeysError};
use crate::limits::{CONNECT_MAX, IDLE_MAX, KEEP_ALIVE};

/// Closed by us: all is said.
pub const CLOSE_DONE: VarInt = VarInt::from_u32(0);
/// How long a closed port has to say so.
const PROBE_MAX: Duration = Duration::from_millis(500);
/// The shortest time that one of several addresses gets.
const ADDRESS_MIN: Duration = Duration::from_secs(3);

/// Why there is no connection, or no answer on it.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The name means no address.
    #[error("the name {host} means no address: {reason}")]
    Name {
        /// Which name.
        host: String,
        /// What the resolver said.
        reason: std::io::Error,
    },
    /// The port is closed.
    #[error(
        "UDP port {0} is closed: no aggregator listens there; is `tallyman-aggregator run` up, and is `server` right?"
    )]
    Closed(SocketAddr),
    /// Nothing answers.
    #[error(
        "no answer from UDP {0}: is the aggregator up, and does a firewall let UDP (not only TCP) through to this port?"
    )]
    NoAnswer(SocketAddr),
    /// The socket could not be made.
    #[error("no UDP socket: {0}")]
    Socket(std::io::Error),
    /// The connection failed or ended.
    #[error("{0}")]
    Connection(String),
    /// The other end said something unexpected.
    #[error("{0}")]
    Protocol(String),
    /// No answer came in time on a connection that stands.
    #[error("the aggregator did not answer in time")]
    Silent,
    /// No keys.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// TLS does not take what we have.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
    /// Not a message.
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl From<quinn::ConnectionError> for LinkError {
    fn from(error: quinn::ConnectionError) -> Self {
        Self::Connection(faults::words(&error))
    }
}

impl From<quinn::WriteError> for LinkError {
    fn from(error: quinn::WriteError) -> Self {
        match error {
            quinn::WriteError::ConnectionLost(e) => e.into(),
            other => Self::Connection(format!("the aggregator gave up a stream: {other}")),
        }
    }
}

impl From<ReadExactError> for LinkError {
    fn from(error: ReadExactError) -> Self {
        match error {
            ReadExactError::ReadError(quinn::ReadError::ConnectionLost(e)) => e.into(),
            other => Self::Connection(format!("the aggregator gave up a stream: {other}")),
        }
    }
}

/// Where the aggregator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerAddress {
    /// Name or address, without brackets.
    pub host: String,
    /// UDP port.
    pub port: u16,
}

impl FromStr for ServerAddress {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("`{text}` is not HOST:PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(fault)?;
        let port = port.parse().ok().filter(|port| *port > 0).ok_or_else(fault)?;
        let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
        let host = bare.unwrap_or(host);
        if ServerName::try_from(host).is_err() || (bare.is_none() && host.contains(':')) {
            return Err(fault());
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// TLS for shipping: our certificate, and nobody but the aggregator's own authority believed.
pub fn ingest_tls(keys: &KeyFolder) -> Result<rustls::ClientConfig, LinkError> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(keys.tls_key()?.serialize_der()));
    let chain = vec![CertificateDer::from(keys.certificate()?)];
    let config = builder()?
        .with_root_certificates(roots(keys.ca()?)?)
        .with_client_auth_cert(chain, key)?;
    Ok(with_protocol(config, ALPN_INGEST))
}

/// TLS for renewal: the authority is known, no certificate of ours is needed.
pub fn renewal_tls(keys: &KeyFolder) -> Result<rustls::ClientConfig, LinkError> {
    let config = builder()?
        .with_root_certificates(roots(keys.ca()?)?)
        .with_no_client_auth();
    Ok(with_protocol(config, ALPN_ENROL))
}

/// TLS for enrolment: the authority is known by its fingerprint alone.
pub fn enrolment_tls(fingerprint: Digest) -> Result<rustls::ClientConfig, LinkError> {
    let verifier = Fingerprint {
        fingerprint,
        provider: Arc::new(ring::default_provider()),
    };
    let config = builder()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(with_protocol(config, ALPN_ENROL))
}

type Builder = rustls::ConfigBuilder<rustls::ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder, LinkError> {
    let provider = Arc::new(ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    Ok(builder.with_protocol_versions(&[&rustls::version::TLS13])?)
}

fn roots(ca: Vec<u8>) -> Result<RootCertStore, LinkError> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(ca))?;
    Ok(roots)
}

fn with_protocol(mut config: rustls::ClientConfig, protocol: &[u8]) -> rustls::ClientConfig {
    config.alpn_protocols = vec![protocol.to_vec()];
    config.resumption = rustls::client::Resumption::disabled();
    config
}

/// Believes a chain that ends in the authority with this fingerprint, and no other.
#[derive(Debug)]
struct Fingerprint {
    fingerprint: Digest,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Fingerprint {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let pinned = |ca: &&CertificateDer<'_>| Digest::of(&[ca]) == self.fingerprint;
        let ca = intermediates.iter().find(pinned);
        let ca = ca.ok_or(CertificateError::ApplicationVerificationFailure)?;
        let mut roots = RootCertStore::empty();
        roots.add(ca.clone().into_owned())?;
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), self.provider.clone())
            .build()
            .map_err(|e| rustls::Error::General(e.to_string()))?
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, cert, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, cert, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A connection, and the socket that it lives on.
#[derive(Debug)]
pub struct Link {
    /// The socket.
    pub endpoint: Endpoint,
    /// The connection.
    pub connection: Connection,
}

impl Link {
    /// Connects to the first of the server's addresses that answers.
    pub async fn open(server: &ServerAddress, tls: rustls::ClientConfig) -> Result<Self, LinkError> {
        let crypto = QuicClientConfig::try_from(tls).map_err(|e| LinkError::Connection(e.to_string()))?;
        let mut config = ClientConfig::new(Arc::new(crypto));
        config.transport_config(Arc::new(transport()));
        let unknown = |reason| LinkError::Name {
            host: server.host.clone(),
            reason,
        };
        let resolved = timeout(
            CONNECT_MAX,
            tokio::net::lookup_host((server.host.as_str(), server.port)),
        )
        .await;
        let resolved = resolved.map_err(|_| unknown(std::io::ErrorKind::TimedOut.into()))?;
        let addresses: Vec<SocketAddr> = resolved.map_err(unknown)?.collect();
        let share = CONNECT_MAX / u32::try_from(addresses.len().max(1)).expect("few addresses");
        let mut last = unknown(std::io::ErrorKind::NotFound.into());
        for address in addresses {
            match Self::to(address, server, config.clone(), share.max(ADDRESS_MIN)).await {
                Ok(link) => return Ok(link),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn to(
        address: SocketAddr,
        server: &ServerAddress,
        config: ClientConfig,
        limit: Duration,
    ) -> Result<Self, LinkError> {
        let endpoint = Endpoint::client(any_of(address)).map_err(LinkError::Socket)?;
        let connecting = endpoint.connect_with(config, address, &server.host);
        let connecting = connecting.map_err(|e| LinkError::Connection(e.to_string()))?;
        match timeout(limit, connecting).await {
            Ok(Ok(connection)) => Ok(Self { endpoint, connection }),
            Ok(Err(quinn::ConnectionError::TimedOut)) | Err(_) => Err(unanswered(address).await),
            Ok(Err(error)) => Err(error.into()),
        }
    }

    /// Ends the connection; waits until the other side can know.
    pub async fn close(self, words: &str) {
        self.connection.close(CLOSE_DONE, words.as_bytes());
        // A side that does not answer any more is not waited for long.
        drop(timeout(ADDRESS_MIN, self.endpoint.wait_idle()).await);
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_MAX).expect("half a minute is a valid idle time");
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(DATAGRAM_BYTES_MAX);
    transport
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        // Only the control stream's side is the server's to open, in later releases.
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .datagram_receive_buffer_size(None)
        .mtu_discovery_config(Some(discovery));
    transport
}

fn any_of(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(_) => SocketAddr::from(([0, 0, 0, 0], 0)),
        SocketAddr::V6(_) => SocketAddr::from(([0; 8], 0)),
    }
}

/// Tells a closed port from silence: a connected socket hears of the former.
async fn unanswered(address: SocketAddr) -> LinkError {
    let probe = async {
        let socket = UdpSocket::bind(any_of(address)).await?;
        socket.connect(address).await?;
        socket.send(&[0]).await?;
        socket.recv(&mut [0; 1]).await
    };
    match timeout(PROBE_MAX, probe).await {
        Ok(Err(e)) if e.kind() == std::io::ErrorKind::ConnectionRefused => LinkError::Closed(address),
        _ => LinkError::NoAnswer(address),
    }
}

/// The next message of a stream, of at most `limit` bytes.
pub async fn read_message(stream: &mut RecvStream, limit: usize) -> Result<Message, LinkError> {
    let mut front = [0; 4];
    stream.read_exact(&mut front).await?;
    let bytes = u32::from_le_bytes(front) as usize;
    if !(2..=limit).contains(&bytes) {
        return Err(LinkError::Protocol(format!(
            "an answer of {bytes} bytes; at most {limit} are expected"
        )));
    }
    let mut content = vec![0; bytes];
    stream.read_exact(&mut content).await?;
    Ok(Message::decode_content(&content)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_named_by_host_and_port() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let found = text.parse::<ServerAddress>().ok();
            let shown = found.as_ref().map(|s| (s.host.as_str(), s.port));
            assert_eq!(shown, expected, "{text}");
            if let Some(found) = found {
                assert_eq!(found.to_string(), text);
            }
        };
        check("a.example:4317", Some(("a.example", 4317)));
        check("127.0.0.1:1", Some(("127.0.0.1", 1)));
        check("[::1]:4317", Some(("::1", 4317)));
        check("::1:4317", None);
        check("a.example", None);
        check("a.example:0", None);
        check("a.example:70000", None);
        check(":1", None);
        check("a b:1", None);
    }
}
