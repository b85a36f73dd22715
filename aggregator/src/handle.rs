//! What everything outside the writer holds of it: requests go in, snapshots and the newest registry come out.
//!
//! Reads are pure and over one snapshot of the store; they never enter the writer (I6).

use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tallyman_aggregator_core::accounts::{Booked, MoneyCommand};
use tallyman_aggregator_core::aggregator::{Aggregator, Answer, Asker, Counters};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ingest::Checked;
use tallyman_aggregator_core::log::{decode_decision, position_key};
use tallyman_aggregator_core::ports::{Read, StoreError, Table};
use tallyman_aggregator_core::recompute::Difference;
use tallyman_aggregator_core::registry::{Command, Registry, Rejected};
use tallyman_aggregator_core::restart::{newest_position, read_marks};
use tallyman_aggregator_core::rollup::cache::FoldError;
use tallyman_aggregator_core::rollup::pack::Piece;
use tallyman_aggregator_core::seal::HoleDraft;
use tallyman_common::ids::StoreId;
use tallyman_common::message::{Hello, Welcome};
use tallyman_common::time::{Hour, WallMs};
use tokio::sync::{mpsc, oneshot, watch};

use crate::biller::Runs;
use crate::io::clock;
use crate::io::reconciliations::Reconciliations;
use crate::io::rocks::RocksReader;
use crate::live::LiveBoard;
use crate::metrics::Metrics;
use crate::room::Room;
use crate::writer::{Repair, Request};

/// Why nothing was answered.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Unavailable {
    /// The writer has stopped, or is stopping.
    #[error("the aggregator is stopping")]
    Stopping,
    /// The store's disk is nearly full.
    #[error("{}", .0.words())]
    NoRoom(Room),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] FoldError),
}

impl From<StoreError> for Unavailable {
    fn from(error: StoreError) -> Self {
        Self::Store(error.into())
    }
}

/// Why a change was not made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommandError {
    /// It has no effect, for this reason.
    #[error(transparent)]
    Rejected(#[from] Rejected),
    /// Nobody could make it now.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Where the aggregator stands.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Status {
    /// Identity of the data folder.
    pub store_id: StoreId,
    /// Position of the newest entry.
    pub position: u64,
    /// Since the start.
    #[serde(skip)]
    pub counters: Counters,
    /// Cells wait to be written.
    pub dirty: bool,
    /// When the process started.
    pub started: WallMs,
    /// Open connections of nodes.
    pub connections: i64,
    /// The store's disk.
    #[serde(skip)]
    pub room: Room,
    /// Everything before this instant is sealed; 1970 before the first seal.
    pub sealed_until: WallMs,
    /// Judged holes that stand.
    pub holes: u64,
}

/// What the writer made known with its last commit.
#[derive(Debug, Clone)]
pub(crate) struct Published {
    pub(crate) registry: Arc<Registry>,
    pub(crate) position: u64,
    pub(crate) counters: Counters,
    pub(crate) dirty: bool,
}

impl Published {
    pub(crate) fn of(aggregator: &Aggregator) -> Self {
        Self {
            registry: aggregator.registry().clone(),
            position: aggregator.position(),
            counters: aggregator.counters(),
            dirty: aggregator.is_dirty(),
        }
    }
}

/// What writer and readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) published: RwLock<Published>,
    /// The newest registry, for those who must act when it changes.
    pub(crate) registry: watch::Sender<Arc<Registry>>,
    pub(crate) metrics: Metrics,
    pub(crate) live: LiveBoard,
    pub(crate) room: RwLock<Room>,
    pub(crate) store_id: StoreId,
    pub(crate) started: WallMs,
    pub(crate) reconciliations: Reconciliations,
    pub(crate) runs: Runs,
}

/// A handle to the running aggregator; cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) reader: RocksReader,
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// Who is who, as of the last commit.
    pub fn registry(&self) -> Arc<Registry> {
        self.published().registry
    }

    /// Resolves whenever the registry has changed.
    pub fn registry_changes(&self) -> watch::Receiver<Arc<Registry>> {
        self.shared.registry.subscribe()
    }

    /// Where the aggregator stands.
    pub fn status(&self) -> Status {
        let published = self.published();
        Status {
            store_id: self.shared.store_id,
            position: published.position,
            counters: published.counters,
            dirty: published.dirty,
            started: self.shared.started,
            connections: self.shared.metrics.connections.get(),
            room: self.room(),
            sealed_until: published.registry.seals.newest().map_or(WallMs(0), Hour::end),
            holes: published.registry.holes.count(),
        }
    }

    /// Now, by the wall clock.
    pub fn now(&self) -> WallMs {
        clock::now()
    }

    /// Live views.
    pub fn live(&self) -> &LiveBoard {
        &self.shared.live
    }

    /// Results of the daily comparisons.
    pub fn reconciliations(&self) -> &Reconciliations {
        &self.shared.reconciliations
    }

    /// Monthly runs of this process.
    pub fn runs(&self) -> &Runs {
        &self.shared.runs
    }

    /// Counters.
    pub fn metrics(&self) -> &Metrics {
        &self.shared.metrics
    }

    /// Asks over one snapshot, on a thread for blocking work.
    pub async fn read<T: Send + 'static>(
        &self,
        ask: impl FnOnce(Books<'_>) -> T + Send + 'static,
    ) -> Result<T, Unavailable> {
        let handle = self.clone();
        let asked = tokio::task::spawn_blocking(move || handle.read_here(ask));
        asked.await.map_err(|_| Unavailable::Stopping)?
    }

    /// Asks over one snapshot, on this thread.
    pub fn read_here<T>(&self, ask: impl FnOnce(Books<'_>) -> T) -> Result<T, Unavailable> {
        // In this order: the registry is then never newer than the snapshot, and what it lacks stands in the snapshot.
        let Published {
            registry, position, ..
        } = self.published();
        let answer = self
            .reader
            .with_snapshot(|store| with_books(store, registry, position, ask));
        answer.unwrap_or(Err(Unavailable::Stopping))
    }

    /// The store's disk, as of the writer's last look.
    pub fn room(&self) -> Room {
        *self.shared.room.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a change; answered with its position once it is durable.
    pub async fn command(
        &self,
        actor: String,
        source: String,
        command: Command,
    ) -> Result<u64, CommandError> {
        let ask = |reply| Request::Command {
            actor,
            source,
            command,
            reply,
        };
        match self.ask(ask).await? {
            Answer::Applied(position) => Ok(position),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => unreachable!("a command is applied or rejected, not {other:?}"),
        }
    }

    /// Asks something of the ledger; answered once it is durable.
    pub async fn money(
        &self,
        actor: String,
        source: String,
        command: MoneyCommand,
    ) -> Result<Booked, CommandError> {
        command.check_payer(&self.registry())?;
        let command = Box::new(self.filled(command).await?);
        let asker = Asker { actor, source };
        match self.ask(|reply| Request::Money(asker, command, reply)).await? {
            Answer::Booked(booked) => Ok(booked),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => unreachable!("what is asked of the ledger is booked or rejected, not {other:?}"),
        }
    }

    /// The command with what only the books can say.
    async fn filled(&self, command: MoneyCommand) -> Result<MoneyCommand, CommandError> {
        if !command.is_open() {
            return Ok(command);
        }
        let filled = self.read(move |books| command.filled(books)).await?;
        filled.map_err(|e| Rejected::NotNow(e.to_string()).into())
    }

    /// Hands a checked batch to the writer; answered once it is durable.
    pub async fn batch(&self, checked: Box<Checked>) -> Result<Answer, Unavailable> {
        self.ask(|reply| Request::Batch(checked, reply)).await
    }

    /// Hands a judged hole to the writer; answered with its position once it is durable.
    pub async fn judge(&self, draft: Box<HoleDraft>) -> Result<u64, CommandError> {
        match self.ask(|reply| Request::Judge(draft, reply)).await? {
            Answer::Applied(position) => Ok(position),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => unreachable!("a judgement is applied or rejected, not {other:?}"),
        }
    }

    /// Hands packed owners of a sealed day to the writer; answered once they are durable.
    pub async fn pack(&self, piece: Box<Piece>) -> Result<(), CommandError> {
        match self.ask(|reply| Request::Pack(piece, reply)).await? {
            Answer::Applied(_) => Ok(()),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => unreachable!("a piece is applied or rejected, not {other:?}"),
        }
    }

    /// Replaces values that differ from what the log makes of them, by a decision that says so.
    pub async fn replace(
        &self,
        actor: String,
        source: String,
        decision: Command,
        differences: Vec<Difference>,
    ) -> Result<u64, CommandError> {
        let ask = |reply| {
            Request::Replace(Box::new(Repair {
                actor,
                source,
                decision,
                differences,
                reply,
            }))
        };
        match self.ask(ask).await? {
            Answer::Applied(position) => Ok(position),
            Answer::Rejected(rejected) => Err(rejected.into()),
            other => unreachable!("a repair is applied or rejected, not {other:?}"),
        }
    }

    /// Where an agent's spool stands here.
    pub async fn hello(&self, hello: Hello) -> Result<Welcome, Unavailable> {
        match self.ask(|reply| Request::Hello(hello, reply)).await? {
            Answer::Welcome(welcome) => Ok(welcome),
            other => unreachable!("a hello is answered with a welcome, not {other:?}"),
        }
    }

    /// Resolves when the writer has answered: it is alive.
    pub async fn ping(&self) -> Result<(), Unavailable> {
        self.ask(Request::Ping).await
    }

    /// Writes everything, then makes a copy of the store in `path` that shares its files.
    pub async fn checkpoint(&self, path: std::path::PathBuf) -> Result<(), Unavailable> {
        let done = self.ask(|reply| Request::Checkpoint(path, reply)).await?;
        done.map_err(Unavailable::from)
    }

    async fn ask<T>(&self, request: impl FnOnce(oneshot::Sender<T>) -> Request) -> Result<T, Unavailable> {
        let (reply, answer) = oneshot::channel();
        let sent = self.requests.send(request(reply)).await;
        sent.map_err(|_| Unavailable::Stopping)?;
        answer.await.map_err(|_| self.gone())
    }

    /// Why the writer gave no answer.
    fn gone(&self) -> Unavailable {
        match self.room() {
            room if room.is_low => Unavailable::NoRoom(room),
            _ => Unavailable::Stopping,
        }
    }

    fn published(&self) -> Published {
        // Replaced in one step: what a panicked thread left is whole.
        self.shared
            .published
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Books over a snapshot that is at least as new as `registry`, which is of `position`.
pub(crate) fn with_books<T>(
    store: &dyn Read,
    registry: Arc<Registry>,
    position: u64,
    ask: impl FnOnce(Books<'_>) -> T,
) -> Result<T, Unavailable> {
    let registry = catch_up(store, registry, position)?;
    let marks = read_marks(store)?;
    Ok(ask(Books {
        store,
        registry: &registry,
        marks: &marks,
        position: newest_position(store)?,
        now: clock::now(),
    }))
}

/// Adds the decisions that the snapshot has and the registry lacks.
fn catch_up(
    store: &dyn Read,
    mut registry: Arc<Registry>,
    position: u64,
) -> Result<Arc<Registry>, FoldError> {
    let mut lacking = Vec::new();
    store.scan(
        Table::Decisions,
        &position_key(position + 1),
        &[],
        &mut |_, value| {
            lacking.push(decode_decision(value));
            std::ops::ControlFlow::Continue(())
        },
    )?;
    for decision in lacking {
        Arc::make_mut(&mut registry).apply(&decision?);
    }
    Ok(registry)
}
