//! Where monthly runs are: those under way and those that ended, as this process knows them. It must not know how an account is
//! billed.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tallyman_aggregator_core::accounts::run::{self, Due, HasOne, NotBilled};
use tallyman_aggregator_core::rating::Month;
use tallyman_common::time::WallMs;

use crate::limits::{BILL_REASONS_MAX, BILL_RUNS_KEPT};
use crate::monthly::{Asked, Piece};

/// Where a run is.
#[derive(Debug, Clone, Serialize)]
pub struct Progress {
    /// Counts the runs of this process.
    pub run: u64,
    /// Which month.
    pub month: Month,
    /// Who asked.
    pub actor: String,
    /// When it began.
    pub started: WallMs,
    /// When it ended; nothing while it runs.
    pub ended: Option<WallMs>,
    /// Accounts that it is for.
    pub accounts: usize,
    /// Accounts that were looked at.
    pub done: usize,
    /// Invoices that it issued.
    pub issued: usize,
    /// Accounts that had theirs.
    pub existing: usize,
    /// Accounts whose invoice is void.
    pub void: usize,
    /// Accounts without anything to bill.
    pub nothing: usize,
    /// Accounts that have no invoice.
    pub not_billed: usize,
    /// The first of them, and why: all would be without a bound (I11).
    pub reasons: Vec<NotBilled>,
    /// Why it ended early.
    pub fault: Option<String>,
}

impl Progress {
    /// Counts what became of some accounts.
    pub(crate) fn add(&mut self, piece: &Piece) {
        self.done += piece.accounts();
        self.issued += piece.issued.len();
        self.existing += piece.existing.len();
        self.void += piece.void.len();
        self.nothing += piece.nothing.len();
        self.not_billed += piece.not_billed.len();
        let month = self.month.to_string();
        let void = piece.void.iter().map(|HasOne { account, number }| NotBilled {
            account: account.clone(),
            reason: run::void_text(number, account, &month),
        });
        let room = BILL_REASONS_MAX - self.reasons.len();
        let all = piece.not_billed.iter().cloned().chain(void);
        self.reasons.extend(all.take(room));
    }
}

/// A run is refused while another goes on: both would draft the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("run {0} is under way; ask again when it has ended")]
pub struct UnderWay(pub u64);

/// The runs of this process, the newest last. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Runs {
    known: Arc<Mutex<Vec<Progress>>>,
    /// One run at a time: two would draft the same.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
}

impl Runs {
    /// Every run that is remembered, the newest last.
    pub fn list(&self) -> Vec<Progress> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One of them.
    pub fn get(&self, run: u64) -> Option<Progress> {
        self.list().into_iter().find(|it| it.run == run)
    }

    /// Notes a run that begins unless another is under way.
    pub(crate) fn begin_alone(&self, asked: &Asked, due: &Due, started: WallMs) -> Result<u64, UnderWay> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match known.iter().find(|it| it.ended.is_none()) {
            Some(it) => Err(UnderWay(it.run)),
            None => Ok(Self::note(
                &mut known,
                &asked.actor,
                (due.month, due.accounts.len()),
                started,
            )),
        }
    }

    /// Notes a run that begins: its month, and for how many accounts it is.
    pub(crate) fn begin(&self, actor: &str, of: (Month, usize), started: WallMs) -> u64 {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        Self::note(&mut known, actor, of, started)
    }

    fn note(
        known: &mut Vec<Progress>,
        actor: &str,
        (month, accounts): (Month, usize),
        started: WallMs,
    ) -> u64 {
        let run = known.last().map_or(1, |newest| newest.run + 1);
        if known.len() >= BILL_RUNS_KEPT {
            known.remove(0);
        }
        known.push(Progress {
            run,
            month,
            actor: actor.to_owned(),
            started,
            ended: None,
            accounts,
            done: 0,
            issued: 0,
            existing: 0,
            void: 0,
            nothing: 0,
            not_billed: 0,
            reasons: Vec::new(),
            fault: None,
        });
        run
    }

    /// Changes what is known of one.
    pub(crate) fn change(&self, run: u64, change: impl FnOnce(&mut Progress)) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(progress) = known.iter_mut().find(|it| it.run == run) {
            change(progress);
        }
    }
}
