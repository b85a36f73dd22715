//! The sheet in the plain way: one cell after the other by its value, each tenant hour by hour, everything on one thread. Tests
//! hold the fast way against it.

use tallyman_common::money::Currency;
use tallyman_common::record::Dims;

use super::metered::Metered;
use super::parts::{Place, Rows, nano};
use super::who::Who;
use super::{Closing, Part, Sheet, SheetError};
use crate::accounts::month::{View, at_month};
use crate::bills::Books;
use crate::rating::Month;
use crate::reconcile::usage::each_cell;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN};

/// As [`super::sheet`].
pub fn plain(books: Books<'_>, month: Month, currency: Option<Currency>) -> Result<Sheet, SheetError> {
    let closing = Closing::begin(books, month, currency)?;
    let mut cells = Part::default();
    add_cells(&closing.who, &mut cells.usage.rows)?;
    let mut part = closing.billed(closing.payers())?;
    part.usage = super::billed::Billed::default();
    let (past, late) = (closing.prepared.past(books.store), closing.prepared.late());
    for payer in closing.payers() {
        let has_changed = at_month(books, (payer, month), (View::Billed, &past), |it| {
            part.usage.add_hours(&it)?;
            Ok::<_, SheetError>(it.is_final && late.may_have_changed(&payer.account, (month, &it.hours)))
        })?;
        let views = [(View::Now, 1), (View::Billed, -1)];
        for (view, sign) in views.into_iter().filter(|_| has_changed) {
            at_month(books, (payer, month), (view, &past), |it| {
                let mut payees = it.payees.iter();
                payees.try_for_each(|payee| part.usage.add_late_hours(&it, payee, sign))
            })?;
        }
    }
    closing.together(&[Metered::default()], vec![cells, part])
}

fn add_cells(who: &Who<'_>, rows: &mut Rows) -> Result<(), SheetError> {
    each_cell(who.books, who.span(), |hour, owner, value| {
        for (set, cell) in value.cells() {
            let sign = match cell.kind {
                KIND_SUM | KIND_INFERRED => 1,
                KIND_WITHDRAWN => -1,
                _ => continue,
            };
            let Some(whose) = who.whose(owner, hour) else {
                continue;
            };
            if !whose.hours.contains(&hour) || hour > who.books.now.hour() {
                continue;
            }
            let dims: Dims = set.dims.iter().cloned().collect();
            let (what, value) = ((hour, cell.meter, &dims), nano(cell.value)? * sign);
            for place in [Some(Place::Metered), whose.place].into_iter().flatten() {
                rows.add_usage(&who.prices[whose.prices], what, place, value)?;
            }
        }
        Ok::<_, SheetError>(())
    })
}
