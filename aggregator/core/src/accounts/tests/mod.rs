//! The ledger against a store in memory, through the composer: what a finance person would try.

/// Small documents.
mod drafts;
/// Random movements: what must hold whatever happens.
mod random;
/// Lists, statements, ages.
mod reports;
/// One table for each rule.
mod rules;
/// Voids, and months billed again.
mod voids;
/// A ledger that understands the tables' words.
mod world;
