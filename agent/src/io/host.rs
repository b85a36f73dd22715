//! The machine itself: which disks are whole, which interfaces lead out, and what it is.
//!
//! What is stacked on a disk shows the same I/O again, and a bridge the same bytes as its uplink; only one layer
//! counts. Must not read counters.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use sysinfo::{CpuRefreshKind, MemoryRefreshKind, RefreshKind, System};
use tallyman_agent_core::Hardware;
use tallyman_agent_core::sources::io::Device;
use tallyman_common::record::Inventory;

/// Disks that are memory or files of other disks.
const NO_DISKS: [&str; 3] = ["loop", "ram", "zram"];
/// What is said of a machine that does not say it itself.
const UNKNOWN: &str = "unknown";

/// Disks and uplinks; `sys` and `proc` are where sysfs and procfs are mounted.
pub fn hardware(sys: &Path, proc: &Path) -> Hardware {
    Hardware {
        devices: whole_disks(&sys.join("block")),
        uplinks: uplinks(&sys.join("class/net"), &proc.join("net")),
    }
}

/// What the machine is, for people and to tell impossible usage.
///
/// # Errors
/// When the machine does not say how many processors it has: usage would look impossible.
pub fn inventory() -> Result<Inventory, sysinfo::Error> {
    let kinds = RefreshKind::nothing()
        .with_cpu(CpuRefreshKind::nothing())
        .with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kinds)?;
    Ok(Inventory {
        host_name: host_name(),
        os: System::long_os_version().unwrap_or_else(|_| UNKNOWN.to_owned()),
        kernel: System::kernel_version().unwrap_or_else(|_| UNKNOWN.to_owned()),
        cpus: u32::try_from(system.cpus().len()).expect("processors fit"),
        memory_bytes: system.total_memory(),
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// The machine's name.
pub fn host_name() -> String {
    System::host_name().unwrap_or_else(|_| UNKNOWN.to_owned())
}

/// `None` when the machine does not show its disks: then every row counts.
fn whole_disks(block: &Path) -> Option<Vec<Device>> {
    let entries = fs::read_dir(block).ok()?;
    let mut devices = Vec::new();
    for entry in entries.filter_map(Result::ok) {
        let name = entry.file_name();
        let digits_follow = |prefix: &str| {
            let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
            rest.is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_digit()))
        };
        let slaves = fs::read_dir(entry.path().join("slaves"));
        let is_stacked = slaves.is_ok_and(|mut slaves| slaves.next().is_some());
        if is_stacked || NO_DISKS.iter().any(|prefix| digits_follow(prefix)) {
            continue;
        }
        let number = fs::read_to_string(entry.path().join("dev")).ok();
        devices.extend(number.and_then(|text| device(text.trim())));
    }
    devices.sort();
    Some(devices)
}

fn device(text: &str) -> Option<Device> {
    let (major, minor) = text.split_once(':')?;
    Some(Device {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
    })
}

/// Interfaces with a device behind them; on a machine that has none, those of the default routes.
fn uplinks(class: &Path, net: &Path) -> Vec<String> {
    let entries = fs::read_dir(class).into_iter().flatten().filter_map(Result::ok);
    let physical: BTreeSet<String> = entries
        .filter(|entry| entry.path().join("device").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    if physical.is_empty() {
        default_routes(net).into_iter().collect()
    } else {
        physical.into_iter().collect()
    }
}

fn default_routes(net: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    if let Ok(routes) = fs::read_to_string(net.join("route")) {
        let words = routes.lines().map(|line| line.split_whitespace());
        found.extend(words.filter_map(|mut words| {
            let (interface, destination) = (words.next()?, words.next()?);
            (destination == "00000000").then(|| interface.to_owned())
        }));
    }
    if let Ok(routes) = fs::read_to_string(net.join("ipv6_route")) {
        let words = routes.lines().map(|line| line.split_whitespace());
        found.extend(words.filter_map(|mut words| {
            let (destination, length) = (words.next()?, words.next()?);
            let interface = words.last()?;
            let is_default = destination.bytes().all(|b| b == b'0') && length == "00";
            (is_default && interface != "lo").then(|| interface.to_owned())
        }));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk(sys: &Path, name: &str, number: &str, slave: Option<&str>) {
        let folder = sys.join("block").join(name);
        fs::create_dir_all(folder.join("slaves")).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
        if let Some(slave) = slave {
            fs::write(folder.join("slaves").join(slave), "").unwrap();
        }
    }

    #[test]
    fn one_layer_of_disks_counts() {
        let root = tempfile::tempdir().unwrap();
        let (sys, proc) = (root.path().join("sys"), root.path().join("proc"));
        assert_eq!(hardware(&sys, &proc), Hardware::default());
        disk(&sys, "nvme0n1", "259:0", None);
        disk(&sys, "sda", "8:0", None);
        disk(&sys, "dm-0", "252:0", Some("sda"));
        disk(&sys, "loop7", "7:7", None);
        disk(&sys, "zram0", "253:0", None);
        disk(&sys, "rampart", "9:1", None);
        let numbers = |major, minor| Device { major, minor };
        let expected = vec![numbers(8, 0), numbers(9, 1), numbers(259, 0)];
        assert_eq!(hardware(&sys, &proc).devices, Some(expected));
    }

    #[test]
    fn uplinks_are_physical_or_where_the_default_routes_lead() {
        let root = tempfile::tempdir().unwrap();
        let (sys, proc) = (root.path().join("sys"), root.path().join("proc"));
        for interface in ["docker0", "eth0", "veth1"] {
            fs::create_dir_all(sys.join("class/net").join(interface)).unwrap();
        }
        fs::create_dir_all(proc.join("net")).unwrap();
        let head = "Iface\tDestination\tGateway\n";
        fs::write(
            proc.join("net/route"),
            format!("{head}eth0\t00000000\t0100A8C0\ndocker0\t000011AC\t0\n"),
        )
        .unwrap();
        let zeros = "0".repeat(32);
        let routes =
            format!("{zeros} 00 {zeros} 00 {zeros} 1 1 0 0 lo\n{zeros} 00 {zeros} 00 {zeros} 1 1 0 0 eth1\n");
        fs::write(proc.join("net/ipv6_route"), routes).unwrap();
        assert_eq!(hardware(&sys, &proc).uplinks, ["eth0", "eth1"]);
        fs::create_dir_all(sys.join("class/net/veth1/device")).unwrap();
        assert_eq!(hardware(&sys, &proc).uplinks, ["veth1"]);
    }

    #[test]
    fn this_machine_is_described() {
        let inventory = inventory().unwrap();
        assert!(inventory.cpus > 0 && inventory.memory_bytes > 0);
        assert!(!inventory.kernel.is_empty());
    }
}
