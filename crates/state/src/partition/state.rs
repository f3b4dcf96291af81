//! The replicated state of one partition and the function that moves it on.

use std::collections::VecDeque;

use flotilla_types::limits::{
    CHECKPOINT_INTERVAL_BYTES, OFFSET_INDEX_INTERVAL_BYTES, OFFSET_INDEX_INTERVAL_ENTRIES,
};
use flotilla_types::{FencingToken, JobName, LogIndex, Offset, ProducerId, RecordBatch, Timestamp};

use super::message_ids::{MessageIds, Remembered};
use super::owners::OwnerTable;
use super::producers::{KnownProducer, ProducerTable, RememberedBatch, Verdict, judge};
use super::{
    Applied, Change, Checkpoint, IdentifiedAppend, IdentifiedRecord, Outcome, PartitionCommand,
    Rejection,
};

/// What every replica of a partition knows after the same entries. It starts empty, at offset 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub(super) now: Timestamp,
    pub(super) next_offset: Offset,
    pub(super) log_start: Offset,
    pub(super) max_timestamp: Option<Timestamp>,
    pub(super) producers: ProducerTable,
    pub(super) owners: OwnerTable,
    pub(super) message_ids: MessageIds,
    /// By rising index. At most the first one lies at or below the log start: the purge point.
    pub(super) checkpoints: VecDeque<Checkpoint>,
    /// What was appended after the last checkpoint, once there is something.
    pub(super) open: Option<OpenInterval>,
}

/// The interval that no checkpoint has ended yet. It holds at least one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenInterval {
    pub(super) bytes: u64,
    /// As in `Checkpoint`.
    pub(super) appended_at: Timestamp,
    /// The entry that the newest row of the sparse index points to, always one of this interval.
    pub(super) last_row: LogIndex,
    /// Bytes from that entry on.
    pub(super) bytes_since_row: u64,
}

impl Default for PartitionState {
    fn default() -> Self {
        Self::new()
    }
}

impl PartitionState {
    pub fn new() -> Self {
        Self {
            now: Timestamp::from_millis(0),
            next_offset: Offset::ZERO,
            log_start: Offset::ZERO,
            max_timestamp: None,
            producers: ProducerTable::default(),
            owners: OwnerTable::default(),
            message_ids: MessageIds::default(),
            checkpoints: VecDeque::new(),
            open: None,
        }
    }

    /// Applies the command of entry `index`, which its leader proposed at `timestamp`.
    pub fn apply(
        &mut self,
        index: LogIndex,
        command: &PartitionCommand,
        timestamp: Timestamp,
    ) -> Applied {
        self.now = self.now.max(timestamp);
        let mut changes = Vec::new();
        let outcome = match command {
            PartitionCommand::Append(append) => {
                let outcome = self.append(index, &append.batch, &mut changes);
                self.producers.forget_silent(self.now);
                self.message_ids.forget_expired(self.now);
                outcome
            }
            PartitionCommand::IdentifiedAppend(append) => {
                self.append_identified(index, append, &mut changes)
            }
            PartitionCommand::Fence {
                job,
                token,
                instance,
            } => self.fence(job, *token, *instance),
            PartitionCommand::TrimTo { log_start } => self.trim_to(*log_start, &mut changes),
            PartitionCommand::CloseSegment => {
                self.end_interval(index, &mut changes);
                Outcome::SegmentClosed
            }
        };
        Applied { outcome, changes }
    }

    /// The latest time that the log has told.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// The offset that the next record gets.
    pub fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// The smallest offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// The largest timestamp that any record ever carried here.
    pub fn max_timestamp(&self) -> Option<Timestamp> {
        self.max_timestamp
    }

    /// The checkpoints that matter: the purge point, if there is one, and all above the log start.
    pub fn checkpoints(&self) -> impl ExactSizeIterator<Item = &Checkpoint> {
        self.checkpoints.iter()
    }

    /// The newest checkpoint. In an image this is where the image was taken: a replica that installed
    /// one has no records below `end_offset`, whatever the log start still says, until the trim
    /// command that made the others purge them reaches it.
    pub fn last_checkpoint(&self) -> Option<&Checkpoint> {
        self.checkpoints.back()
    }

    /// The entry up to which the log may be purged: the newest checkpoint with nothing readable in
    /// or below its interval.
    pub fn purge_point(&self) -> Option<LogIndex> {
        let first = self.checkpoints.front()?;
        (first.end_offset <= self.log_start).then_some(first.index)
    }

    /// Bytes of record batches that retention still counts.
    pub fn retained_bytes(&self) -> u64 {
        let closed = self
            .retained_checkpoints()
            .map(|checkpoint| checkpoint.bytes);
        let open = self.open.map_or(0, |open| open.bytes);
        closed.fold(open, u64::saturating_add)
    }

    pub(super) fn retained_checkpoints(&self) -> impl Iterator<Item = &Checkpoint> {
        self.checkpoints
            .iter()
            .filter(|checkpoint| checkpoint.end_offset > self.log_start)
    }

    pub(super) fn producer(&self, id: ProducerId) -> Option<&KnownProducer> {
        self.producers.get(id)
    }

    fn append(
        &mut self,
        index: LogIndex,
        batch: &RecordBatch,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        if batch.base_offset() != self.next_offset {
            return Outcome::Rejected(Rejection::OffsetMismatch {
                expected: self.next_offset,
            });
        }
        let record_count = batch.record_count();
        if let Some(producer) = batch.producer() {
            if let Err(rejection) = self.owners.check(producer) {
                return Outcome::Rejected(rejection);
            }
            match judge(self.producers.get(producer.id), producer, record_count) {
                Verdict::Fits => {}
                Verdict::Duplicate(earlier) => {
                    return Outcome::Duplicate {
                        base_offset: earlier.base_offset,
                        end_offset: earlier.end_offset(),
                    };
                }
                Verdict::Rejected(rejection) => return Outcome::Rejected(rejection),
            }
            let remembered = RememberedBatch {
                base_sequence: producer.base_sequence,
                record_count,
                base_offset: self.next_offset,
            };
            self.producers
                .remember(producer.id, producer.epoch, remembered, self.now);
            self.owners.hear(producer.id, self.next_offset);
        }
        let base_offset = self.next_offset;
        self.next_offset = base_offset.advance(u64::from(record_count));
        self.count_in(index, batch, changes);
        Outcome::Appended {
            base_offset,
            end_offset: self.next_offset,
        }
    }

    fn append_identified(
        &mut self,
        index: LogIndex,
        append: &IdentifiedAppend,
        changes: &mut Vec<Change>,
    ) -> Outcome {
        let oldest = self.now.minus_millis(append.window_ms.into());
        let records = &append.records;
        let is_known =
            |record: &IdentifiedRecord| self.message_ids.find(record.id, oldest).is_some();
        if records.iter().any(is_known) {
            return Outcome::Rejected(Rejection::MessageIdKnown);
        }
        if !self.message_ids.has_room(records.len(), oldest) {
            return Outcome::Rejected(Rejection::MessageIdsFull);
        }
        let outcome = self.append(index, &append.batch, changes);
        if let Outcome::Appended { base_offset, .. } = outcome {
            self.message_ids.window_ms = append.window_ms;
            self.message_ids.forget_expired(self.now);
            for record in records {
                let remembered = Remembered {
                    offset: base_offset.advance(record.position.into()),
                    appended_at: self.now,
                };
                self.message_ids.remember(record.id, remembered);
            }
        }
        outcome
    }

    fn fence(&mut self, job: &JobName, token: FencingToken, instance: u64) -> Outcome {
        let fenced = match self.owners.fence(job, token, instance, self.next_offset) {
            Ok(fenced) => fenced,
            Err(rejection) => return Outcome::Rejected(rejection),
        };
        let forgotten = self.owners.forget_surplus(job);
        for token in fenced.replaced.into_iter().chain(forgotten) {
            self.producers.forget(ProducerId::owned(token));
        }
        Outcome::Fenced {
            end_offset: self.next_offset,
            epoch: fenced.epoch,
        }
    }

    /// Counts an appended batch into the open interval, and ends the interval when it is full.
    fn count_in(&mut self, index: LogIndex, batch: &RecordBatch, changes: &mut Vec<Change>) {
        let bytes = batch.len() as u64;
        let newest = batch.max_timestamp();
        let max_timestamp = self.max_timestamp.map_or(newest, |max| max.max(newest));
        self.max_timestamp = Some(max_timestamp);
        let mut open = match self.open {
            Some(mut open) => {
                open.bytes = open.bytes.saturating_add(bytes);
                open.appended_at = self.now;
                open
            }
            None => OpenInterval {
                bytes,
                appended_at: self.now,
                last_row: index,
                bytes_since_row: 0,
            },
        };
        if open.needs_row(index) {
            open.last_row = index;
            open.bytes_since_row = 0;
            changes.push(Change::IndexRow {
                base_offset: batch.base_offset(),
                index,
                appended_at: self.now,
                max_timestamp,
            });
        }
        open.bytes_since_row = open.bytes_since_row.saturating_add(bytes);
        self.open = Some(open);
        if open.bytes >= CHECKPOINT_INTERVAL_BYTES {
            self.end_interval(index, changes);
        }
    }

    fn end_interval(&mut self, index: LogIndex, changes: &mut Vec<Change>) {
        let Some(open) = self.open.take() else {
            return;
        };
        let checkpoint = Checkpoint {
            index,
            end_offset: self.next_offset,
            bytes: open.bytes,
            appended_at: open.appended_at,
        };
        self.checkpoints.push_back(checkpoint);
        self.forget_purged_checkpoints();
        changes.push(Change::Boundary(checkpoint));
    }

    fn trim_to(&mut self, log_start: Offset, changes: &mut Vec<Change>) -> Outcome {
        if log_start > self.next_offset {
            return Outcome::Rejected(Rejection::TrimBeyondEnd {
                next_offset: self.next_offset,
            });
        }
        if log_start > self.log_start {
            self.log_start = log_start;
            self.forget_purged_checkpoints();
            changes.push(Change::LogStart { offset: log_start });
        }
        Outcome::Trimmed {
            log_start: self.log_start,
        }
    }

    /// Keeps, of the checkpoints at or below the log start, only the newest one.
    fn forget_purged_checkpoints(&mut self) {
        let below = self
            .checkpoints
            .partition_point(|checkpoint| checkpoint.end_offset <= self.log_start);
        self.checkpoints.drain(..below.saturating_sub(1));
    }
}

impl OpenInterval {
    /// Whether the batch of entry `index`, which comes next, gets a row of the sparse index.
    fn needs_row(&self, index: LogIndex) -> bool {
        let entries_since_row = index.get().saturating_sub(self.last_row.get());
        self.bytes_since_row == 0
            || self.bytes_since_row >= OFFSET_INDEX_INTERVAL_BYTES
            || entries_since_row >= u64::from(OFFSET_INDEX_INTERVAL_ENTRIES)
    }
}
