//! The outside world, one file for each thing: nothing here decides what a batch or a bill means.

/// Orders from the command line to the running program.
pub mod admin;
/// The wall clock.
pub mod clock;
/// What showed a clone.
pub mod clones;
/// Who may come in.
pub mod door;
/// Certificates for agents.
pub mod enrol;
/// Failures of connections in words.
pub mod faults;
/// Whole messages off a stream.
pub mod frames;
/// Batches from agents.
pub mod ingest;
/// The authority and its certificates.
pub mod keys;
/// Which connections each node has.
pub mod links;
/// The endpoint that agents reach.
pub mod quic;
/// Nodes that joined after a backup.
pub mod readmit;
/// Results of daily comparisons.
pub mod reconciliations;
/// The ports over RocksDB.
pub mod rocks;
/// Connections over TCP, plain or TLS.
pub mod tcp;
/// Which processes spoke as a node.
pub mod voices;
/// Lines about what strangers do.
pub mod warner;

#[cfg(test)]
mod contract_tests;
