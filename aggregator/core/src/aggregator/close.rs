//! Closing hours: judging holes, sealing, giving batches up. Drafts are made beside the writer over a snapshot; here
//! they take effect only if what they were made from still stands (I5, I9).

use std::sync::Arc;

use tallyman_common::codec;
use tallyman_common::ids::{NodeId, Seq, SpoolId};
use tallyman_common::time::WallMs;
use tallyman_common::wire::Header;

use super::{Aggregator, Answer};
use crate::headers::{self, Place};
use crate::ingest::Mark;
use crate::log::{encode_decision, position_key};
use crate::ports::{Read, Table};
use crate::registry::{Command, Decision, Judgement, Rejected};
use crate::restart::read_inference;
use crate::rollup::cache::FoldError;
use crate::rollup::cell::{KIND_INFERRED, KIND_WITHDRAWN};
use crate::rollup::pack::{Piece, packed_hours, put};
use crate::seal::HoleDraft;
use crate::seal::packing::next_until;

/// Who decides what follows from the log and the clock.
const CLOCK: &str = "clock";

impl Aggregator {
    /// Takes a judgement, unless something of what it is about has come since, or was judged.
    pub(super) fn judge(
        &mut self,
        now: WallMs,
        draft: HoleDraft,
        store: &dyn Read,
    ) -> Result<Answer, FoldError> {
        let HoleDraft { judgement, inference } = draft;
        if let Err(rejected) = self.registry.check(&Command::JudgeHole(judgement.clone()), now) {
            return Ok(Answer::Rejected(rejected));
        }
        if !self.still_missing(&judgement, store)? {
            let text = "some of what was missing has come since";
            return Ok(Answer::Rejected(Rejected::NotNow(text.to_owned())));
        }
        let decision = self.decide(now, Command::JudgeHole(judgement));
        if let Some(inference) = inference {
            let (position, sealed) = (decision.position, self.registry.seals.newest());
            self.changes.put(
                Table::Inferences,
                position_key(position),
                codec::encode(&inference),
            );
            self.rollup
                .fold_inference((position, sealed), &inference, KIND_INFERRED, now, store)?;
            self.pending_inferences.insert(position, inference);
        }
        Ok(Answer::Applied(decision.position))
    }

    /// Whether no batch of a hole has come since it was looked at, and its far side is still there.
    fn still_missing(&self, judgement: &Judgement, store: &dyn Read) -> Result<bool, FoldError> {
        let node = judgement.node;
        let Some(marks) = self.marks.node(node) else {
            return Ok(false);
        };
        for &(spool, first, last) in &judgement.missing {
            let mark = marks.mark(spool, 0);
            let covers = |&(from, to): &(Seq, Seq)| from <= first && last < to;
            let is_missing = first > mark.highest() || mark.missing().iter().any(covers);
            // What was held before was seen: nothing is inferred over it.
            let place = Place::of(node, spool, first..=last);
            if !is_missing || self.came_behind(&place, judgement.upto, store)? {
                return Ok(false);
            }
        }
        let far = marks.mark(judgement.spool, 0);
        Ok(far.has(judgement.seq) && !far.is_lost(judgement.seq))
    }

    /// Whether a batch of a place, counted or held, came behind a position.
    fn came_behind(&self, place: &Place, position: u64, store: &dyn Read) -> Result<bool, FoldError> {
        let (from, to) = place.keys();
        let mut pending = self.pending_headers.range(from..to);
        let in_group = pending.any(|(_, kept)| kept.position > position);
        Ok(in_group || headers::any_behind(store, place, position)?)
    }

    /// Takes back what was inferred over holes in which this batch was missing.
    pub(super) fn withdraw_around(
        &mut self,
        now: WallMs,
        header: &Header,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let around = self.registry.holes.around(header.node, header.spool, header.seq);
        for position in around {
            let decision = self.decide(now, Command::WithdrawJudgement { position });
            let pending = self.pending_inferences.get(&position).cloned();
            let inference = match pending {
                Some(inference) => Some(inference),
                None => read_inference(store, position)?,
            };
            if let Some(inference) = inference {
                let at = (decision.position, self.registry.seals.newest());
                self.rollup
                    .fold_inference(at, &inference, KIND_WITHDRAWN, now, store)?;
            }
        }
        Ok(())
    }

    /// Takes packed owners of the hours that are packed next. They follow from cells that never change, so they are no
    /// decision, and what was packed twice is the same.
    pub(super) fn pack(&mut self, piece: Piece, store: &dyn Read) -> Result<Answer, FoldError> {
        if next_until(store, &self.registry)? != Some(piece.until) {
            let text = "these hours are packed already, or not sealed";
            return Ok(Answer::Rejected(Rejected::NotNow(text.to_owned())));
        }
        put(piece, packed_hours(store)?, &mut self.changes);
        Ok(Answer::Applied(self.position))
    }

    /// Logs what follows from the log and the clock.
    fn decide(&mut self, now: WallMs, command: Command) -> Decision {
        self.put_decision(now, CLOCK.to_owned(), "aggregator".to_owned(), command)
    }

    /// Puts a decision that was checked into the log and the registry.
    pub(super) fn put_decision(
        &mut self,
        at: WallMs,
        actor: String,
        source: String,
        command: Command,
    ) -> Decision {
        self.position += 1;
        let decision = Decision {
            position: self.position,
            at,
            actor,
            source,
            command,
        };
        self.changes.put(
            Table::Decisions,
            position_key(self.position),
            encode_decision(&decision),
        );
        // The registry is copied when readers have it too: not for what leaves it as it is.
        if !matches!(decision.command, Command::Money(_)) {
            Arc::make_mut(&mut self.registry).apply(&decision);
        }
        decision
    }

    /// What the registry alone can't tell of a command.
    pub(super) fn check_here(
        &self,
        command: &Command,
        store: &dyn Read,
    ) -> Result<Result<(), Rejected>, FoldError> {
        match command {
            Command::SealHour { hour, upto, .. } => {
                let is_newer = self.rollup.newest_of(*hour).is_some_and(|newest| newest > *upto);
                let changed = || Rejected::NotNow("the hour has changed since it was read".to_owned());
                Ok(if is_newer { Err(changed()) } else { Ok(()) })
            }
            Command::GiveUpBatches {
                node,
                spool,
                first,
                last,
                ..
            } => self.check_give_up(*node, *spool, *first, *last, store),
            _ => Ok(Ok(())),
        }
    }

    fn check_give_up(
        &self,
        node: NodeId,
        spool: SpoolId,
        first: Seq,
        last: Seq,
        store: &dyn Read,
    ) -> Result<Result<(), Rejected>, FoldError> {
        let mark = self.marks.node(node).and_then(|m| m.find(spool, 0));
        let missing = mark.map_or_else(Vec::new, Mark::missing);
        let in_one = |&(from, to): &(Seq, Seq)| from <= first && first <= last && last < to;
        let already = mark.is_some_and(|m| m.is_lost(first) || m.is_lost(last));
        if already || !missing.iter().any(in_one) {
            let text = format!(
                "batches {first} to {last} of spool {spool} are not one piece of what is missing below one that came: \
                 `node list --json` names the gaps"
            );
            return Ok(Err(Rejected::NotNow(text)));
        }
        if self.came_behind(&Place::of(node, spool, first..=last), 0, store)? {
            let text =
                "some of these batches are held: release or discard them, `quarantine list` names them";
            return Ok(Err(Rejected::NotNow(text.to_owned())));
        }
        Ok(Ok(()))
    }

    /// What a decision changes besides log and registry.
    pub(super) fn take_effect(&mut self, decision: &Decision) {
        match &decision.command {
            Command::SealHour { hour, .. } => self.rollup.close(*hour),
            Command::GiveUpBatches {
                node,
                spool,
                first,
                last,
                ..
            } => {
                self.marks.node_mut(*node).give_up(*spool, 0, *first, *last);
                self.changed_nodes.insert(*node);
            }
            _ => {}
        }
    }
}
