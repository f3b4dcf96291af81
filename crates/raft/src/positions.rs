//! Where offsets and log indexes meet: the only place that turns one into the other.
//!
//! Offsets bound half-open ranges and count records; log indexes name entries, inclusively, and
//! also count blanks and memberships. Reading starts at the entry that the sparse index names and
//! walks forward; a consumer that reads on keeps a [`Cursor`] and needs no look-up.

use std::io;

use bytes::Bytes;
use flotilla_state::partition::batch_bytes;
use flotilla_storage::{EntryKind, GroupLog, LogEntry, StorageError};
use flotilla_types::{LogIndex, Offset, RecordBatch, Timestamp};

use crate::machine::{IndexBound, PartitionCell, Published};
use crate::rows::{IndexRow, all_offset_index_keys, offset_index_key};

/// Bytes of entries that are read from storage at a time, at the least and at the most.
const READ_BYTES_MIN: usize = 64 << 10;
const READ_BYTES_MAX: usize = 4 << 20;

/// Where reading goes on: the batch that starts at `offset` is at `index` or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    offset: Offset,
    index: LogIndex,
}

/// Stored batches, in order and without gaps.
#[derive(Clone, Debug)]
pub struct Batches {
    /// The first one holds the offset that was asked for; it may start below it.
    pub batches: Vec<Bytes>,
    /// The offset after the last of them.
    pub next_offset: Offset,
    pub cursor: Option<Cursor>,
}

/// Why reading failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    #[error(
        "offset {offset} is not in the log, which holds {log_start} up to, not including, \
         {high_watermark}"
    )]
    OutOfRange {
        offset: Offset,
        log_start: Offset,
        high_watermark: Offset,
    },
    /// This replica does not have what it should have. It is about to be parked; others do.
    #[error("this replica is damaged")]
    Damaged(#[source] io::Error),
    #[error("the log cannot be read")]
    Storage(#[source] io::Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        let cause = error.get_ref();
        match cause.and_then(|cause| cause.downcast_ref::<StorageError>()) {
            Some(StorageError::DamagedEntry { .. } | StorageError::MissingEntry { .. }) => {
                Self::Damaged(error)
            }
            _ => Self::Storage(error),
        }
    }
}

/// Reads batches from `offset` on, at least one if there is one, up to about `bytes_max`.
pub(crate) async fn read(
    log: &GroupLog,
    cell: &PartitionCell,
    from: (Offset, Option<Cursor>),
    bytes_max: usize,
) -> Result<Batches, ReadError> {
    let (offset, cursor) = from;
    let published = cell.published();
    check_range(offset, published)?;
    let mut scan = Scan::new(offset, bytes_max);
    let Some(applied) = published.applied else {
        return Ok(scan.finish(None));
    };
    if offset == published.high_watermark {
        return Ok(scan.finish(cursor));
    }
    let mut index = match cursor {
        Some(cursor) if cursor.offset == offset => cursor.index,
        _ => find(log, cell, offset).await.map_err(ReadError::Storage)?,
    };
    while index <= applied && !scan.is_full() {
        let range = index..applied.next();
        let wanted = bytes_max.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
        let entries = read_entries(log, range, wanted).await;
        let entries = match entries {
            Ok(entries) => entries,
            Err(error) => {
                // Retention may have dropped what was being read.
                check_range(offset, cell.published())?;
                return Err(error.into());
            }
        };
        let Some(last) = entries.last() else {
            return Err(ReadError::Storage(io::Error::other(format!(
                "the log has a hole at index {index}"
            ))));
        };
        index = last.id.index.next();
        for entry in entries {
            if scan.is_full() {
                index = entry.id.index;
                break;
            }
            if !cell.is_rejected(entry.id.index) {
                scan.take(&entry)?;
            }
        }
    }
    let next_offset = scan.next_offset;
    Ok(scan.finish(Some(Cursor {
        offset: next_offset,
        index,
    })))
}

/// The first offset whose record has this timestamp or a later one, the log end if there is none.
pub(crate) async fn offset_at(
    log: &GroupLog,
    cell: &PartitionCell,
    timestamp: Timestamp,
) -> Result<Offset, ReadError> {
    let published = cell.published();
    let mut offset = start_for(log, cell, timestamp, published).await?;
    let mut cursor = None;
    while offset < published.high_watermark {
        let read = read(log, cell, (offset, cursor), READ_BYTES_MAX).await?;
        for bytes in &read.batches {
            let batch = RecordBatch::parse_trusted(bytes.clone()).map_err(corrupt)?;
            if batch.max_timestamp() < timestamp {
                continue;
            }
            let records = batch.records().map_err(corrupt)?;
            let found = records
                .iter()
                .find(|record| record.timestamp >= timestamp && record.offset >= offset);
            if let Some(record) = found {
                return Ok(record.offset);
            }
        }
        if read.next_offset == offset {
            break;
        }
        offset = read.next_offset;
        cursor = read.cursor;
    }
    Ok(offset.max(published.log_start))
}

fn check_range(offset: Offset, published: Published) -> Result<(), ReadError> {
    if offset < published.log_start || offset > published.high_watermark {
        return Err(ReadError::OutOfRange {
            offset,
            log_start: published.log_start,
            high_watermark: published.high_watermark,
        });
    }
    Ok(())
}

fn corrupt(error: flotilla_types::BatchError) -> ReadError {
    ReadError::Storage(io::Error::other(error))
}

/// Picks the batches of a range out of the entries that hold them.
struct Scan {
    batches: Vec<Bytes>,
    bytes: usize,
    bytes_max: usize,
    next_offset: Offset,
}

impl Scan {
    fn new(offset: Offset, bytes_max: usize) -> Self {
        Self {
            batches: Vec::new(),
            bytes: 0,
            bytes_max,
            next_offset: offset,
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    fn take(&mut self, entry: &LogEntry) -> Result<(), ReadError> {
        if entry.kind != EntryKind::Command {
            return Ok(());
        }
        let Some(bytes) = batch_bytes(&entry.payload) else {
            return Ok(());
        };
        let batch = RecordBatch::parse_trusted(bytes.clone()).map_err(corrupt)?;
        if batch.end_offset() <= self.next_offset {
            return Ok(());
        }
        self.bytes += bytes.len();
        self.next_offset = batch.end_offset();
        self.batches.push(bytes);
        Ok(())
    }

    fn finish(self, cursor: Option<Cursor>) -> Batches {
        Batches {
            batches: self.batches,
            next_offset: self.next_offset,
            cursor,
        }
    }
}

/// The entry at which the search for `offset` starts.
async fn find(log: &GroupLog, cell: &PartitionCell, offset: Offset) -> io::Result<LogIndex> {
    if let IndexBound::At(index) = cell.index_bound(offset) {
        return Ok(index);
    }
    let row = stored_row(log, offset).await?;
    let first = log
        .bounds()
        .last_purged
        .map_or(LogIndex::new(0), |id| id.index.next());
    Ok(row.map_or(first, |row| row.index.max(first)))
}

async fn stored_row(log: &GroupLog, offset: Offset) -> io::Result<Option<IndexRow>> {
    let log = log.clone();
    let row = tokio::task::spawn_blocking(move || {
        let floor = all_offset_index_keys().start;
        log.last_row_at_or_before(&offset_index_key(offset), &floor)
    });
    let row = row.await.map_err(io::Error::other)?;
    let row = row.map_err(io::Error::other)?;
    Ok(row.and_then(|(key, value)| IndexRow::decode(&key, &value)))
}

/// Bisects the index rows for the last one whose records, and all before, are older than
/// `timestamp`: the first record that is not lies behind it.
async fn start_for(
    log: &GroupLog,
    cell: &PartitionCell,
    timestamp: Timestamp,
    published: Published,
) -> Result<Offset, ReadError> {
    cell.save();
    let (mut low, mut high) = (published.log_start, published.high_watermark);
    let mut start = low;
    while high.distance_from(low) > 1 {
        let middle = low.advance(high.distance_from(low) / 2);
        let row = stored_row(log, middle).await.map_err(ReadError::Storage)?;
        match row {
            Some(row) if row.max_timestamp >= timestamp => high = middle,
            Some(row) => {
                start = row.base_offset;
                low = middle;
            }
            None => low = middle,
        }
    }
    Ok(start.max(published.log_start))
}

async fn read_entries(
    log: &GroupLog,
    range: std::ops::Range<LogIndex>,
    bytes_max: usize,
) -> io::Result<Vec<LogEntry>> {
    if let Some(entries) = log.read_cached(range.clone(), bytes_max) {
        return Ok(entries);
    }
    let log = log.clone();
    let read = tokio::task::spawn_blocking(move || log.read(range, bytes_max));
    let entries: Result<_, StorageError> = read.await.map_err(io::Error::other)?;
    entries.map_err(io::Error::other)
}
