//! The composer against a store in memory: what a batch's sender and a bill's reader would notice.

use tallyman_common::ids::{BootId, Digest, Owner, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Dims, Group, Record, Row, State};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, HOUR_MS, Hour, MINUTE_MS};
use tallyman_common::wire::{CODEC_NONE, Header, VERSION, seal};

use super::*;
use crate::ingest::check;
use crate::memory::MemoryStore;
use crate::recompute::recompute;
use crate::rollup::cell::{FLAG_SPREAD, OwnerHour};
use crate::rollup::part::owner_key;

/// A day's books against each other.
#[path = "aggregator_reconcile_tests.rs"]
mod reconciles;
/// Holes, seals, and what is late behind them.
#[path = "aggregator_seal_tests.rs"]
mod seals;

const START: Hour = Hour(490_000);

struct World {
    store: MemoryStore,
    aggregator: Aggregator,
    key: NodeKey,
    node: NodeId,
    now: WallMs,
}

impl World {
    fn new() -> Self {
        let mut store = MemoryStore::default();
        initialise(&mut store, StoreId([9; 16])).unwrap();
        let now = WallMs(START.start().0 + HOUR_MS);
        let key = NodeKey::from_seed(&[1; 32]);
        let node = NodeId::of_key(&key.public().to_bytes());
        let aggregator = Aggregator::open(&store, now).unwrap();
        let mut world = Self {
            store,
            aggregator,
            key,
            node,
            now,
        };
        let token = Digest::of(&[b"token"]);
        let expires = WallMs(now.0 + HOUR_MS);
        let made = Command::CreateNodeToken {
            id: "t".into(),
            hash: token,
            group: "default".into(),
            expires,
        };
        assert_eq!(world.command(made), Answer::Applied(1));
        let signing_key = world.key.public().to_bytes();
        let enrol = Command::EnrolNode {
            token,
            node,
            signing_key,
            host_name: "h".into(),
        };
        assert_eq!(world.command(enrol), Answer::Applied(2));
        world
    }

    fn command(&mut self, command: Command) -> Answer {
        let (actor, source) = ("test".to_owned(), "test".to_owned());
        let event = Event::Command {
            ticket: 1,
            actor,
            source,
            command,
        };
        self.aggregator.step(self.now, event, &self.store).unwrap();
        self.commit().remove(0)
    }

    fn commit(&mut self) -> Vec<Answer> {
        let done = self.aggregator.commit(self.now, false, &mut self.store).unwrap();
        done.into_inner().into_iter().map(|(_, answer)| answer).collect()
    }

    fn frame(&self, seq: u64, change: impl FnOnce(&mut Header), cpu: (u128, u128)) -> Vec<u8> {
        let spool = SpoolId([5; 16]);
        self.frame_born(seq, change, cpu, Birth { spool, seq: 1 })
    }

    fn frame_born(
        &self,
        seq: u64,
        change: impl FnOnce(&mut Header),
        cpu: (u128, u128),
        birth: Birth,
    ) -> Vec<u8> {
        let end = START.start().0 + seq * MINUTE_MS;
        let mut header = Header {
            version: VERSION,
            node: self.node,
            spool: SpoolId([5; 16]),
            partition: 0,
            seq,
            prev_digest: Digest::default(),
            boot: BootId([6; 16]),
            boot_start: BootMs((seq - 1) * MINUTE_MS),
            boot_end: BootMs(seq * MINUTE_MS),
            wall_start: WallMs(end - MINUTE_MS),
            wall_end: WallMs(end),
            part: 0,
            parts: 1,
            flags: 0,
            mapping_revision: 1,
            cpus: 2,
            leaves: 0,
            root: Digest::default(),
            raw_bytes: 0,
            codec: CODEC_NONE,
        };
        change(&mut header);
        let mut record = Record::new(Owner::claim("acme").unwrap());
        let (meter, state, covered_ms) = (Meter::CPU_TIME, State::Measured, MINUTE_MS);
        let rows = vec![Row {
            meter,
            state,
            covered_ms,
            from: cpu.0,
            to: cpu.1,
        }];
        record.groups.push(Group {
            dims: Dims::new(),
            birth,
            rows,
        });
        seal(header, &[record], &self.key).unwrap().1
    }

    fn send(&mut self, frame: Vec<u8>) {
        let checked = check(frame, Some(self.node), self.aggregator.registry()).unwrap();
        self.aggregator
            .step(self.now, Event::Batch(0, Box::new(checked)), &self.store)
            .unwrap();
    }

    fn answer(&mut self, frame: Vec<u8>) -> Answer {
        self.send(frame);
        self.commit().remove(0)
    }

    fn cpu(&mut self, hour: Hour) -> u128 {
        self.flush();
        let key = owner_key(hour, &Owner::claim("acme").unwrap());
        let value = self.store.get(Table::Cells, &key).unwrap();
        value.map_or(0, |v| {
            OwnerHour::decode(&v).unwrap().sum(Meter::CPU_TIME).unwrap()
        })
    }

    fn flush(&mut self) {
        self.aggregator.commit(self.now, true, &mut self.store).unwrap();
    }

    fn restart(&mut self) {
        self.aggregator = Aggregator::open(&self.store, self.now).unwrap();
    }
}

fn reason_of(answer: &Answer) -> Option<Reason> {
    match answer {
        Answer::Nack(_, reason) => Some(*reason),
        _ => None,
    }
}

#[test]
fn a_batch_counts_once_however_often_it_comes() {
    let mut world = World::new();
    let frame = world.frame(1, |_| (), (0, 700));
    // Twice in one group, then again, then again behind a restart.
    world.send(frame.clone());
    world.send(frame.clone());
    let answers = world.commit();
    assert!(
        answers
            .iter()
            .all(|a| matches!(a, Answer::Ack(ack) if ack.upto == 1)),
        "{answers:?}"
    );
    assert!(matches!(world.answer(frame.clone()), Answer::Ack(_)));
    world.restart();
    assert!(matches!(world.answer(frame), Answer::Ack(_)));
    assert_eq!(world.cpu(START), 700);
}

#[test]
fn another_batch_with_the_same_number_is_held_and_shown_once() {
    let mut world = World::new();
    let first = world.frame(1, |_| (), (0, 700));
    let other = world.frame(1, |_| (), (0, 900));
    world.answer(first);
    assert_eq!(reason_of(&world.answer(other.clone())), Some(Reason::Conflict));
    assert_eq!(reason_of(&world.answer(other)), Some(Reason::Conflict));
    assert_eq!(world.store.table(Table::Held).count(), 1);
    assert_eq!(world.cpu(START), 700);
}

#[test]
fn a_window_in_the_future_waits_for_a_person() {
    let mut world = World::new();
    let ahead = world.now.0 + 121_000;
    let frame = world.frame(
        1,
        |h| (h.wall_start, h.wall_end) = (WallMs(ahead - MINUTE_MS), WallMs(ahead)),
        (0, 7),
    );
    assert_eq!(reason_of(&world.answer(frame.clone())), Some(Reason::Future));
    assert_eq!(world.cpu(WallMs(ahead).hour()), 0);
    let reason = || "clock was wrong".to_owned();
    assert!(matches!(
        world.command(Command::ReleaseBatch {
            position: 99,
            reason: reason()
        }),
        Answer::Rejected(_)
    ));
    assert_eq!(
        world.command(Command::ReleaseBatch {
            position: 3,
            reason: reason()
        }),
        Answer::Applied(4)
    );
    assert!(matches!(
        world.command(Command::DiscardBatch {
            position: 3,
            reason: reason()
        }),
        Answer::Rejected(_)
    ));
    assert_eq!(world.cpu(WallMs(ahead).hour()), 7);
    assert!(matches!(world.answer(frame), Answer::Ack(_)));
    world.restart();
    world.flush();
    assert_eq!(
        recompute(&world.store, world.now).unwrap().differences,
        Vec::<String>::new()
    );
}

#[test]
fn two_spools_can_not_cover_the_same_time_of_a_boot() {
    let mut world = World::new();
    let first = world.frame(1, |_| (), (0, 7));
    world.answer(first);
    let clone = world.frame(1, |h| h.spool = SpoolId([8; 16]), (0, 7));
    assert_eq!(reason_of(&world.answer(clone)), Some(Reason::TimeCoveredTwice));
    let next = world.frame(2, |h| (h.spool, h.seq) = (SpoolId([7; 16]), 1), (0, 7));
    assert!(matches!(world.answer(next), Answer::Ack(_)));
}

#[test]
fn more_cpu_than_processors_is_held() {
    let mut world = World::new();
    let possible = u128::from(MINUTE_MS + crate::limits::CPU_SLACK_MS) * 2_000_000;
    let lie = world.frame(1, |_| (), (0, possible + 1));
    assert_eq!(reason_of(&world.answer(lie)), Some(Reason::Implausible));
    let huge = world.frame(3, |_| (), (0, u128::MAX));
    assert_eq!(reason_of(&world.answer(huge)), Some(Reason::Implausible));
    let truth = world.frame(2, |_| (), (0, possible));
    assert!(matches!(world.answer(truth), Answer::Ack(_)));
    // Unless it says that hours of an earlier boot are in it.
    let carried = |h: &mut Header| h.flags = tallyman_common::wire::FLAG_CARRIED;
    let both = world.frame(4, carried, (0, possible * 600));
    assert!(matches!(world.answer(both), Answer::Ack(_)));
}

#[test]
fn a_window_over_the_edge_is_split_and_flagged() {
    let mut world = World::new();
    world.now = WallMs(START.start().0 + 2 * HOUR_MS);
    let end = START.end().0 + 600_000;
    let frame = world.frame(
        1,
        |h| {
            (h.boot_start, h.boot_end) = (BootMs(0), BootMs(1_800_000));
            (h.wall_start, h.wall_end) = (WallMs(end - 1_800_000), WallMs(end));
        },
        (0, 100),
    );
    world.answer(frame);
    assert_eq!((world.cpu(START), world.cpu(START.next())), (66, 34));
    let key = owner_key(START, &Owner::claim("acme").unwrap());
    let value = OwnerHour::decode(&world.store.get(Table::Cells, &key).unwrap().unwrap()).unwrap();
    assert_eq!(value.sets[0].cells[0].flags, FLAG_SPREAD);
}

#[test]
fn cells_are_the_fold_of_the_log_wherever_the_process_ended() {
    for stop_after in 0..6u64 {
        let mut world = World::new();
        for seq in 1..=6 {
            let frame = world.frame(seq, |_| (), (u128::from(seq - 1) * 10, u128::from(seq) * 10));
            world.answer(frame);
            // Time passes at some commits, so that only some cells are written before the end.
            world.now = WallMs(world.now.0 + if seq % 2 == 0 { 3_000 } else { 1 });
            if seq == stop_after {
                world.restart();
            }
        }
        assert_eq!(world.cpu(START), 60, "stopped after {stop_after}");
        let comparison = recompute(&world.store, world.now).unwrap();
        assert_eq!(
            (comparison.differences, comparison.same),
            (vec![], 2),
            "stopped after {stop_after}"
        );
    }
}

#[test]
fn forged_foreign_and_ended_nodes_are_refused() {
    let mut world = World::new();
    let registry = world.aggregator.registry().clone();
    let frame = world.frame(1, |_| (), (0, 1));
    let refused =
        |frame: Vec<u8>, sender, registry: &Registry| check(frame, sender, registry).unwrap_err().reason;
    let other = Some(NodeId([3; 16]));
    assert_eq!(refused(frame.clone(), other, &registry), Reason::OtherNode);
    let mut forged = frame.clone();
    *forged.last_mut().unwrap() ^= 1;
    let opened = check(forged, Some(world.node), &registry);
    assert!(opened.is_err() || opened.unwrap().records.is_err());
    let stranger = World {
        key: NodeKey::from_seed(&[2; 32]),
        ..World::new()
    };
    assert_eq!(
        refused(stranger.frame(1, |_| (), (0, 1)), Some(world.node), &registry),
        Reason::Signature
    );
    let node = world.node;
    world.command(Command::RevokeNode { node });
    assert_eq!(
        refused(frame, Some(node), world.aggregator.registry()),
        Reason::EndedNode
    );
}

#[test]
fn without_room_questions_are_answered_and_nothing_is_written() {
    let mut world = World::new();
    let frame = world.frame(1, |_| {}, (0, 5));
    world.answer(frame);
    // Cells wait, and are due.
    assert!(world.aggregator.is_dirty());
    world.now = WallMs(world.now.0 + HOUR_MS);
    let before = world.store.clone();
    let hello = Hello {
        versions: (VERSION, VERSION),
        node: world.node,
        spool: SpoolId([5; 16]),
        nonce: tallyman_common::ids::Nonce([1; 16]),
        boot: BootId([6; 16]),
        last_seq: 1,
        acked_upto: 1,
        wall: world.now,
        agent_version: "1".into(),
    };
    let event = Event::Hello(7, hello);
    world.aggregator.step(world.now, event, &world.store).unwrap();
    let answers = world.aggregator.answer_unchanged(&mut world.store).unwrap();
    assert!(
        matches!(answers.get()[..], [(7, Answer::Welcome(_))]),
        "{answers:?}"
    );
    assert_eq!(world.store, before);
    world.flush();
    assert_ne!(world.store, before, "what waited is written later");
}
