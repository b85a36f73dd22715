//! Cost so far with the minute that runs: the bill drafted once more over cells to which the nodes' live views are
//! added. An estimate, never billed: live views are unsigned and vanish with the next batch.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use tallyman_aggregator_core::api::text::instant_text;
use tallyman_aggregator_core::api::usage::MeterValue;
use tallyman_aggregator_core::bills::{self, Bill, BillError, Books, Viewer, tenant_hour};
use tallyman_aggregator_core::ports::{Read, StoreError, Table, Visit};
use tallyman_aggregator_core::registry::NodeStatus;
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_aggregator_core::rollup::cell::{Addition, KIND_SUM, OwnerHour};
use tallyman_aggregator_core::rollup::part::owner_key;
use tallyman_common::codec;
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::message::LiveRow;
use tallyman_common::meter::Meter;
use tallyman_common::record::{Dims, State};
use tallyman_common::time::{Hour, LABEL_TOLERANCE_MS, WallMs};

use super::limits::LIVE_AGE_MS_MAX;
use crate::live::{LiveBoard, Seen};

/// What is added to cost and usage by the minute that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Estimate {
    /// Always true: nothing in here is billed.
    pub is_estimate: bool,
    /// The newest live view in it; nothing when no node sent one lately.
    pub newest: Option<String>,
    /// Nodes whose live views are in it.
    pub nodes: usize,
    /// Usage since the last counted window, by meter.
    pub usage: Vec<MeterValue>,
    /// Currency of the total.
    pub currency: Option<String>,
    /// Exact cost of the period with it, decimal.
    pub subtotal_exact: Option<String>,
    /// Cost of the period with it, rounded by line, decimal.
    pub total: Option<String>,
}

/// Usage of owners since the last counted window, by the hour it falls into.
type Additions = BTreeMap<(Hour, Owner), Vec<(Arc<str>, LiveRow)>>;

/// Whose usage, and of when.
struct Asked<'a> {
    books: Books<'a>,
    tenant: &'a str,
    period: Range<Hour>,
}

/// The estimate of a tenant's period. Nodes that the tenant used in this hour or the last are looked at: one that it
/// came to within the last minute appears with its first batch.
pub fn of(
    books: Books<'_>,
    tenant: &str,
    period: Range<Hour>,
    viewer: Viewer,
    live: &LiveBoard,
) -> Result<Estimate, BillError> {
    let asked = Asked {
        books,
        tenant,
        period: period.clone(),
    };
    let mut additions = Additions::new();
    let (mut nodes, mut newest) = (0, None);
    for node in nodes_of(books, tenant)? {
        let fresh = live.of(node).filter(|seen| is_fresh(books, node, seen));
        let Some(seen) = fresh else { continue };
        if take(&asked, node, &seen, &mut additions) {
            nodes += 1;
            newest = newest.max(Some(seen.live.wall_now));
        }
    }
    let usage = sum_up(&additions)?;
    let store = with_live(books.store, &additions)?;
    let with_live = Books {
        store: &store,
        ..books
    };
    let bill = priced(bills::draft(with_live, tenant, period, viewer))?;
    Ok(Estimate {
        is_estimate: true,
        newest: newest.map(instant_text),
        nodes,
        usage,
        currency: bill.as_ref().map(|b| b.currency.clone()),
        subtotal_exact: bill.as_ref().map(|b| b.subtotal_exact.clone()),
        total: bill.map(|b| b.total),
    })
}

/// Without prices there is usage all the same.
fn priced(bill: Result<Bill, BillError>) -> Result<Option<Bill>, BillError> {
    match bill {
        Ok(bill) => Ok(Some(bill)),
        Err(BillError::NoBook(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

fn nodes_of(books: Books<'_>, tenant: &str) -> Result<BTreeSet<NodeId>, FoldError> {
    let this = books.now.hour();
    let mut nodes = BTreeSet::new();
    for hour in [this.0.checked_sub(1).map(Hour), Some(this)]
        .into_iter()
        .flatten()
    {
        let usage = tenant_hour(books.store, books.registry, tenant, hour)?;
        let traces = usage.owners.iter().flat_map(|(_, value)| &value.traces);
        nodes.extend(traces.map(|trace| trace.node));
    }
    Ok(nodes)
}

/// A view of now, of a node that is trusted, whose readings no batch has counted yet.
fn is_fresh(books: Books<'_>, node: NodeId, seen: &Seen) -> bool {
    let active = books.registry.nodes.get(&node).map(|n| n.status) == Some(NodeStatus::Active);
    let young = books.now.0.abs_diff(seen.received.0) <= LIVE_AGE_MS_MAX
        && books.now.0.abs_diff(seen.live.wall_now.0) <= LIVE_AGE_MS_MAX;
    let live = &seen.live;
    let age = live.boot_now.0.checked_sub(live.window_end.0);
    let window_end = age.and_then(|age| live.wall_now.0.checked_sub(age));
    let counted = books.marks.node(node).map_or(0, |marks| marks.newest_end.0);
    active && young && window_end.is_some_and(|end| counted <= end + LABEL_TOLERANCE_MS)
}

/// Adds a node's rows of the tenant; whether there were any.
fn take(asked: &Asked<'_>, node: NodeId, seen: &Seen, additions: &mut Additions) -> bool {
    let Asked {
        books,
        tenant,
        period,
    } = asked;
    let hour = WallMs(seen.live.wall_now.0.min(books.now.0)).hour();
    if !period.contains(&hour) {
        return false;
    }
    let owners = books.registry.tenants.owners_of(tenant, hour);
    let group: Arc<str> = books
        .registry
        .nodes
        .get(&node)
        .map_or("", |n| n.group.as_str())
        .into();
    let mut taken = false;
    for row in &seen.live.rows {
        let owner = Owner::from_parts(row.owner.0, &row.owner.1);
        if let Some(owner) = owner.ok().filter(|o| owners.contains(o)) {
            let rows = additions.entry((hour, owner)).or_default();
            rows.push((group.clone(), row.clone()));
            taken = true;
        }
    }
    taken
}

fn sum_up(additions: &Additions) -> Result<Vec<MeterValue>, BillError> {
    let mut sums: BTreeMap<(Meter, Dims), u128> = BTreeMap::new();
    for (_, row) in additions.values().flatten() {
        let sum = sums
            .entry((row.meter, row.dims.iter().cloned().collect()))
            .or_insert(0);
        *sum = sum.checked_add(row.since_window).ok_or_else(|| too_large(row))?;
    }
    let value = |((meter, dims), sum): ((Meter, Dims), u128)| MeterValue {
        meter: meter.label(),
        unit: meter.info().map_or("unknown", |info| info.unit.name()),
        dims,
        value: sum.to_string(),
        peak: None,
    };
    Ok(sums.into_iter().map(value).collect())
}

fn too_large(row: &LiveRow) -> BillError {
    BillError::Rating(format!("the live sum of {} does not fit", row.meter.label()))
}

/// A snapshot whose cells have the live views in them.
struct WithLive<'a> {
    store: &'a dyn Read,
    cells: BTreeMap<Vec<u8>, Vec<u8>>,
}

fn with_live<'a>(store: &'a dyn Read, additions: &Additions) -> Result<WithLive<'a>, FoldError> {
    let mut cells = BTreeMap::new();
    for ((hour, owner), rows) in additions {
        let key = owner_key(*hour, owner);
        let mut value = match store.get(Table::Cells, &key)? {
            Some(bytes) => OwnerHour::decode(&bytes)?,
            None => OwnerHour::default(),
        };
        for (group, row) in rows {
            let cell = value.set_mut(group, &row.dims).cell_mut(row.meter, KIND_SUM);
            let addition = Addition {
                value: row.since_window,
                covered_ms: 0,
                state: State::Measured,
                spread: false,
            };
            cell.add(addition).ok_or_else(|| FoldError::Entry {
                position: value.upto,
                reason: too_large(row).to_string(),
            })?;
        }
        cells.insert(key, codec::encode(&value));
    }
    Ok(WithLive { store, cells })
}

impl Read for WithLive<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.cells.get(key).filter(|_| table == Table::Cells) {
            Some(value) => Ok(Some(value.clone())),
            None => self.store.get(table, key),
        }
    }

    /// Drafts read cells one by one; whoever scans sees what is counted.
    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.store.scan(table, from, to, visit)
    }
}
