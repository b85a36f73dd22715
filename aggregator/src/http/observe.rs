//! What is counted of requests and of nodes, for Prometheus. Usage and money never pass here.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::registry::NodeStatus;

use crate::metrics::Labels;

/// Prefix of all names of this program.
const PREFIX: &str = "tallyman_aggregator";

/// Requests by route and status, and how long they took.
#[derive(Debug)]
pub struct Observed {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram, fn() -> Histogram>,
}

/// The nodes at a glance.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fleet {
    active: i64,
    retired: i64,
    revoked: i64,
    /// Milliseconds since the end of the newest window of the node that lags most; of active nodes that sent
    /// something and did not stop in order.
    lag_ms: Option<u64>,
}

impl Default for Observed {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            // 1 ms to 32 s.
            seconds: Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 16))),
        }
    }
}

impl Fleet {
    /// The nodes of some books.
    pub fn of(books: Books<'_>) -> Self {
        let mut fleet = Self::default();
        for (id, node) in &books.registry.nodes {
            let count = match node.status {
                NodeStatus::Active => &mut fleet.active,
                NodeStatus::Retired => &mut fleet.retired,
                NodeStatus::Revoked => &mut fleet.revoked,
            };
            *count += 1;
            let sends = books
                .marks
                .node(*id)
                .filter(|marks| node.status == NodeStatus::Active && !marks.stopped);
            if let Some(marks) = sends {
                // A window that ends ahead of our clock has no lag.
                let lag = books.now.0.checked_sub(marks.newest_end.0).map_or(0, |ms| ms);
                fleet.lag_ms = fleet.lag_ms.max(Some(lag));
            }
        }
        fleet
    }
}

impl Observed {
    /// Counts an answered request. `route` is the pattern, never the address, so that there are only so many.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        let route = ("route", route.to_owned());
        self.seconds
            .get_or_create(&vec![route.clone()])
            .observe(took.as_secs_f64());
        self.requests
            .get_or_create(&vec![route, ("status", status.to_string())])
            .inc();
    }

    /// The shell's counters with ours behind them.
    pub fn encode_behind(&self, shell: &str, fleet: &Fleet) -> String {
        let mut registry = Registry::default();
        self.register(registry.sub_registry_with_prefix(PREFIX), fleet);
        let mut ours = String::new();
        encode(&mut ours, &registry).expect("a string takes all text");
        plain(&[shell, &ours])
    }

    fn register(&self, ours: &mut Registry, fleet: &Fleet) {
        ours.register(
            "http_requests",
            "Requests that were answered",
            self.requests.clone(),
        );
        ours.register_with_unit(
            "http_request_duration",
            "Time from a request's head to its answer",
            Unit::Seconds,
            self.seconds.clone(),
        );
        let nodes = Family::<Labels, Gauge>::default();
        let by_status = [
            ("active", fleet.active),
            ("retired", fleet.retired),
            ("revoked", fleet.revoked),
        ];
        for (status, count) in by_status {
            nodes
                .get_or_create(&vec![("status", status.to_owned())])
                .set(count);
        }
        ours.register("nodes", "Nodes that ever joined", nodes);
        if let Some(ms) = fleet.lag_ms {
            let lag = Gauge::<f64, AtomicU64>::default();
            lag.set(Duration::from_millis(ms).as_secs_f64());
            ours.register_with_unit(
                "node_lag_max",
                "Time since the newest window of the active node that lags most ended",
                Unit::Seconds,
                lag,
            );
        }
    }
}

/// Several OpenMetrics texts as one in Prometheus' older format, which every tool reads: there a counter's
/// description bears its whole name, and neither units nor an end are said.
fn plain(texts: &[&str]) -> String {
    let lines = || texts.iter().flat_map(|text| text.lines());
    let type_of = |line: &'_ str| -> Option<(String, String)> {
        let (name, kind) = line.strip_prefix("# TYPE ")?.split_once(' ')?;
        Some((name.to_owned(), kind.to_owned()))
    };
    let counters: BTreeSet<String> = lines()
        .filter_map(type_of)
        .filter(|(_, kind)| kind == "counter")
        .map(|(name, _)| name)
        .collect();
    let mut out = String::new();
    for line in lines() {
        let described = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        match described.map(|(word, rest)| (word, rest.split_once(' '))) {
            Some((word @ ("HELP" | "TYPE"), Some((name, rest)))) if counters.contains(name) => {
                out.extend(["# ", word, " ", name, "_total ", rest, "\n"]);
            }
            Some(("UNIT", _)) => {}
            _ if line == "# EOF" => {}
            _ => out.extend([line, "\n"]),
        }
    }
    out
}
