//! What a hole hides: for each series on its far side, the reading there without the last one that came before. Readings
//! only grow, so that is what was used in between, never more than the truth (I1).
//!
//! Nothing is inferred over a batch that is held or was discarded: what is in it is for a person.

use std::collections::{BTreeMap, BTreeSet};

use tallyman_common::ids::{Owner, Seq, SpoolId};
use tallyman_common::meter::Meter;
use tallyman_common::record::{Birth, Record};
use tallyman_common::wire::Header;

use super::HoleDraft;
use super::chain::{Chain, Hole, counted};
use crate::bills::Books;
use crate::headers::{self, Place};
use crate::limits::WALK_BATCHES_MAX;
use crate::registry::Judgement;
use crate::restart::open_entry;
use crate::rollup::Inference;
use crate::rollup::cache::FoldError;
use crate::rollup::inference::{InferredSet, Span};

/// Names a series on one node.
type SeriesKey = (Owner, Vec<(String, String)>, Birth, Meter);
type OwnerDims = (Owner, Vec<(String, String)>);
/// Usage by owner, dimensions and meter.
type Usage = BTreeMap<OwnerDims, BTreeMap<Meter, u128>>;

/// Judges a hole of a chain.
pub fn judge(books: Books<'_>, chain: &Chain, hole: Hole) -> Result<HoleDraft, FoldError> {
    let wanted = far_readings(books, chain, &hole)?;
    let mut walk = Walk {
        books,
        chain,
        wanted,
        crossed: Vec::new(),
        contradictions: 0,
    };
    if walk.cross(hole.clone())? {
        walk.back(hole.run)?;
    }
    walk.draft(hole)
}

/// Readings at the start of the first window behind a hole, all of its parts.
fn far_readings(
    books: Books<'_>,
    chain: &Chain,
    hole: &Hole,
) -> Result<BTreeMap<SeriesKey, u128>, FoldError> {
    let run = chain.runs[hole.run];
    let (mut wanted, mut first): (_, Option<Header>) = (BTreeMap::new(), None);
    for seq in run.first..=run.last {
        let Some((header, records)) = read(books, chain, run.spool, seq)? else {
            break;
        };
        let same = |f: &Header| {
            (f.boot, f.boot_start, f.boot_end) == (header.boot, header.boot_start, header.boot_end)
        };
        if first.as_ref().is_some_and(|f| !same(f)) {
            break;
        }
        for_each_row(&records, |key, from, _| {
            // Earlier parts of a window come first; a series has one row in it.
            if from > 0 {
                wanted.entry(key).or_insert(from);
            }
        });
        first.get_or_insert(header);
    }
    Ok(wanted)
}

fn read(
    books: Books<'_>,
    chain: &Chain,
    spool: SpoolId,
    seq: Seq,
) -> Result<Option<(Header, Vec<Record>)>, FoldError> {
    let found = counted(books, chain.node, spool, seq)?;
    let opened = found.map(|(position, entry)| open_entry(position, &entry, books.registry));
    opened.transpose()
}

fn for_each_row(records: &[Record], mut visit: impl FnMut(SeriesKey, u128, u128)) {
    for record in records {
        for group in &record.groups {
            let dims: Vec<_> = group.dims.iter().map(|(n, v)| (n.clone(), v.clone())).collect();
            for row in &group.rows {
                let key = (record.owner.clone(), dims.clone(), group.birth, row.meter);
                visit(key, row.from, row.to);
            }
        }
    }
}

/// The way back from a hole's far side.
struct Walk<'a> {
    books: Books<'a>,
    chain: &'a Chain,
    /// Series whose last reading is still looked for, with the reading behind the hole.
    wanted: BTreeMap<SeriesKey, u128>,
    /// Holes on the way, newest first, with what was used in each.
    crossed: Vec<(Hole, Usage)>,
    contradictions: u64,
}

impl Walk<'_> {
    /// Goes back from the far side of the hole in front of `run`, until all readings are found.
    fn back(&mut self, run: usize) -> Result<(), FoldError> {
        let mut left = WALK_BATCHES_MAX;
        for at in (0..run).rev() {
            let piece = self.chain.runs[at];
            for seq in (piece.first..=piece.last).rev() {
                if self.wanted.is_empty() || left == 0 {
                    return Ok(());
                }
                left -= 1;
                let Some((_, records)) = read(self.books, self.chain, piece.spool, seq)? else {
                    return Ok(());
                };
                self.compare(&records);
            }
            let Some(hole) = self.chain.hole(self.books.store, at)? else {
                return Ok(());
            };
            if self.wanted.is_empty() || !self.cross(hole)? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// A further hole: series that began in it, or in a spool of which nothing came, began at 0; such a spool is missing
    /// as a whole. False when a batch in it is held: nothing is inferred over that.
    fn cross(&mut self, mut hole: Hole) -> Result<bool, FoldError> {
        let births: BTreeSet<SpoolId> = self.wanted.keys().map(|(_, _, birth, _)| birth.spool).collect();
        let unknown = births
            .into_iter()
            .filter(|spool| !self.chain.runs.iter().any(|run| run.spool == *spool));
        hole.missing.extend(unknown.map(|spool| (spool, 1, Seq::MAX)));
        for &(spool, first, last) in &hole.missing {
            let place = Place::of(self.chain.node, spool, first..=last);
            // Of what is missing only held ones can be kept.
            if headers::any_behind(self.books.store, &place, 0)? {
                if self.crossed.is_empty() {
                    self.crossed.push((hole, Usage::new()));
                }
                return Ok(false);
            }
        }
        let began = |birth: &Birth| {
            let missing = |&(spool, first, last): &(SpoolId, Seq, Seq)| {
                birth.spool == spool && (first..=last).contains(&birth.seq)
            };
            hole.missing.iter().any(missing)
        };
        let (born, left) = std::mem::take(&mut self.wanted)
            .into_iter()
            .partition(|((_, _, birth, _), _)| began(birth));
        self.wanted = left;
        self.crossed.push((hole, Usage::new()));
        for (key, from) in born {
            self.book(key, from);
        }
        Ok(true)
    }

    fn compare(&mut self, records: &[Record]) {
        let mut found = Vec::new();
        for_each_row(records, |key, _, to| {
            if let Some(from) = self.wanted.remove(&key) {
                found.push((key, from, to));
            }
        });
        for (key, from, to) in found {
            match from.checked_sub(to) {
                Some(used) => self.book(key, used),
                None => self.contradictions += 1,
            }
        }
    }

    /// Books usage into the oldest hole behind the reading that was found.
    fn book(&mut self, (owner, dims, _, meter): SeriesKey, used: u128) {
        if used == 0 {
            return;
        }
        let (_, usage) = self.crossed.last_mut().expect("begins at a hole");
        let sum = usage.entry((owner, dims)).or_default().entry(meter).or_insert(0);
        match sum.checked_add(used) {
            Some(more) => *sum = more,
            None => self.contradictions += 1,
        }
    }

    fn draft(self, hole: Hole) -> Result<HoleDraft, FoldError> {
        let node = self.chain.node;
        let mut missing = Vec::new();
        let mut spans = Vec::new();
        for (at, (crossed, usage)) in self.crossed.into_iter().enumerate() {
            if at > 0 && usage.is_empty() {
                continue;
            }
            missing.extend(crossed.missing);
            if usage.is_empty() {
                continue;
            }
            let (start, end) = (crossed.start, crossed.end);
            let sets = usage.into_iter().map(set).collect();
            spans.push(Span { start, end, sets });
        }
        let known = self.books.registry.nodes.get(&node);
        let group = known.map_or_else(String::new, |n| n.group.clone());
        let inference = Inference { node, group, spans };
        let values = inference.values();
        let run = self.chain.runs[hole.run];
        let judgement = Judgement {
            node,
            spool: run.spool,
            seq: run.first,
            missing,
            start: hole.start,
            end: hole.end,
            values,
            unresolved: self.wanted.len() as u64,
            contradictions: self.contradictions,
            upto: self.books.position,
        };
        let inference = (values > 0).then_some(inference);
        Ok(HoleDraft { judgement, inference })
    }
}

fn set(((owner, dims), usage): (OwnerDims, BTreeMap<Meter, u128>)) -> InferredSet {
    InferredSet {
        owner_kind: owner.kind(),
        owner_name: owner.name().to_owned(),
        dims,
        usage: usage.into_iter().collect(),
    }
}
