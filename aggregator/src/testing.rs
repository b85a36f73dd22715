//! A whole aggregator and nodes as agents would be, on loopback in one process; for tests.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use rcgen::{CertificateParams, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tallyman_aggregator_core::aggregator::initialise;
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::registry::Command;
use tallyman_common::ids::{BootId, Digest, NodeId, Nonce, Owner, SpoolId, StoreId};
use tallyman_common::message::{
    ALPN_ENROL, ALPN_INGEST, CertificateGrant, CertificateRequest, Hello, Message, Refused, Welcome,
};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Dims, Group, Record, Row, State};
use tallyman_common::sign::{NodeKey, Purpose};
use tallyman_common::time::{BootMs, WallMs};
use tallyman_common::wire::{self, Header};
use tokio::sync::oneshot;

use crate::handle::Handle;
use crate::io::clock;
use crate::io::frames::{read_message, say};
use crate::io::keys::Authority;
use crate::io::quic::QuicServer;
use crate::io::rocks::{Create, RocksStore};
use crate::tokens;
use crate::writer::{self, Request, WriterEnd};

/// An aggregator with its endpoint on loopback.
pub(crate) struct Running {
    pub(crate) handle: Handle,
    pub(crate) end: WriterEnd,
    pub(crate) address: SocketAddr,
    pub(crate) authority: Arc<Authority>,
    pub(crate) stop: oneshot::Sender<()>,
    pub(crate) served: tokio::task::JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(folder: &Path) -> Self {
        let keys = folder.join("keys");
        let path = folder.join("store");
        if !keys.exists() {
            Authority::create(&keys, clock::now()).unwrap();
            let mut store = RocksStore::open(&path, Create::Yes).unwrap();
            initialise(&mut store, StoreId([5; 16])).unwrap();
        }
        let authority = Arc::new(Authority::load(&keys).unwrap());
        let (handle, end) = writer::start(RocksStore::open(&path, Create::No).unwrap()).unwrap();
        let any = "127.0.0.1:0".parse().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let server = QuicServer::bind(handle.clone(), authority.clone(), any, names).unwrap();
        let address = server.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(server.serve(async { drop(stopped.await) }));
        Self {
            handle,
            end,
            address,
            authority,
            stop,
            served,
        }
    }

    pub(crate) async fn stop(mut self) {
        drop(self.stop);
        self.served.await.unwrap();
        self.handle.requests.send(Request::Stop).await.unwrap();
        self.end.wait().await.unwrap();
    }

    pub(crate) async fn token(&self, id: &str, life_ms: u64) -> String {
        let token = tokens::fresh();
        let command = Command::CreateNodeToken {
            id: id.to_owned(),
            hash: tokens::digest(&token),
            group: "default".to_owned(),
            expires: WallMs(clock::now().0 + life_ms),
        };
        self.command(command).await.unwrap();
        token
    }

    pub(crate) async fn command(&self, command: Command) -> Result<u64, crate::handle::CommandError> {
        self.handle
            .command("cli:test".to_owned(), "cli".to_owned(), command)
            .await
    }
}

/// A node as an agent would be.
pub(crate) struct Node {
    pub(crate) key: NodeKey,
    pub(crate) tls: KeyPair,
    pub(crate) granted: Option<CertificateGrant>,
    pub(crate) spool: SpoolId,
}

impl Node {
    pub(crate) fn new(seed: u8) -> Self {
        Self {
            key: NodeKey::from_seed(&[seed; 32]),
            tls: KeyPair::generate().unwrap(),
            granted: None,
            spool: SpoolId([seed; 16]),
        }
    }

    pub(crate) fn signing_key(&self) -> [u8; 32] {
        self.key.public().to_bytes()
    }

    pub(crate) fn id(&self) -> NodeId {
        NodeId::of_key(&self.key.public().to_bytes())
    }

    pub(crate) fn request(&self, token: &str, wall: WallMs) -> CertificateRequest {
        let csr = CertificateParams::default().serialize_request(&self.tls).unwrap();
        let mut request = CertificateRequest {
            token: token.to_owned(),
            node: if token.is_empty() {
                self.id()
            } else {
                NodeId::default()
            },
            signing_key: self.key.public().to_bytes(),
            csr_der: csr.der().to_vec(),
            host_name: "host-1".to_owned(),
            wall,
            signature: Vec::new(),
        };
        request.signature = self
            .key
            .sign(Purpose::Certificate, &request.signed_bytes())
            .to_vec();
        request
    }

    pub(crate) async fn ask(
        &self,
        on: &Running,
        request: CertificateRequest,
    ) -> Result<CertificateGrant, Refused> {
        let connection = connect(on, ALPN_ENROL, None).await.unwrap();
        match exchange(&connection, &Message::CertificateRequest(request)).await {
            Message::CertificateGrant(grant) => Ok(grant),
            Message::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn enrol(&mut self, on: &Running, id: &str) {
        let token = on.token(id, 60_000).await;
        let granted = self.ask(on, self.request(&token, clock::now())).await.unwrap();
        assert_eq!(granted.node, self.id());
        assert_eq!(Digest::of(&[&granted.ca_der]), on.authority.fingerprint());
        self.granted = Some(granted);
    }

    pub(crate) async fn open(&self, on: &Running) -> Connection {
        connect(on, ALPN_INGEST, Some(self)).await.unwrap()
    }

    pub(crate) async fn welcome(&self, connection: &Connection) -> Result<Welcome, Refused> {
        match exchange(connection, &Message::Hello(self.hello())).await {
            Message::Welcome(welcome) => Ok(welcome),
            Message::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn hello(&self) -> Hello {
        Hello {
            versions: (1, 1),
            node: self.id(),
            spool: self.spool,
            nonce: Nonce([3; 16]),
            boot: BootId([4; 16]),
            last_seq: 0,
            acked_upto: 0,
            wall: clock::now(),
            agent_version: "test".to_owned(),
        }
    }

    /// A batch of one minute that ends `ahead_ms` from now; minutes of boot time follow each other by `seq`.
    pub(crate) fn batch(&self, seq: u64, ahead_ms: u64) -> Vec<u8> {
        self.batch_until(seq, WallMs(clock::now().0 + ahead_ms))
    }

    /// A batch of one minute that ends then.
    pub(crate) fn batch_until(&self, seq: u64, end: WallMs) -> Vec<u8> {
        let row = Row {
            meter: Meter::CPU_TIME,
            from: u128::from(seq - 1) * 1_000,
            to: u128::from(seq) * 1_000,
            state: State::Measured,
            covered_ms: 60_000,
        };
        let record = record_of(Owner::claim("acme").unwrap(), row, self.spool);
        let draft = Header {
            version: wire::VERSION,
            node: self.id(),
            spool: self.spool,
            partition: 0,
            seq,
            prev_digest: Digest::default(),
            boot: BootId([4; 16]),
            boot_start: BootMs(seq * 60_000),
            boot_end: BootMs((seq + 1) * 60_000),
            wall_start: WallMs(end.0 - 60_000),
            wall_end: end,
            part: 0,
            parts: 1,
            flags: 0,
            mapping_revision: 1,
            cpus: 2,
            leaves: 0,
            root: Digest::default(),
            raw_bytes: 0,
            codec: 0,
        };
        wire::seal(draft, &[record], &self.key).unwrap().1
    }
}

pub(crate) fn record_of(owner: Owner, row: Row, spool: SpoolId) -> Record {
    let group = Group {
        dims: Dims::default(),
        birth: Birth { spool, seq: 1 },
        rows: vec![row],
    };
    Record {
        groups: vec![group].into(),
        ..Record::new(owner)
    }
}

pub(crate) async fn connect(
    on: &Running,
    alpn: &[u8],
    node: Option<&Node>,
) -> Result<Connection, ConnectionError> {
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    connect_from(&endpoint, on, alpn, node).await
}

pub(crate) async fn connect_from(
    endpoint: &Endpoint,
    on: &Running,
    alpn: &[u8],
    node: Option<&Node>,
) -> Result<Connection, ConnectionError> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(on.authority.certificate().clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots);
    let mut tls = match node.and_then(|n| Some((n, n.granted.as_ref()?))) {
        Some((node, granted)) => {
            let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(node.tls.serialize_der()));
            let chain = vec![CertificateDer::from(granted.certificate_der.clone())];
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    tls.alpn_protocols = vec![alpn.to_vec()];
    let config = quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    endpoint
        .connect_with(config, on.address, "localhost")
        .unwrap()
        .await
}

pub(crate) async fn exchange(connection: &Connection, message: &Message) -> Message {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    assert!(say(&mut send, message).await);
    let _ = send.finish();
    read_message(&mut recv, 1 << 20).await.unwrap()
}

pub(crate) async fn answer(connection: &Connection, frame: Vec<u8>) -> Message {
    exchange(connection, &Message::Batch(frame)).await
}

pub(crate) fn upto(message: &Message) -> Option<u64> {
    match message {
        Message::Ack(ack) => Some(ack.upto),
        _ => None,
    }
}

pub(crate) fn reason(message: &Message) -> Option<Reason> {
    match message {
        Message::Nack(nack) => Reason::from_number(nack.reason),
        _ => None,
    }
}

pub(crate) fn check(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(60), test).await };
    runtime.block_on(bounded).expect("within a minute");
}
