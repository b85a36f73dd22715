//! When an hour's values stay as they are: a grace after its end, once the holes that begin in it were judged. Pure over
//! one snapshot: makes drafts that the writer takes only if what they were made from still stands (I5, I9).
//!
//! Knows no disk and no clock; `now` is an argument.

/// The chain of a node's batches, and the holes in it.
pub mod chain;
/// What a hole hides, by the readings on both of its sides.
pub mod judge;
/// Which sealed hours are packed next.
pub mod packing;

use std::ops::ControlFlow;

use tallyman_common::ids::Digest;
use tallyman_common::time::{HOUR_MS, Hour, WallMs};

use crate::bills::Books;
use crate::limits::SEAL_BACK_HOURS;
use crate::log::decode_decision;
use crate::ports::{Read, Table, try_scan};
use crate::registry::{Command, Judgement};
use crate::restart::{META_FLOOR, meta_number};
use crate::rollup::Inference;
use crate::rollup::cache::FoldError;
use crate::rollup::part::{is_late_node_key, owner_of_key};
use chain::Chain;

/// What is to be decided next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Draft {
    /// A hole.
    Hole(Box<HoleDraft>),
    /// An hour: [`Command::SealHour`].
    Hour(Command),
}

/// A judged hole before it is logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoleDraft {
    /// What is logged as a decision.
    pub judgement: Judgement,
    /// What was used in the hole, if anything was.
    pub inference: Option<Inference>,
}

/// The hour that is sealed next; `None` before anything came. Begins with the first hour that has anything, but not more
/// than a month before the log's first decision: a clock that was off at its start would make it half a million hours.
pub fn next_hour(books: Books<'_>) -> Result<Option<Hour>, FoldError> {
    if let Some(newest) = books.registry.seals.newest() {
        return Ok(Some(newest.next()));
    }
    let mut first = None;
    books.store.scan(Table::NodeHours, &[], &[], &mut |key, _| {
        first = key.first_chunk().map(|hour| Hour(u32::from_be_bytes(*hour)));
        ControlFlow::Break(())
    })?;
    let mut made = None;
    books.store.scan(Table::Decisions, &[], &[], &mut |_, value| {
        made = Some(decode_decision(value));
        ControlFlow::Break(())
    })?;
    let made = made.transpose()?.map(|decision| decision.at.hour());
    let least = made.and_then(|hour| hour.0.checked_sub(SEAL_BACK_HOURS));
    Ok(first.map(|hour| least.map_or(hour, |least| hour.max(Hour(least)))))
}

/// What is to be decided now: holes that begin in the next hour or before it, then the hour itself. Nothing while the
/// hour's grace lasts, while a restore is open, and while no active node was heard of as long after the hour as the
/// grace is: a clock that runs ahead seals nothing.
pub fn next(books: Books<'_>, grace_ms: u64) -> Result<Option<Draft>, FoldError> {
    let Some(hour) = next_hour(books)? else {
        return Ok(None);
    };
    let due = WallMs(hour.end().0 + grace_ms);
    if books.now < due || books.registry.open_restore().is_some() || !is_witnessed(books, due) {
        return Ok(None);
    }
    for node in books.registry.nodes.keys() {
        let Some(marks) = books.marks.node(*node) else {
            continue;
        };
        if let Some(chain) = Chain::of_doubtful(books, *node, marks)?
            && let Some(hole) = chain.first_unjudged(books, hour)?
        {
            let draft = judge::judge(books, &chain, hole)?;
            return Ok(Some(Draft::Hole(Box::new(draft))));
        }
    }
    let (values, digest) = digest_of(books.store, hour)?;
    let upto = meta_number(books.store, META_FLOOR)?;
    Ok(Some(Draft::Hour(Command::SealHour {
        hour,
        values,
        digest,
        upto,
    })))
}

/// Whether a node's own clock bears witness that the time is near; without active nodes nobody can.
fn is_witnessed(books: Books<'_>, due: WallMs) -> bool {
    let mut active = books.registry.active_nodes().peekable();
    let newest = |node| books.marks.node(node).map(|m| m.newest_end);
    active.peek().is_none() || active.filter_map(newest).any(|end| end.0 + HOUR_MS >= due.0)
}

/// Number of an hour's values on time, and the digest over them: for each, in order of table and key, the digest so far ‖
/// length of the table's name (u32) ‖ name ‖ length of the key (u32) ‖ key ‖ value are hashed (docs/FORMATS.md).
pub fn digest_of(store: &dyn Read, hour: Hour) -> Result<(u64, Digest), FoldError> {
    let (mut values, mut digest) = (0, Digest::of(&[b"tallyman/sealed-hour/1\0"]));
    let (from, to) = (hour.0.to_be_bytes(), hour.next().0.to_be_bytes());
    let length = |bytes: &[u8]| {
        u32::try_from(bytes.len())
            .expect("names and keys are short")
            .to_be_bytes()
    };
    for table in [Table::Cells, Table::NodeHours] {
        let name = table.name().as_bytes();
        try_scan(store, table, (&from, &to), |key, value| {
            let is_late = match table {
                Table::NodeHours => is_late_node_key(key),
                _ => owner_of_key(key)?.0.late.is_some(),
            };
            if !is_late {
                digest = Digest::of(&[&digest.0, &length(name), name, &length(key), key, value]);
                values += 1;
            }
            Ok::<_, FoldError>(ControlFlow::Continue(()))
        })?;
    }
    Ok((values, digest))
}
