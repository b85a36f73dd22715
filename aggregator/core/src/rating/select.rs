//! From cells to the billed quantity of an item: sums in base units, rounded once.
//!
//! Invariants: I6; the order of the cells does not matter, because integers are summed. Less than nothing is an error
//! that is shown, never a zero.
//! It must not know prices, hours or tenants: the caller passes the cells of one tenant and hour.

use tallyman_common::meter::Meter;
use tallyman_common::money::Quantity;
use tallyman_common::record::Dims;

use super::RatingError;
use super::book::{Item, ItemKey, PriceBook, Selection};

/// The sum of one cell of a tenant's hour; not its maximum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MeterSum<'c> {
    /// What was counted.
    pub meter: Meter,
    /// Dimensions of the cell.
    pub dims: &'c Dims,
    /// Sum in the meter's base unit.
    pub sum: u128,
}

/// Billed quantity of an item in one hour of one tenant, in the item's unit, from all cells of that hour.
///
/// Zero for a free item that names no meters.
pub fn quantity_of<'c>(
    item: &Item,
    cells: impl IntoIterator<Item = MeterSum<'c>>,
) -> Result<Quantity, RatingError> {
    let Some(selection) = item.selection() else {
        return Ok(Quantity::ZERO);
    };
    let (mut plus, mut minus) = (0, 0);
    for cell in cells {
        let Some(sum) = side(selection, &cell, &mut plus, &mut minus) else {
            continue;
        };
        *sum = u128::checked_add(*sum, cell.sum).ok_or_else(|| RatingError::SumTooLarge {
            item: item.key().clone(),
            meter: cell.meter,
        })?;
    }
    let base = plus
        .checked_sub(minus)
        .ok_or_else(|| RatingError::NegativeUsage {
            item: item.key().clone(),
            plus,
            minus,
        })?;
    Quantity::from_base_units(base, selection.unit().base_units()).map_err(|source| RatingError::Money {
        item: item.key().clone(),
        source,
    })
}

/// Billed quantities of all items of a book in one hour of one tenant, in the book's order, without those of zero;
/// and the items that could not be rated, with the reason. Both are shown.
pub fn quantities_of_hour(
    book: &PriceBook,
    cells: &[MeterSum<'_>],
) -> (Vec<(ItemKey, Quantity)>, Vec<RatingError>) {
    let (mut quantities, mut errors) = (Vec::new(), Vec::new());
    for item in book.items() {
        match quantity_of(item, cells.iter().copied()) {
            Ok(quantity) if quantity.is_zero() => {}
            Ok(quantity) => quantities.push((item.key().clone(), quantity)),
            Err(error) => errors.push(error),
        }
    }
    (quantities, errors)
}

fn side<'s>(
    selection: &Selection,
    cell: &MeterSum<'_>,
    plus: &'s mut u128,
    minus: &'s mut u128,
) -> Option<&'s mut u128> {
    if !selection.admits(cell.dims) {
        None
    } else if selection.plus().contains(&cell.meter) {
        Some(plus)
    } else if selection.minus().contains(&cell.meter) {
        Some(minus)
    } else {
        None
    }
}
