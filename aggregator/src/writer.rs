//! The one thread that changes anything: it owns the aggregator and its store, takes requests in groups, commits each
//! group once, and answers only then (I3). It knows no sockets.
//!
//! When a commit fails nothing more is answered and the process ends: it comes back from what is durable.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;

use tallyman_aggregator_core::aggregator::{Aggregator, Answer, Event, OpenError};
use tallyman_aggregator_core::ingest::{Checked, Reason};
use tallyman_aggregator_core::ports::StoreError;
use tallyman_aggregator_core::registry::{NodeStatus, Rejected};
use tokio::sync::{mpsc, oneshot, watch};

use crate::biller::Runs;
use crate::handle::{Handle, Published, Shared};
use crate::io::clock;
use crate::io::reconciliations::Reconciliations;
use crate::io::rocks::RocksStore;
use crate::limits::{GROUP_BATCHES_MAX, GROUP_BYTES_MAX, GROUP_FEW, GROUP_WAIT, REQUESTS_MAX};
use crate::live::LiveBoard;
use crate::metrics::Metrics;
pub(crate) use crate::requests::nack;
pub use crate::requests::{Repair, Request};
use crate::room::{Room, Turn, Watch};

mod end;

pub use self::end::{WriterEnd, WriterError};

/// Folds what the store's cells lack, then starts the writer's thread.
pub fn start(store: RocksStore) -> Result<(Handle, WriterEnd), OpenError> {
    let aggregator = Aggregator::open(&store, clock::now())?;
    Ok(start_with(aggregator, store))
}

/// Starts the thread of an aggregator that was opened over this store.
pub(crate) fn start_with(aggregator: Aggregator, store: RocksStore) -> (Handle, WriterEnd) {
    let shared = Arc::new(Shared {
        published: RwLock::new(Published::of(&aggregator)),
        registry: watch::Sender::new(aggregator.registry().clone()),
        metrics: Metrics::default(),
        live: LiveBoard::default(),
        room: RwLock::new(Room::default()),
        store_id: aggregator.store_id(),
        started: clock::now(),
        reconciliations: Reconciliations::beside(store.folder()),
        runs: Runs::default(),
    });
    let (requests, inbox) = mpsc::channel(REQUESTS_MAX);
    let handle = Handle {
        requests: requests.clone(),
        reader: store.reader(),
        shared: shared.clone(),
    };
    let writer = Writer {
        aggregator,
        store,
        inbox,
        shared,
        group: Group::default(),
        room: Watch::default(),
    };
    (handle, WriterEnd::start(requests, move || writer.run()))
}

/// What waits for the next commit.
#[derive(Debug, Default)]
struct Group {
    /// By ticket.
    replies: Vec<oneshot::Sender<Answer>>,
    /// Answers that the core does not give.
    early: Vec<(oneshot::Sender<Answer>, Answer)>,
    pings: Vec<oneshot::Sender<()>>,
    batches: usize,
    bytes: usize,
    flush_all: bool,
    copy: Option<(PathBuf, oneshot::Sender<Result<(), StoreError>>)>,
    repair: Option<Box<Repair>>,
    stop: bool,
}

impl Group {
    fn is_full(&self) -> bool {
        self.batches >= GROUP_BATCHES_MAX
            || self.bytes >= GROUP_BYTES_MAX
            || self.stop
            || self.copy.is_some()
            || self.repair.is_some()
    }

    fn ticket(&mut self, reply: oneshot::Sender<Answer>) -> u64 {
        self.replies.push(reply);
        self.replies.len() as u64 - 1
    }
}

struct Writer {
    aggregator: Aggregator,
    store: RocksStore,
    inbox: mpsc::Receiver<Request>,
    shared: Arc<Shared>,
    group: Group,
    room: Watch,
}

impl Writer {
    fn run(mut self) -> Result<(), WriterError> {
        while let Some(first) = self.inbox.blocking_recv() {
            // Once for each group, so that what was taken into it is also written.
            self.look_for_room()?;
            self.take(first)?;
            self.gather()?;
            if (1..GROUP_FEW).contains(&self.group.batches) && !self.group.is_full() {
                // One nap is cheaper than waking up for each of the few.
                std::thread::sleep(GROUP_WAIT);
                self.gather()?;
            }
            let group = std::mem::take(&mut self.group);
            let stop = group.stop;
            self.commit(group)?;
            if stop {
                break;
            }
        }
        Ok(())
    }

    fn gather(&mut self) -> Result<(), WriterError> {
        while !self.group.is_full() {
            let Ok(next) = self.inbox.try_recv() else { break };
            self.take(next)?;
        }
        Ok(())
    }

    /// Decides whether anything is written in this turn.
    fn look_for_room(&mut self) -> Result<(), WriterError> {
        let space = match self.store.space() {
            Ok(space) => space,
            // The store itself says what is wrong as soon as it writes.
            Err(error) => {
                tracing::debug!(%error, "the store's disk does not say how full it is");
                return Ok(());
            }
        };
        let mut refusal = None;
        let store = &self.store;
        let writes = || match store.try_write() {
            Ok(()) => true,
            Err(error) => {
                refusal = Some(error);
                false
            }
        };
        let turn = self.room.look(space, Instant::now(), writes);
        let room = self.room.room();
        *self.shared.room.write().unwrap_or_else(PoisonError::into_inner) = room;
        let (free_bytes, reserve_bytes) = (space.free_bytes, space.reserve_bytes());
        match (turn, refusal) {
            (Turn::Low, _) => tracing::error!(
                free_bytes, reserve_bytes, folder = %store.folder().display(),
                "the disk is nearly full, batches and changes are not taken: make room, or make the disk larger; nothing \
                 is lost, the agents keep their batches, and this goes on by itself"
            ),
            (Turn::Back, _) => tracing::info!(
                free_bytes,
                reserve_bytes,
                "there is room again, batches are taken"
            ),
            (Turn::Stuck, Some(error)) => return Err(error.into()),
            (Turn::Same | Turn::Stuck, _) => {}
        }
        Ok(())
    }

    fn take(&mut self, request: Request) -> Result<(), WriterError> {
        if self.room.room().is_low {
            return self.take_without_room(request);
        }
        let event = match request {
            Request::Batch(checked, reply) => return self.take_batch(checked, reply),
            Request::Hello(hello, reply) => Event::Hello(self.group.ticket(reply), hello),
            Request::Command {
                actor,
                source,
                command,
                reply,
            } => Event::Command {
                ticket: self.group.ticket(reply),
                actor,
                source,
                command,
            },
            Request::Money(asker, command, reply) => Event::Money(self.group.ticket(reply), asker, command),
            Request::Judge(draft, reply) => Event::Judge(self.group.ticket(reply), draft),
            Request::Pack(piece, reply) => Event::Pack(self.group.ticket(reply), piece),
            Request::Ping(reply) => {
                self.group.pings.push(reply);
                return Ok(());
            }
            Request::Checkpoint(path, reply) => {
                self.group.flush_all = true;
                self.group.copy = Some((path, reply));
                return Ok(());
            }
            Request::Replace(repair) => {
                self.group.flush_all = true;
                self.group.repair = Some(repair);
                return Ok(());
            }
            Request::Stop => {
                self.group.flush_all = true;
                self.group.stop = true;
                return Ok(());
            }
            Request::Tick => Event::Tick,
        };
        Ok(self.aggregator.step(clock::now(), event, &self.store)?)
    }

    /// Answers what needs no write. Whose change is dropped finds out why from the room.
    fn take_without_room(&mut self, request: Request) -> Result<(), WriterError> {
        let group = &mut self.group;
        match request {
            Request::Batch(checked, reply) => {
                let (h, reason) = (&checked.header, Reason::NoRoom);
                let answer = Answer::Nack(nack(h.spool, h.seq, reason, self.room.room().words()), reason);
                group.batches += 1;
                group.early.push((reply, answer));
            }
            Request::Hello(hello, reply) => {
                let event = Event::Hello(group.ticket(reply), hello);
                self.aggregator.step(clock::now(), event, &self.store)?;
            }
            Request::Command { reply, .. }
            | Request::Money(_, _, reply)
            | Request::Judge(_, reply)
            | Request::Pack(_, reply) => drop(reply),
            Request::Checkpoint(_, reply) => drop(reply),
            Request::Replace(repair) => drop(repair),
            Request::Ping(reply) => group.pings.push(reply),
            Request::Stop => group.stop = true,
            Request::Tick => {}
        }
        Ok(())
    }

    fn take_batch(
        &mut self,
        checked: Box<Checked>,
        reply: oneshot::Sender<Answer>,
    ) -> Result<(), WriterError> {
        self.group.batches += 1;
        self.group.bytes += checked.frame.len();
        // It was checked beside the writer; a revocation may have come in between, and decisions count from their
        // position on. Of a retired node files are taken in still.
        let node = self.aggregator.registry().nodes.get(&checked.header.node);
        if node.is_none_or(|n| n.status == NodeStatus::Revoked) {
            let (reason, h) = (Reason::EndedNode, &checked.header);
            let answer = Answer::Nack(nack(h.spool, h.seq, reason, reason.text().to_owned()), reason);
            self.group.early.push((reply, answer));
            return Ok(());
        }
        let event = Event::Batch(self.group.ticket(reply), checked);
        Ok(self.aggregator.step(clock::now(), event, &self.store)?)
    }

    fn commit(&mut self, group: Group) -> Result<(), WriterError> {
        let started = Instant::now();
        let answers = if self.room.room().is_low {
            self.aggregator.answer_unchanged(&mut self.store)?
        } else {
            self.aggregator
                .commit(clock::now(), group.flush_all, &mut self.store)?
        };
        if group.batches > 0 {
            let metrics = &self.shared.metrics;
            metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
            let batches = u32::try_from(group.batches).expect("groups are bounded");
            metrics.group_batches.observe(f64::from(batches));
        }
        self.publish();
        let mut replies: Vec<Option<_>> = group.replies.into_iter().map(Some).collect();
        for (ticket, answer) in answers.into_inner() {
            if let Answer::Nack(_, reason) = &answer {
                self.shared.metrics.refused(*reason);
            }
            let ticket = usize::try_from(ticket).expect("tickets are places in the group");
            let reply = replies[ticket].take().expect("one answer for each ticket");
            // Whoever asked may be gone; its agent asks again.
            drop(reply.send(answer));
        }
        for (reply, answer) in group.early {
            if let Answer::Nack(_, reason) = &answer {
                self.shared.metrics.refused(*reason);
            }
            drop(reply.send(answer));
        }
        for ping in group.pings {
            let _ = ping.send(());
        }
        if let Some((path, reply)) = group.copy {
            drop(reply.send(self.store.checkpoint(&path)));
        }
        group.repair.map_or(Ok(()), |repair| self.repair(*repair))
    }

    /// Everything is written by now: what is stored is compared with what was found.
    fn repair(&mut self, repair: Repair) -> Result<(), WriterError> {
        let answer = if self.aggregator.replace(repair.differences, &self.store)? {
            let now = clock::now();
            let event = Event::Command {
                ticket: 0,
                actor: repair.actor,
                source: repair.source,
                command: repair.decision,
            };
            self.aggregator.step(now, event, &self.store)?;
            let answers = self.aggregator.commit(now, true, &mut self.store)?;
            self.publish();
            let answer = answers.into_inner().pop();
            answer.expect("a decision is answered").1
        } else {
            let text = "some of these values changed meanwhile: compare again";
            Answer::Rejected(Rejected::NotNow(text.to_owned()))
        };
        drop(repair.reply.send(answer));
        Ok(())
    }

    fn publish(&self) {
        let new = Published::of(&self.aggregator);
        let changed = !Arc::ptr_eq(&new.registry, &self.shared.registry.borrow());
        let registry = new.registry.clone();
        *self
            .shared
            .published
            .write()
            .unwrap_or_else(PoisonError::into_inner) = new;
        if changed {
            self.shared.registry.send_replace(registry);
        }
    }
}
