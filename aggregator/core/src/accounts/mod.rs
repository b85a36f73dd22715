//! What is owed and why: documents that were issued, and the ledger of every movement.
//!
//! Invariants: I7 (printed lines sum to printed totals), I9 (what was issued never changes), I12 (the ledger balances).
//! It must not know how documents are drawn or where they are kept.

/// Invoices and notes as they are printed.
pub mod document;

pub use document::Document;
