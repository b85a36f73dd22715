//! The writer's threads, from their start to their end.

use std::thread::JoinHandle;

use tallyman_aggregator_core::ports::StoreError;
use tallyman_aggregator_core::rollup::cache::FoldError;
use tokio::sync::{mpsc, oneshot};

use crate::limits::TICK;
use crate::requests::Request;

/// Why the writer ended.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// Not durable: whether the group was written is known after the next start.
    #[error("the store failed, nothing more is acknowledged: {0}")]
    Store(#[from] StoreError),
    /// The state could not take an event.
    #[error("the state can't go on: {0}")]
    Fold(#[from] FoldError),
    /// A bug.
    #[error("the writer's thread panicked")]
    Panicked,
}

/// Resolves when the writer has ended and the store is closed.
#[derive(Debug)]
pub struct WriterEnd {
    outcome: oneshot::Receiver<Result<(), WriterError>>,
    threads: Vec<JoinHandle<()>>,
}

impl WriterEnd {
    /// Starts the writer's thread and one that wakes it.
    pub(super) fn start(
        requests: mpsc::Sender<Request>,
        run: impl FnOnce() -> Result<(), WriterError> + Send + 'static,
    ) -> Self {
        let (ended, outcome) = oneshot::channel();
        let writer = spawn("writer", move || {
            let outcome = run();
            if let Err(error) = &outcome {
                tracing::error!(%error, "the writer ended");
            }
            drop(ended.send(outcome));
        });
        let ticker = spawn("ticker", move || tick(&requests));
        let threads = vec![writer, ticker];
        Self { outcome, threads }
    }

    /// How the writer ended. May be asked again only while it has not.
    pub async fn wait(&mut self) -> Result<(), WriterError> {
        let outcome = (&mut self.outcome).await.unwrap_or(Err(WriterError::Panicked));
        // Nothing is left to do for them. A thread that outlives the process's main one finds what the store's library
        // keeps for each thread torn down.
        for thread in self.threads.drain(..) {
            thread.thread().unpark();
            drop(thread.join());
        }
        outcome
    }
}

fn spawn(name: &str, body: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread
        .spawn(body)
        .expect("the system gives two threads at the start")
}

/// Wakes the writer until it is gone. A full inbox wakes it anyway.
fn tick(requests: &mpsc::Sender<Request>) {
    while !matches!(
        requests.try_send(Request::Tick),
        Err(mpsc::error::TrySendError::Closed(_))
    ) {
        std::thread::park_timeout(TICK);
    }
}
