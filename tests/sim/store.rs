//! The aggregator's store in the simulation: a commit can fail, and then it may or may not have happened.

use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Change, Changes, Read, Store, StoreError, Table, Visit};

use super::bug::Bug;

/// How the next commit ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NextCommit {
    /// Well.
    Works,
    /// Fails, and nothing was written.
    FailsEmpty,
    /// Fails, and yet everything was written.
    FailsWritten,
}

/// The store.
#[derive(Debug, Clone)]
pub struct SimStore {
    /// What is durable.
    pub inner: MemoryStore,
    /// How the next commit ends.
    pub next: NextCommit,
    /// What is wrong in this run.
    pub bug: Option<Bug>,
}

impl SimStore {
    /// What of a commit is written: all, unless the store forgets.
    fn kept_of(&self, changes: &Changes, ends: NextCommit) -> Changes {
        let is_index = |change: &Change, letters: &[u8]| {
            change.table == Table::MoneyIndex && change.key.first().is_some_and(|it| letters.contains(it))
        };
        let forgets = |change: &Change| match self.bug {
            // By identity and by account and month, and the document itself.
            Some(Bug::InvoiceTwice) if ends == NextCommit::FailsWritten => {
                change.table == Table::Documents || is_index(change, b"iu")
            }
            Some(Bug::PaymentTwice) if ends == NextCommit::FailsWritten => {
                is_index(change, b"t") && change.key.windows(7).any(|it| it == b"payment")
            }
            Some(Bug::PostingLost) => change.table == Table::Journal,
            Some(Bug::BalanceLost) => {
                change.table == Table::Balances && change.key.windows(8).any(|it| it == b"revenue/")
            }
            Some(Bug::PackedDaysStand) => {
                change.table == Table::Days && change.value.as_ref().is_some_and(Vec::is_empty)
            }
            Some(Bug::StoreForgetsMarks) => change.table == Table::Marks,
            Some(Bug::StoreForgetsJudgements) => {
                let text = change.value.as_deref().map(String::from_utf8_lossy);
                change.table == Table::Decisions && text.is_some_and(|t| t.contains("judge_hole"))
            }
            _ => false,
        };
        let mut kept = Changes::default();
        for change in changes.iter().filter(|c| !forgets(c)) {
            match &change.value {
                Some(value) => kept.put(change.table, change.key.clone(), value.clone()),
                None => kept.delete(change.table, change.key.clone()),
            }
        }
        kept
    }
}

impl Read for SimStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        if self.bug == Some(Bug::LatePartsTwice) && table == Table::MoneyIndex && key.starts_with(b"l") {
            return Ok(None);
        }
        self.inner.get(table, key)
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        self.inner.scan(table, from, to, visit)
    }
}

impl Store for SimStore {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        let next = std::mem::replace(&mut self.next, NextCommit::Works);
        if next != NextCommit::FailsEmpty {
            self.inner.commit(&self.kept_of(changes, next))?;
        }
        if next == NextCommit::Works || self.bug == Some(Bug::CommitSaysYes) {
            return Ok(());
        }
        let (operation, table) = ("committing", "all");
        Err(StoreError {
            operation,
            table,
            reason: "the simulated disk failed".into(),
        })
    }
}
