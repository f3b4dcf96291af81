//! One Raft group's log and state rows, as the `raft` crate uses them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use crate::chores::Chore;
use crate::engine::Engine;
use crate::entry::{Completion, LogBounds, LogEntry};
use crate::error::StorageError;
use crate::read;
use crate::rows::RowWork;
use crate::sealed::SealedLog;
use crate::tables::{Change, KeyValue, RowFamily, keys};

/// Cheap handle to one group. All handles of a group see the same log.
#[derive(Clone)]
pub struct GroupLog {
    engine: Arc<Engine>,
    sealed: Arc<SealedLog>,
}

/// A change of one or more state rows. Keys belong to the group; no other group sees them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Row {
    Put {
        key: Vec<u8>,
        value: Bytes,
    },
    Delete {
        key: Vec<u8>,
    },
    /// Deletes the keys from `start` (inclusive) to `end` (exclusive).
    DeleteRange {
        start: Vec<u8>,
        end: Vec<u8>,
    },
}

impl GroupLog {
    pub(crate) const fn new(engine: Arc<Engine>, sealed: Arc<SealedLog>) -> Self {
        Self { engine, sealed }
    }

    pub fn id(&self) -> RaftGroupId {
        self.sealed.group
    }

    /// Appends entries that continue the log. They can be read at once and are durable when `done`
    /// is called. Never waits for the disk. The first entry of a log has the index 0 or 1.
    pub fn append(&self, entries: Vec<LogEntry>, done: Completion) {
        if let Some(done) = self.unless_removed(done) {
            self.engine.journal.append(self.id(), entries, done);
        }
    }

    /// Stores the vote, whose meaning is the caller's, in the place of the one before it.
    pub fn save_vote(&self, vote: Bytes, done: Completion) {
        if let Some(done) = self.unless_removed(done) {
            self.engine.journal.save_vote(self.id(), vote, done);
        }
    }

    /// The vote that was submitted last, durable or on its way.
    pub fn vote(&self) -> Option<Bytes> {
        self.engine.journal.vote(self.id())
    }

    /// Removes the entries from `first_removed` on. They must never have been committed.
    pub fn truncate_from(&self, first_removed: LogIndex, done: Completion) {
        if let Some(done) = self.unless_removed(done) {
            self.engine
                .journal
                .truncate_from(self.id(), first_removed, done);
        }
    }

    /// Drops all entries up to `last_purged`, which may lie above the end of the log: then the log is
    /// empty and goes on after it. Files go in the background, once the purge is durable.
    pub fn purge_to(&self, last_purged: LogId, done: Completion) {
        let Some(done) = self.unless_removed(done) else {
            return;
        };
        let (sealed, chores) = (Arc::clone(&self.sealed), Arc::clone(&self.engine.chores));
        let unsent = self.sealed.in_life(|life| {
            let then = move |synced: Result<(), StorageError>| {
                if synced.is_ok() {
                    sealed.set_purged(life, last_purged);
                    chores.ask(Chore::DropPurged, sealed.group);
                }
                done(synced);
            };
            let journal = &self.engine.journal;
            journal.purge_to(self.id(), last_purged, Box::new(then))
        });
        // Its completion needs what is locked there.
        drop(unsent);
    }

    pub fn bounds(&self) -> LogBounds {
        self.engine.journal.bounds(self.id())
    }

    /// The term of an entry that exists, or of the last purged one.
    pub fn term_at(&self, index: LogIndex) -> Result<Option<Term>, StorageError> {
        read::term_at(&self.engine, &self.sealed, index)
    }

    /// The entries from the start of `range` on, as many as fit into `bytes_max` and at least one. It
    /// returns none when the first entry of the range is purged or not yet written, and an error when
    /// an entry that must be there is missing or damaged. May wait for the disk.
    pub fn read(
        &self,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        read::read(&self.engine, &self.sealed, range, bytes_max)
    }

    /// As [`Self::read`], from memory alone: `None` when the first entry is not there.
    pub fn read_cached(&self, range: Range<LogIndex>, bytes_max: usize) -> Option<Vec<LogEntry>> {
        self.engine.journal.read_cached(self.id(), range, bytes_max)
    }

    /// Stores state rows, all of one call or none. They reach their table only when the log is
    /// durable up to `after`, an entry that was already appended, and in fact everything that was
    /// submitted before this call. With `done` they are durable when it is called; without, they
    /// become durable with any later durable change.
    pub fn write_rows(&self, after: Option<LogIndex>, rows: Vec<Row>, done: Option<Completion>) {
        if let Err(error) = self.check_rows(after) {
            if let Some(done) = done {
                done(Err(error));
            }
            return;
        }
        let changes = rows.into_iter().map(|row| self.change(row)).collect();
        self.engine.write_rows_after_sync(RowWork { changes, done });
    }

    /// The value of a row that has reached its table.
    pub fn row(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(self
            .engine
            .tables
            .row(RowFamily::Rows, &keys::row(self.id(), key))?)
    }

    /// The row with the greatest key that is at most `key` and at least `floor`.
    pub fn last_row_at_or_before(
        &self,
        key: &[u8],
        floor: &[u8],
    ) -> Result<Option<KeyValue>, StorageError> {
        let (key, floor) = (keys::row(self.id(), key), keys::row(self.id(), floor));
        if floor > key {
            return Ok(None);
        }
        let found = self
            .engine
            .tables
            .last_row_at_or_before(RowFamily::Rows, &key, &floor)?;
        Ok(found.map(named_by_user))
    }

    /// The first `count_max` rows of a range of keys, in order.
    pub fn rows(
        &self,
        range: Range<Vec<u8>>,
        count_max: usize,
    ) -> Result<Vec<KeyValue>, StorageError> {
        let range = keys::row(self.id(), &range.start)..keys::row(self.id(), &range.end);
        let rows = self.engine.tables.rows(RowFamily::Rows, range, count_max)?;
        Ok(rows.into_iter().map(named_by_user).collect())
    }

    /// Lets entries up to `applied`, which are committed and applied, leave the journal. Boundaries
    /// are indexes that end a checkpoint interval: no segment reaches across one. Each must be told
    /// no later than when it is applied, and after a start all above the purge point once more.
    pub fn allow_sealing(&self, applied: LogIndex, new_boundaries: &[LogIndex]) {
        self.sealed.allow(applied, new_boundaries);
        let config = &self.engine.config;
        let journal_bytes = self.engine.journal.group_bytes(self.id());
        let worthwhile = if self.sealed.has_complete_interval() {
            config.segment_bytes_min
        } else {
            config.segment_bytes_target
        };
        if journal_bytes >= worthwhile {
            self.engine.chores.ask(Chore::Seal, self.id());
        }
    }

    /// Bytes of this group's entries, in the journal and sealed. An estimate.
    pub fn log_bytes(&self) -> u64 {
        self.engine.journal.group_bytes(self.id()) + self.sealed.bytes()
    }

    #[cfg(test)]
    pub(crate) fn life(&self) -> crate::life::Life {
        self.sealed.life()
    }

    /// The journal forgets a removed group in the end, so its late handles are refused here: in turn,
    /// like every other change.
    fn unless_removed(&self, done: Completion) -> Option<Completion> {
        if !self.sealed.is_removed() {
            return Some(done);
        }
        let removed = StorageError::Removed(self.id());
        self.engine
            .journal
            .after_sync(Box::new(move |_| done(Err(removed))));
        None
    }

    fn check_rows(&self, after: Option<LogIndex>) -> Result<(), StorageError> {
        let group = self.id();
        if self.sealed.is_removed() {
            return Err(StorageError::Removed(group));
        }
        let last = self.bounds().last.map(|last| last.index);
        match after {
            Some(index) if Some(index) > last => Err(StorageError::MissingEntry { group, index }),
            _ => Ok(()),
        }
    }

    fn change(&self, row: Row) -> Change {
        let stored = |key: &[u8]| keys::row(self.id(), key);
        match row {
            Row::Put { key, value } => Change::Put(RowFamily::Rows, stored(&key), Vec::from(value)),
            Row::Delete { key } => Change::Delete(RowFamily::Rows, stored(&key)),
            Row::DeleteRange { start, end } => {
                Change::DeleteRange(RowFamily::Rows, stored(&start)..stored(&end))
            }
        }
    }
}

fn named_by_user((key, value): KeyValue) -> KeyValue {
    let user_key = keys::user_key_of_row(&key).map(<[u8]>::to_vec);
    (
        user_key.expect("row keys begin with their group, which bounded the search"),
        value,
    )
}
