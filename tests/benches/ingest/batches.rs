//! Batches as an agent would make them: 100 owners with 8 meters each, readings that go on from minute to minute,
//! signed. Made before anything is measured, kept in memory as the bytes that cross the wire.

use tallyman_common::ids::{BootId, Digest, NodeId, Owner, Seq, SpoolId};
use tallyman_common::message::Message;
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Dims, Group, Record, Row, State};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, MINUTE_MS, WallMs};
use tallyman_common::wire::{self, CODEC_NONE, Header, VERSION};

/// Owners of one node, each in every batch of it.
pub const RECORDS: usize = 100;
/// A meter and the most that it may grow by in a minute.
const METERS: [(Meter, u64); 8] = [
    (Meter::CPU_TIME, 600_000_000),
    (Meter::MEMORY_CURRENT, 240_000_000_000_000),
    (Meter::MEMORY_ANON, 180_000_000_000_000),
    (Meter::DISK_READ_BYTES, 200_000_000),
    (Meter::DISK_WRITE_BYTES, 200_000_000),
    (Meter::DISK_WRITE_OPS, 50_000),
    (Meter::NETWORK_RECEIVE_BYTES, 400_000_000),
    (Meter::NETWORK_TRANSMIT_BYTES, 400_000_000),
];
/// Processors of the pretended machine; its owners use less than they give.
const CPUS: u32 = 64;

/// One node's metering so far.
pub struct Maker {
    key: NodeKey,
    spool: SpoolId,
    first_minute: WallMs,
    owners: Vec<Owner>,
    readings: Vec<[u128; METERS.len()]>,
    seq: Seq,
    prev_digest: Digest,
    noise: Noise,
}

impl Maker {
    /// Node `number`, whose first window begins at `first_minute`.
    pub fn new(number: usize, key: NodeKey, first_minute: WallMs) -> Self {
        let claim = |i| Owner::claim(&tenant(number * RECORDS + i)).expect("a valid claim");
        Self {
            spool: spool(&key),
            key,
            first_minute,
            owners: (0..RECORDS).map(claim).collect(),
            readings: vec![[0; METERS.len()]; RECORDS],
            seq: 0,
            prev_digest: Digest::default(),
            noise: Noise(number as u64),
        }
    }

    /// The next minute's batch, as the message that carries it, and the CPU reading of the first owner at its end.
    pub fn next(&mut self) -> (Vec<u8>, u128) {
        self.seq += 1;
        let birth = Birth {
            spool: self.spool,
            seq: 1,
        };
        let records: Vec<Record> = (0..RECORDS).map(|i| self.record(i, birth)).collect();
        let sealed = wire::seal(self.header(), &records, &self.key);
        let (header, frame) = sealed.expect("a hundred records are far below the limit");
        self.prev_digest = header.digest();
        (Message::Batch(frame).encode(), self.readings[0][0])
    }

    fn record(&mut self, at: usize, birth: Birth) -> Record {
        let mut rows = Vec::with_capacity(METERS.len());
        for (reading, (meter, growth)) in self.readings[at].iter_mut().zip(METERS) {
            let from = *reading;
            *reading += u128::from(self.noise.below(growth));
            rows.push(Row {
                meter,
                state: State::Measured,
                covered_ms: MINUTE_MS,
                from,
                to: *reading,
            });
        }
        let mut record = Record::new(self.owners[at].clone());
        record.groups.push(Group {
            dims: Dims::new(),
            birth,
            rows,
        });
        record
    }

    fn header(&self) -> Header {
        let boot_start = self.seq * MINUTE_MS;
        let wall_start = self.first_minute.0 + (self.seq - 1) * MINUTE_MS;
        Header {
            version: VERSION,
            node: node_of(&self.key),
            spool: self.spool,
            partition: 0,
            seq: self.seq,
            prev_digest: self.prev_digest,
            boot: BootId(self.spool.0),
            boot_start: BootMs(boot_start),
            boot_end: BootMs(boot_start + MINUTE_MS),
            wall_start: WallMs(wall_start),
            wall_end: WallMs(wall_start + MINUTE_MS),
            part: 0,
            parts: 1,
            flags: 0,
            mapping_revision: 1,
            cpus: CPUS,
            leaves: 0,
            root: Digest::default(),
            raw_bytes: 0,
            codec: CODEC_NONE,
        }
    }
}

/// The frame in a message made by [`Maker::next`]: behind its length and its kind.
pub fn frame_of(message: &[u8]) -> &[u8] {
    &message[6..]
}

/// Key of tenant `number`, which is also its claim.
pub fn tenant(number: usize) -> String {
    format!("tenant-{number:06}")
}

/// The node of a key.
pub fn node_of(key: &NodeKey) -> NodeId {
    NodeId::of_key(&key.public().to_bytes())
}

/// The one spool of a node.
pub fn spool(key: &NodeKey) -> SpoolId {
    SpoolId(node_of(key).0)
}

/// Numbers without a pattern, the same in every run (splitmix64).
struct Noise(u64);

impl Noise {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}
