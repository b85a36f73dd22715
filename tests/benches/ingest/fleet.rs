//! A thousand nodes: keys, enrolment over QUIC with tokens, certificates, a connection each.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, MtuDiscoveryConfig, TransportConfig};
use rcgen::{CertificateParams, KeyPair};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tallyman_aggregator::io::frames::{read_message, say};
use tallyman_common::ids::{BootId, Digest, NodeId, Nonce};
use tallyman_common::message::{
    ALPN_ENROL, ALPN_INGEST, CertificateRequest, DATAGRAM_BYTES_MAX, Hello, MESSAGE_BYTES_MAX, Message,
};
use tallyman_common::sign::{NodeKey, Purpose};
use tallyman_common::time::WallMs;
use tallyman_common::wire::VERSION;
use tokio::task::JoinSet;

use super::batches::{node_of, spool};

/// Enrolments and handshakes under way at a time.
const AT_ONCE: usize = 32;
const SOCKET_BUFFER_BYTES: usize = 8 << 20;
/// What the aggregator's certificate is asked for.
pub const SERVER_NAME: &str = "127.0.0.1";

/// A node's secrets.
pub struct Node {
    key_seed: [u8; 32],
    tls: KeyPair,
    certificate: CertificateDer<'static>,
}

impl Node {
    /// The signing key of node `number`, the same in every run.
    pub fn seed(number: usize) -> [u8; 32] {
        Digest::of(&[b"bench node", &number.to_le_bytes()]).0
    }

    fn key(&self) -> NodeKey {
        NodeKey::from_seed(&self.key_seed)
    }
}

/// The wall clock.
pub fn now() -> WallMs {
    let since = std::time::UNIX_EPOCH.elapsed().expect("after 1970");
    WallMs(u64::try_from(since.as_millis()).expect("before the year 500,000,000"))
}

/// An endpoint for all connections of the generator.
pub fn endpoint() -> Result<Endpoint> {
    let socket = std::net::UdpSocket::bind("127.0.0.1:0")?;
    // What the kernel does not give is not needed: frames that are lost come again.
    let _ = rustix::net::sockopt::set_socket_recv_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    let _ = rustix::net::sockopt::set_socket_send_buffer_size(&socket, SOCKET_BUFFER_BYTES);
    Ok(Endpoint::new(
        EndpointConfig::default(),
        None,
        socket,
        Arc::new(quinn::TokioRuntime),
    )?)
}

/// TLS towards the aggregator (or the sink) whose authority is `ca`, as `node` if it has a certificate yet.
pub fn client(ca: &CertificateDer<'static>, node: Option<&Node>, protocol: &[u8]) -> Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots);
    let mut tls = match node {
        None => builder.with_no_client_auth(),
        Some(node) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node.tls.serialize_der()));
            builder.with_client_auth_cert(vec![node.certificate.clone()], key)?
        }
    };
    tls.alpn_protocols = vec![protocol.to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?));
    let mut transport = TransportConfig::default();
    transport.keep_alive_interval(Some(std::time::Duration::from_secs(15)));
    // As the agent does.
    let mut discovery = MtuDiscoveryConfig::default();
    discovery.upper_bound(DATAGRAM_BYTES_MAX);
    transport.mtu_discovery_config(Some(discovery));
    config.transport_config(Arc::new(transport));
    Ok(config)
}

/// Enrols one node for each token.
pub async fn enrol(
    endpoint: &Endpoint,
    server: SocketAddr,
    ca: &CertificateDer<'static>,
    tokens: Vec<String>,
) -> Result<Vec<Node>> {
    let anybody = client(ca, None, ALPN_ENROL)?;
    in_order(tokens.into_iter().enumerate().map(|(number, token)| {
        let (endpoint, anybody) = (endpoint.clone(), anybody.clone());
        async move {
            let connection = endpoint.connect_with(anybody, server, SERVER_NAME)?.await?;
            enrol_one(&connection, number, token).await
        }
    }))
    .await
}

async fn enrol_one(connection: &Connection, number: usize, token: String) -> Result<Node> {
    let key_seed = Node::seed(number);
    let (key, tls) = (NodeKey::from_seed(&key_seed), KeyPair::generate()?);
    let csr = CertificateParams::default().serialize_request(&tls)?;
    let mut request = CertificateRequest {
        token,
        node: NodeId::default(),
        signing_key: key.public().to_bytes(),
        csr_der: csr.der().to_vec(),
        host_name: format!("bench-{number}"),
        wall: now(),
        signature: Vec::new(),
    };
    request.signature = key.sign(Purpose::Certificate, &request.signed_bytes()).to_vec();
    match ask(connection, &Message::CertificateRequest(request)).await? {
        Message::CertificateGrant(grant) => {
            let certificate = CertificateDer::from(grant.certificate_der);
            Ok(Node {
                key_seed,
                tls,
                certificate,
            })
        }
        other => bail!("node {number} was not enrolled: {other:?}"),
    }
}

/// Connects every node and says hello.
pub async fn connect(
    endpoint: &Endpoint,
    server: SocketAddr,
    ca: &CertificateDer<'static>,
    nodes: &[Node],
) -> Result<Vec<Connection>> {
    let configs = nodes
        .iter()
        .map(|node| Ok((client(ca, Some(node), ALPN_INGEST)?, hello(&node.key()))));
    let configs: Vec<(ClientConfig, Hello)> = configs.collect::<Result<_>>()?;
    in_order(configs.into_iter().map(|(config, hello)| {
        let endpoint = endpoint.clone();
        async move {
            let connection = endpoint.connect_with(config, server, SERVER_NAME)?.await?;
            match ask(&connection, &Message::Hello(hello)).await? {
                Message::Welcome(_) => Ok(connection),
                other => bail!("not welcome: {other:?}"),
            }
        }
    }))
    .await
}

fn hello(key: &NodeKey) -> Hello {
    Hello {
        versions: (VERSION, VERSION),
        node: node_of(key),
        spool: spool(key),
        nonce: Nonce([1; 16]),
        boot: BootId(spool(key).0),
        last_seq: 0,
        acked_upto: 0,
        wall: now(),
        agent_version: "bench".to_owned(),
    }
}

/// One question and its answer on a stream of its own. The stream stays open until the answer is there.
async fn ask(connection: &Connection, question: &Message) -> Result<Message> {
    let (mut send, mut recv) = connection.open_bi().await?;
    anyhow::ensure!(say(&mut send, question).await, "the other side did not listen");
    let answer = read_message(&mut recv, MESSAGE_BYTES_MAX).await?;
    Ok(answer)
}

/// Runs futures, some at a time; their results in the order given.
async fn in_order<T, F>(futures: impl Iterator<Item = F>) -> Result<Vec<T>>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let (mut futures, mut running, mut done) = (futures.enumerate(), JoinSet::new(), Vec::new());
    loop {
        while running.len() < AT_ONCE {
            let Some((number, future)) = futures.next() else {
                break;
            };
            running.spawn(async move { (number, future.await) });
        }
        let Some(ended) = running.join_next().await else {
            break;
        };
        let (number, result) = ended?;
        done.push((number, result.with_context(|| format!("node {number}"))?));
    }
    done.sort_by_key(|(number, _)| *number);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}
