//! From bytes to a decision: is this batch genuine, new, a duplicate, or one that a person must look at (I2, I10)?
//!
//! [`check`] is pure and runs beside the writer; [`Marks`] belongs to the writer. Neither writes anything.

/// Decoding, signatures and content of one frame.
pub mod check;
/// Watermarks per spool, and which boot time they cover.
pub mod marks;
/// Why a batch was not taken: number, verdict and words in one table.
pub mod reason;

pub use check::{Checked, Refusal, check};
pub use marks::{Mark, Marks, NodeMarks};
pub use reason::Reason;
