//! Which batches go, when: a resend by hand, and the pace of a backlog.

use super::rules::{burn, running, welcome};
use super::world::*;
use crate::*;

#[test]
fn a_resend_goes_behind_live_batches_and_says_what_was_known() {
    let mut world = running();
    world.add(container(1, Some("a")));
    world.run(20 * MINUTE, burn);
    let books = Books::read(&mut world.disk);
    let (spool, last) = (books.headers[0].spool, books.headers[19].digest().0);
    welcome(&mut world, 0, [0; 32]);
    world.answer_all();
    assert!(
        welcome(&mut world, 20, last).send.is_empty(),
        "the aggregator has all"
    );
    let range = |first, end| crate::event::BatchRange {
        spool,
        first,
        last: end,
    };
    let effects = world.step(Event::Resend(vec![range(3, 5), range(19, 40)]));
    let seqs: Vec<u64> = effects.send.iter().map(|out| out.seq).collect();
    assert_eq!(seqs, [3, 4, 5, 19, 20]);
    let ack = |seq, known| {
        let upto = 20;
        Event::Net(NetEvent::Ack(tallyman_common::message::Ack {
            spool,
            seq,
            upto,
            known,
        }))
    };
    let again = world.step(ack(3, true)).send.len() + world.step(ack(4, false)).send.len();
    assert_eq!(again, 0, "an answer to one sends no other twice");
    let resend = world.agent.as_ref().unwrap().status().resend;
    assert_eq!(
        (resend.asked, resend.left, resend.known, resend.new),
        (5, 3, 1, 1)
    );
    // What was asked for outlives the connection.
    world.step(Event::Net(NetEvent::Disconnected));
    let seqs: Vec<u64> = welcome(&mut world, 20, last)
        .send
        .iter()
        .map(|out| out.seq)
        .collect();
    assert_eq!(seqs, [5, 19, 20]);
}

#[test]
fn a_backlog_keeps_to_its_pace_and_the_newest_batch_never_waits_for_it() {
    let mut world = World::new();
    world.backlog_bytes_per_s = 20;
    assert!(world.start());
    world.add(container(1, Some("a")));
    world.run(60 * MINUTE, burn);
    let mut waiting = welcome(&mut world, 0, [0; 32]).send;
    let (mut bytes, mut newest, minutes) = (0, 0, 10);
    for _ in 0..minutes * 6 {
        while let Some(out) = waiting.pop() {
            newest = newest.max(out.seq);
            bytes += out.frame.len();
            let (spool, seq, upto, known) = (out.spool, out.seq, 0, false);
            let ack = Event::Net(NetEvent::Ack(tallyman_common::message::Ack {
                spool,
                seq,
                upto,
                known,
            }));
            waiting.extend(world.step(ack).send);
        }
        let status = world.agent.as_ref().unwrap().status();
        assert!(newest >= status.last_seq, "batch {} waits", status.last_seq);
        world.run(10 * S, burn);
        waiting.append(&mut world.sent);
    }
    let allowed = 20 * (minutes * 60 + 20) + 12 * 1_024;
    assert!(
        bytes < allowed,
        "{bytes} bytes in {minutes} minutes, {allowed} are allowed"
    );
    assert!(
        world.agent.as_ref().unwrap().status().unacked > 0,
        "the backlog was too small for this test"
    );
}
