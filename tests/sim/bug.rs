//! Planted bugs, one by one by name, at the seams of the simulation: messages, disk, store, clocks. The shipped cores
//! know nothing of them. Each must be caught by the invariants; else the simulation proves less than it says.

use std::collections::BTreeMap;

use tallyman_aggregator_core::aggregator::Event;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::log::{Entry, Fate, position_key};
use tallyman_aggregator_core::ports::{Changes, Store, Table};
use tallyman_aggregator_core::restart::{META_POSITION, newest_position};
use tallyman_aggregator_core::seal::chain::Chain;
use tallyman_aggregator_core::seal::judge::judge;
use tallyman_common::record::{Birth, Dims, Group, Record, Row};
use tallyman_common::sign::NodeKey;
use tallyman_common::time::{Hour, WallMs};
use tallyman_common::wire::{Frame, Header, seal};

use super::hub::Hub;
use super::store::SimStore;
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
    /// Each batch says what was used since the last one, and no more: series of their own, all from 0 on.
    DeltasNotReadings,
    /// Usage over a hole is inferred as soon as something came behind it, as if nothing of it could come any more.
    InferredBeforeClose,
    /// A batch that comes again before the commit of its own is counted again: only the store is asked.
    BlindToPending,
    /// A commit whose end nobody heard loses what finds the invoices in it: they are issued again.
    InvoiceTwice,
    /// The store never knows up to where late usage was billed.
    LatePartsTwice,
    /// The store forgets postings of the journal.
    PostingLost,
    /// The store forgets sums of the ledger's accounts on one side.
    BalanceLost,
    /// Packed days are not told what came late.
    PackedDaysStand,
    /// A commit whose end nobody heard loses what finds the payment in it: entered again it is booked again.
    PaymentTwice,
    /// Nobody notes a restore: numbers go on as if nothing had been given since the copy.
    NumbersGoOn,
}

impl Bug {
    /// The agent puts something wrong into its rows: its disk holds what it sends. The seam is the link, where the
    /// shipped core's frames become others, so the oracle takes the one for the other.
    pub fn is_of_the_rows(self) -> bool {
        matches!(self, Self::UsageDoubled | Self::DeltasNotReadings)
    }
}

/// All of them.
pub const ALL: [Bug; 24] = [
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
    Bug::DeltasNotReadings,
    Bug::InferredBeforeClose,
    Bug::BlindToPending,
    Bug::InvoiceTwice,
    Bug::LatePartsTwice,
    Bug::PostingLost,
    Bug::BalanceLost,
    Bug::PackedDaysStand,
    Bug::PaymentTwice,
    Bug::NumbersGoOn,
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
        Some(Bug::DeltasNotReadings) => signed_anew(key, &frame, |header, records| {
            let (spool, seq) = (header.spool, header.seq);
            records
                .iter_mut()
                .for_each(|r| as_deltas(r, Birth { spool, seq }));
        }),
        _ => frame,
    }
}

/// One group for each set of dimensions, born with this batch.
fn as_deltas(record: &mut Record, birth: Birth) {
    let mut by_dims: BTreeMap<Dims, Vec<Row>> = BTreeMap::new();
    for group in record.groups.drain(..) {
        let deltas = group.rows.into_iter().map(|row| Row {
            from: 0,
            to: row.to - row.from,
            ..row
        });
        by_dims.entry(group.dims).or_default().extend(deltas);
    }
    for (dims, mut rows) in by_dims {
        rows.sort_by_key(|row| row.meter);
        record.groups.push(Group { dims, birth, rows });
    }
}

/// Infers over every hole at once; nothing of a hole is taken for missing, so that what comes takes nothing back.
pub fn infer_early(hub: &mut Hub, now: WallMs) {
    let Some(process) = hub.process.as_mut() else {
        return;
    };
    let books = Books {
        store: &hub.store,
        registry: process.registry(),
        marks: process.marks(),
        position: process.position(),
        now,
    };
    let mut drafts = Vec::new();
    for node in books.registry.nodes.keys() {
        let marks = books.marks.node(*node);
        let chain = marks.map(|marks| Chain::of_doubtful(books, *node, marks).expect("it reads"));
        let Some(chain) = chain.flatten() else { continue };
        let hole = chain.first_unjudged(books, Hour(u32::MAX));
        if let Some(hole) = hole.expect("it reads") {
            drafts.push(judge(books, &chain, hole).expect("it reads"));
        }
    }
    for mut draft in drafts {
        draft.judgement.missing.clear();
        let event = Event::Judge(u64::MAX, Box::new(draft));
        process.step(now, event, &hub.store).expect("it reads");
    }
}

/// Puts batches into the log once more.
pub fn count_again(store: &mut SimStore, now: WallMs, frames: &[Vec<u8>]) {
    let mut position = newest_position(store).expect("it reads");
    let mut changes = Changes::default();
    for frame in frames {
        position += 1;
        let entry = Entry::encode(Fate::Counted, now, frame);
        changes.put(Table::Log, position_key(position), entry);
    }
    let newest = position.to_be_bytes().to_vec();
    changes.put(Table::Meta, META_POSITION.to_vec(), newest);
    store.inner.commit(&changes).expect("the store in memory works");
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
