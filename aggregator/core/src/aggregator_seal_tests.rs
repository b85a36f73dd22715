//! Holes, seals and lateness, against a store in memory: a hole's usage is inferred once, taken back when it comes after
//! all, and nothing sealed ever changes (I1, I2, I5, I9).

use std::ops::Range;

use tallyman_common::record::Birth;

use super::*;
use crate::bills::{Bill, Books, Viewer, draft, standing};
use crate::limits::SEAL_GRACE_MS;
use crate::registry::{Judgement, TenantTerms};
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN};
use crate::rollup::part::{Part, read_owner};
use crate::seal::{Draft, next};

/// From batches to a numbered invoice.
#[path = "aggregator_invoice_tests.rs"]
mod invoices;

const SPOOL: SpoolId = SpoolId([5; 16]);
const OTHER: SpoolId = SpoolId([7; 16]);
const PRICES: &str = include_str!("../../../deploy/price-books/sandbox-usd.toml");

/// A batch by place and readings. Its window is the minute that `minute` names, counted from `START`.
#[derive(Clone, Copy)]
struct Sent {
    spool: SpoolId,
    seq: u64,
    minute: u64,
    birth: (SpoolId, u64),
    cpu: (u128, u128),
}

fn sent(seq: u64, cpu: (u128, u128)) -> Sent {
    Sent {
        spool: SPOOL,
        seq,
        minute: seq,
        birth: (SPOOL, 1),
        cpu,
    }
}

impl World {
    fn bytes(&self, batch: Sent) -> Vec<u8> {
        let change = |h: &mut Header| {
            h.spool = batch.spool;
            (h.boot_start, h.boot_end) = (
                BootMs((batch.minute - 1) * MINUTE_MS),
                BootMs(batch.minute * MINUTE_MS),
            );
            let end = START.start().0 + batch.minute * MINUTE_MS;
            (h.wall_start, h.wall_end) = (WallMs(end - MINUTE_MS), WallMs(end));
        };
        let birth = Birth {
            spool: batch.birth.0,
            seq: batch.birth.1,
        };
        self.frame_born(batch.seq, change, batch.cpu, birth)
    }

    fn take_batch(&mut self, batch: Sent) -> Answer {
        let frame = self.bytes(batch);
        self.answer(frame)
    }

    fn books(&self) -> Books<'_> {
        Books {
            store: &self.store,
            registry: self.aggregator.registry(),
            marks: self.aggregator.marks(),
            position: self.aggregator.position(),
            now: self.now,
        }
    }

    /// Lets `hours` and the grace pass, with a sign of life of the node at the end.
    fn pass(&mut self, seq: u64, hours: u64, reading: u128) {
        let minute = hours * 60 + SEAL_GRACE_MS / MINUTE_MS;
        self.now = WallMs(START.start().0 + minute * MINUTE_MS);
        let alive = Sent {
            minute,
            ..sent(seq, (reading, reading))
        };
        assert!(matches!(self.take_batch(alive), Answer::Ack(_)));
        self.flush();
    }

    /// Decides all that is due; returns the judgements, and how many hours were sealed.
    fn close(&mut self) -> (Vec<Judgement>, usize) {
        let (mut judged, mut sealed) = (Vec::new(), 0);
        while let Some(draft) = next(self.books(), SEAL_GRACE_MS).unwrap() {
            match draft {
                Draft::Hole(draft) => {
                    judged.push(draft.judgement.clone());
                    self.aggregator
                        .step(self.now, Event::Judge(1, draft), &self.store)
                        .unwrap();
                    assert!(matches!(self.commit()[..], [Answer::Applied(_)]));
                }
                Draft::Hour(command) => {
                    sealed += 1;
                    assert!(matches!(self.command(command), Answer::Applied(_)));
                }
            }
            self.flush();
        }
        (judged, sealed)
    }

    /// Measured, inferred and taken back in the on-time and late parts together.
    fn parts(&mut self, hour: Hour) -> [u128; 3] {
        self.flush();
        let owner = Owner::claim("acme").unwrap();
        let sealed = self.aggregator.registry().seals.newest();
        let Some(value) = read_owner(&self.store, hour, &owner, sealed).unwrap() else {
            return [0; 3];
        };
        let of = |kind| {
            value
                .cells()
                .filter(|(_, c)| c.kind == kind)
                .map(|(_, c)| c.value)
                .sum()
        };
        [of(KIND_SUM), of(KIND_INFERRED), of(KIND_WITHDRAWN)]
    }

    fn on_time(&self, hour: Hour) -> Option<Vec<u8>> {
        let key = owner_key(Part::from(hour), &Owner::claim("acme").unwrap());
        self.store.get(Table::Cells, &key).unwrap()
    }

    /// The log makes the same cells again, also behind a restart.
    fn holds(&mut self) {
        self.flush();
        let comparison = recompute(&self.store, self.now).unwrap();
        assert_eq!(comparison.differences, Vec::<String>::new());
        self.restart();
        self.flush();
        assert!(recompute(&self.store, self.now).unwrap().holds());
    }
}

#[test]
fn what_a_hole_hides_is_booked_when_its_hour_is_sealed() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    world.take_batch(sent(4, (35, 40)));
    assert_eq!(world.close().1, 0, "not before the grace has passed");
    world.pass(5, 1, 40);
    let (judged, sealed) = world.close();
    assert_eq!(sealed, 1);
    let hole = &judged[0];
    assert_eq!(
        (&hole.missing[..], hole.seq, hole.values, hole.unresolved),
        (&[(SPOOL, 2, 3)][..], 4, 1, 0)
    );
    let minutes = |n: u64| WallMs(START.start().0 + n * MINUTE_MS);
    assert_eq!((hole.start, hole.end), (minutes(1), minutes(3)));
    assert_eq!(world.parts(START), [15, 25, 0]);
    world.holds();
    assert_eq!(world.close(), (vec![], 0), "once");
}

#[test]
fn what_comes_behind_the_seal_replaces_what_was_inferred_and_changes_nothing_sealed() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    world.take_batch(sent(4, (35, 40)));
    world.pass(5, 1, 40);
    world.close();
    let sealed = world.on_time(START);
    // One of the two comes: 20 are measured, and the rest is judged again when the next hour is sealed.
    assert!(matches!(world.take_batch(sent(2, (10, 30))), Answer::Ack(_)));
    assert_eq!(world.parts(START), [35, 25, 25]);
    world.holds();
    world.pass(6, 2, 40);
    let (judged, hours) = world.close();
    assert_eq!((judged.len(), judged[0].missing[0], hours), (1, (SPOOL, 3, 3), 1));
    assert_eq!(world.parts(START), [35, 30, 25]);
    // Then the other: all is measured.
    assert!(matches!(world.take_batch(sent(3, (30, 35))), Answer::Ack(_)));
    assert_eq!(world.parts(START), [40, 30, 30]);
    assert_eq!(world.on_time(START), sealed);
    world.holds();
    world.pass(7, 3, 40);
    assert_eq!(world.close(), (vec![], 1));
}

#[test]
fn nothing_is_inferred_over_a_batch_that_is_held_or_was_discarded() {
    for release in [true, false] {
        let mut world = World::new();
        let possible = u128::from(MINUTE_MS + crate::limits::CPU_SLACK_MS) * 2_000_000;
        world.take_batch(sent(1, (0, 10)));
        let lie = world.take_batch(sent(2, (10, possible + 11)));
        assert_eq!(reason_of(&lie), Some(Reason::Implausible));
        let held = world.aggregator.position();
        world.take_batch(sent(4, (possible + 20, possible + 25)));
        world.pass(5, 1, possible + 25);
        let (judged, _) = world.close();
        assert_eq!((judged.len(), judged[0].values, judged[0].unresolved), (1, 0, 1));
        assert_eq!(world.parts(START), [15, 0, 0]);
        let reason = || "looked at".to_owned();
        let position = held;
        let decision = if release {
            Command::ReleaseBatch {
                position,
                reason: reason(),
            }
        } else {
            Command::DiscardBatch {
                position,
                reason: reason(),
            }
        };
        assert!(matches!(world.command(decision), Answer::Applied(_)));
        world.pass(6, 2, possible + 25);
        let (judged, _) = world.close();
        let expected = if release {
            [15 + possible + 1, 9, 0]
        } else {
            [15, 0, 0]
        };
        assert_eq!(
            (world.parts(START), judged.len()),
            (expected, 1),
            "release {release}"
        );
        world.holds();
    }
}

#[test]
fn nothing_is_inferred_from_a_number_that_two_batches_claim() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    let twin = world.take_batch(sent(1, (0, 7)));
    assert_eq!(reason_of(&twin), Some(Reason::Conflict));
    world.take_batch(sent(3, (20, 25)));
    world.pass(4, 1, 25);
    let (judged, _) = world.close();
    assert_eq!((judged[0].values, judged[0].unresolved), (0, 1));
    assert_eq!(world.parts(START), [15, 0, 0]);
}

#[test]
fn batches_that_are_given_up_are_passed_and_count_when_they_come_after_all() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    world.take_batch(sent(4, (35, 40)));
    let node = world.node;
    let give_up = |first, last| Command::GiveUpBatches {
        node,
        spool: SPOOL,
        first,
        last,
        reason: "disk lost".to_owned(),
    };
    assert!(
        matches!(world.command(give_up(1, 3)), Answer::Rejected(_)),
        "1 came"
    );
    assert!(
        matches!(world.command(give_up(2, 5)), Answer::Rejected(_)),
        "nothing came above 4"
    );
    assert!(matches!(world.command(give_up(2, 3)), Answer::Applied(_)));
    assert!(
        matches!(world.command(give_up(2, 3)), Answer::Rejected(_)),
        "twice"
    );
    let again = world.take_batch(sent(4, (35, 40)));
    assert!(
        matches!(again, Answer::Ack(ack) if ack.upto == 4 && ack.known),
        "the watermark passed"
    );
    world.pass(5, 1, 40);
    world.close();
    assert_eq!(world.parts(START), [15, 25, 0]);
    assert!(matches!(world.take_batch(sent(3, (20, 35))), Answer::Ack(_)));
    assert!(matches!(world.take_batch(sent(2, (10, 20))), Answer::Ack(_)));
    assert_eq!(world.parts(START), [40, 25, 25]);
    world.holds();
}

#[test]
fn readings_go_on_in_a_new_spool_and_show_what_the_old_one_lost() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    let onward = Sent {
        spool: OTHER,
        seq: 1,
        minute: 3,
        ..sent(1, (30, 40))
    };
    world.take_batch(onward);
    let alive = Sent {
        minute: 60 + SEAL_GRACE_MS / MINUTE_MS,
        seq: 2,
        cpu: (40, 40),
        ..onward
    };
    world.now = WallMs(START.start().0 + alive.minute * MINUTE_MS);
    world.take_batch(alive);
    world.flush();
    let (judged, _) = world.close();
    assert_eq!(judged[0].missing, [(SPOOL, 2, u64::MAX)]);
    assert_eq!(world.parts(START), [20, 20, 0]);
    world.holds();
}

#[test]
fn a_series_that_began_in_the_hole_began_at_zero() {
    let mut world = World::new();
    world.take_batch(Sent {
        birth: (SPOOL, 2),
        ..sent(3, (25, 30))
    });
    world.pass(4, 1, 30);
    let (judged, _) = world.close();
    assert_eq!(judged[0].missing, [(SPOOL, 1, 2)]);
    assert_eq!(world.parts(START), [5, 25, 0]);
}

/// The first batch of the other spool, which names one before it; its series goes on from a lost reading.
fn onward(world: &World, minute: u64, cpu: (u128, u128), birth: SpoolId) -> Vec<u8> {
    let change = |h: &mut Header| {
        (h.spool, h.prev_digest) = (OTHER, Digest::of(&[b"lost"]));
        (h.boot_start, h.boot_end) = (BootMs((minute - 1) * MINUTE_MS), BootMs(minute * MINUTE_MS));
        let end = START.start().0 + minute * MINUTE_MS;
        (h.wall_start, h.wall_end) = (WallMs(end - MINUTE_MS), WallMs(end));
    };
    world.frame_born(1, change, cpu, Birth { spool: birth, seq: 1 })
}

/// An hour passes with a sign of life in the other spool; all that is due is decided.
fn close_with_other(world: &mut World, seq: u64, hours: u64, reading: u128) -> Vec<Judgement> {
    let minute = hours * 60 + SEAL_GRACE_MS / MINUTE_MS;
    world.now = WallMs(START.start().0 + minute * MINUTE_MS);
    let (spool, cpu) = (OTHER, (reading, reading));
    let alive = Sent {
        spool,
        seq,
        minute,
        ..sent(seq, cpu)
    };
    assert!(matches!(world.take_batch(alive), Answer::Ack(_)));
    world.flush();
    world.close().0
}

#[test]
fn a_node_that_lost_its_first_spool_whole_is_billed_for_it_when_its_readings_go_on() {
    let mut world = World::new();
    let first = onward(&world, 3, (30, 40), SPOOL);
    assert!(matches!(world.answer(first), Answer::Ack(_)));
    let judged = close_with_other(&mut world, 2, 1, 40);
    assert_eq!(judged[0].missing, [(SPOOL, 1, u64::MAX)]);
    assert_eq!(world.parts(START), [10, 30, 0]);
    world.holds();
    assert_eq!(world.close(), (vec![], 0), "once");
    // A copy of the lost spool is found and comes after all: nothing counts twice.
    assert!(matches!(world.take_batch(sent(1, (0, 20))), Answer::Ack(_)));
    assert_eq!(world.parts(START), [30, 30, 30]);
    let judged = close_with_other(&mut world, 3, 2, 40);
    assert_eq!(judged[0].missing, [(SPOOL, 2, u64::MAX)]);
    assert_eq!(world.parts(START), [30, 40, 30]);
    world.holds();
}

#[test]
fn a_spool_of_which_nothing_came_replaces_what_was_inferred_of_it_when_it_comes() {
    let mut world = World::new();
    let lost = SpoolId([6; 16]);
    world.take_batch(sent(1, (0, 10)));
    let goes_on = onward(&world, 5, (30, 40), lost);
    assert!(matches!(world.answer(goes_on), Answer::Ack(_)));
    let judged = close_with_other(&mut world, 2, 1, 40);
    assert_eq!(judged[0].missing, [(SPOOL, 2, u64::MAX), (lost, 1, u64::MAX)]);
    assert_eq!(world.parts(START), [20, 30, 0]);
    let late = Sent {
        spool: lost,
        minute: 3,
        birth: (lost, 1),
        ..sent(1, (0, 30))
    };
    assert!(matches!(world.take_batch(late), Answer::Ack(_)));
    assert_eq!(world.parts(START), [50, 30, 30]);
    world.holds();
}

#[test]
fn nothing_is_inferred_of_a_spool_of_which_a_batch_is_held() {
    let mut world = World::new();
    let possible = u128::from(MINUTE_MS + crate::limits::CPU_SLACK_MS) * 2_000_000;
    let lie = world.take_batch(sent(1, (0, possible + 1)));
    assert_eq!(reason_of(&lie), Some(Reason::Implausible));
    let first = onward(&world, 3, (possible + 1, possible + 9), SPOOL);
    assert!(matches!(world.answer(first), Answer::Ack(_)));
    let judged = close_with_other(&mut world, 2, 1, possible + 9);
    assert_eq!((judged[0].values, judged[0].unresolved), (0, 1));
    assert_eq!(world.parts(START), [8, 0, 0]);
}

#[test]
fn a_clock_that_was_off_at_first_does_not_seal_decades() {
    let mut world = World::new();
    let long_ago = world.frame(
        1,
        |h| (h.wall_start, h.wall_end) = (WallMs(60_000), WallMs(120_000)),
        (0, 10),
    );
    assert!(matches!(world.answer(long_ago), Answer::Ack(_)));
    world.pass(2, 1, 10);
    assert_eq!(world.parts(Hour(0)), [10, 0, 0]);
    let month = usize::try_from(crate::limits::SEAL_BACK_HOURS).unwrap();
    assert!((month - 1..=month + 1).contains(&world.close().1));
    world.holds();
}

#[test]
fn an_hour_is_not_sealed_while_it_changes_or_the_clock_is_alone() {
    let mut world = World::new();
    world.take_batch(sent(1, (0, 10)));
    world.now = WallMs(START.end().0 + SEAL_GRACE_MS);
    world.flush();
    assert_eq!(
        next(world.books(), SEAL_GRACE_MS).unwrap(),
        None,
        "no node says that it is so late"
    );
    world.pass(3, 1, 10);
    let Some(Draft::Hole(hole)) = next(world.books(), SEAL_GRACE_MS).unwrap() else {
        panic!("2 is missing");
    };
    // What was missing comes while the draft was made.
    world.take_batch(sent(2, (10, 10)));
    world
        .aggregator
        .step(world.now, Event::Judge(1, hole), &world.store)
        .unwrap();
    assert!(matches!(world.commit()[..], [Answer::Rejected(_)]));
    world.flush();
    let Some(Draft::Hour(seal)) = next(world.books(), SEAL_GRACE_MS).unwrap() else {
        panic!("nothing is missing");
    };
    // An hour's batch comes while its digest was made: alive at 73 h, so 4 is a late minute of the hour.
    let more = Sent {
        minute: 30,
        ..sent(4, (10, 11))
    };
    world.take_batch(more);
    assert!(matches!(world.command(seal), Answer::Rejected(_)));
    world.flush();
    assert_eq!(world.close().1, 1);
}

/// A tenant with prices, and 60 s of CPU of which 20 s are in a hole; nothing is sealed.
fn with_a_bill() -> (World, TenantTerms, Range<Hour>) {
    with_a_bill_of(PRICES)
}

fn with_a_bill_of(prices: &str) -> (World, TenantTerms, Range<Hour>) {
    let mut world = World::new();
    let terms = TenantTerms {
        tenant: "acme".into(),
        name: "Acme".into(),
        claims: vec!["acme".into()],
        account: "acme".into(),
        zone: "UTC".into(),
        currency: "USD".into(),
        language: "en".into(),
        from: Hour(0),
    };
    let month = crate::rating::BillingZone::utc();
    let month = month.month_of(START).and_then(|m| month.month_hours(m)).unwrap();
    let (text, from) = (prices.to_owned(), month.start);
    assert!(matches!(
        world.command(Command::AddPriceBook { text, from }),
        Answer::Applied(_)
    ));
    assert!(matches!(
        world.command(Command::SetTenant(terms.clone())),
        Answer::Applied(_)
    ));
    world.take_batch(sent(1, (0, 30 * SECOND)));
    world.take_batch(sent(3, (50 * SECOND, 60 * SECOND)));
    (world, terms, month)
}

fn bill_of(world: &World, period: Range<Hour>) -> Bill {
    draft(world.books(), "acme", period, Viewer::Operator).unwrap()
}

fn without_adjustment(bill: &Bill) -> Bill {
    let mut bill = bill.clone();
    bill.adjustment = None;
    bill
}

const SECOND: u128 = 1_000_000_000;

#[test]
fn a_final_bill_never_changes_and_what_comes_later_is_an_adjustment() {
    let (mut world, terms, month) = with_a_bill();
    assert_eq!(bill_of(&world, START..START.next()).status, standing::PREVIEW);
    let hours = u64::from(month.end.0 - START.0);
    world.pass(4, hours - 1, 60 * SECOND);
    world.close();
    let open = bill_of(&world, month.clone());
    assert_eq!(
        (open.status, open.lines[0].quantity.as_str()),
        (standing::COMPLETE, "60")
    );
    assert_eq!(open.inferred[0].value, (20 * SECOND).to_string());
    world.pass(5, hours, 60 * SECOND);
    world.close();
    let settled = bill_of(&world, month.clone());
    assert_eq!(
        (settled.status, settled.adjustment.as_ref()),
        (standing::FINAL, None)
    );
    assert_eq!(settled.lines, open.lines);
    // The missing batch comes with less than was inferred.
    world.take_batch(sent(2, (30 * SECOND, 45 * SECOND)));
    world.flush();
    let after = bill_of(&world, month.clone());
    assert_eq!(without_adjustment(&after), settled);
    let adjustment = after.adjustment.expect("usage changed");
    let line = &adjustment.lines[0];
    assert_eq!(
        (line.quantity.as_str(), line.amount_exact.as_str()),
        ("-5", "-0.00006")
    );
    assert_eq!(
        (line.amount.as_str(), adjustment.total.as_str()),
        ("0.00", "0.00")
    );
    world.restart();
    world.now = WallMs(world.now.0 + HOUR_MS);
    assert_eq!(without_adjustment(&bill_of(&world, month.clone())), settled);
    // Prices of a final month stay.
    let (text, from) = (PRICES.replace("0.000012", "0.000013"), START);
    assert!(matches!(
        world.command(Command::AddPriceBook { text, from }),
        Answer::Rejected(_)
    ));
    // A tenant that is registered later had nothing then.
    let late = TenantTerms {
        tenant: "late".into(),
        claims: vec!["late".into()],
        account: "late".into(),
        ..terms
    };
    assert!(matches!(
        world.command(Command::SetTenant(late)),
        Answer::Applied(_)
    ));
    let empty = draft(world.books(), "late", month, Viewer::Operator).unwrap();
    assert_eq!((empty.status, empty.lines.len()), (standing::FINAL, 0));
}
