//! The values that the golden files hold: one node, one spool, one minute.

use tallyman_common::ids::{BootId, Digest, NodeId, Nonce, Owner, SpoolId, StoreId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{
    Birth, Cause, Dims, Group, Hole, Inventory, Peak, Record, Row, State, WorkloadUse,
};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, Hour, WallMs};
use tallyman_common::wire::{CODEC_NONE, Draft, FLAG_CLEAN_STOP, FLAG_CLOCK_STEP, Header, VERSION};

pub const SEED: [u8; 32] = [0x42; 32];
pub const SPOOL: SpoolId = SpoolId([0x51; 16]);
pub const OLD_SPOOL: SpoolId = SpoolId([0x50; 16]);
pub const BOOT: BootId = BootId([0xb0; 16]);
pub const NONCE: Nonce = Nonce([0x0e; 16]);
pub const STORE: StoreId = StoreId([0x57; 16]);
pub const PREV: Digest = Digest([0xd1; 32]);
pub const SEQ: u64 = 258;
pub const HOUR: Hour = Hour(490_000);

pub fn key() -> NodeKey {
    NodeKey::from_seed(&SEED)
}

pub fn node() -> NodeId {
    NodeId::of_key(&key().public().to_bytes())
}

pub fn at(minute: u64) -> WallMs {
    WallMs(HOUR.start().0 + minute * 60_000)
}

pub fn draft() -> Draft {
    Header {
        version: VERSION,
        node: node(),
        spool: SPOOL,
        partition: 0,
        seq: SEQ,
        prev_digest: PREV,
        boot: BOOT,
        boot_start: BootMs(3_600_000),
        boot_end: BootMs(3_660_000),
        wall_start: at(1),
        wall_end: at(2),
        part: 0,
        parts: 1,
        flags: FLAG_CLEAN_STOP | FLAG_CLOCK_STEP,
        mapping_revision: 3,
        cpus: 8,
        leaves: 0,
        root: Digest::default(),
        raw_bytes: 0,
        codec: CODEC_NONE,
    }
}

pub fn claim() -> Owner {
    Owner::claim("华东-acme").unwrap()
}

fn row(meter: Meter, state: State, from: u128, to: u128) -> Row {
    let covered_ms = 60_000;
    Row {
        meter,
        state,
        covered_ms,
        from,
        to,
    }
}

/// A record with every kind of section that a tenant can have, and one of a kind that this release does not know.
pub fn full_record() -> Record {
    let mut record = Record::new(claim());
    record.groups = vec![
        Group {
            dims: Dims::new(),
            birth: Birth { spool: SPOOL, seq: 1 },
            rows: vec![
                row(Meter::CPU_TIME, State::Measured, 5, 60_000_000_005),
                row(
                    Meter::MEMORY_CURRENT,
                    State::Partial(Cause::AgentDown),
                    0,
                    1 << 70,
                ),
                row(Meter::MEMORY_SWAP, State::Unmeasured(Cause::NotAvailable), 9, 9),
            ],
        },
        Group {
            dims: Dims::from([("region".to_owned(), "东".to_owned())]),
            birth: Birth {
                spool: OLD_SPOOL,
                seq: 77,
            },
            rows: vec![row(Meter::DISK_READ_OPS, State::Measured, 0, 1)],
        },
    ]
    .into();
    record.workloads = vec![WorkloadUse {
        id: "0123abc".to_owned(),
        life: 4_711,
        name: "web-1".to_owned(),
        is_final: true,
        usage: vec![(Meter::CPU_TIME, 60_000_000_000)],
    }];
    record.peaks = vec![Peak {
        meter: Meter::MEMORY_CURRENT,
        dims: Vec::new(),
        level: 1 << 30,
    }];
    record.holes = vec![
        Hole {
            meter: None,
            cause: Cause::AgentDown,
            boot_start: BootMs(3_600_000),
            boot_end: BootMs(3_610_000),
            workload: String::new(),
        },
        Hole {
            meter: Some(Meter::MEMORY_SWAP),
            cause: Cause::NotAvailable,
            boot_start: BootMs(3_600_000),
            boot_end: BootMs(3_660_000),
            workload: "0123abc".to_owned(),
        },
    ];
    record.unknown = vec![(900, vec![0xca, 0xfe])];
    record
}

/// The machine's own record, with the inventory.
pub fn host_record() -> Record {
    let mut record = Record::new(Owner::Host);
    record.inventory = Some(Box::new(Inventory {
        host_name: "node-1".to_owned(),
        os: "Debian GNU/Linux 12".to_owned(),
        kernel: "6.1.0".to_owned(),
        cpus: 8,
        memory_bytes: 32 << 30,
        agent_version: "0.1.0".to_owned(),
    }));
    record
}

/// The smallest record that a frame can carry: nobody's, and nothing in it.
pub fn bare_record() -> Record {
    Record::new(Owner::Unattributed)
}
