//! Watermarks: per (spool, partition) of a node, which batches are acknowledged. Permanent, never a time window (I2).

use std::collections::BTreeMap;

use bincode::{Decode, Encode};
use tallyman_common::codec::{self, CodecError};
use tallyman_common::ids::{BootId, NodeId, Seq, SpoolId};
use tallyman_common::time::{BootMs, WallMs};
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
    /// Start of the first window ever; the node is expected from here on.
    pub first_start: WallMs,
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
        self.mark_mut(spool, partition).add(seq);
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

    /// Whether any batch was counted yet; from then on the node is expected.
    pub fn has_counted(&self) -> bool {
        self.last_received != WallMs(0)
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

    /// Notes a counted batch's time.
    pub fn note(&mut self, header: &Header, received: WallMs) {
        let key = (header.boot, header.spool);
        match self.boots.iter_mut().rev().find(|(k, _)| *k == key) {
            Some((_, (start, end))) => {
                *start = (*start).min(header.boot_start);
                *end = (*end).max(header.boot_end);
            }
            None => self.boots.push((key, (header.boot_start, header.boot_end))),
        }
        let start = header.window().booked_start().unwrap_or(header.wall_start);
        self.first_start = if self.has_counted() {
            self.first_start.min(start)
        } else {
            start
        };
        self.last_received = received;
        if header.wall_end >= self.newest_end {
            self.newest_end = header.wall_end;
            self.newest_spool = header.spool;
            self.stopped = header.flags & tallyman_common::wire::FLAG_CLEAN_STOP != 0;
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
