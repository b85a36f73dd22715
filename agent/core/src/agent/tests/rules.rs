//! Who is charged, from what baseline, with what state: scenes that a finance person can read.

use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, State};

use super::world::*;
use crate::*;

pub fn burn(cgroup: &mut Cgroup, seconds: u64) {
    cgroup.cpu_us += 1_000 * seconds;
    cgroup.net += 10 * seconds;
}

/// A running agent that has seen its first sweep: what comes now is new.
pub fn running() -> World {
    let mut world = World::new();
    assert!(world.start());
    world.run(10 * S, burn);
    world
}

fn stop(world: &mut World) -> Books {
    world.sweep();
    world.step(Event::Stop);
    world.agent = None;
    Books::read(&mut world.disk)
}

fn cpu(books: &Books, owner: &str) -> u128 {
    books.total(owner, Meter::CPU_TIME) / 1_000
}

fn states(books: &Books, owner: &str, meter: Meter) -> Vec<State> {
    books
        .rows(owner, meter)
        .into_iter()
        .map(|(_, _, row)| row.state)
        .collect()
}

#[test]
fn installing_on_a_live_host_bills_from_now_on_and_says_so() {
    let mut world = World::new();
    world.add(Cgroup {
        cpu_us: 77_000_000,
        ..container(1, Some("a"))
    });
    assert!(world.start());
    world.sweep();
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a"), 60_000);
    assert_eq!(books.causes("a"), [Cause::NoBaseline]);
    assert_eq!(
        states(&books, "a", Meter::CPU_TIME)[0],
        State::Partial(Cause::NoBaseline)
    );
}

#[test]
fn a_source_that_is_new_in_the_configuration_bills_from_now_on() {
    for (covered, billed, causes) in [(true, 15_000, vec![]), (false, 10_000, vec![Cause::NoBaseline])] {
        let mut world = World::new();
        if !covered {
            world.sources.retain(|source| source != "docker");
        }
        assert!(world.start());
        world.run(MINUTE, burn);
        stop(&mut world);
        world.sources = vec!["docker".to_owned(), "slices".to_owned()];
        world.add(Cgroup {
            cpu_us: 5_000,
            ..container(1, Some("a"))
        });
        assert!(world.start());
        world.sweep();
        world.run(10 * S, burn);
        let books = stop(&mut world);
        assert_eq!(
            (cpu(&books, "a"), books.causes("a")),
            (billed, causes),
            "covered: {covered}"
        );
    }
}

#[test]
fn a_source_that_could_not_be_listed_is_not_covered_until_it_was() {
    let mut world = World::new();
    assert!(world.start());
    let listed = |listed| Event::SourceListed {
        source: "docker".to_owned(),
        listed,
    };
    world.step(listed(false));
    world.run(20 * S, burn);
    world.add(Cgroup {
        cpu_us: 77_000_000,
        ..container(1, Some("a"))
    });
    world.step(listed(true));
    world.add(container(2, Some("b")));
    world.sweep();
    world.run(20 * S, burn);
    let books = stop(&mut world);
    assert_eq!((cpu(&books, "a"), cpu(&books, "b")), (20_000, 20_000));
    assert_eq!(
        (books.causes("a"), books.causes("b")),
        (vec![Cause::NoBaseline], vec![])
    );
}

#[test]
fn a_container_waits_for_its_description_and_then_lands_whole() {
    let mut world = running();
    let at = world.add(container(1, None));
    world.run(5 * S, burn);
    assert_eq!(world.agent.as_ref().unwrap().status().held_workloads, 1);
    world.cgroups[at].tenant = Some("a");
    world.describe(at);
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!((cpu(&books, "a"), cpu(&books, "unattributed")), (65_000, 0));
}

#[test]
fn a_container_that_ended_while_it_waited_lands_whole_too() {
    let mut world = running();
    let at = world.add(container(1, None));
    world.cgroups[at].cpu_us = 300;
    world.end(at);
    // The window's edge and a restart come between.
    world.run(50 * S, burn);
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a") + cpu(&books, "unattributed"), 300);
    assert_eq!(
        cpu(&books, "unattributed"),
        300,
        "nobody described it within the time"
    );
}

#[test]
fn held_usage_survives_a_restart() {
    let mut world = running();
    world.run(45 * S, burn);
    let at = world.add(container(1, None));
    world.cgroups[at].cpu_us = 300;
    world.end(at);
    world.run(7 * S, burn);
    assert_eq!(world.agent.as_ref().unwrap().status().held_workloads, 1);
    stop(&mut world);
    assert!(world.start());
    world.step(Event::Described(Description {
        container: sources::identity::ContainerId::parse("01".repeat(32).as_bytes()).unwrap(),
        name: "c1".to_owned(),
        labels: [("tallyman.tenant".to_owned(), "a".to_owned())].into(),
        image_labels: [].into(),
    }));
    world.ns += S;
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a"), 300);
}

#[test]
fn after_the_wait_a_container_is_nobodys_and_a_late_label_counts_from_then_on() {
    let mut world = running();
    let at = world.add(container(1, None));
    world.run(20 * S, burn);
    world.cgroups[at].tenant = Some("a");
    world.describe(at);
    world.run(10 * S, burn);
    let books = stop(&mut world);
    assert_eq!((cpu(&books, "unattributed"), cpu(&books, "a")), (20_000, 10_000));
}

#[test]
fn a_parents_tenant_beats_the_childs_and_usage_counts_once() {
    let mut world = running();
    world.add(slice("/tenants/blue"));
    let child = Cgroup {
        path: "/tenants/blue/docker-1.scope".to_owned(),
        ..container(1, Some("red"))
    };
    world.add(child);
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!((cpu(&books, "blue"), cpu(&books, "red")), (60_000, 0));
    let sent = books.total("blue", Meter::NETWORK_TRANSMIT_BYTES);
    assert_eq!(
        sent, 600,
        "the network is counted by no cgroup, so it comes from the child"
    );
    let told: Vec<_> = world
        .notices
        .iter()
        .filter(|n| n.code == "owner-disagreement")
        .collect();
    assert_eq!(told.len(), 1, "{:?}", world.notices);
    let rows = books.records.iter().flat_map(|(_, r)| &r.workloads);
    let child_cpu: u128 = rows
        .filter(|w| w.life == 101)
        .flat_map(|w| &w.usage)
        .filter(|(m, _)| *m == Meter::CPU_TIME)
        .map(|(_, u)| u)
        .sum();
    assert_eq!(child_cpu, 60_000_000, "the breakdown has the child");
}

#[test]
fn a_shared_network_is_counted_once() {
    let mut world = running();
    let network = NetworkSeen::Namespace(77);
    let first = world.add(Cgroup {
        network,
        ..container(1, Some("a"))
    });
    world.add(Cgroup {
        network,
        ..container(2, Some("b"))
    });
    world.run(30 * S, burn);
    let mid = (world.cgroups[0].net, world.cgroups[1].net);
    assert_eq!(mid, (300, 300));
    world.end(first);
    // The one that stays goes on where the other stopped.
    world.run(30 * S, burn);
    let books = stop(&mut world);
    let sent = |owner| books.total(owner, Meter::NETWORK_TRANSMIT_BYTES);
    assert_eq!((sent("a"), sent("b")), (300, 300));
    assert_eq!(
        states(&books, "a", Meter::NETWORK_TRANSMIT_BYTES)[0],
        State::Measured
    );
    let b = states(&books, "b", Meter::NETWORK_TRANSMIT_BYTES);
    assert!(b.contains(&State::Unmeasured(Cause::SharedNetwork)), "{b:?}");
}

#[test]
fn a_counter_that_goes_back_charges_nothing_and_is_told() {
    let mut world = running();
    let at = world.add(container(1, Some("a")));
    world.run(30 * S, burn);
    world.cgroups[at].cpu_us -= 10_000;
    world.sweep();
    world.run(30 * S, burn);
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a"), 50_000);
    assert!(states(&books, "a", Meter::CPU_TIME).contains(&State::Partial(Cause::CounterWentBack)));
    let told = world
        .notices
        .iter()
        .find(|n| n.code == "counter-went-back")
        .unwrap();
    assert!(told.text.contains("from 30000000 to 20000000"), "{}", told.text);
}

#[test]
fn memory_is_an_exact_integral_with_peak() {
    let mut world = running();
    world.run(50 * S, burn);
    world.add(container(1, Some("a")));
    world.sweep();
    world.run(MINUTE, |c, s| c.memory += s * 10);
    let books = stop(&mut world);
    // From 1,000 bytes up by 10 a second: (1,000 + 1,600) / 2 bytes over 60,000 ms.
    assert_eq!(books.total("a", Meter::MEMORY_CURRENT), 1_300 * 60_000);
    let peak = books
        .records
        .iter()
        .flat_map(|(_, r)| &r.peaks)
        .map(|p| p.level)
        .max();
    assert_eq!(peak, Some(1_600));
}

#[test]
fn what_ended_while_the_agent_was_down_is_a_hole() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.add(container(2, Some("b")));
    world.run(MINUTE, burn);
    world.agent = None;
    world.disk = world.disk.after(testing::Crash::Process);
    world.cgroups.remove(0);
    world.run(MINUTE, burn);
    assert!(world.start());
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!(books.causes("a"), [Cause::EndedUnseen]);
    assert_eq!(books.causes("host"), [Cause::AgentDown]);
    assert_eq!(
        cpu(&books, "b"),
        180_000,
        "its counter went on, so nothing is missing"
    );
    let down = books.rows("b", Meter::CPU_TIME);
    let partial = down
        .iter()
        .find(|(_, _, row)| row.state == State::Partial(Cause::AgentDown))
        .unwrap();
    assert!(partial.2.covered_ms < 60_000, "{partial:?}");
}

#[test]
fn a_mapping_changes_at_the_next_minutes_edge() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(20 * S, burn);
    let before = world.mapping.clone();
    let rule = mapping::Rule {
        when: mapping::When::Name("c*".to_owned()),
        owner: "z".to_owned(),
    };
    let after = Mapping {
        label: String::new(),
        rules: vec![rule],
    };
    world.step(Event::MappingChanged(after.clone()));
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    // The minute's edge is 30 s behind the change: the agent began 40 s into a minute.
    assert_eq!(cpu(&books, "a") + cpu(&books, "z"), 80_000);
    assert!(cpu(&books, "a") > 0 && cpu(&books, "z") > 0);
    let revisions: Vec<u64> = books.headers.iter().map(|h| h.mapping_revision).collect();
    assert!(
        revisions.is_sorted() && revisions.first() != revisions.last(),
        "{revisions:?}"
    );
    // A start with other rules than the checkpoint's: the outage goes by the old ones.
    world.mapping = before;
    world.run(30 * S, burn);
    assert!(world.start());
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert!(cpu(&books, "z") >= 30_000, "{}", cpu(&books, "z"));
}

#[test]
fn a_clock_step_is_flagged_and_boot_time_stays_contiguous() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(90 * S, burn);
    world.wall_shift = -1_800_000;
    world.run(150 * S, burn);
    world.wall_shift = 7_200_000;
    world.run(90 * S, burn);
    let books = stop(&mut world);
    let flagged = books
        .headers
        .iter()
        .filter(|h| h.flags & tallyman_common::wire::FLAG_CLOCK_STEP != 0);
    assert_eq!(flagged.count(), 2);
    assert!(books.headers.windows(2).all(|w| w[0].boot_end == w[1].boot_start));
    assert_eq!(cpu(&books, "a"), 330_000);
}

#[test]
fn a_full_disk_keeps_the_window_open_and_loses_nothing() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(MINUTE, burn);
    world.disk.capacity = Some(0);
    world.run(3 * MINUTE, burn);
    assert!(world.agent.as_ref().unwrap().status().close_fault.is_some());
    world.add(container(2, Some("b")));
    world.run(MINUTE, burn);
    world.disk.capacity = None;
    world.run(MINUTE, burn);
    assert_eq!(world.agent.as_ref().unwrap().status().close_fault, None);
    let books = stop(&mut world);
    assert_eq!((cpu(&books, "a"), cpu(&books, "b")), (360_000, 120_000));
    let longest = books.headers.iter().map(|h| h.window().length_ms()).max();
    assert!(longest > Some(180_000), "{longest:?}");
    let told = world
        .notices
        .iter()
        .filter(|n| n.code == "window-not-closed")
        .count();
    assert!((1..4).contains(&told), "told once, not at each sweep: {told}");
}

pub fn welcome(world: &mut World, watermark: u64, digest: [u8; 32]) -> Effects {
    let fresh = world.fresh_spool();
    let welcome = tallyman_common::message::Welcome {
        store: tallyman_common::ids::StoreId([1; 16]),
        version: 1,
        watermark,
        watermark_digest: tallyman_common::ids::Digest(digest),
        above: Vec::new(),
        wall: world.now().wall,
        restored: tallyman_common::time::WallMs(0),
    };
    world.step(Event::Net(NetEvent::Connected { welcome, fresh }))
}

#[test]
fn batches_are_sent_until_acknowledged_oldest_and_newest_in_turn() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(20 * MINUTE, burn);
    let effects = welcome(&mut world, 0, [0; 32]);
    let seqs: Vec<u64> = effects.send.iter().map(|out| out.seq).collect();
    assert_eq!(seqs, [20, 1, 19, 2, 18, 3, 17, 4]);
    let spool = effects.send[0].spool;
    let ack = |seq| {
        Event::Net(NetEvent::Ack(tallyman_common::message::Ack {
            spool,
            seq,
            // A copy of this folder may have sent what is behind the others' numbers.
            upto: 4,
            known: false,
        }))
    };
    for seq in [20, 1, 2, 3, 4] {
        assert_eq!(world.step(ack(seq)).send.len(), 1);
    }
    let nack = tallyman_common::message::Nack {
        spool,
        seq: 19,
        reason: 3,
        verdict: tallyman_common::message::Verdict::Hold,
        text: "too far in the future".to_owned(),
    };
    world.step(Event::Net(NetEvent::Nack(nack)));
    let status = world.agent.as_ref().unwrap().status();
    assert_eq!((status.unacked, status.held_batches), (15, 1));
    for seq in 5..=18 {
        world.step(ack(seq));
    }
    // A new connection forgets holds; what was acknowledged is sent again only if the aggregator lacks it.
    world.step(Event::Net(NetEvent::Disconnected));
    let books = Books::read(&mut world.disk);
    let effects = welcome(&mut world, 18, books.headers[17].digest().0);
    assert_eq!(effects.disconnect, None);
    assert_eq!(
        effects.send.iter().map(|out| out.seq).collect::<Vec<_>>(),
        [20, 19]
    );
    // An aggregator that was set back gets what is still here.
    let effects = welcome(&mut world, 2, books.headers[1].digest().0);
    assert_eq!(effects.send.len(), 8);
}

#[test]
fn a_contradicted_spool_is_left_and_series_start_at_zero() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(2 * MINUTE, burn);
    let used = cpu(&Books::read(&mut world.disk), "a");
    let effects = welcome(&mut world, 2, [9; 32]);
    assert!(effects.disconnect.is_some());
    assert!(world.notices.iter().any(|n| n.code == "spool-contradicted"));
    world.run(MINUTE, burn);
    // Also when the process dies at once.
    world.agent = None;
    world.disk = world.disk.after(testing::Crash::Machine);
    assert!(world.start());
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a"), 240_000);
    let rows = books.rows("a", Meter::CPU_TIME);
    let born = rows
        .iter()
        .find(|(birth, seq, _)| birth.seq == *seq && birth.spool != rows[0].0.spool)
        .unwrap();
    assert_eq!((born.2.from, used > 0), (0, true));
    let spools: std::collections::BTreeSet<_> = books.headers.iter().map(|h| h.spool).collect();
    assert_eq!(spools.len(), 2);
}

#[test]
fn a_copy_that_stays_connected_goes_on_in_a_spool_of_its_own() {
    let mut world = running();
    world.add(container(1, Some("a")));
    let session = welcome(&mut world, 0, [0; 32]);
    assert_eq!(session.disconnect, None);
    world.run(2 * MINUTE, burn);
    let spool = Books::read(&mut world.disk).headers[0].spool;
    let nack = |seq, reason| {
        Event::Net(NetEvent::Nack(tallyman_common::message::Nack {
            spool,
            seq,
            reason,
            verdict: tallyman_common::message::Verdict::Hold,
            text: "held".to_owned(),
        }))
    };
    let told = |world: &World| {
        let contradicted = world.notices.iter().filter(|n| n.code == "spool-contradicted");
        contradicted.count()
    };
    assert_eq!(
        world.step(nack(1, 20)).disconnect,
        None,
        "a clock contradicts no spool"
    );
    let effects = world.step(nack(2, 22));
    assert!(effects.disconnect.is_some() && effects.send.is_empty());
    assert_eq!(told(&world), 1);
    // More of the same was on its way, and comes again in later sessions: once is enough.
    assert_eq!(world.step(nack(1, 22)).disconnect, None);
    world.step(Event::Net(NetEvent::Disconnected));
    welcome(&mut world, 0, [0; 32]);
    assert_eq!(world.step(nack(2, 22)).disconnect, None);
    assert_eq!(told(&world), 1);
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    assert_eq!(cpu(&books, "a"), 180_000);
    let last = books.headers.last().unwrap();
    assert!(last.spool != spool && last.seq <= 2, "{last:?}");
}

#[test]
fn a_large_window_goes_in_parts_and_is_whole() {
    let mut world = running();
    for number in 0..4_000u32 {
        let path = format!("/tenants/{}", "x".repeat(100));
        world.add(Cgroup {
            path: format!("{path}-{:04}", number),
            life: u64::from(number) + 1,
            ..slice("")
        });
    }
    world.run(MINUTE, burn);
    let books = Books::read(&mut world.disk);
    let parts: Vec<_> = books.headers.iter().map(|h| (h.part, h.parts)).collect();
    let expected: Vec<_> = (0..parts[0].1).map(|part| (part, parts[0].1)).collect();
    assert!(parts.len() > 1 && parts == expected, "{parts:?}");
    let largest = books.headers.iter().map(|h| h.raw_bytes as usize).max();
    assert!(largest < Some(limits::PART_BYTES_MAX + 4_096), "{largest:?}");
    assert!(spool::verify(&mut world.disk).unwrap().damage.is_empty());
}

#[test]
fn live_readings_are_those_of_the_open_window() {
    let mut world = running();
    world.add(container(1, Some("a")));
    welcome(&mut world, 0, [0; 32]);
    world.run(MINUTE, burn);
    let since = world.agent.as_ref().unwrap().status().open_since;
    world.ns += 8 * S;
    world.cgroups[0].cpu_us += 500;
    let live = world.sweep().live.unwrap();
    let row = live.rows.iter().find(|r| r.meter == Meter::CPU_TIME).unwrap();
    let seconds_open = (world.now().wall.0 - since.0 - 8_000) / 1_000;
    assert_eq!(row.since_window, u128::from(500 + seconds_open * 1_000) * 1_000);
    assert_eq!(row.owner, (2, "a".to_owned()));
}

#[test]
fn a_series_idle_for_a_day_is_retired_and_comes_back_under_a_new_birth() {
    let mut world = running();
    let at = world.add(container(1, Some("a")));
    world.run(MINUTE, burn);
    world.end(at);
    world.run(MINUTE, burn);
    let series = |world: &World| world.agent.as_ref().unwrap().status().series;
    assert!(series(&world) > 0);
    world.run(25 * 60 * MINUTE, burn);
    assert!(series(&world) > 0, "not acknowledged yet");
    let last = world.agent.as_ref().unwrap().status().last_seq;
    let books = Books::read(&mut world.disk);
    world.sent.clear();
    welcome(&mut world, last, books.headers.last().unwrap().digest().0);
    world.run(MINUTE, burn);
    assert!(series(&world) > 0, "a number alone acknowledges nothing");
    for _ in 0..25 * 60 {
        world.answer_all();
        world.run(10 * S, burn);
    }
    world.run(MINUTE, burn);
    assert_eq!(series(&world), 0);
    world.add(container(2, Some("a")));
    world.run(MINUTE, burn);
    let books = stop(&mut world);
    let births: std::collections::BTreeSet<_> = books
        .rows("a", Meter::CPU_TIME)
        .iter()
        .map(|(b, _, _)| *b)
        .collect();
    assert_eq!((births.len(), cpu(&books, "a")), (2, 120_000));
}
