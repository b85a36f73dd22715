//! Where an hour of an item comes from: meters, owners, nodes, groups and batches, with what was inferred or is missing.
//!
//! A tenant sees nodes and spools by opaque names, and no groups. It must not know prices.

use std::collections::BTreeMap;

use serde::Serialize;
use tallyman_common::ids::{Digest, NodeId, Owner, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Cause, Dims};
use tallyman_common::time::Hour;

use super::completeness::{self, display_name};
use super::usage::{TenantHour, Unmeasured, tenant_hour, unmeasured};
use super::{Books, Completeness, Viewer};
use crate::rating::instant::instant_text;
use crate::rating::{Selection, hour_text};
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{
    FLAG_PARTIAL, FLAG_SPREAD, FLAG_UNMEASURED, KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN, OwnerHour,
};
use crate::rollup::{Cell, HoleNote, Trace};

/// Where an item's usage in one hour comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sources {
    /// Start of the hour.
    pub hour: String,
    /// What the item sums.
    pub meters: Vec<MeterPart>,
    /// Whose readings these are: the owners that meant the tenant then.
    pub owners: Vec<OwnerPart>,
    /// Which minutes came.
    pub completeness: Completeness,
    /// What nodes could not measure.
    pub unmeasured: Vec<Unmeasured>,
}

/// A sum that the item takes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MeterPart {
    /// Meter.
    pub meter: String,
    /// Base unit.
    pub unit: &'static str,
    /// Dimensions.
    pub dims: Dims,
    /// `plus`, or `minus` for what the item takes off.
    pub side: &'static str,
    /// Usage in base units, an integer as text.
    pub value: String,
    /// What of it is inferred over holes.
    pub inferred: String,
}

/// What one owner brought.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerPart {
    /// Name of the claim.
    pub owner: String,
    /// Sums of the item's meters by group of nodes and dimensions.
    pub sums: Vec<GroupSum>,
    /// Nodes and their batches that touch the hour.
    pub nodes: Vec<NodePart>,
    /// Time that a node could not measure.
    pub holes: Vec<HolePart>,
    /// Holes beyond those that are kept by name.
    pub more_holes: u64,
}

/// A sum of one meter on one group of nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupSum {
    /// Group of the nodes; operators see it.
    pub group: Option<String>,
    /// Meter.
    pub meter: String,
    /// Dimensions.
    pub dims: Dims,
    /// Measured, in base units.
    pub measured: String,
    /// Inferred over holes.
    pub inferred: String,
    /// Inferred and taken back, because the batch came after all.
    pub withdrawn: String,
    /// `measured`, `partial` or `unmeasured`.
    pub state: &'static str,
    /// Some of it was split at the hour's edge by time.
    pub spread: bool,
    /// Why something is partial or unmeasured, in words.
    pub causes: Vec<&'static str>,
}

/// A node's batches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePart {
    /// Node, or its opaque name.
    pub node: String,
    /// Minutes of the hour that are in some batch.
    pub minutes: u32,
    /// Batches, in order of arrival.
    pub batches: Vec<Batches>,
}

/// Batches of one spool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Batches {
    /// Spool, or its opaque name.
    pub spool: String,
    /// First number.
    pub first: u64,
    /// Last number.
    pub last: u64,
}

/// Time that a node could not measure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HolePart {
    /// Node, or its opaque name.
    pub node: String,
    /// Meter, or `all`.
    pub meter: String,
    /// Why, in words.
    pub cause: &'static str,
    /// Start.
    pub from: String,
    /// End.
    pub to: String,
    /// Which workload; empty for all.
    pub workload: String,
}

/// Where an item's usage of a tenant in an hour comes from. An item without meters has none.
pub fn sources(
    books: Books<'_>,
    (tenant, hour): (&str, Hour),
    selection: Option<&Selection>,
    viewer: Viewer,
) -> Result<Sources, FoldError> {
    let used = tenant_hour(books.store, books.registry, tenant, hour)?;
    let hours = std::slice::from_ref(&used);
    let completeness = completeness::of(books, hours, hour..hour.next(), viewer)?;
    let owners = used.owners.iter();
    let owners = owners.map(|(owner, value)| owner_part(owner, value, selection, viewer));
    Ok(Sources {
        hour: hour_text(hour),
        meters: meters(&used, selection),
        owners: owners.collect::<Result<_, _>>()?,
        completeness,
        unmeasured: unmeasured(hours),
    })
}

/// Whether an item takes any inferred usage of an hour.
pub fn is_inferred(used: &TenantHour, selection: Option<&Selection>) -> bool {
    used.by_meter()
        .iter()
        .any(|it| it.inferred > 0 && side(selection, it.meter, &it.dims).is_some())
}

fn meters(used: &TenantHour, selection: Option<&Selection>) -> Vec<MeterPart> {
    let parts = used.by_meter().iter().filter_map(|sum| {
        Some(MeterPart {
            meter: sum.meter.label(),
            unit: sum.meter.info().map_or("unknown", |info| info.unit.name()),
            dims: sum.dims.clone(),
            side: side(selection, sum.meter, &sum.dims)?,
            value: sum.value.to_string(),
            inferred: sum.inferred.to_string(),
        })
    });
    parts.collect()
}

/// On which side an item takes a meter with these dimensions.
fn side(selection: Option<&Selection>, meter: Meter, dims: &Dims) -> Option<&'static str> {
    let selection = selection.filter(|it| it.admits(dims))?;
    if selection.plus().contains(&meter) {
        Some("plus")
    } else {
        selection.minus().contains(&meter).then_some("minus")
    }
}

fn owner_part(
    owner: &Owner,
    value: &OwnerHour,
    selection: Option<&Selection>,
    viewer: Viewer,
) -> Result<OwnerPart, FoldError> {
    Ok(OwnerPart {
        owner: owner.to_string(),
        sums: group_sums(value, selection, viewer)?,
        nodes: value.traces.iter().map(|it| node_part(it, viewer)).collect(),
        holes: value.holes.iter().map(|it| hole_part(it, viewer)).collect(),
        more_holes: value.more_holes,
    })
}

/// Measured, inferred, withdrawn; flags; causes.
type Added = ([u128; 3], u8, u32);

fn group_sums(
    value: &OwnerHour,
    selection: Option<&Selection>,
    viewer: Viewer,
) -> Result<Vec<GroupSum>, FoldError> {
    let mut found: BTreeMap<(&str, Meter, Dims), Added> = BTreeMap::new();
    for (set, cell) in value.cells() {
        let dims: Dims = set.dims.iter().cloned().collect();
        if side(selection, cell.meter, &dims).is_none() {
            continue;
        }
        let Some(kind) = kind_of(cell) else { continue };
        let (sums, flags, causes) = found.entry((&set.group, cell.meter, dims)).or_default();
        sums[kind] = sums[kind]
            .checked_add(cell.value)
            .ok_or_else(|| FoldError::Entry {
                position: value.upto,
                reason: format!("the sum of {} does not fit into 128 bits", cell.meter.label()),
            })?;
        *flags |= cell.flags;
        *causes |= cell.causes;
    }
    let view = |((group, meter, dims), (sums, flags, causes)): ((&str, Meter, Dims), Added)| {
        let [measured, inferred, withdrawn] = sums.map(|it| it.to_string());
        let named = Cause::ALL
            .into_iter()
            .filter(|it| causes & (1 << it.number()) != 0);
        GroupSum {
            group: (viewer == Viewer::Operator).then(|| group.to_owned()),
            meter: meter.label(),
            dims,
            measured,
            inferred,
            withdrawn,
            state: state(flags),
            spread: flags & FLAG_SPREAD != 0,
            causes: named.map(Cause::text).collect(),
        }
    };
    Ok(found.into_iter().map(view).collect())
}

fn kind_of(cell: &Cell) -> Option<usize> {
    match cell.kind {
        KIND_SUM => Some(0),
        KIND_INFERRED => Some(1),
        KIND_WITHDRAWN => Some(2),
        _ => None,
    }
}

fn state(flags: u8) -> &'static str {
    if flags & FLAG_UNMEASURED != 0 {
        "unmeasured"
    } else if flags & FLAG_PARTIAL != 0 {
        "partial"
    } else {
        "measured"
    }
}

fn node_part(trace: &Trace, viewer: Viewer) -> NodePart {
    let batches = trace.batches.iter().map(|(spool, first, last)| Batches {
        spool: spool_name(*spool, trace.node, viewer),
        first: *first,
        last: *last,
    });
    NodePart {
        node: display_name(trace.node, viewer),
        minutes: trace.minutes.count_ones(),
        batches: batches.collect(),
    }
}

/// What a tenant sees of a spool's identity: the same spool has the same name.
fn spool_name(spool: SpoolId, node: NodeId, viewer: Viewer) -> String {
    match viewer {
        Viewer::Operator => spool.to_string(),
        Viewer::Tenant => {
            let digest = Digest::of(&[b"tallyman/opaque-spool/1\0", &node.0, &spool.0]).to_string();
            format!("spool-{}", &digest[..12])
        }
    }
}

fn hole_part(hole: &HoleNote, viewer: Viewer) -> HolePart {
    HolePart {
        node: display_name(hole.node, viewer),
        meter: if hole.meter == 0 {
            "all".to_owned()
        } else {
            Meter(hole.meter).label()
        },
        cause: Cause::from_number(hole.cause).map_or("unknown cause", Cause::text),
        from: instant_text(hole.start),
        to: instant_text(hole.end),
        workload: hole.workload.clone(),
    }
}
