//! What was metered: every cell of the month, read once and added up by whose it is.
//!
//! Invariant: I1. It is read from the cells' table, which is the fold of the log; what tenants are billed for comes from
//! packed days by another way, so that each is a check of the other. A cell is looked at without making a value of it, and an
//! owner is looked up once a piece. It must not know what is billed.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use tallyman_common::codec::CodecError;
use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::record::Dims;
use tallyman_common::time::Hour;

use super::SheetError;
use super::parts::{Place, Rows, TooLarge, nano_signed, version_of};
use super::who::Who;
use crate::ports::{Table, try_scan};
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN};
use crate::rollup::part::{name_in_key, owner_of_key};
use crate::rollup::sums::{Cells, DimPairs, each_set};

/// Sums of cells, base units.
#[derive(Debug, Default)]
pub struct Metered {
    sums: Vec<Sums>,
    /// Where the sums of prices, a place and a version of the price book are.
    places: BTreeMap<Key, usize>,
}

/// Place of the prices, where it is, and the version of the price book.
type Key = (usize, Option<Place>, Hour);

/// By dimensions, rising.
#[derive(Debug, Default)]
struct Sums(Vec<(Vec<(String, String)>, Meters)>);

/// By meter, rising.
type Meters = Vec<(Meter, i128)>;

/// Through a piece of the month: an owner's name as in keys, its month, and where its sums are; none for machines.
type Known = (Box<[u8]>, Option<(Range<Hour>, usize)>);

impl Metered {
    /// Adds the cells of a piece of the month ([`Who::pieces`]).
    pub fn add(&mut self, who: &Who<'_>, piece: &Range<Hour>) -> Result<(), SheetError> {
        let mut known: Vec<Known> = Vec::new();
        for hour in (piece.start.0..piece.end.0).map(Hour) {
            // Each hour has its owners in the same order.
            let mut before = known.into_iter().peekable();
            let mut now: Vec<Known> = Vec::with_capacity(before.len());
            let (from, to) = (hour.0.to_be_bytes(), hour.next().0.to_be_bytes());
            try_scan(who.books.store, Table::Cells, (&from, &to), |key, value| {
                let name = name_in_key(key).map_err(FoldError::from)?;
                if now.last().is_none_or(|(last, _)| **last != *name) {
                    while let Some(earlier) = before.next_if(|(it, _)| **it < *name) {
                        now.push(earlier);
                    }
                    let same = before.next_if(|(it, _)| **it == *name);
                    now.push(match same {
                        Some(same) => same,
                        None => (name.into(), self.of(who, (key, hour))?),
                    });
                }
                let whose = now.last().and_then(|(_, whose)| whose.as_ref());
                if let Some((_, at)) = whose.filter(|(month, _)| month.contains(&hour)) {
                    self.sums[*at].add_cells(value)?;
                }
                Ok::<_, SheetError>(ControlFlow::Continue(()))
            })?;
            now.extend(before);
            known = now;
        }
        Ok(())
    }

    /// The month of a key's owner, and where its sums are.
    fn of(
        &mut self,
        who: &Who<'_>,
        (key, hour): (&[u8], Hour),
    ) -> Result<Option<(Range<Hour>, usize)>, SheetError> {
        let owner: Owner = owner_of_key(key).map_err(FoldError::from)?.1;
        Ok(who.whose(&owner, hour).map(|whose| {
            let book = version_of(&who.prices[whose.prices], hour);
            let at = self.places.entry((whose.prices, whose.place, book));
            let at = at.or_insert_with(|| {
                self.sums.push(Sums::default());
                self.sums.len() - 1
            });
            (whose.hours, *at)
        }))
    }

    /// Puts all of it into rows: what was metered, and what of it belongs to no tenant of this currency.
    pub fn put(&self, who: &Who<'_>, rows: &mut Rows) -> Result<(), TooLarge> {
        for ((prices, place, book), at) in &self.places {
            for (dims, meters) in &self.sums[*at].0 {
                let dims: Dims = dims.iter().cloned().collect();
                for (meter, sum) in meters {
                    let (of, sum) = ((*book, *meter, &dims), nano_signed(*sum)?);
                    for place in [Some(Place::Metered), *place].into_iter().flatten() {
                        rows.add_usage(&who.prices[*prices], of, place, sum)?;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Sums {
    fn add_cells(&mut self, value: &[u8]) -> Result<(), SheetError> {
        each_set(value, |dims, cells| Ok::<_, Unread>(self.add_set(dims, cells)?)).map_err(SheetError::from)
    }

    fn add_set(&mut self, dims: &DimPairs<'_>, cells: Cells<'_>) -> Result<(), TooLarge> {
        let mut cells = cells
            .iter()
            .filter(|(_, kind, _)| SUMMED.contains(kind))
            .peekable();
        if cells.peek().is_none() {
            return Ok(());
        }
        let meters = self.meters(dims);
        let mut at = 0;
        for (meter, kind, value) in cells {
            let value = i128::try_from(value).map_err(|_| TooLarge)?;
            let value = if kind == KIND_WITHDRAWN { -value } else { value };
            // They rise alike.
            while meters.get(at).is_some_and(|(known, _)| *known < meter) {
                at += 1;
            }
            match meters.get_mut(at) {
                Some((known, sum)) if *known == meter => *sum = sum.checked_add(value).ok_or(TooLarge)?,
                _ => meters.insert(at, (meter, value)),
            }
        }
        Ok(())
    }

    /// The sums of dimensions; none yet if these are new.
    fn meters(&mut self, dims: &DimPairs<'_>) -> &mut Meters {
        let place = self.0.binary_search_by(|(known, _)| {
            let known = known.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            known.cmp(dims.iter().copied())
        });
        let place = place.unwrap_or_else(|place| {
            let own = dims
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            self.0.insert(place, (own.collect(), Vec::new()));
            place
        });
        &mut self.0[place].1
    }
}

/// Kinds of cells that are in sums.
const SUMMED: [u8; 3] = [KIND_SUM, KIND_INFERRED, KIND_WITHDRAWN];

/// Why a cell is in no sum.
enum Unread {
    Codec(CodecError),
    TooLarge(TooLarge),
}

impl From<CodecError> for Unread {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

impl From<TooLarge> for Unread {
    fn from(error: TooLarge) -> Self {
        Self::TooLarge(error)
    }
}

impl From<Unread> for SheetError {
    fn from(error: Unread) -> Self {
        match error {
            Unread::Codec(error) => FoldError::from(error).into(),
            Unread::TooLarge(error) => error.into(),
        }
    }
}
