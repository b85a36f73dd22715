//! A node's batches in order of time: runs of what came, and the holes between them. A new spool is a hole as well:
//! what its predecessor lost at its end nobody can number, and of a predecessor that lost all nothing came at all.

use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::time::{Hour, WallMs};
use tallyman_common::wire::Header;

use crate::bills::Books;
use crate::headers::{self, Place};
use crate::ingest::{Mark, NodeMarks};
use crate::log::{Entry, Fate, position_key};
use crate::ports::{Read, Table};
use crate::rollup::cache::FoldError;

/// Batches of one spool that came, without a hole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Run {
    /// The spool.
    pub spool: SpoolId,
    /// First batch.
    pub first: Seq,
    /// Last batch.
    pub last: Seq,
}

/// A node's runs, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Whose.
    pub node: NodeId,
    /// Runs.
    pub runs: Vec<Run>,
}

/// A hole in front of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hole {
    /// Index of the run behind it.
    pub run: usize,
    /// Missing batches: spool, first and last. The end of a spool that was given up has no last one.
    pub missing: Vec<(SpoolId, Seq, Seq)>,
    /// Start on the wall clock.
    pub start: WallMs,
    /// End on the wall clock; before the start when the clock stepped.
    pub end: WallMs,
}

impl Chain {
    /// The chain of a node with a hole in it; `None` when all came in one spool, from the node's very first batch on, or
    /// every run but the first one has been judged.
    pub fn of_doubtful(books: Books<'_>, node: NodeId, marks: &NodeMarks) -> Result<Option<Self>, FoldError> {
        let mut spools: Vec<Vec<Run>> = marks
            .spools()
            .filter(|(_, partition, _)| *partition == 0)
            .map(|(spool, _, mark)| runs_of(spool, mark))
            .filter(|runs| !runs.is_empty())
            .collect();
        let is_open = |run: &&Run| !books.registry.holes.is_judged(node, run.spool, run.first);
        let open: Vec<&Run> = spools.iter().flatten().filter(is_open).collect();
        let nothing = match open[..] {
            [] => true,
            [run] => run.first == 1 && is_very_first(books.store, node, run.spool)?,
            _ => false,
        };
        if nothing {
            return Ok(None);
        }
        if spools.len() > 1 {
            let mut dated = Vec::with_capacity(spools.len());
            for runs in spools {
                let header = header_at(books.store, node, runs[0].spool, runs[0].first)?;
                dated.push((header.map(|h| h.wall_end), runs));
            }
            dated.sort_by_key(|(end, _)| *end);
            spools = dated.into_iter().map(|(_, runs)| runs).collect();
        }
        let runs = spools.into_iter().flatten().collect();
        Ok(Some(Self { node, runs }))
    }

    /// The oldest hole that was not judged and begins in `hour` or before it.
    pub fn first_unjudged(&self, books: Books<'_>, hour: Hour) -> Result<Option<Hole>, FoldError> {
        for (at, run) in self.runs.iter().enumerate() {
            if books.registry.holes.is_judged(self.node, run.spool, run.first) {
                continue;
            }
            if let Some(hole) = self.hole(books.store, at)?
                && hole.start.min(hole.end).hour() <= hour
            {
                return Ok(Some(hole));
            }
        }
        Ok(None)
    }

    /// The hole in front of a run; `None` in front of a node's very first batch. In front of the first batch of a spool
    /// that is the first to come, but names one before it, nobody can say which batches are missing.
    pub fn hole(&self, store: &dyn Read, at: usize) -> Result<Option<Hole>, FoldError> {
        let missing = self.missing(at);
        let run = self.runs[at];
        let far = header_at(store, self.node, run.spool, run.first)?;
        let follows = |far: &Header| far.prev_digest != Digest::default();
        let Some(far) = far.filter(|far| !missing.is_empty() || follows(far)) else {
            return Ok(None);
        };
        let before = match at.checked_sub(1).map(|at| self.runs[at]) {
            Some(before) => header_at(store, self.node, before.spool, before.last)?,
            None => None,
        };
        let (start, end) = between(before.as_ref(), &far);
        Ok(Some(Hole {
            run: at,
            missing,
            start,
            end,
        }))
    }

    /// What is missing in front of a run.
    pub fn missing(&self, at: usize) -> Vec<(SpoolId, Seq, Seq)> {
        let run = self.runs[at];
        let (mut missing, mut from) = (Vec::new(), 1);
        if let Some(before) = at.checked_sub(1).map(|at| self.runs[at]) {
            if before.spool == run.spool {
                from = before.last + 1;
            } else {
                missing.push((before.spool, before.last + 1, Seq::MAX));
            }
        }
        if from < run.first {
            missing.push((run.spool, from, run.first - 1));
        }
        missing
    }
}

/// Whether the first batch of a spool has nothing before it: it names no batch.
fn is_very_first(store: &dyn Read, node: NodeId, spool: SpoolId) -> Result<bool, FoldError> {
    let header = header_at(store, node, spool, 1)?;
    Ok(header.is_none_or(|h| h.prev_digest == Digest::default()))
}

fn runs_of(spool: SpoolId, mark: &Mark) -> Vec<Run> {
    let mut runs = Vec::new();
    let mut first = 1;
    for (from, to) in mark.missing() {
        if first < from {
            let last = from - 1;
            runs.push(Run { spool, first, last });
        }
        first = to;
    }
    if first <= mark.highest() {
        let last = mark.highest();
        runs.push(Run { spool, first, last });
    }
    runs
}

/// Time between two batches. Of a window in parts, the others can be what is missing: then its time belongs to the hole.
/// In one boot the length is told by boot time, back from the far side's label; over a restart only labels are left.
fn between(before: Option<&Header>, far: &Header) -> (WallMs, WallMs) {
    let booked = |h: &Header| h.window().booked_start().unwrap_or(h.wall_start);
    let (end, end_boot) = match far.part {
        0 => (booked(far), far.boot_start),
        _ => (far.wall_end, far.boot_end),
    };
    let Some(before) = before else {
        return (end, end);
    };
    let (start, start_boot) = if before.part + 1 < before.parts {
        (booked(before), before.boot_start)
    } else {
        (before.wall_end, before.boot_end)
    };
    let length = (before.boot == far.boot)
        .then(|| end_boot.0.checked_sub(start_boot.0))
        .flatten();
    let counted = length.and_then(|ms| end.0.checked_sub(ms));
    (counted.map_or(start, WallMs), end)
}

/// Header of a batch, counted or not; the counted one if there are several.
fn header_at(store: &dyn Read, node: NodeId, spool: SpoolId, seq: Seq) -> Result<Option<Header>, FoldError> {
    let kept = headers::kept(store, &Place::of(node, spool, seq..=seq))?;
    headers::foremost(kept).map_or(Ok(None), |kept| headers::header_of(&kept))
}

/// Position and entry of the batch that counts; `None` when what came of it is held, was discarded, or is not in the log
/// any more, and when another one of its number waits for a person: then nobody knows whose readings these are.
pub fn counted(
    books: Books<'_>,
    node: NodeId,
    spool: SpoolId,
    seq: Seq,
) -> Result<Option<(u64, Entry)>, FoldError> {
    let mut found = None;
    for kept in headers::kept(books.store, &Place::of(node, spool, seq..=seq))? {
        let decided = books.registry.held.get(&kept.position);
        match (kept.fate()?, decided) {
            (Fate::Counted, _) | (Fate::Held(_), Some(true)) if found.is_none() => {
                found = Some(kept.position)
            }
            (Fate::Held(_), Some(false)) => {}
            _ => return Ok(None),
        }
    }
    let Some(position) = found else {
        return Ok(None);
    };
    let entry = books.store.get(Table::Log, &position_key(position))?;
    let entry = entry.map(|value| Entry::decode(&value)).transpose()?;
    Ok(entry.map(|entry| (position, entry)))
}
