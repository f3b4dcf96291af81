//! The tables in RocksDB.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::{MappedRwLockReadGuard, RwLock, RwLockReadGuard};
use rocksdb::{
    ColumnFamily, ColumnFamilyDescriptor, DB, Direction, IngestExternalFileOptions, IteratorMode,
    LiveFile, Options, ReadOptions, WriteBatch, WriteOptions,
};

use crate::config::StorageConfig;
use crate::directory_lock::lock_directory;
use crate::tables::keys::{EntryKey, Family};
use crate::tables::rocks_damage;
use crate::tables::rocks_segment::RocksSegment;
use crate::tables::{
    Change, Durability, EntryFamily, EntryScan, EntryVisitor, KeyValue, OpenTables,
    OpenTablesError, RowFamily, SegmentFile, SegmentWriter, Tables, TablesError, options,
};

/// Most bytes that a scan reads ahead of what it has shown.
const READAHEAD_BYTES_MAX: usize = 2 << 20;

/// Opens RocksDB in `tables/` of a data directory; `sealing/` holds segments on their way in.
pub(crate) struct RocksTablesFactory;

impl OpenTables for RocksTablesFactory {
    fn open(&self, dir: &Path, config: &StorageConfig) -> Result<Arc<dyn Tables>, OpenTablesError> {
        Ok(Arc::new(RocksTables::open(dir, config)?))
    }
}

pub(crate) struct RocksTables {
    /// `None` once closed. A call that is under way keeps it open.
    opened: RwLock<Option<Opened>>,
    segment_options: Options,
    sealing_dir: PathBuf,
}

/// Dropped in this order: the database gives up its files before the directory is unlocked.
pub(crate) struct Opened {
    db: DB,
    _lock: File,
}

/// The open database, held for one call.
pub(crate) type OpenedGuard<'a> = MappedRwLockReadGuard<'a, Opened>;

impl RocksTables {
    fn open(dir: &Path, config: &StorageConfig) -> Result<Self, OpenTablesError> {
        let lock = lock(dir)?;
        let sealing_dir = dir.join("sealing");
        empty_directory(&sealing_dir)?;
        let tables_dir = dir.join("tables");
        let database = options::database(config);
        refuse_newer_families(&database, &tables_dir)?;
        let cache = options::block_cache(config);
        let families = || {
            let families = Family::ALL.into_iter().map(|family| {
                ColumnFamilyDescriptor::new(family.name(), options::family(family, &cache))
            });
            families.collect()
        };
        let db = rocks_damage::open(&database, &tables_dir, families).map_err(failure)?;
        Ok(Self {
            opened: RwLock::new(Some(Opened { db, _lock: lock })),
            segment_options: options::family(Family::Segments, &cache),
            sealing_dir,
        })
    }

    fn opened(&self) -> Result<OpenedGuard<'_>, TablesError> {
        // Recursive, because a call may begin while this thread holds the guard of a segment.
        let guard = self.opened.read_recursive();
        RwLockReadGuard::try_map(guard, Option::as_ref).map_err(|_| TablesError::Closed)
    }
}

impl Opened {
    fn family(&self, family: Family) -> &ColumnFamily {
        self.db
            .cf_handle(family.name())
            .expect("all families were opened together")
    }

    pub(crate) fn ingest(&self, path: &Path) -> Result<(), TablesError> {
        let mut ingest = IngestExternalFileOptions::default();
        ingest.set_move_files(true);
        // Entries never change, so no snapshot can see the difference; and a file without its own
        // sequence number never has to be rewritten.
        ingest.set_snapshot_consistency(false);
        // Two segments with the same entry are a mistake of ours. Better fail than stack them.
        ingest.set_allow_global_seqno(false);
        ingest.set_allow_blocking_flush(false);
        let segments = self.family(Family::Segments);
        self.db
            .ingest_external_file_cf_opts(segments, &ingest, vec![path])
            .map_err(failure)
    }

    fn add(&self, batch: &mut WriteBatch, change: &Change) {
        match change {
            Change::Put(family, key, value) => {
                batch.put_cf(self.family(row_family(*family)), key, value);
            }
            Change::Delete(family, key) => batch.delete_cf(self.family(row_family(*family)), key),
            Change::DeleteRange(family, range) => {
                if range.start < range.end {
                    let family = self.family(row_family(*family));
                    batch.delete_range_cf(family, &range.start, &range.end);
                }
            }
            Change::DropLeftovers(group, range) => {
                let start = EntryKey::new(*group, range.start).encode();
                let end = EntryKey::new(*group, range.end).encode();
                batch.delete_range_cf(self.family(Family::Leftovers), start, end);
            }
        }
    }

    fn segment(file: LiveFile) -> Result<SegmentFile, TablesError> {
        let first = file.start_key.as_deref().and_then(EntryKey::decode);
        let last = file.end_key.as_deref().and_then(EntryKey::decode);
        match (first, last) {
            (Some(first), Some(last)) if first.group == last.group => Ok(SegmentFile {
                first,
                last: last.index,
                bytes: file.size as u64,
            }),
            _ => Err(corrupt(format!(
                "file {} does not hold entries of exactly one group",
                file.name
            ))),
        }
    }
}

impl Tables for RocksTables {
    fn segments(&self) -> Result<Vec<SegmentFile>, TablesError> {
        let mut files = self.opened()?.db.live_files().map_err(failure)?;
        files.retain(|file| file.column_family_name == Family::Segments.name());
        let mut segments = files
            .into_iter()
            .map(Opened::segment)
            .collect::<Result<Vec<_>, TablesError>>()?;
        segments.sort_unstable_by_key(|segment| segment.first);
        Ok(segments)
    }

    fn begin_segment(&self, first: EntryKey) -> Result<Box<dyn SegmentWriter + '_>, TablesError> {
        let name = format!("{}-{}.sst", first.group, first.index);
        let path = self.sealing_dir.join(name);
        let opened = self.opened()?;
        Ok(Box::new(RocksSegment::create(
            opened,
            &self.segment_options,
            path,
            first,
        )?))
    }

    fn drop_segments(&self, group: RaftGroupId, last: LogIndex) -> Result<(), TablesError> {
        let from = EntryKey::new(group, LogIndex::new(0)).encode();
        let to = EntryKey::new(group, last).encode();
        let opened = self.opened()?;
        let segments = opened.family(Family::Segments);
        opened
            .db
            .delete_file_in_range_cf(segments, from, to)
            .map_err(failure)
    }

    fn write_leftovers(&self, entries: &[(EntryKey, Vec<u8>)]) -> Result<(), TablesError> {
        let opened = self.opened()?;
        let leftovers = opened.family(Family::Leftovers);
        let mut batch = WriteBatch::default();
        for (key, value) in entries {
            batch.put_cf(leftovers, key.encode(), value);
        }
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        opened.db.write_opt(batch, &unlogged).map_err(failure)
    }

    fn flush_leftovers(&self) -> Result<(), TablesError> {
        let opened = self.opened()?;
        opened
            .db
            .flush_cf(opened.family(Family::Leftovers))
            .map_err(failure)
    }

    fn compact_leftovers(&self) -> Result<(), TablesError> {
        let opened = self.opened()?;
        let leftovers = opened.family(Family::Leftovers);
        opened
            .db
            .compact_range_cf(leftovers, None::<&[u8]>, None::<&[u8]>);
        Ok(())
    }

    fn scan(&self, scan: &EntryScan, visit: &mut EntryVisitor<'_>) -> Result<(), TablesError> {
        let opened = self.opened()?;
        let family = match scan.family {
            EntryFamily::Segments => opened.family(Family::Segments),
            EntryFamily::Leftovers => opened.family(Family::Leftovers),
        };
        let start = EntryKey::new(scan.group, scan.range.start).encode();
        let mut options = bounded(&start, &EntryKey::new(scan.group, scan.range.end).encode());
        // Bulk reads would push out the indexes; the kernel's cache holds the data anyway.
        options.fill_cache(false);
        options.set_readahead_size(scan.bytes_expected.min(READAHEAD_BYTES_MAX));
        let mut entries = opened.db.raw_iterator_cf_opt(family, options);
        entries.seek(start);
        while let Some((key, value)) = entries.item() {
            let key =
                EntryKey::decode(key).ok_or_else(|| corrupt("a key is no entry key".to_owned()))?;
            if visit(key, value).is_break() {
                return Ok(());
            }
            entries.next();
        }
        entries.status().map_err(failure)
    }

    fn write(&self, changes: &[Change], durability: Durability) -> Result<(), TablesError> {
        let opened = self.opened()?;
        if changes.is_empty() {
            return match durability {
                Durability::Buffered => Ok(()),
                Durability::Synced => opened.db.flush_wal(true).map_err(failure),
            };
        }
        let mut batch = WriteBatch::default();
        for change in changes {
            opened.add(&mut batch, change);
        }
        let mut options = WriteOptions::default();
        options.set_sync(durability == Durability::Synced);
        opened.db.write_opt(batch, &options).map_err(failure)
    }

    fn row(&self, family: RowFamily, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError> {
        let opened = self.opened()?;
        opened
            .db
            .get_cf(opened.family(row_family(family)), key)
            .map_err(failure)
    }

    fn rows(
        &self,
        family: RowFamily,
        range: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<KeyValue>, TablesError> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let options = bounded(&range.start, &range.end);
        let mode = IteratorMode::From(&range.start, Direction::Forward);
        let opened = self.opened()?;
        opened
            .db
            .iterator_cf_opt(opened.family(row_family(family)), options, mode)
            .take(count_max)
            .map(|row| {
                row.map(|(key, value)| (key.into_vec(), value.into_vec()))
                    .map_err(failure)
            })
            .collect()
    }

    fn last_row_at_or_before(
        &self,
        family: RowFamily,
        key: &[u8],
        floor: &[u8],
    ) -> Result<Option<KeyValue>, TablesError> {
        let mut options = ReadOptions::default();
        options.set_iterate_lower_bound(floor);
        let opened = self.opened()?;
        let mut rows = opened
            .db
            .raw_iterator_cf_opt(opened.family(row_family(family)), options);
        rows.seek_for_prev(key);
        let found = rows
            .item()
            .map(|(key, value)| (key.to_vec(), value.to_vec()));
        rows.status().map_err(failure)?;
        Ok(found)
    }

    fn close(&self) -> Result<(), TablesError> {
        // Waits for calls that are under way.
        let Some(opened) = self.opened.write().take() else {
            return Ok(());
        };
        let synced = opened.db.flush_wal(true).map_err(failure);
        opened.db.cancel_all_background_work(true);
        synced
    }
}

const fn row_family(family: RowFamily) -> Family {
    match family {
        RowFamily::Rows => Family::Rows,
        RowFamily::System => Family::System,
    }
}

fn bounded(start: &[u8], end: &[u8]) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_iterate_lower_bound(start);
    options.set_iterate_upper_bound(end);
    options.set_total_order_seek(true);
    options
}

fn lock(dir: &Path) -> Result<File, OpenTablesError> {
    let locked = lock_directory(dir).map_err(|error| TablesError::Failed(Arc::new(error)))?;
    locked.ok_or(OpenTablesError::InUse)
}

/// What a crash left of segments that were being written. The journal still has their entries.
fn empty_directory(dir: &Path) -> Result<(), OpenTablesError> {
    let emptied = fs::create_dir_all(dir)
        .and_then(|()| fs::read_dir(dir)?.try_for_each(|entry| fs::remove_file(entry?.path())));
    emptied.map_err(|error| TablesError::Failed(Arc::new(error)).into())
}

fn refuse_newer_families(options: &Options, dir: &Path) -> Result<(), OpenTablesError> {
    if !dir.join("CURRENT").exists() {
        return Ok(());
    }
    let known: HashSet<&str> = Family::ALL
        .iter()
        .map(|family| family.name())
        .chain(["default"])
        .collect();
    let present = DB::list_cf(options, dir).map_err(failure)?;
    match present
        .into_iter()
        .find(|name| !known.contains(name.as_str()))
    {
        Some(unknown) => Err(OpenTablesError::NewerFormat(unknown)),
        None => Ok(()),
    }
}

/// Sorts RocksDB's errors by what the node has to do about them. The binding gives text only.
pub(crate) fn failure(error: rocksdb::Error) -> TablesError {
    let full = error.as_ref().contains("No space left on device");
    match error.kind() {
        rocksdb::ErrorKind::Corruption => TablesError::Corrupt(Arc::new(error)),
        _ if full => TablesError::NoSpace(Arc::new(error)),
        _ => TablesError::Failed(Arc::new(error)),
    }
}

fn corrupt(what: String) -> TablesError {
    TablesError::Corrupt(Arc::new(io::Error::other(what)))
}
