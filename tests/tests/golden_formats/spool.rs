//! What an agent leaves on its disk: a segment and a checkpoint; and an agent that finds them goes on.

use std::collections::BTreeMap;

use tallyman_agent_core::{
    Agent, AgentConfig, Disk, DiskError, Event, FileKind, Fresh, Hardware, Identity, Level, Listed, Mapping,
    NetworkSeen, Notice, Now, SourceKind, Tree, Trees, WorkloadSeen, mapping, spool,
};
use tallyman_common::ids::{Nonce, SpoolId};
use tallyman_common::wire::Frame;

use crate::layout::{Layout, bytes_of, folder, frozen, golden, updates};
use crate::{sample, wire};

pub const FILES: &[&str] = &["spool-segment-v1.hex", "checkpoint-v1.hex"];

const SEGMENT: &str = "spool-0000000001-51515151515151515151515151515151-000000000001.seg";
/// The first slot has the checkpoint of the first sweep.
const CHECKPOINT: &str = "checkpoint-1";
const SECOND_NS: u64 = 1_000_000_000;

/// A folder in memory; nothing fails.
#[derive(Default)]
struct Folder(BTreeMap<String, Vec<u8>>);

impl Disk for Folder {
    fn list(&mut self) -> Result<Vec<Listed>, DiskError> {
        let listed = |(name, bytes): (&String, &Vec<u8>)| Listed {
            name: name.clone(),
            len: bytes.len() as u64,
        };
        Ok(self.0.iter().map(listed).collect())
    }

    fn read(&mut self, name: &str) -> Result<Vec<u8>, DiskError> {
        self.0
            .get(name)
            .cloned()
            .ok_or_else(|| DiskError::Failed(format!("no {name}")))
    }

    fn read_at(&mut self, name: &str, offset: u64, len: usize) -> Result<Vec<u8>, DiskError> {
        let from = usize::try_from(offset).unwrap();
        Ok(self.read(name)?[from..from + len].to_vec())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> Result<(), DiskError> {
        self.0
            .entry(name.to_owned())
            .or_default()
            .extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }

    fn truncate(&mut self, name: &str, len: u64) -> Result<(), DiskError> {
        self.0
            .entry(name.to_owned())
            .or_default()
            .truncate(usize::try_from(len).unwrap());
        Ok(())
    }

    fn remove(&mut self, name: &str) -> Result<(), DiskError> {
        self.0.remove(name);
        Ok(())
    }
}

/// The clocks `seconds` after the first minute of the sample hour began.
fn now(seconds: u64) -> Now {
    Now {
        boot_ns: (3_600 + seconds) * SECOND_NS,
        wall: tallyman_common::time::WallMs(sample::at(1).0 + seconds * 1_000),
        boot: sample::BOOT,
    }
}

fn open(folder: &mut Folder, at: Now, spool: SpoolId) -> (Agent, Vec<Notice>) {
    let rule = mapping::Rule {
        when: mapping::When::Cgroup("/tenants/*".to_owned()),
        owner: "$1".to_owned(),
    };
    let config = AgentConfig {
        interval_ns: 10 * SECOND_NS,
        full_every_ticks: 3,
        hold_ms: 10_000,
        live_every_ms: 5_000,
        sources: vec!["slices".to_owned()],
        mapping: Mapping {
            rules: vec![rule],
            ..Mapping::default()
        },
        hardware: Hardware::default(),
        clock_ticks_per_s: 100,
        spool_bytes_max: 64 << 20,
        retention_ms: 24 * 3_600_000,
        backlog_bytes_per_s: 1 << 20,
    };
    let identity = Identity {
        node: sample::node(),
        key: sample::key(),
        inventory: *sample::host_record().inventory.unwrap(),
    };
    let fresh = Fresh {
        spool,
        nonce: Nonce([1; 16]),
    };
    Agent::open(config, identity, at, fresh, folder).unwrap()
}

fn sweep(
    agent: &mut Agent,
    folder: &mut Folder,
    at: Now,
    slot: tallyman_agent_core::Slot,
    used_us: u64,
) -> bool {
    let sweep = agent.begin(at);
    for file in agent.wants(slot, sweep).to_vec() {
        assert_eq!(file, FileKind::CpuStat, "the cgroup has no other controller");
        agent.sample(slot, file, Ok(format!("usage_usec {used_us}\n").as_bytes()));
    }
    agent.step(at, Event::SweepDone, folder).closed.is_some()
}

fn appear(agent: &mut Agent, folder: &mut Folder, at: Now) -> tallyman_agent_core::Slot {
    let seen = WorkloadSeen {
        path: "/tenants/acme".to_owned(),
        life: 4_711,
        kind: SourceKind::Cgroup,
        source: "slices".to_owned(),
        container: None,
        name: "acme".to_owned(),
        network: NetworkSeen::None,
        trees: Trees {
            cpu: Some(Tree::V2),
            memory: None,
            io: None,
        },
    };
    agent.step(at, Event::Appeared(seen), folder).slot.unwrap()
}

/// One minute of one cgroup: 1 s of processor time before metering began, 2 s after.
fn minute() -> Folder {
    let mut folder = Folder::default();
    let (mut agent, _) = open(&mut folder, now(10), sample::SPOOL);
    let slot = appear(&mut agent, &mut folder, now(10));
    assert!(!sweep(&mut agent, &mut folder, now(10), slot, 1_000_000));
    assert!(sweep(&mut agent, &mut folder, now(60), slot, 3_000_000));
    folder
}

/// CRC-32C bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0x82f6_3b78
            } else {
                crc >> 1
            }
        })
    })
}

/// A segment with one frame. Its payload is compressed: kept as it was first written, like the frame of its own.
#[test]
fn segment() {
    let made = minute()
        .0
        .remove(SEGMENT)
        .expect("the first segment has this name");
    let name = "spool-segment-v1.hex";
    if updates() && !folder().join(name).exists() {
        golden(
            name,
            "A segment as a first release wrote it. Never rewritten.",
            &segment_layout(&made[20..]),
        );
    }
    let kept = bytes_of(&std::fs::read_to_string(folder().join(name)).unwrap());
    assert_eq!(segment_layout(&kept[20..]).bytes(), kept);
    let header = |bytes: &[u8]| Frame::parse(&bytes[20..]).unwrap().header;
    assert_eq!(
        header(&kept),
        header(&made),
        "the agent would sign something else today"
    );
    let mut alone = Folder(BTreeMap::from([(SEGMENT.to_owned(), kept)]));
    let listed = spool::list(&mut alone).unwrap();
    assert_eq!(
        (listed.len(), listed[0].spool, listed[0].seq),
        (1, sample::SPOOL, 1)
    );
    assert!(spool::verify(&mut alone).unwrap().damage.is_empty());
}

fn segment_layout(frame: &[u8]) -> Layout {
    let (len, seq) = (u32::try_from(frame.len()).unwrap(), 1u64);
    let crc = crc32c(&[&len.to_le_bytes()[..], &seq.to_le_bytes(), frame].concat());
    let parsed = Frame::parse(frame).unwrap();
    let payload = Layout::new().raw("one Zstandard frame", parsed.payload);
    Layout::new()
        .word("marker", "TLSE")
        .u32("frame.bytes", len)
        .u64("seq", seq)
        .u32("CRC-32C of length, seq and frame", crc)
        .then(wire::frame_layout(&parsed.header, payload))
}

fn named_layout(digest: &[u8]) -> Layout {
    Layout::new()
        .raw("node", &sample::node().0)
        .u64("generation", 2)
        .raw("spool", &sample::SPOOL.0)
        .u64("seq", 1)
        .raw("digest", digest)
        .count("acknowledged", 0)
        .u64("acknowledged since the restore of (ms)", 0)
}

fn windows_layout() -> Layout {
    let offset = sample::at(1).0 - 3_600_000;
    Layout::new()
        .raw("boot", &sample::BOOT.0)
        .u64("start in boot time (ms)", 3_660_000)
        .u64("start, wall label (ms)", sample::at(2).0)
        .u64("covered until (ms)", 3_660_000)
        .u64("uncovered_ms", 0)
        .u8("was_down", 0)
        .u8("stepped", 0)
        .u8("carried", 0)
        .u8("restate", 0)
        .u8("offset_ms is there", 1)
        .u64("offset_ms i64", offset)
        .text("mapping.label", "tallyman.tenant")
        .count("mapping.rules", 1)
        .u32("rule0.when (0 label, 1 name, 2 cgroup)", 2)
        .text("rule0.pattern", "/tenants/*")
        .text("rule0.owner", "$1")
        .u64(
            "mapping_revision (ms since 1970 when the rules came)",
            now(10).wall.0,
        )
        .count("sources", 1)
        .text("source0", "slices")
        .count("namespaces", 0)
        .count("finished", 0)
        .count("holes", 0)
}

fn series_layout(place: u8, reading: u128) -> Layout {
    Layout::new()
        .u8("series.place", place)
        .u128("series.reading", reading)
        .u128("series.remainder", 0)
        .u128("series.pending", 0)
        .u8("series.seen", 0)
        .u8("series.cause", 0)
        .u8("series.birth is there", 1)
        .raw("series.birth.spool", &sample::SPOOL.0)
        .u64("series.birth.seq", 1)
        .u8("series.reported is there", 1)
        .raw("series.reported.spool", &sample::SPOOL.0)
        .u64("series.reported.seq", 1)
        .u64("series.reported.wall (ms)", sample::at(2).0)
}

fn owners_layout() -> Layout {
    let owner = Layout::new()
        .count("owners", 1)
        .u8("owner kind", 2)
        .text("owner name", "acme")
        .count("series", 11);
    let owner = (0..11).fold(owner, |layout, place| {
        layout.then(series_layout(place, if place == 0 { 2_000_000_000 } else { 0 }))
    });
    owner.u8("peak_bytes is there", 0)
}

fn workloads_layout() -> Layout {
    let head = Layout::new()
        .count("workloads", 1)
        .u32("kept (0 live, 1 held and ended, 2 unseen)", 0)
        .text("path", "/tenants/acme")
        .u64("life", 4_711)
        .u8("kind (0 Docker, 1 cgroup, 2 host)", 1)
        .text("source", "slices")
        .u8("container is there", 0)
        .text("name", "acme")
        .u8("namespace is there", 0)
        .u8("counts_network", 0)
        .u8("owner is there", 1)
        .u32("owner", 0)
        .u64("held_since (ms)", 0)
        .u8("inside", 0)
        .u8("baseline_current", 1)
        .u16("primed", 1)
        .count("counters", 1)
        .u32("counter0.row (0 whole, 1 device, 2 interface)", 0)
        .u8("counter0.place", 0)
        .u8("counter0.present", 1)
        .u64("counter0.last", 3_000_000_000)
        .u64("counter0.current", 3_000_000_000)
        .u64("counter0.carried", 0)
        .u32("counter0.stamp", 2);
    let gauges = (0..6).fold(head, |layout, at| layout.u128(&format!("integral{at}"), 0));
    let marks = (0..13).fold(gauges, |layout, at| {
        layout
            .u8(&format!("mark{at}.seen"), 0)
            .u8(&format!("mark{at}.cause"), 0)
    });
    marks.count("holes", 0)
}

fn checkpoint_layout(digest: &[u8]) -> Layout {
    let body = Layout::new()
        .u16("version", 1)
        .sized_u32("frame that it belongs to", named_layout(digest))
        .sized_u32("windows", windows_layout())
        .sized_u32("pieces with owners", Layout::new().u64("pieces with owners", 1))
        .sized_u32("owners", owners_layout())
        .sized_u32("workloads", workloads_layout());
    Layout::new()
        .word("magic", "TLYC")
        .u32("CRC-32C of the rest", crc32c(&body.bytes()))
        .then(body)
}

#[test]
fn checkpoint() {
    let made = minute();
    let digest = Frame::parse(&made.0[SEGMENT][20..]).unwrap().digest();
    let layout = checkpoint_layout(&digest.0);
    frozen(
        "checkpoint-v1.hex",
        "A checkpoint after the first window.",
        &layout,
        &made.0[CHECKPOINT],
    );
}

/// The kept files, not new ones: an agent that is upgraded must find itself.
#[test]
fn an_agent_goes_on_behind_old_files() {
    let kept = |name: &str| bytes_of(&std::fs::read_to_string(folder().join(name)).unwrap());
    let mut disk = Folder(BTreeMap::from([
        (SEGMENT.to_owned(), kept("spool-segment-v1.hex")),
        (CHECKPOINT.to_owned(), kept("checkpoint-v1.hex")),
    ]));
    let (mut agent, notices) = open(&mut disk, now(70), sample::OLD_SPOOL);
    assert!(notices.iter().all(|n| n.level == Level::Info), "{notices:?}");
    let slot = appear(&mut agent, &mut disk, now(70));
    sweep(&mut agent, &mut disk, now(70), slot, 3_500_000);
    assert!(sweep(&mut agent, &mut disk, now(120), slot, 4_000_000));
    let listed = spool::list(&mut disk).unwrap();
    let seqs: Vec<u64> = listed.iter().map(|frame| frame.seq).collect();
    assert_eq!((seqs, listed[1].spool), (vec![1, 2], sample::SPOOL));
    let len = usize::try_from(listed[1].bytes).unwrap();
    let segment = disk.read(&listed[1].segment).unwrap();
    let frame = Frame::parse(&segment[segment.len() - len..]).unwrap();
    assert_eq!(frame.header.prev_digest, listed[0].digest);
    let leaves = frame.verify(&sample::key().public()).unwrap().open().unwrap();
    let row = leaves.last().unwrap().record.groups[0].rows[0];
    assert_eq!(
        (row.from, row.to),
        (2_000_000_000, 3_000_000_000),
        "readings go on where they stopped"
    );
}
