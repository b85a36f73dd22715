//! Watermarks: per (spool, partition) of a node, which batches are acknowledged. Permanent, never a time window (I2).

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{BootId, NodeId, Seq, SpoolId};
use tallyman_common::time::{BootMs, Hour, WallMs};
use tallyman_common::wire::Header;

use crate::limits::GAP_RANGES_MAX;

/// One spool's acknowledged batches.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct Mark {
    /// All batches up to this one; 0 for none.
    pub watermark: Seq,
    /// Batches above it, half-open ranges, rising, apart.
    pub above: Vec<(Seq, Seq)>,
    /// Highest batch that is kept, counted or held; of a number above it nothing is in the store, so that nobody
    /// needs to look there.
    pub kept: Seq,
    /// Batches that an operator gave up, half-open ranges, rising, apart: acknowledged without having come.
    pub lost: Vec<(Seq, Seq)>,
}

impl Mark {
    /// Whether a batch is acknowledged.
    pub fn has(&self, seq: Seq) -> bool {
        seq <= self.watermark || self.above.iter().any(|&(from, to)| (from..to).contains(&seq))
    }

    /// Whether one more batch may be taken without the ranges growing past their limit.
    pub fn has_room_for(&self, seq: Seq) -> bool {
        self.above.len() < GAP_RANGES_MAX || {
            let mut grown = self.clone();
            grown.add(seq);
            grown.above.len() <= GAP_RANGES_MAX
        }
    }

    /// Acknowledges a batch; what is acknowledged already stays so.
    pub fn add(&mut self, seq: Seq) {
        if self.has(seq) {
            return;
        }
        if seq == self.watermark + 1 && self.above.is_empty() {
            self.watermark = seq;
            return;
        }
        let at = self.above.partition_point(|&(from, _)| from < seq);
        self.above.insert(at, (seq, seq + 1));
        if at + 1 < self.above.len() && self.above[at + 1].0 == seq + 1 {
            self.above[at].1 = self.above.remove(at + 1).1;
        }
        if at > 0 && self.above[at - 1].1 == seq {
            self.above[at - 1].1 = self.above.remove(at).1;
        }
        if self.above[0].0 == self.watermark + 1 {
            self.watermark = self.above.remove(0).1 - 1;
        }
    }

    /// Batches that did not come below ones that did, given up or not: half-open ranges, rising.
    pub fn missing(&self) -> Vec<(Seq, Seq)> {
        let mut missing = self.lost.clone();
        let mut below = self.watermark + 1;
        for &(from, to) in &self.above {
            missing.push((below, from));
            below = to;
        }
        missing.sort_unstable();
        missing
    }

    /// Whether a batch was given up and did not come since.
    pub fn is_lost(&self, seq: Seq) -> bool {
        self.lost.iter().any(|&(from, to)| (from..to).contains(&seq))
    }

    /// A batch that was given up came after all.
    pub fn find(&mut self, seq: Seq) {
        let Some(at) = self.lost.iter().position(|&(from, to)| (from..to).contains(&seq)) else {
            return;
        };
        let (from, to) = self.lost.remove(at);
        let around = [(from, seq), (seq + 1, to)];
        let left = around.into_iter().filter(|(from, to)| from < to);
        self.lost.splice(at..at, left);
    }

    /// Gives batches up: a whole piece of what is missing below one that came.
    pub fn give_up(&mut self, first: Seq, last: Seq) {
        let at = self.lost.partition_point(|&(from, _)| from < first);
        self.lost.insert(at, (first, last + 1));
        let at = self.above.partition_point(|&(from, _)| from < first);
        self.above.insert(at, (first, last + 1));
        let mut joined: Vec<(Seq, Seq)> = Vec::with_capacity(self.above.len());
        for (from, to) in std::mem::take(&mut self.above) {
            match joined.last_mut() {
                Some((_, end)) if *end == from => *end = to,
                _ => joined.push((from, to)),
            }
        }
        if joined[0].0 == self.watermark + 1 {
            self.watermark = joined.remove(0).1 - 1;
        }
        self.above = joined;
    }

    /// Highest batch acknowledged.
    pub fn highest(&self) -> Seq {
        self.above.last().map_or(self.watermark, |&(_, to)| to - 1)
    }
}

/// What is known of one node's stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Encode, Decode)]
pub struct NodeMarks {
    spools: Vec<((SpoolId, u16), Mark)>,
    /// Boot time that each spool covers within a boot: first start, last end.
    boots: Vec<((BootId, SpoolId), (BootMs, BootMs))>,
    /// End of the newest window.
    pub newest_end: WallMs,
    /// When the newest batch was received.
    pub last_received: WallMs,
    /// Start of the first window ever, with the newest hour that was sealed when it came (0: none): what comes behind a
    /// seal can be older than what was the first until then. Rising hours, falling starts.
    starts: Vec<(Hour, WallMs)>,
    /// Whether the newest window was the last before an orderly stop.
    pub stopped: bool,
    /// Spool of the newest batch.
    pub newest_spool: SpoolId,
}

impl NodeMarks {
    /// The mark of a spool; empty when nothing came yet.
    pub fn mark(&self, spool: SpoolId, partition: u16) -> Mark {
        self.find(spool, partition).cloned().unwrap_or_else(Mark::default)
    }

    /// The mark of a spool, if anything came.
    pub fn find(&self, spool: SpoolId, partition: u16) -> Option<&Mark> {
        self.spools
            .iter()
            .rev()
            .find(|(key, _)| *key == (spool, partition))
            .map(|(_, mark)| mark)
    }

    /// All spools with their marks, oldest first.
    pub fn spools(&self) -> impl Iterator<Item = (SpoolId, u16, &Mark)> {
        self.spools
            .iter()
            .map(|((spool, partition), mark)| (*spool, *partition, mark))
    }

    /// Acknowledges a batch.
    pub fn add(&mut self, spool: SpoolId, partition: u16, seq: Seq) {
        let mark = self.mark_mut(spool, partition);
        mark.find(seq);
        mark.add(seq);
    }

    /// Notes that a batch is kept, counted or held.
    pub fn keep(&mut self, spool: SpoolId, partition: u16, seq: Seq) {
        let mark = self.mark_mut(spool, partition);
        mark.kept = mark.kept.max(seq);
    }

    fn mark_mut(&mut self, spool: SpoolId, partition: u16) -> &mut Mark {
        let key = (spool, partition);
        let at = match self.spools.iter().rposition(|(k, _)| *k == key) {
            Some(at) => at,
            None => {
                self.spools.push((key, Mark::default()));
                self.spools.len() - 1
            }
        };
        &mut self.spools[at].1
    }

    /// From when on the node is expected, as was known when the newest sealed hour was `sealed`. `None`: nothing had
    /// come.
    pub fn expected_from(&self, sealed: Option<Hour>) -> Option<WallMs> {
        let sealed = sealed.unwrap_or(Hour(0));
        let known = self.starts.iter().rev().find(|(at, _)| *at <= sealed);
        known.map(|(_, start)| *start)
    }

    /// Gives batches up.
    pub fn give_up(&mut self, spool: SpoolId, partition: u16, first: Seq, last: Seq) {
        self.mark_mut(spool, partition).give_up(first, last);
    }

    /// Whether another spool covers boot time of this window.
    pub fn covered_by_another(&self, header: &Header) -> bool {
        self.boots.iter().any(|((boot, spool), (start, end))| {
            *boot == header.boot
                && *spool != header.spool
                && header.boot_start < *end
                && *start < header.boot_end
        })
    }

    /// Notes a counted batch's time; `sealed` is the newest sealed hour.
    pub fn note(&mut self, header: &Header, received: WallMs, sealed: Option<Hour>) {
        let key = (header.boot, header.spool);
        match self.boots.iter_mut().rev().find(|(k, _)| *k == key) {
            Some((_, (start, end))) => {
                *start = (*start).min(header.boot_start);
                *end = (*end).max(header.boot_end);
            }
            None => self.boots.push((key, (header.boot_start, header.boot_end))),
        }
        let start = header.window().booked_start().unwrap_or(header.wall_start);
        self.note_start(start, sealed.unwrap_or(Hour(0)));
        self.last_received = received;
        if header.wall_end >= self.newest_end {
            self.newest_end = header.wall_end;
            self.newest_spool = header.spool;
            self.stopped = header.flags & tallyman_common::wire::FLAG_CLEAN_STOP != 0;
        }
    }
}

impl NodeMarks {
    fn note_start(&mut self, start: WallMs, sealed: Hour) {
        match self.starts.last_mut() {
            Some((_, first)) if *first <= start => {}
            Some((at, first)) if *at == sealed => *first = start,
            _ => self.starts.push((sealed, start)),
        }
    }
}

/// All nodes' marks.
#[derive(Debug, Clone, Default)]
pub struct Marks {
    nodes: BTreeMap<NodeId, NodeMarks>,
}

impl Marks {
    /// One node's marks.
    pub fn node(&self, node: NodeId) -> Option<&NodeMarks> {
        self.nodes.get(&node)
    }

    /// One node's marks, to change.
    pub fn node_mut(&mut self, node: NodeId) -> &mut NodeMarks {
        self.nodes.entry(node).or_default()
    }

    /// The bytes of one node's marks in the store.
    pub fn encode(&self, node: NodeId) -> Vec<u8> {
        codec::encode(
            self.nodes
                .get(&node)
                .expect("only nodes that changed are written"),
        )
    }

    /// Takes one node's marks from the store.
    pub fn load(&mut self, node: NodeId, bytes: &[u8]) -> Result<(), CodecError> {
        self.nodes.insert(node, codec::decode("marks", bytes)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_order_gives_one_watermark() {
        // Every order of 1..=6, by Heap's algorithm.
        let mut order = [1u64, 2, 3, 4, 5, 6];
        let mut counters = [0usize; 6];
        let check = |order: &[u64]| {
            let mut mark = Mark::default();
            for (done, seq) in order.iter().enumerate() {
                assert!(!mark.has(*seq));
                mark.add(*seq);
                mark.add(*seq);
                assert!(order[..=done].iter().all(|s| mark.has(*s)));
                assert!(order[done + 1..].iter().all(|s| !mark.has(*s)));
            }
            assert_eq!(
                mark,
                Mark {
                    watermark: 6,
                    ..Mark::default()
                }
            );
        };
        check(&order);
        let mut at = 0;
        while at < 6 {
            if counters[at] < at {
                order.swap(if at % 2 == 0 { 0 } else { counters[at] }, at);
                check(&order);
                counters[at] += 1;
                at = 0;
            } else {
                counters[at] = 0;
                at += 1;
            }
        }
    }

    #[test]
    fn what_is_given_up_is_passed_and_can_still_come() {
        let mut mark = Mark::default();
        [1, 5, 9].into_iter().for_each(|seq| mark.add(seq));
        assert_eq!(mark.missing(), [(2, 5), (6, 9)]);
        mark.give_up(2, 4);
        assert_eq!((mark.watermark, &mark.above[..]), (5, &[(9, 10)][..]));
        assert_eq!(
            mark.missing(),
            [(2, 5), (6, 9)],
            "acknowledged, but it did not come"
        );
        assert!(mark.has(3) && mark.is_lost(3));
        mark.find(3);
        assert_eq!(mark.lost, [(2, 3), (4, 5)]);
        mark.give_up(6, 8);
        assert_eq!((mark.watermark, mark.above.len()), (9, 0));
        assert_eq!(mark.missing(), [(2, 3), (4, 5), (6, 9)]);
    }

    #[test]
    fn a_first_window_that_comes_late_changes_no_earlier_view() {
        let mut marks = NodeMarks::default();
        assert_eq!(marks.expected_from(Some(Hour(9))), None);
        marks.note_start(WallMs(500), Hour(0));
        marks.note_start(WallMs(700), Hour(3));
        marks.note_start(WallMs(100), Hour(7));
        marks.note_start(WallMs(90), Hour(7));
        let from = |sealed: u32| marks.expected_from(Some(Hour(sealed)));
        assert_eq!(
            (marks.expected_from(None), from(6)),
            (Some(WallMs(500)), Some(WallMs(500)))
        );
        assert_eq!(from(7), Some(WallMs(90)));
    }

    #[test]
    fn ranges_are_bounded() {
        let mut mark = Mark::default();
        for n in 1..=GAP_RANGES_MAX as u64 {
            assert!(mark.has_room_for(n * 2));
            mark.add(n * 2);
        }
        assert!(!mark.has_room_for(1_000_000));
        assert!(mark.has_room_for(1), "closing a hole is always possible");
        assert!(mark.has_room_for(3));
    }
}
