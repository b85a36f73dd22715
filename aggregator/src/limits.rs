//! Every maximum of the shell, with its reason; overload is a designed state (I11).

use std::time::Duration;

use tallyman_aggregator_core::limits::FLUSH_AGE_MS;
use tallyman_common::message::MESSAGE_BYTES_MAX;
use tallyman_common::time::HOUR_MS;

/// Requests that wait for the writer at most; more wait in the connections' flow control.
pub const REQUESTS_MAX: usize = 1_024;
/// Batches of one commit at most, so that an answer never waits long for its group.
pub const GROUP_BATCHES_MAX: usize = 512;
/// Bytes of frames of one commit at most.
pub const GROUP_BYTES_MAX: usize = 8 << 20;
/// Groups below this many batches wait once for more.
pub const GROUP_FEW: usize = 64;
/// How long a small group waits for more.
pub const GROUP_WAIT: Duration = Duration::from_millis(2);
/// Distance of the writer's ticks, by which cells that wait are written.
pub const TICK: Duration = Duration::from_millis(250);

/// Bytes of the store's disk that are kept free: room for what the store does with what it has taken. Below it nothing
/// is written, and batches are to be sent again later.
pub const ROOM_RESERVE_BYTES: u64 = 512 << 20;
/// On a disk where that would be more, this part of it.
pub const ROOM_RESERVE_SHARE: u64 = 16;
/// Time in which a store that found no room recovers by itself; then the process ends and opens it anew.
pub const ROOM_STUCK_MAX: Duration = Duration::from_secs(60);

/// Connections at most; more are refused with words.
pub const CONNECTIONS_MAX: usize = 16_384;
/// The same from one address (a /64 of IPv6): a NAT with thousands of hosts behind it fits, and nobody takes them all.
pub const ADDRESS_CONNECTIONS_MAX: usize = 4_096;
/// Connections whose other side has not shown yet who it is, from which on a new address must first show that it can be
/// reached: a packet's address can be forged, the answer to a retry can't.
pub const HANDSHAKES_RETRY: usize = 128;
/// The same from one address, so that forged packets can't use up a host's own places.
pub const ADDRESS_HANDSHAKES_RETRY: usize = 64;
/// Connections whose other side has not shown yet who it is, at most: each may take a handshake's work, and 64 KiB.
pub const STRANGERS_MAX: usize = 1_024;
/// The same from one address: a quarter, so that it takes several hostile ones to keep a new host waiting.
pub const ADDRESS_STRANGERS_MAX: usize = 256;
/// Time of a handshake, and of a first word, at most.
pub const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Bytes of packets that are kept for one connection before it is looked at, and of all of them: what arrives in the
/// milliseconds until then.
pub const INCOMING_BYTES_MAX: u64 = 64 << 10;
/// The same of all of them.
pub const INCOMING_BYTES_ALL_MAX: u64 = 16 << 20;
/// Streams that a connection may leave unfinished until it ends: on a bad link one or two are late, a hostile peer's all
/// are, and each holds room for its batch meanwhile.
pub const UNFINISHED_STREAMS_MAX: u32 = 8;
/// Distance of log lines about refusals of one cause: a flood is counted, not written down packet by packet.
pub const WARNING_DISTANCE: Duration = Duration::from_secs(10);
/// Processes of one node that are remembered to tell a restart from a clone.
pub const VOICES_MAX: usize = 8;
/// So long after a newer process began, batches of an older one may still have been on their way.
pub const VOICE_GRACE: Duration = Duration::from_secs(10);
/// The same for a connection: a handshake needs a living process, only its end may be late.
pub const VOICE_GRACE_HELLO: Duration = Duration::from_secs(1);
/// Streams of one connection at a time: batches under way.
pub const STREAMS_MAX: u32 = 64;
/// Streams of live views at a time.
pub const LIVE_STREAMS_MAX: u32 = 4;
/// Connections of one node at a time; the oldest makes room. A crashed agent's is given up after a minute.
pub const NODE_CONNECTIONS_MAX: usize = 4;
/// Bytes of one connection that were not read yet, and that one node may have in frames under way, at most.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// The same before the other side has shown who it is.
pub const STRANGER_WINDOW: u32 = 64 << 10;
/// Time from the opening of a stream to its last byte at most.
pub const STREAM_MAX: Duration = Duration::from_secs(30);
/// Bytes of an agent's first word at most.
pub const HELLO_BYTES_MAX: usize = 4 << 10;
/// Bytes of a certificate request at most.
pub const ENROL_BYTES_MAX: usize = 16 << 10;
/// Certificate requests under way at most.
pub const ENROLS_MAX: usize = 64;
/// Bytes of a live view at most.
pub const LIVE_BYTES_MAX: usize = 1 << 20;
/// Bytes of frames being received, of all connections, at most.
pub const RECEIVING_BYTES_MAX: usize = 64 << 20;
/// Raw bytes of checked batches that wait for the writer at most; unpacked they need about four times this.
pub const WAITING_BYTES_MAX: usize = 64 << 20;
/// Frames up to this are checked where they arrive (well below a millisecond); larger ones on a thread for it.
pub const CHECK_HERE_BYTES_MAX: usize = 64 << 10;
/// The receive buffer that is asked of the kernel.
pub const SOCKET_BUFFER_BYTES: usize = 8 << 20;

/// Time that an orderly stop takes for open requests at most.
pub const STOP_REQUESTS_MAX: Duration = Duration::from_secs(5);
/// Time that an orderly stop takes for the last commit at most.
pub const STOP_WRITER_MAX: Duration = Duration::from_secs(40);
/// Bytes of one order over the admin socket; a price book is the largest.
pub const ADMIN_BYTES_MAX: usize = 4 << 20;
/// Connections of the admin socket at a time.
pub const ADMIN_CONNECTIONS_MAX: usize = 16;
/// Frames of a file that are taken in together, so that they share a commit.
pub const IMPORT_FRAMES_MAX: usize = 256;
/// Their bytes together; one frame always fits.
pub const IMPORT_BYTES_MAX: u64 = 16 << 20;
/// Seconds of life that a host's certificate may be given: shorter ones could not be renewed in time, longer ones are
/// no protection against a stolen key.
pub const CERTIFICATE_LIFE_S: std::ops::RangeInclusive<u64> = 5..=31_536_000;
/// Tokens made by one order at most.
pub const NODE_TOKENS_MAX: u32 = 10_000;

const _: () = assert!(MESSAGE_BYTES_MAX < RECEIVING_BYTES_MAX && MESSAGE_BYTES_MAX < WAITING_BYTES_MAX);
const _: () = assert!(MESSAGE_BYTES_MAX < CONNECTION_WINDOW as usize);
const _: () = assert!((MESSAGE_BYTES_MAX as u64) < IMPORT_BYTES_MAX / 2);
const _: () = assert!(ADDRESS_STRANGERS_MAX < STRANGERS_MAX && ADDRESS_CONNECTIONS_MAX < CONNECTIONS_MAX);
const _: () = assert!(HELLO_BYTES_MAX < ENROL_BYTES_MAX && (ENROL_BYTES_MAX as u32) < STRANGER_WINDOW);

/// How often the aggregator looks whether an hour is due to be sealed: sealing a minute late harms nobody.
pub const CLOSE_PERIOD: Duration = Duration::from_secs(60);
/// Wait after a draft whose inputs have changed: until the cells that changed are written and can be read.
pub const CLOSE_AGAIN: Duration = Duration::from_millis(FLUSH_AGE_MS + 1_000);

/// How often the aggregator looks whether a month became final: it does so with an hour's seal, and invoices of it are
/// three days behind its end by then.
pub const BILL_PERIOD: Duration = Duration::from_secs(60);
/// Accounts that are drafted at a time and issued in one commit: large enough that the commit's sync is nothing beside the
/// drafts, small enough that no batch waits for it.
pub const BILL_PIECE: usize = 250;
/// Pieces that are drafted and not issued yet, at most: memory does not go by the number of accounts.
pub const BILL_AHEAD: usize = 4;
/// Pieces of a run that wait for whoever follows it, at most: a quarter of a million accounts. A terminal that was halted
/// holds nobody's invoices up, it is told no more.
pub const BILL_TOLD_MAX: usize = 1_024;
/// Accounts without an invoice that a run names; the rest is in its count.
pub const BILL_REASONS_MAX: usize = 1_000;
/// Accounts without an invoice that the log names at the end of a run; the rest is asked for.
pub const BILL_LOGGED_MAX: usize = 20;
/// Runs that can be asked about.
pub const BILL_RUNS_KEPT: usize = 100;

/// How often the aggregator looks whether a day is due to be reconciled.
pub const RECONCILE_PERIOD: Duration = Duration::from_secs(10 * 60);
/// From when on after its end a day is reconciled: agents have sent what they had by then.
pub const RECONCILE_AFTER_MS: u64 = HOUR_MS;
/// Days before today that are made up for after a stop.
pub const RECONCILE_DAYS_MAX: u32 = 31;
/// Results that are kept, in days.
pub const RECONCILE_KEPT_MAX: usize = 800;
