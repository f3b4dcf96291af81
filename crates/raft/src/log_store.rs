//! openraft's log, kept in one group of the node's storage.
//!
//! Nothing is completed here before storage says that it is durable. Entries can be read as soon as
//! they are appended, durable or not: replication to followers runs beside the node's own sync.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, Range, RangeBounds, RangeInclusive};

use flotilla_storage::{GroupLog, LogEntry, StorageError};
use flotilla_types::LogIndex;
use futures::{Stream, StreamExt, stream};
use openraft::storage::{IOFlushed, LogState, RaftLogStorage};
use openraft::{EntryPayload, RaftLogReader};
use tokio::sync::oneshot;

use crate::codec::{decode_vote, encode_vote, from_log_id, from_stored, to_log_id, to_stored};
use crate::pace::Pace;
use crate::type_config::{CommittedLeaderId, Entry, RaftLogId, TypeConfig, Vote};

/// Bytes of entries that one replication request carries.
const REPLICATION_BYTES_MAX: usize = 1 << 20;
/// The same for what has to be read from disk: small, so that nobody waits long behind it.
const CATCH_UP_BYTES_MAX: usize = 256 << 10;
/// Bytes of entries that are read ahead of the state machine.
const APPLY_BYTES_MAX: usize = 4 << 20;

/// The log of one Raft group. Clones read the same log.
#[derive(Clone)]
pub(crate) struct LogStore {
    log: GroupLog,
    /// Of entries for followers that are not in memory.
    catch_up: Pace,
    gaps: Gaps,
}

/// Whether a log may begin somewhere else than after its purged part. In production it never does;
/// openraft's conformance suite writes such logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    Refused,
    #[cfg(test)]
    Allowed,
}

impl LogStore {
    pub(crate) fn new(log: GroupLog, catch_up: Pace) -> Self {
        Self {
            log,
            catch_up,
            gaps: Gaps::Refused,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_gaps(log: GroupLog) -> Self {
        Self {
            log,
            catch_up: Pace::new(0),
            gaps: Gaps::Allowed,
        }
    }

    /// The first entry that the log holds, if it holds any.
    fn first(&self) -> u64 {
        let bounds = self.log.bounds();
        let after_purged = bounds.last_purged.map_or(0, |id| id.index.get() + 1);
        match self.gaps {
            Gaps::Refused => after_purged,
            #[cfg(test)]
            Gaps::Allowed => {
                let end = bounds.last.map_or(0, |id| id.index.get() + 1);
                (after_purged..end)
                    .find(|index| {
                        self.log
                            .term_at(LogIndex::new(*index))
                            .is_ok_and(|term| term.is_some())
                    })
                    .unwrap_or(end)
            }
        }
    }

    /// Entries from the start of `range`, at least one if there is one, up to `bytes_max`.
    async fn read(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        if range.is_empty() {
            return Ok(Vec::new());
        }
        match self.read_cached(&range, bytes_max) {
            Some(entries) => entries,
            None => self.read_stored(range, bytes_max).await,
        }
    }

    /// As [`Self::read`], from memory alone: `None` if the first entry is not there.
    fn read_cached(&self, range: &Range<u64>, bytes_max: usize) -> Option<io::Result<Vec<Entry>>> {
        let range = LogIndex::new(range.start)..LogIndex::new(range.end);
        self.log.read_cached(range, bytes_max).map(decode)
    }

    async fn read_stored(&self, range: Range<u64>, bytes_max: usize) -> io::Result<Vec<Entry>> {
        let range = LogIndex::new(range.start)..LogIndex::new(range.end);
        let log = self.log.clone();
        let stored = tokio::task::spawn_blocking(move || log.read(range, bytes_max))
            .await
            .map_err(io::Error::other)?
            .map_err(io::Error::other)?;
        decode(stored)
    }

    fn clamp(&self, range: &impl RangeBounds<u64>) -> Range<u64> {
        let bounds = self.log.bounds();
        let first = self.first();
        let end = bounds.last.map_or(0, |id| id.index.get() + 1);
        let start = match range.start_bound() {
            Bound::Included(start) => *start,
            Bound::Excluded(before) => before + 1,
            Bound::Unbounded => first,
        };
        let stop = match range.end_bound() {
            Bound::Included(last) => last + 1,
            Bound::Excluded(end) => *end,
            Bound::Unbounded => end,
        };
        start.max(first)..stop.min(end)
    }
}

impl RaftLogReader<TypeConfig> for LogStore {
    async fn try_get_log_entries<RB>(&mut self, range: RB) -> io::Result<Vec<Entry>>
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let range = self.clamp(&range);
        let mut entries: Vec<Entry> = Vec::new();
        let mut next = range.start;
        while next < range.end {
            let more = self.read(next..range.end, APPLY_BYTES_MAX).await?;
            next = end_of(&more, next)?;
            entries.extend(more);
        }
        Ok(entries)
    }

    /// Reads piece by piece, so that catching up with a long log takes a bounded amount of memory.
    async fn entries_stream<RB>(
        &mut self,
        range: RB,
    ) -> impl Stream<Item = io::Result<Entry>> + Send
    where
        RB: RangeBounds<u64> + Clone + Debug + Send,
    {
        let range = self.clamp(&range);
        let store = self.clone();
        stream::unfold(Some(range), move |rest| {
            let store = store.clone();
            async move {
                let range = rest.filter(|range| !range.is_empty())?;
                let piece = async {
                    let entries = store.read(range.clone(), APPLY_BYTES_MAX).await?;
                    let next = end_of(&entries, range.start)?;
                    Ok::<_, io::Error>((entries, next))
                };
                match piece.await {
                    Ok((entries, next)) => {
                        let items = entries.into_iter().map(Ok).collect::<Vec<_>>();
                        Some((stream::iter(items), Some(next..range.end)))
                    }
                    Err(error) => Some((stream::iter(vec![Err(error)]), None)),
                }
            }
        })
        .flatten()
        .boxed()
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> io::Result<Vec<Entry>> {
        let range = start..end;
        if range.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(entries) = self.read_cached(&range, REPLICATION_BYTES_MAX) {
            return entries;
        }
        let entries = self.read_stored(range, CATCH_UP_BYTES_MAX).await?;
        let bytes = entries.iter().map(payload_bytes).sum();
        self.catch_up.take(bytes).await;
        Ok(entries)
    }

    async fn read_vote(&mut self) -> io::Result<Option<Vote>> {
        let vote = self.log.vote().map(decode_vote).transpose();
        vote.map_err(io::Error::other)
    }

    /// Finds the last entry of each term by bisection on terms alone, without reading payloads.
    async fn get_key_log_ids(
        &mut self,
        range: RangeInclusive<RaftLogId>,
    ) -> io::Result<Vec<RaftLogId>> {
        let log = self.log.clone();
        let (first, last) = range.into_inner();
        tokio::task::spawn_blocking(move || key_log_ids(&log, first, last))
            .await
            .map_err(io::Error::other)?
    }
}

fn decode(stored: Vec<LogEntry>) -> io::Result<Vec<Entry>> {
    let entries = stored.into_iter();
    entries
        .map(|entry| from_stored(entry).map_err(io::Error::other))
        .collect()
}

fn payload_bytes(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(command) => command.0.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => 0,
    }
}

/// One past the last entry that was read. A read that makes no progress is a hole in the log.
fn end_of(entries: &[Entry], start: u64) -> io::Result<u64> {
    entries
        .last()
        .map(|entry| entry.log_id.index + 1)
        .ok_or_else(|| io::Error::other(format!("the log has a hole at index {start}")))
}

/// The last log id of every term in `first..=last`.
fn key_log_ids(log: &GroupLog, first: RaftLogId, last: RaftLogId) -> io::Result<Vec<RaftLogId>> {
    let mut ids = Vec::new();
    let mut from = first;
    while from.leader_id.term < last.leader_id.term {
        // Invariant of the bisection: `low` is in the term of `from`, `high` is in a later one.
        let (mut low, mut high) = (from, last);
        while high.index - low.index > 1 {
            let middle = low.index + (high.index - low.index) / 2;
            let term = log
                .term_at(LogIndex::new(middle))
                .map_err(io::Error::other)?
                .ok_or_else(|| io::Error::other(format!("the log has a hole at index {middle}")))?;
            let id = RaftLogId::new(CommittedLeaderId::new(term.get()), middle);
            if term.get() == from.leader_id.term {
                low = id;
            } else {
                high = id;
            }
        }
        ids.push(low);
        from = high;
    }
    ids.push(last);
    Ok(ids)
}

impl RaftLogStorage<TypeConfig> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> io::Result<LogState<TypeConfig>> {
        let bounds = self.log.bounds();
        Ok(LogState {
            last_purged_log_id: bounds.last_purged.map(from_log_id),
            last_log_id: bounds.last.map(from_log_id),
        })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> io::Result<()> {
        let (done, durable) = completion();
        self.log.save_vote(encode_vote(vote), done);
        wait(durable).await
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<TypeConfig>) -> io::Result<()>
    where
        I: IntoIterator<Item = Entry> + Send,
        I::IntoIter: Send,
    {
        let entries: Vec<_> = entries.into_iter().map(|entry| to_stored(&entry)).collect();
        let bytes = entries.iter().map(|entry| entry.payload.len()).sum();
        self.catch_up.note_intake(bytes);
        self.log.append(
            entries,
            Box::new(move |result| callback.io_completed(result.map_err(io::Error::other))),
        );
        Ok(())
    }

    async fn truncate_after(&mut self, last_log_id: Option<RaftLogId>) -> io::Result<()> {
        // Later appends reach the disk after this in any case: the journal is one queue.
        let first_removed = last_log_id.map_or(0, |id| id.index + 1);
        let (done, _) = completion();
        self.log.truncate_from(LogIndex::new(first_removed), done);
        Ok(())
    }

    async fn purge(&mut self, log_id: RaftLogId) -> io::Result<()> {
        let (done, _) = completion();
        self.log.purge_to(to_log_id(&log_id), done);
        Ok(())
    }
}

type Durable = oneshot::Receiver<Result<(), StorageError>>;

/// A completion and the receiver that learns of it.
pub(crate) fn completion() -> (flotilla_storage::Completion, Durable) {
    let (sender, receiver) = oneshot::channel();
    let done = Box::new(move |result| {
        // Nobody waits for some completions; the writer reports failures on its own.
        let _ = sender.send(result);
    });
    (done, receiver)
}

pub(crate) async fn wait(durable: Durable) -> io::Result<()> {
    match durable.await {
        Ok(result) => result.map_err(io::Error::other),
        Err(_) => Err(io::Error::other("storage closed before it answered")),
    }
}
