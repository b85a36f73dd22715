//! What became of tenants' usage: read and rated as for their invoices, and what came behind the seal of a final month.
//!
//! Invariants: I1, I7. A month is rated from packed days where that gives the same to the last digit; where anything is wrong
//! it goes hour by hour from its cells, which says what. It must not know what was metered.

use std::collections::BTreeMap;

use tallyman_common::money::Amount;
use tallyman_common::time::Hour;

use super::SheetError;
use super::parts::{Place, RowKey, Rows, TooLarge, items_of, nano, nano_of, nano_signed, sign, version_of};
use crate::accounts::adjust::LateMonths;
use crate::accounts::draft::Past;
use crate::accounts::month::{AccountMonth, Payer, View, at_month};
use crate::bills::account::Payee;
use crate::bills::hourly::{TenantLines, each_hour};
use crate::bills::usage::TenantHour;
use crate::bills::watch::{Became, Of, used_month, watch_month};
use crate::bills::{Books, tenant_hour};
use crate::rating::{Charge, Item, Month, RatedLine};

/// Usage of some accounts.
#[derive(Debug, Default)]
pub struct Billed {
    /// Sums.
    pub rows: Rows,
    /// What the usage of a row came to.
    pub amounts: BTreeMap<RowKey, Amount>,
    /// What could not be rated, in words.
    pub faults: Vec<String>,
}

impl Billed {
    /// Tenants of an account as they are billed, and what came behind the seal of a final month.
    pub fn add_account(
        &mut self,
        books: Books<'_>,
        (payer, month): (&Payer, Month),
        (past, late): (&Past<'_>, &LateMonths),
    ) -> Result<(), SheetError> {
        let has_changed = at_month(books, (payer, month), (View::Billed, past), |it| {
            self.add_billed(&it)?;
            Ok::<_, SheetError>(it.is_final && late.may_have_changed(&payer.account, (month, &it.hours)))
        })?;
        if has_changed {
            // What stands now, without what stood then.
            for (view, sign) in [(View::Now, 1), (View::Billed, -1)] {
                at_month(books, (payer, month), (view, past), |it| self.add_late(&it, sign))?;
            }
        }
        Ok(())
    }

    fn add_billed(&mut self, month: &AccountMonth<'_>) -> Result<(), SheetError> {
        let mut together = Self::default();
        let is_whole = watch_month(
            month.books,
            (&month.payees, &month.versions),
            (&month.zone, &month.hours),
            month.terms.pools,
            // What does not fit is left to the hours, which say so.
            &mut |book, it| together.add_became(book, it).ok(),
        )?;
        if is_whole {
            return self.join(together);
        }
        self.add_hours(month)
    }

    /// Adds all of another one.
    pub fn join(&mut self, other: Self) -> Result<(), SheetError> {
        self.rows.join(other.rows)?;
        for (row, amount) in other.amounts {
            self.add_amount(row, amount)?;
        }
        self.faults.extend(other.faults);
        Ok(())
    }

    fn add_amount(&mut self, row: RowKey, amount: Amount) -> Result<(), SheetError> {
        let sum = self.amounts.entry(row).or_insert(Amount::ZERO);
        *sum = sum.checked_add(amount)?;
        Ok(())
    }

    fn add_became(&mut self, book: Hour, became: Became<'_>) -> Result<(), SheetError> {
        let row = |item: &Item| RowKey::Item(item.key().clone());
        match became {
            Became::Listed(item) => self.rows.add(row(item), book, Place::Billed, 0)?,
            Became::Together { item, used, rated } => {
                let unit = item.selection().map_or(1, |it| it.unit().base_units());
                let rounded = nano_of(rated.quantity, unit)?;
                let rounding = nano_signed(used)?.checked_sub(rounded).ok_or(TooLarge)?;
                let place = match item.charge() {
                    Charge::Free => Place::Free,
                    _ => Place::Billed,
                };
                for (place, value) in [(place, rounded), (Place::Rounding, rounding)] {
                    self.rows.add(row(item), book, place, value)?;
                }
                self.add_amount(row(item), rated.amount)?;
            }
            Became::Hour { item, used, line } => {
                for (place, value) in split(item, line, nano(used)?)? {
                    self.rows.add(row(item), book, place, value)?;
                }
                if let Some(line) = line {
                    self.add_amount(row(item), line.amount)?;
                }
            }
            Became::Share(line) => {
                // A share of other amounts has a row too, though it has no usage.
                let row = RowKey::Item(line.item.clone());
                self.rows.add(row.clone(), book, Place::Billed, 0)?;
                self.add_amount(row, line.amount)?;
            }
            Became::Unnamed(meter, used) => {
                self.rows
                    .add(RowKey::Meter(meter), book, Place::Free, nano(used)?)?;
            }
        }
        Ok(())
    }

    /// The same hour by hour, line by line.
    pub(super) fn add_hours(&mut self, month: &AccountMonth<'_>) -> Result<(), SheetError> {
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
            self.rows.add(row.clone(), book, Place::Billed, 0)?;
            self.add_amount(row, line.amount)?;
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
        for payee in &month.payees {
            let mut own = Rows::default();
            let is_whole = used_month(
                month.books,
                payee,
                (&month.zone, &month.hours),
                &mut |book, of, used| {
                    let row = match of {
                        Of::Item(item) => RowKey::Item(item.key().clone()),
                        Of::Meter(meter) => RowKey::Meter(meter),
                    };
                    let value = nano_signed(used).ok()?.checked_mul(sign)?;
                    // Rows are those of what is billed, and of what is metered.
                    (value == 0)
                        .then_some(())
                        .or_else(|| own.add(row, book, Place::Late, value).ok())
                },
            )?;
            if is_whole {
                self.rows.join(own)?;
            } else {
                self.add_late_hours(month, payee, sign)?;
            }
        }
        Ok(())
    }

    /// The same hour by hour.
    pub(super) fn add_late_hours(
        &mut self,
        month: &AccountMonth<'_>,
        payee: &Payee,
        sign: i128,
    ) -> Result<(), SheetError> {
        let end = month.hours.end.min(month.books.now.hour().next());
        for hour in (month.hours.start.0..end.0).map(Hour) {
            let used = tenant_hour(month.books.store, month.books.registry, &payee.tenant, hour)?;
            for sum in used.by_meter() {
                let value = nano(sum.value)?.checked_mul(sign).ok_or(TooLarge)?;
                let of = (hour, sum.meter, &sum.dims);
                self.rows.add_usage(&payee.books, of, Place::Late, value)?;
            }
        }
        Ok(())
    }
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
