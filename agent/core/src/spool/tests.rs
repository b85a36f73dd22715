//! The spool on a disk in memory: room, retention, failed syncs.

use tallyman_common::ids::{BootId, Digest, NodeId, SpoolId};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{BootMs, WallMs};
use tallyman_common::wire::{self, Header};

use super::*;
use crate::testing::{Crash, MemDisk};

const NODE: NodeId = NodeId([3; 16]);
const DAY_MS: u64 = 86_400_000;
/// Some wall time.
const T: u64 = 1_767_225_600_000;

fn open(disk: &mut MemDisk) -> OpenedSpool {
    Spool::open(disk, NODE, 64 << 20, SpoolId([1; 16])).unwrap()
}

/// A window of one frame, a minute long.
fn frame(spool: &Spool, minute: u64) -> Vec<(Header, Vec<u8>)> {
    let draft = Header {
        version: wire::VERSION,
        node: NODE,
        spool: spool.current(),
        partition: 0,
        seq: spool.last_seq() + 1,
        prev_digest: spool.last_digest(),
        boot: BootId([1; 16]),
        boot_start: BootMs(minute * 60_000),
        boot_end: BootMs(minute * 60_000 + 60_000),
        wall_start: WallMs(T + minute * 60_000),
        wall_end: WallMs(T + minute * 60_000 + 60_000),
        part: 0,
        parts: 1,
        flags: 0,
        mapping_revision: 1,
        cpus: 1,
        leaves: 0,
        root: Digest::default(),
        raw_bytes: 0,
        codec: 0,
    };
    vec![wire::seal(draft, &[], &NodeKey::from_seed(&[1; 32])).unwrap()]
}

fn segments(disk: &MemDisk) -> usize {
    disk.names()
        .iter()
        .filter(|name| name.starts_with("spool-"))
        .count()
}

/// Writes `count` frames, each to a segment of its own.
fn fill(spool: &mut Spool, disk: &mut MemDisk, count: u64) {
    for minute in 0..count {
        spool.is_open = false;
        let frames = frame(spool, minute);
        spool.append(&frames, disk).unwrap();
    }
}

#[test]
fn only_what_is_acknowledged_goes_and_the_newest_segment_stays() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 5);
    let late = WallMs(T + 40 * DAY_MS);
    spool.retain(late, 35 * DAY_MS, &mut disk).unwrap();
    assert_eq!(segments(&disk), 5, "nothing is acknowledged");
    for seq in [1, 2, 4] {
        spool.ack(spool.current(), seq);
    }
    spool.retain(WallMs(T + DAY_MS), 35 * DAY_MS, &mut disk).unwrap();
    assert_eq!(segments(&disk), 5, "nothing is old");
    spool.retain(late, 35 * DAY_MS, &mut disk).unwrap();
    assert_eq!(segments(&disk), 2, "1, 2 and 4 were acknowledged");
    for seq in [3, 5] {
        spool.ack(spool.current(), seq);
    }
    spool.retain(late, 35 * DAY_MS, &mut disk).unwrap();
    assert_eq!(segments(&disk), 1);
    let again = open(&mut disk);
    assert_eq!(
        (again.spool.last_seq(), again.last.unwrap().digest),
        (5, spool.last_digest())
    );
}

#[test]
fn room_is_made_of_what_is_acknowledged_only() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 3);
    spool.limit_bytes = spool.used_bytes() + RESERVE_BYTES;
    assert_eq!(spool.make_room(0, &mut disk), Ok(()));
    let full = spool.make_room(1, &mut disk);
    assert!(matches!(full, Err(AppendError::NoRoom { .. })), "{full:?}");
    assert_eq!(segments(&disk), 3, "I4");
    spool.ack(spool.current(), 1);
    assert_eq!(spool.make_room(1, &mut disk), Ok(()));
    assert_eq!(segments(&disk), 2);
    assert_eq!(spool.window_minutes(), 60, "full of what is not acknowledged");
}

#[test]
fn after_a_failed_sync_the_same_sequence_is_written_to_a_new_segment() {
    for cut_fails in [false, true] {
        let mut disk = MemDisk::default();
        let mut spool = open(&mut disk).spool;
        let frames = frame(&spool, 0);
        spool.append(&frames, &mut disk).unwrap();
        let lost = frame(&spool, 1);
        if cut_fails {
            disk.stop_at = Some(disk.operations + 2);
        } else {
            disk.fail_at = Some((disk.operations + 2, DiskError::Failed("i/o error".to_owned())));
        }
        assert!(spool.append(&lost, &mut disk).is_err());
        assert_eq!(spool.last_seq(), 1);
        (disk.stop_at, disk.fail_at) = (None, None);
        let kept = frame(&spool, 2);
        spool.append(&kept, &mut disk).unwrap();
        for crash in [Crash::Process, Crash::Machine] {
            let again = open(&mut disk.after(crash));
            assert_eq!(
                again.last.map(|l| (l.seq, l.digest)),
                Some((2, kept[0].0.digest())),
                "{cut_fails} {crash:?}"
            );
            assert!(again.lost.is_empty() && !again.tail_is_damaged);
        }
    }
}

#[test]
fn acknowledgements_go_both_ways_through_a_checkpoint() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 6);
    for seq in [1, 2, 5] {
        spool.ack(spool.current(), seq);
    }
    let saved = spool.acked_ranges();
    assert_eq!(saved[&spool.current()], [(1, 3), (5, 6)]);
    let mut again = open(&mut disk).spool;
    assert_eq!(again.unacked().len(), 6);
    again.restore_acks(&saved, WallMs(7));
    assert_eq!(
        again.unacked().iter().map(|key| key.seq).collect::<Vec<_>>(),
        [3, 4, 6]
    );
    assert_eq!(again.acked_upto(), 2);
}

/// The open spool has nothing that was acknowledged, so that no watermark of it can show the restore.
#[test]
fn a_restored_aggregator_is_sent_what_older_spools_had_acknowledged() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 3);
    spool.aggregator_has(0, &[], WallMs(5));
    let left = spool.current();
    (1..=3).for_each(|seq| spool.ack(left, seq));
    spool.draw(SpoolId([9; 16]));
    spool.aggregator_has(0, &[], WallMs(5));
    assert!(spool.unacked().is_empty(), "the same restore voids nothing");
    spool.aggregator_has(0, &[], WallMs(6));
    assert_eq!(spool.unacked().len(), 3);
    assert_eq!(spool.acked_since(), WallMs(6));
}

#[test]
fn a_folder_of_another_node_is_refused() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 1);
    let other = Spool::open(&mut disk, NodeId([4; 16]), 64 << 20, SpoolId([2; 16]));
    assert_eq!(other.unwrap_err(), SpoolError::OtherNode(NODE));
}

#[test]
fn a_window_of_which_a_part_is_missing_never_became_durable() {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, 1);
    let mut parts = frame(&spool, 1);
    let key = NodeKey::from_seed(&[1; 32]);
    (parts[0].0.parts, parts[0].0.part) = (2, 0);
    parts[0] = wire::seal(parts[0].0.clone(), &[], &key).unwrap();
    // The crash came between the parts: only the first one reached the disk.
    spool.append(&parts, &mut disk).unwrap();
    let again = open(&mut disk);
    assert_eq!(again.last.unwrap().seq, 1);
    assert!(!again.tail_is_damaged && again.lost.is_empty());
    assert_eq!(again.notices[0].code, "spool-tail-cut");
    assert_eq!(open(&mut disk).notices, []);
}

/// A spool with some durable frames, one whose write failed and could not be taken back, and the one that has its number.
fn with_leftover(durable_before: u64) -> (MemDisk, Spool, Header, Header) {
    let mut disk = MemDisk::default();
    let mut spool = open(&mut disk).spool;
    fill(&mut spool, &mut disk, durable_before);
    let lost = frame(&spool, 7);
    disk.stop_at = Some(disk.operations + 2);
    assert!(spool.append(&lost, &mut disk).is_err());
    disk.stop_at = None;
    let told = frame(&spool, 8);
    spool.append(&told, &mut disk).unwrap();
    (disk, spool, lost[0].0.clone(), told[0].0.clone())
}

/// A failed write could not be taken back, its number was used again, and the segment that tells went first.
#[test]
fn what_a_failed_write_left_never_comes_back_as_a_batch() {
    for durable_before in [0, 1] {
        let (mut disk, mut spool, lost, told) = with_leftover(durable_before);
        let digests = |disk: &mut MemDisk| -> Vec<Digest> {
            list(disk).unwrap().iter().map(|frame| frame.digest).collect()
        };
        assert_eq!(digests(&mut disk).last(), Some(&told.digest()));
        assert!(
            !digests(&mut disk).contains(&lost.digest()),
            "an export would carry two batches of one number"
        );
        let verified = verify(&mut disk).unwrap();
        assert!(
            verified
                .damage
                .iter()
                .any(|line| line.contains("a failed write left")),
            "{:?}",
            verified.damage
        );
        spool.is_open = false;
        let newest = frame(&spool, 9);
        spool.append(&newest, &mut disk).unwrap();
        spool.ack(spool.current(), told.seq);

        // As long as the leftover is there, nothing goes that overrides it.
        disk.stop_at = Some(disk.operations + 1);
        assert!(spool.remove_oldest_acked(&mut disk).is_err());
        disk.stop_at = None;
        assert_eq!(digests(&mut disk).len() as u64, durable_before + 2);
        assert_eq!(spool.remove_oldest_acked(&mut disk), Ok(true));
        for crash in [Crash::Process, Crash::Machine] {
            let mut after = disk.after(crash);
            let again = open(&mut after);
            assert_eq!(
                again.spool.unacked().len() as u64,
                durable_before + 1,
                "{crash:?}"
            );
            assert!(!digests(&mut after).contains(&lost.digest()), "{crash:?}");
        }
    }
}

/// The process ended before it could try again.
#[test]
fn what_a_failed_write_left_is_cut_off_at_the_next_opening() {
    for durable_before in [0, 1] {
        let (mut disk, _, _, told) = with_leftover(durable_before);
        let mut again = open(&mut disk).spool;
        assert!(verify(&mut disk).unwrap().damage.is_empty());
        again.is_open = false;
        let newest = frame(&again, 9);
        again.append(&newest, &mut disk).unwrap();
        (1..=told.seq).for_each(|seq| again.ack(again.current(), seq));
        while again.remove_oldest_acked(&mut disk).unwrap() {}
        let last = open(&mut disk);
        assert_eq!(last.spool.unacked().len(), 1);
        assert_eq!(last.last.unwrap().digest, newest[0].0.digest());
    }
}
