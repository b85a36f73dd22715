//! The router over a real store that was filled through the core: what an operator, a tenant or a stranger gets.

/// Who may see what.
mod access;
/// What operators change.
mod changes;
/// Invoices and ledger.
mod invoices;
/// The page's examples against real answers.
mod page;
/// Questions and their answers.
mod reads;
/// Life, readiness, metrics; real connections.
mod watch;
/// Why, what if, closing sheet.
mod why;
/// The aggregator that is asked.
mod world;
