//! Taking decisions: checked, logged, then in effect.

use tallyman_common::time::WallMs;
use tallyman_common::wire::{Frame, Header};

use super::{Aggregator, Answer};
use crate::log::{Entry, Fate, position_key};
use crate::ports::{Read, Table};
use crate::registry::{Command, Decision, Rejected};
use crate::restart::{fold_entry, open_entry};
use crate::rollup::cache::FoldError;

impl Aggregator {
    pub(super) fn apply(
        &mut self,
        now: WallMs,
        actor: String,
        source: String,
        command: Command,
        store: &dyn Read,
    ) -> Result<Answer, FoldError> {
        if let Err(rejected) = self.registry.check(&command, now) {
            return Ok(Answer::Rejected(rejected));
        }
        if let Err(rejected) = self.check_here(&command, store)? {
            return Ok(Answer::Rejected(rejected));
        }
        let decided = match &command {
            Command::ReleaseBatch { position, .. } | Command::DiscardBatch { position, .. } => {
                Some(*position)
            }
            _ => None,
        };
        let entry = match decided {
            Some(position) => match self.held_entry(position, &command, store)? {
                Ok(entry) => Some(entry),
                Err(rejected) => return Ok(Answer::Rejected(rejected)),
            },
            None => None,
        };
        if let Some((header, _)) = &entry {
            // Before the decision: what it folds stands behind what is taken back.
            self.withdraw_around(now, header, store)?;
        }
        let decision = self.put_decision(now, actor, source, command);
        self.take_effect(&decision);
        if let Some((header, entry)) = entry {
            self.settle(now, &decision, &header, &entry, store)?;
        }
        Ok(Answer::Applied(decision.position))
    }

    fn held_entry(
        &self,
        position: u64,
        command: &Command,
        store: &dyn Read,
    ) -> Result<Result<(Header, Entry), Rejected>, FoldError> {
        let missing = || Rejected::Missing {
            what: "held batch at position",
            name: position.to_string(),
        };
        let Some(value) = store.get(Table::Log, &position_key(position))? else {
            return Ok(Err(missing()));
        };
        let entry = Entry::decode(&value)?;
        if entry.fate == Fate::Counted {
            return Ok(Err(missing()));
        }
        let release = matches!(command, Command::ReleaseBatch { .. });
        if release && open_entry(position, &entry, &self.registry).is_err() {
            return Ok(Err(Rejected::NotNow(
                "its content can't be understood: it can only be discarded".into(),
            )));
        }
        let header = Frame::parse(&entry.frame).map(|f| f.header);
        let header = header.map_err(|e| FoldError::Entry {
            position,
            reason: e.to_string(),
        })?;
        Ok(Ok((header, entry)))
    }

    /// Releases or discards: either way the agent may drop the batch.
    fn settle(
        &mut self,
        now: WallMs,
        decision: &Decision,
        header: &Header,
        entry: &Entry,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        if matches!(decision.command, Command::ReleaseBatch { .. }) {
            fold_entry(
                decision.position,
                entry,
                &self.registry,
                now,
                &mut self.rollup,
                store,
            )?;
        }
        self.acknowledge(header, now);
        Ok(())
    }
}
