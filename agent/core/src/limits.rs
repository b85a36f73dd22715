//! Every named maximum of the agent (I11), with the relations that they must keep.

use tallyman_common::wire::{FRAME_BYTES_MAX, RAW_BYTES_MAX};

/// Workloads metered at once.
pub const WORKLOADS_MAX: usize = 20_000;
/// Descriptions kept of containers that are not metered (yet).
pub const DESCRIPTIONS_MAX: usize = 4_096;
/// Workloads that ended while they waited for their description.
pub const HELD_ENDED_MAX: usize = 4_096;
/// Breakdown rows of ended workloads kept for the open window; more lose their breakdown, not their usage.
pub const FINISHED_MAX: usize = 20_000;
/// Holes kept for the open window; more are folded into one without a workload's name.
pub const HOLES_MAX: usize = 4_096;
/// Last counters of workloads that are gone, kept in case they are found again.
pub const DEPARTED_MAX: usize = 4_096;
/// Labels kept per container.
pub const LABELS_MAX: usize = 256;
/// Batches on the way at once.
pub const IN_FLIGHT_MAX: usize = 8;
/// Bytes of batches on the way at once; one batch always goes.
pub const IN_FLIGHT_BYTES_MAX: usize = 8 << 20;
/// A segment that reached this many bytes is followed by a new one.
pub const SEGMENT_BYTES_MAX: u64 = 4 << 20;
/// Leaves of one part, before compression: small enough to be retried, far below the wire's limit.
pub const PART_BYTES_MAX: usize = 1 << 20;
/// Parts of one window.
pub const PARTS_MAX: usize = 64;
/// Rows of the live view in one message.
pub const LIVE_ROWS_MAX: usize = 20_000;
/// Bytes kept free below the spool's limit, for both checkpoint slots.
pub const RESERVE_BYTES: u64 = 16 << 20;
/// The smallest limit of a spool that the agent accepts.
pub const SPOOL_BYTES_MIN: u64 = 64 << 20;

/// A new wall minute is labelled with its edge when the sweep is at most this late.
pub const EDGE_LATENESS_MS: u64 = 5_000;
/// Wall time that moved more than this against boot time was stepped.
pub const CLOCK_STEP_MS: u64 = 500;
/// A series that did not move for this long, all of it acknowledged, is retired.
pub const RETIRE_AFTER_MS: u64 = 24 * 3_600_000;
/// Workloads of the checkpoint that were not found again are remembered for this long.
pub const MISSING_KEPT_MS: u64 = 24 * 3_600_000;
/// The machine is described again after this long.
pub const INVENTORY_EVERY_MS: u64 = 3_600_000;
/// First wait after a batch was not taken; doubles each time.
pub const RETRY_FIRST_MS: u64 = 1_000;
/// Longest wait after a batch was not taken.
pub const RETRY_LAST_MS: u64 = 300_000;
/// A batch without an answer for this long ends the connection.
pub const ANSWER_MS_MAX: u64 = 60_000;

const _: () = assert!(
    PART_BYTES_MAX * 2 < RAW_BYTES_MAX,
    "one record above a part's size still fits a frame"
);
const _: () = assert!(
    SEGMENT_BYTES_MAX as usize + FRAME_BYTES_MAX < u32::MAX as usize,
    "offsets fit u32"
);
const _: () = assert!(
    RESERVE_BYTES * 2 < SPOOL_BYTES_MIN,
    "room is left beside the reserve"
);
