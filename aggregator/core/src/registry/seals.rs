//! Which hours are sealed, and which holes were judged: what late means (DESIGN: late is what stands behind its hour's
//! seal), and when a month is final.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId};
use tallyman_common::time::{Hour, WallMs};

use super::command::Judgement;
use super::{Command, Decision, Registry, Rejected, missing};

/// A sealed hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Seal {
    /// The hour.
    pub hour: Hour,
    /// Position of the decision.
    pub position: u64,
    /// When it was made.
    pub at: WallMs,
    /// Values on time.
    pub values: u64,
    /// SHA-256 over them.
    pub digest: Digest,
}

/// All seals, hour by hour without holes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seals(Vec<Seal>);

impl Seals {
    /// The newest sealed hour.
    pub fn newest(&self) -> Option<Hour> {
        self.0.last().map(|seal| seal.hour)
    }

    /// The newest hour that was sealed before an entry at `position`.
    pub fn newest_before(&self, position: u64) -> Option<Hour> {
        let before = self.0.partition_point(|seal| seal.position < position);
        before.checked_sub(1).map(|at| self.0[at].hour)
    }

    /// The seal of an hour. Hours before the first sealed one count as sealed with it: nothing had come in them.
    pub fn of(&self, hour: Hour) -> Option<&Seal> {
        let first = self.0.first()?.hour;
        let at = hour.0.checked_sub(first.0);
        at.map_or(self.0.first(), |at| self.0.get(usize::try_from(at).ok()?))
    }

    /// Whether all of a period is sealed: what was billed of it stays (I9).
    pub fn is_final(&self, period: &Range<Hour>) -> bool {
        self.newest().is_some_and(|newest| period.end <= newest.next())
    }

    /// All seals, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Seal> {
        self.0.iter()
    }

    pub(super) fn push(&mut self, seal: Seal) {
        self.0.push(seal);
    }
}

/// A judged hole: where its far side is, and what was missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JudgedHole {
    /// Position of the judgement.
    pub position: u64,
    /// The judgement.
    pub judgement: Judgement,
}

/// Judged holes by node, with nothing taken back in them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holes {
    by_node: BTreeMap<NodeId, Vec<JudgedHole>>,
    far_sides: BTreeSet<(NodeId, SpoolId, Seq)>,
}

impl Holes {
    /// Whether the hole in front of this batch was judged.
    pub fn is_judged(&self, node: NodeId, spool: SpoolId, seq: Seq) -> bool {
        self.far_sides.contains(&(node, spool, seq))
    }

    /// The judged holes in which a batch is missing.
    pub fn around(&self, node: NodeId, spool: SpoolId, seq: Seq) -> Vec<u64> {
        let holes = self.by_node.get(&node).into_iter().flatten();
        let around = holes.filter(|hole| {
            let missing = &hole.judgement.missing;
            let covers =
                |&(s, first, last): &(SpoolId, Seq, Seq)| s == spool && (first..=last).contains(&seq);
            missing.iter().any(covers)
        });
        around.map(|hole| hole.position).collect()
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.far_sides.len() as u64
    }

    /// All holes that stand, by node and in order of judgement.
    pub fn iter(&self) -> impl Iterator<Item = &JudgedHole> {
        self.by_node.values().flatten()
    }

    pub(super) fn check(&self, judgement: &Judgement) -> Result<(), Rejected> {
        if self.is_judged(judgement.node, judgement.spool, judgement.seq) {
            let text = format!("the hole before batch {} was judged already", judgement.seq);
            return Err(Rejected::NotNow(text));
        }
        Ok(())
    }

    pub(super) fn check_withdraw(&self, position: u64) -> Result<(), Rejected> {
        if self.iter().any(|hole| hole.position == position) {
            return Ok(());
        }
        Err(missing("judgement at position", &position.to_string()))
    }

    pub(super) fn judge(&mut self, position: u64, judgement: Judgement) {
        let far_side = (judgement.node, judgement.spool, judgement.seq);
        self.far_sides.insert(far_side);
        let hole = JudgedHole { position, judgement };
        self.by_node.entry(far_side.0).or_default().push(hole);
    }

    pub(super) fn withdraw(&mut self, position: u64) {
        for holes in self.by_node.values_mut() {
            if let Some(at) = holes.iter().position(|hole| hole.position == position) {
                let Judgement { node, spool, seq, .. } = holes.remove(at).judgement;
                self.far_sides.remove(&(node, spool, seq));
                return;
            }
        }
    }
}

impl Registry {
    /// Applies a decision that follows from the log and the clock.
    pub(super) fn close(&mut self, decision: &Decision) {
        let (position, at) = (decision.position, decision.at);
        match decision.command.clone() {
            Command::JudgeHole(judgement) => self.holes.judge(position, judgement),
            Command::WithdrawJudgement { position } => self.holes.withdraw(position),
            Command::SealHour {
                hour, values, digest, ..
            } => self.seals.push(Seal {
                hour,
                position,
                at,
                values,
                digest,
            }),
            _ => {}
        }
    }

    pub(super) fn check_seal(&self, hour: Hour) -> Result<(), Rejected> {
        if self.open_restore().is_some() {
            let text = "a restore from a backup is open: settle it first, nothing is sealed until then";
            return Err(Rejected::NotNow(text.to_owned()));
        }
        match self.seals.newest() {
            Some(newest) if newest.next() != hour => Err(Rejected::NotNow(format!(
                "hours are sealed one after the other, and the newest is {}",
                newest.0
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn check_give_up(&self, node: &NodeId, reason: &str) -> Result<(), Rejected> {
        if !self.nodes.contains_key(node) {
            return Err(missing("node", &node.to_string()));
        }
        if reason.trim().is_empty() {
            return Err(Rejected::Invalid("a reason is needed".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_know_what_was_sealed_before_them() {
        let mut seals = Seals::default();
        assert_eq!((seals.newest(), seals.of(Hour(5))), (None, None));
        for (hour, position) in [(10, 100), (11, 110), (12, 120)] {
            let (at, values, digest) = (WallMs(0), 0, Digest::default());
            let hour = Hour(hour);
            seals.push(Seal {
                hour,
                position,
                at,
                values,
                digest,
            });
        }
        assert_eq!(
            seals.newest_before(100),
            None,
            "the decision itself is not behind it"
        );
        assert_eq!(seals.newest_before(101), Some(Hour(10)));
        assert_eq!(seals.newest_before(500), Some(Hour(12)));
        assert_eq!(seals.of(Hour(11)).map(|s| s.position), Some(110));
        assert_eq!(seals.of(Hour(3)).map(|s| s.position), Some(100));
        assert_eq!(seals.of(Hour(13)), None);
        assert!(seals.is_final(&(Hour(2)..Hour(13))));
        assert!(!seals.is_final(&(Hour(2)..Hour(14))));
    }
}
