//! The meters that the agent's sources make, as places in fixed arrays.
//!
//! Counters count in the meter's base unit. Gauges are kept in doubled byte-nanoseconds, so that the mean of two
//! levels needs no half; [`GAUGE_PER_BASE`] of them are one byte-millisecond.

use tallyman_common::meter::Meter;

/// How many meters.
pub const COUNT: usize = 13;

/// The meter at each place, rising.
pub const METERS: [Meter; COUNT] = [
    Meter::CPU_TIME,
    Meter::MEMORY_CURRENT,
    Meter::MEMORY_ANON,
    Meter::MEMORY_FILE,
    Meter::MEMORY_INACTIVE_FILE,
    Meter::MEMORY_SHMEM,
    Meter::MEMORY_SWAP,
    Meter::DISK_READ_BYTES,
    Meter::DISK_WRITE_BYTES,
    Meter::DISK_READ_OPS,
    Meter::DISK_WRITE_OPS,
    Meter::NETWORK_RECEIVE_BYTES,
    Meter::NETWORK_TRANSMIT_BYTES,
];

/// Place of CPU time.
pub const CPU: usize = 0;
/// Places of the gauges.
pub const CURRENT: usize = 1;
/// Anonymous memory.
pub const ANON: usize = 2;
/// Page cache.
pub const FILE: usize = 3;
/// Inactive page cache.
pub const INACTIVE: usize = 4;
/// Shared memory.
pub const SHMEM: usize = 5;
/// Swap.
pub const SWAP: usize = 6;
/// Bytes read.
pub const READ_BYTES: usize = 7;
/// Bytes written.
pub const WRITE_BYTES: usize = 8;
/// Read operations.
pub const READ_OPS: usize = 9;
/// Write operations.
pub const WRITE_OPS: usize = 10;
/// Bytes received.
pub const RECEIVED: usize = 11;
/// Bytes sent.
pub const SENT: usize = 12;

/// All memory gauges.
pub const GAUGES: std::ops::RangeInclusive<usize> = CURRENT..=SWAP;
/// How many gauges.
pub const GAUGE_COUNT: usize = 6;
/// Bytes and operations of disks.
pub const DISK: [usize; 4] = [READ_BYTES, WRITE_BYTES, READ_OPS, WRITE_OPS];
/// Both directions of the network.
pub const NETWORK: [usize; 2] = [RECEIVED, SENT];

/// Doubled byte-nanoseconds in a byte-millisecond.
pub const GAUGE_PER_BASE: u128 = 2_000_000;

/// True for memory.
pub fn is_gauge(place: usize) -> bool {
    GAUGES.contains(&place)
}

/// True for the network, which is counted per namespace and not per cgroup.
pub fn is_network(place: usize) -> bool {
    NETWORK.contains(&place)
}

/// Raw usage by place: counters in base units, gauges in doubled byte-nanoseconds.
pub type Totals = [u128; COUNT];

/// Whole base units of raw usage, and what is left over.
pub fn to_base(place: usize, raw: u128) -> (u128, u128) {
    if is_gauge(place) {
        (raw / GAUGE_PER_BASE, raw % GAUGE_PER_BASE)
    } else {
        (raw, 0)
    }
}
