//! Batches whose windows end in the day: by number every one is summed up, held, discarded or missing; each stands in
//! the log as its header says, is acknowledged if it is settled, and was counted once in its node's hours (I2, I3).

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use serde::{Deserialize, Serialize};
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::time::{Hour, WallMs};
use tallyman_common::wire::{Frame, Header};

use super::{Day, Findings};
use crate::bills::Books;
use crate::headers::{foremost, header_of};
use crate::ingest::Mark;
use crate::log::{Entry, Fate, Kept, position_key};
use crate::ports::Table;
use crate::rollup::cache::FoldError;
use crate::rollup::part::read_node;

/// Numbers of batches by what became of them: `sent` is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Fates {
    /// Numbers that were used, up to the newest batch of the day.
    pub sent: u64,
    /// In the cells, at once or when they were released.
    pub summed: u64,
    /// Held, waiting for a decision.
    pub held: u64,
    /// Held, then discarded.
    pub discarded: u64,
    /// Not here.
    pub missing: u64,
}

/// Batches that are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Missing {
    /// First of them.
    pub first: Seq,
    /// Last of them.
    pub last: Seq,
}

/// A spool's batches of the day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpoolBatches {
    /// Node.
    pub node: String,
    /// Spool.
    pub spool: String,
    /// What became of them.
    #[serde(rename = "batches")]
    pub fates: Fates,
    /// Which are missing; each range counts to the day of the batch behind it.
    pub missing_batches: Vec<Missing>,
    /// Further batches under a number that was taken: from a cloned or restored host.
    pub twins: u64,
}

/// Compares headers, log, marks and nodes' hours.
pub(super) fn compare(
    books: Books<'_>,
    day: Day,
    findings: &mut Findings,
) -> Result<(Fates, Vec<SpoolBatches>), FoldError> {
    let mut walk = Walk {
        books,
        day: (day.start(), day.next().start()),
        hours: BTreeMap::new(),
        spools: BTreeMap::new(),
        last: None,
        findings,
    };
    walk.headers(day)?;
    walk.node_hours(day)?;
    let spools: Vec<SpoolBatches> = walk.spools.into_values().collect();
    let mut all = Fates::default();
    for Fates {
        sent,
        summed,
        held,
        discarded,
        missing,
    } in spools.iter().map(|s| s.fates)
    {
        all.sent += sent;
        all.summed += summed;
        all.held += held;
        all.discarded += discarded;
        all.missing += missing;
    }
    Ok((all, spools))
}

/// Whose batches, and which number came last.
type Last = (NodeId, SpoolId, u16, Seq);

struct Walk<'a, 'f> {
    books: Books<'a>,
    day: (WallMs, WallMs),
    /// Batches that should have been counted in a node's hour.
    hours: BTreeMap<(NodeId, Hour), u64>,
    spools: BTreeMap<(NodeId, SpoolId, u16), SpoolBatches>,
    last: Option<Last>,
    findings: &'f mut Findings,
}

impl Walk<'_, '_> {
    /// All headers in order of node, spool and number; those of one number together.
    fn headers(&mut self, day: Day) -> Result<(), FoldError> {
        let (store, mut group, mut fault) = (self.books.store, Vec::<(Header, Kept)>::new(), None);
        store.scan(Table::Headers, &[], &[], &mut |_, value| {
            let done = (|| -> Result<(), FoldError> {
                let kept = Kept::decode(value)?;
                let Some(header) = header_of(&kept)? else {
                    self.findings.add(format!(
                        "the kept header of position {} is too short",
                        kept.position
                    ));
                    return Ok(());
                };
                let name = |h: &Header| (h.node, h.spool, h.partition, h.seq);
                if group
                    .first()
                    .is_some_and(|(first, _)| name(first) != name(&header))
                {
                    self.number(std::mem::take(&mut group), day)?;
                }
                group.push((header, kept));
                Ok(())
            })();
            fault = done.err();
            if fault.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        })?;
        if let Some(fault) = fault {
            return Err(fault);
        }
        self.number(group, day)
    }

    /// All batches of one number.
    fn number(&mut self, group: Vec<(Header, Kept)>, day: Day) -> Result<(), FoldError> {
        for (header, kept) in &group {
            self.count_hours(header, kept, day)?;
        }
        let Some(first) = foremost(group.iter().map(|(_, kept)| kept.clone()).collect()) else {
            return Ok(());
        };
        let header = group.iter().find(|(_, kept)| *kept == first).map(|(h, _)| h);
        let header = header.expect("it is one of the group");
        let before = match self.last {
            Some((node, spool, partition, seq))
                if (node, spool, partition) == (header.node, header.spool, header.partition) =>
            {
                seq
            }
            _ => 0,
        };
        self.last = Some((header.node, header.spool, header.partition, header.seq));
        let (start, end) = self.day;
        if header.wall_end <= start || header.wall_end > end {
            return Ok(());
        }
        for (_, kept) in &group {
            self.check_log(kept)?;
        }
        self.note(header, &first, before, group.len() as u64 - 1)
    }

    /// Notes a number of the day, and what is missing right before it.
    fn note(&mut self, header: &Header, kept: &Kept, before: Seq, twins: u64) -> Result<(), FoldError> {
        let fate = self.fate(kept)?;
        let key = (header.node, header.spool, header.partition);
        let spool = self.spools.entry(key).or_insert_with(|| SpoolBatches {
            node: header.node.to_string(),
            spool: header.spool.to_string(),
            fates: Fates::default(),
            missing_batches: Vec::new(),
            twins: 0,
        });
        let missing = header.seq - before - 1;
        spool.fates.sent += missing + 1;
        spool.fates.missing += missing;
        spool.twins += twins;
        match fate {
            Became::Summed => spool.fates.summed += 1,
            Became::Held => spool.fates.held += 1,
            Became::Discarded => spool.fates.discarded += 1,
        }
        let (first, last) = (before + 1, header.seq - 1);
        if missing > 0 {
            spool.missing_batches.push(Missing { first, last });
        }
        let name = format!("node {} spool {}", header.node, header.spool);
        let marks = self.books.marks.node(header.node);
        let Some(mark) = marks.and_then(|m| m.find(header.spool, header.partition)) else {
            self.findings
                .add(format!("{name}: batches are kept, but there is no watermark"));
            return Ok(());
        };
        if fate != Became::Held && !mark.has(header.seq) {
            let words = format!("{name}: batch {} is settled, but not acknowledged", header.seq);
            self.findings.add(words);
        }
        if missing > 0 && !misses(mark, first, last) {
            let words =
                format!("{name}: batches {first} to {last} are acknowledged, but nothing is kept of them");
            self.findings.add(words);
        }
        Ok(())
    }

    fn fate(&self, kept: &Kept) -> Result<Became, FoldError> {
        Ok(
            match (kept.fate()?, self.books.registry.held.get(&kept.position)) {
                (Fate::Counted, _) | (Fate::Held(_), Some(true)) => Became::Summed,
                (Fate::Held(_), None) => Became::Held,
                (Fate::Held(_), Some(false)) => Became::Discarded,
            },
        )
    }

    /// The log holds the batch of this header, with this fate.
    fn check_log(&mut self, kept: &Kept) -> Result<(), FoldError> {
        let position = kept.position;
        let Some(value) = self.books.store.get(Table::Log, &position_key(position))? else {
            self.findings.add(format!(
                "a header of position {position} is kept, but the log holds no batch there"
            ));
            return Ok(());
        };
        let entry = Entry::decode(&value)?;
        let digest = Frame::parse(&entry.frame).map(|f| f.header.digest());
        if entry.fate != kept.fate()? || digest.ok() != Some(kept.digest) {
            self.findings.add(format!(
                "the batch at position {position} is not the one that its header names"
            ));
        }
        Ok(())
    }

    fn count_hours(&mut self, header: &Header, kept: &Kept, day: Day) -> Result<(), FoldError> {
        if self.fate(kept)? != Became::Summed {
            return Ok(());
        }
        let hours = day.hours();
        for (hour, _) in header.window().by_hour().into_iter().flatten() {
            if hours.contains(&hour) {
                *self.hours.entry((header.node, hour)).or_insert(0) += 1;
            }
        }
        Ok(())
    }

    /// What is counted in nodes' hours is what the headers say, no more and no less.
    fn node_hours(&mut self, day: Day) -> Result<(), FoldError> {
        let sealed = self.books.registry.seals.newest();
        let nodes: Vec<NodeId> = self.books.registry.nodes.keys().copied().collect();
        for node in nodes {
            for hour in (day.hours().start.0..day.hours().end.0).map(Hour) {
                let counted = read_node(self.books.store, hour, node, sealed)?.batches;
                let kept = self.hours.get(&(node, hour)).copied().map_or(0, |n| n);
                if counted != kept {
                    let hour = crate::rating::hour_text(hour);
                    let words = format!(
                        "node {node} hour {hour}: {counted} batches are in the sums, {kept} in the headers"
                    );
                    self.findings.add(words);
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Became {
    Summed,
    Held,
    Discarded,
}

/// Whether the mark says too that none of `first..=last` came.
fn misses(mark: &Mark, first: Seq, last: Seq) -> bool {
    let mut at = first;
    for (from, to) in mark.missing() {
        if (from..to).contains(&at) {
            at = to;
        }
    }
    // Above everything that is acknowledged nothing came either.
    at > last || at > mark.highest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_did_not_come() {
        let mut mark = Mark::default();
        [1, 2, 5, 9].into_iter().for_each(|seq| mark.add(seq));
        mark.give_up(3, 4);
        assert!(misses(&mark, 3, 4) && misses(&mark, 6, 8) && misses(&mark, 6, 7));
        assert!(misses(&mark, 10, 12), "above all that came");
        assert!(!misses(&mark, 1, 1) && !misses(&mark, 3, 5) && !misses(&mark, 5, 8));
    }
}
