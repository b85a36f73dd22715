//! What the database is told: how it writes, what it keeps in memory, and how each table is used.

use std::path::Path;

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, Options, SliceTransform};
use tallyman_aggregator_core::ports::Table;

use super::Create;

const MIB: usize = 1 << 20;
/// Bytes of a header's key that name one number of one spool; all candidates for it lie behind one such prefix.
pub(super) const HEADER_PREFIX: usize = 42;
/// Blocks kept in memory by all tables.
const CACHE_BYTES: usize = 256 * MIB;
/// Files kept open.
const OPEN_FILES_MAX: i32 = 4_096;

/// One for all tables.
pub(super) fn new_cache() -> Cache {
    Cache::new_lru_cache(CACHE_BYTES)
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

pub(super) fn database_options(path: &Path, create: Create) -> Options {
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
    options.set_use_direct_io_for_flush_and_compaction(writes_directly(path));
    options
}

pub(super) fn table_options(table: Table, cache: &Cache) -> Options {
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
