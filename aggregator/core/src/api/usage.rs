//! Usage of a tenant: by time and by period. Minutes come from the signed batches themselves, the rest from cells.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Serialize;
use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::record::{Dims, State};
use tallyman_common::time::{Hour, WallMs};

use super::text::instant_text;
use crate::bills::usage::{TenantHour, tenant_hour};
use crate::bills::{
    AsOf, BillError, Books, Completeness, InferredUsage, Unmeasured, Viewer, completeness,
    usage::{inferred, unmeasured},
};
use crate::headers::{self, Place};
use crate::log::{Entry, Fate, position_key};
use crate::ports::Table;
use crate::rating::BillingZone;
use crate::restart::open_entry;
use crate::rollup::cache::FoldError;

/// Hours that one question for minutes may span.
pub const MINUTE_HOURS_MAX: u32 = 24;
/// Hours that one question may span at all.
pub const HOURS_MAX: u32 = 24 * 400;

/// Length of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// The window of one batch.
    Minute,
    /// A UTC hour.
    Hour,
    /// A day of the tenant's zone.
    Day,
    /// A month of the tenant's zone.
    Month,
}

/// A meter's value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterValue {
    /// Meter.
    pub meter: String,
    /// Base unit.
    pub unit: &'static str,
    /// Dimensions.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dims: Dims,
    /// Usage in base units, an integer as text.
    pub value: String,
    /// Largest level, where it is known, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak: Option<String>,
}

/// One point of a history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Point {
    /// Start.
    pub start: String,
    /// End.
    pub end: String,
    /// Values.
    pub usage: Vec<MeterValue>,
}

/// A history.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct History {
    /// Key of the tenant.
    pub tenant: String,
    /// Zone of days and months.
    pub zone: String,
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Points with usage, oldest first.
    pub points: Vec<Point>,
}

/// Usage of a period.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Key of the tenant.
    pub tenant: String,
    /// Start.
    pub period_start: String,
    /// End.
    pub period_end: String,
    /// Where the answer stands.
    pub as_of: AsOf,
    /// Values.
    pub usage: Vec<MeterValue>,
    /// How complete it is.
    pub completeness: Completeness,
    /// What could not be measured.
    pub unmeasured: Vec<Unmeasured>,
    /// What is inferred over holes; it is in `usage`.
    pub inferred: Vec<InferredUsage>,
}

type Sums = BTreeMap<(Meter, Dims), (u128, Option<u128>)>;

/// Where answers made from `books` stand.
pub fn as_of(books: Books<'_>) -> AsOf {
    AsOf {
        position: books.position,
        at: instant_text(books.now),
    }
}

/// Usage of a period with its completeness.
pub fn summary(
    books: Books<'_>,
    tenant: &str,
    period: Range<Hour>,
    viewer: Viewer,
) -> Result<Summary, BillError> {
    known(books, tenant)?;
    let hours = hours_of(books, tenant, period.clone())?;
    let mut sums = Sums::new();
    hours.iter().try_for_each(|hour| add_hour(&mut sums, hour))?;
    Ok(Summary {
        tenant: tenant.to_owned(),
        period_start: instant_text(period.start.start()),
        period_end: instant_text(period.end.start()),
        as_of: as_of(books),
        usage: values(sums),
        completeness: completeness::of(books, &hours, period, viewer)?,
        unmeasured: unmeasured(&hours),
        inferred: inferred(&hours)?,
    })
}

/// Usage by time.
pub fn history(
    books: Books<'_>,
    tenant: &str,
    span: Range<WallMs>,
    granularity: Granularity,
) -> Result<History, BillError> {
    let zone = zone_of(books, tenant)?;
    let points = match granularity {
        Granularity::Minute => minutes(books, tenant, &span)?,
        _ => coarse(books, tenant, &span, granularity, &zone)?,
    };
    let zone = zone.name().to_owned();
    Ok(History {
        tenant: tenant.to_owned(),
        zone,
        as_of: as_of(books),
        points,
    })
}

fn known(books: Books<'_>, tenant: &str) -> Result<(), BillError> {
    let found = books.registry.tenants.latest(tenant).map(|_| ());
    found.ok_or_else(|| BillError::NoTenant(tenant.to_owned()))
}

/// The zone of a tenant's periods.
pub fn zone_of(books: Books<'_>, tenant: &str) -> Result<BillingZone, BillError> {
    let terms = books
        .registry
        .tenants
        .latest(tenant)
        .ok_or_else(|| BillError::NoTenant(tenant.to_owned()))?;
    BillingZone::parse(&terms.zone).map_err(|e| BillError::Rating(e.to_string()))
}

fn hours_of(books: Books<'_>, tenant: &str, period: Range<Hour>) -> Result<Vec<TenantHour>, BillError> {
    let end = period.end.min(books.now.hour().next());
    let mut hours = Vec::new();
    for hour in (period.start.0..end.0).map(Hour) {
        let usage = tenant_hour(books.store, books.registry, tenant, hour)?;
        if !usage.is_empty() {
            hours.push(usage);
        }
    }
    Ok(hours)
}

fn add_hour(sums: &mut Sums, hour: &TenantHour) -> Result<(), BillError> {
    for sum in hour.by_meter() {
        let entry = sums.entry((sum.meter, sum.dims.clone())).or_insert((0, None));
        let too_large = || BillError::Rating(format!("the sum of {} does not fit", sum.meter.label()));
        entry.0 = entry.0.checked_add(sum.value).ok_or_else(too_large)?;
    }
    for (key, peak) in hour.peaks() {
        let entry = sums.entry(key).or_insert((0, None));
        entry.1 = entry.1.max(Some(peak));
    }
    Ok(())
}

fn values(sums: Sums) -> Vec<MeterValue> {
    sums.into_iter()
        .map(|((meter, dims), (value, peak))| MeterValue {
            meter: meter.label(),
            unit: meter.info().map_or("unknown", |info| info.unit.name()),
            dims,
            value: value.to_string(),
            peak: peak.map(|p| p.to_string()),
        })
        .collect()
}

fn coarse(
    books: Books<'_>,
    tenant: &str,
    span: &Range<WallMs>,
    granularity: Granularity,
    zone: &BillingZone,
) -> Result<Vec<Point>, BillError> {
    let calendar = |e: crate::rating::calendar::CalendarError| BillError::Rating(e.to_string());
    let last = WallMs(span.end.0.checked_sub(1).unwrap_or(span.end.0)).hour();
    let mut points: BTreeMap<Hour, (Hour, Sums)> = BTreeMap::new();
    for hour in hours_of(books, tenant, span.start.hour()..last.next())? {
        let bucket = match granularity {
            Granularity::Day => zone
                .day_of(hour.hour)
                .and_then(|d| zone.day_hours(d))
                .map_err(calendar)?,
            Granularity::Month => zone
                .month_of(hour.hour)
                .and_then(|m| zone.month_hours(m))
                .map_err(calendar)?,
            Granularity::Minute | Granularity::Hour => hour.hour..hour.hour.next(),
        };
        let (_, sums) = points
            .entry(bucket.start)
            .or_insert_with(|| (bucket.end, Sums::new()));
        add_hour(sums, &hour)?;
    }
    let point = |(start, (end, sums)): (Hour, (Hour, Sums))| Point {
        start: instant_text(start.start()),
        end: instant_text(end.start()),
        usage: values(sums),
    };
    Ok(points.into_iter().map(point).collect())
}

/// Reads the batches that the cells name, and sums the tenant's rows by window.
fn minutes(books: Books<'_>, tenant: &str, span: &Range<WallMs>) -> Result<Vec<Point>, BillError> {
    let mut points: BTreeMap<(WallMs, WallMs), Sums> = BTreeMap::new();
    let last = WallMs(span.end.0.checked_sub(1).unwrap_or(span.end.0)).hour();
    let mut seen = std::collections::BTreeSet::new();
    for hour in hours_of(books, tenant, span.start.hour()..last.next())? {
        for (owner, value) in &hour.owners {
            for trace in &value.traces {
                for &(spool, first, last) in &trace.batches {
                    for seq in first..=last {
                        if seen.insert((owner.clone(), trace.node, spool, seq)) {
                            let place = Place::of(trace.node, spool, seq..=seq);
                            add_batch(books, &place, owner, span, &mut points)?;
                        }
                    }
                }
            }
        }
    }
    let point = |((start, end), sums): ((WallMs, WallMs), Sums)| Point {
        start: instant_text(start),
        end: instant_text(end),
        usage: values(sums),
    };
    Ok(points.into_iter().map(point).collect())
}

fn add_batch(
    books: Books<'_>,
    place: &Place,
    owner: &Owner,
    span: &Range<WallMs>,
    points: &mut BTreeMap<(WallMs, WallMs), Sums>,
) -> Result<(), BillError> {
    for kept in headers::kept(books.store, place)? {
        let counted = kept.fate().map_err(FoldError::from)? == Fate::Counted
            || books.registry.held.get(&kept.position) == Some(&true);
        let value = books
            .store
            .get(Table::Log, &position_key(kept.position))
            .map_err(FoldError::from)?;
        let Some(value) = value.filter(|_| counted) else {
            continue;
        };
        let entry = Entry::decode(&value).map_err(FoldError::from)?;
        let (header, records) = open_entry(kept.position, &entry, books.registry)?;
        let start = header.window().booked_start().unwrap_or(header.wall_start);
        if start >= span.end || header.wall_end <= span.start {
            continue;
        }
        let sums = points.entry((start, header.wall_end)).or_default();
        for record in records.iter().filter(|r| r.owner == *owner) {
            for group in &record.groups {
                for row in group
                    .rows
                    .iter()
                    .filter(|r| !matches!(r.state, State::Unmeasured(_)))
                {
                    let sum = sums.entry((row.meter, group.dims.clone())).or_insert((0, None));
                    let too_large = || BillError::Rating(format!("{} does not fit", row.meter.label()));
                    sum.0 = sum.0.checked_add(row.to - row.from).ok_or_else(too_large)?;
                }
            }
            for peak in &record.peaks {
                let key = (peak.meter, peak.dims.iter().cloned().collect());
                let entry = sums.entry(key).or_insert((0, None));
                entry.1 = entry.1.max(Some(peak.level));
            }
        }
    }
    Ok(())
}
