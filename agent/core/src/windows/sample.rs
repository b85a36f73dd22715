//! One file of one workload: bytes → values → counters and gauges. The hot path; no allocation in good times.
//!
//! What can't be read or understood is unknown, never 0: the last value stays and the next good one covers it.

use tallyman_common::record::Cause;

use super::Windows;
use super::counter::{RowKey, WentBack};
use super::meters::{
    ANON, CPU, CURRENT, DISK, FILE, INACTIVE, METERS, NETWORK, READ_BYTES, READ_OPS, RECEIVED, SENT, SHMEM,
    SWAP, WRITE_BYTES, WRITE_OPS,
};
use super::workload::{Baseline, Workload};
use crate::event::{NS_PER_MS, ReadFault, Slot};
use crate::notice::Notice;
use crate::sources::error::{FileKind, SourceError};
use crate::sources::host::{DiskRow, parse_diskstats, parse_meminfo, parse_proc_stat};
use crate::sources::io::{IoRow, IoScan, parse_io_stat};
use crate::sources::net::{NetRow, parse_net_dev};
use crate::sources::{blkio, cpu, memory};
use tallyman_common::time::BootMs;

/// Rows of the file that is being read; kept so that they need no new memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Scratch {
    io: Vec<IoRow>,
    disks: Vec<DiskRow>,
    net: Vec<NetRow>,
}

/// Why a file gave nothing this time.
enum Fault {
    Read(ReadFault),
    Parse(SourceError),
    /// The values contradict each other or do not fit.
    Absurd,
}

const BYTES: [usize; 2] = [READ_BYTES, WRITE_BYTES];
const OPS: [usize; 2] = [READ_OPS, WRITE_OPS];

/// The meters that a file feeds.
fn places(file: FileKind) -> &'static [usize] {
    match file {
        FileKind::CpuStat | FileKind::CpuacctUsage | FileKind::ProcStat => &[CPU],
        FileKind::MemoryCurrent | FileKind::MemoryUsageInBytes => &[CURRENT],
        FileKind::MemoryStat => &[ANON, FILE, INACTIVE, SHMEM],
        FileKind::MemoryStatV1 => &[ANON, FILE, INACTIVE, SHMEM, SWAP],
        FileKind::Meminfo => &[CURRENT, ANON, FILE, INACTIVE, SHMEM, SWAP],
        FileKind::MemorySwapCurrent => &[SWAP],
        FileKind::IoStat | FileKind::Diskstats => &DISK,
        FileKind::BlkioServiceBytes => &BYTES,
        FileKind::BlkioServiced => &OPS,
        FileKind::NetDev => &NETWORK,
        _ => &[],
    }
}

impl Windows {
    /// Takes one file in. A file that no meter needs is ignored.
    pub fn sample(&mut self, slot: Slot, file: FileKind, bytes: Result<&[u8], ReadFault>, ticks_per_s: u64) {
        let now_ns = self.now_ns;
        let Some(workload) = self.workloads.get_mut(slot.0 as usize).and_then(Option::as_mut) else {
            return;
        };
        let mut reader = Reader {
            workload,
            now_ns,
            ticks_per_s,
            scratch: &mut self.scratch,
            went_back: None,
        };
        let outcome = bytes
            .map_err(Fault::Read)
            .and_then(|bytes| reader.read(file, bytes));
        let went_back = reader.went_back;
        if let Some((place, values)) = went_back {
            self.went_back(slot, place, values);
        }
        if let Err(fault) = outcome {
            self.unreadable(slot, file, &fault);
        }
    }

    #[cold]
    fn went_back(&mut self, slot: Slot, place: usize, values: WentBack) {
        let Some(workload) = self.get_mut(slot) else {
            return;
        };
        if !workload.marks[place].fault(Cause::CounterWentBack) {
            return;
        }
        let text = format!(
            "{} of {} went back from {} to {}; nothing is charged until it passes {} again",
            METERS[place].label(),
            workload.key.path,
            values.before,
            values.found,
            values.before
        );
        self.read_faults += 1;
        self.tell(Notice::warning("counter-went-back", text));
    }

    #[cold]
    fn unreadable(&mut self, slot: Slot, file: FileKind, fault: &Fault) {
        let Some(workload) = self.get_mut(slot) else {
            return;
        };
        let cause = match fault {
            Fault::Read(ReadFault::Absent) => Cause::NotAvailable,
            Fault::Read(ReadFault::Gone) => Cause::EndedUnseen,
            Fault::Read(ReadFault::Failed) => Cause::Unreadable,
            Fault::Parse(_) | Fault::Absurd => Cause::Malformed,
        };
        let mut first = false;
        for place in places(file) {
            first |= workload.marks[*place].fault(cause);
            if super::meters::is_gauge(*place) && cause != Cause::EndedUnseen {
                workload.gauges[*place - CURRENT].lost();
            }
        }
        if cause == Cause::EndedUnseen && places(file).contains(&CPU) {
            workload.ended_unread = true;
        }
        let reason = match fault {
            Fault::Parse(e) => e.to_string(),
            Fault::Absurd => format!("{file}: values that contradict each other"),
            Fault::Read(ReadFault::Failed) => format!("{file}: it can't be read"),
            Fault::Read(_) => return,
        };
        let text = format!(
            "{}: {reason}; unknown until it can be read again",
            workload.key.path
        );
        self.read_faults += 1;
        if first {
            self.tell(Notice::warning("unreadable-file", text));
        }
    }
}

/// One read of one file of one workload.
struct Reader<'a> {
    workload: &'a mut Workload,
    now_ns: u64,
    ticks_per_s: u64,
    scratch: &'a mut Scratch,
    went_back: Option<(usize, WentBack)>,
}

impl Reader<'_> {
    fn read(&mut self, file: FileKind, bytes: &[u8]) -> Result<(), Fault> {
        match file {
            FileKind::CpuStat => self.cpu(cpu::parse_cpu_stat(bytes).map_err(Fault::Parse)?),
            FileKind::CpuacctUsage => self.cpu(cpu::parse_cpuacct_usage(bytes).map_err(Fault::Parse)?),
            FileKind::ProcStat => {
                let host = parse_proc_stat(bytes).map_err(Fault::Parse)?;
                self.cpu(host.busy_ns(self.ticks_per_s).ok_or(Fault::Absurd)?);
            }
            FileKind::MemoryCurrent => {
                self.level(
                    CURRENT,
                    memory::parse_memory_current(bytes).map_err(Fault::Parse)?,
                );
            }
            FileKind::MemoryUsageInBytes => {
                self.level(
                    CURRENT,
                    memory::parse_memory_usage_in_bytes(bytes).map_err(Fault::Parse)?,
                );
            }
            FileKind::MemorySwapCurrent => {
                self.level(
                    SWAP,
                    memory::parse_memory_swap_current(bytes).map_err(Fault::Parse)?,
                );
            }
            FileKind::MemoryStat => {
                self.memory_stat(memory::parse_memory_stat(bytes).map_err(Fault::Parse)?, false)
            }
            FileKind::MemoryStatV1 => {
                self.memory_stat(memory::parse_memory_stat_v1(bytes).map_err(Fault::Parse)?, true);
            }
            FileKind::Meminfo => self.meminfo(bytes)?,
            FileKind::IoStat => {
                let scan = parse_io_stat(bytes, &mut self.scratch.io).map_err(Fault::Parse)?;
                self.disks(&scan, &DISK, true)?;
            }
            FileKind::BlkioServiceBytes => self.blkio(bytes, &BYTES)?,
            FileKind::BlkioServiced => self.blkio(bytes, &OPS)?,
            FileKind::Diskstats => {
                let scan = parse_diskstats(bytes, &mut self.scratch.disks).map_err(Fault::Parse)?;
                self.scratch.io.clear();
                self.scratch
                    .io
                    .extend(self.scratch.disks.iter().map(|disk| disk.io));
                self.disks(&scan, &DISK, true)?;
            }
            FileKind::NetDev => self.net(bytes)?,
            _ => {}
        }
        Ok(())
    }

    fn cpu(&mut self, value: u64) {
        self.workload.counters.begin_read();
        self.count(RowKey::Whole, CPU, value);
        self.end_counters(&[CPU]);
        self.workload.last_read = Some(BootMs(self.now_ns / NS_PER_MS));
        self.workload.ended_unread = false;
    }

    fn level(&mut self, place: usize, bytes: u64) {
        self.workload.gauges[place - CURRENT].read(bytes, self.now_ns);
        self.workload.marks[place].seen();
    }

    /// A level that this kernel does not print.
    fn level_or_absent(&mut self, place: usize, bytes: Option<u64>) {
        match bytes {
            Some(bytes) => self.level(place, bytes),
            None => {
                self.workload.marks[place].fault(Cause::NotAvailable);
            }
        }
    }

    fn memory_stat(&mut self, stat: memory::MemoryStat, with_swap: bool) {
        self.level(ANON, stat.anon_bytes);
        self.level(FILE, stat.file_bytes);
        self.level(INACTIVE, stat.inactive_file_bytes);
        self.level_or_absent(SHMEM, stat.shmem_bytes);
        if with_swap {
            self.level_or_absent(SWAP, stat.swap_bytes);
        }
    }

    fn meminfo(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let host = parse_meminfo(bytes).map_err(Fault::Parse)?;
        let (used, swap) = (host.used_bytes(), host.swap_used_bytes());
        self.level(CURRENT, used.ok_or(Fault::Absurd)?);
        self.level(ANON, host.anon_bytes);
        self.level(FILE, host.file_bytes);
        self.level(INACTIVE, host.inactive_file_bytes);
        self.level(SHMEM, host.shmem_bytes);
        self.level(SWAP, swap.ok_or(Fault::Absurd)?);
        Ok(())
    }

    /// v1 counts only where a throttle rule exists; no rows, or nothing but zeros, is therefore no evidence.
    fn blkio(&mut self, bytes: &[u8], places: &'static [usize; 2]) -> Result<(), Fault> {
        let rows = &mut self.scratch.io;
        rows.clear();
        let scan = match places {
            &BYTES => blkio::parse_blkio_service_bytes(bytes, rows),
            _ => blkio::parse_blkio_serviced(bytes, rows),
        };
        let scan = scan.map_err(Fault::Parse)?;
        let counts = |row: &IoRow| {
            [row.read_bytes, row.write_bytes, row.read_ops, row.write_ops]
                .iter()
                .any(|value| value.is_some_and(|v| v > 0))
        };
        let is_evidence = rows.iter().any(counts);
        self.disks(&scan, places, is_evidence)?;
        if !is_evidence {
            for place in places {
                self.workload.marks[*place].fault(Cause::NotAvailable);
            }
        }
        Ok(())
    }

    /// Rows of the scratch. A row that could not be used says nothing, so then no row counts as gone either.
    fn disks(&mut self, scan: &IoScan, places: &[usize], is_evidence: bool) -> Result<(), Fault> {
        self.workload.counters.begin_read();
        for index in 0..self.scratch.io.len() {
            let row = self.scratch.io[index];
            let values = [row.read_bytes, row.write_bytes, row.read_ops, row.write_ops];
            for (place, value) in DISK.into_iter().zip(values) {
                match value {
                    Some(value) => self.count(row.device.into(), place, value),
                    None => self.workload.counters.touch(row.device.into(), place),
                }
            }
        }
        if scan.malformed_rows == 0 && scan.bare_devices == 0 {
            self.workload.counters.end_read(places);
        }
        if is_evidence {
            places.iter().for_each(|place| self.workload.marks[*place].seen());
        }
        match scan.first_malformed {
            Some(error) => Err(Fault::Parse(error)),
            None => {
                self.prime(places);
                Ok(())
            }
        }
    }

    fn net(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        parse_net_dev(bytes, &mut self.scratch.net).map_err(Fault::Parse)?;
        self.workload.counters.begin_read();
        for index in 0..self.scratch.net.len() {
            let row = self.scratch.net[index];
            self.count(row.interface.into(), RECEIVED, row.rx_bytes);
            self.count(row.interface.into(), SENT, row.tx_bytes);
        }
        self.end_counters(&NETWORK);
        Ok(())
    }

    fn count(&mut self, row: RowKey, place: usize, value: u64) {
        let primed = self.workload.primed & 1 << place != 0;
        let baseline = match self.workload.baseline {
            Baseline::Current if !primed => {
                self.workload.marks[place].fault(Cause::NoBaseline);
                value
            }
            _ => 0,
        };
        if let Err(values) = self.workload.counters.read(row, place, value, baseline) {
            self.went_back.get_or_insert((place, values));
        }
    }

    fn end_counters(&mut self, places: &[usize]) {
        self.workload.counters.end_read(places);
        places.iter().for_each(|place| self.workload.marks[*place].seen());
        self.prime(places);
    }

    /// From now on a row that is new in the file began under our eyes.
    fn prime(&mut self, places: &[usize]) {
        places.iter().for_each(|place| self.workload.primed |= 1 << place);
    }
}
