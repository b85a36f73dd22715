//! The aggregator's one durable port: reads of a table, and one atomic commit that is durable on return (I3).
//!
//! A [`Durable`] comes only from a successful commit, and an acknowledgement can be made only from one, so
//! "acknowledged before it was durable" cannot be written.

use std::ops::ControlFlow;

/// The tables of the one store; names are on disk (docs/FORMATS.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// Position → batch as it came, counted or held.
    Log,
    /// Position → decision; never trimmed.
    Decisions,
    /// (node, spool, partition, seq) → position, fate and signed header; never trimmed.
    Headers,
    /// Position → why a batch is held.
    Held,
    /// Node → watermarks of its spools and the boot time they cover.
    Marks,
    /// (hour, owner) → cells.
    Cells,
    /// (hour, node) → minutes received.
    NodeHours,
    /// (newest sealed hour when it came, hour, owner) → nothing: which cells have late parts.
    LateParts,
    /// (owner, day) → what of a sealed day's cells bills need, packed; made from the cells again where it is missing.
    Days,
    /// Position → usage over a judged hole; never trimmed.
    Inferences,
    /// Identity → invoice or note as it was issued; never changed.
    Documents,
    /// Number → what became of a document: payments, notes, disputes.
    Receivables,
    /// Ledger account and currency → its two sums.
    Balances,
    /// Position and place → posting; never trimmed.
    Journal,
    /// What finds documents, postings, grants, series and traces.
    MoneyIndex,
    /// Single values: store identity, positions.
    Meta,
}

impl Table {
    /// All tables.
    pub const ALL: [Self; 16] = [
        Self::Log,
        Self::Decisions,
        Self::Headers,
        Self::Held,
        Self::Marks,
        Self::Cells,
        Self::NodeHours,
        Self::LateParts,
        Self::Days,
        Self::Inferences,
        Self::Documents,
        Self::Receivables,
        Self::Balances,
        Self::Journal,
        Self::MoneyIndex,
        Self::Meta,
    ];

    /// The table's name on disk.
    pub fn name(self) -> &'static str {
        match self {
            Self::Log => "log",
            Self::Decisions => "decisions",
            Self::Headers => "headers",
            Self::Held => "held",
            Self::Marks => "marks",
            Self::Cells => "cells",
            Self::NodeHours => "node-hours",
            Self::LateParts => "late-parts",
            Self::Days => "days",
            Self::Inferences => "inferences",
            Self::Documents => "documents",
            Self::Receivables => "receivables",
            Self::Balances => "balances",
            Self::Journal => "journal",
            Self::MoneyIndex => "money-index",
            Self::Meta => "meta",
        }
    }
}

/// The store did not do what was asked; after a failed commit the aggregator stops.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{operation} in table `{table}`: {reason}")]
pub struct StoreError {
    /// What was asked.
    pub operation: &'static str,
    /// Of which table.
    pub table: &'static str,
    /// What the store said.
    pub reason: String,
}

/// What a scan calls for each key and value, in order of keys.
pub type Visit<'v> = dyn FnMut(&[u8], &[u8]) -> ControlFlow<()> + 'v;

/// Reads, from as many threads as like.
pub trait Read: Sync {
    /// The value of a key.
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError>;
    /// Every key in `from..to`, in order, until `visit` breaks. An empty `to` is no end.
    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// Scans until `visit` breaks or fails; its error ends the scan and is given back.
pub fn try_scan<E: From<StoreError>>(
    store: &dyn Read,
    table: Table,
    (from, to): (&[u8], &[u8]),
    mut visit: impl FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let mut fault = None;
    store.scan(table, from, to, &mut |key, value| match visit(key, value) {
        Ok(flow) => flow,
        Err(e) => {
            fault = Some(e);
            ControlFlow::Break(())
        }
    })?;
    fault.map_or(Ok(()), Err)
}

/// Reads and commits.
pub trait Store: Read {
    /// Applies all changes or none; durable on return.
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError>;
}

/// Changes of one commit, in order; a later one of the same key wins.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes(Vec<Change>);

/// One change: the value, or `None` to delete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// In which table.
    pub table: Table,
    /// Key.
    pub key: Vec<u8>,
    /// New value.
    pub value: Option<Vec<u8>>,
}

impl Changes {
    /// Sets a key.
    pub fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.0.push(Change {
            table,
            key,
            value: Some(value),
        });
    }

    /// Removes a key.
    pub fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.0.push(Change {
            table,
            key,
            value: None,
        });
    }

    /// The changes, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Change> {
        self.0.iter()
    }

    /// True when nothing changes.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Proof that `T` is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Durable<T>(T);

impl<T> Durable<T> {
    /// What is durable.
    pub fn get(&self) -> &T {
        &self.0
    }

    /// Takes what is durable out of its proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

/// Commits, and only then hands out the proof.
pub fn commit<T>(store: &mut dyn Store, changes: &Changes, content: T) -> Result<Durable<T>, StoreError> {
    store.commit(changes)?;
    Ok(Durable(content))
}
