//! What a batch costs when each part of the work runs alone, on one thread, over the same bytes.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tallyman_aggregator::io::rocks::{Create, RocksStore};
use tallyman_aggregator_core::aggregator::{Aggregator, Event, initialise};
use tallyman_aggregator_core::ingest::Checked;
use tallyman_aggregator_core::log::{Entry, Fate, position_key};
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Changes, Read, Store, StoreError, Table, Visit};
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::rollup::Rollup;
use tallyman_aggregator_core::rollup::fold::BatchPlace;
use tallyman_common::ids::{Digest, StoreId};
use tallyman_common::message::ALPN_INGEST;
use tallyman_common::record::Record;
use tallyman_common::sign::{NodeKey, PublicKey};
use tallyman_common::time::{HOUR_MS, WallMs};
use tallyman_common::tree::{SALT_BYTES, leaf_hash, root};
use tallyman_common::wire::{Frame, Header, RAW_BYTES_MAX};

use super::batches::{frame_of, node_of};
use super::fleet::{self, Node};
use super::load::{Stock, flood};
use super::sink::Sink;
use crate::benches::cost::{cpu_of_this_process, cpu_of_this_thread};

/// CPU time per batch of each part.
pub struct Parts {
    /// Taking the header apart and checking its signature.
    pub verify: Duration,
    /// Decompressing, and the tree over the leaves.
    pub tree: Duration,
    /// Records out of leaves.
    pub unpack: Duration,
    /// Records into cells, and the bytes of cells that are due.
    pub fold: Duration,
    /// The core's whole step: fold, duplicates, watermarks, log entry; for comparison.
    pub core_step: Duration,
    /// RocksDB: appending the frames in groups, each synced; flushes and compactions included.
    pub append: Duration,
    /// Receiving the messages over QUIC and answering them.
    pub receive: Duration,
}

impl Parts {
    /// The sum; the core's whole step is not in it, only its fold.
    pub fn sum(&self) -> Duration {
        self.verify + self.tree + self.unpack + self.fold + self.append + self.receive
    }
}

/// The bytes of the measured run in the order of its minutes, and how it grouped them.
pub struct Sample {
    /// Stocks of all nodes.
    pub stocks: Vec<Arc<Stock>>,
    /// Batches of each node that are used.
    pub rounds: usize,
    /// Batches of one commit.
    pub group: usize,
    /// Time that the measured run took for as many batches.
    pub span: Duration,
}

impl Sample {
    fn frames(&self) -> impl Iterator<Item = (usize, &[u8])> {
        let of_round = |round: usize| {
            let all = self.stocks.iter().enumerate();
            all.map(move |(node, stock)| (node, frame_of(&stock.messages[round])))
        };
        (0..self.rounds).flat_map(of_round)
    }

    fn batches(&self) -> u32 {
        u32::try_from(self.rounds * self.stocks.len()).expect("a bounded sample")
    }

    /// When batch `at` would have come in the measured run.
    fn moment(&self, at: usize) -> WallMs {
        let passed = self.span.as_millis() * at as u128 / u128::from(self.batches());
        WallMs(fleet::now().0 + u64::try_from(passed).expect("a minute or so"))
    }
}

/// Measures all parts, one after the other. `folder` lies where the aggregator's data lie.
pub fn measure(runtime: &tokio::runtime::Runtime, sample: &Sample, folder: &Path) -> Result<Parts> {
    let keys: Vec<PublicKey> = (0..sample.stocks.len())
        .map(|n| NodeKey::from_seed(&Node::seed(n)).public())
        .collect();
    let (verify, tree, unpack) = open_alone(sample, &keys)?;
    Ok(Parts {
        verify,
        tree,
        unpack,
        fold: fold_alone(sample)?,
        core_step: step_alone(sample)?,
        append: append_alone(sample, folder)?,
        receive: runtime.block_on(receive_alone(sample))?,
    })
}

/// CPU time of this thread while `work` runs, added to `sum`.
fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let before = cpu_of_this_thread();
    let done = work();
    *sum += cpu_of_this_thread() - before;
    done
}

fn open_alone(sample: &Sample, keys: &[PublicKey]) -> Result<(Duration, Duration, Duration)> {
    let mut sums = [Duration::ZERO; 3];
    for (node, frame) in sample.frames() {
        let payload = Frame::parse(frame)?.payload;
        timed(&mut sums[0], || {
            Frame::parse(frame)?.verify(&keys[node]).map(drop)
        })?;
        let (raw, found) = timed(&mut sums[1], || tree_of(payload))?;
        anyhow::ensure!(
            found == Frame::parse(frame)?.header.root,
            "the tree's root is the signed one"
        );
        let leaves = split(&raw)?;
        timed(&mut sums[2], || {
            leaves
                .iter()
                .try_for_each(|leaf| Record::decode(&leaf[SALT_BYTES..]).map(drop))
        })?;
    }
    let [verify, tree, unpack] = sums.map(|sum| sum / sample.batches());
    Ok((verify, tree, unpack))
}

fn tree_of(payload: &[u8]) -> Result<(Vec<u8>, Digest)> {
    let raw = zstd::bulk::decompress(payload, RAW_BYTES_MAX)?;
    let hashes: Vec<Digest> = split(&raw)?.into_iter().map(leaf_hash).collect();
    Ok((raw, root(&hashes)))
}

fn split(raw: &[u8]) -> Result<Vec<&[u8]>> {
    let (mut rest, mut leaves) = (raw, Vec::new());
    while let Some((front, behind)) = rest.split_first_chunk::<4>() {
        let (leaf, next) = behind
            .split_at_checked(u32::from_le_bytes(*front) as usize)
            .context("a whole leaf")?;
        leaves.push(leaf);
        rest = next;
    }
    Ok(leaves)
}

fn records_of(frame: &[u8]) -> Result<(Header, Vec<Record>)> {
    let parsed = Frame::parse(frame)?;
    let raw = zstd::bulk::decompress(parsed.payload, RAW_BYTES_MAX)?;
    let leaves = split(&raw)?;
    let records = leaves
        .iter()
        .map(|leaf| Record::decode(&leaf[SALT_BYTES..]))
        .collect::<Result<_, _>>()?;
    Ok((parsed.header, records))
}

fn fold_alone(sample: &Sample) -> Result<Duration> {
    let (mut sum, empty, mut rollup) = (Duration::ZERO, MemoryStore::default(), Rollup::default());
    for (at, (_, frame)) in sample.frames().enumerate() {
        let (header, records) = records_of(frame)?;
        let now = sample.moment(at);
        timed(&mut sum, || {
            let position = at as u64 + 1;
            let group = rollup.group("default");
            let place = BatchPlace::new(position, None, group, &header).context("after 1970")?;
            rollup.fold(&place, &records, now, &empty)?;
            if at % sample.group == 0 {
                rollup.flush(now, false, &mut Changes::default());
            }
            anyhow::Ok(())
        })?;
    }
    Ok(sum / sample.batches())
}

/// A store that forgets what is committed, so that the core's own work is left.
struct Forgetful(MemoryStore);

impl Read for Forgetful {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.0.scan(table, from, to, visit)
    }
}

impl Store for Forgetful {
    fn commit(&mut self, _: &Changes) -> Result<(), StoreError> {
        Ok(())
    }
}

fn step_alone(sample: &Sample) -> Result<Duration> {
    let mut made = MemoryStore::default();
    initialise(&mut made, StoreId([1; 16]))?;
    let mut aggregator = Aggregator::open(&made, sample.moment(0))?;
    let (mut sum, mut store) = (Duration::ZERO, Forgetful(made));
    for node in 0..sample.stocks.len() {
        for command in enrolment(node) {
            let (actor, source) = ("bench".to_owned(), "bench".to_owned());
            let event = Event::Command {
                ticket: 0,
                actor,
                source,
                command,
            };
            aggregator.step(sample.moment(0), event, &store)?;
        }
    }
    aggregator.commit(sample.moment(0), false, &mut store)?;
    for (at, (_, frame)) in sample.frames().enumerate() {
        let checked = Box::new(checked(frame)?);
        let now = sample.moment(at);
        timed(&mut sum, || {
            aggregator.step(now, Event::Batch(at as u64, checked), &store)?;
            if at % sample.group == 0 {
                aggregator.commit(now, false, &mut store)?;
            }
            anyhow::Ok(())
        })?;
    }
    anyhow::ensure!(
        aggregator.counters().counted == u64::from(sample.batches()),
        "every batch counts"
    );
    Ok(sum / sample.batches())
}

/// The decisions that make node `number` known.
fn enrolment(number: usize) -> [Command; 2] {
    let key = NodeKey::from_seed(&Node::seed(number));
    let token = Digest::of(&[&number.to_le_bytes()]);
    let join = Command::CreateNodeToken {
        id: format!("join-{number}"),
        hash: token,
        group: "default".to_owned(),
        expires: WallMs(fleet::now().0 + HOUR_MS),
    };
    let enrol = Command::EnrolNode {
        token,
        node: node_of(&key),
        signing_key: key.public().to_bytes(),
        host_name: format!("bench-{number}"),
    };
    [join, enrol]
}

fn checked(frame: &[u8]) -> Result<Checked> {
    let (header, records) = records_of(frame)?;
    let parsed = Frame::parse(frame)?;
    Ok(Checked {
        digest: parsed.digest(),
        signed: [parsed.header_bytes, parsed.signature].concat(),
        header,
        frame: frame.to_vec(),
        records: Ok(records),
        implausible: false,
    })
}

/// Other threads of this process are RocksDB's own then: flushes and compactions count.
fn append_alone(sample: &Sample, folder: &Path) -> Result<Duration> {
    let folder = tempfile::tempdir_in(folder)?;
    let mut store = RocksStore::open(folder.path(), Create::Yes)?;
    let frames: Vec<&[u8]> = sample.frames().map(|(_, frame)| frame).collect();
    let before = cpu_of_this_process();
    let mut position = 0u64;
    for group in frames.chunks(sample.group) {
        let mut changes = Changes::default();
        for frame in group {
            position += 1;
            let entry = Entry::encode(Fate::Counted, WallMs(position), frame);
            changes.put(Table::Log, position_key(position), entry);
        }
        store.commit(&changes)?;
    }
    Ok((cpu_of_this_process() - before) / sample.batches())
}

/// How long receiving may take at most.
const RECEIVE_MAX: Duration = Duration::from_secs(120);

async fn receive_alone(sample: &Sample) -> Result<Duration> {
    let (sink, endpoint) = (Sink::start()?, fleet::endpoint()?);
    let config = fleet::client(&sink.ca, None, ALPN_INGEST)?;
    let mut connections = Vec::with_capacity(sample.stocks.len());
    for _ in &sample.stocks {
        connections.push(
            endpoint
                .connect_with(config.clone(), sink.address, fleet::SERVER_NAME)?
                .await?,
        );
    }
    let stocks: Vec<Arc<Stock>> = sample.stocks.iter().map(|s| s.again(sample.rounds)).collect();
    let before = sink.cpu().await?;
    let sent = flood(&connections, &stocks, RECEIVE_MAX).await?;
    let cpu = sink.cpu().await? - before;
    sink.stop()?;
    Ok(cpu / u32::try_from(sent.batches).context("a bounded sample")?)
}
