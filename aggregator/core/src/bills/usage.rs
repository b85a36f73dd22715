//! What one tenant used in one hour: its owners' cells, joined by the registry when asked (a correction touches no
//! cell), and what could not be measured.

use std::collections::BTreeMap;

use serde::Serialize;
use tallyman_common::ids::Owner;
use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, Dims};
use tallyman_common::time::Hour;

use crate::ports::Read;
use crate::rating::{MeterSum, hour_text};
use crate::registry::Registry;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{
    FLAG_UNMEASURED, KIND_INFERRED, KIND_MAXIMUM, KIND_SUM, KIND_WITHDRAWN, OwnerHour,
};
use crate::rollup::part::read_owner;

/// A sum of one meter and dimensions over a tenant's owners and groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    /// What.
    pub meter: Meter,
    /// Dimensions.
    pub dims: Dims,
    /// Sum in base units, measured and inferred.
    pub value: u128,
    /// What of it is inferred over holes.
    pub inferred: u128,
}

/// A tenant's hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantHour {
    /// The hour.
    pub hour: Hour,
    /// The owners that meant the tenant then, with their values.
    pub owners: Vec<(Owner, OwnerHour)>,
    sums: Vec<Sum>,
}

/// Something that was not, or not wholly, measured.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Unmeasured {
    /// Meter, or `all`.
    pub meter: String,
    /// `partial` or `unmeasured`.
    pub state: &'static str,
    /// Why, in words.
    pub cause: &'static str,
    /// Hours that it touches.
    pub hours: u64,
    /// First of them.
    pub first_hour: String,
}

/// Reads a tenant's hour.
pub fn tenant_hour(
    store: &dyn Read,
    registry: &Registry,
    tenant: &str,
    hour: Hour,
) -> Result<TenantHour, FoldError> {
    let mut found = Vec::new();
    for owner in registry.tenants.owners_of(tenant, hour) {
        if let Some(value) = read_owner(store, hour, &owner, registry.seals.newest())? {
            found.push((owner, value));
        }
    }
    let sums = sum_up(&found)?;
    Ok(TenantHour {
        hour,
        owners: found,
        sums,
    })
}

/// A meter and dimensions, sorted.
type Of<'c> = (Meter, &'c [(String, String)]);
/// Measured, inferred, taken back.
type Parts = [u128; 3];

fn sum_up(owners: &[(Owner, OwnerHour)]) -> Result<Vec<Sum>, FoldError> {
    let mut sums: Vec<(Of<'_>, Parts)> = Vec::new();
    let mut newest = 0;
    for (_, value) in owners {
        newest = value.upto.max(newest);
        for (set, cell) in value.cells() {
            let part = match cell.kind {
                KIND_SUM => 0,
                KIND_INFERRED => 1,
                KIND_WITHDRAWN => 2,
                _ => continue,
            };
            let of = (cell.meter, &set.dims[..]);
            // Few, and mostly in order.
            let at = sums
                .binary_search_by(|(known, _)| known.cmp(&of))
                .unwrap_or_else(|at| {
                    sums.insert(at, (of, [0; 3]));
                    at
                });
            let parts = &mut sums[at].1;
            parts[part] = parts[part]
                .checked_add(cell.value)
                .ok_or_else(|| impossible(cell.meter, value.upto))?;
        }
    }
    let sums = sums.into_iter().map(|((meter, dims), parts)| {
        let (value, inferred) = whole(parts).ok_or_else(|| impossible(meter, newest))?;
        Ok(Sum {
            meter,
            dims: dims.iter().cloned().collect(),
            value,
            inferred,
        })
    });
    sums.collect()
}

/// The whole sum, and what of it is inferred.
fn whole([measured, inferred, withdrawn]: Parts) -> Option<(u128, u128)> {
    let inferred = inferred.checked_sub(withdrawn)?;
    Some((measured.checked_add(inferred)?, inferred))
}

fn impossible(meter: Meter, position: u64) -> FoldError {
    let meter = meter.label();
    FoldError::Entry {
        position,
        reason: format!(
            "the sum of {meter} does not fit into 128 bits, or more was taken back than was inferred"
        ),
    }
}

impl TenantHour {
    /// True when no owner of the tenant has anything in the hour.
    pub fn is_empty(&self) -> bool {
        self.owners.is_empty()
    }

    /// Sums for rating.
    pub fn sums(&self) -> Vec<MeterSum<'_>> {
        self.sums
            .iter()
            .map(|s| MeterSum {
                meter: s.meter,
                dims: &s.dims,
                sum: s.value,
            })
            .collect()
    }

    /// Sums by meter and dimensions.
    pub fn by_meter(&self) -> &[Sum] {
        &self.sums
    }

    /// Largest levels by meter and dimensions.
    pub fn peaks(&self) -> BTreeMap<(Meter, Dims), u128> {
        let mut peaks = BTreeMap::new();
        for (set, cell) in self
            .owners
            .iter()
            .flat_map(|(_, v)| v.cells())
            .filter(|(_, c)| c.kind == KIND_MAXIMUM)
        {
            let peak = peaks
                .entry((cell.meter, set.dims.iter().cloned().collect()))
                .or_insert(0);
            *peak = cell.value.max(*peak);
        }
        peaks
    }
}

/// Usage that no batch brought: inferred from the readings on both sides of a hole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InferredUsage {
    /// Meter.
    pub meter: String,
    /// Base unit.
    pub unit: &'static str,
    /// Usage in base units, an integer as text; it is in the sums.
    pub value: String,
    /// Hours that have some of it.
    pub hours: u64,
}

/// What of these hours is inferred, by meter.
pub fn inferred(hours: &[TenantHour]) -> Result<Vec<InferredUsage>, FoldError> {
    let mut sums = InferredSums::default();
    hours.iter().try_for_each(|hour| sums.add(hour))?;
    Ok(sums.finish())
}

/// Inferred usage in the making.
#[derive(Debug, Clone, Default)]
pub struct InferredSums(BTreeMap<Meter, (u128, u64)>);

impl InferredSums {
    /// Adds a tenant's hour.
    pub fn add(&mut self, hour: &TenantHour) -> Result<(), FoldError> {
        let mut here: BTreeMap<Meter, u128> = BTreeMap::new();
        for sum in hour.by_meter().iter().filter(|s| s.inferred > 0) {
            let total = here.entry(sum.meter).or_insert(0);
            *total = total
                .checked_add(sum.inferred)
                .ok_or_else(|| impossible(sum.meter, 0))?;
        }
        for (meter, value) in here {
            let (total, hours) = self.0.entry(meter).or_insert((0, 0));
            *total = total.checked_add(value).ok_or_else(|| impossible(meter, 0))?;
            *hours += 1;
        }
        Ok(())
    }

    /// All of it, by meter.
    pub fn finish(self) -> Vec<InferredUsage> {
        let view = |(meter, (value, hours)): (Meter, (u128, u64))| InferredUsage {
            meter: meter.label(),
            unit: meter.info().map_or("unknown", |info| info.unit.name()),
            value: value.to_string(),
            hours,
        };
        self.0.into_iter().map(view).collect()
    }
}

/// What nodes could not measure in these hours, by meter and cause.
pub fn unmeasured(hours: &[TenantHour]) -> Vec<Unmeasured> {
    let mut found: BTreeMap<(String, &'static str, &'static str), (u64, Hour)> = BTreeMap::new();
    for hour in hours {
        for key in faults_of(hour) {
            found.entry(key).or_insert((0, hour.hour)).0 += 1;
        }
    }
    found
        .into_iter()
        .map(|((meter, state, cause), (hours, first))| Unmeasured {
            meter,
            state,
            cause,
            hours,
            first_hour: hour_text(first),
        })
        .collect()
}

fn faults_of(hour: &TenantHour) -> Vec<(String, &'static str, &'static str)> {
    let mut faults = Vec::new();
    for (_, value) in &hour.owners {
        for (_, cell) in value.cells().filter(|(_, c)| c.causes != 0) {
            let state = if cell.flags & FLAG_UNMEASURED != 0 {
                "unmeasured"
            } else {
                "partial"
            };
            let causes = Cause::ALL
                .into_iter()
                .filter(|c| cell.causes & (1 << c.number()) != 0);
            faults.extend(causes.map(|c| (cell.meter.label(), state, c.text())));
        }
        for hole in &value.holes {
            let meter = if hole.meter == 0 {
                "all".to_owned()
            } else {
                Meter(hole.meter).label()
            };
            let cause = Cause::from_number(hole.cause).map_or("unknown cause", Cause::text);
            faults.push((meter, "unmeasured", cause));
        }
    }
    faults.sort();
    faults.dedup();
    faults
}
