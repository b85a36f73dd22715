//! Values of one kernel file for people, in the units in which the kernel counts.

use serde::Serialize;
use tallyman_agent_core::sources::io::{IoRow, IoScan};
use tallyman_agent_core::sources::{SourceError, blkio, cpu, host, io, memory, net};
use tallyman_agent_core::{FileKind, Hardware};

/// One value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Which file.
    pub file: String,
    /// What it counts.
    pub name: String,
    /// In what.
    pub unit: &'static str,
    /// The value.
    pub value: u64,
    /// How much it changed until the second read.
    pub change: Option<i128>,
}

/// The values of a file; of disks and of the machine's interfaces those that are metered.
pub fn figures(kind: FileKind, bytes: &[u8], hardware: &Hardware) -> Result<Vec<Figure>, SourceError> {
    const NS_PER_US: u64 = 1_000;
    let mut rows = Vec::new();
    let io_rows = |kind, scan, rows: &[IoRow]| io_rows(kind, scan, rows, hardware);
    let one = |name: &str, unit, value| vec![figure(kind, name, unit, value)];
    Ok(match kind {
        FileKind::CpuStat => one("usage", "us", cpu::parse_cpu_stat(bytes)? / NS_PER_US),
        FileKind::CpuacctUsage => one("usage", "ns", cpu::parse_cpuacct_usage(bytes)?),
        FileKind::MemoryCurrent => one("current", "B", memory::parse_memory_current(bytes)?),
        FileKind::MemoryUsageInBytes => one("current", "B", memory::parse_memory_usage_in_bytes(bytes)?),
        FileKind::MemorySwapCurrent => one("swap", "B", memory::parse_memory_swap_current(bytes)?),
        FileKind::MemoryStat => memory_stat(kind, memory::parse_memory_stat(bytes)?),
        FileKind::MemoryStatV1 => memory_stat(kind, memory::parse_memory_stat_v1(bytes)?),
        FileKind::IoStat => io_rows(kind, io::parse_io_stat(bytes, &mut rows)?, &rows)?,
        FileKind::BlkioServiceBytes => {
            io_rows(kind, blkio::parse_blkio_service_bytes(bytes, &mut rows)?, &rows)?
        }
        FileKind::BlkioServiced => io_rows(kind, blkio::parse_blkio_serviced(bytes, &mut rows)?, &rows)?,
        FileKind::NetDev => interfaces(kind, bytes)?,
        FileKind::ProcStat => {
            let cpu = host::parse_proc_stat(bytes)?;
            vec![
                figure(kind, "busy", "ticks", cpu.busy_ticks),
                figure(kind, "steal", "ticks", cpu.steal_ticks),
            ]
        }
        FileKind::Meminfo => {
            let memory = host::parse_meminfo(bytes)?;
            vec![
                figure(kind, "total", "B", memory.total_bytes),
                figure(kind, "available", "B", memory.available_bytes),
            ]
        }
        FileKind::Diskstats => {
            let mut disks = Vec::new();
            let scan = host::parse_diskstats(bytes, &mut disks)?;
            rows.extend(disks.iter().map(|disk| disk.io));
            io_rows(kind, scan, &rows)?
        }
        _ => Vec::new(),
    })
}

/// Puts the changes since the first read beside its values.
pub fn compare(first: &mut [Figure], second: Vec<Figure>) {
    for newer in second {
        let same = |older: &&mut Figure| older.file == newer.file && older.name == newer.name;
        if let Some(older) = first.iter_mut().find(same) {
            older.change = Some(i128::from(newer.value) - i128::from(older.value));
            older.value = newer.value;
        }
    }
}

fn figure(kind: FileKind, name: &str, unit: &'static str, value: u64) -> Figure {
    Figure {
        file: kind.to_string(),
        name: name.to_owned(),
        unit,
        value,
        change: None,
    }
}

fn memory_stat(kind: FileKind, stat: memory::MemoryStat) -> Vec<Figure> {
    let parts = [
        ("anon", Some(stat.anon_bytes)),
        ("file", Some(stat.file_bytes)),
        ("inactive_file", Some(stat.inactive_file_bytes)),
        ("shmem", stat.shmem_bytes),
        ("swap", stat.swap_bytes),
    ];
    let printed = parts.into_iter().filter_map(|(name, value)| Some((name, value?)));
    printed
        .map(|(name, value)| figure(kind, name, "B", value))
        .collect()
}

fn io_rows(
    kind: FileKind,
    scan: IoScan,
    rows: &[IoRow],
    hardware: &Hardware,
) -> Result<Vec<Figure>, SourceError> {
    if let Some(error) = scan.first_malformed {
        return Err(error);
    }
    let mut all = Vec::new();
    let is_metered = |row: &&IoRow| {
        hardware
            .devices
            .as_ref()
            .is_none_or(|metered| metered.contains(&row.device))
    };
    for row in rows.iter().filter(is_metered) {
        let device = format!("{}:{}", row.device.major, row.device.minor);
        let parts = [
            ("read", "B", row.read_bytes),
            ("written", "B", row.write_bytes),
            ("reads", "ops", row.read_ops),
            ("writes", "ops", row.write_ops),
        ];
        let printed = parts
            .into_iter()
            .filter_map(|(name, unit, value)| Some((name, unit, value?)));
        all.extend(printed.map(|(name, unit, value)| figure(kind, &format!("{name} {device}"), unit, value)));
    }
    Ok(all)
}

fn interfaces(kind: FileKind, bytes: &[u8]) -> Result<Vec<Figure>, SourceError> {
    let mut rows = Vec::new();
    net::parse_net_dev(bytes, &mut rows)?;
    let both = rows.iter().flat_map(|row| {
        let name = row.interface.to_string();
        let received = figure(kind, &format!("received {name}"), "B", row.rx_bytes);
        [received, figure(kind, &format!("sent {name}"), "B", row.tx_bytes)]
    });
    Ok(both.collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Figures as `name value unit change`.
    fn shown(figures: &[Figure]) -> Vec<String> {
        let text = |f: &Figure| format!("{} {} {} {:?}", f.name, f.value, f.unit, f.change);
        figures.iter().map(text).collect()
    }

    #[test]
    fn values_are_in_the_kernels_units_and_compared_by_name() {
        let cpu = figures(
            FileKind::CpuStat,
            b"usage_usec 1234\nuser_usec 1\nsystem_usec 2\n",
            &Hardware::default(),
        )
        .unwrap();
        assert_eq!(shown(&cpu), ["usage 1234 us None"]);
        let mut first = figures(
            FileKind::IoStat,
            b"8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n",
            &Hardware::default(),
        )
        .unwrap();
        let second = figures(
            FileKind::IoStat,
            b"8:0 rbytes=5 wbytes=1 rios=3 wios=4 dbytes=0 dios=0\n",
            &Hardware::default(),
        )
        .unwrap();
        compare(&mut first, second);
        let expected = [
            "read 8:0 5 B Some(4)",
            "written 8:0 1 B Some(-1)",
            "reads 8:0 3 ops Some(0)",
            "writes 8:0 4 ops Some(0)",
        ];
        assert_eq!(shown(&first), expected);
        assert!(figures(FileKind::CpuacctUsage, b"x\n", &Hardware::default()).is_err());
    }
}
