//! Every maximum of the HTTP side, with its reason (I11).

use std::time::Duration;

/// Open connections at most; more wait in the listener.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Time from a connection's opening, or its last answer, to the end of the next request's head at most.
pub const HEAD_MAX: Duration = Duration::from_secs(30);
/// Bytes of a request's head at most.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Bytes of a request's body at most; terms of a tenant are the largest.
pub const BODY_BYTES_MAX: usize = 64 << 10;
/// Time of one request, body included, at most.
pub const REQUEST_MAX: Duration = Duration::from_secs(30);
/// Reads of the store at a time; each takes one thread, and ingest needs the processors too.
pub const READS_MAX: usize = 8;
/// How long a request waits for its turn to read at most.
pub const READ_WAIT_MAX: Duration = Duration::from_secs(10);
/// How long the writer may take to say that it lives.
pub const PING_MAX: Duration = Duration::from_secs(5);
/// Parameters of one request at most.
pub const PARAMETERS_MAX: usize = 16;
/// Characters of a reason for a decision at most.
pub const REASON_CHARS_MAX: usize = 1_000;
/// Claims of one tenant at most.
pub const CLAIMS_MAX: usize = 1_000;
/// Hours of one look at unregistered claims when none are named.
pub const UNCONFIRMED_HOURS: u32 = 24;
/// Hours of one look at unregistered claims at most: all owners' cells of these hours are read.
pub const UNCONFIRMED_HOURS_MAX: u32 = 24 * 31;
/// Invoices of one page when no number is named.
pub const INVOICES_PAGE: usize = 100;
/// Invoices of one page at most.
pub const INVOICES_MAX: usize = 1_000;
/// Postings of one page, but those of one decision stay together.
pub const POSTINGS_MAX: usize = 1_000;
/// A live view older than this says nothing about now, milliseconds.
pub const LIVE_AGE_MS_MAX: u64 = 60_000;

const _: () = assert!(READ_WAIT_MAX.as_secs() < REQUEST_MAX.as_secs());
const _: () = assert!(PING_MAX.as_secs() < REQUEST_MAX.as_secs());
