//! Durable ingest over QUIC: the real aggregator on RocksDB in a process of its own, a thousand nodes with a
//! connection each, and a generator on the same processors. Then the parts alone, and answers at a tenth of the load.

/// Batches as an agent would make them.
mod batches;
/// Nodes with keys, certificates and connections.
mod fleet;
/// The generator.
mod load;
/// What the parts cost alone.
mod parts;
/// Whether counted usage can be read.
mod probe;
/// A receiver and nothing else.
mod sink;
/// CPU time by who spent it.
mod spent;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quinn::{Connection, Endpoint};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;
use tallyman_aggregator::limits::GROUP_WAIT;
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{HOUR_MS, WallMs};

use self::batches::{Maker, RECORDS, tenant};
use self::fleet::Node;
use self::load::{Sent, Stock, flood, pace};
use self::parts::{Parts, Sample};
use self::spent::{Spent, tell_cpu};
use super::cost::{cpu_of, cpu_of_all, cpu_of_this_process, disk_of, memory_of};
use super::report::{Report, Target};
use super::say;
use tallyman_tests::e2e::http;
use tallyman_tests::e2e::site::Site;

/// How much of everything.
struct Scale {
    nodes: usize,
    warm_up: Duration,
    load: Duration,
    latency: Duration,
    /// Batches of each node for the warm-up.
    first: usize,
    /// Batches of each node at most, the warm-up's apart.
    most: usize,
    /// Batches of each node for the parts.
    rounds: usize,
}

const FULL: Scale = Scale {
    nodes: 1_000,
    warm_up: Duration::from_secs(8),
    load: Duration::from_secs(60),
    latency: Duration::from_secs(30),
    first: 60,
    most: 540,
    rounds: 60,
};
const QUICK: Scale = Scale {
    nodes: 8,
    warm_up: Duration::from_millis(200),
    load: Duration::from_millis(500),
    latency: Duration::from_millis(500),
    first: 40,
    most: 60,
    rounds: 2,
};

/// All windows of a node lie in this many hours before now.
const HOURS_BACK: u64 = 11;
/// Hours and minutes agree: every window ends before now.
const _: () = assert!((FULL.first + FULL.most) as u64 <= HOURS_BACK * 60);

/// The measurement.
pub fn run(quick: bool) -> Result<Report> {
    let scale = if quick { QUICK } else { FULL };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    say("starting an aggregator and enrolling nodes");
    let mut bench = Bench::prepare(&runtime, &scale)?;
    bench.make(scale.first)?;
    say("warming up");
    let warm = runtime.block_on(flood(&bench.connections, &bench.stocks, scale.warm_up))?;
    let per_node = per_second(&warm) * scale.load.as_secs_f64() / scale.nodes as f64;
    let more = ((per_node * 1.2).ceil() as usize).min(scale.most);
    say(&format!("making {more} batches for each node"));
    bench.make(more)?;
    let mut report = Report::new("ingest");
    let loaded = bench.load(&runtime, &scale, &mut report)?;
    let parts = bench.parts(&runtime, &scale, &loaded)?;
    judge(&mut report, &loaded, &parts);
    let tenth = per_second(&loaded.sent) / 10.0;
    bench.make((tenth * scale.latency.as_secs_f64() / scale.nodes as f64).ceil() as usize + 1)?;
    bench.latency(&runtime, &scale, tenth, &mut report)?;
    Ok(report)
}

fn per_second(sent: &Sent) -> f64 {
    sent.batches as f64 / sent.took.as_secs_f64()
}

fn us(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// The running aggregator and its nodes.
struct Bench {
    site: Site,
    pid: u32,
    _endpoint: Endpoint,
    connections: Vec<Connection>,
    makers: Vec<Maker>,
    stocks: Vec<Arc<Stock>>,
}

/// What the run at full load showed.
struct Loaded {
    sent: Sent,
    cpu_per_batch: Duration,
    group: usize,
}

impl Bench {
    fn prepare(runtime: &tokio::runtime::Runtime, scale: &Scale) -> Result<Self> {
        let probed = tenant(0);
        let site = Site::new(&[&probed], "")?;
        let pid = site.aggregator.as_ref().context("it runs")?.pid();
        let server = SocketAddr::from(([127, 0, 0, 1], site.quic));
        let ca = CertificateDer::from_pem_file(site.path("aggregator/keys/ca.pem"))?;
        let count = scale.nodes.to_string();
        let made: Value =
            serde_json::from_str(&site.admin(&["--json", "node", "token", "--count", &count])?)?;
        let tokens = made.as_array().context("a list of tokens")?.iter();
        let tokens = tokens.map(|t| t["token"].as_str().map(str::to_owned).context("`token`"));
        let tokens: Vec<String> = tokens.collect::<Result<_>>()?;
        let (endpoint, connections) = runtime.block_on(async {
            let endpoint = fleet::endpoint()?;
            let nodes = fleet::enrol(&endpoint, server, &ca, tokens).await?;
            let connections = fleet::connect(&endpoint, server, &ca, &nodes).await?;
            anyhow::Ok((endpoint, connections))
        })?;
        let this_hour = fleet::now().hour().start().0;
        let first_minute = WallMs(this_hour - HOURS_BACK * HOUR_MS);
        let maker = |n| Maker::new(n, NodeKey::from_seed(&Node::seed(n)), first_minute);
        let makers = (0..scale.nodes).map(maker).collect();
        let stocks = (0..scale.nodes).map(|_| Arc::default()).collect();
        Ok(Self {
            site,
            pid,
            _endpoint: endpoint,
            connections,
            makers,
            stocks,
        })
    }

    /// Makes more batches for each node, on all processors.
    fn make(&mut self, more: usize) -> Result<()> {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        let share = self.makers.len().div_ceil(workers);
        let made: Vec<Vec<(Vec<u8>, u128)>> = std::thread::scope(|scope| {
            let running: Vec<_> = self
                .makers
                .chunks_mut(share)
                .map(|makers| {
                    scope.spawn(move || makers.iter_mut().map(|m| batch_list(m, more)).collect::<Vec<_>>())
                })
                .collect();
            running
                .into_iter()
                .flat_map(|worker| worker.join().expect("making batches does not panic"))
                .collect()
        });
        let old = std::mem::take(&mut self.stocks);
        self.stocks = old
            .into_iter()
            .zip(made)
            .map(|(stock, more)| stock.grown(more))
            .collect::<Result<_>>()?;
        Ok(())
    }

    fn load(&self, runtime: &tokio::runtime::Runtime, scale: &Scale, report: &mut Report) -> Result<Loaded> {
        say(&format!("sending for {} s", scale.load.as_secs_f64()));
        let (disk, groups) = (disk_of(&self.site.path("aggregator")), self.groups()?);
        let (cpu, own, all) = (cpu_of(self.pid)?, cpu_of_this_process(), cpu_of_all()?);
        let probe = probe::start(&self.site, self.stocks[0].clone());
        let sent = runtime.block_on(flood(&self.connections, &self.stocks, scale.load))?;
        let (busy, own) = (cpu_of(self.pid)? - cpu, cpu_of_this_process() - own);
        let all = cpu_of_all()? - all;
        let readable = probe.end()?;
        self.settle()?;
        let whole = cpu_of(self.pid)? - cpu;
        let batches = u32::try_from(sent.batches).context("a bounded run")?;
        let records = sent.batches as f64 * RECORDS as f64;
        let groups = (self.groups()?.0 - groups.0, self.groups()?.1 - groups.1);
        let per_second = records / sent.took.as_secs_f64();
        report.judged(
            "records durable",
            per_second,
            "records/s",
            Target::AtLeast(500_000.0),
        );
        report.figure(
            "batches durable",
            sent.batches as f64 / sent.took.as_secs_f64(),
            "batches/s",
        );
        report.figure(
            "time from the first byte to the last answer",
            sent.took.as_secs_f64(),
            "s",
        );
        report.figure("batches of one commit", groups.0 / groups.1, "batches");
        report.figure("on the wire", sent.bytes as f64 / records, "bytes/record");
        // A short run may leave less than was there: log files go when their tables are written.
        let grown = disk_of(&self.site.path("aggregator")) as f64 - disk as f64;
        report.figure("on disk, afterwards", grown / records, "bytes/record");
        report.figure(
            "aggregator's memory, most",
            memory_of(self.pid, "VmHWM")? as f64 / 1e6,
            "MB",
        );
        let spent = Spent {
            busy,
            whole,
            own,
            all,
            batches,
            took: sent.took,
        };
        tell_cpu(&spent, report)?;
        match readable {
            Some(most) => report.judged(
                "counted, then readable over HTTP, most",
                most.as_secs_f64(),
                "s",
                Target::AtMost(5.0),
            ),
            None => report.note("readable within 5 s: not asked, a month's edge lies in the windows"),
        }
        if self.stocks.iter().any(|s| s.left() == 0) {
            report.note("some nodes ran out of batches before the time was over");
        }
        let group = (groups.0 / groups.1).round().max(1.0) as usize;
        Ok(Loaded {
            sent,
            cpu_per_batch: whole / batches,
            group,
        })
    }

    /// Batches and commits so far, as the aggregator counts them.
    fn groups(&self) -> Result<(f64, f64)> {
        let (status, text) = http::get(self.site.http, "/metrics", Some(&self.site.token))?;
        anyhow::ensure!(status == 200, "/metrics: {status} {text}");
        let value = |name: &str| {
            let line = text.lines().find_map(|l| l.strip_prefix(name));
            line.with_context(|| format!("no {name} in the metrics"))?
                .trim()
                .parse::<f64>()
                .context("a number")
        };
        Ok((
            value("tallyman_aggregator_group_batches_sum")?,
            value("tallyman_aggregator_group_batches_count")?,
        ))
    }

    /// Waits until flushes and compactions are done: next to no CPU time for a second.
    fn settle(&self) -> Result<()> {
        let end = Instant::now() + Duration::from_secs(60);
        let mut before = cpu_of(self.pid)?;
        while Instant::now() < end {
            std::thread::park_timeout(Duration::from_secs(1));
            let now = cpu_of(self.pid)?;
            if now - before <= Duration::from_millis(30) {
                break;
            }
            before = now;
        }
        Ok(())
    }

    fn parts(&self, runtime: &tokio::runtime::Runtime, scale: &Scale, loaded: &Loaded) -> Result<Parts> {
        say("the parts alone");
        let batches = (scale.rounds * scale.nodes) as f64;
        let sample = Sample {
            stocks: self.stocks.clone(),
            rounds: scale.rounds,
            group: loaded.group,
            span: Duration::from_secs_f64(batches / per_second(&loaded.sent)),
        };
        parts::measure(runtime, &sample, &self.site.path("."))
    }

    fn latency(
        &self,
        runtime: &tokio::runtime::Runtime,
        scale: &Scale,
        rate: f64,
        report: &mut Report,
    ) -> Result<()> {
        say("a tenth of the load");
        self.settle()?;
        let sync = fdatasync(&self.site.path("."))?;
        let mut took = runtime.block_on(pace(&self.connections, &self.stocks, rate, scale.latency))?;
        took.sort();
        let rank = |percent: usize| took[(took.len() * percent / 100).min(took.len() - 1)];
        let bound = sync + GROUP_WAIT;
        report.figure("latency: batches", took.len() as f64, "batches");
        report.figure("latency: median fdatasync of 4 KiB", us(sync), "µs");
        report.figure("latency: fdatasync + group tick", us(bound), "µs");
        report.figure("latency: answer, p50", us(rank(50)), "µs");
        report.figure("latency: answer, p99", us(rank(99)), "µs");
        report.figure("latency: answer, most", us(took[took.len() - 1]), "µs");
        let ratio = rank(99).as_secs_f64() / bound.as_secs_f64();
        report.judged(
            "latency: p99 / (fdatasync + group tick)",
            ratio,
            "×",
            Target::AtMost(10.0),
        );
        Ok(())
    }
}

fn batch_list(maker: &mut Maker, count: usize) -> Vec<(Vec<u8>, u128)> {
    (0..count).map(|_| maker.next()).collect()
}

fn judge(report: &mut Report, loaded: &Loaded, parts: &Parts) {
    let lines = [
        ("alone: header and signature", parts.verify),
        ("alone: decompress and tree", parts.tree),
        ("alone: unpack", parts.unpack),
        ("alone: fold", parts.fold),
        ("alone: RocksDB append with sync", parts.append),
        ("alone: quinn receive", parts.receive),
        ("alone: sum", parts.sum()),
        (
            "(the core's whole step, of which fold is a part)",
            parts.core_step,
        ),
    ];
    lines
        .iter()
        .for_each(|(name, cpu)| report.figure(name, us(*cpu), "µs/batch"));
    let ratio = loaded.cpu_per_batch.as_secs_f64() / parts.sum().as_secs_f64();
    report.judged(
        "aggregator's CPU per batch / sum of its parts",
        ratio,
        "×",
        Target::AtMost(1.5),
    );
}

/// Median of appending 4 KiB and syncing it, in the folder that the aggregator uses.
fn fdatasync(folder: &Path) -> Result<Duration> {
    const TIMES: usize = 200;
    let path = folder.join("fdatasync");
    let mut file = File::create(&path)?;
    let mut took = Vec::with_capacity(TIMES);
    for _ in 0..TIMES {
        let start = Instant::now();
        file.write_all(&[0x5a; 4_096])?;
        file.sync_data()?;
        took.push(start.elapsed());
    }
    std::fs::remove_file(&path)?;
    took.sort();
    Ok(took[TIMES / 2])
}
