//! How RocksDB is set up, and why. The defaults of RocksDB serve a database that owns its machine;
//! these serve a node that keeps its log elsewhere and shares two cores and little memory.

use rocksdb::{BlockBasedOptions, Cache, DBCompressionType, DBRecoveryMode, LogLevel, Options};

use crate::config::StorageConfig;
use crate::tables::keys::Family;

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Memory of one memtable of leftovers. It is taken only while the journal is over its budget.
pub(crate) const LEFTOVERS_MEMTABLE_BYTES: usize = 32 * MIB;
const ROWS_MEMTABLE_BYTES: usize = 8 * MIB;
const SYSTEM_MEMTABLE_BYTES: usize = MIB;

pub(crate) fn database(config: &StorageConfig) -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // A torn tail is what a power cut leaves. Damage before the tail is damage to rows that were
    // promised, and then the database must not open; the default would silently roll back to it.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    // A rarely written family would otherwise pin write-ahead logs for ever.
    options.set_max_total_wal_size(64 * MIB as u64);
    options.set_max_open_files(i32::try_from(config.open_files_max).unwrap_or(i32::MAX));
    options.set_table_cache_num_shard_bits(4);
    // One thread flushes, one compacts keys. There is nothing else to do in the background.
    options.set_max_background_jobs(2);
    options.set_db_write_buffer_size(LEFTOVERS_MEMTABLE_BYTES + 2 * ROWS_MEMTABLE_BYTES);
    // Spread write-back, so that a sync never waits for hundreds of megabytes of it.
    options.set_bytes_per_sync(MIB as u64);
    options.set_wal_bytes_per_sync(MIB as u64);
    // Opening thousands of segments must not read each of them.
    options.set_skip_stats_update_on_db_open(true);
    options.set_advise_random_on_open(false);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_max_manifest_file_size(16 * MIB);
    options.set_log_level(LogLevel::Warn);
    options.set_keep_log_file_num(4);
    options.set_max_log_file_size(4 * MIB);
    options
}

/// The cache that all families share.
pub(crate) fn block_cache(config: &StorageConfig) -> Cache {
    Cache::new_lru_cache(usize::try_from(config.block_cache_bytes).unwrap_or(usize::MAX))
}

pub(crate) fn family(family: Family, cache: &Cache) -> Options {
    match family {
        Family::Segments => segments(cache),
        Family::Leftovers => leftovers(cache),
        Family::Rows => rows(cache, ROWS_MEMTABLE_BYTES),
        Family::System => rows(cache, SYSTEM_MEMTABLE_BYTES),
    }
}

/// Only ingested files live here. Its memtable stays empty, and compaction would only rewrite
/// files that are already sorted and never overlap.
fn segments(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_disable_auto_compactions(true);
    options.set_write_buffer_size(64 * KIB);
    // Producers compress batches; what arrives here does not shrink any further.
    options.set_compression_type(DBCompressionType::None);
    // Entries are read in runs, so blocks are large and there is no filter to ask.
    options.set_block_based_table_factory(&table(cache, 32 * KIB));
    options
}

/// Values lie in blob files, which are never rewritten: flushes and compactions touch keys only. A
/// blob file disappears with the last key that points into it.
fn leftovers(cache: &Cache) -> Options {
    let mut options = Options::default();
    options.set_enable_blob_files(true);
    // Below this, the reference would be almost as large as the value.
    options.set_min_blob_size(256);
    options.set_blob_file_size(64 * MIB as u64);
    options.set_blob_compression_type(DBCompressionType::None);
    // Collection would move values that are only waiting for their retention.
    options.set_enable_blob_gc(false);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(LEFTOVERS_MEMTABLE_BYTES);
    options.set_max_write_buffer_number(2);
    options.set_block_based_table_factory(&table(cache, 16 * KIB));
    options
}

fn rows(cache: &Cache, memtable_bytes: usize) -> Options {
    let mut options = Options::default();
    options.set_write_buffer_size(memtable_bytes);
    options.set_max_write_buffer_number(2);
    options.set_compression_type(DBCompressionType::Lz4);
    let mut table = table(cache, 8 * KIB);
    // Most rows are asked for by their exact key.
    table.set_bloom_filter(10.0, false);
    options.set_block_based_table_factory(&table);
    options
}

fn table(cache: &Cache, block_bytes: usize) -> BlockBasedOptions {
    let mut table = BlockBasedOptions::default();
    table.set_block_size(block_bytes);
    table.set_block_cache(cache);
    // Indexes count against the cache's budget; otherwise each open file would add to the memory.
    table.set_cache_index_and_filter_blocks(true);
    table.set_pin_l0_filter_and_index_blocks_in_cache(true);
    table
}
