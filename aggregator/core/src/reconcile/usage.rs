//! Usage of the day by meter: the sum of all cells is what bills read of tenants' hours, and what belongs to nobody.
//! Each unit is in exactly one part (I1).

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use serde::{Deserialize, Serialize};
use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::record::Dims;
use tallyman_common::time::Hour;

use super::{Day, Findings};
use crate::bills::{Books, tenant_hour};
use crate::ports::Table;
use crate::rating::BookVersions;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN, OwnerHour};
use crate::rollup::part::owner_of_key;

/// Usage of one meter, base units, integers as text. `summed` is the sum of the others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterUsage {
    /// Meter.
    pub meter: String,
    /// Of all owners' cells, measured and inferred.
    pub summed: String,
    /// Of tenants, by items of their price book; before an invoice nobody knows what of it is free.
    pub rated: String,
    /// Of tenants, but no item of a price book names it.
    pub not_priced: String,
    /// Under claims that nobody registered.
    pub unconfirmed: String,
    /// Nobody could be named for it.
    pub unattributed: String,
    /// Of whole machines: on no bill.
    pub host: String,
}

/// Where usage is.
const SUMMED: usize = 0;
const TAKEN_BACK: usize = 1;
const RATED: usize = 2;
const NOT_PRICED: usize = 3;
const UNCONFIRMED: usize = 4;
const UNATTRIBUTED: usize = 5;
const HOST: usize = 6;
/// What was inferred and taken back of the three before.
const BACK: usize = 3;
const PARTS: usize = 10;

/// Sums by meter.
#[derive(Debug, Default)]
struct Sums(BTreeMap<Meter, [u128; PARTS]>);

impl Sums {
    fn add(&mut self, meter: Meter, part: usize, value: u128, position: u64) -> Result<(), FoldError> {
        let sum = &mut self.0.entry(meter).or_insert([0; PARTS])[part];
        *sum = sum.checked_add(value).ok_or_else(|| FoldError::Entry {
            position,
            reason: format!("the day's sum of {} does not fit into 128 bits", meter.label()),
        })?;
        Ok(())
    }
}

/// Compares cells with what is read of them.
pub(super) fn compare(
    books: Books<'_>,
    day: Day,
    findings: &mut Findings,
) -> Result<Vec<MeterUsage>, FoldError> {
    let mut sums = Sums::default();
    add_cells(books, day, &mut sums)?;
    for terms in books.registry.tenants.iter() {
        let versions = books.registry.books_of(&terms.currency);
        for hour in (day.hours().start.0..day.hours().end.0).map(Hour) {
            add_tenant(books, (&terms.tenant, hour), versions.as_ref(), &mut sums)?;
        }
    }
    let view = |(meter, parts): (Meter, [u128; PARTS])| view(meter, &parts, findings);
    Ok(sums.0.into_iter().map(view).collect())
}

/// Shows every owner's values in some hours, on time and late, by hour and owner.
///
/// # Errors
/// When the store can't be read or holds what can't be understood, or when `see` fails.
pub fn each_cell<E: From<FoldError>>(
    books: Books<'_>,
    hours: Range<Hour>,
    mut see: impl FnMut(Hour, &Owner, &OwnerHour) -> Result<(), E>,
) -> Result<(), E> {
    let (from, to) = (hours.start.0.to_be_bytes(), hours.end.0.to_be_bytes());
    let mut fault = None;
    let mut visit = |key: &[u8], value: &[u8]| {
        let (part, owner) = owner_of_key(key).map_err(FoldError::from)?;
        see(
            part.hour,
            &owner,
            &OwnerHour::decode(value).map_err(FoldError::from)?,
        )
    };
    let scanned = books.store.scan(Table::Cells, &from, &to, &mut |key, value| {
        fault = visit(key, value).err();
        if fault.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    scanned.map_err(FoldError::from)?;
    fault.map_or(Ok(()), Err)
}

fn add_cells(books: Books<'_>, day: Day, sums: &mut Sums) -> Result<(), FoldError> {
    each_cell(books, day.hours(), |hour, owner, value| {
        add_value(books, (hour, owner), value, sums)
    })
}

fn add_value(
    books: Books<'_>,
    (hour, owner): (Hour, &Owner),
    value: &OwnerHour,
    sums: &mut Sums,
) -> Result<(), FoldError> {
    let place = match owner {
        Owner::Host => Some(HOST),
        Owner::Unattributed => Some(UNATTRIBUTED),
        Owner::Claim(_) if books.registry.tenants.tenant_of(owner, hour).is_none() => Some(UNCONFIRMED),
        // Read again below, as bills do.
        Owner::Claim(_) => None,
    };
    for (_, cell) in value.cells() {
        let back = match cell.kind {
            KIND_SUM | KIND_INFERRED => false,
            KIND_WITHDRAWN => true,
            _ => continue,
        };
        let whole = if back { TAKEN_BACK } else { SUMMED };
        sums.add(cell.meter, whole, cell.value, value.upto)?;
        if let Some(place) = place {
            let place = if back { place + BACK } else { place };
            sums.add(cell.meter, place, cell.value, value.upto)?;
        }
    }
    Ok(())
}

fn add_tenant(
    books: Books<'_>,
    (tenant, hour): (&str, Hour),
    versions: Option<&BookVersions>,
    sums: &mut Sums,
) -> Result<(), FoldError> {
    let used = tenant_hour(books.store, books.registry, tenant, hour)?;
    for sum in used.by_meter() {
        let is_rated = names(versions, hour, sum.meter, &sum.dims);
        let part = if is_rated { RATED } else { NOT_PRICED };
        sums.add(sum.meter, part, sum.value, books.position)?;
    }
    Ok(())
}

/// Whether some item of the book in force names a meter with these dimensions.
fn names(versions: Option<&BookVersions>, hour: Hour, meter: Meter, dims: &Dims) -> bool {
    let book = versions.and_then(|v| v.at(hour));
    let items = book.into_iter().flat_map(|b| b.items());
    items.filter_map(|item| item.selection()).any(|selection| {
        let named = selection.plus().contains(&meter) || selection.minus().contains(&meter);
        named && selection.admits(dims)
    })
}

fn view(meter: Meter, parts: &[u128; PARTS], findings: &mut Findings) -> MeterUsage {
    let label = meter.label();
    let less = |whole: usize, back: usize| parts[whole].checked_sub(parts[back]);
    let net = [
        less(SUMMED, TAKEN_BACK),
        Some(parts[RATED]),
        Some(parts[NOT_PRICED]),
        less(UNCONFIRMED, UNCONFIRMED + BACK),
        less(UNATTRIBUTED, UNATTRIBUTED + BACK),
        less(HOST, HOST + BACK),
    ];
    let accounted = net[1..]
        .iter()
        .try_fold(0u128, |sum, part| sum.checked_add((*part)?));
    if accounted.is_none() || accounted != net[0] {
        let text = |sum: Option<u128>| sum.map_or("an impossible number".to_owned(), |n| n.to_string());
        findings.add(format!(
            "{label}: the cells sum to {}, tenants and what belongs to nobody to {}",
            text(net[0]),
            text(accounted)
        ));
    }
    let [summed, rated, not_priced, unconfirmed, unattributed, host] =
        net.map(|sum| sum.map_or("impossible".to_owned(), |n| n.to_string()));
    MeterUsage {
        meter: label,
        summed,
        rated,
        not_priced,
        unconfirmed,
        unattributed,
        host,
    }
}
