//! One test per known fault of other meters that began with the reading of a kernel file. Each names what went wrong
//! there, and shows on a recorded or reported text that it does not here.

use tallyman_agent_core::sources::blkio::{parse_blkio_rules, parse_blkio_service_bytes};
use tallyman_agent_core::sources::cgroup::parse_process_cgroups;
use tallyman_agent_core::sources::cpu::{parse_cpu_stat, parse_cpuacct_usage};
use tallyman_agent_core::sources::host::parse_proc_stat;
use tallyman_agent_core::sources::identity::container_of;
use tallyman_agent_core::sources::io::{Device, IoRow, parse_io_stat};
use tallyman_agent_core::sources::memory::{
    parse_memory_current, parse_memory_stat, parse_memory_stat_v1, parse_memory_swap_current,
};
use tallyman_agent_core::sources::net::parse_net_dev;

const ID: &str = "4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3";

fn row(major: u32, minor: u32, counters: [u64; 4]) -> IoRow {
    let [read_bytes, write_bytes, read_ops, write_ops] = counters.map(Some);
    IoRow {
        device: Device { major, minor },
        read_bytes,
        write_bytes,
        read_ops,
        write_ops,
    }
}

#[test]
fn row_02_no_answer_is_an_error_and_only_a_printed_zero_is_zero() {
    assert!(parse_cpu_stat(b"").is_err());
    assert!(parse_cpuacct_usage(b"").is_err());
    assert_eq!(
        parse_cpu_stat(include_bytes!("fixtures/v2/fresh.cpu.stat")),
        Ok(0)
    );
    assert_eq!(
        parse_cpuacct_usage(include_bytes!("fixtures/v1/fresh.cpuacct.usage")),
        Ok(0)
    );
}

#[test]
fn row_05_v1_block_io_without_a_rule_is_not_taken_for_idleness() {
    // Before any rule: no device at all, though the file says `Total 0`.
    let mut rows = Vec::new();
    let fresh = include_bytes!("fixtures/v1/fresh.blkio.throttle.io_service_bytes");
    parse_blkio_service_bytes(fresh, &mut rows).unwrap();
    assert!(rows.is_empty());
    // A rule for reads of 254:0 only: 8 MiB written there, and 512 KiB read from 7:0, still show as 0 (the v2 files
    // recorded under the same load show them). The rules tell which zeros mean something.
    let ruled = include_bytes!("fixtures/v1/blkio.throttle.io_service_bytes");
    parse_blkio_service_bytes(ruled, &mut rows).unwrap();
    let mut read_rules = Vec::new();
    parse_blkio_rules(b"254:0 1000000000000\n", &mut read_rules).unwrap();
    let counted: Vec<_> = rows
        .iter()
        .filter(|row| read_rules.contains(&row.device))
        .collect();
    assert_eq!((rows.len(), counted.len()), (2, 1));
    assert_eq!(counted[0].read_bytes, Some(14_685_184));
    let mut v2_rows = Vec::new();
    parse_io_stat(include_bytes!("fixtures/v2/io.stat"), &mut v2_rows).unwrap();
    assert_eq!(
        v2_rows,
        [
            row(7, 0, [524_288, 0, 8, 0]),
            row(254, 0, [14_685_184, 8_400_896, 165, 140])
        ]
    );
}

#[test]
fn row_06_a_device_without_a_name_hides_no_other() {
    let mut rows = Vec::new();
    let scan = parse_io_stat(include_bytes!("fixtures/odd/io.stat.unknown"), &mut rows).unwrap();
    assert_eq!(rows, [row(259, 2, [90_112, 4_096, 11, 1])]);
    assert_eq!((scan.unnamed_rows, scan.malformed_rows), (2, 0));

    let scan = parse_blkio_service_bytes(include_bytes!("fixtures/odd/blkio.unknown"), &mut rows).unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| (row.read_bytes, row.write_bytes))
            .collect::<Vec<_>>(),
        [(Some(90_112), Some(4_096))]
    );
    assert_eq!((scan.unnamed_rows, scan.malformed_rows), (2, 0));
}

#[test]
fn row_07_of_several_devices_on_a_line_the_last_owns_the_counters() {
    let mut rows = Vec::new();
    let several = include_bytes!("fixtures/odd/io.stat.several_devices_on_a_line");
    let scan = parse_io_stat(several, &mut rows).unwrap();
    assert_eq!(
        rows,
        [row(7, 4, [1_024, 0, 1, 0]), row(8, 0, [90_112, 4_096, 11, 1])]
    );
    assert_eq!(scan.bare_devices, 3);
}

#[test]
fn row_07_a_bare_last_row_is_unknown_and_no_error() {
    let mut rows = Vec::new();
    let scan = parse_io_stat(include_bytes!("fixtures/odd/io.stat.bare_last_row"), &mut rows).unwrap();
    assert_eq!(rows, [row(8, 0, [90_112, 4_096, 11, 1])]);
    assert_eq!((scan.bare_devices, scan.malformed_rows), (1, 0));
}

#[test]
fn row_07_bare_rows_of_a_current_kernel_are_unknown() {
    let mut rows = Vec::new();
    let scan = parse_io_stat(include_bytes!("fixtures/v2/root.io.stat"), &mut rows).unwrap();
    assert_eq!((rows.len(), scan.bare_devices), (2, 7));
}

#[test]
fn row_08_memory_comes_in_raw_parts_with_nothing_subtracted() {
    let stat = parse_memory_stat(include_bytes!("fixtures/v2/memory.stat")).unwrap();
    let current = parse_memory_current(include_bytes!("fixtures/v2/memory.current")).unwrap();
    // Shared memory stays inside the page cache, as the kernel counts it: a definition that leaves the cache out
    // would hide it, and that is decided where the parts are all there.
    assert_eq!((stat.file_bytes, stat.shmem_bytes), (11_575_296, Some(3_145_728)));
    assert_eq!(
        (current, stat.anon_bytes, stat.inactive_file_bytes),
        (12_288_000, 49_152, 7_868_416)
    );
}

#[test]
fn row_09_memory_that_cannot_be_read_is_not_zero() {
    assert!(parse_memory_current(b"").is_err());
    assert!(parse_memory_stat(b"").is_err());
    assert!(parse_memory_stat(b"slab 4096\n").is_err());
    assert!(parse_memory_stat_v1(include_bytes!("fixtures/v2/memory.stat")).is_err());
    assert!(parse_memory_stat(include_bytes!("fixtures/v1/fresh.memory.usage_in_bytes")).is_err());
}

#[test]
fn row_14_an_interface_that_is_gone_is_not_listed_rather_than_zero() {
    let mut rows = Vec::new();
    parse_net_dev(include_bytes!("fixtures/proc/container.net_dev"), &mut rows).unwrap();
    assert_eq!(rows.len(), 1);
    parse_net_dev(
        include_bytes!("fixtures/odd/net_dev.interface_removed"),
        &mut rows,
    )
    .unwrap();
    assert!(rows.is_empty());
}

#[test]
fn row_15_swap_is_swap_alone() {
    assert_eq!(
        parse_memory_swap_current(include_bytes!("fixtures/v2/memory.swap.current")),
        Ok(0)
    );
    let v1 = parse_memory_stat_v1(include_bytes!("fixtures/v1/memory.stat")).unwrap();
    assert_eq!(v1.swap_bytes, Some(0));
    assert_ne!(v1.anon_bytes + v1.file_bytes, 0);
    assert_eq!(
        parse_memory_stat(include_bytes!("fixtures/v2/memory.stat"))
            .unwrap()
            .swap_bytes,
        None
    );
}

#[test]
fn row_17_a_process_in_a_leaf_is_metered_by_its_container() {
    let line = format!("0::/machine.slice/machine-libpod_pod_{ID}.slice/libpod-{ID}.scope/container\n");
    let cgroups = parse_process_cgroups(line.as_bytes()).unwrap();
    let container = container_of(cgroups.unified.unwrap().path).unwrap();
    let expected = format!("/machine.slice/machine-libpod_pod_{ID}.slice/libpod-{ID}.scope");
    assert_eq!(container.path, expected.as_bytes());
    assert_eq!(container.id.to_string(), ID);
}

#[test]
fn row_18_nested_cgroups_of_one_container_are_one() {
    let levels = ["", "/init.scope", "/system.slice/ssh.service", "/a/b/c"];
    let found = levels.map(|below| {
        let path = format!("/docker/{ID}{below}");
        container_of(path.as_bytes()).map(|container| container.path.to_vec())
    });
    assert!(
        found
            .iter()
            .all(|path| path.as_deref() == Some(format!("/docker/{ID}").as_bytes()))
    );
}

#[test]
fn row_19_long_counters_keep_their_digits_and_sides() {
    let headings = include_str!("fixtures/odd/net_dev.interface_removed");
    let text = format!(
        "{headings}  eth0:18446744073709551615 0 0 0 0 0 0 0 9999999999999999999 0 0 0 0 0 0 0\n  eth1: 7 0 0 0 0 0 0 0 8 0 0 0 \
         0 0 0 0\n"
    );
    let mut rows = Vec::new();
    parse_net_dev(text.as_bytes(), &mut rows).unwrap();
    let shown: Vec<_> = rows.iter().map(|row| (row.rx_bytes, row.tx_bytes)).collect();
    assert_eq!(shown, [(u64::MAX, 9_999_999_999_999_999_999), (7, 8)]);
    assert!(parse_net_dev(b"", &mut rows).is_err());
    assert!(rows.is_empty());
}

#[test]
fn row_22_a_v1_kernel_without_some_parts_is_read_and_they_stay_unknown() {
    let text = include_bytes!("fixtures/odd/memory.stat.v1_without_shmem_and_swap");
    let stat = parse_memory_stat_v1(text).unwrap();
    assert_eq!((stat.shmem_bytes, stat.swap_bytes), (None, None));
    assert_eq!((stat.anon_bytes, stat.file_bytes), (49_152, 11_575_296));
}

#[test]
fn row_23_idle_and_iowait_that_go_back_do_not_touch_busy_time() {
    let earlier = parse_proc_stat(include_bytes!("fixtures/odd/stat.idle_went_back_1")).unwrap();
    let later = parse_proc_stat(include_bytes!("fixtures/odd/stat.idle_went_back_2")).unwrap();
    assert_eq!(later.busy_ticks.checked_sub(earlier.busy_ticks), Some(7));
    assert_eq!(later.steal_ticks, earlier.steal_ticks);
}
