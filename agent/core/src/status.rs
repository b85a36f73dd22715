//! What the agent says of itself: for `status`, health checks and the service manager's status line.

use serde::Serialize;

use crate::ship::Resend;
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::time::{WallMs, Window};

/// The agent at one moment. Counts of things, bytes where the name says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Who.
    pub node: NodeId,
    /// The open spool.
    pub spool: SpoolId,
    /// Newest durable batch; 0 when there is none.
    pub last_seq: Seq,
    /// The last window that became durable since this process began.
    pub last_window: Option<Window>,
    /// Where the open window began.
    pub open_since: WallMs,
    /// Workloads that are metered now.
    pub workloads: u64,
    /// Containers that wait for their description.
    pub held_workloads: u64,
    /// Series that are not retired.
    pub series: u64,
    /// Bytes of segments and quarantine.
    pub spool_bytes: u64,
    /// Their limit.
    pub spool_bytes_max: u64,
    /// Batches that the aggregator has not acknowledged.
    pub unacked: u64,
    /// Wall label of the oldest of them.
    pub oldest_unacked: Option<WallMs>,
    /// Batches that wait for an operator at the aggregator.
    pub held_batches: u64,
    /// The resend by hand, if one was asked for since this process began.
    pub resend: Resend,
    /// True while a session stands.
    pub connected: bool,
    /// Minutes of a window now; more than 1 near the spool's limit.
    pub window_minutes: u64,
    /// Why the last attempt to close a window failed, while it stays open for that.
    pub close_fault: Option<String>,
    /// Faults of kernel files since this process began.
    pub read_faults: u64,
}
