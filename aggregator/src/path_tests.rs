//! The path over the real network and the real store, in one process: enrol, send, resend, forge, revoke, reopen.

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
struct Running {
    handle: Handle,
    end: WriterEnd,
    address: SocketAddr,
    authority: Arc<Authority>,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(folder: &Path) -> Self {
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

    async fn stop(mut self) {
        drop(self.stop);
        self.served.await.unwrap();
        self.handle.requests.send(Request::Stop).await.unwrap();
        self.end.wait().await.unwrap();
    }

    async fn token(&self, id: &str, life_ms: u64) -> String {
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

    async fn command(&self, command: Command) -> Result<u64, crate::handle::CommandError> {
        self.handle
            .command("cli:test".to_owned(), "cli".to_owned(), command)
            .await
    }
}

/// A node as an agent would be.
struct Node {
    key: NodeKey,
    tls: KeyPair,
    granted: Option<CertificateGrant>,
    spool: SpoolId,
}

impl Node {
    fn new(seed: u8) -> Self {
        Self {
            key: NodeKey::from_seed(&[seed; 32]),
            tls: KeyPair::generate().unwrap(),
            granted: None,
            spool: SpoolId([seed; 16]),
        }
    }

    fn id(&self) -> NodeId {
        NodeId::of_key(&self.key.public().to_bytes())
    }

    fn request(&self, token: &str, wall: WallMs) -> CertificateRequest {
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

    async fn ask(&self, on: &Running, request: CertificateRequest) -> Result<CertificateGrant, Refused> {
        let connection = connect(on, ALPN_ENROL, None).await.unwrap();
        match exchange(&connection, &Message::CertificateRequest(request)).await {
            Message::CertificateGrant(grant) => Ok(grant),
            Message::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }

    async fn enrol(&mut self, on: &Running, id: &str) {
        let token = on.token(id, 60_000).await;
        let granted = self.ask(on, self.request(&token, clock::now())).await.unwrap();
        assert_eq!(granted.node, self.id());
        assert_eq!(Digest::of(&[&granted.ca_der]), on.authority.fingerprint());
        self.granted = Some(granted);
    }

    async fn open(&self, on: &Running) -> Connection {
        connect(on, ALPN_INGEST, Some(self)).await.unwrap()
    }

    async fn welcome(&self, connection: &Connection) -> Result<Welcome, Refused> {
        match exchange(connection, &Message::Hello(self.hello())).await {
            Message::Welcome(welcome) => Ok(welcome),
            Message::Refused(refused) => Err(refused),
            other => panic!("{other:?}"),
        }
    }

    fn hello(&self) -> Hello {
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
    fn batch(&self, seq: u64, ahead_ms: u64) -> Vec<u8> {
        let end = WallMs(clock::now().0 + ahead_ms);
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

fn record_of(owner: Owner, row: Row, spool: SpoolId) -> Record {
    let group = Group {
        dims: Dims::default(),
        birth: Birth { spool, seq: 1 },
        rows: vec![row],
    };
    Record {
        groups: vec![group],
        ..Record::new(owner)
    }
}

async fn connect(on: &Running, alpn: &[u8], node: Option<&Node>) -> Result<Connection, ConnectionError> {
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
    let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    endpoint
        .connect_with(config, on.address, "localhost")
        .unwrap()
        .await
}

async fn exchange(connection: &Connection, message: &Message) -> Message {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    assert!(say(&mut send, message).await);
    let _ = send.finish();
    read_message(&mut recv, 1 << 20).await.unwrap()
}

async fn answer(connection: &Connection, frame: Vec<u8>) -> Message {
    exchange(connection, &Message::Batch(frame)).await
}

fn upto(message: &Message) -> Option<u64> {
    match message {
        Message::Ack(ack) => Some(ack.upto),
        _ => None,
    }
}

fn reason(message: &Message) -> Option<Reason> {
    match message {
        Message::Nack(nack) => Reason::from_number(nack.reason),
        _ => None,
    }
}

fn check(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(60), test).await };
    runtime.block_on(bounded).expect("within a minute");
}

#[test]
fn batches_are_acknowledged_once_durable_and_counted_once() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = node.open(&on).await;
        let welcome = node.welcome(&connection).await.unwrap();
        assert_eq!((welcome.store, welcome.watermark), (StoreId([5; 16]), 0));

        let first = node.batch(1, 0);
        assert_eq!(upto(&answer(&connection, first.clone()).await), Some(1));
        assert_eq!(
            upto(&answer(&connection, first.clone()).await),
            Some(1),
            "a resend"
        );
        assert_eq!(
            upto(&answer(&connection, node.batch(3, 0)).await),
            Some(1),
            "a hole below"
        );
        let status = on.handle.status();
        assert_eq!((status.counters.counted, status.counters.duplicates), (2, 1));

        let mut forged = node.batch(2, 0);
        let at = forged.len() / 2;
        forged[at] ^= 1;
        let refused = answer(&connection, forged).await;
        assert!(reason(&refused).is_some(), "{refused:?}");
        let held = answer(&connection, node.batch(4, 600_000)).await;
        assert_eq!(reason(&held), Some(Reason::Future));
        let again = answer(&connection, first).await;
        assert_eq!(upto(&again), Some(1), "the connection lives on");

        on.stop().await;
        let on = Running::start(folder.path());
        let connection = node.open(&on).await;
        let welcome = node.welcome(&connection).await.unwrap();
        assert_eq!((welcome.watermark, welcome.above), (1, vec![(3, 4)]));
        assert_eq!(upto(&answer(&connection, node.batch(2, 0)).await), Some(3));
        on.stop().await;
    });
}

#[test]
fn a_forged_signature_and_a_strangers_batch_are_refused() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (mut node, mut other) = (Node::new(1), Node::new(2));
        node.enrol(&on, "t1").await;
        other.enrol(&on, "t2").await;
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();

        let foreign = answer(&connection, other.batch(1, 0)).await;
        assert_eq!(reason(&foreign), Some(Reason::OtherNode));
        let mut frame = node.batch(1, 0);
        // Behind magic, length and header begins the signature.
        let header = usize::from(u16::from_le_bytes([frame[4], frame[5]]));
        frame[6 + header] ^= 1;
        assert_eq!(reason(&answer(&connection, frame).await), Some(Reason::Signature));
        assert_eq!(
            reason(&answer(&connection, b"nonsense".to_vec()).await),
            Some(Reason::Malformed)
        );
        let text = on.handle.metrics().encode(&on.handle.status());
        assert!(
            text.contains("batches_refused_total{reason=\"other_node\"} 1"),
            "{text}"
        );
        on.stop().await;
    });
}

#[test]
fn a_node_that_never_enrolled_or_has_no_certificate_is_turned_away() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut stranger = Node::new(9);
        let bare = connect(&on, ALPN_INGEST, None).await.unwrap();
        assert!(bare.closed().await.to_string().contains("enrol"));

        // A certificate of ours, but the registry does not know the node: a restored backup, for instance.
        let csr = CertificateParams::default()
            .serialize_request(&stranger.tls)
            .unwrap();
        let signed = on.authority.sign_node(csr.der(), stranger.id(), clock::now());
        let (certificate_der, expires) = signed.unwrap();
        stranger.granted = Some(CertificateGrant {
            node: stranger.id(),
            certificate_der,
            ca_der: Vec::new(),
            expires,
        });
        let connection = stranger.open(&on).await;
        let refused = stranger.welcome(&connection).await.unwrap_err();
        assert_eq!(refused.reason, Reason::UnknownNode.number());

        assert!(connect(&on, b"h3", None).await.is_err(), "another protocol");
        on.stop().await;
    });
}

#[test]
fn a_revoked_nodes_connection_ends_at_once_and_it_comes_in_no_more() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();
        on.command(Command::RevokeNode { node: node.id() }).await.unwrap();
        assert!(connection.closed().await.to_string().contains("revoked"));

        let connection = node.open(&on).await;
        let refused = node.welcome(&connection).await.unwrap_err();
        assert_eq!(refused.reason, Reason::EndedNode.number());
        let renewal = node.ask(&on, node.request("", clock::now())).await;
        assert!(renewal.unwrap_err().text.contains("revoked"));
        on.stop().await;
    });
}

#[test]
fn the_newer_connection_of_a_process_replaces_the_older() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let older = node.open(&on).await;
        node.welcome(&older).await.unwrap();
        let newer = node.open(&on).await;
        node.welcome(&newer).await.unwrap();
        assert!(older.closed().await.to_string().contains("anew"));
        assert_eq!(upto(&answer(&newer, node.batch(1, 0)).await), Some(1));
        on.stop().await;
    });
}

#[test]
fn refused_enrolments_say_what_to_do() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let (node, other) = (Node::new(1), Node::new(2));
        let now = clock::now();
        let unknown = node.ask(&on, node.request("tally_00", now)).await.unwrap_err();
        assert!(unknown.text.contains("not known"), "{}", unknown.text);
        let token = on.token("expired", 0).await;
        let expired = node.ask(&on, node.request(&token, now)).await.unwrap_err();
        assert!(expired.text.contains("expired"), "{}", expired.text);

        let token = on.token("good", 60_000).await;
        let ahead = node.request(&token, WallMs(now.0 + 3_600_000));
        let skewed = node.ask(&on, ahead).await.unwrap_err();
        assert!(skewed.text.contains("ahead of"), "{}", skewed.text);
        let mut unsigned = node.request(&token, now);
        unsigned.host_name = "changed".to_owned();
        let unsigned = node.ask(&on, unsigned).await.unwrap_err();
        assert_eq!(unsigned.reason, Reason::Signature.number());

        // The same node may ask again when the answer was lost; another may not.
        node.ask(&on, node.request(&token, now)).await.unwrap();
        node.ask(&on, node.request(&token, now)).await.unwrap();
        let used = other.ask(&on, other.request(&token, now)).await.unwrap_err();
        assert!(used.text.contains("used by another node"), "{}", used.text);
        // Renewal needs the signing key alone.
        node.ask(&on, node.request("", now)).await.unwrap();
        let never = other.ask(&on, other.request("", now)).await.unwrap_err();
        assert_eq!(never.reason, Reason::UnknownNode.number());
        on.stop().await;
    });
}

#[test]
fn snapshots_have_registry_and_watermarks_of_one_position() {
    check(async {
        let folder = tempfile::tempdir().unwrap();
        let on = Running::start(folder.path());
        let mut node = Node::new(1);
        node.enrol(&on, "t1").await;
        let id = node.id();
        let seen = on.handle.read(move |books| {
            let known = books.registry.nodes.contains_key(&id);
            (books.position, known, books.marks.node(id).is_some())
        });
        assert_eq!(seen.await.unwrap(), (2, true, false));
        let connection = node.open(&on).await;
        node.welcome(&connection).await.unwrap();
        answer(&connection, node.batch(1, 0)).await;
        let seen = on.handle.read(move |books| {
            let mark = books.marks.node(id).map(|m| m.last_received > WallMs(0));
            (books.position, mark)
        });
        assert_eq!(seen.await.unwrap(), (3, Some(true)));
        let handle = on.handle.clone();
        on.stop().await;
        assert!(handle.read(|_| ()).await.is_err(), "after the end");
    });
}
