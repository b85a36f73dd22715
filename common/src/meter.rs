//! The closed table of meters: number on the wire, name in price books and answers, base unit. Numbers and names
//! never change; a meter this table does not know is stored and summed all the same.

use bincode::{Decode, Encode};

/// A meter's number on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub struct Meter(pub u16);

/// The unit in which a meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BaseUnit {
    /// Nanoseconds of CPU time.
    Nanoseconds,
    /// Bytes held times milliseconds.
    ByteMilliseconds,
    /// Bytes moved.
    Bytes,
    /// Things counted.
    Count,
    /// Milliseconds that something existed.
    Milliseconds,
}

impl BaseUnit {
    /// Name in answers and files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::ByteMilliseconds => "byte_ms",
            Self::Bytes => "bytes",
            Self::Count => "count",
            Self::Milliseconds => "ms",
        }
    }
}

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct MeterInfo {
    /// Number on the wire.
    pub meter: Meter,
    /// Name in price books and answers.
    pub name: &'static str,
    /// Unit of its readings.
    pub unit: BaseUnit,
}

const fn row(number: u16, name: &'static str, unit: BaseUnit) -> MeterInfo {
    MeterInfo {
        meter: Meter(number),
        name,
        unit,
    }
}

/// Every meter with a name, by number. Those from 40 on are for price books and gateways; the agent's sources of
/// this release make the ones below.
pub const METERS: &[MeterInfo] = &[
    row(1, "cpu.time", BaseUnit::Nanoseconds),
    row(10, "memory.current", BaseUnit::ByteMilliseconds),
    row(11, "memory.anon", BaseUnit::ByteMilliseconds),
    row(12, "memory.file", BaseUnit::ByteMilliseconds),
    row(13, "memory.inactive_file", BaseUnit::ByteMilliseconds),
    row(14, "memory.shmem", BaseUnit::ByteMilliseconds),
    row(15, "memory.swap", BaseUnit::ByteMilliseconds),
    row(20, "disk.read.bytes", BaseUnit::Bytes),
    row(21, "disk.write.bytes", BaseUnit::Bytes),
    row(22, "disk.read.ops", BaseUnit::Count),
    row(23, "disk.write.ops", BaseUnit::Count),
    row(30, "network.receive.bytes", BaseUnit::Bytes),
    row(31, "network.transmit.bytes", BaseUnit::Bytes),
    row(40, "instance.time", BaseUnit::Milliseconds),
    row(41, "gpu.time", BaseUnit::Milliseconds),
    row(50, "storage.capacity", BaseUnit::ByteMilliseconds),
    row(51, "backup.capacity", BaseUnit::ByteMilliseconds),
    row(52, "snapshot.capacity", BaseUnit::ByteMilliseconds),
    row(53, "replicated.bytes", BaseUnit::Bytes),
    row(60, "requests.read", BaseUnit::Count),
    row(61, "requests.write", BaseUnit::Count),
    row(62, "requests.delete", BaseUnit::Count),
    row(63, "requests.metadata", BaseUnit::Count),
];

impl Meter {
    /// CPU time used.
    pub const CPU_TIME: Self = Self(1);
    /// Memory charged to the cgroup, everything the kernel counts.
    pub const MEMORY_CURRENT: Self = Self(10);
    /// Anonymous memory.
    pub const MEMORY_ANON: Self = Self(11);
    /// Page cache.
    pub const MEMORY_FILE: Self = Self(12);
    /// Page cache that the kernel would reclaim first.
    pub const MEMORY_INACTIVE_FILE: Self = Self(13);
    /// Shared memory and tmpfs.
    pub const MEMORY_SHMEM: Self = Self(14);
    /// Swap used.
    pub const MEMORY_SWAP: Self = Self(15);
    /// Bytes read from block devices.
    pub const DISK_READ_BYTES: Self = Self(20);
    /// Bytes written to block devices.
    pub const DISK_WRITE_BYTES: Self = Self(21);
    /// Read operations on block devices.
    pub const DISK_READ_OPS: Self = Self(22);
    /// Write operations on block devices.
    pub const DISK_WRITE_OPS: Self = Self(23);
    /// Bytes that the workload's interfaces received (layer 2).
    pub const NETWORK_RECEIVE_BYTES: Self = Self(30);
    /// Bytes that the workload's interfaces sent (layer 2).
    pub const NETWORK_TRANSMIT_BYTES: Self = Self(31);

    /// The table's line for this meter, if it has one.
    pub fn info(self) -> Option<&'static MeterInfo> {
        METERS.iter().find(|row| row.meter == self)
    }

    /// The meter of a name.
    pub fn by_name(name: &str) -> Option<Self> {
        METERS.iter().find(|row| row.name == name).map(|row| row.meter)
    }

    /// Name in answers: the table's, or `meter-N` for one that this release does not know.
    pub fn label(self) -> String {
        self.info()
            .map_or_else(|| format!("meter-{}", self.0), |row| row.name.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_unique_and_sorted() {
        assert!(METERS.windows(2).all(|w| w[0].meter < w[1].meter));
        for row in METERS {
            assert_eq!(Meter::by_name(row.name), Some(row.meter));
        }
        assert_eq!(Meter(999).label(), "meter-999");
    }
}
