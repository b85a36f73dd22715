//! Keys and values of the aggregator's tables.

use tallyman_aggregator_core::aggregator::{Aggregator, Event, initialise};
use tallyman_aggregator_core::ingest::{Marks, Reason};
use tallyman_aggregator_core::log::{
    Entry, Fate, HeldNote, Kept, decode_decision, encode_decision, header_key, position_key, position_of,
};
use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Read, Table};
use tallyman_aggregator_core::registry::{Command, Decision, Judgement, Scope, TenantTerms};
use tallyman_aggregator_core::rollup::cell::{
    Cell, CellSet, FLAG_PARTIAL, FLAG_SPREAD, HoleNote, KIND_MAXIMUM, KIND_SUM, NodeHour, OwnerHour, Trace,
};
use tallyman_aggregator_core::rollup::part::{Part, node_hour_key, owner_key, owner_of_key};
use tallyman_common::codec;
use tallyman_common::ids::{Digest, NodeId, Owner};
use tallyman_common::meter::Meter;
use tallyman_common::time::{Hour, WallMs};
use tallyman_common::wire::Header;

use crate::layout::{Layout, folder, frozen, golden, updates};
use crate::sample;

pub const FILES: &[&str] = &[
    "keys-v1.hex",
    "log-counted-v1.hex",
    "log-held-v1.hex",
    "kept-header-v1.hex",
    "held-note-v1.hex",
    "marks-v1.hex",
    "owner-hour-v1.hex",
    "node-hour-v1.hex",
    "meta-v1.hex",
    "decisions-v1.jsonl",
];

#[test]
fn keys() {
    let digest = sample::PREV;
    let position = Layout::new()
        .be16("log, decisions, held: partition", 0)
        .be64("log, decisions, held: position", 258);
    assert_eq!(position_key(258), position.bytes());
    assert_eq!(position_of(&position.bytes()), Ok(258));
    let header = Layout::new()
        .raw("headers: node", &sample::node().0)
        .raw("headers: spool", &sample::SPOOL.0)
        .be16("headers: partition", 0)
        .be64("headers: seq", sample::SEQ)
        .raw("headers: first half of the digest", &digest.0[..16]);
    assert_eq!(
        header_key(sample::node(), sample::SPOOL, 0, sample::SEQ, &digest),
        header.bytes()
    );
    let mut layout = position.then(header).raw("marks: node", &sample::node().0);
    for (number, owner) in [Owner::Host, Owner::Unattributed, sample::claim()]
        .iter()
        .enumerate()
    {
        let mut key = Layout::new()
            .be32("cells: hour", sample::HOUR.0)
            .u8("cells: owner kind", u8::try_from(number).unwrap());
        if !owner.name().is_empty() {
            key = key.word("cells: owner name", owner.name());
        }
        assert_eq!(owner_key(sample::HOUR, owner), key.bytes());
        let on_time = Part::from(sample::HOUR);
        assert_eq!(owner_of_key(&key.bytes()), Ok((on_time, owner.clone())));
        layout = layout.then(key);
    }
    let node_hour = Layout::new()
        .be32("node-hours: hour", sample::HOUR.0)
        .raw("node-hours: node", &sample::node().0);
    assert_eq!(node_hour_key(sample::HOUR, sample::node()), node_hour.bytes());
    let late = Part::of(sample::HOUR, Some(sample::HOUR.next()));
    let suffix = |table: &str| {
        Layout::new().u8(&format!("{table}, late part: 0"), 0).be32(
            &format!("{table}, late part: newest sealed hour"),
            sample::HOUR.0 + 1,
        )
    };
    let late_owner = Layout::new()
        .be32("cells: hour", sample::HOUR.0)
        .u8("cells: owner kind", 2)
        .word("cells: owner name", sample::claim().name())
        .then(suffix("cells"));
    assert_eq!(owner_key(late, &sample::claim()), late_owner.bytes());
    assert_eq!(owner_of_key(&late_owner.bytes()), Ok((late, sample::claim())));
    let late_node = Layout::new()
        .be32("node-hours: hour", sample::HOUR.0)
        .raw("node-hours: node", &sample::node().0)
        .then(suffix("node-hours"));
    assert_eq!(node_hour_key(late, sample::node()), late_node.bytes());
    let layout = layout
        .then(node_hour)
        .then(late_owner)
        .then(late_node)
        .word("meta", "store-id")
        .word("meta", "last-position")
        .word("meta", "cells-floor");
    golden(
        "keys-v1.hex",
        "One key of each table, one behind the other.",
        &layout,
    );
}

#[test]
fn log_entries() {
    let frame = b"TLYM and so on";
    for (name, title, number, fate) in [
        (
            "log-counted-v1.hex",
            "A batch in the log, counted.",
            0,
            Fate::Counted,
        ),
        (
            "log-held-v1.hex",
            "A batch in the log, held: its window ends in the future.",
            20,
            Fate::Held(Reason::Future),
        ),
    ] {
        let layout = Layout::new()
            .u16("fate (0 counted, else the reason)", number)
            .u64("received (ms)", sample::at(3).0)
            .word("frame", "TLYM and so on");
        let kept = frozen(name, title, &layout, &Entry::encode(fate, sample::at(3), frame));
        let (received, frame) = (sample::at(3), frame.to_vec());
        assert_eq!(
            Entry::decode(&kept).unwrap(),
            Entry {
                fate,
                received,
                frame
            }
        );
    }
}

#[test]
fn kept_header() {
    let kept = Kept::new(258, Fate::Counted, sample::PREV, vec![0xaa, 0xbb]);
    let layout = Layout::new()
        .u64("position", 258)
        .u16("fate (0 counted, else the reason)", 0)
        .raw("digest", &sample::PREV.0)
        .sized(
            "signed",
            Layout::new().raw("header and signature (here: a stand-in)", &[0xaa, 0xbb]),
        );
    let bytes = frozen(
        "kept-header-v1.hex",
        "What is kept of every batch for good.",
        &layout,
        &codec::encode(&kept),
    );
    assert_eq!(Kept::decode(&bytes).unwrap(), kept);
}

#[test]
fn held_note() {
    let note = HeldNote {
        node: sample::node(),
        spool: sample::SPOOL,
        partition: 0,
        seq: sample::SEQ,
        reason: Reason::Future.number(),
        received: sample::at(3),
        wall_start: sample::at(10),
        wall_end: sample::at(11),
        detail: "8 minutes ahead".to_owned(),
    };
    let layout = Layout::new()
        .raw("node", &sample::node().0)
        .raw("spool", &sample::SPOOL.0)
        .u16("partition", 0)
        .u64("seq", sample::SEQ)
        .u16("reason", 20)
        .u64("received (ms)", sample::at(3).0)
        .u64("wall_start (ms)", sample::at(10).0)
        .u64("wall_end (ms)", sample::at(11).0)
        .text("detail", "8 minutes ahead");
    let bytes = frozen(
        "held-note-v1.hex",
        "Why a batch is held.",
        &layout,
        &codec::encode(&note),
    );
    assert_eq!(codec::decode::<HeldNote>("held note", &bytes).unwrap(), note);
}

#[test]
fn marks() {
    let mut marks = Marks::default();
    let header: Header = sample::draft();
    let node = marks.node_mut(header.node);
    for seq in [1, 2, 3, 7, 8, 12] {
        node.add(sample::SPOOL, 0, seq);
    }
    node.keep(sample::SPOOL, 0, 13);
    node.give_up(sample::SPOOL, 0, 9, 9);
    node.note(&header, sample::at(3), None);
    let layout = Layout::new()
        .count("spools", 1)
        .raw("spool0.spool", &sample::SPOOL.0)
        .u16("spool0.partition", 0)
        .u64("spool0.watermark", 3)
        .count("spool0.above", 2)
        .u64("above0.from", 7)
        .u64("above0.to", 10)
        .u64("above1.from", 12)
        .u64("above1.to", 13)
        .u64("spool0.kept", 13)
        .count("spool0.lost", 1)
        .u64("lost0.from", 9)
        .u64("lost0.to", 10)
        .count("boots", 1)
        .raw("boot0.boot", &sample::BOOT.0)
        .raw("boot0.spool", &sample::SPOOL.0)
        .u64("boot0.first start (ms)", 3_600_000)
        .u64("boot0.last end (ms)", 3_660_000)
        .u64("newest_end (ms)", sample::at(2).0)
        .u64("last_received (ms)", sample::at(3).0)
        .count("starts", 1)
        .u32("start0.newest sealed hour (0: none)", 0)
        .u64("start0.first start (ms)", sample::at(1).0)
        .u8("stopped", 1)
        .raw("newest_spool", &sample::SPOOL.0);
    let bytes = frozen(
        "marks-v1.hex",
        "What is known of one node's stream.",
        &layout,
        &marks.encode(header.node),
    );
    let mut read = Marks::default();
    read.load(header.node, &bytes).unwrap();
    assert_eq!(read.node(header.node), marks.node(header.node));
}

fn owner_hour_value() -> OwnerHour {
    let cell = |kind, meter, value, flags, causes| Cell {
        meter,
        kind,
        value,
        covered_ms: 120_000,
        flags,
        causes,
    };
    let set = |dims, cell| CellSet {
        group: "default".into(),
        dims,
        cells: vec![cell],
    };
    let east = vec![("region".to_owned(), "east".to_owned())];
    OwnerHour {
        upto: 258,
        sets: [
            set(
                Vec::new(),
                cell(
                    KIND_SUM,
                    Meter::CPU_TIME,
                    60_000_000_000,
                    FLAG_PARTIAL | FLAG_SPREAD,
                    1 << 1,
                ),
            ),
            set(east, cell(KIND_MAXIMUM, Meter::MEMORY_CURRENT, 1 << 30, 0, 0)),
        ]
        .into_iter()
        .collect(),
        traces: std::iter::once(Trace {
            node: sample::node(),
            minutes: 0b110,
            batches: std::iter::once((sample::SPOOL, 257, 258)).collect(),
        })
        .collect(),
        holes: vec![HoleNote {
            node: sample::node(),
            meter: 0,
            cause: 1,
            start: sample::at(1),
            end: sample::at(2),
            workload: "web-1".to_owned(),
        }],
        more_holes: 5,
    }
}

#[test]
fn owner_hour() {
    let layout = Layout::new()
        .u64("upto", 258)
        .count("sets", 2)
        .text("set0.group", "default")
        .count("set0.dims", 0)
        .count("set0.cells", 1)
        .u16("cell0.meter", 1)
        .u8("cell0.kind (0 sum, 1 maximum)", 0)
        .u128("cell0.value", 60_000_000_000)
        .u64("cell0.covered_ms", 120_000)
        .u8("cell0.flags (1 partial, 2 unmeasured, 4 spread)", 5)
        .u32("cell0.causes (bit n: cause n)", 2)
        .text("set1.group", "default")
        .count("set1.dims", 1)
        .text("dim0.name", "region")
        .text("dim0.value", "east")
        .count("set1.cells", 1)
        .u16("cell0.meter", 10)
        .u8("cell0.kind", 1)
        .u128("cell0.value", 1 << 30)
        .u64("cell0.covered_ms", 120_000)
        .u8("cell0.flags", 0)
        .u32("cell0.causes", 0)
        .count("traces", 1)
        .raw("trace0.node", &sample::node().0)
        .u64("trace0.minutes (bit n: minute n)", 6)
        .count("trace0.batches", 1)
        .raw("batches0.spool", &sample::SPOOL.0)
        .u64("batches0.first", 257)
        .u64("batches0.last", 258)
        .count("holes", 1)
        .raw("hole0.node", &sample::node().0)
        .u16("hole0.meter (0: all)", 0)
        .u8("hole0.cause", 1)
        .u64("hole0.start (ms)", sample::at(1).0)
        .u64("hole0.end (ms)", sample::at(2).0)
        .text("hole0.workload", "web-1")
        .u64("more_holes", 5);
    let value = owner_hour_value();
    let bytes = frozen(
        "owner-hour-v1.hex",
        "Everything of one owner in one hour.",
        &layout,
        &codec::encode(&value),
    );
    assert_eq!(OwnerHour::decode(&bytes).unwrap(), value);
}

#[test]
fn node_hour() {
    let value = NodeHour {
        upto: 258,
        minutes: 0b11,
        batches: 2,
        stops: vec![sample::at(2)],
    };
    let layout = Layout::new()
        .u64("upto", 258)
        .u64("minutes (bit n: minute n)", 3)
        .u64("batches", 2)
        .count("stops", 1)
        .u64("stop0 (ms)", sample::at(2).0);
    let bytes = frozen(
        "node-hour-v1.hex",
        "One node's hour.",
        &layout,
        &codec::encode(&value),
    );
    assert_eq!(NodeHour::decode(&bytes).unwrap(), value);
}

/// The names and values of single values, as a real commit writes them.
#[test]
fn meta() {
    let mut store = MemoryStore::default();
    initialise(&mut store, sample::STORE).unwrap();
    let mut aggregator = Aggregator::open(&store, WallMs(0)).unwrap();
    let command = Command::RevokeToken {
        id: "none".to_owned(),
    };
    let (actor, source) = (String::from("a"), String::from("cli"));
    let event = Event::Command {
        ticket: 1,
        actor,
        source,
        command,
    };
    aggregator.step(WallMs(0), event, &store).unwrap();
    let (id, hash) = (String::from("t"), Digest::default());
    let command = Command::CreateToken {
        id,
        hash,
        scope: Scope::Operator,
        expires: None,
    };
    let (actor, source) = (String::from("a"), String::from("cli"));
    aggregator
        .step(
            WallMs(0),
            Event::Command {
                ticket: 2,
                actor,
                source,
                command,
            },
            &store,
        )
        .unwrap();
    aggregator.commit(WallMs(0), true, &mut store).unwrap();
    let layout = Layout::new()
        .raw("store-id", &sample::STORE.0)
        .be64("last-position", 1)
        .be64("cells-floor", 1);
    let value = |key: &str| store.get(Table::Meta, key.as_bytes()).unwrap().unwrap();
    let written = [value("store-id"), value("last-position"), value("cells-floor")].concat();
    frozen(
        "meta-v1.hex",
        "Single values, one behind the other.",
        &layout,
        &written,
    );
}

#[test]
fn names_of_tables() {
    let names: Vec<&str> = Table::ALL.iter().map(|table| table.name()).collect();
    assert_eq!(
        names,
        [
            "log",
            "decisions",
            "headers",
            "held",
            "marks",
            "cells",
            "node-hours",
            "late-parts",
            "days",
            "inferences",
            "documents",
            "receivables",
            "balances",
            "journal",
            "money-index",
            "meta"
        ]
    );
}

fn commands() -> Vec<Command> {
    let tenant = TenantTerms {
        tenant: "acme".to_owned(),
        name: "华东 Acme".to_owned(),
        claims: vec!["acme".to_owned(), "acme-old".to_owned()],
        account: "acme-group".to_owned(),
        zone: "Asia/Shanghai".to_owned(),
        currency: "CNY".to_owned(),
        language: "zh".to_owned(),
        from: sample::HOUR,
    };
    let (hash, node) = (Digest([0xaa; 32]), NodeId([0x11; 16]));
    let (id, reason) = (|| "first".to_owned(), || "seen on the host".to_owned());
    vec![
        Command::CreateToken {
            id: id(),
            hash,
            scope: Scope::Operator,
            expires: None,
        },
        Command::CreateToken {
            id: id(),
            hash,
            scope: Scope::Tenant("acme".to_owned()),
            expires: Some(sample::at(0)),
        },
        Command::RevokeToken { id: id() },
        Command::CreateNodeToken {
            id: id(),
            hash,
            group: "default".to_owned(),
            expires: sample::at(0),
        },
        Command::EnrolNode {
            token: hash,
            node,
            signing_key: [0x22; 32],
            host_name: "node-1".to_owned(),
        },
        Command::RetireNode { node },
        Command::RevokeNode { node },
        Command::SetTenant(tenant),
        Command::AddPriceBook {
            text: "title = \"x\"\n".to_owned(),
            from: Hour(490_001),
        },
        Command::ReleaseBatch {
            position: 7,
            reason: reason(),
        },
        Command::DiscardBatch {
            position: 7,
            reason: reason(),
        },
    ]
}

/// Those of repairs and restores.
fn repairs() -> Vec<Command> {
    let reason = || "checked by hand".to_owned();
    vec![
        Command::ReplaceCells {
            from: Hour(490_000),
            to: Hour(490_001),
            values: 2,
        },
        Command::NoteRestore {
            made: sample::at(3),
            position: 12,
        },
        Command::SettleRestore { reason: reason() },
        Command::ReadmitNode {
            node: sample::node(),
            signing_key: [9; 32],
            host_name: "node-1".to_owned(),
        },
    ]
}

/// Those that close hours.
fn closings() -> Vec<Command> {
    let (node, spool) = (sample::node(), sample::SPOOL);
    vec![
        Command::GiveUpBatches {
            node,
            spool,
            first: 2,
            last: 3,
            reason: "its disk is gone".to_owned(),
        },
        Command::JudgeHole(Judgement {
            node,
            spool,
            seq: 4,
            missing: vec![(spool, 2, 3)],
            start: sample::at(1),
            end: sample::at(3),
            values: 12,
            unresolved: 1,
            contradictions: 0,
            upto: 99,
        }),
        Command::WithdrawJudgement { position: 100 },
        Command::SealHour {
            hour: sample::HOUR,
            values: 3,
            digest: Digest([0xaa; 32]),
            upto: 99,
        },
    ]
}

#[test]
fn decisions_of_every_command() {
    let path = folder().join("decisions-v1.jsonl");
    let decision = |(command, position): (Command, u64)| Decision {
        position,
        at: sample::at(4),
        actor: "alice".to_owned(),
        source: "cli".to_owned(),
        command,
    };
    let decisions: Vec<Decision> = commands()
        .into_iter()
        .chain(repairs())
        .chain(closings())
        .chain(super::trust::commands())
        .chain(super::payers::commands())
        .zip(1..)
        .map(decision)
        .collect();
    assert!(decisions.iter().all(|d| super::trust::is_in_the_file(&d.command)));
    let lines: Vec<String> = decisions
        .iter()
        .map(|d| String::from_utf8(encode_decision(d)).unwrap())
        .collect();
    let text = lines.join("\n") + "\n";
    if updates() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap();
    assert_eq!(kept, text);
    for (line, decision) in kept.lines().zip(decisions) {
        assert_eq!(decode_decision(line.as_bytes()).unwrap(), decision);
    }
}
