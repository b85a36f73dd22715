//! The aggregator's path, pure: batches in, a log, cells, rated lines and bills out.
//!
//! No clock, disk, network or thread is known here: time and storage come in as arguments (`ports`), so that the same
//! code runs in the shell, in tests and in the simulation.

// In reading order: the path first, then what holds it together.
/// What is owed and why: documents and the ledger.
pub mod accounts;
/// The composer.
pub mod aggregator;
/// Answers to questions, as plain data.
pub mod api;
/// Previews of bills with their completeness.
pub mod bills;
/// Comma-separated values.
pub mod csv;
/// Looking batches up by their place.
pub mod headers;
/// Is a batch genuine, new, a duplicate, or one for a person to look at?
pub mod ingest;
/// Every maximum.
pub mod limits;
/// The one log of batches and decisions.
pub mod log;
/// A store in memory.
pub mod memory;
/// The durable port.
pub mod ports;
/// Sums of base units in, exact amounts out.
pub mod rating;
/// Are the cells what the log says?
pub mod recompute;
/// Do a day's books agree with each other?
pub mod reconcile;
/// Who is who, folded from the decisions.
pub mod registry;
/// Coming back after a stop.
pub mod restart;
/// Batches summed up by hour.
pub mod rollup;
/// When an hour's values stay as they are, and what holes in it hide.
pub mod seal;
/// The closing sheet of a month.
pub mod sheet;
