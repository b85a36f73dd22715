//! Real programs, real QUIC, real RocksDB, real kernel: what the end-to-end tests and the benchmarks share.

/// cgroups of the test's own making, and their counters.
pub mod cgroup;
/// Containers of the test's own making.
pub mod docker;
/// Plain HTTP questions.
pub mod http;
/// Programs as processes, ended when dropped.
pub mod process;
/// One aggregator and one agent in a folder of their own.
pub mod site;
