//! A day's reconciliation against a store in memory: it balances over holes, holds, discards and restarts, and finds
//! what was changed behind the writer's back (I1, I2, I5).

use super::*;
use crate::bills::Books;
use crate::ports::{Changes, Store};
use crate::reconcile::{Day, Fates, Missing, Reconciliation, reconcile};
use crate::registry::TenantTerms;

impl World {
    fn reconciled(&mut self) -> Reconciliation {
        self.flush();
        let books = Books {
            store: &self.store,
            registry: self.aggregator.registry(),
            marks: self.aggregator.marks(),
            position: self.aggregator.position(),
            now: self.now,
        };
        reconcile(books, Day::of(START.start())).unwrap()
    }

    /// Changes the store as no program of ours does.
    fn spoil(&mut self, table: Table, change: impl Fn(&mut Vec<u8>) -> bool) {
        self.flush();
        let (key, mut value) = self
            .store
            .table(table)
            .last()
            .map(|(k, v)| (k.clone(), v.clone()))
            .unwrap();
        let mut changes = Changes::default();
        if change(&mut value) {
            changes.put(table, key, value);
        } else {
            changes.delete(table, key);
        }
        self.store.commit(&changes).unwrap();
    }
}

fn register(world: &mut World) {
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
    assert!(matches!(
        world.command(Command::SetTenant(terms)),
        Answer::Applied(_)
    ));
}

/// Batches 1, 2 and 5 counted, 5 also under another digest, 6 held for a window in the future.
fn a_day() -> World {
    let mut world = World::new();
    for (seq, cpu) in [(1, (0, 10)), (2, (10, 30)), (5, (35, 40))] {
        let frame = world.frame(seq, |_| (), cpu);
        assert!(matches!(world.answer(frame), Answer::Ack(_)));
    }
    let twin = world.frame(5, |_| (), (35, 41));
    assert_eq!(reason_of(&world.answer(twin)), Some(Reason::Conflict));
    let much = world.frame(6, |_| (), (40, u128::from(MINUTE_MS) * 1_000_000_000));
    assert!(matches!(world.answer(much), Answer::Nack(..)));
    world
}

#[test]
fn a_day_balances_over_holes_and_holds() {
    let mut world = a_day();
    let day = world.reconciled();
    assert_eq!((day.ok, &day.differences[..]), (true, &[][..]));
    let fates = |summed, held, discarded| Fates {
        sent: 6,
        summed,
        held,
        discarded,
        missing: 2,
    };
    assert_eq!(day.batches, fates(3, 1, 0));
    let spool = &day.spools[0];
    assert_eq!(
        (spool.twins, &spool.missing_batches[..]),
        (1, &[Missing { first: 3, last: 4 }][..])
    );
    assert!(day.values_same > 0 && day.values_different == 0);
    let usage = |day: &Reconciliation| (day.usage[0].summed.clone(), day.usage[0].unconfirmed.clone());
    assert_eq!(usage(&day), ("35".to_owned(), "35".to_owned()));

    register(&mut world);
    let held = world
        .store
        .table(Table::Held)
        .map(|(k, _)| crate::log::position_of(k).unwrap())
        .last();
    let (position, reason) = (held.unwrap(), "a test".to_owned());
    assert!(matches!(
        world.command(Command::DiscardBatch { position, reason }),
        Answer::Applied(_)
    ));
    let late = world.frame(4, |_| (), (32, 35));
    assert!(matches!(world.answer(late), Answer::Ack(_)));
    world.restart();
    let day = world.reconciled();
    assert_eq!((day.ok, &day.differences[..]), (true, &[][..]));
    assert_eq!(
        (day.batches.discarded, day.batches.missing, day.batches.sent),
        (1, 1, 6)
    );
    assert_eq!(
        (usage(&day).1, &day.usage[0].not_priced[..]),
        ("0".to_owned(), "38")
    );
    let text = serde_json::to_string(&day).unwrap();
    assert_eq!(serde_json::from_str::<Reconciliation>(&text).unwrap(), day);
}

#[test]
fn what_was_changed_behind_the_writer_is_found() {
    let spoiled = |table, change: fn(&mut Vec<u8>) -> bool| {
        let mut world = a_day();
        world.spoil(table, change);
        let day = world.reconciled();
        assert!(!day.ok && day.count() > 0);
        day.differences.join("\n")
    };
    let lost = spoiled(Table::Cells, |_| false);
    assert!(lost.contains("not stored"), "{lost}");
    let lost = spoiled(Table::NodeHours, |_| false);
    assert!(
        lost.contains("0 batches are in the sums, 3 in the headers"),
        "{lost}"
    );
    let lost = spoiled(Table::Log, |_| false);
    assert!(lost.contains("the log holds no batch there"), "{lost}");
    let held = spoiled(Table::Log, |value| {
        value[50] ^= 1;
        true
    });
    assert!(held.contains("not the one that its header names"), "{held}");
}
