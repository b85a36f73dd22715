//! Planted bugs, one by one by name, at the seams of the simulation: messages, disk, store, clocks. The shipped cores
//! know nothing of them. Each must be caught by the invariants; else the simulation proves less than it says.

use tallyman_common::record::Record;
use tallyman_common::sign::NodeKey;
use tallyman_common::wire::{Frame, Header, seal};

use super::world::run_planted;

/// What is wrong in a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bug {
    /// A batch is acknowledged when it comes, not when it is durable.
    AckBeforeCommit,
    /// A resend gets a new spool by chance.
    SpoolByChance,
    /// A resend is signed anew with another time.
    RewriteOnResend,
    /// The node's disk never writes through, and says it did.
    SyncSaysYes,
    /// The store forgets watermarks: dedupe is blind.
    StoreForgetsMarks,
    /// Rows say the running total as usage.
    TotalsAsUsage,
    /// The kernel's CPU time is cut to 32 bits.
    CounterOf32Bits,
    /// An acknowledgement covers all that was sent before it.
    WatermarkByTime,
    /// A commit that failed is answered as if it had not.
    CommitSaysYes,
    /// Each start of the agent looks like a new boot.
    BootEachStart,
    /// Every second batch reports its usage twice as high.
    UsageDoubled,
    /// A sync that failed is taken for one that worked.
    FailedSyncIgnored,
    /// The store forgets which holes were judged.
    StoreForgetsJudgements,
    /// A full disk makes room with the oldest segment, acknowledged or not.
    OldestDropped,
}

/// All of them.
pub const ALL: [Bug; 14] = [
    Bug::AckBeforeCommit,
    Bug::SpoolByChance,
    Bug::RewriteOnResend,
    Bug::SyncSaysYes,
    Bug::StoreForgetsMarks,
    Bug::TotalsAsUsage,
    Bug::CounterOf32Bits,
    Bug::WatermarkByTime,
    Bug::CommitSaysYes,
    Bug::BootEachStart,
    Bug::UsageDoubled,
    Bug::FailedSyncIgnored,
    Bug::StoreForgetsJudgements,
    Bug::OldestDropped,
];

/// The first of the seeds below `seeds` that shows the bug, and how: the oracle's words, or those of an assertion of the
/// shipped code, which then begin with `assertion`.
pub fn caught(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    (0..seeds).find_map(|seed| {
        let run = std::panic::catch_unwind(|| run_planted(seed, false, Some(bug)));
        let broken = match run {
            Ok(outcome) => outcome.broken,
            Err(panic) => {
                let words = panic.downcast_ref::<String>().cloned();
                let words = words.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
                Some(format!("assertion: {}", words.unwrap_or_else(String::new)))
            }
        };
        broken.map(|words| (seed, words))
    })
}

/// What leaves a node whose sender has the bug. `again`: it was sent before; `fresh`: a spool by chance.
pub fn leaving(bug: Option<Bug>, key: &NodeKey, frame: Vec<u8>, again: bool, fresh: [u8; 16]) -> Vec<u8> {
    match bug {
        Some(Bug::SpoolByChance) if again => signed_anew(key, &frame, |header, _| {
            header.spool = tallyman_common::ids::SpoolId(fresh);
        }),
        Some(Bug::RewriteOnResend) if again => signed_anew(key, &frame, |header, _| {
            header.wall_end.0 += 1;
        }),
        Some(Bug::TotalsAsUsage) => signed_anew(key, &frame, |_, records| {
            rows(records, |from, _| *from = 0);
        }),
        Some(Bug::UsageDoubled) => signed_anew(key, &frame, |header, records| {
            if header.seq.is_multiple_of(2) {
                rows(records, |from, to| *to += *to - *from);
            }
        }),
        _ => frame,
    }
}

fn rows(records: &mut [Record], change: impl Fn(&mut u128, &mut u128)) {
    for record in records {
        for group in &mut record.groups {
            group.rows.iter_mut().for_each(|r| change(&mut r.from, &mut r.to));
        }
    }
}

/// A genuine batch, changed and signed again by its node.
pub fn signed_anew(
    key: &NodeKey,
    frame: &[u8],
    change: impl FnOnce(&mut Header, &mut Vec<Record>),
) -> Vec<u8> {
    let parsed = Frame::parse(frame).expect("agents send frames");
    let verified = parsed.verify(&key.public()).expect("signed by its node");
    let leaves = verified.open().expect("agents send genuine batches");
    let mut records: Vec<Record> = leaves.into_iter().map(|leaf| leaf.record).collect();
    let mut header = verified.header().clone();
    change(&mut header, &mut records);
    seal(header, &records, key).expect("no larger than before").1
}
