//! The aggregator's store in the simulation: a commit can fail, and then it may or may not have happened.

use tallyman_aggregator_core::memory::MemoryStore;
use tallyman_aggregator_core::ports::{Changes, Read, Store, StoreError, Table, Visit};

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

impl Read for SimStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
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
            if self.bug == Some(Bug::StoreForgetsMarks) {
                let mut rest = Changes::default();
                for change in changes.iter().filter(|c| c.table != Table::Marks) {
                    if let Some(value) = &change.value {
                        rest.put(change.table, change.key.clone(), value.clone());
                    }
                }
                self.inner.commit(&rest)?;
            } else {
                self.inner.commit(changes)?;
            }
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
