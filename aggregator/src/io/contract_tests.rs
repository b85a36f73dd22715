//! One suite for every implementation of the ports: what the core relies on, RocksDB and the memory must both do.

use std::ops::ControlFlow;

use tallyman_aggregator_core::log::{header_key, header_prefix, prefix_end};
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Changes, Read, Store, Table};
use tallyman_common::ids::{Digest, NodeId, SpoolId};

use super::rocks::beside::Beside;
use super::rocks::{Create, RocksOpenError, RocksStore};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn all(store: &dyn Read, table: Table, from: &[u8], to: &[u8]) -> Pairs {
    let mut found = Vec::new();
    let done = store.scan(table, from, to, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        ControlFlow::Continue(())
    });
    done.unwrap();
    found
}

fn put(store: &mut dyn Store, table: Table, pairs: &[(&[u8], &[u8])]) {
    let mut changes = Changes::default();
    for (key, value) in pairs {
        changes.put(table, key.to_vec(), value.to_vec());
    }
    store.commit(&changes).unwrap();
}

fn pairs(list: &[(&[u8], &[u8])]) -> Pairs {
    list.iter().map(|(k, v)| (k.to_vec(), v.to_vec())).collect()
}

/// What any store must do.
fn check_contract(store: &mut dyn Store) {
    for table in Table::ALL {
        assert_eq!(store.get(table, b"a"), Ok(None));
        assert!(all(store, table, &[], &[]).is_empty());
    }
    // Order is that of bytes, ends are half-open, an empty end is none, tables are apart.
    put(
        store,
        Table::Cells,
        &[(b"b", b"2"), (b"a", b"1"), (b"a\0", b"3"), (b"\xff", b"4")],
    );
    assert_eq!(store.get(Table::Cells, b"a\0"), Ok(Some(b"3".to_vec())));
    assert_eq!(store.get(Table::NodeHours, b"a"), Ok(None));
    let ordered: &[(&[u8], &[u8])] = &[(b"a", b"1"), (b"a\0", b"3"), (b"b", b"2"), (b"\xff", b"4")];
    assert_eq!(all(store, Table::Cells, &[], &[]), pairs(ordered));
    assert_eq!(all(store, Table::Cells, b"a\0", b"b"), pairs(&ordered[1..2]));
    assert!(all(store, Table::Cells, b"b", b"b").is_empty());
    assert!(all(store, Table::Cells, b"c", b"b").is_empty());

    // The last change of a key wins within a commit; an empty value is a value.
    put(store, Table::Meta, &[(b"k", b"old"), (b"k", b"")]);
    assert_eq!(store.get(Table::Meta, b"k"), Ok(Some(Vec::new())));
    assert_eq!(store.commit(&Changes::default()), Ok(()));

    // A scan stops when it is told to.
    let mut seen = 0;
    let stopped = store.scan(Table::Cells, &[], &[], &mut |_, _| {
        seen += 1;
        if seen == 2 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    assert_eq!((stopped, seen), (Ok(()), 2));
    check_headers(store);
}

/// Scans of one number, by which duplicates are found, see that number alone; scans over several see all.
fn check_headers(store: &mut dyn Store) {
    let (node, spool) = (NodeId([1; 16]), SpoolId([2; 16]));
    let key = |seq: u64, digest: u8| header_key(node, spool, 0, seq, &Digest([digest; 32]));
    let keys = [key(1, 9), key(2, 1), key(2, 7), key(3, 0)];
    let list: Vec<(&[u8], &[u8])> = keys.iter().map(|k| (&k[..], &b"h"[..])).collect();
    put(store, Table::Headers, &list);
    let of = |seq| {
        let prefix = header_prefix(node, spool, 0, seq);
        all(store, Table::Headers, &prefix, &prefix_end(&prefix)).len()
    };
    assert_eq!([of(1), of(2), of(3), of(4)], [1, 2, 1, 0]);
    assert_eq!(all(store, Table::Headers, &node.0, &prefix_end(&node.0)).len(), 4);
    assert_eq!(all(store, Table::Headers, &[], &[]).len(), 4);
}

#[test]
fn the_memory_keeps_the_contract() {
    check_contract(&mut MemoryStore::default());
}

#[test]
fn rocksdb_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    check_contract(&mut RocksStore::open(folder.path(), Create::Yes).unwrap());
    // And again over what it left: everything is there after a reopening.
    let store = RocksStore::open(folder.path(), Create::No).unwrap();
    assert_eq!(all(&store, Table::Cells, &[], &[]).len(), 4);
    assert_eq!(all(&store, Table::Headers, &[1], &[2]).len(), 4);
}

#[test]
fn a_snapshot_stands_still_and_a_reader_does_not_keep_the_store_open() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(folder.path(), Create::Yes).unwrap();
    let reader = store.reader();
    put(&mut store, Table::Cells, &[(b"a", b"1")]);
    let counted = reader.with_snapshot(|read| {
        let before = all(read, Table::Cells, &[], &[]).len();
        put(&mut store, Table::Cells, &[(b"b", b"2")]);
        (before, all(read, Table::Cells, &[], &[]).len())
    });
    assert_eq!(counted, Some((1, 1)));
    drop(store);
    assert_eq!(reader.with_snapshot(|_| ()), None);
    drop(RocksStore::open(folder.path(), Create::No).unwrap());
}

/// Protects: a stop that waits for its last reader waits for one entry, not for an answer.
#[test]
fn a_read_that_is_under_way_ends_when_the_store_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(&folder.path().join("store"), Create::Yes).unwrap();
    put(
        &mut store,
        Table::Cells,
        &[(b"a", b"1"), (b"b", b"2"), (b"c", b"3")],
    );
    let path = folder.path().join("copy");
    store.checkpoint(&path).unwrap();
    let (reader, copy) = (store.reader(), Beside::open(&path, store.reader()).unwrap());
    let mut store = Some(store);
    let seen = reader.with_snapshot(|read| {
        let mut seen = Vec::new();
        let mut visit = |key: &[u8], _: &[u8]| {
            seen.push(key.to_vec());
            if key == b"b" {
                store = None;
            }
            ControlFlow::Continue(())
        };
        let ended = read.scan(Table::Cells, &[], &[], &mut visit).unwrap_err();
        assert!(ended.to_string().contains("the store is closed"), "{ended}");
        assert!(read.get(Table::Cells, b"a").is_err());
        assert!(copy.get(Table::Cells, b"a").is_err());
        let untouched = copy.scan(Table::Cells, &[], &[], &mut |_, _| unreachable!());
        assert!(untouched.is_err());
        seen
    });
    assert_eq!(seen, Some(vec![b"a".to_vec(), b"b".to_vec()]));
}

#[test]
fn an_absent_store_and_a_locked_one_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let absent = RocksStore::open(folder.path(), Create::No).unwrap_err();
    assert!(matches!(absent, RocksOpenError::Missing(_)), "{absent}");
    let _held = RocksStore::open(folder.path(), Create::Yes).unwrap();
    let locked = RocksStore::open(folder.path(), Create::No).unwrap_err();
    assert!(matches!(locked, RocksOpenError::Locked(_)), "{locked}");
}

#[test]
fn a_copy_has_what_was_committed() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(&folder.path().join("store"), Create::Yes).unwrap();
    put(&mut store, Table::Log, &[(b"a", b"1")]);
    let copy = folder.path().join("copy");
    store.checkpoint(&copy).unwrap();
    put(&mut store, Table::Log, &[(b"b", b"2")]);
    let copied = RocksStore::open(&copy, Create::No).unwrap();
    assert_eq!(all(&copied, Table::Log, &[], &[]), pairs(&[(b"a", b"1")]));
}
