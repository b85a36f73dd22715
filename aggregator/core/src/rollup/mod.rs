//! Batches summed up by hour: a pure fold of the log (I5). Knows no prices, no tenants and no clock.

/// Cells of open hours in memory, written with the position they contain.
pub mod cache;
/// What one owner used in one hour, and from which batches.
pub mod cell;
/// One owner's sealed day, packed.
pub mod day;
/// Adding one batch.
pub mod fold;
/// Usage over a hole, as it stands in the log.
pub mod inference;
/// Values by owner.
pub mod owners;
/// Packing sealed days, and reading them.
pub mod pack;
/// Packing an owner's day.
pub mod packer;
/// On-time and late parts of an hour.
pub mod part;
/// Lists of mostly one item.
pub mod short;
/// Sums straight from bytes.
pub mod sums;

pub use cache::Rollup;
pub use cell::{Cell, HoleNote, NodeHour, OwnerHour, Trace};
pub use inference::Inference;
pub use part::Part;
