//! The yardstick: a Raft log in RocksDB alone, as one would build it without a journal of one's own.
//!
//! One write-ahead log for all groups, one column family with blob files, and a thread that makes one
//! synced `WriteBatch` of all that is queued. Keys are group and index, so that a group can be read in
//! order. It is spared what a real one would need on top: entry headers, a checksum of its own for
//! each entry, and rows of state.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use bytes::Bytes;
use crossbeam_channel::{Receiver, Sender, bounded};
use parking_lot::Mutex;
use rocksdb::{
    BlockBasedOptions, Cache, ColumnFamilyDescriptor, DB, DBCompressionType, DBRecoveryMode,
    Options, SliceTransform, WaitForCompactOptions, WriteBatch, WriteOptions,
};

use super::{Account, Done, Engine};

const MIB: usize = 1 << 20;
const LOG: &str = "log";
/// A write takes no more batches than this, as in the journal.
const WRITE_BYTES_MAX: usize = 4 * MIB;
const WRITE_BATCHES_MAX: usize = 4_096;
/// What a `WriteBatch` adds to an entry, at most.
const ENTRY_OVERHEAD: usize = 64;
/// More than any window of the load.
const QUEUE_MAX: usize = 8_192;

pub struct PlainRocksDb {
    database: Arc<DB>,
    /// `None` once it is closed.
    writer: Mutex<Option<Writer>>,
    queue: Sender<Append>,
}

struct Writer {
    thread: JoinHandle<()>,
    stop: Sender<Append>,
}

struct Append {
    key: [u8; 12],
    batch: Bytes,
    /// `None` ends the writer.
    done: Option<Done>,
}

impl PlainRocksDb {
    pub fn open(directory: &Path) -> Result<Self> {
        let family = ColumnFamilyDescriptor::new(LOG, family_options());
        let database = DB::open_cf_descriptors(&database_options(), directory, [family]);
        let database = Arc::new(database.context("RocksDB does not open")?);
        let (queue, appends) = bounded(QUEUE_MAX);
        let written = Arc::clone(&database);
        let thread = std::thread::Builder::new().name("writer".to_owned());
        let thread = thread.spawn(move || write_groups(&written, &appends))?;
        let stop = queue.clone();
        Ok(Self {
            database,
            writer: Mutex::new(Some(Writer { thread, stop })),
            queue,
        })
    }
}

impl Engine for PlainRocksDb {
    fn append(&self, group: u32, index: u64, batch: &Bytes, done: Done) {
        let append = Append {
            key: key(group, index),
            batch: batch.clone(),
            done: Some(done),
        };
        self.queue.send(append).expect("the writer runs");
    }

    /// What is in the log stays where it is.
    fn acknowledged(&self, _group: u32, _index: u64, _bytes: u64) {}

    /// Everything leaves the memtables, and what RocksDB wants to compact is compacted.
    fn drain(&self) -> Result<()> {
        let family = self.database.cf_handle(LOG).context("the family is open")?;
        self.database.flush_cf(family)?;
        self.database
            .wait_for_compact(&WaitForCompactOptions::default())?;
        Ok(())
    }

    fn unsealed_bytes(&self) -> u64 {
        0
    }

    /// RocksDB is not asked: the kernel knows.
    fn account(&self) -> Account {
        Account::default()
    }

    fn close(&self) {
        if let Some(Writer { thread, stop }) = self.writer.lock().take() {
            let last = Append {
                key: [0; 12],
                batch: Bytes::new(),
                done: None,
            };
            stop.send(last).expect("the writer runs");
            thread.join().expect("the writer does not panic");
        }
    }
}

/// Big-endian, so that keys sort as the log does.
fn key(group: u32, index: u64) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&group.to_be_bytes());
    key[4..].copy_from_slice(&index.to_be_bytes());
    key
}

/// Makes one synced write of all that is queued, again and again.
fn write_groups(database: &DB, appends: &Receiver<Append>) {
    let family = database.cf_handle(LOG).expect("the family was opened");
    let mut synced = WriteOptions::default();
    synced.set_sync(true);
    let mut group = Vec::new();
    while let Ok(first) = appends.recv() {
        let (bytes, ends) = collect(first, appends, &mut group);
        // Of the final size, so that nothing is copied while it grows.
        let mut batch = WriteBatch::with_capacity_bytes(bytes + group.len() * ENTRY_OVERHEAD);
        for (key, value, _) in &group {
            batch.put_cf(family, key, value);
        }
        let written = database.write_opt(batch, &synced);
        written.expect("RocksDB takes every batch");
        group.drain(..).for_each(|(_, _, done)| done());
        if ends {
            return;
        }
    }
}

/// Takes what is queued, as much as one write takes. The bytes of it, and whether it is the last.
fn collect(
    first: Append,
    appends: &Receiver<Append>,
    group: &mut Vec<([u8; 12], Bytes, Done)>,
) -> (usize, bool) {
    let mut bytes = 0;
    let mut next = Some(first);
    while let Some(Append { key, batch, done }) = next {
        let Some(done) = done else {
            return (bytes, true);
        };
        bytes += batch.len();
        group.push((key, batch, done));
        let is_full = bytes >= WRITE_BYTES_MAX || group.len() >= WRITE_BATCHES_MAX;
        next = (!is_full).then(|| appends.try_recv().ok()).flatten();
    }
    (bytes, false)
}

fn database_options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_paranoid_checks(true);
    // The mode that loses no acknowledged entry and no vote without saying so.
    options.set_wal_recovery_mode(DBRecoveryMode::TolerateCorruptedTailRecords);
    options.set_max_total_wal_size(512 * MIB as u64);
    options.set_max_background_jobs(2);
    options.set_max_open_files(-1);
    options.set_bytes_per_sync(MIB as u64);
    options.set_wal_bytes_per_sync(MIB as u64);
    options.set_advise_random_on_open(false);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options
}

fn family_options() -> Options {
    let mut options = Options::default();
    options.set_enable_blob_files(true);
    options.set_min_blob_size(1 << 10);
    options.set_blob_file_size(256 * MIB as u64);
    options.set_blob_compression_type(DBCompressionType::None);
    options.set_enable_blob_gc(false);
    options.set_compression_type(DBCompressionType::None);
    options.set_write_buffer_size(64 * MIB);
    options.set_max_write_buffer_number(3);
    options.set_max_bytes_for_level_base(256 * MIB as u64);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(4));
    let mut table = BlockBasedOptions::default();
    table.set_block_size(16 << 10);
    table.set_block_cache(&Cache::new_lru_cache(64 * MIB));
    options.set_block_based_table_factory(&table);
    options
}

#[cfg(test)]
mod tests {
    use rocksdb::IteratorMode;
    use tempfile::TempDir;

    use super::*;
    use crate::engine::{Shape, write};
    use crate::payloads::Payloads;

    #[test]
    fn everything_that_was_acknowledged_is_there_in_order_after_a_reopening() -> Result<()> {
        let directory = TempDir::new()?;
        let shape = Shape {
            batch_bytes: 5_000,
            groups: 3,
            submitters: 2,
            window: 4,
        };
        let batches = Payloads::new(1, shape.batch_bytes).pool(5);
        let engine = PlainRocksDb::open(directory.path())?;
        assert_eq!(write(&engine, &shape, &batches, 0, 20).batches, 60);
        engine.drain()?;
        engine.close();
        drop(engine);
        let options = Options::default();
        let database = DB::open_cf_for_read_only(&options, directory.path(), [LOG], false)?;
        let family = database.cf_handle(LOG).unwrap();
        let entries = database.iterator_cf(family, IteratorMode::Start);
        let keys: Vec<_> = entries.map(|entry| entry.unwrap().0).collect();
        let expected = (0..3).flat_map(|group| (1..=20).map(move |index| key(group, index)));
        let expected: Vec<Box<[u8]>> = expected.map(Box::from).collect();
        assert_eq!(keys, expected);
        Ok(())
    }
}
