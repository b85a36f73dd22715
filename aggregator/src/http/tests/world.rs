//! A small aggregator in a temporary folder: one node, two tenants with usage, one price book, one held batch, one
//! live view. Windows lie at the start of the present hour, so that any time of day will do.

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use serde_json::Value;
use tallyman_aggregator_core::aggregator::{Answer, initialise};
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::ingest::check;
use tallyman_aggregator_core::rating::BillingZone;
use tallyman_aggregator_core::registry::{Command, Scope, TenantTerms};
use tallyman_common::ids::{BootId, Digest, NodeId, Owner, SpoolId, StoreId};
use tallyman_common::message::{Live, LiveRow};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Dims, Group, Record, Row, State};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, Hour, WallMs};
use tallyman_common::wire::{self, Header};
use tower::ServiceExt;

use crate::handle::Handle;
use crate::io::clock;
use crate::io::rocks::{Create, RocksStore};
use crate::io::tcp::PeerAddr;
use crate::live::Seen;
use crate::tokens;
use crate::writer::{self, Request as WriterRequest, WriterEnd};

/// Length of the one counted window.
const WINDOW_MS: u64 = 30_000;
const GIB: u128 = 1 << 30;
const SECOND_NS: u128 = 1_000_000_000;

/// Prices of these tests.
pub const BOOK: &str = r#"
format = 1
name = "Test, USD"
currency = "USD"
time_zone = "UTC"
rounding = "half_up"

[[item]]
key = "cpu"
title = "CPU time"
title_zh = "CPU 时间"
meters = ["cpu.time"]
unit = "CPU-second"
model = "per_unit"
price = "0.1"

[[item]]
key = "traffic"
title = "Traffic out"
meters = ["network.transmit.bytes"]
unit = "GiB"
model = "per_unit"
price = "0.02"
"#;

/// The aggregator and its tokens.
pub struct World {
    pub handle: Handle,
    pub router: Router,
    pub hour: Hour,
    pub node: NodeId,
    pub operator: String,
    pub acme: String,
    pub east: String,
    end: WriterEnd,
    folder: tempfile::TempDir,
}

/// An answer, its body as JSON (`null` for none).
#[derive(Debug)]
pub struct Got {
    pub status: StatusCode,
    pub parts: axum::http::response::Parts,
    /// Bytes that are no text show as such.
    pub text: String,
    pub bytes: Vec<u8>,
    pub json: Value,
}

impl Got {
    pub fn header(&self, name: &str) -> &str {
        self.parts.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }

    /// Checks that this is a problem document of a kind.
    pub fn problem(&self, status: u16, kind: &str) -> &Self {
        assert_eq!(self.status.as_u16(), status, "{}", self.text);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(
            self.json["type"],
            format!("urn:tallyman:problem:{kind}"),
            "{}",
            self.text
        );
        assert_eq!(self.json["status"], status);
        for member in ["title", "detail", "instance"] {
            assert!(
                self.json[member].as_str().is_some_and(|t| !t.is_empty()),
                "{}",
                self.text
            );
        }
        self
    }
}

impl World {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let mut store = RocksStore::open(&path, Create::Yes).unwrap();
        initialise(&mut store, StoreId([5; 16])).unwrap();
        let (handle, end) = writer::start(store).unwrap();
        let key = NodeKey::from_seed(&[1; 32]);
        let mut world = Self {
            router: super::super::router(handle.clone()),
            hour: clock::now().hour(),
            node: NodeId::of_key(&key.public().to_bytes()),
            operator: String::new(),
            acme: String::new(),
            east: String::new(),
            handle,
            end,
            folder,
        };
        world.register(&key).await;
        world.send(&key).await;
        world.flush().await;
        world.see_live();
        world
    }

    pub async fn decide(&self, command: Command) -> u64 {
        let decided = self.handle.command("cli:test".into(), "cli".into(), command);
        decided.await.unwrap()
    }

    /// The account that pays for a tenant.
    pub fn payer(&self, tenant: &str) -> String {
        let registry = self.handle.registry();
        registry.tenants.latest(tenant).unwrap().account.clone()
    }

    /// A new token of a scope.
    pub async fn token(&self, id: &str, scope: Scope, expires: Option<WallMs>) -> String {
        let token = tokens::fresh();
        let hash = tokens::digest(&token);
        let id = id.to_owned();
        self.decide(Command::CreateToken {
            id,
            hash,
            scope,
            expires,
        })
        .await;
        token
    }

    async fn register(&mut self, key: &NodeKey) {
        let joining = Digest::of(&[b"join"]);
        self.decide(Command::CreateNodeToken {
            id: "n1".into(),
            hash: joining,
            group: "default".into(),
            expires: WallMs(clock::now().0 + 60_000),
        })
        .await;
        self.decide(Command::EnrolNode {
            token: joining,
            node: self.node,
            signing_key: key.public().to_bytes(),
            host_name: "host-1".into(),
        })
        .await;
        let month = BillingZone::utc().month_of(self.hour).unwrap();
        let from = BillingZone::utc().month_hours(month).unwrap().start;
        self.decide(Command::SetTenant(terms("acme", "UTC", "USD", from)))
            .await;
        self.decide(Command::SetTenant(terms("east", "Asia/Shanghai", "CNY", from)))
            .await;
        self.decide(Command::AddPriceBook {
            text: BOOK.into(),
            from,
        })
        .await;
        self.operator = self.token("root", Scope::Operator, None).await;
        self.acme = self.token("acme-1", Scope::Tenant("acme".into()), None).await;
        self.east = self.token("east-1", Scope::Tenant("east".into()), None).await;
    }

    async fn send(&self, key: &NodeKey) {
        let traffic = [
            (Meter::CPU_TIME, 40 * SECOND_NS),
            (Meter::NETWORK_TRANSMIT_BYTES, GIB),
        ];
        let records = [
            record(Owner::Unattributed, &[(Meter::CPU_TIME, SECOND_NS)]),
            record(Owner::claim("acme").unwrap(), &traffic),
            record(
                Owner::claim("east").unwrap(),
                &[(Meter::CPU_TIME, 20 * SECOND_NS)],
            ),
            record(
                Owner::claim("stray").unwrap(),
                &[(Meter::CPU_TIME, 2 * SECOND_NS)],
            ),
        ];
        let end = WallMs(self.hour.start().0 + WINDOW_MS);
        let counted = self.batch(wire::seal(header(self.node, 1, end), &records, key).unwrap().1);
        assert!(matches!(counted.await, Answer::Ack(_)));
        let late = WallMs(clock::now().0 + 3_600_000);
        let held = self.batch(wire::seal(header(self.node, 2, late), &records, key).unwrap().1);
        assert!(matches!(held.await, Answer::Nack(..)));
    }

    async fn batch(&self, frame: Vec<u8>) -> Answer {
        let checked = check(frame, Some(self.node), &self.handle.registry()).unwrap();
        self.handle.batch(Box::new(checked)).await.unwrap()
    }

    /// Makes the cells readable at once: a copy of the store needs them written.
    pub async fn flush(&self) {
        let path = self
            .folder
            .path()
            .join(format!("copy-{}", self.handle.status().position));
        self.handle.checkpoint(path).await.unwrap();
    }

    /// Five seconds of CPU since the counted window.
    fn see_live(&self) {
        let wall_now = WallMs(clock::now().0.max(self.hour.start().0 + WINDOW_MS + 3_000));
        let row = LiveRow {
            owner: (2, "acme".into()),
            meter: Meter::CPU_TIME,
            dims: Vec::new(),
            since_window: 5 * SECOND_NS,
        };
        let live = Live {
            boot_now: BootMs(2 * WINDOW_MS + 3_000),
            wall_now,
            window_end: BootMs(2 * WINDOW_MS),
            rows: vec![row],
        };
        let received = clock::now();
        self.handle.live().put(self.node, Seen { received, live });
    }

    /// Asks from this machine.
    pub async fn get(&self, path: &str, token: &str) -> Got {
        self.send_request(request("GET", path, token, None)).await
    }

    /// Asks with a JSON body.
    pub async fn change(&self, method: &str, path: &str, token: &str, body: &Value) -> Got {
        self.send_request(request(method, path, token, Some(body.to_string())))
            .await
    }

    pub async fn send_request(&self, request: Request<Body>) -> Got {
        got(self.router.clone().oneshot(request).await.unwrap()).await
    }

    pub fn hour_text(&self) -> String {
        instant_text(self.hour.start())
    }

    pub fn month_text(&self) -> String {
        BillingZone::utc().month_of(self.hour).unwrap().to_string()
    }

    pub fn day_text(&self) -> String {
        BillingZone::utc().day_of(self.hour).unwrap().to_string()
    }

    /// Ends the writer; the handle finds nobody afterwards.
    pub async fn stop_writer(&mut self) {
        self.handle.requests.send(WriterRequest::Stop).await.unwrap();
        self.end.wait().await.unwrap();
    }
}

/// A request from loopback; an empty token sends none.
pub fn request(method: &str, path: &str, token: &str, body: Option<String>) -> Request<Body> {
    let mut builder = Request::builder().method(method).uri(path);
    if !token.is_empty() {
        builder = builder.header("authorization", format!("Bearer {token}"));
    }
    if body.is_some() {
        builder = builder.header("content-type", "application/json");
    }
    let mut request = builder.body(body.map_or_else(Body::empty, Body::from)).unwrap();
    from_address(&mut request, "127.0.0.1:40000");
    request
}

/// Says where a request comes from.
pub fn from_address(request: &mut Request<Body>, address: &str) {
    let peer = ConnectInfo(PeerAddr(address.parse().unwrap()));
    request.extensions_mut().insert(peer);
}

async fn got(response: Response<Body>) -> Got {
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let bytes = bytes.to_vec();
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Got {
        status: parts.status,
        json: serde_json::from_str(&text).unwrap_or(Value::Null),
        text,
        bytes,
        parts,
    }
}

fn terms(tenant: &str, zone: &str, currency: &str, from: Hour) -> TenantTerms {
    TenantTerms {
        tenant: tenant.into(),
        name: format!("{tenant} 公司"),
        claims: vec![tenant.into()],
        account: format!("{tenant}-account"),
        zone: zone.into(),
        currency: currency.into(),
        language: "en".into(),
        from,
    }
}

fn record(owner: Owner, usage: &[(Meter, u128)]) -> Record {
    let row = |&(meter, to): &(Meter, u128)| Row {
        meter,
        from: 0,
        to,
        state: State::Measured,
        covered_ms: WINDOW_MS,
    };
    let group = Group {
        dims: Dims::default(),
        birth: Birth {
            spool: SpoolId([1; 16]),
            seq: 1,
        },
        rows: usage.iter().map(row).collect(),
    };
    Record {
        groups: vec![group].into(),
        ..Record::new(owner)
    }
}

fn header(node: NodeId, seq: u64, end: WallMs) -> Header {
    Header {
        version: wire::VERSION,
        node,
        spool: SpoolId([1; 16]),
        partition: 0,
        seq,
        prev_digest: Digest::default(),
        boot: BootId([4; 16]),
        boot_start: BootMs(seq * WINDOW_MS),
        boot_end: BootMs((seq + 1) * WINDOW_MS),
        wall_start: WallMs(end.0 - WINDOW_MS),
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
    }
}

/// Runs a test on its own runtime, within a minute.
pub fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let bounded = async { tokio::time::timeout(std::time::Duration::from_secs(60), test).await };
    runtime.block_on(bounded).expect("within a minute");
}
