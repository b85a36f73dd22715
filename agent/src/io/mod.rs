//! What touches the world: clocks, files, the kernel's trees, Docker and the network. Each does one thing and knows
//! nothing of metering.

// In the order of the path, from the kernel to the aggregator.
/// Where the cgroup trees are.
pub mod cgroup;
/// The clocks.
pub mod clock;
/// Which cgroups are metered.
pub mod discover;
/// The spool's folder.
pub mod disk;
/// Labels of containers.
pub mod docker;
/// Failures of connections in words.
pub mod faults;
/// Kernel files, kept open.
pub mod files;
/// The machine.
pub mod host;
/// Keys and certificates.
pub mod keys;
/// Network namespaces.
pub mod netns;
/// Connections to the aggregator.
pub mod quic;
/// Hints that cgroups come and go.
pub mod watch;
