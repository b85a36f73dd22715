//! Crashes at every operation of the disk: what the frames say in the end is what the counters say (I1, I2, I3, I8).

use std::collections::BTreeMap;

use tallyman_common::meter::Meter;
use tallyman_common::record::Cause;

use super::world::*;
use crate::testing::{CRASHES, Crash, MemDisk};
use crate::*;

/// CPU microseconds per second of each container, by its number.
fn work(cgroup: &mut Cgroup, seconds: u64) {
    let rate = u64::from(cgroup.container.unwrap_or(1)) * 1_000;
    cgroup.cpu_us += rate * seconds;
    cgroup.disk += seconds * 512;
    cgroup.net += seconds * 100;
}

/// What each container really used of CPU, microseconds, also after it ended.
type Truth = BTreeMap<u8, u64>;

fn note(world: &World, truth: &mut Truth) {
    for cgroup in &world.cgroups {
        truth.insert(cgroup.container.unwrap(), cgroup.cpu_us);
    }
}

/// Two containers all the time, one that comes and goes. Stops early when the disk stopped the agent.
fn scenario(world: &mut World, truth: &mut Truth, from_minute: u64) {
    let stopped = |world: &World| world.disk.stop_at.is_some_and(|at| world.disk.operations >= at);
    for minute in from_minute..4 {
        if minute == 1 && !world.cgroups.iter().any(|c| c.container == Some(3)) {
            world.add(container(3, Some("c")));
        }
        if let Some(at) = world
            .cgroups
            .iter()
            .position(|c| c.container == Some(3))
            .filter(|_| minute == 3)
        {
            note(world, truth);
            world.end(at);
        }
        world.run(MINUTE, work);
        note(world, truth);
        if stopped(world) {
            return;
        }
    }
}

fn begin() -> World {
    let mut world = World::new();
    assert!(world.start());
    world.run(10 * S, work);
    world.add(container(1, Some("a")));
    world.add(container(2, Some("b")));
    world
}

fn finish(world: &mut World, truth: &mut Truth) {
    world.run(2 * MINUTE + 7 * S, work);
    note(world, truth);
    world.sweep();
    world.step(Event::Stop);
    world.agent = None;
}

fn check(world: &mut World, truth: &Truth, context: &str) {
    let books = Books::read(&mut world.disk);
    let causes = books.all_causes();
    for (number, owner) in [(1, "a"), (2, "b"), (3, "c")] {
        let real = u128::from(truth.get(&number).copied().unwrap_or(0)) * 1_000;
        let billed = books.total(owner, Meter::CPU_TIME);
        assert!(billed <= real, "{context}: {owner} is billed {billed} of {real}");
        let ended = number == 3
            && causes
                .iter()
                .any(|c| matches!(c, Cause::EndedUnseen | Cause::AgentDown));
        let unknown = causes.contains(&Cause::NoBaseline);
        if !ended && !unknown {
            assert_eq!(billed, real, "{context}: {owner}; {:?}", world.notices);
        }
    }
    let mut before: Option<&tallyman_common::wire::Header> = None;
    for header in &books.headers {
        if let Some(before) = before.filter(|b| b.boot == header.boot && header.part == 0) {
            assert_eq!(before.boot_end, header.boot_start, "{context}: I8");
            assert_eq!(header.prev_digest, before.digest(), "{context}: the chain holds");
        }
        before = Some(header);
    }
    // What was ever sent is still there with the same bytes: one key, one digest.
    for sent in &world.sent {
        let header = tallyman_common::wire::Frame::parse(&sent.frame).unwrap().header;
        assert!(
            books.headers.contains(&header),
            "{context}: batch {} was sent but is not durable",
            sent.seq
        );
    }
    // Readings of a series follow each other.
    for owner in ["a", "b", "c"] {
        let mut last = BTreeMap::new();
        for (birth, seq, row) in books.rows(owner, Meter::CPU_TIME) {
            let expected = last.insert(birth, row.to).unwrap_or(0);
            assert_eq!(row.from, expected, "{context}: {owner} at {seq}");
        }
    }
}

fn connect(world: &mut World) {
    let hello = world.agent.as_ref().unwrap().hello(world.now());
    let fresh = world.fresh_spool();
    let welcome = tallyman_common::message::Welcome {
        store: tallyman_common::ids::StoreId([1; 16]),
        version: 1,
        watermark: 0,
        watermark_digest: tallyman_common::ids::Digest::default(),
        above: Vec::new(),
        wall: hello.wall,
        restored: tallyman_common::time::WallMs(0),
    };
    let effects = world.step(Event::Net(NetEvent::Connected { welcome, fresh }));
    assert_eq!(effects.disconnect, None);
}

#[test]
fn without_a_crash_every_counter_is_billed_to_the_unit() {
    let (mut world, mut truth) = (begin(), Truth::new());
    connect(&mut world);
    scenario(&mut world, &mut truth, 0);
    finish(&mut world, &mut truth);
    check(&mut world, &truth, "no crash");
    let books = Books::read(&mut world.disk);
    assert!(books.all_causes().is_empty(), "{:?}", books.all_causes());
    assert!(spool::verify(&mut world.disk).unwrap().damage.is_empty());
}

#[test]
fn a_crash_at_any_operation_costs_nothing() {
    let (mut world, mut truth) = (begin(), Truth::new());
    scenario(&mut world, &mut truth, 0);
    let operations = world.disk.operations;
    assert!(operations > 12, "{operations}");
    for crash in CRASHES {
        for stop_at in 1..=operations {
            let context = format!("{crash:?} at operation {stop_at}");
            let mut world = World::new();
            world.disk.stop_at = Some(stop_at);
            let mut truth = Truth::new();
            if world.start() {
                world.run(10 * S, work);
                world.add(container(1, Some("a")));
                world.add(container(2, Some("b")));
                connect(&mut world);
                scenario(&mut world, &mut truth, 0);
            }
            restart(&mut world, crash);
            let minute = (world.ns - 1_010 * S) / MINUTE;
            world.run(3 * S, work);
            assert!(world.agent.is_some() || world.start(), "{context}");
            connect(&mut world);
            scenario(&mut world, &mut truth, minute);
            finish(&mut world, &mut truth);
            check(&mut world, &truth, &context);
        }
    }
}

fn restart(world: &mut World, crash: Crash) {
    world.agent = None;
    world.disk = world.disk.after(crash);
}

#[test]
fn an_error_of_any_operation_costs_nothing() {
    let (mut world, mut truth) = (begin(), Truth::new());
    scenario(&mut world, &mut truth, 0);
    let operations = world.disk.operations;
    let errors = [DiskError::Full, DiskError::Failed("i/o error".to_owned())];
    for error in errors {
        for fail_at in 1..=operations {
            let context = format!("{error:?} at operation {fail_at}");
            let mut world = World::new();
            world.disk.fail_at = Some((fail_at, error.clone()));
            let mut truth = Truth::new();
            if !world.start() {
                continue;
            }
            world.run(10 * S, work);
            world.add(container(1, Some("a")));
            world.add(container(2, Some("b")));
            connect(&mut world);
            scenario(&mut world, &mut truth, 0);
            // And then the machine dies as well.
            restart(&mut world, Crash::Machine);
            assert!(world.start(), "{context}");
            finish(&mut world, &mut truth);
            check(&mut world, &truth, &context);
        }
    }
}

/// The first segment's name.
fn segment(disk: &MemDisk) -> String {
    let names = disk.names();
    names.into_iter().find(|name| name.starts_with("spool-")).unwrap()
}

#[test]
fn a_flipped_bit_anywhere_is_never_a_number() {
    let (mut world, mut truth) = (begin(), Truth::new());
    scenario(&mut world, &mut truth, 0);
    let name = segment(&world.disk);
    let len = world.disk.bytes(&name).len();
    for byte in (0..len).step_by(13) {
        let context = format!("byte {byte} of {len}");
        let mut again = World::new();
        (again.ns, again.starts) = (world.ns, world.starts);
        again.cgroups = world.cgroups.clone();
        again.disk = world.disk.clone();
        again.disk.flip(&name, byte);
        let mut truth = truth.clone();
        assert!(again.start(), "{context}");
        finish(&mut again, &mut truth);
        let books = Books::read(&mut again.disk);
        for (number, owner) in [(1, "a"), (2, "b")] {
            let real = u128::from(truth[&number]) * 1_000;
            assert_eq!(books.total(owner, Meter::CPU_TIME), real, "{context}: {owner}");
        }
        assert!(books.causes("host").contains(&Cause::SpoolDamaged), "{context}");
        assert!(
            again.disk.names().iter().any(|n| n.starts_with("quarantine-")),
            "{context}"
        );
        // The next start finds nothing new.
        assert!(again.start());
        again.agent = None;
        let told = again.notices.iter().filter(|n| n.code == "spool-damaged").count();
        assert_eq!(told, 1, "{context}");
    }
}

#[test]
fn a_batch_behind_a_spool_that_lost_all_names_the_lost_one() {
    let (mut world, mut truth) = (begin(), Truth::new());
    world.run(MINUTE, work);
    let (name, lost) = (segment(&world.disk), Books::read(&mut world.disk).headers);
    assert_eq!(lost.len(), 1);
    assert_eq!(lost[0].prev_digest, tallyman_common::ids::Digest::default());
    world.agent = None;
    world.disk.flip(&name, 100);
    // Also when the process ends once more before it has closed a window.
    for _ in 0..2 {
        assert!(world.start());
        world.sweep();
        world.agent = None;
    }
    assert!(world.start());
    finish(&mut world, &mut truth);
    let books = Books::read(&mut world.disk);
    assert_eq!(
        (books.headers[0].seq, books.headers[0].prev_digest),
        (1, lost[0].digest())
    );
    assert_ne!(books.headers[0].spool, lost[0].spool);
    let first = books.rows("a", Meter::CPU_TIME);
    let (birth, _, row) = &first[0];
    assert_eq!(birth.spool, lost[0].spool, "readings go on");
    assert!(row.from > 0);
}

#[test]
fn a_new_spool_that_lost_all_is_newer_than_the_frames_of_the_old_one() {
    for windows in [1, 2] {
        let (mut world, mut truth) = (begin(), Truth::new());
        world.run(2 * MINUTE, work);
        let effects = super::rules::welcome(&mut world, 2, [9; 32]);
        assert!(effects.disconnect.is_some());
        world.run(windows * MINUTE, work);
        let last = Books::read(&mut world.disk).headers.last().unwrap().clone();
        assert_eq!(last.seq, windows);
        world.agent = None;
        let name = world
            .disk
            .names()
            .into_iter()
            .rfind(|n| n.starts_with("spool-"))
            .unwrap();
        assert!(name.contains(&last.spool.to_string()));
        for byte in (100..world.disk.bytes(&name).len()).step_by(100) {
            world.disk.flip(&name, byte);
        }
        world.run(MINUTE, work);
        assert!(world.start());
        finish(&mut world, &mut truth);
        let books = Books::read(&mut world.disk);
        assert!(!books.headers.contains(&last), "it is lost");
        assert!(
            !books.all_causes().contains(&Cause::NoBaseline),
            "its checkpoint counts"
        );
        // The old spool's last reading, and that of the lost spool's series in the third one: nothing twice.
        assert_eq!(books.total("a", Meter::CPU_TIME), u128::from(truth[&1]) * 1_000);
    }
}

#[test]
fn a_checkpoint_beside_a_damaged_one_never_bills_again_what_a_lost_batch_billed() {
    let slots = ["checkpoint-0", "checkpoint-1"];
    let scenes = slots.map(|slot| [1, 2].map(|windows| [false, true].map(|gone| (slot, windows, gone))));
    for (slot, windows, old_is_gone) in scenes.into_iter().flatten().flatten() {
        let context = format!("{slot} behind {windows} windows, old spool gone: {old_is_gone}");
        let (mut world, mut truth) = (begin(), Truth::new());
        world.run(2 * MINUTE, work);
        assert!(super::rules::welcome(&mut world, 2, [9; 32]).disconnect.is_some());
        world.run(windows * MINUTE, work);
        // All of it was shipped; then the new spool and one slot rot.
        let shipped = Books::read(&mut world.disk).headers;
        let last = shipped.last().unwrap();
        assert_eq!(
            (shipped.len() as u64, last.seq),
            (2 + windows, windows),
            "{context}"
        );
        world.agent = None;
        let segments = world.disk.names().into_iter().filter(|n| n.starts_with("spool-"));
        let segments: Vec<String> = segments.collect();
        for byte in (100..world.disk.bytes(&segments[1]).len()).step_by(100) {
            world.disk.flip(&segments[1], byte);
        }
        world.disk.flip(slot, 20);
        if old_is_gone {
            world.disk.remove(&segments[0]).unwrap();
        }
        world.run(MINUTE, work);
        // The second process goes on from the checkpoint of the first, which closed no window.
        let lost_us = world.cgroups[0].cpu_us;
        for _ in 0..2 {
            assert!(world.start(), "{context}");
            world.sweep();
            world.agent = None;
            world.run(2 * S, work);
        }
        assert!(world.start(), "{context}");
        finish(&mut world, &mut truth);
        let books = Books::read(&mut world.disk);
        let later = books.headers.iter().find(|h| !shipped.contains(h)).unwrap();
        assert!(later.boot_start >= last.boot_end, "{context}: I8");
        assert!(books.causes("host").contains(&Cause::SpoolDamaged), "{context}");
        let rows = books.rows("a", Meter::CPU_TIME).into_iter();
        let rows = rows.filter(|(birth, ..)| birth.spool == later.spool);
        let billed: u128 = rows.map(|(_, _, row)| row.to - row.from).sum();
        assert_eq!(billed, u128::from(truth[&1] - lost_us) * 1_000, "{context}");
    }
}

#[test]
fn a_new_boot_starts_at_zero_and_its_window_with_the_boot() {
    let (mut world, mut truth) = (begin(), Truth::new());
    scenario(&mut world, &mut truth, 0);
    world.step(Event::Stop);
    restart(&mut world, Crash::Machine);
    let before: u64 = truth[&1];
    world.boot = tallyman_common::ids::BootId([2; 16]);
    world.wall_shift = i64::try_from(world.ns / 1_000_000).unwrap() + 60_000;
    world.ns = 20 * S;
    for cgroup in &mut world.cgroups {
        (cgroup.cpu_us, cgroup.disk, cgroup.net) = (5_000, 0, 0);
        cgroup.life += 1;
    }
    assert!(world.start());
    world.run(2 * MINUTE, |_, _| {});
    let books = Books::read(&mut world.disk);
    assert_eq!(
        books.total("a", Meter::CPU_TIME),
        u128::from(before + 5_000) * 1_000
    );
    let first = books.headers.iter().find(|h| h.boot == world.boot).unwrap();
    assert_eq!(first.boot_start.0, 0);
    assert!(books.causes("host").contains(&Cause::AgentDown));
}

#[test]
fn without_any_checkpoint_usage_starts_anew_and_is_never_billed_twice() {
    let (mut world, mut truth) = (begin(), Truth::new());
    scenario(&mut world, &mut truth, 0);
    world.agent = None;
    for slot in ["checkpoint-0", "checkpoint-1"] {
        world.disk.flip(slot, 20);
    }
    let before = Books::read(&mut world.disk).total("a", Meter::CPU_TIME);
    let at_restart = u128::from(truth[&1]) * 1_000;
    assert!(world.start());
    world.sweep();
    finish(&mut world, &mut truth);
    let books = Books::read(&mut world.disk);
    let real = u128::from(truth[&1]) * 1_000;
    assert_eq!(books.total("a", Meter::CPU_TIME), before + real - at_restart);
    assert!(books.causes("a").contains(&Cause::NoBaseline));
    assert!(books.causes("host").contains(&Cause::SpoolDamaged));
    let spools: std::collections::BTreeSet<_> = books.headers.iter().map(|h| h.spool).collect();
    assert_eq!(spools.len(), 2);
}

#[test]
fn a_checkpoint_of_a_newer_release_is_not_overwritten() {
    let mut world = begin();
    world.run(MINUTE, work);
    world.agent = None;
    let bytes = world.disk.bytes("checkpoint-0").to_vec();
    let mut body = bytes[8..].to_vec();
    body[0] = 99;
    let newer = [&bytes[..4], &spool::crc32c(&[&body]).to_le_bytes(), &body].concat();
    world.disk.truncate("checkpoint-0", 0).unwrap();
    world.disk.append("checkpoint-0", &newer).unwrap();
    let refused = world.try_start().unwrap_err().to_string();
    assert!(refused.contains("start the newer release"), "{refused}");
    assert_eq!(world.disk.bytes("checkpoint-0"), newer);
}
