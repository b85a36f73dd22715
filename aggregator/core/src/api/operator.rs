//! What an operator asks: which nodes lag or have holes, which claims nobody registered, which batches are held.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};

use serde::Serialize;
use tallyman_common::codec;
use tallyman_common::ids::{NodeId, Owner};
use tallyman_common::time::Hour;

use super::text::instant_text;
use crate::bills::Books;
use crate::bills::completeness::node_minutes;
use crate::ingest::Reason;
use crate::log::{HeldNote, position_of};
use crate::ports::Table;
use crate::registry::{NodeStatus, TenantTerms};
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_SUM, KIND_WITHDRAWN, OwnerHour};
use crate::rollup::part::owner_of_key;

/// Hours of the past in which a node's missing minutes are counted.
const NODE_HOURS: u32 = 24;

/// A range of batches that did not come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SpoolGap {
    /// Spool.
    pub spool: String,
    /// First missing batch.
    pub first: u64,
    /// Last missing batch.
    pub last: u64,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodeView {
    /// Identity.
    pub node: String,
    /// Host name at enrolment.
    pub host_name: String,
    /// Group.
    pub group: String,
    /// Status.
    pub status: NodeStatus,
    /// When it joined.
    pub enrolled: String,
    /// The identity that its host had before, if it was set up anew.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replaces: Option<String>,
    /// End of the newest window that came, if any.
    pub newest_window_end: Option<String>,
    /// Milliseconds between that end and now.
    pub lag_ms: Option<u64>,
    /// The agent stopped in order behind the newest window.
    pub stopped: bool,
    /// Batches that are missing below ones that came.
    pub gaps: Vec<SpoolGap>,
    /// Minutes expected in the last 24 hours.
    pub expected_minutes_24h: u64,
    /// Of these, received.
    pub received_minutes_24h: u64,
}

/// Usage under a claim that belongs to no tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unconfirmed {
    /// The claim; `unattributed` for usage that nobody could be named for.
    pub claim: String,
    /// `unconfirmed` or `unattributed`.
    pub status: &'static str,
    /// First hour with usage in the span asked.
    pub first_hour: String,
    /// Last hour with usage.
    pub last_hour: String,
    /// Sums by meter, base units, integers as text.
    pub usage: BTreeMap<String, String>,
}

/// A batch that waits for a decision, or had one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HeldView {
    /// Its position: what release and discard take.
    pub position: u64,
    /// Node.
    pub node: String,
    /// Spool.
    pub spool: String,
    /// Number in the spool.
    pub seq: u64,
    /// Reason.
    pub reason: Option<Reason>,
    /// The reason in words.
    pub text: String,
    /// When it came.
    pub received: String,
    /// Window, as the batch says.
    pub window_start: String,
    /// Window, as the batch says.
    pub window_end: String,
    /// `open`, `released` or `discarded`.
    pub status: &'static str,
}

/// All nodes.
pub fn nodes(books: Books<'_>) -> Result<Vec<NodeView>, FoldError> {
    books.registry.nodes.keys().map(|id| node(books, *id)).collect()
}

fn node(books: Books<'_>, id: NodeId) -> Result<NodeView, FoldError> {
    let known = &books.registry.nodes[&id];
    let marks = books.marks.node(id);
    let marks = marks.filter(|m| m.expected_from(books.registry.seals.newest()).is_some());
    let (mut expected, mut received) = (0, 0);
    let now = books.now.hour();
    let first = Hour(now.0.checked_sub(NODE_HOURS).unwrap_or(now.0));
    for hour in (first.0..=now.0).map(Hour).filter(|_| marks.is_some()) {
        let minutes = node_minutes(books, id, hour)?;
        expected += u64::from(minutes.expected.count_ones());
        received += u64::from((minutes.expected & minutes.received).count_ones());
    }
    let newest = marks.map(|m| m.newest_end);
    Ok(NodeView {
        node: id.to_string(),
        host_name: known.host_name.clone(),
        group: known.group.clone(),
        status: known.status,
        enrolled: instant_text(known.enrolled),
        replaces: known.replaces.map(|old| old.to_string()),
        newest_window_end: newest.map(instant_text),
        // A window that ends ahead of our clock has no lag.
        lag_ms: newest.map(|end| books.now.0.checked_sub(end.0).map_or(0, |ms| ms)),
        stopped: marks.is_some_and(|m| m.stopped),
        gaps: marks.map_or_else(Vec::new, |m| {
            m.spools()
                .flat_map(|(s, _, mark)| gaps(s.to_string(), mark))
                .collect()
        }),
        expected_minutes_24h: expected,
        received_minutes_24h: received,
    })
}

fn gaps(spool: String, mark: &crate::ingest::Mark) -> Vec<SpoolGap> {
    let mut below = mark.watermark + 1;
    let mut found = Vec::new();
    for &(from, to) in &mark.above {
        found.push(SpoolGap {
            spool: spool.clone(),
            first: below,
            last: from - 1,
        });
        below = to;
    }
    found
}

/// Tenants' latest terms.
pub fn tenants(books: Books<'_>) -> Vec<TenantTerms> {
    books.registry.tenants.iter().cloned().collect()
}

/// Usage in `span` under claims that belong to no tenant then, and unattributed usage.
pub fn unconfirmed(books: Books<'_>, span: Range<Hour>) -> Result<Vec<Unconfirmed>, FoldError> {
    let mut found: BTreeMap<Owner, (Hour, Hour, BTreeMap<String, u128>)> = BTreeMap::new();
    let mut fault = None;
    let (from, to) = (span.start.0.to_be_bytes(), span.end.0.to_be_bytes());
    books.store.scan(Table::Cells, &from, &to, &mut |key, value| {
        let done = (|| -> Result<(), FoldError> {
            let (part, owner) = owner_of_key(key)?;
            let hour = part.hour;
            if owner == Owner::Host || books.registry.tenants.tenant_of(&owner, hour).is_some() {
                return Ok(());
            }
            let value = OwnerHour::decode(value)?;
            let entry = found
                .entry(owner)
                .or_insert_with(|| (hour, hour, BTreeMap::new()));
            entry.1 = hour;
            for (_, cell) in value.cells() {
                if !matches!(cell.kind, KIND_SUM | KIND_INFERRED | KIND_WITHDRAWN) {
                    continue;
                }
                let sum = entry.2.entry(cell.meter.label()).or_insert(0);
                let new = match cell.kind {
                    // Parts are read in order, so that what is taken back was added before.
                    KIND_WITHDRAWN => sum.checked_sub(cell.value),
                    _ => sum.checked_add(cell.value),
                };
                *sum = new.ok_or_else(|| FoldError::Entry {
                    position: value.upto,
                    reason: "a sum does not fit into 128 bits".to_owned(),
                })?;
            }
            Ok(())
        })();
        fault = done.err();
        if fault.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    })?;
    let view = |(owner, (first, last, usage)): (Owner, (Hour, Hour, BTreeMap<String, u128>))| Unconfirmed {
        claim: owner.to_string(),
        status: if owner == Owner::Unattributed {
            "unattributed"
        } else {
            "unconfirmed"
        },
        first_hour: instant_text(first.start()),
        last_hour: instant_text(last.start()),
        usage: usage
            .into_iter()
            .map(|(meter, sum)| (meter, sum.to_string()))
            .collect(),
    };
    fault.map_or_else(|| Ok(found.into_iter().map(view).collect()), Err)
}

/// Held batches, oldest first.
pub fn held(books: Books<'_>) -> Result<Vec<HeldView>, FoldError> {
    let (mut all, mut fault) = (Vec::new(), None);
    books
        .store
        .scan(Table::Held, &[], &[u8::MAX; 10], &mut |key, value| {
            let done = (|| -> Result<(), FoldError> {
                let note: HeldNote = codec::decode("held note", value)?;
                all.push(held_view(books, position_of(key)?, note));
                Ok(())
            })();
            fault = done.err();
            if fault.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
    fault.map_or(Ok(all), Err)
}

fn held_view(books: Books<'_>, position: u64, note: HeldNote) -> HeldView {
    let reason = Reason::from_number(note.reason);
    let words = reason.map_or("unknown reason", Reason::text);
    HeldView {
        position,
        node: note.node.to_string(),
        spool: note.spool.to_string(),
        seq: note.seq,
        reason,
        text: if note.detail.is_empty() {
            words.to_owned()
        } else {
            format!("{words}: {}", note.detail)
        },
        received: instant_text(note.received),
        window_start: instant_text(note.wall_start),
        window_end: instant_text(note.wall_end),
        status: match books.registry.held.get(&position) {
            None => "open",
            Some(true) => "released",
            Some(false) => "discarded",
        },
    }
}
