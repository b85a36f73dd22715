//! Answers to questions, as plain data: pure reads over one snapshot. No arithmetic on amounts, no writes.

/// Terms of accounts.
pub mod agreed;
/// Nodes that two hosts speak for.
pub mod clones;
/// Sealed hours and judged holes.
pub mod closing;
/// Nodes, claims without a tenant, held batches.
pub mod operator;
/// Reports for spreadsheets.
pub mod report;
/// Instants and periods as text.
pub mod text;
/// Usage of a tenant: now, by time, by period.
pub mod usage;
