//! Every byte format is frozen: each golden file is an annotated list of fields, written here field by field without
//! the codecs, and must be what the codecs write and read (docs/FORMATS.md; I2, I5, I10).
//!
//! `UPDATE_GOLDEN=1` rewrites the files, for a format that no release has written yet. A file of an older version is
//! never rewritten; it stays, and must still be read. Must not know what the values are good for.

// Fields with names, as bytes and as text.
#[path = "golden_formats/layout.rs"]
mod layout;
// The values that the files hold.
#[path = "golden_formats/sample.rs"]
mod sample;
// Header, record, leaf, tree, signature, frame.
#[path = "golden_formats/wire.rs"]
mod wire;
// What agent and aggregator say to each other.
#[path = "golden_formats/messages.rs"]
mod messages;
// Keys and values of the aggregator's tables.
#[path = "golden_formats/store.rs"]
mod store;
// Packed days.
#[path = "golden_formats/days.rs"]
mod days;
// Usage over holes, and what a seal is over.
#[path = "golden_formats/seals.rs"]
mod seals;
// Tables and decisions of money.
#[path = "golden_formats/money.rs"]
mod money;
// Decisions about sellers, accounts and terms.
#[path = "golden_formats/payers.rs"]
mod payers;
// Decisions about who may speak as a node.
#[path = "golden_formats/trust.rs"]
mod trust;
// The agent's segments and checkpoints.
#[path = "golden_formats/spool.rs"]
mod spool;
// Frames on foot.
#[path = "golden_formats/export.rs"]
mod export;
// Tables of numbers in the documents.
#[path = "golden_formats/numbers.rs"]
mod numbers;

/// A file that no test writes would be a format that nothing holds.
#[test]
fn no_golden_file_is_left_over() {
    let known: Vec<&str> = [
        wire::FILES,
        messages::FILES,
        store::FILES,
        days::FILES,
        seals::FILES,
        money::FILES,
        spool::FILES,
        export::FILES,
    ]
    .concat();
    for entry in std::fs::read_dir(layout::folder()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(known.contains(&name.as_str()), "no test reads {name}");
    }
    for name in known {
        assert!(layout::folder().join(name).exists(), "{name} is missing");
    }
}
