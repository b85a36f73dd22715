//! The composer: events in, one commit, answers out. Only it knows all stages; it does no arithmetic on usage.
//!
//! Events gather in a group; nothing is answered before the group's one commit is durable (I3). After a failed commit
//! the aggregator answers nothing more: the process ends and starts again from the store.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::Arc;

use tallyman_common::codec;
use tallyman_common::ids::{Digest, NodeId, Seq, SpoolId, StoreId};
use tallyman_common::message::{Ack, Hello, Nack, Welcome};
use tallyman_common::time::WallMs;
use tallyman_common::wire::{self, Frame, Header};

use crate::ingest::{Checked, Mark, Marks, Reason};
use crate::limits::FUTURE_MS_MAX;
use crate::log::{
    Entry, Fate, HeldNote, Kept, encode_decision, header_key, header_prefix, position_key, prefix_end,
};
use crate::ports::{Changes, Durable, Read, Store, StoreError, Table, commit};
use crate::registry::{Command, Decision, Registry, Rejected};
use crate::restart::{fold_entry, meta_number, open_entry, read_marks, read_registry, replay};
use crate::rollup::Rollup;
use crate::rollup::cache::FoldError;
use crate::rollup::fold::BatchPlace;

/// Names the asker of an event, so that the shell finds whom to answer.
pub type Ticket = u64;

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
    /// The change has no effect.
    Rejected(Rejected),
}

const META_STORE: &[u8] = b"store-id";
const META_POSITION: &[u8] = b"last-position";
const META_FLOOR: &[u8] = b"cells-floor";

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
        let position = meta_number(store, META_POSITION)?;
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
            answers: Vec::new(),
            failed: false,
        })
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
            Event::Command {
                ticket,
                actor,
                source,
                command,
            } => (ticket, self.apply(now, actor, source, command, store)?),
        };
        self.answers.push((ticket, answer));
        Ok(())
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
        // Answers to reads alone need no commit, but the witness comes from one all the same.
        let done = commit(store, &changes, answers);
        self.failed = done.is_err();
        done
    }

    fn admit(&mut self, now: WallMs, checked: Checked, store: &dyn Read) -> Result<Answer, FoldError> {
        let header = checked.header.clone();
        let known = self.known(&header, store)?;
        if let Some(same) = known.iter().find(|k| k.digest == checked.digest) {
            return self.answer_again(&header, same);
        }
        let mark = self
            .marks
            .node_mut(header.node)
            .mark(header.spool, header.partition);
        let reason = if !known.is_empty() || mark.has(header.seq) {
            Some(Reason::Conflict)
        } else if self.marks.node_mut(header.node).covered_by_another(&header) {
            Some(Reason::TimeCoveredTwice)
        } else if header.wall_end.0 > now.0 + FUTURE_MS_MAX {
            Some(Reason::Future)
        } else if checked.records.is_err() {
            Some(Reason::Unreadable)
        } else if checked.implausible {
            Some(Reason::Implausible)
        } else {
            None
        };
        match reason {
            Some(reason) => Ok(self.hold(now, &checked, reason)),
            None if !mark.has_room_for(header.seq) => Ok(nack(&header, Reason::TooManyGaps, "")),
            None => self.count(now, checked, store),
        }
    }

    /// Batches of this number: those of the group first, then the store's (I2).
    fn known(&self, header: &Header, store: &dyn Read) -> Result<Vec<Kept>, FoldError> {
        let prefix = header_prefix(header.node, header.spool, header.partition, header.seq);
        let end = prefix_end(&prefix);
        let pending = self
            .pending_headers
            .range(prefix.clone()..end.clone())
            .map(|(_, k)| k.clone());
        let mut found: Vec<Kept> = pending.collect();
        let mut fault = None;
        store.scan(
            Table::Headers,
            &prefix,
            &end,
            &mut |_, value| match Kept::decode(value) {
                Ok(kept) => {
                    found.push(kept);
                    ControlFlow::Continue(())
                }
                Err(e) => {
                    fault = Some(e);
                    ControlFlow::Break(())
                }
            },
        )?;
        fault.map_or(Ok(found), |e| Err(e.into()))
    }

    fn answer_again(&mut self, header: &Header, same: &Kept) -> Result<Answer, FoldError> {
        self.counters.duplicates += 1;
        Ok(match same.fate()? {
            Fate::Counted => self.ack(header),
            Fate::Held(_) if self.registry.held.contains_key(&same.position) => self.ack(header),
            Fate::Held(reason) => nack(header, reason, &format!("held at position {}", same.position)),
        })
    }

    fn ack(&mut self, header: &Header) -> Answer {
        let upto = self
            .marks
            .node_mut(header.node)
            .mark(header.spool, header.partition)
            .watermark;
        Answer::Ack(Ack {
            spool: header.spool,
            seq: header.seq,
            upto,
        })
    }

    fn count(&mut self, now: WallMs, checked: Checked, store: &dyn Read) -> Result<Answer, FoldError> {
        let position = self.log(now, &checked, Fate::Counted);
        let records = checked.records.expect("unreadable batches are held");
        let group = self.group_of(checked.header.node);
        let place = BatchPlace::new(position, &group, &checked.header).expect("checked with the content");
        self.rollup.fold(&place, &records, now, store)?;
        self.acknowledge(&checked.header, now);
        self.counters.counted += 1;
        self.counters.records += records.len() as u64;
        Ok(self.ack(&checked.header))
    }

    fn acknowledge(&mut self, header: &Header, now: WallMs) {
        let marks = self.marks.node_mut(header.node);
        marks.add(header.spool, header.partition, header.seq);
        marks.note(header, now);
        self.changed_nodes.insert(header.node);
    }

    fn group_of(&self, node: NodeId) -> String {
        self.registry
            .nodes
            .get(&node)
            .map_or_else(String::new, |n| n.group.clone())
    }

    /// Puts a batch into the log; returns its position.
    fn log(&mut self, now: WallMs, checked: &Checked, fate: Fate) -> u64 {
        self.position += 1;
        let h = &checked.header;
        self.changes.put(
            Table::Log,
            position_key(self.position),
            Entry::encode(fate, now, &checked.frame),
        );
        let kept = Kept::new(self.position, fate, checked.digest, checked.signed.clone());
        let key = header_key(h.node, h.spool, h.partition, h.seq, &checked.digest);
        self.changes
            .put(Table::Headers, key.clone(), codec::encode(&kept));
        self.pending_headers.insert(key, kept);
        self.position
    }

    fn hold(&mut self, now: WallMs, checked: &Checked, reason: Reason) -> Answer {
        let position = self.log(now, checked, Fate::Held(reason));
        let h = &checked.header;
        let note = HeldNote {
            node: h.node,
            spool: h.spool,
            partition: h.partition,
            seq: h.seq,
            reason: reason.number(),
            received: now,
            wall_start: h.wall_start,
            wall_end: h.wall_end,
            detail: checked
                .records
                .as_ref()
                .err()
                .cloned()
                .unwrap_or_else(String::new),
        };
        self.changes
            .put(Table::Held, position_key(position), codec::encode(&note));
        self.counters.held += 1;
        nack(h, reason, &format!("held at position {position}"))
    }

    fn welcome(&self, now: WallMs, hello: &Hello, store: &dyn Read) -> Result<Welcome, FoldError> {
        let known = self.marks.node(hello.node);
        let mark = known.map_or_else(Mark::default, |m| m.mark(hello.spool, 0));
        Ok(Welcome {
            store: self.store_id,
            version: wire::VERSION,
            watermark: mark.watermark,
            watermark_digest: self.digest_at(hello.node, hello.spool, mark.watermark, store)?,
            above: mark.above,
            wall: now,
        })
    }

    /// Digest of the batch at a watermark: the counted one, else the first that was decided about.
    fn digest_at(
        &self,
        node: NodeId,
        spool: SpoolId,
        seq: Seq,
        store: &dyn Read,
    ) -> Result<Digest, FoldError> {
        if seq == 0 {
            return Ok(Digest::default());
        }
        let prefix = header_prefix(node, spool, 0, seq);
        let pending = self
            .pending_headers
            .range(prefix.clone()..prefix_end(&prefix))
            .map(|(_, k)| k.clone());
        let mut all: Vec<Kept> = pending.collect();
        store.scan(Table::Headers, &prefix, &prefix_end(&prefix), &mut |_, value| {
            all.extend(Kept::decode(value));
            ControlFlow::Continue(())
        })?;
        all.sort_by_key(|k| (k.fate, k.position));
        Ok(all.first().map_or(Digest([0; 32]), |k| k.digest))
    }

    fn apply(
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

fn nack(header: &Header, reason: Reason, detail: &str) -> Answer {
    let text = if detail.is_empty() {
        reason.text().to_owned()
    } else {
        format!("{}; {detail}", reason.text())
    };
    let (spool, seq, verdict) = (header.spool, header.seq, reason.verdict());
    Answer::Nack(
        Nack {
            spool,
            seq,
            reason: reason.number(),
            verdict,
            text,
        },
        reason,
    )
}

#[cfg(test)]
#[path = "aggregator_tests.rs"]
mod tests;
