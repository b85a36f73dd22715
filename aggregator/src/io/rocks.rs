//! The ports over RocksDB: one database, a column family for each table, one synced write for each commit (I3).
//!
//! No merge operators, no FIFO, no time to live: nothing here forgets or adds by itself. A log that ends in the
//! middle of a record opens; one that is damaged elsewhere does not, for it would open shorter in silence.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, DBRawIterator, ReadOptions, Snapshot, WriteBatch, WriteOptions,
};
use tallyman_aggregator_core::log::prefix_end;
use tallyman_aggregator_core::ports::{Change, Changes, Read, Store, StoreError, Table, Visit};

use self::tuning::{HEADER_PREFIX, database_options, new_cache, table_options};
use crate::room::Space;

/// Copies of the store that are read beside it.
pub mod beside;
/// What the database is told about its tables.
mod tuning;

/// Why the database did not open.
#[derive(Debug, thiserror::Error)]
pub enum RocksOpenError {
    /// Nothing is there.
    #[error("there is no store in {0}: make one with `tallyman-aggregator init`")]
    Missing(PathBuf),
    /// Another process has it.
    #[error("the store in {0} is in use by another process: a running aggregator?")]
    Locked(PathBuf),
    /// Not ours to read or write.
    #[error("no permission for the store in {path}: run this as root or as the service's user ({reason})")]
    Permission {
        /// Where.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// Damaged, or the disk fails.
    #[error("the store in {path} does not open: {reason}")]
    Failed {
        /// Where.
        path: PathBuf,
        /// What RocksDB said.
        reason: String,
    },
}

/// Whether an absent database is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Create {
    /// Made if absent.
    Yes,
    /// Refused if absent.
    No,
}

/// The database, for its one writer. Dropped, it closes: who reads beside it then gets no further.
#[derive(Debug)]
pub struct RocksStore {
    db: Arc<DB>,
    /// Shared with those who read beside.
    is_closed: Arc<AtomicBool>,
}

impl Drop for RocksStore {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::Relaxed);
    }
}

impl RocksStore {
    /// Opens the database in a folder.
    pub fn open(path: &Path, create: Create) -> Result<Self, RocksOpenError> {
        if create == Create::No && !path.join("CURRENT").exists() {
            return Err(missing_or_forbidden(path));
        }
        let cache = new_cache();
        let tables = Table::ALL
            .iter()
            .map(|t| ColumnFamilyDescriptor::new(t.name(), table_options(*t, &cache)));
        let options = database_options(path, create);
        let db = DB::open_cf_descriptors(&options, path, tables)
            .map_err(|e| open_error(path, &e.into_string()))?;
        Ok(Self {
            db: Arc::new(db),
            is_closed: Arc::default(),
        })
    }

    /// A handle for reads beside the writer.
    pub fn reader(&self) -> RocksReader {
        RocksReader {
            db: Arc::downgrade(&self.db),
            is_closed: self.is_closed.clone(),
        }
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        self.db.path()
    }

    /// The disk that it is on.
    pub fn space(&self) -> std::io::Result<Space> {
        let disk = rustix::fs::statvfs(self.db.path())?;
        Ok(Space {
            free_bytes: disk.f_bavail * disk.f_frsize,
            total_bytes: disk.f_blocks * disk.f_frsize,
        })
    }

    /// Writes and syncs nothing at all: whether the store would take something.
    pub fn try_write(&self) -> Result<(), StoreError> {
        let mut options = WriteOptions::default();
        options.set_sync(true);
        let nothing = WriteBatch::default();
        self.db
            .write_opt(nothing, &options)
            .map_err(|e| fault("trying", None, e))
    }

    /// A second database in `path` that shares this one's files, as of now.
    pub fn checkpoint(&self, path: &Path) -> Result<(), StoreError> {
        let made = Checkpoint::new(&self.db).and_then(|c| c.create_checkpoint(path));
        made.map_err(|e| fault("copying", None, e))
    }
}

/// A handle for reads; it does not keep the database open.
#[derive(Debug, Clone)]
pub struct RocksReader {
    db: Weak<DB>,
    is_closed: Arc<AtomicBool>,
}

impl RocksReader {
    /// Runs `ask` over the state of this moment; `None` once the database is closed. When it closes meanwhile, the next
    /// read fails: a process must not end before all its questions have, and may not wait for long ones.
    pub fn with_snapshot<T>(&self, ask: impl FnOnce(&(dyn Read + Sync)) -> T) -> Option<T> {
        self.while_open().ok()?;
        let db = self.db.upgrade()?;
        let snapshot = db.snapshot();
        let reader = self;
        Some(ask(&RocksSnapshot {
            db: &db,
            snapshot,
            reader,
        }))
    }

    /// An error once the database is closed.
    pub fn while_open(&self) -> Result<(), StoreError> {
        match self.is_closed.load(Ordering::Relaxed) {
            false => Ok(()),
            true => Err(StoreError {
                operation: "reading",
                table: "all",
                reason: "the store is closed, for the program ends: ask again when it runs".to_owned(),
            }),
        }
    }
}

struct RocksSnapshot<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
    reader: &'a RocksReader,
}

impl Read for RocksSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.while_open()?;
        let found = self.snapshot.get_cf(family(self.db, table), key);
        found.map_err(|e| fault("reading", Some(table), e))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let options = scan_options(table, from, to);
        let entries = self.snapshot.raw_iterator_cf_opt(family(self.db, table), options);
        scan_while_open(self.reader, visit, |visit| walk(entries, table, from, visit))
    }
}

impl Read for RocksStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.db.get_cf(family(&self.db, table), key);
        found.map_err(|e| fault("reading", Some(table), e))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let options = scan_options(table, from, to);
        let entries = self.db.raw_iterator_cf_opt(family(&self.db, table), options);
        walk(entries, table, from, visit)
    }
}

impl Store for RocksStore {
    fn commit(&mut self, changes: &Changes) -> Result<(), StoreError> {
        if changes.is_empty() {
            return Ok(());
        }
        // One allocation: growing step by step would touch and copy every page twice.
        let bytes = changes.iter().map(change_bytes).sum();
        let mut batch = WriteBatch::with_capacity_bytes(bytes);
        for change in changes.iter() {
            let family = family(&self.db, change.table);
            match &change.value {
                Some(value) => batch.put_cf(family, &change.key, value),
                None => batch.delete_cf(family, &change.key),
            }
        }
        let mut options = WriteOptions::default();
        options.set_sync(true);
        self.db
            .write_opt(batch, &options)
            .map_err(|e| fault("committing", None, e))
    }
}

/// A scan that ends with an error as soon as the reader's database is closed.
fn scan_while_open(
    reader: &RocksReader,
    visit: &mut Visit<'_>,
    scan: impl FnOnce(&mut Visit<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut outcome = reader.while_open();
    scan(&mut |key, value| {
        outcome = reader.while_open();
        match outcome {
            Ok(()) => visit(key, value),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    outcome
}

/// Bytes of a change in a batch: key, value, two lengths, kind and table.
fn change_bytes(change: &Change) -> usize {
    change.key.len() + change.value.as_ref().map_or(0, Vec::len) + 16
}

fn walk(
    mut entries: DBRawIterator<'_>,
    table: Table,
    from: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StoreError> {
    entries.seek(from);
    while let Some((key, value)) = entries.item() {
        if let ControlFlow::Break(()) = visit(key, value) {
            return Ok(());
        }
        entries.next();
    }
    // An iterator that failed looks like one that ended.
    entries.status().map_err(|e| fault("scanning", Some(table), e))
}

fn scan_options(table: Table, from: &[u8], to: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    if !to.is_empty() {
        options.set_iterate_upper_bound(to);
    }
    // A month's run reads each of them once: kept, they would take the place of what is read again.
    options.fill_cache(table != Table::Days);
    let one_number = table == Table::Headers && from.len() == HEADER_PREFIX && to == prefix_end(from);
    if one_number {
        options.set_prefix_same_as_start(true);
    } else {
        options.set_total_order_seek(true);
    }
    options
}

fn family(db: &DB, table: Table) -> &ColumnFamily {
    db.cf_handle(table.name()).expect("all tables were opened")
}

fn fault(operation: &'static str, table: Option<Table>, error: rocksdb::Error) -> StoreError {
    StoreError {
        operation,
        table: table.map_or("all", Table::name),
        reason: error.into_string(),
    }
}

fn missing_or_forbidden(path: &Path) -> RocksOpenError {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => RocksOpenError::Permission {
            path: path.to_owned(),
            reason: e.to_string(),
        },
        _ => RocksOpenError::Missing(path.to_owned()),
    }
}

fn open_error(path: &Path, reason: &str) -> RocksOpenError {
    let path = path.to_owned();
    if reason.contains("lock hold by current process") || reason.contains("Resource temporarily unavailable")
    {
        RocksOpenError::Locked(path)
    } else if reason.contains("Permission denied") {
        RocksOpenError::Permission {
            path,
            reason: reason.to_owned(),
        }
    } else {
        RocksOpenError::Failed {
            path,
            reason: reason.to_owned(),
        }
    }
}
