//! From where a month's usage is read: all cells at once, tenants as they are billed, batches that are held.
//!
//! Metered usage is read from the cells' table, tenants' usage by the way of bills, so that one is a check of the other
//! (I1). A month is that of the zone of whoever used it; of what belongs to nobody it is the price book's.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use tallyman_common::codec;
use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::money::Amount;
use tallyman_common::record::{Dims, Record};
use tallyman_common::time::Hour;
use tallyman_common::wire::Header;

use super::SheetError;
use super::parts::{Place, RowKey, Rows, TooLarge, items_of, nano, nano_of, sign, version_of};
use crate::accounts::adjust::LateMonths;
use crate::accounts::draft::{DraftError, Past};
use crate::accounts::month::{AccountMonth, Payer, View, at_month};
use crate::bills::account::Payee;
use crate::bills::hourly::{TenantLines, each_hour};
use crate::bills::usage::TenantHour;
use crate::bills::{Books, tenant_hour};
use crate::log::{Entry, HeldNote, position_key, position_of};
use crate::ports::{Table, try_scan};
use crate::rating::{BookVersions, Charge, Item, Month, RatedLine};
use crate::reconcile::usage::each_cell;
use crate::restart::open_entry;
use crate::rollup::OwnerHour;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN};
use crate::rollup::fold::{BatchPlace, fold_record};

/// Who used what in which hours.
pub struct Who<'a> {
    /// As of now.
    pub books: Books<'a>,
    /// Price books of the sheet's currency.
    pub versions: BookVersions,
    /// Hours of what belongs to nobody.
    pub hours: Range<Hour>,
    /// Tenants that pay in the currency: their hours and prices.
    pub own: BTreeMap<String, (Range<Hour>, BookVersions)>,
    /// Tenants that pay in another one: their hours.
    pub others: BTreeMap<String, Range<Hour>>,
}

/// A month that is added up.
pub struct Reading<'a> {
    /// Whose usage is where.
    pub who: Who<'a>,
    /// Sums.
    pub rows: Rows,
    /// What the usage of a row came to.
    pub amounts: BTreeMap<RowKey, Amount>,
    /// What could not be read or rated, in words.
    pub faults: Vec<String>,
}

/// Usage of an owner in an hour: in which month it is, by which prices, and where, unless it is read as bills are.
struct Whose<'r> {
    hours: &'r Range<Hour>,
    versions: &'r BookVersions,
    place: Option<Place>,
}

impl Who<'_> {
    /// Hours that are in the month of any zone.
    fn span(&self) -> Range<Hour> {
        let own = self.own.values().map(|(hours, _)| hours);
        let all = own.chain(self.others.values());
        all.fold(self.hours.clone(), |span, it| {
            span.start.min(it.start)..span.end.max(it.end)
        })
    }

    /// `None` for whole machines, which are in no sum.
    fn whose(&self, owner: &Owner, hour: Hour) -> Option<Whose<'_>> {
        let whose = |hours, versions, place| {
            Some(Whose {
                hours,
                versions,
                place,
            })
        };
        let tenant = self.books.registry.tenants.tenant_of(owner, hour);
        match (owner, tenant) {
            (Owner::Host, _) => None,
            (_, Some(terms)) => match self.own.get(&terms.tenant) {
                Some((hours, versions)) => whose(hours, versions, None),
                None => {
                    let hours = self.others.get(&terms.tenant)?;
                    whose(hours, &self.versions, Some(Place::OtherCurrencies))
                }
            },
            (Owner::Unattributed, None) => whose(&self.hours, &self.versions, Some(Place::Unattributed)),
            (Owner::Claim(_), None) => whose(&self.hours, &self.versions, Some(Place::Unconfirmed)),
        }
    }
}

impl Reading<'_> {
    /// Everything in the cells: what was metered, and what of it belongs to no tenant of this currency.
    pub fn add_cells(&mut self) -> Result<(), SheetError> {
        let (books, all) = (self.who.books, self.who.span());
        each_cell(books, all, |hour, owner, value| {
            for (set, cell) in value.cells() {
                let sign = match cell.kind {
                    KIND_SUM | KIND_INFERRED => 1,
                    KIND_WITHDRAWN => -1,
                    _ => continue,
                };
                let dims: Dims = set.dims.iter().cloned().collect();
                let value = nano(cell.value)?.checked_mul(sign).ok_or(TooLarge)?;
                self.add_owned((hour, owner), (cell.meter, &dims), value, None)?;
            }
            Ok::<_, SheetError>(())
        })
    }

    /// Adds a meter's usage of an owner in an hour to what was metered, and to its place unless that is a tenant of this
    /// currency, who is read as bills do. `place` is where it is whoever used it.
    fn add_owned(
        &mut self,
        (hour, owner): (Hour, &Owner),
        (meter, dims): (Meter, &Dims),
        value: i128,
        place: Option<Place>,
    ) -> Result<(), SheetError> {
        let Some(whose) = self.who.whose(owner, hour) else {
            return Ok(());
        };
        let is_now = hour <= self.who.books.now.hour();
        if !whose.hours.contains(&hour) || !is_now {
            return Ok(());
        }
        let of = (hour, meter, dims);
        self.rows.add_usage(whose.versions, of, Place::Metered, value)?;
        if let Some(place) = place.or(whose.place) {
            self.rows.add_usage(whose.versions, of, place, value)?;
        }
        Ok(())
    }

    /// Tenants of an account as they are billed, and what came behind the seal of a final month.
    pub fn add_account(
        &mut self,
        (payer, month): (&Payer, Month),
        (past, late): (&Past<'_>, &LateMonths),
    ) -> Result<(), SheetError> {
        let books = self.who.books;
        let has_changed = at_month(books, (payer, month), (View::Billed, past), |it| {
            self.add_billed(&it)?;
            Ok::<_, SheetError>(it.is_final && late.may_have_changed(&payer.account, (month, &it.hours)))
        })?;
        if has_changed {
            // What stands now, without what stood then.
            at_month(books, (payer, month), (View::Now, past), |it| {
                self.add_late(&it, 1)
            })?;
            at_month(books, (payer, month), (View::Billed, past), |it| {
                self.add_late(&it, -1)
            })?;
        }
        Ok(())
    }

    fn add_billed(&mut self, month: &AccountMonth<'_>) -> Result<(), SheetError> {
        let chosen = (&month.payees[..], month.terms.pools);
        each_hour(month.books, chosen, &month.zone, month.hours.clone(), |it| {
            self.add_lines(it)
        })
    }

    fn add_lines(&mut self, of: TenantLines<'_>) -> Result<(), SheetError> {
        let (versions, hour) = (&of.payee.books, of.usage.hour);
        let book = version_of(versions, hour);
        for item in items_of(versions, hour) {
            let row = RowKey::Item(item.key().clone());
            let line = of.lines.iter().find(|it| it.item == *item.key());
            for (place, value) in split(item, line, exact(item, &of.usage)?)? {
                self.rows.add(row.clone(), book, place, value)?;
            }
        }
        for line in &of.lines {
            let row = RowKey::Item(line.item.clone());
            // A share of other amounts has a row too, though it has no usage.
            self.rows.add(row.clone(), book, Place::Billed, 0)?;
            let sum = self.amounts.entry(row).or_insert(Amount::ZERO);
            *sum = sum.checked_add(line.amount)?;
        }
        for sum in of.usage.by_meter() {
            let names = |it: &Item| {
                it.selection()
                    .is_some_and(|it| sign(it, sum.meter, &sum.dims).is_some())
            };
            if !items_of(versions, hour).iter().any(names) {
                let place = if versions.at(hour).is_some() {
                    Place::Free
                } else {
                    Place::NotRated
                };
                self.rows
                    .add(RowKey::Meter(sum.meter), book, place, nano(sum.value)?)?;
            }
        }
        self.faults.extend(of.faults);
        Ok(())
    }

    fn add_late(&mut self, month: &AccountMonth<'_>, sign: i128) -> Result<(), SheetError> {
        let end = month.hours.end.min(month.books.now.hour().next());
        for payee in &month.payees {
            for hour in (month.hours.start.0..end.0).map(Hour) {
                let used = tenant_hour(month.books.store, month.books.registry, &payee.tenant, hour)?;
                self.add_sums(payee, &used, sign)?;
            }
        }
        Ok(())
    }

    fn add_sums(&mut self, payee: &Payee, used: &TenantHour, sign: i128) -> Result<(), SheetError> {
        for sum in used.by_meter() {
            let value = nano(sum.value)?.checked_mul(sign).ok_or(TooLarge)?;
            let of = (used.hour, sum.meter, &sum.dims);
            self.rows.add_usage(&payee.books, of, Place::Late, value)?;
        }
        Ok(())
    }

    /// Batches that are held or were discarded: metered, and in no cell.
    pub fn add_held(&mut self) -> Result<(), SheetError> {
        let books = self.who.books;
        let (span, end) = (self.who.span(), position_key(books.position + 1));
        try_scan(books.store, Table::Held, (&[], &end), |key, value| {
            let note: HeldNote = codec::decode("held note", value).map_err(FoldError::from)?;
            let position = position_of(key).map_err(FoldError::from)?;
            let place = match books.registry.held.get(&position) {
                None => Place::Quarantined,
                Some(false) => Place::Discarded,
                Some(true) => return Ok(ControlFlow::Continue(())),
            };
            if note.wall_end > span.start.start() && note.wall_start < span.end.start() {
                self.add_batch(position, place)?;
            }
            Ok::<_, SheetError>(ControlFlow::Continue(()))
        })
    }

    fn add_batch(&mut self, position: u64, place: Place) -> Result<(), SheetError> {
        let (header, records) = match opened(self.who.books, position)? {
            Ok(opened) => opened,
            Err(words) => {
                self.faults.push(words);
                return Ok(());
            }
        };
        let group: Arc<str> = Arc::from("");
        let Some(of) = BatchPlace::new(position, None, group, &header) else {
            let words = format!("the held batch at position {position} lies before 1970; it is in no sum");
            self.faults.push(words);
            return Ok(());
        };
        for record in &records {
            for (at, piece) in of.pieces.iter().enumerate() {
                let mut hour = OwnerHour::default();
                fold_record(&mut hour, record, &of, at).map_err(|_| TooLarge)?;
                for (set, cell) in hour.cells().filter(|(_, cell)| cell.kind == KIND_SUM) {
                    let dims: Dims = set.dims.iter().cloned().collect();
                    let (whose, what) = ((piece.hour, &record.owner), (cell.meter, &dims));
                    self.add_owned(whose, what, nano(cell.value)?, Some(place))?;
                }
            }
        }
        Ok(())
    }
}

/// A held batch's records, or in words why they can't be read.
fn opened(books: Books<'_>, position: u64) -> Result<Result<(Header, Vec<Record>), String>, SheetError> {
    let words = |why: String| format!("the held batch at position {position} is in no sum: {why}");
    let Some(value) = books.store.get(Table::Log, &position_key(position))? else {
        return Ok(Err(words("the log does not hold it any more".to_owned())));
    };
    let entry = Entry::decode(&value).map_err(FoldError::from)?;
    Ok(open_entry(position, &entry, books.registry).map_err(|e| words(e.to_string())))
}

/// What an item takes of an hour, exactly.
fn exact(item: &Item, used: &TenantHour) -> Result<i128, TooLarge> {
    let Some(selection) = item.selection() else {
        return Ok(0);
    };
    let mut sum = 0_i128;
    for it in used.by_meter() {
        if let Some(sign) = sign(selection, it.meter, &it.dims) {
            let signed = nano(it.value)?.checked_mul(sign);
            sum = signed.and_then(|it| sum.checked_add(it)).ok_or(TooLarge)?;
        }
    }
    Ok(sum)
}

/// Where an item's usage of an hour went.
fn split(item: &Item, line: Option<&RatedLine>, exact: i128) -> Result<Vec<(Place, i128)>, SheetError> {
    let Some(selection) = item.selection() else {
        return Ok(Vec::new());
    };
    let unit = selection.unit().base_units();
    let Some(line) = line else {
        let smallest = i128::try_from(unit).map_err(|_| TooLarge)?;
        // Half a thousand-millionth of a unit, in thousand-millionths of a base unit, is half the unit's size.
        let is_nothing = exact.checked_mul(2).ok_or(TooLarge)? < smallest && exact >= 0;
        let place = if is_nothing {
            Place::Rounding
        } else {
            Place::NotRated
        };
        return Ok(vec![(place, exact)]);
    };
    let free = if matches!(item.charge(), Charge::Free) {
        line.quantity
    } else {
        // An hour that is raised to a minimum can have more free than was used.
        line.free.min(line.quantity)
    };
    let billed = nano_of(line.quantity.checked_sub(free)?, unit)?;
    let free = nano_of(free, unit)?;
    let rounded = billed.checked_add(free).ok_or(TooLarge)?;
    let rounding = exact.checked_sub(rounded).ok_or(TooLarge)?;
    Ok(vec![
        (Place::Billed, billed),
        (Place::Free, free),
        (Place::Rounding, rounding),
    ])
}

impl From<FoldError> for SheetError {
    fn from(error: FoldError) -> Self {
        Self::Draft(DraftError::Bill(error.into()))
    }
}
