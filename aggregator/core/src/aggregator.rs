//! The composer: events in, one commit, answers out. Only it knows all stages; it does no arithmetic on usage.
//!
//! Events gather in a group; nothing is answered before the group's one commit is durable (I3). After a failed commit
//! the aggregator answers nothing more: the process ends and starts again from the store.

/// Taking batches.
mod admit;
/// Closing hours.
mod close;
/// Taking decisions.
mod decide;
/// Taking what is asked about money.
mod money;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tallyman_common::ids::{NodeId, StoreId};
use tallyman_common::message::{Ack, Hello, Nack, Welcome};
use tallyman_common::time::WallMs;

use crate::accounts::{Booked, MoneyCommand, Pending};
use crate::ingest::{Checked, Marks, Reason};
use crate::log::Kept;
use crate::ports::{Changes, Durable, Read, Store, StoreError, Table, commit};
use crate::recompute::Difference;
use crate::registry::{Command, Registry, Rejected};
use crate::restart::{
    META_FLOOR, META_POSITION, meta_number, newest_position, read_marks, read_registry, replay,
};
use crate::rollup::cache::FoldError;
use crate::rollup::pack::{self, Piece};
use crate::rollup::part::{late_key, owner_of_key};
use crate::rollup::{Inference, Rollup};
use crate::seal::HoleDraft;

/// Names the asker of an event, so that the shell finds whom to answer.
pub type Ticket = u64;

/// Who asks something of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
}

/// Everything that can reach the writer.
#[derive(Debug)]
pub enum Event {
    /// A batch whose signature holds.
    Batch(Ticket, Box<Checked>),
    /// An agent's first word.
    Hello(Ticket, Hello),
    /// A change by a person, or by the enrolment of a node.
    Command {
        /// Whom to answer.
        ticket: Ticket,
        /// Who.
        actor: String,
        /// From where.
        source: String,
        /// What.
        command: Command,
    },
    /// Something is asked of the ledger.
    Money(Ticket, Asker, Box<MoneyCommand>),
    /// A hole was judged beside the writer.
    Judge(Ticket, Box<HoleDraft>),
    /// Some owners of a sealed day were packed beside the writer.
    Pack(Ticket, Box<Piece>),
    /// Time passes: cells may be due.
    Tick,
}

/// What an asker hears, once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Durable.
    Ack(Ack),
    /// Not taken.
    Nack(Nack, Reason),
    /// Where the spool stands here.
    Welcome(Welcome),
    /// The decision's position.
    Applied(u64),
    /// What became of what was asked of the ledger.
    Booked(Booked),
    /// The change has no effect.
    Rejected(Rejected),
}

const META_STORE: &[u8] = b"store-id";

/// Counters since the start, for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Batches counted.
    pub counted: u64,
    /// Records counted.
    pub records: u64,
    /// Duplicates acknowledged again.
    pub duplicates: u64,
    /// Batches held.
    pub held: u64,
}

/// The aggregator's state.
#[derive(Debug)]
pub struct Aggregator {
    store_id: StoreId,
    position: u64,
    registry: Arc<Registry>,
    marks: Marks,
    rollup: Rollup,
    counters: Counters,
    changes: Changes,
    changed_nodes: BTreeSet<NodeId>,
    pending_headers: BTreeMap<Vec<u8>, Kept>,
    pending_inferences: BTreeMap<u64, Inference>,
    pending_money: Pending,
    answers: Vec<(Ticket, Answer)>,
    failed: bool,
}

/// Why the aggregator could not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder holds no store of ours.
    #[error("this data folder was not made by `tallyman-aggregator init`")]
    NotInitialised,
    /// The store could not be read or holds what we never wrote.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

impl From<StoreError> for OpenError {
    fn from(error: StoreError) -> Self {
        Self::Fold(error.into())
    }
}

/// Changes that make an empty store ours.
pub fn initialise(store: &mut dyn Store, id: StoreId) -> Result<(), StoreError> {
    let mut changes = Changes::default();
    changes.put(Table::Meta, META_STORE.to_vec(), id.0.to_vec());
    commit(store, &changes, ()).map(Durable::into_inner)
}

impl Aggregator {
    /// Reads the store and folds what its cells lack.
    pub fn open(store: &dyn Read, now: WallMs) -> Result<Self, OpenError> {
        let id = store
            .get(Table::Meta, META_STORE)?
            .ok_or(OpenError::NotInitialised)?;
        let store_id = StoreId(id.try_into().map_err(|_| OpenError::NotInitialised)?);
        let position = newest_position(store)?;
        let floor = meta_number(store, META_FLOOR)?;
        let registry = Arc::new(read_registry(store)?);
        let marks = read_marks(store)?;
        let mut rollup = Rollup::default();
        replay(store, &registry, floor, now, &mut rollup)?;
        Ok(Self {
            store_id,
            position,
            registry,
            marks,
            rollup,
            counters: Counters::default(),
            changes: Changes::default(),
            changed_nodes: BTreeSet::new(),
            pending_headers: BTreeMap::new(),
            pending_inferences: BTreeMap::new(),
            pending_money: Pending::new(),
            answers: Vec::new(),
            failed: false,
        })
    }

    /// Keeps at most so many owners' and nodes' hours in memory once they are written, in place of
    /// [`crate::limits::CACHED_HOURS_MAX`]: a small host trades reads for memory.
    pub fn keep_at_most(&mut self, hours: usize) {
        self.rollup.keep_at_most(hours);
    }

    /// Owners' hours that were taken out of memory before their time, for that limit's sake, since the start.
    pub fn spilled(&self) -> u64 {
        self.rollup.spilled()
    }

    /// Who is who now; the shell's readers keep a copy.
    pub fn registry(&self) -> &Arc<Registry> {
        &self.registry
    }

    /// Watermarks, for status.
    pub fn marks(&self) -> &Marks {
        &self.marks
    }

    /// Counters since the start.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Position of the newest entry.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// Identity of the data folder.
    pub fn store_id(&self) -> StoreId {
        self.store_id
    }

    /// True when cells wait to be written; the shell then sends ticks.
    pub fn is_dirty(&self) -> bool {
        self.rollup.is_dirty()
    }

    /// Takes one event into the group. Nothing is answered until [`Aggregator::commit`].
    pub fn step(&mut self, now: WallMs, event: Event, store: &dyn Read) -> Result<(), FoldError> {
        assert!(!self.failed, "a failed commit ends the process (I3)");
        let (ticket, answer) = match event {
            Event::Tick => return Ok(()),
            Event::Batch(ticket, checked) => (ticket, self.admit(now, *checked, store)?),
            Event::Hello(ticket, hello) => (ticket, Answer::Welcome(self.welcome(now, &hello, store)?)),
            Event::Judge(ticket, draft) => (ticket, self.judge(now, *draft, store)?),
            Event::Pack(ticket, piece) => (ticket, self.pack(*piece, store)?),
            Event::Command {
                ticket,
                actor,
                source,
                command,
            } => (ticket, self.apply(now, actor, source, command, store)?),
            Event::Money(ticket, asker, command) => (ticket, self.money(now, asker, &command, store)?),
        };
        self.answers.push((ticket, answer));
        Ok(())
    }

    /// Hands out the answers of a group that changed nothing. Writes nothing, not even cells that are due.
    ///
    /// # Panics
    /// When the group changed something: that is the shell's mistake.
    pub fn answer_unchanged(
        &mut self,
        store: &mut dyn Store,
    ) -> Result<Durable<Vec<(Ticket, Answer)>>, StoreError> {
        let is_unchanged = self.changes.is_empty() && self.changed_nodes.is_empty();
        assert!(
            is_unchanged,
            "I3: what changes is committed before it is answered"
        );
        commit(store, &Changes::default(), std::mem::take(&mut self.answers))
    }

    /// Puts what the log makes of some values in their place, with the next commit. False, and nothing is changed, when
    /// any of them is not stored any more as it was when it was compared. Everything must have been flushed; nothing of
    /// what is in memory is kept.
    pub fn replace(&mut self, differences: Vec<Difference>, store: &dyn Read) -> Result<bool, StoreError> {
        assert!(!self.rollup.is_dirty(), "flushed before it was compared (I5)");
        for difference in &differences {
            if store.get(difference.table, &difference.key)? != difference.stored {
                return Ok(false);
            }
        }
        for difference in differences {
            let Difference {
                table, key, rebuilt, ..
            } = difference;
            self.rollup.touch_key(&key, self.position + 1);
            if let (Table::Cells, Ok((part, owner))) = (table, owner_of_key(&key)) {
                pack::note(&owner, part.hour, &mut self.changes);
                if let Some(late) = late_key(part, &owner) {
                    self.changes.put(Table::LateParts, late, Vec::new());
                }
            }
            match rebuilt {
                Some(value) => self.changes.put(table, key, value),
                None => self.changes.delete(table, key),
            }
        }
        self.rollup.forget_values();
        Ok(true)
    }

    /// Makes the group durable, then hands out its answers.
    pub fn commit(
        &mut self,
        now: WallMs,
        flush_all: bool,
        store: &mut dyn Store,
    ) -> Result<Durable<Vec<(Ticket, Answer)>>, StoreError> {
        for node in std::mem::take(&mut self.changed_nodes) {
            self.changes
                .put(Table::Marks, node.0.to_vec(), self.marks.encode(node));
        }
        self.rollup.flush(now, flush_all, &mut self.changes);
        if !self.changes.is_empty() {
            let floor = self.rollup.floor(self.position);
            self.changes.put(
                Table::Meta,
                META_POSITION.to_vec(),
                self.position.to_be_bytes().to_vec(),
            );
            self.changes
                .put(Table::Meta, META_FLOOR.to_vec(), floor.to_be_bytes().to_vec());
        }
        let (changes, answers) = (
            std::mem::take(&mut self.changes),
            std::mem::take(&mut self.answers),
        );
        self.pending_headers.clear();
        self.pending_inferences.clear();
        self.pending_money.clear();
        // Answers to reads alone need no commit, but the witness comes from one all the same.
        let done = commit(store, &changes, answers);
        self.failed = done.is_err();
        done
    }
}

#[cfg(test)]
#[path = "aggregator_tests.rs"]
mod tests;
