//! Damage to every recorded file: cut at every byte, it gives an error or values that were in the whole file, never
//! another number; with any byte replaced, it gives whatever it gives without a panic.

use tallyman_agent_core::sources::blkio::{
    parse_blkio_rules, parse_blkio_service_bytes, parse_blkio_serviced,
};
use tallyman_agent_core::sources::cgroup::{parse_controllers, parse_populated, parse_process_cgroups};
use tallyman_agent_core::sources::cpu::{parse_cpu_stat, parse_cpuacct_usage};
use tallyman_agent_core::sources::hierarchy::parse_cgroup_mounts;
use tallyman_agent_core::sources::host::{parse_diskstats, parse_meminfo, parse_proc_stat};
use tallyman_agent_core::sources::identity::container_of;
use tallyman_agent_core::sources::io::parse_io_stat;
use tallyman_agent_core::sources::memory::{
    parse_memory_current, parse_memory_stat, parse_memory_stat_v1, parse_memory_swap_current,
    parse_memory_usage_in_bytes,
};
use tallyman_agent_core::sources::net::parse_net_dev;
use tallyman_agent_core::sources::proc::{parse_boot_id, parse_starttime_ticks};

/// Every value of a text as `name=value`, or `None` after an error. A value that is unknown is not listed.
type Values = fn(&[u8]) -> Option<Vec<String>>;

/// Cuts `text` everywhere and replaces each of its bytes; `values` must never list what it does not list for the
/// whole.
fn check(name: &str, text: &[u8], values: Values) {
    let whole = values(text).unwrap_or_else(|| panic!("{name} does not parse"));
    for cut in 0..text.len() {
        let Some(found) = values(&text[..cut]) else {
            continue;
        };
        for value in found {
            assert!(whole.contains(&value), "{name} cut at {cut} says {value}");
        }
    }
    for at in 0..text.len() {
        for byte in *b"\0\n 9:=(-\xff" {
            let mut damaged = text.to_vec();
            damaged[at] = byte;
            values(&damaged);
        }
    }
}

fn one<T: ToString, E>(value: Result<T, E>) -> Option<Vec<String>> {
    value.ok().map(|value| vec![value.to_string()])
}

fn io(bytes: &[u8]) -> Option<Vec<String>> {
    let mut rows = Vec::new();
    let scan = parse_io_stat(bytes, &mut rows);
    assert!(scan.is_ok() || rows.is_empty());
    scan.ok()
        .map(|_| rows.iter().map(|row| format!("{row:?}")).collect())
}

fn blkio(bytes: &[u8]) -> Option<Vec<String>> {
    let mut rows = Vec::new();
    parse_blkio_service_bytes(bytes, &mut rows).ok()?;
    parse_blkio_serviced(bytes, &mut rows).ok()?;
    Some(rows.iter().map(|row| format!("{row:?}")).collect())
}

fn rules(bytes: &[u8]) -> Option<Vec<String>> {
    let mut devices = Vec::new();
    parse_blkio_rules(bytes, &mut devices).ok()?;
    Some(devices.iter().map(|device| format!("{device:?}")).collect())
}

fn net(bytes: &[u8]) -> Option<Vec<String>> {
    let mut rows = Vec::new();
    parse_net_dev(bytes, &mut rows).ok()?;
    Some(rows.iter().map(|row| format!("{row:?}")).collect())
}

fn disks(bytes: &[u8]) -> Option<Vec<String>> {
    let mut rows = Vec::new();
    parse_diskstats(bytes, &mut rows).ok()?;
    Some(rows.iter().map(|row| format!("{row:?}")).collect())
}

fn memory(stat: tallyman_agent_core::sources::memory::MemoryStat) -> Vec<String> {
    let mut values = vec![format!(
        "anon={} file={} inactive={}",
        stat.anon_bytes, stat.file_bytes, stat.inactive_file_bytes
    )];
    values.extend(stat.shmem_bytes.map(|value| format!("shmem={value}")));
    values.extend(stat.swap_bytes.map(|value| format!("swap={value}")));
    values
}

fn process(bytes: &[u8]) -> Option<Vec<String>> {
    let found = parse_process_cgroups(bytes).ok()?;
    let trees = [
        ("v2", found.unified),
        ("cpuacct", found.cpuacct),
        ("memory", found.memory),
        ("blkio", found.blkio),
    ];
    let shown = |(tree, path): (&str, Option<_>)| path.map(|path| format!("{tree}={path:?}"));
    Some(trees.into_iter().filter_map(shown).collect())
}

fn mounts(bytes: &[u8]) -> Option<Vec<String>> {
    let found = parse_cgroup_mounts(bytes).ok()?;
    let trees = [
        ("v2", found.unified),
        ("cpuacct", found.cpuacct),
        ("memory", found.memory),
        ("blkio", found.blkio),
    ];
    let shown = |(tree, path): (&str, Option<Vec<u8>>)| path.map(|path| format!("{tree}={path:?}"));
    Some(trees.into_iter().filter_map(shown).collect())
}

macro_rules! fixture {
    ($path:literal, $values:expr) => {
        check($path, include_bytes!(concat!("fixtures/", $path)), $values)
    };
}

#[test]
fn files_of_one_value() {
    fixture!("v2/cpu.stat", |bytes| one(parse_cpu_stat(bytes)));
    fixture!("v2/root.cpu.stat", |bytes| one(parse_cpu_stat(bytes)));
    fixture!("v2/memory.current", |bytes| one(parse_memory_current(bytes)));
    fixture!("v2/fresh.memory.current", |bytes| one(parse_memory_current(
        bytes
    )));
    fixture!("v2/memory.swap.current", |bytes| one(parse_memory_swap_current(
        bytes
    )));
    fixture!("v1/cpuacct.usage", |bytes| one(parse_cpuacct_usage(bytes)));
    fixture!("v1/memory.usage_in_bytes", |bytes| one(
        parse_memory_usage_in_bytes(bytes)
    ));
    fixture!("v2/cgroup.events", |bytes| one(parse_populated(bytes)));
    fixture!("v2/pid.stat", |bytes| one(parse_starttime_ticks(bytes)));
    fixture!("proc/boot_id", |bytes| one(
        parse_boot_id(bytes).map(|id| format!("{id:?}"))
    ));
    fixture!("v2/cgroup.controllers", |bytes| one(
        parse_controllers(bytes).map(|found| format!("{found:?}"))
    ));
}

#[test]
fn memory_files() {
    fixture!("v2/memory.stat", |bytes| parse_memory_stat(bytes)
        .ok()
        .map(memory));
    fixture!("v2/fresh.memory.stat", |bytes| parse_memory_stat(bytes)
        .ok()
        .map(memory));
    fixture!("v1/memory.stat", |bytes| parse_memory_stat_v1(bytes)
        .ok()
        .map(memory));
    fixture!("odd/memory.stat.v1_without_shmem_and_swap", |bytes| {
        parse_memory_stat_v1(bytes).ok().map(memory)
    });
}

#[test]
fn block_io_files() {
    fixture!("v2/io.stat", io);
    fixture!("v2/root.io.stat", io);
    fixture!("odd/io.stat.several_devices_on_a_line", io);
    fixture!("odd/io.stat.bare_last_row", io);
    fixture!("odd/io.stat.unknown", io);
    fixture!("odd/io.stat.stacked", io);
    fixture!("v1/blkio.throttle.io_service_bytes", blkio);
    fixture!("v1/blkio.throttle.io_serviced", blkio);
    fixture!("v1/blkio.throttle.io_serviced_recursive", blkio);
    fixture!("odd/blkio.unknown", blkio);
    check("rules", b"254:0 1000000000000\n8:16 5\n", rules);
}

#[test]
fn network_and_host_files() {
    fixture!("proc/container.net_dev", net);
    fixture!("proc/net_dev", net);
    fixture!("odd/net_dev.interface_removed", net);
    fixture!("proc/diskstats", disks);
    fixture!("proc/stat", |bytes| one(
        parse_proc_stat(bytes).map(|cpu| format!("{cpu:?}"))
    ));
    fixture!("proc/meminfo", |bytes| one(
        parse_meminfo(bytes).map(|memory| format!("{memory:?}"))
    ));
}

#[test]
fn files_of_identity() {
    fixture!("v1/pid.cgroup", process);
    fixture!("v2/pid.cgroup", process);
    fixture!("hybrid/pid.cgroup", process);
    fixture!("v1/mountinfo", mounts);
    fixture!("v2/mountinfo", mounts);
    fixture!("hybrid/mountinfo", mounts);
    let path = b"/system.slice/docker-4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3.scope";
    check("a path", path, |bytes| {
        Some(
            container_of(bytes)
                .map(|found| found.id.to_string())
                .into_iter()
                .collect(),
        )
    });
}
