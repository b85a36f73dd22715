//! Every maximum of the aggregator's core, with its reason.

use tallyman_common::time::HOUR_MS;

/// Ranges of acknowledged batches above a spool's watermark; more means a sender that leaves holes on purpose, and is
/// answered with retry. An interleaved backlog needs a handful.
pub const GAP_RANGES_MAX: usize = 1_024;
/// How far ahead of the aggregator's clock a window may end, milliseconds; beyond it the batch is held.
pub const FUTURE_MS_MAX: u64 = 120_000;
/// CPU time that may fall into a window beyond `processors × length`: a held-back workload (10 s) and a late sweep.
pub const CPU_SLACK_MS: u64 = 15_000;
/// Usage of one row that is believed, base units: a petabyte held for 400 days is a thousandth of it. Four thousand
/// million rows of it still sum up within 128 bits.
pub const USAGE_PER_ROW_MAX: u128 = 1 << 96;
/// Cells (one hour of one owner) written with one commit at most, so that acknowledgements stay quick. At full load a
/// commit takes 0.2 s: this many bring 100,000 owners to the store within the 5 s, a quarter of it takes 7.7 s.
pub const FLUSH_PER_COMMIT_MAX: usize = 16_000;
/// Age at which a changed cell is written, milliseconds; readers see it within 5 s, a second of which is for the
/// commits that are full. An owner whose batches keep coming is written once in this time, whatever their number.
pub const FLUSH_AGE_MS: u64 = 3_000;
/// Owners' hours kept in memory at most; clean ones make room beyond.
pub const CACHED_HOURS_MAX: usize = 1_000_000;
/// Hours for which clean cells stay in memory.
pub const CACHE_AGE_MS: u64 = 2 * HOUR_MS;
/// Holes kept by name in one owner's hour; the rest is counted.
pub const HOLES_PER_HOUR_MAX: usize = 64;
/// How long after its end a period is complete although batches are missing, milliseconds: then the holes stand on its
/// bill.
pub const COMPLETE_AFTER_MS: u64 = 600_000;
/// Batches that are read back from a hole for the last readings of its far side: a series is idle for a day at most
/// before it is forgotten, and windows last a minute; more than two days are for outages of acknowledgement.
pub const WALK_BATCHES_MAX: usize = 4_000;
/// Hours before the log's first decision with which sealing begins at the earliest: hosts were metered for a month
/// before they were enrolled, at most.
pub const SEAL_BACK_HOURS: u32 = 31 * 24;
/// How long after its end an hour is sealed, milliseconds, unless the configuration says otherwise; with
/// its last hour a month is final.
pub const SEAL_GRACE_MS: u64 = 72 * HOUR_MS;
/// Renewal requests whose clock is further off than this are refused, milliseconds.
pub const RENEWAL_SKEW_MS_MAX: u64 = 300_000;
/// Processes that one case of a cloned node names at most; an agent that crashes and starts again all the time fills it.
pub const CLONE_HOSTS_MAX: usize = 16;
/// Proofs that one case of a cloned node names at most; the batches themselves are in the quarantine.
pub const CLONE_EVIDENCE_MAX: usize = 16;

const _: () = assert!(FLUSH_AGE_MS < 5_000);

/// Differences of one reconciliation that are told in words; the others are counted.
pub const RECONCILE_WORDS_MAX: usize = 100;
