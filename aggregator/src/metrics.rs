//! Counters for Prometheus: base units, names that `promtool check metrics` accepts. Usage and money never pass here.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use tallyman_aggregator_core::ingest::Reason;
use tallyman_aggregator_core::reconcile::Reconciliation;
use tallyman_common::time::WallMs;

use crate::handle::Status;

/// Label sets with one name.
pub type Labels = Vec<(&'static str, String)>;

/// All counters of the shell. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Batches that were not taken, by reason.
    pub refusals: Family<Labels, Counter>,
    /// Seconds of a commit.
    pub commit_seconds: Histogram,
    /// Batches of a commit.
    pub group_batches: Histogram,
    /// Bytes of frames received.
    pub frame_bytes: Counter,
    /// Live views received.
    pub live_views: Counter,
    /// Certificates given.
    pub certificates: Counter,
    /// Connections that failed or were refused, by cause.
    pub failed_connections: Family<Labels, Counter>,
    /// Connections of nodes that are open.
    pub connections: Gauge,
    /// Streams that were given up, by cause.
    pub streams_given_up: Family<Labels, Counter>,
    /// Connections that had to show first that their address is theirs.
    pub retries: Counter,
    /// Nodes that came with less than came from them before.
    pub rewound: Counter,
    /// Clones that were noted.
    pub clones: Counter,
    /// Times that a second process of a node connected: a clone, or a restart before the old connection was given up.
    pub second_processes: Counter,
    /// The newest reconciliation.
    pub reconciled: Reconciled,
    mirrored: Mirrored,
}

/// The newest reconciliation; nothing before the first.
#[derive(Debug, Clone, Default)]
pub struct Reconciled {
    day: Family<Labels, Gauge<u64, AtomicU64>>,
    ok: Family<Labels, Gauge<u64, AtomicU64>>,
    differences: Family<Labels, Gauge<u64, AtomicU64>>,
    batches: Family<Labels, Gauge<u64, AtomicU64>>,
}

impl Reconciled {
    /// Shows a result; `day` is the day's first instant.
    pub fn set(&self, day: WallMs, result: &Reconciliation) {
        let set = |family: &Family<Labels, Gauge<u64, AtomicU64>>, labels: Labels, value: u64| {
            family.get_or_create(&labels).set(value);
        };
        set(&self.day, Vec::new(), day.0 / 1_000);
        set(&self.ok, Vec::new(), u64::from(result.ok));
        set(&self.differences, Vec::new(), result.count());
        let fates = result.batches;
        for (fate, batches) in [
            ("sent", fates.sent),
            ("summed", fates.summed),
            ("held", fates.held),
            ("discarded", fates.discarded),
            ("missing", fates.missing),
        ] {
            set(&self.batches, vec![("fate", fate.to_owned())], batches);
        }
    }

    /// A day could not be compared at all.
    pub fn fail(&self) {
        self.ok.get_or_create(&Vec::new()).set(0);
    }

    fn register(&self, r: &mut Registry) {
        r.register_with_unit(
            "reconciliation_day_timestamp",
            "Start of the day that was reconciled last",
            Unit::Seconds,
            self.day.clone(),
        );
        r.register(
            "reconciliation_ok",
            "1: the day's books agree; 0: they do not, or could not be compared",
            self.ok.clone(),
        );
        r.register(
            "reconciliation_differences",
            "What does not agree on the day",
            self.differences.clone(),
        );
        r.register(
            "reconciliation_batches",
            "Batches of the day by what became of them; sent is the sum of the others",
            self.batches.clone(),
        );
    }
}

/// What the core counts, copied when it is asked for.
#[derive(Debug, Clone, Default)]
struct Mirrored {
    counted: Counter<u64, AtomicU64>,
    records: Counter<u64, AtomicU64>,
    duplicates: Counter<u64, AtomicU64>,
    held: Counter<u64, AtomicU64>,
    position: Gauge<u64, AtomicU64>,
    free: Gauge<u64, AtomicU64>,
    reserve: Gauge<u64, AtomicU64>,
    sealed_until: Gauge<u64, AtomicU64>,
    holes: Gauge<u64, AtomicU64>,
}

impl Mirrored {
    fn register(&self, r: &mut Registry) {
        let core = self;
        r.register("batches_counted", "Batches counted", core.counted.clone());
        r.register("records_counted", "Records counted", core.records.clone());
        r.register(
            "batches_duplicate",
            "Batches acknowledged again",
            core.duplicates.clone(),
        );
        r.register("batches_held", "Batches held for a decision", core.held.clone());
        r.register(
            "log_position",
            "Position of the newest log entry",
            core.position.clone(),
        );
        r.register_with_unit(
            "disk_free",
            "Free space of the store's disk",
            Unit::Bytes,
            core.free.clone(),
        );
        r.register_with_unit(
            "disk_reserve",
            "Free space below which batches are not taken",
            Unit::Bytes,
            core.reserve.clone(),
        );
        r.register_with_unit(
            "sealed_until_timestamp",
            "Instant before which all hours are sealed; 0 before the first seal",
            Unit::Seconds,
            core.sealed_until.clone(),
        );
        r.register(
            "holes",
            "Judged holes in the batches of nodes",
            core.holes.clone(),
        );
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            refusals: Family::default(),
            // 0.5 ms to 16 s.
            commit_seconds: Histogram::new(exponential_buckets(0.0005, 2.0, 16)),
            group_batches: Histogram::new(exponential_buckets(1.0, 2.0, 10)),
            frame_bytes: Counter::default(),
            live_views: Counter::default(),
            certificates: Counter::default(),
            failed_connections: Family::default(),
            connections: Gauge::default(),
            streams_given_up: Family::default(),
            retries: Counter::default(),
            rewound: Counter::default(),
            clones: Counter::default(),
            second_processes: Counter::default(),
            reconciled: Reconciled::default(),
            mirrored: Mirrored::default(),
        }
    }
}

impl Metrics {
    /// Counts a batch that was not taken.
    pub fn refused(&self, reason: Reason) {
        self.refusals
            .get_or_create(&vec![("reason", reason.label())])
            .inc();
    }

    /// Counts a connection that failed.
    pub fn failed(&self, cause: &str) {
        self.failed_connections
            .get_or_create(&vec![("cause", cause.to_owned())])
            .inc();
    }

    /// Counts a stream that was given up.
    pub fn gave_up(&self, cause: &str) {
        self.streams_given_up
            .get_or_create(&vec![("cause", cause.to_owned())])
            .inc();
    }

    /// Registers everything; the caller encodes the registry.
    pub fn register(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("tallyman_aggregator");
        r.register(
            "batches_refused",
            "Batches that were not taken",
            self.refusals.clone(),
        );
        r.register_with_unit(
            "commit",
            "Duration of a commit",
            Unit::Seconds,
            self.commit_seconds.clone(),
        );
        r.register(
            "group_batches",
            "Batches of one commit",
            self.group_batches.clone(),
        );
        r.register_with_unit("frame", "Frames received", Unit::Bytes, self.frame_bytes.clone());
        r.register("live_views", "Live views received", self.live_views.clone());
        r.register("certificates", "Certificates given", self.certificates.clone());
        r.register(
            "connections_failed",
            "Connections of agents that failed or were refused",
            self.failed_connections.clone(),
        );
        r.register(
            "connections_open",
            "Open connections of nodes",
            self.connections.clone(),
        );
        r.register(
            "streams_given_up",
            "Streams of agents that were given up before their batch had come",
            self.streams_given_up.clone(),
        );
        r.register(
            "connections_retried",
            "Connections that had to show first that their address is theirs",
            self.retries.clone(),
        );
        r.register(
            "nodes_rewound",
            "Times that a node came with less than had come from it before",
            self.rewound.clone(),
        );
        r.register(
            "clones",
            "Nodes that two hosts were found to speak for",
            self.clones.clone(),
        );
        r.register(
            "second_processes",
            "Times that another process of a connected node connected",
            self.second_processes.clone(),
        );
        self.reconciled.register(r);
        self.mirrored.register(r);
    }

    /// Everything as Prometheus' text.
    pub fn encode(&self, status: &Status) -> String {
        let core = &self.mirrored;
        let pairs = [
            (&core.counted, status.counters.counted),
            (&core.records, status.counters.records),
            (&core.duplicates, status.counters.duplicates),
            (&core.held, status.counters.held),
        ];
        for (counter, value) in pairs {
            counter.inner().store(value, Ordering::Relaxed);
        }
        core.position.set(status.position);
        core.free.set(status.room.space.free_bytes);
        core.reserve.set(status.room.space.reserve_bytes());
        core.sealed_until.set(status.sealed_until.0 / 1_000);
        core.holes.set(status.holes);
        let mut registry = Registry::default();
        self.register(&mut registry);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("a string takes all text");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_has_the_cores_counters_and_the_reasons() {
        let metrics = Metrics::default();
        metrics.refused(Reason::Signature);
        let mut status = Status::default();
        status.counters.records = 42;
        status.room.space.free_bytes = 7;
        let text = metrics.encode(&status);
        assert!(
            text.contains("tallyman_aggregator_records_counted_total 42\n"),
            "{text}"
        );
        assert!(text.contains("tallyman_aggregator_batches_refused_total{reason=\"signature\"} 1\n"));
        assert!(text.contains("tallyman_aggregator_disk_free_bytes 7\n"), "{text}");
        assert!(
            text.contains("tallyman_aggregator_commit_seconds_bucket"),
            "{text}"
        );
    }
}
