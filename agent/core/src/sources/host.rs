//! The whole machine: CPU from `/proc/stat`, memory from `/proc/meminfo`, disks from `/proc/diskstats`. The interfaces
//! of the machine are in `/proc/net/dev`, read by `net`.
//!
//! These are the control figures beside the tenants' (owner `host`, in no sum). Which disks and interfaces are whole
//! and physical is decided elsewhere.

use super::bytes::{Line, Text, small_number};
use super::error::{FileKind, SourceError};
use super::io::{Device, IO_ROWS_MAX, IoRow, IoScan};
use super::name::DiskName;

const BYTES_PER_KIB: u64 = 1_024;
/// The unit of `/proc/diskstats`, whatever the device's own sector is.
const BYTES_PER_SECTOR: u64 = 512;
const NS_PER_S: u64 = 1_000_000_000;

/// CPU time of the machine since boot, in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostCpu {
    /// user, nice, system, irq and softirq. Guests are inside user and nice already. Idle and iowait are not read:
    /// they can go backwards.
    pub busy_ticks: u64,
    /// What a hypervisor gave to others while this machine wanted to run; not in `busy_ticks`.
    pub steal_ticks: u64,
}

impl HostCpu {
    /// Busy time in ns; `None` if it does not fit, or the rate is 0 or does not divide a second.
    pub fn busy_ns(&self, ticks_per_s: u64) -> Option<u64> {
        if !NS_PER_S.is_multiple_of(ticks_per_s) {
            return None;
        }
        self.busy_ticks.checked_mul(NS_PER_S / ticks_per_s)
    }
}

/// `/proc/stat`, of which the first line is enough.
pub fn parse_proc_stat(bytes: &[u8]) -> Result<HostCpu, SourceError> {
    let text = Text::new(FileKind::ProcStat, bytes)?;
    let line = text
        .line(0)
        .filter(|line| line.whole)
        .ok_or_else(|| text.torn(0))?;
    if !line.has_key(b"cpu") {
        return Err(text.unexpected(0, "the line of all CPUs"));
    }
    // user nice system idle iowait irq softirq steal
    let mut ticks = [0_u64; 8];
    let mut words = line.words().skip(1);
    for slot in &mut ticks {
        let (at, _) = words.next().ok_or_else(|| text.unexpected(0, "eight times"))?;
        (*slot, _) = text.number(at)?;
    }
    let [user, nice, system, _idle, _iowait, irq, softirq, steal_ticks] = ticks;
    let busy = [nice, system, irq, softirq]
        .iter()
        .try_fold(user, |sum, part| sum.checked_add(*part));
    let busy_ticks = busy.ok_or_else(|| text.overflow(0))?;
    Ok(HostCpu {
        busy_ticks,
        steal_ticks,
    })
}

/// Memory of the machine, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostMemory {
    /// All memory that the kernel manages.
    pub total_bytes: u64,
    /// The kernel's estimate of what could be had without swapping.
    pub available_bytes: u64,
    /// Memory without a file behind it.
    pub anon_bytes: u64,
    /// Page cache, with tmpfs and shared memory in it.
    pub file_bytes: u64,
    /// The part of the page cache that would be given up first.
    pub inactive_file_bytes: u64,
    /// tmpfs and shared memory; part of `file_bytes`.
    pub shmem_bytes: u64,
    /// All swap space.
    pub swap_total_bytes: u64,
    /// Swap space that is not in use.
    pub swap_free_bytes: u64,
}

impl HostMemory {
    /// Total without available; `None` when the kernel's estimate exceeds the total.
    pub fn used_bytes(&self) -> Option<u64> {
        self.total_bytes.checked_sub(self.available_bytes)
    }

    /// Swap in use; `None` when more is free than there is (swap was taken off in between).
    pub fn swap_used_bytes(&self) -> Option<u64> {
        self.swap_total_bytes.checked_sub(self.swap_free_bytes)
    }
}

/// `/proc/meminfo`.
pub fn parse_meminfo(bytes: &[u8]) -> Result<HostMemory, SourceError> {
    let text = Text::new(FileKind::Meminfo, bytes)?;
    Ok(HostMemory {
        total_bytes: meminfo_bytes(&text, "MemTotal:")?,
        available_bytes: meminfo_bytes(&text, "MemAvailable:")?,
        anon_bytes: meminfo_bytes(&text, "AnonPages:")?,
        file_bytes: meminfo_bytes(&text, "Cached:")?,
        inactive_file_bytes: meminfo_bytes(&text, "Inactive(file):")?,
        shmem_bytes: meminfo_bytes(&text, "Shmem:")?,
        swap_total_bytes: meminfo_bytes(&text, "SwapTotal:")?,
        swap_free_bytes: meminfo_bytes(&text, "SwapFree:")?,
    })
}

/// The value of `key:   number kB` in bytes. The file is read once per sample for the whole machine, so one pass per
/// key is cheap enough.
fn meminfo_bytes(text: &Text<'_>, key: &'static str) -> Result<u64, SourceError> {
    let line = text
        .lines_from(0)
        .find(|line| !line.whole || line.has_key(key.as_bytes()));
    let line = line.ok_or(SourceError::MissingKey { file: text.file, key })?;
    if !line.whole {
        return Err(text.torn(line.start));
    }
    let mut words = line.words().skip(1);
    match (words.next(), words.next()) {
        (Some((at, _)), Some((_, b"kB"))) => {
            let (kib, _) = text.number(at)?;
            kib.checked_mul(BYTES_PER_KIB).ok_or_else(|| text.overflow(at))
        }
        _ => Err(text.unexpected(line.start, "a number and kB")),
    }
}

/// One line of `/proc/diskstats`: a disk, a partition or a stacked device, each of which shows the same I/O again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskRow {
    /// The device's name, as below `/sys/class/block`, where `!` stands for a slash.
    pub name: DiskName,
    /// Its number and counters, all of them known.
    pub io: IoRow,
}

/// `/proc/diskstats`: replaces the contents of `rows` by one row per line. A row that cannot be used is counted and
/// left out. After an error `rows` is empty.
pub fn parse_diskstats(bytes: &[u8], rows: &mut Vec<DiskRow>) -> Result<IoScan, SourceError> {
    rows.clear();
    let text = Text::new(FileKind::Diskstats, bytes)?;
    let mut scan = IoScan::default();
    for line in text.lines_from(0) {
        if !line.whole {
            rows.clear();
            return Err(text.torn(line.start));
        }
        if rows.len() >= IO_ROWS_MAX {
            rows.clear();
            return Err(SourceError::TooManyRows {
                file: text.file,
                limit: IO_ROWS_MAX,
            });
        }
        match parse_disk(&text, &line) {
            Ok(row) => rows.push(row),
            Err(error) => scan.malformed(error),
        }
    }
    Ok(scan)
}

/// major minor name, then reads: done, merged, sectors, ms; writes: done, merged, sectors, ms; more.
fn parse_disk(text: &Text<'_>, line: &Line<'_>) -> Result<DiskRow, SourceError> {
    let mut words = line.words();
    let mut word = || {
        words
            .next()
            .ok_or_else(|| text.unexpected(line.start, "a disk with its counters"))
    };
    let mut part = || {
        let (at, digits) = word()?;
        small_number(digits).ok_or_else(|| text.unexpected(at, "a device number"))
    };
    let device = Device {
        major: part()?,
        minor: part()?,
    };
    let (at, name) = word()?;
    let name = DiskName::new(name).ok_or_else(|| text.unexpected(at, "a disk name"))?;
    let mut counters = [0_u64; 7];
    for slot in &mut counters {
        let (at, _) = word()?;
        (*slot, _) = text.number(at)?;
    }
    let [read_ops, _, read_sectors, _, write_ops, _, write_sectors] = counters;
    let to_bytes = |sectors: u64| {
        sectors
            .checked_mul(BYTES_PER_SECTOR)
            .ok_or_else(|| text.overflow(line.start))
    };
    let io = IoRow {
        device,
        read_bytes: Some(to_bytes(read_sectors)?),
        write_bytes: Some(to_bytes(write_sectors)?),
        read_ops: Some(read_ops),
        write_ops: Some(write_ops),
    };
    Ok(DiskRow { name, io })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISKSTATS: &[u8] = include_bytes!("../../tests/fixtures/proc/diskstats");

    #[test]
    fn busy_time_leaves_out_what_can_go_backwards() {
        let check = |input: &str, expected: Result<(u64, u64), &str>| {
            let shown = parse_proc_stat(input.as_bytes()).map(|cpu| (cpu.busy_ticks, cpu.steal_ticks));
            assert_eq!(
                shown.map_err(|error| error.to_string()),
                expected.map_err(str::to_string),
                "{input}"
            );
        };
        check(
            "cpu  56924 1 8649 51244 519 2 109 1403 7 8\n",
            Ok((65_685, 1_403)),
        );
        check("cpu  1 2 3 4 5 6 7 8\n", Ok((19, 8)));
        check(
            "cpu  1 2 3 4 5 6 7\n",
            Err("/proc/stat: line 1, byte 0: expected eight times, found `cpu  1 2 3 4 5 6 7`"),
        );
        check(
            "cpu  1 2 3 4 5 6 7 8",
            Err("/proc/stat: line 1, byte 0: the text stops in the middle of an entry"),
        );
        check(
            "cpu0 1 2 3 4 5 6 7 8\n",
            Err("/proc/stat: line 1, byte 0: expected the line of all CPUs, found `cpu0 1 2 3 4 5 6 7 8`"),
        );
        check(
            "cpu  18446744073709551615 1 0 0 0 0 0 0\n",
            Err("/proc/stat: line 1, byte 0: `cpu  1844674407370955161` does not fit into 64 bits"),
        );
        let recorded = parse_proc_stat(include_bytes!("../../tests/fixtures/proc/stat")).unwrap();
        assert!(recorded.busy_ticks > 0);
    }

    #[test]
    fn ticks_become_ns_exactly_or_not_at_all() {
        let cpu = HostCpu {
            busy_ticks: 65_684,
            steal_ticks: 0,
        };
        assert_eq!(cpu.busy_ns(100), Some(656_840_000_000));
        assert_eq!(cpu.busy_ns(0), None);
        assert_eq!(cpu.busy_ns(1_024), None);
        assert_eq!(
            HostCpu {
                busy_ticks: u64::MAX,
                steal_ticks: 0
            }
            .busy_ns(100),
            None
        );
    }

    #[test]
    fn memory_comes_in_bytes() {
        let memory = parse_meminfo(include_bytes!("../../tests/fixtures/proc/meminfo")).unwrap();
        assert_eq!(memory.total_bytes, 481_040 * 1_024);
        assert_eq!(
            memory.used_bytes(),
            memory.total_bytes.checked_sub(memory.available_bytes)
        );
        assert_eq!(memory.swap_used_bytes(), Some(0));
        let check = |input: &str, expected: &str| {
            let shown = parse_meminfo(input.as_bytes()).map_err(|error| error.to_string());
            assert_eq!(shown, Err(expected.to_string()), "{input}");
        };
        check("", "/proc/meminfo: the file is empty");
        check(
            "MemTotal: 5 kB\n",
            "/proc/meminfo: the key MemAvailable: is missing",
        );
        check(
            "MemTotal: 5 MB\n",
            "/proc/meminfo: line 1, byte 0: expected a number and kB, found `MemTotal: 5 MB`",
        );
        check(
            "MemTotal: 5 k",
            "/proc/meminfo: line 1, byte 0: the text stops in the middle of an entry",
        );
    }

    #[test]
    fn an_estimate_beyond_the_total_is_no_zero() {
        let text = include_str!("../../tests/fixtures/proc/meminfo")
            .replace("MemTotal:         481040", "MemTotal: 1");
        assert_eq!(parse_meminfo(text.as_bytes()).unwrap().used_bytes(), None);
    }

    #[test]
    fn disks_count_sectors_of_512_bytes() {
        let mut rows = Vec::new();
        assert_eq!(parse_diskstats(DISKSTATS, &mut rows), Ok(IoScan::default()));
        let disk = rows.iter().find(|row| row.name.as_bytes() == b"vda").unwrap();
        let device = Device { major: 254, minor: 0 };
        let (read_bytes, write_bytes) = (Some(28_702 * 512), Some(16_440 * 512));
        assert_eq!(
            disk.io,
            IoRow {
                device,
                read_bytes,
                write_bytes,
                read_ops: Some(172),
                write_ops: Some(141)
            }
        );
        assert_eq!(rows.len(), 9);
    }

    #[test]
    fn a_disk_row_that_is_too_short_is_counted() {
        let mut rows = Vec::new();
        let scan = parse_diskstats(b"8 1 sda1 1 2 3 4\n8 0 sda 1 2 3 4 5 6 7 8 9\n", &mut rows).unwrap();
        assert_eq!((rows.len(), scan.malformed_rows), (1, 1));
        assert!(parse_diskstats(b"8 0 sda 1 2 3 4 5 6 7", &mut rows).is_err());
        assert!(rows.is_empty());
    }
}
