//! Questions about all accounts, on all processors over one snapshot. What is answered depends on no thread: pieces come
//! together in the order of accounts.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::past::{Prepared, Sealed};
use tallyman_aggregator_core::accounts::run::accounts;
use tallyman_aggregator_core::accounts::what_if::{Ask, WhatIf, WhatIfError, chosen, part, together};
use tallyman_aggregator_core::api::report;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::rating::Month;

use crate::limits::BILL_PIECE;

/// A month of all accounts under other prices, or of the one that is asked for.
///
/// # Errors
/// As [`tallyman_aggregator_core::accounts::what_if::what_if`].
pub fn what_if(books: Books<'_>, ask: &Ask) -> Result<WhatIf, WhatIfError> {
    let accounts = chosen(books, ask)?;
    let sealed = Sealed::read(books, ask.month)?;
    let parts = in_pieces(&accounts, |piece| {
        part((books, &sealed.past(books.store)), ask, piece)
    });
    together(books, ask, parts.into_iter().collect::<Result<_, _>>()?)
}

/// The usage of all tenants of a month, as comma-separated values.
///
/// # Errors
/// When the month lies outside the calendar or the store can't be read. What is wrong with one account is told in its rows.
pub fn usage_report(books: Books<'_>, month: Month) -> Result<String, DraftError> {
    let all: Vec<String> = accounts(books.registry).into_iter().collect();
    let prepared = Prepared::read(books, month)?;
    let parts = in_pieces(&all, |piece| {
        report::part((books, &prepared.past(books.store)), month, piece)
    });
    Ok(report::usage_csv(parts.into_iter().flatten().collect()))
}

/// What `each` makes of every piece, in their order.
fn in_pieces<T: Send>(accounts: &[String], each: impl Fn(&[String]) -> T + Sync) -> Vec<T> {
    let pieces: Vec<&[String]> = accounts.chunks(BILL_PIECE).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    let work = || {
        loop {
            let place = next.fetch_add(1, Ordering::Relaxed);
            let Some(piece) = pieces.get(place) else {
                return;
            };
            let made = each(piece);
            done.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .insert(place, made);
        }
    };
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..processors.min(pieces.len()) {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Protects: every account is asked about once, and answers stand in order, whoever was faster.
    #[test]
    fn pieces_come_in_order_and_once() {
        for count in [0, 1, BILL_PIECE, BILL_PIECE + 1, 7 * BILL_PIECE + 3] {
            let accounts: Vec<String> = (0..count).map(|it| format!("{it:06}")).collect();
            let pieces = in_pieces(&accounts, <[String]>::to_vec);
            assert_eq!(pieces.concat(), accounts);
        }
    }
}
