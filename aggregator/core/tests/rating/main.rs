//! Tests of the rating core and of statements from outside: golden bills, a naive model over random books and usage, laws
//! that every bill keeps, calendars, and what books and terms are refused for.
//!
//! Nothing here calls the arithmetic that it checks: expected figures come from people or from fractions (`exact`).

// Fractions.
mod exact;
// Seeded chance.
mod chance;
// Sums that people wrote.
mod hand;
// The product, from texts.
mod product;
// Tables of its answers.
mod table;
// Golden bills.
mod golden;
// The naive model: hours.
mod model;
// The naive model: months.
mod month;
// The naive model: fees.
mod fees;
// Months of zones, by hand.
mod zones;
// Random worlds.
mod worlds;
// Random worlds as TOML.
mod texts;
// The product against the model.
mod against;
// Laws of every bill.
mod laws;
// Bounds at -ε, 0, +ε, and the price lists of the user.
mod bounds;
// Months, days, zones.
mod calendars;
// What is refused.
mod refusals;
