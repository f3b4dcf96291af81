//! Where offsets and log indexes meet: the only place that turns one into the other.
//!
//! Offsets bound half-open ranges and count records; log indexes name entries, inclusively, and
//! also count blanks and memberships. Reading starts at the entry that the sparse index names and
//! walks forward; a consumer that reads on keeps a [`Cursor`] and needs no look-up.

use std::io;

use bytes::Bytes;
use flotilla_state::partition::{append_time, batch_bytes};
use flotilla_storage::{EntryKind, GroupLog, LogEntry, StorageError};
use flotilla_types::{LogIndex, Offset, RecordBatch, Timestamp};

use crate::machine::{IndexBound, OldestKept, PartitionCell, Published};
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

/// Where the records start that were appended at `oldest` or later, or were not trimmed if it is `None`.
pub(crate) async fn log_start(
    log: &GroupLog,
    cell: &PartitionCell,
    oldest: Option<Timestamp>,
) -> Result<Offset, ReadError> {
    let Published { log_start, .. } = cell.published();
    let Some(oldest) = oldest else {
        return Ok(log_start);
    };
    // Where the search went by a later bound, what lies before it may count again.
    let known = cell.oldest_kept().filter(|known| known.bound <= oldest);
    if let Some(known) = known
        && known.appended_at.is_some_and(|time| time >= oldest)
    {
        return Ok(known.offset.max(log_start));
    }
    let found = find_kept(log, cell, known, oldest).await;
    match found {
        Ok(kept) => {
            cell.note_oldest_kept(kept);
            Ok(kept.offset.max(cell.published().log_start))
        }
        // Retention may have dropped what was being looked through.
        Err(_) if cell.published().log_start > log_start => Ok(cell.published().log_start),
        Err(error) => Err(error),
    }
}

/// Looks on from where it was found the last time: first at the next few batches, for mostly one after
/// the other grows too old, and then by the index.
async fn find_kept(
    log: &GroupLog,
    cell: &PartitionCell,
    known: Option<OldestKept>,
    oldest: Timestamp,
) -> Result<OldestKept, ReadError> {
    let published = cell.published();
    let start = published
        .log_start
        .max(known.map_or(Offset::ZERO, |known| known.offset));
    let Some(applied) = published
        .applied
        .filter(|_| start < published.high_watermark)
    else {
        let index = published.applied.map_or(LogIndex::new(0), LogIndex::next);
        return Ok(nothing_kept(published, index, oldest));
    };
    let first = match known {
        // What stood there may have been purged since.
        Some(known) if known.offset == start => known.index.max(first_unpurged(log)),
        _ => find(log, cell, start).await.map_err(ReadError::Storage)?,
    };
    let mut walk = Walk {
        index: first,
        offset: start,
    };
    if let Some(kept) = walk.go_on(log, cell, (applied, oldest)).await? {
        return Ok(kept);
    }
    if let Some(row) =
        last_row_before(log, cell, walk.offset..published.high_watermark, oldest).await?
    {
        walk.index = walk.index.max(row.index);
    }
    while walk.index <= applied {
        if let Some(kept) = walk.go_on(log, cell, (applied, oldest)).await? {
            return Ok(kept);
        }
    }
    Ok(nothing_kept(published, walk.index, oldest))
}

fn nothing_kept(published: Published, index: LogIndex, bound: Timestamp) -> OldestKept {
    OldestKept {
        bound,
        offset: published.high_watermark,
        index,
        appended_at: None,
    }
}

/// A walk over the batches from `index` on, those below `offset` left out.
struct Walk {
    index: LogIndex,
    offset: Offset,
}

impl Walk {
    /// Looks at the next few entries for one that was appended at `oldest` or later.
    async fn go_on(
        &mut self,
        log: &GroupLog,
        cell: &PartitionCell,
        (applied, oldest): (LogIndex, Timestamp),
    ) -> Result<Option<OldestKept>, ReadError> {
        let range = self.index..applied.next();
        let entries = read_entries(log, range, READ_BYTES_MIN).await?;
        let Some(last) = entries.last() else {
            return Err(hole_at(self.index));
        };
        let after = last.id.index.next();
        for entry in &entries {
            let index = entry.id.index;
            if cell.is_rejected(index) || entry.kind != EntryKind::Command {
                continue;
            }
            let Some(bytes) = batch_bytes(&entry.payload) else {
                continue;
            };
            let batch = RecordBatch::parse_trusted(bytes).map_err(corrupt)?;
            if batch.end_offset() <= self.offset {
                continue;
            }
            let appended_at = append_time(&entry.payload).filter(|time| *time >= oldest);
            if appended_at.is_some() {
                let offset = batch.base_offset().max(self.offset);
                return Ok(Some(OldestKept {
                    bound: oldest,
                    offset,
                    index,
                    appended_at,
                }));
            }
            self.offset = batch.end_offset();
        }
        self.index = after;
        Ok(None)
    }
}

/// Bisects the index rows for the last one whose batch was appended before `oldest`.
async fn last_row_before(
    log: &GroupLog,
    cell: &PartitionCell,
    range: std::ops::Range<Offset>,
    oldest: Timestamp,
) -> Result<Option<IndexRow>, ReadError> {
    let (mut low, mut high) = (range.start, range.end);
    let mut last = None;
    while low < high {
        let middle = low.advance(high.distance_from(low) / 2);
        let row = match cell.unsaved_row(middle) {
            Some(row) => Some(row),
            None => stored_row(log, middle).await.map_err(ReadError::Storage)?,
        };
        match row {
            Some(row) if row.appended_at >= oldest => high = middle,
            row => {
                last = row.or(last);
                low = middle.advance(1);
            }
        }
    }
    Ok(last)
}

fn hole_at(index: LogIndex) -> ReadError {
    ReadError::Storage(io::Error::other(format!(
        "the log has a hole at index {index}"
    )))
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
    while index <= applied && !scan.is_nearly_full() {
        let range = index..applied.next();
        // No more than is missing: what does not fit would be read for nothing.
        let missing = bytes_max.saturating_sub(scan.bytes);
        let wanted = missing.clamp(READ_BYTES_MIN, READ_BYTES_MAX);
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
            return Err(hole_at(index));
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
            // At least one batch, whatever was asked for.
            bytes_max: bytes_max.max(1),
            next_offset: offset,
        }
    }

    fn is_full(&self) -> bool {
        self.bytes >= self.bytes_max
    }

    /// Reading on for what is left would mostly find a batch that is larger.
    fn is_nearly_full(&self) -> bool {
        self.bytes > self.bytes_max / 4 * 3
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
    let first = first_unpurged(log);
    Ok(row.map_or(first, |row| row.index.max(first)))
}

fn first_unpurged(log: &GroupLog) -> LogIndex {
    let last_purged = log.bounds().last_purged;
    last_purged.map_or(LogIndex::new(0), |id| id.index.next())
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
