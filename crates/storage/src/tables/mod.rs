//! The tables: everything durable beside the journal, behind one narrow trait.
//!
//! Two implementations exist. [`RocksTables`] is the product. [`MemoryTables`](crate::MemoryTables)
//! stands in for it in simulations: it forgets at a crash exactly what RocksDB may forget. One
//! conformance suite runs on both.
//!
//! Nothing here knows Raft, the journal or the policy of sealing.

pub(crate) mod keys;
pub(crate) mod memory;
mod options;
pub(crate) mod rocks;
mod rocks_damage;
mod rocks_segment;
pub(crate) mod values;

pub(crate) use options::LEFTOVERS_MEMTABLE_BYTES;

use std::ops::{ControlFlow, Range};
use std::path::Path;
use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::config::StorageConfig;
use crate::error::StorageError;
use crate::tables::keys::EntryKey;

/// Makes the tables of a data directory. Opening an existing directory recovers it.
pub(crate) trait OpenTables: Send + Sync {
    fn open(&self, dir: &Path, config: &StorageConfig) -> Result<Arc<dyn Tables>, OpenTablesError>;
}

/// Where log entries outside the journal live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryFamily {
    Segments,
    Leftovers,
}

/// Where small rows live.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum RowFamily {
    Rows,
    System,
}

/// One change of a small row. A call's changes take effect together or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Put(RowFamily, Vec<u8>, Vec<u8>),
    Delete(RowFamily, Vec<u8>),
    DeleteRange(RowFamily, Range<Vec<u8>>),
    /// Deletes leftovers of one group. Their space comes back at the next compaction of leftovers.
    DropLeftovers(RaftGroupId, Range<LogIndex>),
}

/// A look at one group's stored entries.
#[derive(Clone, Debug)]
pub(crate) struct EntryScan {
    pub(crate) family: EntryFamily,
    pub(crate) group: RaftGroupId,
    pub(crate) range: Range<LogIndex>,
    /// How much the caller is going to read; the disk is read ahead by this much at most.
    pub(crate) bytes_expected: usize,
}

/// Whether a call returns before its changes are durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// A power cut may take the change, and with it all later ones, back.
    Buffered,
    /// This change and all earlier ones are on disk.
    Synced,
}

/// An immutable sorted file of one group's entries `first` to `last`, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentFile {
    pub(crate) first: EntryKey,
    pub(crate) last: LogIndex,
    pub(crate) bytes: u64,
}

/// A row: its key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

pub(crate) trait Tables: Send + Sync {
    /// Every segment, in key order.
    fn segments(&self) -> Result<Vec<SegmentFile>, TablesError>;

    /// Begins a segment. Nothing is visible before [`SegmentWriter::ingest`].
    fn begin_segment(&self, first: EntryKey) -> Result<Box<dyn SegmentWriter + '_>, TablesError>;

    /// Deletes the files of the group's segments that end at or before `last`, durably.
    fn drop_segments(&self, group: RaftGroupId, last: LogIndex) -> Result<(), TablesError>;

    /// Writes entries without a log. They are lost at a crash before [`Self::flush_leftovers`].
    fn write_leftovers(&self, entries: &[(EntryKey, Vec<u8>)]) -> Result<(), TablesError>;

    /// Makes all leftovers durable.
    fn flush_leftovers(&self) -> Result<(), TablesError>;

    /// Frees the space of dropped leftovers. Rewrites keys only.
    fn compact_leftovers(&self) -> Result<(), TablesError>;

    /// Shows stored values of one group in index order, until `visit` breaks.
    fn scan(&self, scan: &EntryScan, visit: &mut EntryVisitor<'_>) -> Result<(), TablesError>;

    /// Applies changes in order, all or none. Without changes, `Synced` still syncs earlier ones.
    fn write(&self, changes: &[Change], durability: Durability) -> Result<(), TablesError>;

    fn row(&self, family: RowFamily, key: &[u8]) -> Result<Option<Vec<u8>>, TablesError>;

    /// The first `count_max` rows of a range, in key order.
    fn rows(
        &self,
        family: RowFamily,
        range: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<KeyValue>, TablesError>;

    /// The row with the greatest key that is at most `key` and at least `floor`.
    fn last_row_at_or_before(
        &self,
        family: RowFamily,
        key: &[u8],
        floor: &[u8],
    ) -> Result<Option<KeyValue>, TablesError>;

    /// Makes everything durable and stops background work. Calls after it may fail.
    fn close(&self) -> Result<(), TablesError>;
}

/// Takes one stored value and says whether to go on.
pub(crate) type EntryVisitor<'a> = dyn FnMut(EntryKey, &[u8]) -> ControlFlow<()> + 'a;

/// A segment that is being written. Dropped without `ingest`, it leaves nothing behind.
pub(crate) trait SegmentWriter {
    /// Adds a stored value. Keys must increase.
    fn put(&mut self, key: EntryKey, value: &[u8]) -> Result<(), TablesError>;

    /// Makes the segment durable and visible in one step.
    fn ingest(self: Box<Self>) -> Result<SegmentFile, TablesError>;
}

/// Why the tables could not do it. Cheap to clone, because one failure can concern many waiters.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum TablesError {
    #[error("the disk is full")]
    NoSpace(#[source] Cause),
    #[error("stored data is damaged")]
    Corrupt(#[source] Cause),
    #[error("the tables are closed")]
    Closed,
    #[error("the tables failed")]
    Failed(#[source] Cause),
}

pub(crate) type Cause = Arc<dyn std::error::Error + Send + Sync>;

#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum OpenTablesError {
    #[error("the directory is in use")]
    InUse,
    #[error("column family {0:?} is of a newer version")]
    NewerFormat(String),
    #[error(transparent)]
    Tables(#[from] TablesError),
}

impl From<TablesError> for StorageError {
    fn from(error: TablesError) -> Self {
        match error {
            TablesError::Closed => Self::Closed,
            error => Self::Tables(Arc::new(error)),
        }
    }
}
