//! Frames: what is sealed opens, and nothing else does.

use super::*;
use crate::ids::Owner;

fn draft() -> Draft {
    Header {
        version: VERSION,
        node: NodeId([1; 16]),
        spool: SpoolId([2; 16]),
        partition: 0,
        seq: 5,
        prev_digest: Digest([3; 32]),
        boot: BootId([4; 16]),
        boot_start: BootMs(1_000),
        boot_end: BootMs(61_000),
        wall_start: WallMs(1_700_000_000_000),
        wall_end: WallMs(1_700_000_060_000),
        part: 0,
        parts: 1,
        flags: 0,
        mapping_revision: 1,
        cpus: 2,
        leaves: 0,
        root: Digest::default(),
        raw_bytes: 0,
        codec: CODEC_NONE,
    }
}

fn records() -> Vec<Record> {
    ["b", "a", "c"]
        .iter()
        .map(|n| Record::new(Owner::claim(n).unwrap()))
        .collect()
}

#[test]
fn what_is_sealed_opens_sorted_by_owner() {
    let key = NodeKey::from_seed(&[9; 32]);
    let (header, bytes) = seal(draft(), &records(), &key).unwrap();
    let frame = Frame::parse(&bytes).unwrap();
    assert_eq!(frame.digest(), header.digest());
    let leaves = frame.verify(&key.public()).unwrap().open().unwrap();
    let owners: Vec<String> = leaves.iter().map(|l| l.record.owner.to_string()).collect();
    assert_eq!(owners, ["a", "b", "c"]);
}

#[test]
fn a_flipped_bit_anywhere_is_refused_or_changes_nothing() {
    let key = NodeKey::from_seed(&[9; 32]);
    let (_, bytes) = seal(draft(), &records(), &key).unwrap();
    let original = Frame::parse(&bytes)
        .unwrap()
        .verify(&key.public())
        .unwrap()
        .open()
        .unwrap();
    let mut harmless = 0;
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        let opened = Frame::parse(&changed)
            .and_then(|f| f.verify(&key.public()))
            .and_then(|v| v.open());
        if let Ok(leaves) = opened {
            assert_eq!(leaves, original, "byte {at}");
            harmless += 1;
        }
    }
    // Unused bits of the compressed form decompress to the same leaves; the signed root covers those.
    assert!(harmless <= 2, "{harmless} flips went through");
}

#[test]
fn another_nodes_key_is_refused() {
    let (_, bytes) = seal(draft(), &records(), &NodeKey::from_seed(&[9; 32])).unwrap();
    let other = NodeKey::from_seed(&[8; 32]).public();
    assert_eq!(
        Frame::parse(&bytes).unwrap().verify(&other).err(),
        Some(FrameError::Signature(NodeId([1; 16])))
    );
}

#[test]
fn headers_that_contradict_themselves_are_refused() {
    let key = NodeKey::from_seed(&[9; 32]);
    let cases: [fn(&mut Header); 6] = [
        |h| h.seq = 0,
        |h| h.boot_end = h.boot_start,
        |h| h.part = 1,
        |h| h.cpus = 0,
        |h| h.wall_end = WallMs(10),
        |h| h.wall_end = WallMs(u64::MAX),
    ];
    for (number, change) in cases.iter().enumerate() {
        let mut wrong = draft();
        change(&mut wrong);
        let (_, bytes) = seal(wrong, &records(), &key).unwrap();
        assert!(
            matches!(Frame::parse(&bytes), Err(FrameError::Header(_))),
            "case {number}"
        );
    }
}

#[test]
fn another_version_is_named() {
    let mut newer = draft();
    newer.version = 2;
    let (_, bytes) = seal(newer, &records(), &NodeKey::from_seed(&[9; 32])).unwrap();
    assert_eq!(Frame::parse(&bytes), Err(FrameError::Version(2)));
}
