//! Coming back: registry and marks from their tables, cells from the log behind their floor (I5).

use std::ops::ControlFlow;

use tallyman_common::ids::NodeId;
use tallyman_common::record::Record;
use tallyman_common::time::{WallMs, Window};
use tallyman_common::wire::{Frame, Header};

use crate::ingest::Marks;
use crate::log::{Entry, Fate, decode_decision, position_key, position_of};
use crate::ports::{Read, StoreError, Table, try_scan};
use crate::registry::{Command, Decision, Registry};
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_WITHDRAWN};
use crate::rollup::fold::BatchPlace;
use crate::rollup::{Inference, Rollup};

/// Key of the newest position in the table of single values (docs/FORMATS.md).
pub const META_POSITION: &[u8] = b"last-position";

/// Key of the position up to which the stored cells contain everything.
pub const META_FLOOR: &[u8] = b"cells-floor";

/// Position of the newest entry; 0 in a new store. An error when the store can't be read or its value is no position.
pub fn newest_position(store: &dyn Read) -> Result<u64, StoreError> {
    meta_number(store, META_POSITION)
}

/// A position in the table of single values; 0 when it was never written. An error when the store can't be read or the
/// value has not eight bytes.
pub fn meta_number(store: &dyn Read, key: &[u8]) -> Result<u64, StoreError> {
    let Some(value) = store.get(Table::Meta, key)? else {
        return Ok(0);
    };
    let bytes = value.try_into().map_err(|_| StoreError {
        operation: "reading a position",
        table: Table::Meta.name(),
        reason: "not eight bytes".to_owned(),
    })?;
    Ok(u64::from_be_bytes(bytes))
}

/// The fold of all decisions.
pub fn read_registry(store: &dyn Read) -> Result<Registry, FoldError> {
    read_registry_until(store, u64::MAX)
}

/// The fold of all decisions up to a position, that one included.
pub fn read_registry_until(store: &dyn Read, position: u64) -> Result<Registry, FoldError> {
    let mut registry = Registry::default();
    let end = [&position_key(position)[..], &[0]].concat();
    try_scan(store, Table::Decisions, (&[], &end), |_, value| {
        registry.apply(&decode_decision(value)?);
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(registry)
}

/// The same, with tenants and payers shared with a registry of later, where no decision between the two is about them.
pub fn read_registry_like(store: &dyn Read, position: u64, later: &Registry) -> Result<Registry, FoldError> {
    let mut is_same = true;
    let (from, behind) = (position_key(position + 1), [u8::MAX; 10]);
    try_scan(store, Table::Decisions, (&from, &behind), |_, value| {
        is_same = !decode_decision(value)?.command.is_about_payers();
        Ok::<_, FoldError>(match is_same {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        })
    })?;
    if !is_same {
        return read_registry_until(store, position);
    }
    let mut registry = Registry {
        tenants: later.tenants.clone(),
        payers: later.payers.clone(),
        back_dated: later.back_dated.clone(),
        ..Registry::default()
    };
    let end = [&position_key(position)[..], &[0]].concat();
    try_scan(store, Table::Decisions, (&[], &end), |_, value| {
        let decision = decode_decision(value)?;
        if !decision.command.is_about_payers() {
            registry.apply(&decision);
        }
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(registry)
}

/// The marks of every node. An error when the store can't be read or a value is malformed.
pub fn read_marks(store: &dyn Read) -> Result<Marks, FoldError> {
    let mut marks = Marks::default();
    try_scan(store, Table::Marks, (&[], &[u8::MAX; 17]), |key, value| {
        let node = key.try_into().map(NodeId).expect("keys of this table are nodes");
        marks.load(node, value)?;
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(marks)
}

/// Folds every counted entry, and every decision that changes cells, above `floor`, in order of position (I5).
pub fn replay(
    store: &dyn Read,
    registry: &Registry,
    floor: u64,
    now: WallMs,
    rollup: &mut Rollup,
) -> Result<(), FoldError> {
    let decisions = folding_above(store, floor)?;
    let mut decisions = decisions.iter().peekable();
    let from = position_key(floor + 1);
    try_scan(store, Table::Log, (&from, &[u8::MAX; 10]), |key, value| {
        let (position, entry) = (position_of(key)?, Entry::decode(value)?);
        while let Some(decision) = decisions.next_if(|d| d.position < position) {
            fold_decision(decision, store, registry, now, rollup)?;
        }
        if entry.fate == Fate::Counted {
            fold_entry(position, &entry, registry, now, rollup, store)?;
        }
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    decisions.try_for_each(|decision| fold_decision(decision, store, registry, now, rollup))
}

/// The decisions above `floor` that change cells.
fn folding_above(store: &dyn Read, floor: u64) -> Result<Vec<Decision>, FoldError> {
    let (mut found, from) = (Vec::new(), position_key(floor + 1));
    try_scan(store, Table::Decisions, (&from, &[u8::MAX; 10]), |_, value| {
        let decision = decode_decision(value)?;
        let folds = matches!(
            decision.command,
            Command::ReleaseBatch { .. } | Command::JudgeHole(_) | Command::WithdrawJudgement { .. }
        );
        found.extend(folds.then_some(decision));
        Ok::<_, FoldError>(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn fold_decision(
    decision: &Decision,
    store: &dyn Read,
    registry: &Registry,
    now: WallMs,
    rollup: &mut Rollup,
) -> Result<(), FoldError> {
    let position = decision.position;
    let (judged, kind) = match decision.command {
        Command::ReleaseBatch { position: held, .. } => {
            let missing = || FoldError::Entry {
                position: held,
                reason: "released, but not in the log".into(),
            };
            let value = store.get(Table::Log, &position_key(held))?.ok_or_else(missing)?;
            return fold_entry(position, &Entry::decode(&value)?, registry, now, rollup, store);
        }
        Command::WithdrawJudgement { position: judged } => (judged, KIND_WITHDRAWN),
        _ => (position, KIND_INFERRED),
    };
    let Some(inference) = read_inference(store, judged)? else {
        return Ok(());
    };
    let sealed = registry.seals.newest_before(position);
    rollup.fold_inference((position, sealed), &inference, kind, now, store)
}

/// What was inferred by the judgement at `position`; `None` if that was nothing.
pub fn read_inference(store: &dyn Read, position: u64) -> Result<Option<Inference>, FoldError> {
    let value = store.get(Table::Inferences, &position_key(position))?;
    Ok(value.map(|v| Inference::decode(&v)).transpose()?)
}

/// Folds an entry by the entry or decision at `position` that counts it.
pub(crate) fn fold_entry(
    position: u64,
    entry: &Entry,
    registry: &Registry,
    now: WallMs,
    rollup: &mut Rollup,
    store: &dyn Read,
) -> Result<(), FoldError> {
    if !rollup.takes(&window_of(position, entry)?) {
        return Ok(());
    }
    let (header, records) = open_entry(position, entry, registry)?;
    let group = rollup.group(registry.nodes.get(&header.node).map_or("", |n| n.group.as_str()));
    let sealed = registry.seals.newest_before(position);
    let place = BatchPlace::new(position, sealed, group, &header).ok_or_else(|| FoldError::Entry {
        position,
        reason: "its window lies before 1970".into(),
    })?;
    rollup.fold(&place, &records, now, store)
}

fn window_of(position: u64, entry: &Entry) -> Result<Window, FoldError> {
    let frame = Frame::parse(&entry.frame).map_err(|e| FoldError::Entry {
        position,
        reason: e.to_string(),
    })?;
    Ok(frame.header.window())
}

/// Header and records of an entry; its signature is checked again, so that a changed log is found.
pub fn open_entry(
    position: u64,
    entry: &Entry,
    registry: &Registry,
) -> Result<(Header, Vec<Record>), FoldError> {
    let fault = |reason: String| FoldError::Entry { position, reason };
    let frame = Frame::parse(&entry.frame).map_err(|e| fault(e.to_string()))?;
    let node = frame.header.node;
    let key = registry.nodes.get(&node).map(|n| n.signing_key);
    let key = key.ok_or_else(|| fault(format!("node {node} is not known")))?;
    let verified = frame.verify(&key).map_err(|e| fault(e.to_string()))?;
    let leaves = verified.open().map_err(|e| fault(e.to_string()))?;
    Ok((
        verified.header().clone(),
        leaves.into_iter().map(|leaf| leaf.record).collect(),
    ))
}
