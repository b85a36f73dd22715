//! Usage over holes, and what a seal is over.

use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Changes, Store, Table};
use tallyman_aggregator_core::rollup::cell::{KIND_INFERRED, KIND_WITHDRAWN};
use tallyman_aggregator_core::rollup::inference::{Inference, InferredSet, Span};
use tallyman_aggregator_core::rollup::part::{Part, node_hour_key, owner_key};
use tallyman_aggregator_core::seal::digest_of;
use tallyman_common::codec;
use tallyman_common::ids::Digest;
use tallyman_common::meter::Meter;

use crate::layout::{Layout, frozen, golden};
use crate::sample;

pub const FILES: &[&str] = &["inference-v1.hex", "sealed-hour-v1.hex"];

#[test]
fn inference() {
    assert_eq!((KIND_INFERRED, KIND_WITHDRAWN), (2, 3), "kinds of cells");
    let value = Inference {
        node: sample::node(),
        group: "default".to_owned(),
        spans: vec![Span {
            start: sample::at(1),
            end: sample::at(2),
            sets: vec![InferredSet {
                owner_kind: 2,
                owner_name: "acme".to_owned(),
                dims: vec![("region".to_owned(), "east".to_owned())],
                usage: vec![(Meter::CPU_TIME, 7_000_000_000)],
            }],
        }],
    };
    let layout = Layout::new()
        .raw("node", &sample::node().0)
        .text("group", "default")
        .count("spans", 1)
        .u64("span0.start (ms)", sample::at(1).0)
        .u64("span0.end (ms)", sample::at(2).0)
        .count("span0.sets", 1)
        .u8("set0.owner kind", 2)
        .text("set0.owner name", "acme")
        .count("set0.dims", 1)
        .text("dim0.name", "region")
        .text("dim0.value", "east")
        .count("set0.usage", 1)
        .u16("usage0.meter", 1)
        .u128("usage0.value", 7_000_000_000);
    let bytes = frozen(
        "inference-v1.hex",
        "Usage over a judged hole.",
        &layout,
        &codec::encode(&value),
    );
    assert_eq!(Inference::decode(&bytes).unwrap(), value);
}

/// What a seal's digest is over, for an hour of one owner and one node; late parts are not in it.
#[test]
fn sealed_hour() {
    let (mut store, mut changes) = (MemoryStore::default(), Changes::default());
    let late = Part::of(sample::HOUR, Some(sample::HOUR));
    for part in [Part::from(sample::HOUR), late] {
        changes.put(Table::Cells, owner_key(part, &sample::claim()), b"cells".to_vec());
        changes.put(
            Table::NodeHours,
            node_hour_key(part, sample::node()),
            b"node".to_vec(),
        );
    }
    changes.put(
        Table::Cells,
        owner_key(sample::HOUR.next(), &sample::claim()),
        Vec::new(),
    );
    store.commit(&changes).unwrap();
    let first = Digest::of(&[b"tallyman/sealed-hour/1\0"]);
    let owner = owner_key(sample::HOUR, &sample::claim());
    let cells = Layout::new()
        .raw("digest so far: of `tallyman/sealed-hour/1` and 0", &first.0)
        .be32("length of the table's name", 5)
        .word("name of the table", "cells")
        .be32("length of the key", u32::try_from(owner.len()).unwrap())
        .raw("key", &owner)
        .word("value", "cells");
    let second = Digest::of(&[&cells.bytes()]);
    let node = Layout::new()
        .raw("digest so far", &second.0)
        .be32("length of the table's name", 10)
        .word("name of the table", "node-hours")
        .be32("length of the key", 20)
        .raw("key", &node_hour_key(sample::HOUR, sample::node()))
        .word("value", "node");
    assert_eq!(
        digest_of(&store, sample::HOUR),
        Ok((2, Digest::of(&[&node.bytes()])))
    );
    golden(
        "sealed-hour-v1.hex",
        "What a seal's digest is over, value by value.",
        &cells.then(node),
    );
}
