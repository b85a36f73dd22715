//! Windows, as tables.

use tallyman_common::ids::{BootId, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, Inventory, Row, State};
use tallyman_common::time::{BootMs, WallMs};

use super::close::Position;
use super::edge::{Edge, next_sweep_ns};
use super::{Directory, Settings, Windows};
use crate::event::{Hardware, NetworkSeen, Now, ReadFault, SourceKind, Tree, Trees, WorkloadSeen};
use crate::mapping::Mapping;
use crate::sources::FileKind;
use crate::sources::io::Device;

/// An hour's edge, milliseconds.
const HOUR: u64 = 490_000 * 3_600_000;

fn now(boot_ms: u64, wall_ms: u64) -> Now {
    Now {
        boot_ns: boot_ms * 1_000_000,
        wall: WallMs(wall_ms),
        boot: BootId([1; 16]),
    }
}

#[test]
fn where_a_window_ends() {
    // Began at boot 100,000 ms, labelled with the hour's edge.
    let start = Edge {
        boot: BootMs(100_000),
        wall: WallMs(HOUR),
    };
    let table = [
        // boot now, wall now, minutes: over?, end in boot time, its label
        (159_000, HOUR + 59_000, 1, None),
        (160_000, HOUR + 60_000, 1, Some((160_000, HOUR + 60_000))),
        (160_400, HOUR + 60_400, 1, Some((160_000, HOUR + 60_000))),
        (165_000, HOUR + 65_000, 1, Some((160_000, HOUR + 60_000))),
        // Too late for the nominal edge: it ends where it ended.
        (165_001, HOUR + 65_001, 1, Some((165_001, HOUR + 65_001))),
        // Boot time and wall time drift apart; the label stays the edge.
        (160_030, HOUR + 60_010, 1, Some((160_020, HOUR + 60_000))),
        // Near the spool's limit: five minutes.
        (160_000, HOUR + 60_000, 5, None),
        (400_100, HOUR + 300_100, 5, Some((400_000, HOUR + 300_000))),
        // The clock was set forward by an hour within the minute.
        (130_000, HOUR + 3_630_000, 1, Some((130_000, HOUR + 3_630_000))),
        // ... and back by half an hour: a minute of boot time must go by.
        (130_000, HOUR - 1_770_000, 1, None),
        (160_000, HOUR - 1_740_000, 1, Some((160_000, HOUR - 1_740_000))),
    ];
    for (boot, wall, minutes, expected) in table {
        let now = now(boot, wall);
        let end = start.end(now).filter(|_| start.is_over(now, minutes));
        let found = end.map(|edge| (edge.boot.0, edge.wall.0));
        assert_eq!(found, expected, "boot {boot}, wall {wall}, {minutes} minutes");
    }
    assert_eq!(
        start.end(now(160_000, 3)),
        None,
        "a clock that was never set labels nothing"
    );
}

#[test]
fn the_next_sweep_is_a_tick_or_a_minutes_edge() {
    let second = 1_000_000_000;
    assert_eq!(
        next_sweep_ns(now(100_000, HOUR + 10_000), 2 * second),
        102 * second
    );
    assert_eq!(
        next_sweep_ns(now(101_999, HOUR + 10_000), 2 * second),
        102 * second
    );
    assert_eq!(
        next_sweep_ns(now(100_000, HOUR + 59_400), 2 * second),
        100_600 * 1_000_000
    );
    assert_eq!(
        next_sweep_ns(now(100_600, HOUR + 60_000), 2 * second),
        102 * second
    );
}

/// Windows with one cgroup of nobody's whose files are of v1.
struct Bench {
    windows: Windows,
    slot: crate::Slot,
    at_ms: u64,
}

impl Bench {
    fn new(devices: Option<Vec<Device>>) -> Self {
        let settings = Settings {
            hold_ms: 10_000,
            sources: vec!["slices".to_owned()],
            hardware: Hardware {
                devices,
                uplinks: Vec::new(),
            },
        };
        let mut windows = Windows::new(settings, Mapping::default(), now(100_000, HOUR));
        let directory = Directory::default();
        windows.sweep_done(now(100_000, HOUR), &directory);
        let seen = WorkloadSeen {
            path: "/x".to_owned(),
            life: 1,
            kind: SourceKind::Cgroup,
            source: "slices".to_owned(),
            container: None,
            name: "x".to_owned(),
            network: NetworkSeen::None,
            trees: Trees {
                cpu: Some(Tree::V1),
                memory: None,
                io: Some(Tree::V1),
            },
        };
        let slot = windows.appeared(seen, &directory).unwrap();
        Self {
            windows,
            slot,
            at_ms: 100_000,
        }
    }

    fn read(&mut self, file: FileKind, bytes: Result<&str, ReadFault>) {
        self.windows
            .sample(self.slot, file, bytes.map(str::as_bytes), 100);
    }

    fn close(&mut self) -> Vec<Row> {
        self.at_ms += 60_000;
        let wall = HOUR + self.at_ms - 100_000;
        let now = now(self.at_ms, wall);
        self.windows.sweep_done(now, &Directory::default());
        let machine = Inventory {
            host_name: String::new(),
            os: String::new(),
            kernel: String::new(),
            cpus: 1,
            memory_bytes: 1,
            agent_version: String::new(),
        };
        let position = Position {
            spool: SpoolId([1; 16]),
            next_seq: 1,
        };
        let closed = self
            .windows
            .close(Edge::at(now), position, &machine, &|_, _| true);
        let records = closed.parts.into_iter().flatten();
        records.flat_map(|r| r.groups).flat_map(|g| g.rows).collect()
    }
}

fn state(rows: &[Row], meter: Meter) -> Option<(State, u128)> {
    let row = rows.iter().find(|row| row.meter == meter)?;
    Some((row.state, row.to - row.from))
}

#[test]
fn what_a_kernel_does_not_count_is_not_zero() {
    let mut bench = Bench::new(None);
    bench.read(FileKind::CpuacctUsage, Ok("5\n"));
    bench.read(FileKind::BlkioServiceBytes, Ok("Total 0\n"));
    bench.read(FileKind::BlkioServiced, Err(ReadFault::Absent));
    let rows = bench.close();
    let absent = Some((State::Unmeasured(Cause::NotAvailable), 0));
    assert_eq!(state(&rows, Meter::CPU_TIME), Some((State::Measured, 5)));
    assert_eq!(state(&rows, Meter::DISK_READ_BYTES), absent);
    assert_eq!(state(&rows, Meter::DISK_READ_OPS), absent);
    assert_eq!(state(&rows, Meter::MEMORY_CURRENT), absent);
    assert_eq!(
        state(&rows, Meter::NETWORK_RECEIVE_BYTES),
        None,
        "a cgroup has no network of its own"
    );
    // A throttle rule was set: from here on the kernel counts.
    bench.read(FileKind::CpuacctUsage, Ok("5\n"));
    bench.read(
        FileKind::BlkioServiceBytes,
        Ok("8:0 Read 512\n8:0 Write 0\n8:0 Sync 0\n8:0 Async 512\n8:0 Total 512\nTotal 512\n"),
    );
    let rows = bench.close();
    assert_eq!(state(&rows, Meter::DISK_READ_BYTES), Some((State::Measured, 512)));
}

#[test]
fn an_unreadable_file_is_unknown_and_the_next_good_one_covers_it() {
    let mut bench = Bench::new(None);
    bench.read(FileKind::CpuacctUsage, Ok("1000\n"));
    bench.read(FileKind::CpuacctUsage, Ok("what\n"));
    let rows = bench.close();
    assert_eq!(
        state(&rows, Meter::CPU_TIME),
        Some((State::Partial(Cause::Malformed), 1_000))
    );
    bench.read(FileKind::CpuacctUsage, Err(ReadFault::Failed));
    let rows = bench.close();
    assert_eq!(
        state(&rows, Meter::CPU_TIME),
        Some((State::Unmeasured(Cause::Unreadable), 0))
    );
    bench.read(FileKind::CpuacctUsage, Ok("1700\n"));
    let rows = bench.close();
    assert_eq!(state(&rows, Meter::CPU_TIME), Some((State::Measured, 700)));
    assert_eq!(bench.windows.read_faults(), 2);
    let told: Vec<_> = bench.windows.take_notices().into_iter().map(|n| n.text).collect();
    assert!(told[0].contains("/x: cpuacct.usage: line 1"), "{told:?}");
}

#[test]
fn only_disks_of_the_list_count_and_a_change_of_the_list_invents_nothing() {
    let disk = |minor| Device { major: 8, minor };
    let mut bench = Bench::new(Some(vec![disk(0)]));
    let text = |a: u64, b: u64| {
        format!(
            "8:0 Read {a}\n8:0 Write 0\n8:1 Read {b}\n8:1 Write 0\nTotal {}\n",
            a + b
        )
    };
    bench.read(FileKind::BlkioServiceBytes, Ok(&text(100, 1_000)));
    assert_eq!(state(&bench.close(), Meter::DISK_READ_BYTES).unwrap().1, 100);
    bench.windows.change_hardware(Hardware {
        devices: Some(vec![disk(0), disk(1)]),
        uplinks: Vec::new(),
    });
    bench.read(FileKind::BlkioServiceBytes, Ok(&text(100, 1_007)));
    assert_eq!(state(&bench.close(), Meter::DISK_READ_BYTES).unwrap().1, 7);
}
