//! What is owed and why: documents that were issued, and the ledger of every movement.
//!
//! Invariants: I7 (printed lines sum to printed totals), I9 (what was issued never changes), I12 (the ledger balances,
//! and a trace takes effect once). The path is [`decide()`]: what is asked is checked against the tables, becomes a decision
//! with every amount, and [`fold()`] makes the tables of it. It must not know how documents are drawn or how usage becomes lines.

// In reading order: what is asked and answered, the two steps, then what they stand on.
/// Late usage of months that have their invoices.
pub mod adjust;
/// Fees that the month before was billed.
mod ahead;
/// What can be asked, and what is answered.
pub mod command;
/// From what is asked to a decision.
mod decide;
/// Invoices and notes as they are printed.
pub mod document;
/// From an account's month to a draft of its invoice.
pub mod draft;
/// Credits whose end has come.
pub mod expiry;
/// Why an amount is what it is.
pub mod explain;
/// From a decision to the tables.
mod fold;
/// Instants in JSON.
mod instant;
/// Accounts, postings, balances, journal.
pub mod ledger;
/// An account's month and what rates it.
pub mod month;
/// Do a document's sums hold?
mod paper;
/// What drafts of many accounts share.
pub mod past;
/// Taxes of notes by rate.
mod rates;
/// Answers for lists and reports.
pub mod reads;
/// Are the tables what the log says?
pub mod rebuild;
/// The monthly run.
pub mod run;
/// What a credit can be bound to.
pub mod scope;
/// Parts of a draft.
mod sections;
/// Numbers of documents.
mod series;
/// What became of a document.
pub mod standing;
/// Keys and values of the tables of money.
pub mod tables;
/// Whom a run can't bill although there is usage.
mod unbilled;

/// A month under another price book.
pub mod what_if;

#[cfg(test)]
mod tests;

pub use command::{Booked, MoneyCommand};
pub use decide::{Context, Drafted, Verdict, decide};
pub use document::Document;
pub use fold::fold;
pub use standing::{Standing, Status};
pub use tables::{AccountsError, Overlay, Pending};
