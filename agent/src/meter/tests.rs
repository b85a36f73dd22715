//! The meter over a made-up machine in a folder: a v2 tree of plain files, and the shipped core behind it.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tallyman_agent_core::sources::cgroup::Controllers;
use tallyman_agent_core::sources::hierarchy::CgroupMounts;
use tallyman_agent_core::sources::pattern::Pattern;
use tallyman_agent_core::spool;
use tallyman_agent_core::{AgentConfig, Fresh, Identity, Mapping};
use tallyman_common::ids::{NodeId, Nonce, SpoolId};
use tallyman_common::record::Inventory;
use tallyman_common::sign::NodeKey;

use super::*;
use crate::outbox::{Outgoings, outbox};

const ID: &str = "4f5b1c0a9e8d7c6b5a493827160f5e4d3c2b1a09f8e7d6c5b4a3928170f1e2d3";

struct World {
    root: tempfile::TempDir,
    meter: Meter,
    _network: Outgoings,
}

impl World {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("cgroup")).unwrap();
        fs::create_dir_all(path("proc/sys/kernel/random")).unwrap();
        fs::copy(
            "/proc/sys/kernel/random/boot_id",
            path("proc/sys/kernel/random/boot_id"),
        )
        .unwrap();
        let mounts = CgroupMounts {
            unified: Some(path("cgroup").as_os_str().as_bytes().to_vec()),
            ..CgroupMounts::default()
        };
        let machine = Machine {
            proc: path("proc"),
            sys: path("sys"),
            trees: CgroupTrees::of(mounts.hierarchy(Controllers::default())),
            clock: Clock::open(&path("proc")).unwrap(),
        };
        let selection = Selection {
            containers: true,
            patterns: vec![Pattern::parse("/tenant-*").unwrap()],
        };
        let mut disk = FolderDisk::open(&path("spool")).unwrap();
        let agent = open(&machine, &selection, &mut disk);
        let (out, network) = outbox();
        let parts = Parts {
            machine,
            selection,
            host: false,
            hardware: Hardware::default(),
            advice: Advice::new(Mapping::default(), PathBuf::new()),
        };
        let meter = Meter::new(agent, disk, parts, out, Watch::open().unwrap());
        Self {
            root,
            meter,
            _network: network,
        }
    }

    fn cgroup(&self, path: &str) -> PathBuf {
        self.root.path().join("cgroup").join(&path[1..])
    }

    /// Makes a cgroup as it is with a process in it.
    fn make(&self, path: &str, usage_us: u64) {
        fs::create_dir_all(self.cgroup(path)).unwrap();
        fs::write(self.cgroup(path).join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        self.burn(path, usage_us);
    }

    fn burn(&self, path: &str, usage_us: u64) {
        let text = format!("usage_usec {usage_us}\nuser_usec 0\nsystem_usec 0\n");
        fs::write(self.cgroup(path).join("cpu.stat"), text).unwrap();
    }

    fn paths(&self) -> Vec<&str> {
        let mut paths: Vec<&str> = self.meter.table.iter().map(|e| e.path.as_str()).collect();
        paths.sort_unstable();
        paths
    }
}

fn open(machine: &Machine, selection: &Selection, disk: &mut FolderDisk) -> Agent {
    let config = AgentConfig {
        interval_ns: 2_000_000_000,
        full_every_ticks: 5,
        hold_ms: 10_000,
        live_every_ms: 5_000,
        sources: selection.sources(),
        mapping: Mapping::default(),
        hardware: Hardware::default(),
        clock_ticks_per_s: 100,
        spool_bytes_max: 64 << 20,
        retention_ms: 0,
        backlog_bytes_per_s: 1 << 20,
    };
    let key = NodeKey::from_seed(&[7; 32]);
    let identity = Identity {
        node: NodeId::of_key(&key.public().to_bytes()),
        key,
        inventory: Inventory {
            host_name: "h".to_owned(),
            os: "o".to_owned(),
            kernel: "k".to_owned(),
            cpus: 1,
            memory_bytes: 1,
            agent_version: "v".to_owned(),
        },
    };
    let fresh = Fresh {
        spool: SpoolId([1; 16]),
        nonce: Nonce([2; 16]),
    };
    Agent::open(config, identity, machine.clock.now(), fresh, disk)
        .unwrap()
        .0
}

#[test]
fn what_is_there_at_the_start_is_metered_and_what_comes_by_a_hint() {
    let mut world = World::new();
    world.make("/tenant-a", 5);
    world.make(&format!("/docker/{ID}"), 7);
    world.make("/other", 9);
    world.meter.start();
    let container = format!("/docker/{ID}");
    assert_eq!(world.paths(), [container.as_str(), "/tenant-a"]);
    world.make("/tenant-b", 1);
    world.meter.take_hints();
    assert_eq!(world.paths(), [container.as_str(), "/tenant-a", "/tenant-b"]);
    assert_eq!(world.meter.status().workloads, 3);
}

#[test]
fn a_container_ends_when_it_is_empty_and_does_not_come_back_while_its_folder_lasts() {
    let mut world = World::new();
    let container = format!("/docker/{ID}");
    world.make(&container, 7);
    world.meter.start();
    let events = world.cgroup(&container).join("cgroup.events");
    fs::write(&events, "populated 0\nfrozen 0\n").unwrap();
    world.meter.take_hints();
    assert_eq!(world.paths(), Vec::<&str>::new());
    world.meter.rescan();
    assert_eq!(world.paths(), Vec::<&str>::new());
    fs::write(&events, "populated 1\nfrozen 0\n").unwrap();
    world.meter.rescan();
    assert_eq!(world.paths(), [container.as_str()]);
    fs::remove_dir_all(world.cgroup("/docker")).unwrap();
    world.meter.rescan();
    assert_eq!(world.paths(), Vec::<&str>::new());
    assert!(world.meter.ended.is_empty());
}

#[test]
fn an_empty_slice_stays_and_one_that_was_made_anew_is_another_life() {
    let mut world = World::new();
    world.make("/tenant-a", 5);
    world.meter.start();
    fs::write(
        world.cgroup("/tenant-a").join("cgroup.events"),
        "populated 0\nfrozen 0\n",
    )
    .unwrap();
    world.meter.take_hints();
    assert_eq!(world.paths(), ["/tenant-a"]);
    let first = world.meter.table.at("/tenant-a").unwrap().life;
    fs::rename(world.cgroup("/tenant-a"), world.root.path().join("old")).unwrap();
    world.make("/tenant-a", 1);
    world.meter.rescan();
    let second = world.meter.table.at("/tenant-a").unwrap().life;
    assert_ne!(first, second);
}

#[test]
fn hints_that_were_lost_are_made_up_for() {
    let mut world = World::new();
    world.meter.start();
    world.make("/tenant-a", 5);
    world.make("/tenant-b", 5);
    // As if the kernel's queue had overflown.
    world.meter.watch = Watch::open().unwrap();
    world.meter.take_hints();
    assert_eq!(world.paths(), Vec::<&str>::new());
    world.meter.rescan();
    assert_eq!(world.paths(), ["/tenant-a", "/tenant-b"]);
}

#[test]
fn an_orderly_stop_leaves_a_sound_spool() {
    let mut world = World::new();
    world.meter.start();
    world.make("/tenant-a", 1);
    world.meter.take_hints();
    world.burn("/tenant-a", 1_000);
    let spool_folder = world.root.path().join("spool");
    // A window has a length, in milliseconds: on a fast machine all this took none.
    let boot_ms = |world: &World| world.meter.parts.machine.clock.now().boot_ms();
    let begun = boot_ms(&world);
    while boot_ms(&world) == begun {
        std::hint::spin_loop();
    }
    world.meter.stop();
    let mut disk = FolderDisk::open(Path::new(&spool_folder)).unwrap();
    let verified = spool::verify(&mut disk).unwrap();
    assert_eq!(verified.damage, Vec::<String>::new());
    assert_eq!(spool::list(&mut disk).unwrap().len(), 1);
}
