//! Where records of one partition become batches.
//!
//! ```text
//!   push --> open batch --too large--> closed batches --take_due--> the partition's sender
//!                 '------- due: full, idle, lingered or flushed ------'
//! ```
//!
//! A batch that is full is due, and goes on growing until the sender takes it. So while the partition
//! has as many batches on their way as it may, what waits becomes few large batches rather than many
//! small ones, and a partition that is far away or busy costs less for each record.
//!
//! A plain data structure under a lock: it does not wait and does not know the network.

use std::collections::VecDeque;
use std::time::Duration;

use flotilla_types::limits::RECORD_BYTES_MAX;
use flotilla_types::{BatchBuilder, BatchError, Compression, PartitionIndex, Timestamp};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::delivery::{Delivery, Promise};
use super::record::ProducerRecord;
use crate::ClientError;

pub(super) struct Accumulator {
    limits: BatchLimits,
    open: Option<OpenBatch>,
    closed: VecDeque<OpenBatch>,
    /// How many batches there have been, and so the number of the next one.
    batch_count: u64,
    /// Batches with smaller numbers do not linger.
    flush_before: u64,
    /// Set once: no more records are taken.
    end: Option<ClientError>,
}

/// A batch that waits for the sender grows up to so many times the size at which it is full. Larger ones
/// cost a producer even less, but whoever reads them more: they leave the processors' caches.
const GROWTH_MAX: usize = 2;

/// When a batch is complete.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchLimits {
    /// From here on it is full.
    pub(super) batch_bytes: usize,
    pub(super) linger: Duration,
    pub(super) compression: Compression,
}

/// A batch that takes records, or waits to be sent.
pub(super) struct OpenBatch {
    pub(super) number: u64,
    pub(super) records: BatchBuilder,
    /// The part of the producer's buffer that the records occupy.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) promise: Promise,
    pub(super) opened_at: Instant,
}

/// What became of a record.
#[derive(Debug)]
pub(super) struct Pushed {
    pub(super) delivery: Delivery,
    /// It began a batch or made one full: the sender may have something new to do.
    pub(super) wakes_sender: bool,
}

/// What the sender can do now.
pub(super) enum Due {
    Batch(OpenBatch),
    /// Come back at this moment, or when something changes.
    At(Instant),
    /// Come back when something changes.
    Nothing,
    /// There will be nothing more.
    End,
}

impl BatchLimits {
    fn is_full(&self, records: &BatchBuilder) -> bool {
        records.estimated_bytes() >= self.batch_bytes
    }
}

impl Accumulator {
    pub(super) fn new(limits: BatchLimits) -> Self {
        Self {
            limits,
            open: None,
            closed: VecDeque::new(),
            batch_count: 0,
            flush_before: 0,
            end: None,
        }
    }

    /// Takes a record. `room` is merged into that of its batch.
    pub(super) fn push(
        &mut self,
        partition: PartitionIndex,
        record: &ProducerRecord,
        timestamp: Timestamp,
        room: OwnedSemaphorePermit,
    ) -> Result<Pushed, ClientError> {
        if let Some(error) = &self.end {
            return Err(error.clone());
        }
        self.close_if_too_large(record.bytes());
        if let Some(open) = &mut self.open {
            let was_full = self.limits.is_full(&open.records);
            if add(&mut open.records, record, timestamp).is_ok() {
                open.room.merge(room);
                let position = open.records.record_count() - 1;
                return Ok(Pushed {
                    delivery: open.promise.delivery(partition, position),
                    wakes_sender: !was_full && self.limits.is_full(&open.records),
                });
            }
            // It may be the batch that is full, or the record that is unfit. A new batch tells.
            self.close_open();
        }
        let mut records = BatchBuilder::new(self.limits.compression);
        add(&mut records, record, timestamp)?;
        let open = OpenBatch {
            number: self.batch_count,
            records,
            room,
            promise: Promise::new(),
            opened_at: Instant::now(),
        };
        self.batch_count += 1;
        let delivery = open.promise.delivery(partition, 0);
        if self.limits.is_full(&open.records) {
            // Others shall not fail with a record that may be too large for its topic.
            self.closed.push_back(open);
        } else {
            self.open = Some(open);
        }
        Ok(Pushed {
            delivery,
            wakes_sender: true,
        })
    }

    /// Takes out the next batch. When the sender is `idle`, no batch lingers.
    pub(super) fn take_due(&mut self, now: Instant, idle: bool) -> Due {
        if let Some(batch) = self.closed.pop_front() {
            return Due::Batch(batch);
        }
        let Some(open) = self.open.take() else {
            return match self.end {
                Some(_) => Due::End,
                None => Due::Nothing,
            };
        };
        let due_at = open.opened_at + self.limits.linger;
        let is_due = self.limits.is_full(&open.records)
            || idle
            || self.end.is_some()
            || open.number < self.flush_before
            || due_at <= now;
        if is_due {
            return Due::Batch(open);
        }
        self.open = Some(open);
        Due::At(due_at)
    }

    /// Takes out batches that were opened at this moment or before.
    pub(super) fn take_opened_until(&mut self, moment: Instant) -> Vec<OpenBatch> {
        let mut batches = Vec::new();
        while (self.closed.front()).is_some_and(|batch| batch.opened_at <= moment) {
            batches.extend(self.closed.pop_front());
        }
        if self.closed.is_empty() {
            batches.extend(self.open.take_if(|open| open.opened_at <= moment));
        }
        batches
    }

    /// Lets nothing linger that is here now. Returns how many batches there have been.
    pub(super) fn flush(&mut self) -> u64 {
        self.flush_before = self.batch_count;
        self.batch_count
    }

    /// Takes no more records and answers `error` instead. What is here is still sent.
    pub(super) fn end(&mut self, error: ClientError) {
        self.end.get_or_insert(error);
    }

    fn close_if_too_large(&mut self, more_bytes: usize) {
        let batch_bytes = self.limits.batch_bytes;
        let bytes_max = batch_bytes.saturating_mul(GROWTH_MAX).min(RECORD_BYTES_MAX);
        let is_too_large = |open: &mut OpenBatch| {
            more_bytes >= batch_bytes || open.records.estimated_bytes() + more_bytes > bytes_max
        };
        self.closed.extend(self.open.take_if(is_too_large));
    }

    fn close_open(&mut self) {
        self.closed.extend(self.open.take());
    }
}

fn add(
    records: &mut BatchBuilder,
    record: &ProducerRecord,
    timestamp: Timestamp,
) -> Result<(), BatchError> {
    records.push(
        timestamp,
        record.key.as_deref(),
        record.value.as_deref(),
        &record.headers,
    )
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, LazyLock};

    use flotilla_types::TopicName;
    use tokio::sync::Semaphore;

    use super::*;

    static BUFFER: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(1_000)));
    const LINGER: Duration = Duration::from_millis(5);

    fn accumulator(batch_bytes: usize) -> Accumulator {
        Accumulator::new(BatchLimits {
            batch_bytes,
            linger: LINGER,
            compression: Compression::None,
        })
    }

    fn push(accumulator: &mut Accumulator, value: &[u8]) -> Result<Pushed, ClientError> {
        let room = Arc::clone(&BUFFER).try_acquire_owned();
        let topic = TopicName::parse("t").unwrap();
        let record = ProducerRecord::new(topic, value.to_vec());
        let timestamp = Timestamp::from_millis(1);
        accumulator.push(PartitionIndex::new(0), &record, timestamp, room.unwrap())
    }

    fn take(accumulator: &mut Accumulator, idle: bool) -> Option<u32> {
        match accumulator.take_due(Instant::now(), idle) {
            Due::Batch(batch) => Some(batch.records.record_count()),
            Due::At(_) | Due::Nothing | Due::End => None,
        }
    }

    #[test]
    fn a_batch_lingers_only_while_another_is_on_its_way() {
        let mut records = accumulator(10_000);
        let _ = push(&mut records, b"a").unwrap();
        assert_eq!(take(&mut records, false), None);
        let _ = push(&mut records, b"b").unwrap();
        assert_eq!(take(&mut records, true), Some(2));

        let _ = push(&mut records, b"c").unwrap();
        let later = Instant::now() + LINGER;
        assert!(matches!(records.take_due(later, false), Due::Batch(_)));
    }

    #[test]
    fn a_full_batch_is_due_at_once() {
        let mut records = accumulator(200);
        assert!(push(&mut records, &[0; 100]).unwrap().wakes_sender);
        assert_eq!(take(&mut records, false), None);
        let _ = push(&mut records, &[0; 1]).unwrap();
        assert!(push(&mut records, &[0; 100]).unwrap().wakes_sender);
        assert_eq!(take(&mut records, false), Some(3));
    }

    #[test]
    fn a_full_batch_grows_until_it_is_taken_but_not_for_ever() {
        let mut records = accumulator(2_000);
        for _ in 0..100 {
            let _ = push(&mut records, &[0; 90]).unwrap();
        }
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut records, false)).collect();
        assert_eq!(taken.iter().sum::<u32>(), 100);
        let (last, full) = taken.split_last().unwrap();
        assert!(*last <= 40, "{taken:?}");
        assert!(
            full.iter().all(|count| (35..=40).contains(count)),
            "{taken:?}"
        );
    }

    #[test]
    fn a_record_that_fills_a_batch_travels_alone() {
        let mut records = accumulator(1_000);
        for length in [10, 1_000, 10] {
            assert!(push(&mut records, &vec![0; length]).unwrap().wakes_sender);
        }
        let taken: Vec<_> = std::iter::from_fn(|| take(&mut records, true)).collect();
        assert_eq!(taken, [1, 1, 1]);
    }

    #[test]
    fn a_flush_covers_what_was_pushed_before_it() {
        let mut records = accumulator(10_000);
        let _ = push(&mut records, b"a").unwrap();
        assert_eq!(records.flush(), 1);
        assert_eq!(take(&mut records, false), Some(1));
        let _ = push(&mut records, b"b").unwrap();
        assert_eq!(take(&mut records, false), None);
    }

    #[test]
    fn an_unfit_record_is_refused_and_leaves_the_others_alone() {
        let mut records = accumulator(1 << 20);
        let _ = push(&mut records, b"a").unwrap();
        let error = push(&mut records, &vec![0; 9 << 20]).unwrap_err();
        assert!(error.is_definite());
        let _ = push(&mut records, b"b").unwrap();
        assert_eq!(take(&mut records, true), Some(1));
        assert_eq!(take(&mut records, true), Some(1));
    }

    #[test]
    fn after_the_end_what_is_here_is_sent_and_nothing_more_is_taken() {
        let mut records = accumulator(10_000);
        let _ = push(&mut records, b"a").unwrap();
        records.end(ClientError::Closed {
            what: "producer",
            definite: true,
        });
        assert!(push(&mut records, b"b").unwrap_err().is_definite());
        assert_eq!(take(&mut records, false), Some(1));
        assert!(matches!(records.take_due(Instant::now(), false), Due::End));
    }
}
