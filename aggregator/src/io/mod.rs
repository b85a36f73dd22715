//! The outside world, one file for each thing: nothing here decides what a batch or a bill means.

/// The wall clock.
pub mod clock;
/// The ports in memory.
pub mod memory;
/// The ports over RocksDB.
pub mod rocks;
/// Connections over TCP, plain or TLS.
pub mod tcp;
