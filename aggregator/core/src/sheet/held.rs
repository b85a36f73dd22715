//! Batches that are held or were discarded: metered, and in no cell.

use std::ops::ControlFlow;
use std::sync::Arc;

use tallyman_common::codec;
use tallyman_common::record::{Dims, Record};
use tallyman_common::wire::Header;

use super::SheetError;
use super::parts::{Place, Rows, TooLarge, nano};
use super::who::Who;
use crate::bills::Books;
use crate::log::{Entry, HeldNote, position_key, position_of};
use crate::ports::{Table, try_scan};
use crate::restart::open_entry;
use crate::rollup::OwnerHour;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::KIND_SUM;
use crate::rollup::fold::{BatchPlace, fold_record};

/// Adds all of them; those that can't be read are told in `faults`.
pub fn add_held(who: &Who<'_>, rows: &mut Rows, faults: &mut Vec<String>) -> Result<(), SheetError> {
    let books = who.books;
    let (span, end) = (who.span(), position_key(books.position + 1));
    try_scan(books.store, Table::Held, (&[], &end), |key, value| {
        let note: HeldNote = codec::decode("held note", value).map_err(FoldError::from)?;
        let position = position_of(key).map_err(FoldError::from)?;
        let place = match books.registry.held.get(&position) {
            None => Place::Quarantined,
            Some(false) => Place::Discarded,
            Some(true) => return Ok(ControlFlow::Continue(())),
        };
        if note.wall_end > span.start.start() && note.wall_start < span.end.start() {
            match opened(books, position)? {
                Ok(batch) => add_batch(who, (position, &batch), place, rows, faults)?,
                Err(words) => faults.push(words),
            }
        }
        Ok::<_, SheetError>(ControlFlow::Continue(()))
    })
}

type Batch = (Header, Vec<Record>);

fn add_batch(
    who: &Who<'_>,
    (position, (header, records)): (u64, &Batch),
    place: Place,
    rows: &mut Rows,
    faults: &mut Vec<String>,
) -> Result<(), SheetError> {
    let group: Arc<str> = Arc::from("");
    let Some(of) = BatchPlace::new(position, None, group, header) else {
        let words = format!("the held batch at position {position} lies before 1970; it is in no sum");
        faults.push(words);
        return Ok(());
    };
    for record in records {
        for (at, piece) in of.pieces.iter().enumerate() {
            let Some(whose) = who.whose(&record.owner, piece.hour) else {
                continue;
            };
            if !whose.hours.contains(&piece.hour) || piece.hour > who.books.now.hour() {
                continue;
            }
            let mut hour = OwnerHour::default();
            fold_record(&mut hour, record, &of, at).map_err(|_| TooLarge)?;
            for (set, cell) in hour.cells().filter(|(_, cell)| cell.kind == KIND_SUM) {
                let dims: Dims = set.dims.iter().cloned().collect();
                let (what, value) = ((piece.hour, cell.meter, &dims), nano(cell.value)?);
                for place in [Place::Metered, place] {
                    rows.add_usage(&who.prices[whose.prices], what, place, value)?;
                }
            }
        }
    }
    Ok(())
}

/// A held batch's records, or in words why they can't be read.
fn opened(books: Books<'_>, position: u64) -> Result<Result<Batch, String>, SheetError> {
    let words = |why: String| format!("the held batch at position {position} is in no sum: {why}");
    let Some(value) = books.store.get(Table::Log, &position_key(position))? else {
        return Ok(Err(words("the log does not hold it any more".to_owned())));
    };
    let entry = Entry::decode(&value).map_err(FoldError::from)?;
    Ok(open_entry(position, &entry, books.registry).map_err(|e| words(e.to_string())))
}
