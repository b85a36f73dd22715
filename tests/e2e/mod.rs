//! Real programs, real QUIC, real RocksDB, real kernel: what the end-to-end tests and the benchmarks share.

/// cgroups of the test's own making, and their counters.
pub mod cgroup;
/// Disks that are full, or fail.
pub mod disk;
/// Containers of the test's own making.
pub mod docker;
/// Two hosts, and a bad way between them.
pub mod hosts;
/// Plain HTTP questions.
pub mod http;
/// A store with a sealed month.
pub mod month;
/// One aggregator that only bills.
pub mod office;
/// Programs as processes, ended when dropped.
pub mod process;
/// One aggregator and one agent in a folder of their own.
pub mod site;
