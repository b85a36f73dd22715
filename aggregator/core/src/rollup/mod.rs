//! Batches summed up by hour: a pure fold of the log (I5). Knows no prices, no tenants and no clock.

/// Cells of open hours in memory, written with the position they contain.
pub mod cache;
/// What one owner used in one hour, and from which batches.
pub mod cell;
/// Adding one batch.
pub mod fold;
/// Values by owner.
pub mod owners;
/// Lists of mostly one item.
pub mod short;

pub use cache::Rollup;
pub use cell::{Cell, HoleNote, NodeHour, OwnerHour, Trace};
