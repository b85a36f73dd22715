//! Taking decisions: checked, logged, then in effect.

use std::sync::Arc;

use tallyman_common::time::WallMs;
use tallyman_common::wire::Frame;

use super::{Aggregator, Answer};
use crate::log::{Entry, Fate, encode_decision, position_key};
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
        self.position += 1;
        let decision = Decision {
            position: self.position,
            at: now,
            actor,
            source,
            command,
        };
        self.changes.put(
            Table::Decisions,
            position_key(self.position),
            encode_decision(&decision),
        );
        Arc::make_mut(&mut self.registry).apply(&decision);
        if let Some(entry) = entry {
            self.settle(now, &decision, &entry, store)?;
        }
        Ok(Answer::Applied(self.position))
    }

    fn held_entry(
        &self,
        position: u64,
        command: &Command,
        store: &dyn Read,
    ) -> Result<Result<Entry, Rejected>, FoldError> {
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
        Ok(Ok(entry))
    }

    /// Releases or discards: either way the agent may drop the batch.
    fn settle(
        &mut self,
        now: WallMs,
        decision: &Decision,
        entry: &Entry,
        store: &dyn Read,
    ) -> Result<(), FoldError> {
        let header = Frame::parse(&entry.frame)
            .map(|f| f.header)
            .map_err(|e| FoldError::Entry {
                position: decision.position,
                reason: e.to_string(),
            })?;
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
        self.acknowledge(&header, now);
        Ok(())
    }
}
