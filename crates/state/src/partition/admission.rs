//! What the leader asks before it proposes a batch.
//!
//! The leader hands out offsets for batches whose predecessors are still on their way through the
//! log. It therefore judges a batch against the applied state plus the batches already proposed,
//! with the very rule that `apply` uses.

use std::collections::{BTreeMap, VecDeque};

use flotilla_types::batch::BatchProducer;
use flotilla_types::limits::PRODUCER_BATCHES_IN_FLIGHT_MAX;
use flotilla_types::{MessageId, Offset, ProducerEpoch, ProducerId, Timestamp};

use super::producers::{KnownProducer, RememberedBatch, Verdict, judge};
use super::{IdentifiedRecord, KnownRecord, PartitionState, Rejection};

/// What the leader does with a batch.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Stamp it with this offset, propose it, and tell the pending batches.
    Append { base_offset: Offset },
    /// It was appended before: answer with these offsets.
    Duplicate {
        base_offset: Offset,
        end_offset: Offset,
    },
    /// It was proposed before, at these offsets, and is not applied yet: wait for that.
    Pending {
        base_offset: Offset,
        end_offset: Offset,
    },
    /// As many batches of this producer are on their way as can be remembered: wait for one.
    InFlightFull,
    /// It does not fit, and would not fit later.
    Rejected(Rejection),
}

/// What the leader does with a batch on account of its message ids.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdAdmission {
    /// All are new.
    New,
    /// Leave out these records: they are there already.
    Known(Vec<KnownRecord>),
    /// A record with one of them is on its way: wait until it is applied.
    Pending,
    /// There is no room for as many.
    Full,
}

/// The batches that this leadership proposed and that are not applied yet, in log order.
///
/// Batches that the state has caught up with no longer count, whether or not `settle` was called;
/// `settle` frees their memory. When a proposed batch came out as anything but appended, or the
/// leadership ended, none behind it can fit: call `clear` and judge again.
#[derive(Clone, Debug, Default)]
pub struct PendingBatches {
    batches: VecDeque<(Offset, Option<ProducerId>)>,
    next_offset: Option<Offset>,
    producers: BTreeMap<ProducerId, VecDeque<(ProducerEpoch, RememberedBatch)>>,
    /// With the end of the batch that each is in.
    message_ids: BTreeMap<MessageId, Offset>,
    ids_in_order: VecDeque<(Offset, MessageId)>,
}

impl PendingBatches {
    pub fn new() -> Self {
        Self::default()
    }

    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// The offset that the next proposed batch gets.
    pub fn next_offset(&self, state: &PartitionState) -> Offset {
        let applied = state.next_offset();
        self.next_offset.map_or(applied, |next| next.max(applied))
    }

    /// Counts in a batch that was admitted and stamped with `base_offset`.
    pub fn push(
        &mut self,
        base_offset: Offset,
        producer: Option<BatchProducer>,
        record_count: u32,
    ) {
        let end_offset = base_offset.advance(u64::from(record_count));
        self.next_offset = Some(end_offset);
        self.batches
            .push_back((end_offset, producer.map(|producer| producer.id)));
        if let Some(producer) = producer {
            let batch = RememberedBatch {
                base_sequence: producer.base_sequence,
                record_count,
                base_offset,
            };
            self.producers
                .entry(producer.id)
                .or_default()
                .push_back((producer.epoch, batch));
        }
    }

    /// As `push`, for a batch of records with message ids.
    pub fn push_identified(
        &mut self,
        base_offset: Offset,
        record_count: u32,
        records: &[IdentifiedRecord],
    ) {
        self.push(base_offset, None, record_count);
        let end_offset = base_offset.advance(u64::from(record_count));
        for record in records {
            self.message_ids.insert(record.id, end_offset);
            self.ids_in_order.push_back((end_offset, record.id));
        }
    }

    /// Lets go of the batches below `next_offset`, the next offset of the applied state.
    pub fn settle(&mut self, next_offset: Offset) {
        while let Some((_, producer)) = self.batches.pop_front_if(|(end, _)| *end <= next_offset) {
            let Some(id) = producer else { continue };
            if let Some(pending) = self.producers.get_mut(&id) {
                pending.pop_front();
                if pending.is_empty() {
                    self.producers.remove(&id);
                }
            }
        }
        while let Some((end, id)) = self
            .ids_in_order
            .pop_front_if(|(end, _)| *end <= next_offset)
        {
            if self.message_ids.get(&id) == Some(&end) {
                self.message_ids.remove(&id);
            }
        }
    }

    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// The batches of `producer` that lie at or above `applied_end`, oldest first.
    fn of(
        &self,
        producer: ProducerId,
        applied_end: Offset,
    ) -> impl Iterator<Item = &(ProducerEpoch, RememberedBatch)> {
        let batches = self.producers.get(&producer).into_iter().flatten();
        batches.skip_while(move |(_, batch)| batch.base_offset < applied_end)
    }
}

impl PartitionState {
    /// Judges a batch as `apply` will when everything in `pending` is applied before it.
    pub fn check(
        &self,
        producer: Option<BatchProducer>,
        record_count: u32,
        pending: &PendingBatches,
    ) -> Admission {
        let append = Admission::Append {
            base_offset: pending.next_offset(self),
        };
        let Some(producer) = producer else {
            return append;
        };
        if let Err(rejection) = self.owners.check(producer) {
            return Admission::Rejected(rejection);
        }
        let mut known = self.producer(producer.id).copied();
        let mut in_flight = 0;
        for (epoch, batch) in pending.of(producer.id, self.next_offset()) {
            in_flight += 1;
            match &mut known {
                Some(known) => known.remember(*epoch, *batch),
                None => known = Some(KnownProducer::new(*epoch, *batch)),
            }
        }
        match judge(known.as_ref(), producer, record_count) {
            Verdict::Fits if in_flight < PRODUCER_BATCHES_IN_FLIGHT_MAX => append,
            Verdict::Fits => Admission::InFlightFull,
            Verdict::Duplicate(batch) if batch.base_offset < self.next_offset() => {
                Admission::Duplicate {
                    base_offset: batch.base_offset,
                    end_offset: batch.end_offset(),
                }
            }
            Verdict::Duplicate(batch) => Admission::Pending {
                base_offset: batch.base_offset,
                end_offset: batch.end_offset(),
            },
            Verdict::Rejected(rejection) => Admission::Rejected(rejection),
        }
    }

    /// Judges the message ids of a batch, which count if they were appended at `oldest` or later.
    pub fn check_ids(
        &self,
        records: &[IdentifiedRecord],
        oldest: Timestamp,
        pending: &PendingBatches,
    ) -> IdAdmission {
        let known = records.iter().filter_map(|record| {
            let offset = self.message_ids.find(record.id, oldest)?;
            Some(KnownRecord {
                position: record.position,
                offset,
            })
        });
        let known: Vec<_> = known.collect();
        if !known.is_empty() {
            return IdAdmission::Known(known);
        }
        let is_pending = |record: &IdentifiedRecord| {
            let end = pending.message_ids.get(&record.id);
            end.is_some_and(|end| *end > self.next_offset())
        };
        if records.iter().any(is_pending) {
            return IdAdmission::Pending;
        }
        let more = pending.message_ids.len() + records.len();
        match self.message_ids.has_room(more, oldest) {
            true => IdAdmission::New,
            false => IdAdmission::Full,
        }
    }
}
