//! Header, record, leaf, salts, tree, signature and frame.

use tallyman_common::codec;
use tallyman_common::ids::Digest;
use tallyman_common::record::Record;
use tallyman_common::sign::Purpose;
use tallyman_common::tree;
use tallyman_common::wire::{CODEC_NONE, CODEC_ZSTD, Frame, Header, seal};

use crate::layout::{Layout, bytes_of, folder, frozen, golden, updates};
use crate::sample;

pub const FILES: &[&str] = &[
    "header-v1.hex",
    "record-v1.hex",
    "record-host-v1.hex",
    "leaf-v1.hex",
    "salts-v1.hex",
    "tree-v1.hex",
    "signature-v1.hex",
    "frame-none-v1.hex",
    "frame-zstd-v1.hex",
];

pub fn header_layout(h: &Header) -> Layout {
    Layout::new()
        .u16("version", h.version)
        .raw("node", &h.node.0)
        .raw("spool", &h.spool.0)
        .u16("partition", h.partition)
        .u64("seq", h.seq)
        .raw("prev_digest", &h.prev_digest.0)
        .raw("boot", &h.boot.0)
        .u64("boot_start (ms)", h.boot_start.0)
        .u64("boot_end (ms)", h.boot_end.0)
        .u64("wall_start (ms)", h.wall_start.0)
        .u64("wall_end (ms)", h.wall_end.0)
        .u16("part", h.part)
        .u16("parts", h.parts)
        .u16("flags", h.flags)
        .u64("mapping_revision", h.mapping_revision)
        .u32("cpus", h.cpus)
        .u32("leaves", h.leaves)
        .raw("root", &h.root.0)
        .u32("raw_bytes", h.raw_bytes)
        .u8("codec", h.codec)
}

fn rows_layout() -> Layout {
    let row = |layout: Layout, name: &str, numbers: (u16, u8, u8), from: u128, to: u128| {
        layout
            .u16(&format!("{name}.meter"), numbers.0)
            .u8(&format!("{name}.state"), numbers.1)
            .u8(&format!("{name}.cause"), numbers.2)
            .u64(&format!("{name}.covered_ms"), 60_000)
            .u128(&format!("{name}.from"), from)
            .u128(&format!("{name}.to"), to)
    };
    let first = Layout::new()
        .count("groups", 2)
        .count("group0.dims", 0)
        .raw("group0.birth.spool", &sample::SPOOL.0)
        .u64("group0.birth.seq", 1)
        .count("group0.rows", 3);
    let first = row(first, "row0", (1, 0, 0), 5, 60_000_000_005);
    let first = row(first, "row1", (10, 1, 1), 0, 1 << 70);
    let first = row(first, "row2", (15, 2, 6), 9, 9);
    let second = first
        .count("group1.dims", 1)
        .text("group1.dim0.name", "region")
        .text("group1.dim0.value", "东")
        .raw("group1.birth.spool", &sample::OLD_SPOOL.0)
        .u64("group1.birth.seq", 77)
        .count("group1.rows", 1);
    row(second, "row0", (22, 0, 0), 0, 1)
}

fn workloads_layout() -> Layout {
    Layout::new()
        .count("workloads", 1)
        .text("workload0.id", "0123abc")
        .u64("workload0.life", 4_711)
        .text("workload0.name", "web-1")
        .u8("workload0.is_final", 1)
        .count("workload0.usage", 1)
        .u16("usage0.meter", 1)
        .u128("usage0.value", 60_000_000_000)
}

fn peaks_layout() -> Layout {
    Layout::new()
        .count("peaks", 1)
        .u16("peak0.meter", 10)
        .count("peak0.dims", 0)
        .u128("peak0.level", 1 << 30)
}

fn holes_layout() -> Layout {
    Layout::new()
        .count("holes", 2)
        .u16("hole0.meter (0: all)", 0)
        .u8("hole0.cause", 1)
        .u64("hole0.boot_start (ms)", 3_600_000)
        .u64("hole0.boot_end (ms)", 3_610_000)
        .text("hole0.workload", "")
        .u16("hole1.meter", 15)
        .u8("hole1.cause", 6)
        .u64("hole1.boot_start (ms)", 3_600_000)
        .u64("hole1.boot_end (ms)", 3_660_000)
        .text("hole1.workload", "0123abc")
}

fn record_layout() -> Layout {
    Layout::new()
        .u8("owner kind", 2)
        .text("owner name", "华东-acme")
        .count("sections", 5)
        .u16("section kind", 1)
        .sized("rows", rows_layout())
        .u16("section kind", 2)
        .sized("workloads", workloads_layout())
        .u16("section kind", 3)
        .sized("peaks", peaks_layout())
        .u16("section kind", 5)
        .sized("holes", holes_layout())
        .u16("section kind (unknown)", 900)
        .sized("unknown", Layout::new().raw("unknown", &[0xca, 0xfe]))
}

fn host_record_layout() -> Layout {
    let inventory = Layout::new()
        .text("host_name", "node-1")
        .text("os", "Debian GNU/Linux 12")
        .text("kernel", "6.1.0")
        .u32("cpus", 8)
        .u64("memory_bytes", 32 << 30)
        .text("agent_version", "0.1.0");
    Layout::new()
        .u8("owner kind", 0)
        .text("owner name", "")
        .count("sections", 1)
        .u16("section kind", 6)
        .sized("inventory", inventory)
}

fn bare_record_layout() -> Layout {
    Layout::new()
        .u8("owner kind", 1)
        .text("owner name", "")
        .count("sections", 0)
}

#[test]
fn header() {
    let (header, _) = seal(sample::draft(), &[sample::full_record()], &sample::key()).unwrap();
    let layout = header_layout(&header);
    let kept = frozen(
        "header-v1.hex",
        "A batch's header: the bytes that a node signs.",
        &layout,
        &codec::encode(&header),
    );
    assert_eq!(codec::decode::<Header>("header", &kept).unwrap(), header);
    assert_eq!(header.digest(), Digest::of(&[&kept]));
}

#[test]
fn record_with_every_section() {
    let record = sample::full_record();
    let title = "A tenant's record: rows, workloads, peaks, holes and a section of an unknown kind.";
    let kept = frozen("record-v1.hex", title, &record_layout(), &record.encode());
    let read = Record::decode(&kept).unwrap();
    assert_eq!(read, record);
    assert_eq!(read.encode(), kept, "an unknown section is carried on unchanged");
}

#[test]
fn record_of_the_host() {
    let record = sample::host_record();
    let title = "The machine's own record with its inventory.";
    let kept = frozen(
        "record-host-v1.hex",
        title,
        &host_record_layout(),
        &record.encode(),
    );
    assert_eq!(Record::decode(&kept).unwrap(), record);
}

fn salt_of(record: &Record) -> [u8; tree::SALT_BYTES] {
    tree::salt(
        &sample::key().salt_secret(),
        sample::SPOOL,
        sample::SEQ,
        &record.owner,
    )
}

#[test]
fn leaf() {
    let record = sample::full_record();
    let leaf = [&salt_of(&record)[..], &record.encode()].concat();
    let layout = Layout::new().raw("salt", &salt_of(&record)).then(record_layout());
    frozen(
        "leaf-v1.hex",
        "A leaf of a batch: what is hashed into the tree.",
        &layout,
        &leaf,
    );
}

#[test]
fn salts() {
    let secret = Digest::of(&[b"tallyman/salt-secret/1\0", &sample::SEED]).0;
    let owner = sample::claim();
    let salt = Digest::of(&[
        b"tallyman/salt/1\0",
        &secret,
        &sample::SPOOL.0,
        &sample::SEQ.to_le_bytes(),
        &[2],
        owner.name().as_bytes(),
    ]);
    assert_eq!(sample::key().salt_secret(), secret);
    assert_eq!(salt_of(&sample::full_record()), salt.0[..16]);
    let layout = Layout::new()
        .raw("seed of the signing key", &sample::SEED)
        .raw("salt secret", &secret)
        .raw("spool", &sample::SPOOL.0)
        .u64("seq", sample::SEQ)
        .u8("owner kind", 2)
        .word("owner name", owner.name())
        .raw("salt", &salt.0[..16]);
    golden(
        "salts-v1.hex",
        "How a leaf's salt follows from the signing key. Not a message; a derivation.",
        &layout,
    );
}

#[test]
fn tree_and_proof() {
    let leaves: Vec<Digest> = (0u8..5).map(|n| tree::leaf_hash(&[n])).collect();
    let node = |left: &Digest, right: &Digest| Digest::of(&[&[1], &left.0, &right.0]);
    let left = node(&node(&leaves[0], &leaves[1]), &node(&leaves[2], &leaves[3]));
    let root = node(&left, &leaves[4]);
    assert_eq!(tree::root(&leaves), root);
    let proof = tree::inclusion_proof(&leaves, 2);
    assert_eq!(proof, [leaves[3], node(&leaves[0], &leaves[1]), leaves[4]]);
    let mut layout = Layout::new();
    for (number, leaf) in leaves.iter().enumerate() {
        layout = layout.raw(
            &format!("hash of leaf {number}, whose only byte is {number}"),
            &leaf.0,
        );
    }
    layout = layout.raw("root", &root.0);
    for (number, hash) in proof.iter().enumerate() {
        layout = layout.raw(&format!("proof of leaf 2, hash {number}"), &hash.0);
    }
    golden(
        "tree-v1.hex",
        "A tree of five leaves and the proof of one. Not a message; a derivation.",
        &layout,
    );
    assert!(tree::proves(leaves[2], 2, 5, &proof, &root));
}

#[test]
fn signature_is_deterministic_ed25519() {
    let header = codec::encode(&sample::draft());
    let signature = sample::key().sign(Purpose::Batch, &header);
    let other = sample::key().sign(Purpose::Certificate, &header);
    let layout = Layout::new()
        .raw("seed", &sample::SEED)
        .raw("public key", &sample::key().public().to_bytes())
        .raw("node", &sample::node().0)
        .then(header_layout(&sample::draft()))
        .raw("signature, domain `tallyman/batch/1` and a zero byte", &signature)
        .raw(
            "signature, domain `tallyman/certificate/1` and a zero byte",
            &other,
        );
    golden(
        "signature-v1.hex",
        "Signatures of one key over one (unsealed) header. Not a message; a derivation.",
        &layout,
    );
    assert!(
        sample::key()
            .public()
            .verifies(Purpose::Batch, &header, &signature)
    );
    assert_eq!(
        sample::node().0,
        Digest::of(&[b"tallyman/node/1\0", &sample::key().public().to_bytes()]).0[..16]
    );
}

pub fn frame_layout(header: &Header, payload: Layout) -> Layout {
    let signature = sample::key().sign(Purpose::Batch, &codec::encode(header));
    let bytes = header_layout(header);
    let length = u16::try_from(bytes.bytes().len()).unwrap();
    Layout::new()
        .word("magic", "TLYM")
        .u16("header.bytes", length)
        .then(bytes)
        .raw("signature", &signature)
        .sized_u32("payload", payload)
}

fn opened(frame: &[u8]) -> Vec<Record> {
    let verified = Frame::parse(frame)
        .unwrap()
        .verify(&sample::key().public())
        .unwrap();
    verified
        .open()
        .unwrap()
        .into_iter()
        .map(|leaf| leaf.record)
        .collect()
}

#[test]
fn frame_with_leaves_as_they_are() {
    let record = sample::bare_record();
    let (header, frame) = seal(sample::draft(), std::slice::from_ref(&record), &sample::key()).unwrap();
    assert_eq!(header.codec, CODEC_NONE, "too small to be compressed");
    let leaf = Layout::new()
        .raw("salt", &salt_of(&record))
        .then(bare_record_layout());
    let layout = frame_layout(&header, Layout::new().sized_u32("leaf", leaf));
    let kept = frozen(
        "frame-none-v1.hex",
        "A frame whose leaves are not compressed.",
        &layout,
        &frame,
    );
    assert_eq!(opened(&kept), [record]);
}

/// Compressed bytes may change with the library; the header, the signature and what comes out may not.
#[test]
fn frame_with_compressed_leaves() {
    let (host, full) = (sample::host_record(), sample::full_record());
    let (header, frame) = seal(sample::draft(), &[full.clone(), host.clone()], &sample::key()).unwrap();
    assert_eq!(header.codec, CODEC_ZSTD);
    let name = "frame-zstd-v1.hex";
    if updates() && !folder().join(name).exists() {
        let payload = Layout::new().raw("one Zstandard frame", Frame::parse(&frame).unwrap().payload);
        golden(
            name,
            "A frame as a first release wrote it. Never rewritten: it must open for good.",
            &frame_layout(&header, payload),
        );
    }
    let kept = bytes_of(&std::fs::read_to_string(folder().join(name)).unwrap());
    let old = Frame::parse(&kept).unwrap();
    let payload = Layout::new().raw("one Zstandard frame", old.payload);
    assert_eq!(
        frame_layout(&header, payload).bytes(),
        kept,
        "header or signature changed"
    );
    assert_eq!(opened(&kept), [host, full]);
}
