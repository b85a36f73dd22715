//! Months of many accounts: drafted on all processors over one snapshot, in pieces; the writer issues each in one commit. Pieces
//! are issued in the order of accounts, whichever is drafted first, so that numbers do not depend on threads.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tallyman_aggregator_core::accounts::command::{DocumentFate, MoneyCommand};
use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::run::{Drafts, Prepared, drafts_of};
use tallyman_aggregator_core::bills::Books;
use tallyman_aggregator_core::ports::Read;
use tallyman_aggregator_core::rating::Month;
use tokio::sync::mpsc;

use crate::handle::{CommandError, Handle, Unavailable};
use crate::limits::{BILL_AHEAD, BILL_PIECE};

/// Why a run stopped. What it issued by then stays, and the next run finds it.
#[derive(Debug, thiserror::Error)]
pub enum MonthlyError {
    /// Nothing can be read.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
    /// Nothing can be drafted.
    #[error(transparent)]
    Draft(#[from] DraftError),
    /// Nothing can be issued.
    #[error(transparent)]
    Command(#[from] CommandError),
}

/// What became of a piece of the accounts.
#[derive(Debug)]
pub struct Done {
    /// Those that have theirs, and those that get none; the drafts are issued.
    pub drafted: Drafts,
    /// What became of the drafts.
    pub fates: Vec<DocumentFate>,
}

/// Drafts and issues the month of some accounts; `tell` hears of every piece once it is durable, in their order.
pub async fn bill(
    handle: &Handle,
    month: Month,
    accounts: Vec<String>,
    (actor, source): (String, String),
    mut tell: impl FnMut(Done) + Send,
) -> Result<(), MonthlyError> {
    let (send, mut drafted) = mpsc::channel(BILL_AHEAD);
    let (permit, permits) = std::sync::mpsc::channel();
    for _ in 0..BILL_AHEAD {
        let _ = permit.send(());
    }
    let drafting = handle.clone();
    let threads = tokio::task::spawn_blocking(move || {
        let work = Work {
            accounts: &accounts,
            next: AtomicUsize::new(0),
            permits: Mutex::new(permits),
            send,
        };
        drafting.read_on_all(|store, books| work.run(store, books, month))
    });
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    while let Some((place, piece)) = drafted.recv().await {
        waiting.insert(place, piece);
        while let Some(piece) = waiting.remove(&next) {
            let mut piece: Drafts = piece?;
            next += 1;
            let fates = issue(handle, month, (&actor, &source), &mut piece).await?;
            tell(Done {
                drafted: piece,
                fates,
            });
            let _ = permit.send(());
        }
    }
    drop(permit);
    threads.await.map_err(|_| Unavailable::Stopping)???;
    Ok(())
}

async fn issue(
    handle: &Handle,
    month: Month,
    (actor, source): (&str, &str),
    piece: &mut Drafts,
) -> Result<Vec<DocumentFate>, CommandError> {
    let documents = std::mem::take(&mut piece.drafts);
    if documents.is_empty() {
        return Ok(Vec::new());
    }
    let month = month.to_string();
    let command = MoneyCommand::IssueInvoices { month, documents };
    let booked = handle.money(actor.to_owned(), source.to_owned(), command).await?;
    Ok(booked.documents)
}

/// A piece, by its place, on its way to be issued.
type Drafted = (usize, Result<Drafts, DraftError>);

struct Work<'a> {
    accounts: &'a [String],
    next: AtomicUsize,
    permits: Mutex<std::sync::mpsc::Receiver<()>>,
    send: mpsc::Sender<Drafted>,
}

impl Work<'_> {
    fn run(&self, store: &(dyn Read + Sync), books: Books<'_>, month: Month) -> Result<(), DraftError> {
        let prepared = Prepared::read(books, month)?;
        let Books {
            registry,
            marks,
            position,
            now,
            ..
        } = books;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 0..processors {
                scope.spawn(|| {
                    let books = Books {
                        store,
                        registry,
                        marks,
                        position,
                        now,
                    };
                    self.draft(books, &prepared);
                });
            }
        });
        Ok(())
    }

    /// Drafts piece after piece, until none is left or nobody takes them.
    fn draft(&self, books: Books<'_>, prepared: &Prepared) {
        loop {
            let place = {
                // The permit goes with the place, so that the piece to be issued next always has one.
                let permits = self.permits.lock();
                if !permits.is_ok_and(|it| it.recv().is_ok()) {
                    return;
                }
                self.next.fetch_add(1, Ordering::Relaxed)
            };
            let Some(piece) = self.accounts.chunks(BILL_PIECE).nth(place) else {
                return;
            };
            let found = drafts_of(books, prepared, piece);
            if self.send.blocking_send((place, found)).is_err() {
                return;
            }
        }
    }
}
