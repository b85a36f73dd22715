//! Months of many accounts: drafted on all processors over one snapshot, in pieces; the writer issues each in one commit. Pieces
//! are issued in the order of accounts, whichever is drafted first, so that numbers do not depend on threads.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde::{Deserialize, Serialize};
use tallyman_aggregator_core::accounts::command::{DocumentFate, Draft, Fate, MoneyCommand};
use tallyman_aggregator_core::accounts::draft::DraftError;
use tallyman_aggregator_core::accounts::run::{Drafts, Due, HasOne, NotBilled, Prepared, drafts_of};
use tallyman_aggregator_core::bills::Books;
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

/// Who asks for a run.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
}

/// What became of some accounts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Piece {
    /// Got their invoice now.
    pub issued: Vec<HasOne>,
    /// Had theirs.
    pub existing: Vec<HasOne>,
    /// Had theirs, which is void.
    #[serde(default)]
    pub void: Vec<HasOne>,
    /// Used nothing and owe nothing.
    pub nothing: Vec<String>,
    /// Get none.
    pub not_billed: Vec<NotBilled>,
    /// Would get one, from a run that issues nothing.
    pub drafted: Vec<WouldBe>,
}

/// What an invoice would come to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldBe {
    /// Whose.
    pub account: String,
    /// ISO 4217 code.
    pub currency: String,
    /// What would be due.
    pub total: String,
}

impl Piece {
    /// How many accounts it tells of.
    pub fn accounts(&self) -> usize {
        self.issued.len()
            + self.existing.len()
            + self.void.len()
            + self.nothing.len()
            + self.not_billed.len()
            + self.drafted.len()
    }

    /// Adds another's accounts behind its own.
    pub fn add(&mut self, other: Self) {
        self.issued.extend(other.issued);
        self.existing.extend(other.existing);
        self.void.extend(other.void);
        self.nothing.extend(other.nothing);
        self.not_billed.extend(other.not_billed);
        self.drafted.extend(other.drafted);
    }

    fn note(&mut self, it: DocumentFate) {
        let account = it.account;
        match it.fate {
            Fate::Issued { number } => self.issued.push(HasOne { account, number }),
            Fate::Existed { number } => self.existing.push(HasOne { account, number }),
            Fate::Refused { reason } => self.not_billed.push(NotBilled { account, reason }),
        }
    }
}

impl From<&Draft> for WouldBe {
    fn from(it: &Draft) -> Self {
        let document = &it.document;
        Self {
            account: document.account.key.clone(),
            currency: document.currency.clone(),
            total: document.total.clone(),
        }
    }
}

/// Drafts the month of some accounts and issues it as whoever asks; without anybody it issues nothing. `tell` hears of
/// every piece once it is durable, in their order.
pub async fn bill(
    handle: &Handle,
    due: Due,
    asked: Option<&Asked>,
    mut tell: impl FnMut(Piece) + Send,
) -> Result<(), MonthlyError> {
    let Due {
        month,
        accounts,
        again,
    } = due;
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
        drafting.read_here(|books| work.run(books, (month, again)))
    });
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    while let Some((place, piece)) = drafted.recv().await {
        waiting.insert(place, piece);
        while let Some(piece) = waiting.remove(&next) {
            next += 1;
            tell(end(handle, month, asked, piece?).await?);
            let _ = permit.send(());
        }
    }
    drop(permit);
    threads.await.map_err(|_| Unavailable::Stopping)???;
    Ok(())
}

/// Issues what was drafted, if anybody asks for that.
async fn end(
    handle: &Handle,
    month: Month,
    asked: Option<&Asked>,
    drafted: Drafts,
) -> Result<Piece, CommandError> {
    let Drafts {
        drafts: documents,
        existing,
        void,
        nothing,
        not_billed,
    } = drafted;
    let mut piece = Piece {
        existing,
        void,
        nothing,
        not_billed,
        ..Piece::default()
    };
    match asked {
        None => piece.drafted.extend(documents.iter().map(WouldBe::from)),
        Some(_) if documents.is_empty() => {}
        Some(Asked { actor, source }) => {
            let month = month.to_string();
            let command = MoneyCommand::IssueInvoices { month, documents };
            let booked = handle.money(actor.clone(), source.clone(), command).await?;
            booked.documents.into_iter().for_each(|it| piece.note(it));
        }
    }
    Ok(piece)
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
    fn run(&self, books: Books<'_>, (month, again): (Month, bool)) -> Result<(), DraftError> {
        let prepared = Prepared::read(books, month)?.again(again);
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        thread::scope(|scope| {
            for _ in 0..processors {
                scope.spawn(|| self.draft(books, &prepared));
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
