//! Every maximum of the shell, with its reason; overload is a designed state (I11).

use std::time::Duration;

use tallyman_agent_core::limits::IN_FLIGHT_MAX;

/// Bytes of one order over the control socket.
pub const ORDER_BYTES_MAX: u64 = 1 << 20;
/// Folders of the cgroup tree that are looked at.
pub const FOLDERS_MAX: usize = 65_536;
/// How deep the cgroup tree is looked through.
pub const DEPTH_MAX: usize = 32;
/// Distance of full looks at the cgroup tree, nanoseconds; hints of the kernel come in between.
pub const RESCAN_NS: u64 = 30_000_000_000;
/// Distance of looks at a new container's network while it is being started, nanoseconds.
pub const NETWORK_LOOK_NS: u64 = 20_000_000;
/// A container that is in the host's network this long after it came is there to stay, nanoseconds.
pub const NETWORK_SETTLED_NS: u64 = 1_000_000_000;
/// Messages that wait for the sampler at most; more wait at their sources.
pub const INBOX_MAX: usize = 1_024;
/// Messages taken between two looks at the clock.
pub const INBOX_TAKEN_MAX: usize = 256;
/// Batches that wait for the network at most; the core sends fewer.
pub const OUTBOX_MAX: usize = 64;

/// Time of a handshake with the aggregator, and of its first answer.
pub const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A connection without a word from the aggregator ends after this.
pub const IDLE_MAX: Duration = Duration::from_secs(30);
/// Below the life of a mapping in a home router or firewall (RFC 9308 §3.2).
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// First pause before the next attempt to connect; doubles each time, and chance takes any part of it.
pub const BACKOFF_FIRST: Duration = Duration::from_secs(1);
/// Longest pause before the next attempt to connect.
pub const BACKOFF_LAST: Duration = Duration::from_secs(60);
/// Time that an orderly stop takes for batches on the way.
pub const STOP_FLUSH_MAX: Duration = Duration::from_secs(5);
/// Distance of looks at the certificate's age.
pub const RENEWAL_LOOK: Duration = Duration::from_secs(600);
/// A clock that differs more from the aggregator's is told, milliseconds.
pub const SKEW_MS_TOLD: u64 = 30_000;
/// Bytes of an answer on the first stream or of a certificate.
pub const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Distance of full looks at Docker's containers.
pub const DOCKER_LIST: Duration = Duration::from_secs(30);
/// Time of one answer of Docker.
pub const DOCKER_ANSWER_MAX: Duration = Duration::from_secs(10);
/// Pause before Docker is followed anew after a session that stood.
pub const DOCKER_PAUSE: Duration = Duration::from_millis(100);
/// Images whose labels are remembered.
pub const IMAGES_MAX: usize = 1_024;

/// Descriptions kept for the advice on owners; more than these are not needed to give it.
pub const DESCRIPTIONS_MAX: usize = 1_024;

/// Notices of one kind logged in a minute.
pub const NOTICES_MAX: u64 = 20;
/// How long a container waits for its description before it counts as unattributed, milliseconds.
pub const HOLD_MS: u64 = 10_000;
/// A container that is older than this was described, or never will be, nanoseconds.
pub const DESCRIBED_NS: u64 = (HOLD_MS + 2_000) * 1_000_000;
/// Distance of live views, milliseconds.
pub const LIVE_EVERY_MS: u64 = 5_000;
/// Distance of reads of the costly files (`memory.stat`), seconds; each minute's edge reads them too.
pub const FULL_EVERY_S: u64 = 10;
/// Distance of status files, nanoseconds; a closed window writes one too.
pub const STATUS_EVERY_NS: u64 = 10_000_000_000;
/// Time that an orderly stop takes for the network at most.
pub const STOP_NETWORK_MAX: Duration = Duration::from_secs(10);

const _: () = assert!(
    OUTBOX_MAX > IN_FLIGHT_MAX * 2,
    "what the core sends at once always has room"
);
