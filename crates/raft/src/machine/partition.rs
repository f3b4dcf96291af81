//! A partition's state machine, with what readers and the appender need to see of it.
//!
//! A snapshot of a partition is never its latest state. It is the *checkpoint* at the purge point:
//! a follower that gets it goes on from there by ordinary replication, and so receives every record
//! that is still retained. A snapshot of the latest state would make it skip them in silence.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io;

use bytes::Bytes;
use flotilla_state::partition::{Change, Outcome, PartitionCommand, PartitionState};
use flotilla_storage::{Completion, GroupLog, Row};
use flotilla_types::{LogIndex, Offset, Term, Timestamp};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use tokio::sync::watch;

use super::opening::{available_from, finish_installation, load_rejected};
use super::{read_row, stored_membership};
use crate::log_store::{completion, wait};
use crate::rows::{
    APPLIED, Image, IndexRow, all_offset_index_keys, all_rejected_keys, checkpoint_key,
    checkpoint_keys_below, offset_index_key, rejected_key,
};
use crate::type_config::{Payload, RaftLogId, Reply, StoredMembership};

/// Rows are saved once this many bytes of entries were applied since the last time.
const SAVE_INTERVAL_BYTES: u64 = 8 << 20;
/// The latest batches whose exact log index is kept in memory, for consumers at the tail.
const TAIL_POSITIONS: usize = 1_024;

/// What readers may see: all of it is committed and applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Published {
    pub(crate) log_start: Offset,
    /// One past the last readable record.
    pub(crate) high_watermark: Offset,
    pub(crate) applied: Option<LogIndex>,
    pub(crate) applied_term: Option<Term>,
    /// The entry up to which retention allows the log to be purged.
    pub(crate) purge_point: Option<LogIndex>,
}

/// The first batch of a log that was appended at a certain time or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OldestKept {
    /// The time that was asked for.
    pub(crate) bound: Timestamp,
    pub(crate) offset: Offset,
    /// The batch is at this index or after it.
    pub(crate) index: LogIndex,
    /// `None` if there was no such batch yet.
    pub(crate) appended_at: Option<Timestamp>,
}

/// Where the search for an offset starts: at this index or after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexBound {
    /// Known from memory.
    At(LogIndex),
    /// The row at or before the offset has to be read from storage.
    Stored,
}

pub(crate) struct PartitionCell {
    log: GroupLog,
    inner: RwLock<Inner>,
    /// The last answer to which batch is the oldest that is kept, from where the next one is found.
    oldest_kept: Mutex<Option<OldestKept>>,
    /// Serialises saves: rows of an older state must never follow those of a newer one.
    saving: Mutex<Saving>,
    published: watch::Sender<Published>,
}

struct Inner {
    applied: Option<RaftLogId>,
    membership: StoredMembership,
    state: PartitionState,
    /// Appends that apply refused. Their batches are in the log and must never be served.
    rejected: BTreeSet<LogIndex>,
    /// Base offset and log index of the latest batches, in order.
    tail: VecDeque<(Offset, LogIndex)>,
    unsaved: Unsaved,
    /// The checkpoint that a follower gets in place of purged entries.
    snapshot: Option<LogIndex>,
    /// Where the records start that this replica has. It lies above the log start while a replica
    /// that installed a checkpoint has not yet reached the command that trimmed the others.
    available_from: Offset,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Saving {
    Allowed,
    /// The replica is closed; its rows may belong to a later life of the group by now.
    Ended,
}

/// Rows that apply produced since the last save.
#[derive(Default)]
struct Unsaved {
    index_rows: BTreeMap<Offset, IndexRow>,
    checkpoints: Vec<(LogIndex, Image)>,
    rejected: Vec<LogIndex>,
    boundaries: Vec<LogIndex>,
    entry_bytes: u64,
    dirty: bool,
}

impl PartitionCell {
    /// Reads the saved state. It refuses a state that is ahead of the log, for then entries that
    /// were acknowledged are gone.
    pub(crate) fn open(log: GroupLog) -> io::Result<Self> {
        let bounds = log.bounds();
        let row = log.row(APPLIED).map_err(io::Error::other)?;
        let image = match row {
            Some(bytes) => Image::decode(Bytes::from(bytes)).map_err(io::Error::other)?,
            None => Image {
                applied: None,
                membership: StoredMembership::default(),
                state: PartitionState::default().encode().into(),
            },
        };
        let state = PartitionState::decode(&image.state).map_err(io::Error::other)?;
        let last = bounds.last.map(|id| id.index.get());
        if image.applied.map(|id| id.index) > last {
            finish_installation(&log, &image)?;
        }
        let boundaries: Vec<_> = state
            .checkpoints()
            .map(|checkpoint| checkpoint.index)
            .collect();
        if let Some(applied) = image.applied {
            log.allow_sealing(LogIndex::new(applied.index), &boundaries);
        }
        let snapshot = log.bounds().last_purged.map(|id| id.index);
        let inner = Inner {
            rejected: load_rejected(&log)?,
            applied: image.applied,
            membership: image.membership,
            state,
            tail: VecDeque::new(),
            unsaved: Unsaved::default(),
            snapshot,
            available_from: available_from(&log, snapshot)?,
        };
        let (published, _) = watch::channel(inner.published());
        Ok(Self {
            log,
            inner: RwLock::new(inner),
            oldest_kept: Mutex::new(None),
            saving: Mutex::new(Saving::Allowed),
            published,
        })
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Published> {
        self.published.subscribe()
    }

    pub(crate) fn published(&self) -> Published {
        *self.published.borrow()
    }

    pub(crate) fn applied(&self) -> (Option<RaftLogId>, StoredMembership) {
        let inner = self.inner.read();
        (inner.applied, inner.membership.clone())
    }

    /// The state as of the last applied entry, for decisions that the leader takes.
    pub(crate) fn with_state<R>(&self, decide: impl FnOnce(&PartitionState) -> R) -> R {
        decide(&RwLockReadGuard::map(self.inner.read(), |inner| {
            &inner.state
        }))
    }

    pub(crate) fn is_rejected(&self, index: LogIndex) -> bool {
        self.inner.read().rejected.contains(&index)
    }

    /// Where to start looking for the batch that holds `offset`.
    pub(crate) fn index_bound(&self, offset: Offset) -> IndexBound {
        let inner = self.inner.read();
        let after = inner.tail.partition_point(|(base, _)| *base <= offset);
        if let Some((_, index)) = after.checked_sub(1).and_then(|at| inner.tail.get(at)) {
            return IndexBound::At(*index);
        }
        let unsaved = &inner.unsaved.index_rows;
        match unsaved.range(..=offset).next_back() {
            Some((_, row)) => IndexBound::At(row.index),
            None => IndexBound::Stored,
        }
    }

    /// The row at or before the offset, if it has not been handed to storage yet.
    pub(crate) fn unsaved_row(&self, offset: Offset) -> Option<IndexRow> {
        let inner = self.inner.read();
        let mut rows = inner.unsaved.index_rows.range(..=offset);
        rows.next_back().map(|(_, row)| *row)
    }

    pub(crate) fn oldest_kept(&self) -> Option<OldestKept> {
        *self.oldest_kept.lock()
    }

    pub(crate) fn note_oldest_kept(&self, kept: OldestKept) {
        *self.oldest_kept.lock() = Some(kept);
    }

    pub(super) fn apply(&self, id: RaftLogId, payload: &Payload) -> io::Result<Reply> {
        let mut inner = self.inner.write();
        inner.applied = Some(id);
        inner.unsaved.dirty = true;
        match payload {
            Payload::Blank => Ok(Reply::None),
            Payload::Membership(_) => {
                if let Some(membership) = stored_membership(id, payload) {
                    inner.membership = membership;
                }
                Ok(Reply::None)
            }
            Payload::Normal(command) => {
                let (timestamp, decoded) =
                    PartitionCommand::decode(&command.0).map_err(io::Error::other)?;
                inner.unsaved.entry_bytes += command.0.len() as u64;
                let index = LogIndex::new(id.index);
                Ok(Reply::Partition(
                    inner.apply_command(index, &decoded, timestamp),
                ))
            }
        }
    }

    pub(super) fn publish(&self) {
        let (published, boundaries, save) = {
            let mut inner = self.inner.write();
            let unsaved = &mut inner.unsaved;
            let save =
                unsaved.entry_bytes >= SAVE_INTERVAL_BYTES || !unsaved.checkpoints.is_empty();
            let boundaries = std::mem::take(&mut unsaved.boundaries);
            (inner.published(), boundaries, save)
        };
        self.published.send_if_modified(|current| {
            let changed = *current != published;
            *current = published;
            changed
        });
        if let Some(applied) = published.applied {
            self.log.allow_sealing(applied, &boundaries);
        }
        if save {
            self.save();
        }
    }

    /// Hands the current state and its new rows to storage, if anything changed.
    pub(crate) fn save(&self) {
        if self.inner.read().unsaved.dirty {
            self.save_then(None);
        }
    }

    /// Nothing is saved from here on, whoever still holds the replica.
    pub(crate) fn close(&self) {
        *self.saving.lock() = Saving::Ended;
    }

    fn save_then(&self, done: Option<Completion>) {
        let saving = self.saving.lock();
        if *saving == Saving::Ended {
            return;
        }
        let (image, unsaved) = {
            let mut inner = self.inner.write();
            (inner.image(), std::mem::take(&mut inner.unsaved))
        };
        let after = image.applied.map(|id| LogIndex::new(id.index));
        let mut rows = vec![put(APPLIED.to_vec(), image.encode())];
        let index_rows = unsaved.index_rows.values();
        rows.extend(index_rows.map(|row| put(offset_index_key(row.base_offset), row.value())));
        let checkpoints = unsaved.checkpoints.iter();
        rows.extend(checkpoints.map(|(index, image)| put(checkpoint_key(*index), image.encode())));
        let rejected = unsaved.rejected.iter();
        rows.extend(rejected.map(|index| put(rejected_key(*index), Bytes::new())));
        self.log.write_rows(after, rows, done);
    }

    /// The checkpoint at the purge point, durable: only then may the log below it go.
    pub(super) async fn build_checkpoint(&self) -> io::Result<Image> {
        let index = self.with_state(PartitionState::purge_point);
        let index = index.ok_or_else(|| {
            io::Error::other("the log has a purged part but no checkpoint that stands for it")
        })?;
        // A durable save makes every earlier one durable: they share one write-ahead log.
        let (done, durable) = completion();
        self.save_then(Some(done));
        wait(durable).await?;
        let image = self.checkpoint(index).await?;
        self.inner.write().snapshot = Some(index);
        let obsolete = vec![delete(checkpoint_keys_below(index))];
        self.log.write_rows(None, obsolete, None);
        Ok(image)
    }

    pub(super) async fn current_checkpoint(&self) -> io::Result<Option<Image>> {
        loop {
            let snapshot = self.inner.read().snapshot;
            let Some(index) = snapshot else {
                return Ok(None);
            };
            match self.checkpoint(index).await {
                Ok(image) => return Ok(Some(image)),
                // A newer checkpoint took its place between the two looks.
                Err(_) if self.inner.read().snapshot != snapshot => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Takes over the leader's checkpoint. The old log, all below it, is purged by openraft next.
    pub(super) async fn install(&self, image: Image) -> io::Result<()> {
        let state = PartitionState::decode(&image.state).map_err(io::Error::other)?;
        let index = image
            .applied
            .map(|id| LogIndex::new(id.index))
            .ok_or_else(|| io::Error::other("a checkpoint must name the entry that it is of"))?;
        let encoded = image.encode();
        let rows = vec![
            delete(all_offset_index_keys()),
            delete(all_rejected_keys()),
            delete(checkpoint_keys_below(index)),
            put(checkpoint_key(index), encoded.clone()),
            put(APPLIED.to_vec(), encoded),
        ];
        let (done, durable) = completion();
        self.log.write_rows(None, rows, Some(done));
        wait(durable).await?;
        {
            let mut inner = self.inner.write();
            inner.applied = image.applied;
            inner.membership = image.membership;
            inner.available_from = state.next_offset();
            inner.state = state;
            inner.rejected.clear();
            inner.tail.clear();
            inner.unsaved = Unsaved::default();
            inner.snapshot = Some(index);
            *self.oldest_kept.lock() = None;
        }
        self.publish();
        Ok(())
    }

    async fn checkpoint(&self, index: LogIndex) -> io::Result<Image> {
        let row = read_row(&self.log, checkpoint_key(index)).await?;
        let bytes = row.ok_or_else(|| {
            io::Error::other(format!("the checkpoint at entry {index} is not stored"))
        })?;
        Image::decode(bytes).map_err(io::Error::other)
    }

    /// Drops what memory and rows still hold of purged entries.
    pub(crate) fn forget_purged(&self, last_purged: LogIndex, log_start: Offset) {
        {
            let mut inner = self.inner.write();
            inner.rejected = inner.rejected.split_off(&last_purged.next());
        }
        let mut rows = vec![Row::DeleteRange {
            start: all_rejected_keys().start,
            end: rejected_key(last_purged.next()),
        }];
        rows.push(Row::DeleteRange {
            start: all_offset_index_keys().start,
            end: offset_index_key(log_start),
        });
        self.log.write_rows(None, rows, None);
    }
}

impl Inner {
    fn apply_command(
        &mut self,
        index: LogIndex,
        command: &PartitionCommand,
        timestamp: Timestamp,
    ) -> Outcome {
        let applied = self.state.apply(index, command, timestamp);
        for change in applied.changes {
            match change {
                Change::IndexRow {
                    base_offset,
                    index,
                    appended_at,
                    max_timestamp,
                } => {
                    let row = IndexRow {
                        base_offset,
                        index,
                        max_timestamp,
                        appended_at,
                    };
                    self.unsaved.index_rows.insert(base_offset, row);
                }
                Change::Boundary(checkpoint) => {
                    let image = self.image();
                    self.unsaved.checkpoints.push((checkpoint.index, image));
                    self.unsaved.boundaries.push(checkpoint.index);
                }
                Change::LogStart { .. } => {}
            }
        }
        if let PartitionCommand::Append(_) | PartitionCommand::IdentifiedAppend(_) = command {
            self.note_position(index, &applied.outcome);
        }
        applied.outcome
    }

    fn note_position(&mut self, index: LogIndex, outcome: &Outcome) {
        match outcome {
            Outcome::Appended { base_offset, .. } => {
                if self.tail.len() == TAIL_POSITIONS {
                    self.tail.pop_front();
                }
                self.tail.push_back((*base_offset, index));
            }
            Outcome::Duplicate { .. } | Outcome::Rejected(_) => {
                self.rejected.insert(index);
                self.unsaved.rejected.push(index);
            }
            Outcome::Trimmed { .. } | Outcome::SegmentClosed | Outcome::Fenced { .. } => {}
        }
    }

    fn image(&self) -> Image {
        Image {
            applied: self.applied,
            membership: self.membership.clone(),
            state: self.state.encode().into(),
        }
    }

    fn published(&self) -> Published {
        Published {
            log_start: self.state.log_start().max(self.available_from),
            high_watermark: self.state.next_offset(),
            applied: self.applied.map(|id| LogIndex::new(id.index)),
            applied_term: self.applied.map(|id| Term::new(id.leader_id.term)),
            purge_point: self.state.purge_point(),
        }
    }
}

fn put(key: Vec<u8>, value: Bytes) -> Row {
    Row::Put { key, value }
}

fn delete(range: std::ops::Range<Vec<u8>>) -> Row {
    Row::DeleteRange {
        start: range.start,
        end: range.end,
    }
}
