//! The batches of one partition whose fate is open, oldest first, and their sequence numbers.
//!
//! ```text
//!   take_in --> [ refused | settled | in flight | in flight | waiting ] --> next_to_send
//!                 '- head: the oldest one that is not settled
//! ```
//!
//! The rules that keep order without duplicates:
//!
//! - Batches are sent in order, over one link at a time. After a failure nothing new is sent until
//!   every batch in flight is answered; then all that are not acknowledged are sent again in order.
//! - No more batches are in the window than a node remembers of a producer, so a repeated one is
//!   always recognised.
//! - A node takes a batch only after the one before it in sequence. So if the head was surely not
//!   applied, none behind it was, and those can be numbered anew. They go on under the same
//!   identity only if no copy of them can still be under way; otherwise under another one, in which
//!   a late copy of the old life cannot fit.
//!
//! It does not wait and does not know the network.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::ApiError;
use flotilla_types::{
    BatchBuilder, BatchError, BatchProducer, Compression, Offset, ProducerEpoch, ProducerId,
    RecordBatch, Sequence,
};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::accumulator::OpenBatch;
use super::delivery::{FirstFailure, Promise};
use crate::ClientError;

pub(super) struct Window {
    batches: VecDeque<Entry>,
    size_max: usize,
    numbering: Numbering,
    failures: Arc<FirstFailure>,
    /// Batches with smaller numbers have left the window.
    settled_before: u64,
    delivery_timeout: Duration,
}

/// Who a batch says that it is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) id: ProducerId,
    pub(super) epoch: ProducerEpoch,
}

#[derive(Clone, Copy, Debug)]
enum Numbering {
    /// The producer is not idempotent.
    Off,
    /// Nothing can be sent before [`Window::adopt`].
    IdentityNeeded,
    Under {
        identity: Identity,
        next: Sequence,
    },
}

struct Entry {
    number: u64,
    content: Content,
    opened_at: Instant,
    progress: Progress,
    /// An attempt ended without saying that nothing happened.
    may_be_applied: bool,
}

enum Content {
    /// Not numbered yet.
    Records(BatchBuilder),
    Batch(RecordBatch),
}

enum Progress {
    Waiting(Unsettled),
    InFlight(Unsettled),
    Refused(Unsettled, ApiError),
    /// Acknowledged, or failed on its own.
    Settled,
}

/// What a batch owes to its callers.
struct Unsettled {
    promise: Promise,
    /// Given back when the batch is settled.
    _room: OwnedSemaphorePermit,
}

impl Window {
    pub(super) fn new(
        size_max: usize,
        idempotent: bool,
        delivery_timeout: Duration,
        failures: Arc<FirstFailure>,
    ) -> Self {
        Self {
            batches: VecDeque::with_capacity(size_max),
            size_max,
            numbering: if idempotent {
                Numbering::IdentityNeeded
            } else {
                Numbering::Off
            },
            failures,
            settled_before: 0,
            delivery_timeout,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    pub(super) fn has_room(&self) -> bool {
        self.batches.len() < self.size_max
    }

    pub(super) fn needs_identity(&self) -> bool {
        matches!(self.numbering, Numbering::IdentityNeeded)
    }

    pub(super) fn is_idempotent(&self) -> bool {
        !matches!(self.numbering, Numbering::Off)
    }

    /// Batches with smaller numbers are settled.
    pub(super) fn settled_before(&self) -> u64 {
        self.settled_before
    }

    /// Why the head was refused in this round.
    pub(super) fn head_error(&self) -> Option<&ApiError> {
        match self.batches.front().map(|head| &head.progress) {
            Some(Progress::Refused(_, error)) => Some(error),
            _ => None,
        }
    }

    pub(super) fn head_may_be_applied(&self) -> bool {
        self.batches.front().is_some_and(|head| head.may_be_applied)
    }

    /// Numbers batches from 0 under this identity from now on.
    pub(super) fn adopt(&mut self, identity: Identity) {
        self.numbering = Numbering::Under {
            identity,
            next: Sequence::new(0),
        };
    }

    /// Takes a batch in behind the others.
    pub(super) fn take_in(&mut self, batch: OpenBatch) {
        self.batches.push_back(Entry {
            number: batch.number,
            content: Content::Records(batch.records),
            opened_at: batch.opened_at,
            progress: Progress::Waiting(Unsettled {
                promise: batch.promise,
                _room: batch.room,
            }),
            may_be_applied: false,
        });
    }

    /// The next batch to be sent, now in flight: its number, when its first record was taken, and its
    /// bytes.
    pub(super) fn next_to_send(&mut self) -> Option<(u64, Instant, Bytes)> {
        if self.needs_identity() {
            return None;
        }
        while let Some(position) = self.batches.iter().position(Entry::is_waiting) {
            let entry = &mut self.batches[position];
            match entry.content.number(&mut self.numbering) {
                Ok(bytes) => {
                    entry.progress.update(Progress::InFlight);
                    return Some((entry.number, entry.opened_at, bytes));
                }
                Err(error) => self.settle(position, Err(error.into())),
            }
        }
        None
    }

    /// Takes note of how an attempt ended.
    pub(super) fn on_answer(&mut self, number: u64, answer: Result<Offset, ApiError>) {
        let Some(position) = self.batches.iter().position(|entry| entry.number == number) else {
            return;
        };
        match answer {
            Ok(base_offset) => self.settle(position, Ok(base_offset)),
            Err(error) => {
                let entry = &mut self.batches[position];
                entry.may_be_applied |= !error.code.is_definite();
                (entry.progress).update(|unsettled| Progress::Refused(unsettled, error));
            }
        }
    }

    /// Everything that is not acknowledged shall be sent again. Only when nothing is in flight.
    pub(super) fn retry_all(&mut self) {
        for entry in &mut self.batches {
            entry.progress.update(Progress::Waiting);
        }
    }

    /// The head and all behind it are numbered anew under another identity. Only when the head was
    /// surely not applied.
    pub(super) fn start_over(&mut self) {
        self.numbering = Numbering::IdentityNeeded;
        self.unnumber_all();
    }

    /// Gives the head up: `explain` makes its error, told whether it may have been applied.
    pub(super) fn fail_head(&mut self, explain: impl Fn(bool) -> ClientError) {
        let Some(head) = self.batches.front() else {
            return;
        };
        if !self.is_idempotent() {
            let error = explain(head.may_be_applied);
            self.settle(0, Err(error));
        } else if head.may_be_applied {
            // What was sent behind it may have been applied with it.
            while self.head_may_be_applied() {
                self.settle(0, Err(explain(true)));
            }
            self.start_over();
        } else {
            let first_free = head.content.base_sequence();
            self.settle(0, Err(explain(false)));
            let copies_under_way = self.batches.iter().any(|entry| entry.may_be_applied);
            match (&mut self.numbering, first_free) {
                (Numbering::Under { next, .. }, Some(sequence)) if !copies_under_way => {
                    *next = sequence;
                    self.unnumber_all();
                }
                (_, Some(_)) => self.start_over(),
                // It was never sent, and so nothing behind it was.
                (_, None) => {}
            }
        }
    }

    /// Gives up everything.
    pub(super) fn fail_all(&mut self, explain: impl Fn(bool) -> ClientError) {
        while let Some(head) = self.batches.front() {
            let error = explain(head.may_be_applied);
            self.settle(0, Err(error));
        }
    }

    /// When the first record of the oldest batch was taken.
    pub(super) fn oldest(&self) -> Option<Instant> {
        self.batches.front().map(|head| head.opened_at)
    }

    /// Gives up what has been tried for too long.
    pub(super) fn expire(&mut self, now: Instant, last: &ApiError) {
        while let Some(head) = self.batches.front() {
            let waited = now.saturating_duration_since(head.opened_at);
            if waited < self.delivery_timeout {
                return;
            }
            self.fail_head(|may_be_applied| ClientError::GaveUp {
                waited,
                definite: !may_be_applied,
                last: last.clone(),
            });
        }
    }

    /// Tells the callers, and lets what is settled leave at the front.
    fn settle(&mut self, position: usize, outcome: Result<Offset, ClientError>) {
        if let Err(error) = &outcome {
            self.failures.note(error);
        }
        let progress = &mut self.batches[position].progress;
        if let Some(unsettled) = std::mem::replace(progress, Progress::Settled).unsettled() {
            unsettled.promise.settle(outcome);
        }
        while let Some(head) = self.batches.front()
            && matches!(head.progress, Progress::Settled)
        {
            self.settled_before = head.number + 1;
            self.batches.pop_front();
        }
    }

    /// Takes the sequence numbers off all batches. Under the next ones they are other batches: no
    /// copies of them exist.
    fn unnumber_all(&mut self) {
        while let Some(position) = self.batches.iter().position(Entry::is_numbered) {
            let entry = &mut self.batches[position];
            entry.may_be_applied = false;
            if let Err(error) = entry.content.unnumber() {
                self.settle(position, Err(error.into()));
            }
        }
    }
}

impl Entry {
    fn is_waiting(&self) -> bool {
        matches!(self.progress, Progress::Waiting(_))
    }

    fn is_numbered(&self) -> bool {
        matches!(self.content, Content::Batch(_)) && !matches!(self.progress, Progress::Settled)
    }
}

impl Progress {
    fn unsettled(self) -> Option<Unsettled> {
        match self {
            Self::Waiting(unsettled) | Self::InFlight(unsettled) | Self::Refused(unsettled, _) => {
                Some(unsettled)
            }
            Self::Settled => None,
        }
    }

    /// Moves on, unless the batch is acknowledged already.
    fn update(&mut self, next: impl FnOnce(Unsettled) -> Self) {
        if let Some(unsettled) = std::mem::replace(self, Self::Settled).unsettled() {
            *self = next(unsettled);
        }
    }
}

impl Content {
    fn base_sequence(&self) -> Option<Sequence> {
        match self {
            Self::Records(_) => None,
            Self::Batch(batch) => batch.producer().map(|producer| producer.base_sequence),
        }
    }

    /// Builds the batch under the next number, unless it has been built.
    fn number(&mut self, numbering: &mut Numbering) -> Result<Bytes, BatchError> {
        let records = match self {
            Self::Batch(batch) => return Ok(batch.as_bytes().clone()),
            Self::Records(records) => {
                std::mem::replace(records, BatchBuilder::new(Compression::None))
            }
        };
        let record_count = records.record_count();
        let batch = match numbering {
            Numbering::Off | Numbering::IdentityNeeded => records.build(None)?,
            Numbering::Under { identity, next } => {
                let batch = records.build(Some(BatchProducer {
                    id: identity.id,
                    epoch: identity.epoch,
                    base_sequence: *next,
                }))?;
                *next = next.advance(record_count);
                batch
            }
        };
        let bytes = batch.as_bytes().clone();
        *self = Self::Batch(batch);
        Ok(bytes)
    }

    fn unnumber(&mut self) -> Result<(), BatchError> {
        let Self::Batch(batch) = self else {
            return Ok(());
        };
        let mut records = BatchBuilder::new(batch.compression());
        for record in batch.records()? {
            let (key, value) = (record.key.as_deref(), record.value.as_deref());
            records.push(record.timestamp, key, value, &record.headers)?;
        }
        *self = Self::Records(records);
        Ok(())
    }
}
