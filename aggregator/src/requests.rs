//! What reaches the one writer: batches, changes, questions that only it can answer, and the order to end.

use std::path::PathBuf;

use tallyman_aggregator_core::accounts::MoneyCommand;
use tallyman_aggregator_core::aggregator::{Answer, Asker};
use tallyman_aggregator_core::ingest::{Checked, Reason};
use tallyman_aggregator_core::ports::StoreError;
use tallyman_aggregator_core::recompute::Difference;
use tallyman_aggregator_core::registry::Command;
use tallyman_aggregator_core::rollup::pack::Piece;
use tallyman_aggregator_core::seal::HoleDraft;
use tallyman_common::ids::{Seq, SpoolId};
use tallyman_common::message::{Hello, Nack};
use tokio::sync::oneshot;

/// What reaches the writer.
#[derive(Debug)]
pub enum Request {
    /// A batch whose signature holds.
    Batch(Box<Checked>, oneshot::Sender<Answer>),
    /// An agent's first word.
    Hello(Hello, oneshot::Sender<Answer>),
    /// A change.
    Command {
        /// Who.
        actor: String,
        /// From where.
        source: String,
        /// What.
        command: Command,
        /// Whom to answer.
        reply: oneshot::Sender<Answer>,
    },
    /// Something is asked of the ledger.
    Money(Asker, Box<MoneyCommand>, oneshot::Sender<Answer>),
    /// A hole, judged beside the writer.
    Judge(Box<HoleDraft>, oneshot::Sender<Answer>),
    /// Some owners of a sealed day, packed beside the writer.
    Pack(Box<Piece>, oneshot::Sender<Answer>),
    /// Is anyone there?
    Ping(oneshot::Sender<()>),
    /// Write everything and copy the store into a folder.
    Checkpoint(PathBuf, oneshot::Sender<Result<(), StoreError>>),
    /// Write everything, then replace values that are not what the log makes of them.
    Replace(Box<Repair>),
    /// Time passes.
    Tick,
    /// Write everything and end.
    Stop,
}

/// Values to be replaced, as they were found in a copy of the store.
#[derive(Debug)]
pub struct Repair {
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What stands in the log of it.
    pub decision: Command,
    /// What differed.
    pub differences: Vec<Difference>,
    /// Whom to answer.
    pub reply: oneshot::Sender<Answer>,
}

/// The answer to a batch that the shell itself does not take.
pub(crate) fn nack(spool: SpoolId, seq: Seq, reason: Reason, text: String) -> Nack {
    Nack {
        spool,
        seq,
        reason: reason.number(),
        verdict: reason.verdict(),
        text,
    }
}
