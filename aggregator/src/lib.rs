//! The aggregator's shell: the world around the pure core. Sockets, files, keys, clock, threads, commands and pages
//! live here; what a batch or a bill means does not.

// In reading order: what a request meets first, then what carries it, then the program.
/// The monthly run.
pub mod biller;
/// Orders to a running or a stopped aggregator.
pub mod cli;
/// Closing hours.
pub mod closer;
/// The settings' file.
pub mod config;
/// Invoices and notes as files.
mod document_file;
/// What everything outside the writer holds of it.
pub mod handle;
/// The API over HTTP.
pub mod http;
/// The outside world: clock, store, keys, sockets.
pub mod io;
/// Every maximum.
pub mod limits;
/// The newest live view of each node.
pub mod live;
/// Counters for Prometheus.
pub mod metrics;
/// The monthly run.
pub mod monthly;
/// Where monthly runs are.
pub mod progress;
/// The daily comparison of the day before.
pub mod reconciler;
/// What reaches the writer.
mod requests;
/// Whether the store's disk has room.
pub mod room;
/// Start, service and orderly stop.
pub mod run;
/// Secrets that are shown once.
pub mod tokens;
/// Questions about all accounts.
pub mod whole;
/// The one thread that changes anything.
pub mod writer;

#[cfg(test)]
mod path_tests;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod trust_tests;
