//! The ports over RocksDB: one database, a column family for each table, one synced write for each commit (I3).
//!
//! No merge operators, no FIFO, no time to live: nothing here forgets or adds by itself. A log that ends in the
//! middle of a record opens; one that is damaged elsewhere does not, for it would open shorter in silence.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

use rocksdb::checkpoint::Checkpoint;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamily, ColumnFamilyDescriptor, DB, DBCompressionType, DBRawIterator,
    DBRecoveryMode, Options, ReadOptions, SliceTransform, Snapshot, WriteBatch, WriteOptions,
};
use tallyman_aggregator_core::log::prefix_end;
use tallyman_aggregator_core::ports::{Change, Changes, Read, Store, StoreError, Table, Visit};

use crate::room::Space;

const MIB: usize = 1 << 20;
/// Bytes of a header's key that name one number of one spool; all candidates for it lie behind one such prefix.
const HEADER_PREFIX: usize = 42;
/// Blocks kept in memory by all tables.
const CACHE_BYTES: usize = 256 * MIB;
/// Files kept open.
const OPEN_FILES_MAX: i32 = 4_096;

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

/// The database, for its one writer.
#[derive(Debug)]
pub struct RocksStore {
    db: Arc<DB>,
}

impl RocksStore {
    /// Opens the database in a folder.
    pub fn open(path: &Path, create: Create) -> Result<Self, RocksOpenError> {
        if create == Create::No && !path.join("CURRENT").exists() {
            return Err(missing_or_forbidden(path));
        }
        let cache = Cache::new_lru_cache(CACHE_BYTES);
        let tables = Table::ALL
            .iter()
            .map(|t| ColumnFamilyDescriptor::new(t.name(), table_options(*t, &cache)));
        let mut options = database_options(create);
        options.set_use_direct_io_for_flush_and_compaction(writes_directly(path));
        let db = DB::open_cf_descriptors(&options, path, tables)
            .map_err(|e| open_error(path, &e.into_string()))?;
        Ok(Self { db: Arc::new(db) })
    }

    /// A handle for reads beside the writer.
    pub fn reader(&self) -> RocksReader {
        RocksReader {
            db: Arc::downgrade(&self.db),
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
}

impl RocksReader {
    /// Runs `ask` over the state of this moment; `None` once the database is closed.
    pub fn with_snapshot<T>(&self, ask: impl FnOnce(&(dyn Read + Sync)) -> T) -> Option<T> {
        let db = self.db.upgrade()?;
        let snapshot = db.snapshot();
        Some(ask(&RocksSnapshot { db: &db, snapshot }))
    }
}

struct RocksSnapshot<'a> {
    db: &'a DB,
    snapshot: Snapshot<'a>,
}

impl Read for RocksSnapshot<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        let found = self.snapshot.get_cf(family(self.db, table), key);
        found.map_err(|e| fault("reading", Some(table), e))
    }

    fn scan(&self, table: Table, from: &[u8], to: &[u8], visit: &mut Visit<'_>) -> Result<(), StoreError> {
        let options = scan_options(table, from, to);
        let entries = self.snapshot.raw_iterator_cf_opt(family(self.db, table), options);
        walk(entries, table, from, visit)
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

/// Whether files in this folder can be written past the page cache. Flushes and compactions then are: what they write is
/// not read soon, and copying it into fresh pages took an eighth of the aggregator's time.
fn writes_directly(folder: &Path) -> bool {
    use rustix::fs::{Mode, OFlags};
    let probe = folder.join("direct-io");
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::DIRECT | OFlags::CLOEXEC;
    let opened = rustix::fs::open(&probe, flags, Mode::RUSR | Mode::WUSR).is_ok();
    // What a file system refuses to open it may have made all the same.
    drop(std::fs::remove_file(&probe));
    opened
}

fn database_options(create: Create) -> Options {
    let mut options = Options::default();
    options.create_if_missing(create == Create::Yes);
    // A table that a later release adds appears by itself.
    options.create_missing_column_families(true);
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_track_and_verify_wals_in_manifest(true);
    options.set_paranoid_checks(true);
    options.set_recycle_log_file_num(0);
    options.set_max_open_files(OPEN_FILES_MAX);
    options.set_max_background_jobs(4);
    // Tables that seldom change would else keep every log file alive.
    options.set_max_total_wal_size(1 << 30);
    options.set_db_write_buffer_size(768 * MIB);
    options.set_bytes_per_sync(MIB as u64);
    options.set_keep_log_file_num(8);
    options.set_stats_dump_period_sec(0);
    options
}

fn table_options(table: Table, cache: &Cache) -> Options {
    let mut blocks = BlockBasedOptions::default();
    blocks.set_block_cache(cache);
    blocks.set_cache_index_and_filter_blocks(true);
    blocks.set_pin_l0_filter_and_index_blocks_in_cache(true);
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Lz4);
    options.set_write_buffer_size(16 * MIB);
    match table {
        // Frames are compressed already; keys only rise, so that whole files move down as they are.
        Table::Log => {
            options.set_compression_type(DBCompressionType::None);
            options.set_write_buffer_size(128 * MIB);
            options.set_max_write_buffer_number(3);
            options.set_target_file_size_base(128 * MIB as u64);
            blocks.set_block_size(64 << 10);
        }
        Table::Headers => {
            blocks.set_bloom_filter(10.0, false);
            options.set_write_buffer_size(32 * MIB);
            options.set_prefix_extractor(SliceTransform::create_fixed_prefix(HEADER_PREFIX));
            options.set_memtable_prefix_bloom_ratio(0.1);
        }
        // Written again and again while an hour is open: the larger the buffer, the less of it reaches the disk.
        Table::Cells => {
            blocks.set_bloom_filter(10.0, false);
            // Large enough that the tables of a compressed block do not cost more than what is in it.
            blocks.set_block_size(16 << 10);
            options.set_write_buffer_size(128 * MIB);
            options.set_max_write_buffer_number(3);
            options.set_level_zero_file_num_compaction_trigger(8);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        Table::NodeHours => blocks.set_bloom_filter(10.0, false),
        // Read by an owner's month: some 30 values that lie behind each other.
        Table::Days => {
            blocks.set_block_size(32 << 10);
            options.set_write_buffer_size(32 * MIB);
        }
        // Looked up for what is not there yet.
        Table::Receivables | Table::MoneyIndex | Table::Balances => {
            blocks.set_bloom_filter(10.0, false);
            options.set_write_buffer_size(8 * MIB);
        }
        Table::Documents => {
            blocks.set_bloom_filter(10.0, false);
            options.set_write_buffer_size(8 * MIB);
            options.set_bottommost_compression_type(DBCompressionType::Zstd);
        }
        Table::Decisions
        | Table::Held
        | Table::Marks
        | Table::LateParts
        | Table::Inferences
        | Table::Journal
        | Table::Meta => {}
    }
    options.set_block_based_table_factory(&blocks);
    options
}
