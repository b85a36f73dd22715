//! Questions about all accounts, on all processors over one snapshot. What is answered depends on no thread: pieces come
//! together in the order of accounts.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::past::{Prepared, Sealed};
use tallyman_aggregator_core::accounts::run::accounts;
use tallyman_aggregator_core::accounts::what_if::{Ask, WhatIf, WhatIfError, chosen, part, together};
use tallyman_aggregator_core::api::report;
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::rating::Month;
use tallyman_aggregator_core::sheet::{Closing, Metered, Sheet, SheetError};
use tallyman_common::money::Currency;

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
    let prepared = Prepared::read_whole(books, month)?;
    let parts = in_pieces(&all, |piece| {
        report::part((books, &prepared.past(books.store)), month, piece)
    });
    Ok(report::usage_csv(parts.into_iter().flatten().collect()))
}

/// The closing sheet of a month.
///
/// # Errors
/// As [`tallyman_aggregator_core::sheet::sheet`].
pub fn closing_sheet(
    books: Books<'_>,
    month: Month,
    currency: Option<Currency>,
) -> Result<Sheet, SheetError> {
    let closing = Closing::begin(books, month, currency)?;
    let add = |sums: &mut Metered, piece: &_| closing.add_metered(sums, piece);
    let metered = added_up(&closing.pieces(), add)?;
    let parts = in_pieces(closing.payers(), |piece| closing.billed(piece));
    closing.together(&metered, parts.into_iter().collect::<Result<_, _>>()?)
}

/// What `each` makes of every piece, in their order.
fn in_pieces<A: Sync, T: Send>(accounts: &[A], each: impl Fn(&[A]) -> T + Sync) -> Vec<T> {
    let pieces: Vec<&[A]> = accounts.chunks(BILL_PIECE).collect();
    let (next, done) = (AtomicUsize::new(0), Mutex::new(BTreeMap::new()));
    on_all_processors(pieces.len(), || {
        while let Some((place, piece)) = taken(&next, &pieces) {
            let made = each(piece);
            locked(&done).insert(place, made);
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_values().collect()
}

/// Sums of all pieces, one for each processor, so that memory does not grow with the pieces; which piece is in which of them
/// nobody may depend on. Of several faults the one of the first piece is told.
fn added_up<P: Sync, T: Default + Send, E: Send>(
    pieces: &[P],
    add: impl Fn(&mut T, &P) -> Result<(), E> + Sync,
) -> Result<Vec<T>, E> {
    let (next, done) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let faults = Mutex::new(BTreeMap::new());
    on_all_processors(pieces.len(), || {
        let mut sums = T::default();
        while let Some((place, piece)) = taken(&next, pieces) {
            if let Err(fault) = add(&mut sums, piece) {
                locked(&faults).insert(place, fault);
                return;
            }
        }
        locked(&done).push(sums);
    });
    let faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    match faults.into_values().next() {
        Some(first) => Err(first),
        None => Ok(done.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

/// The next piece that nobody has, and its place.
fn taken<'p, P>(next: &AtomicUsize, pieces: &'p [P]) -> Option<(usize, &'p P)> {
    let place = next.fetch_add(1, Ordering::Relaxed);
    pieces.get(place).map(|piece| (place, piece))
}

fn on_all_processors(pieces: usize, work: impl Fn() + Sync) {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..processors.min(pieces) {
            scope.spawn(&work);
        }
    });
}

fn locked<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Protects: every piece is in exactly one sum, and the first fault is told.
    #[test]
    fn pieces_are_added_up_once() {
        let pieces: Vec<u64> = (0..1_000).collect();
        let add = |sum: &mut u64, piece: &u64| {
            *sum += piece;
            Ok::<_, u64>(())
        };
        let sums = added_up(&pieces, add).unwrap();
        assert_eq!(sums.iter().sum::<u64>(), 499_500);
        let fault = |_: &mut u64, piece: &u64| if *piece < 300 { Ok(()) } else { Err(*piece) };
        assert_eq!(added_up(&pieces, fault), Err(300));
        assert_eq!(added_up(&[], fault), Ok(Vec::new()));
    }
}
