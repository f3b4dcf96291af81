//! The idempotent producers that a partition remembers, and the one rule that judges their batches.
//!
//! The rule is Kafka's. A producer starts at sequence 0 and goes on where its last batch ended; a
//! newer epoch starts at 0 again and fences the older ones; one of the last batches, sent again, is a
//! duplicate and keeps its offsets. A producer that is not remembered must start at 0 as well: to take
//! any other sequence would append a late retry a second time.
//!
//! A producer is forgotten when it was silent for `PRODUCER_EXPIRY_MS` of replicated time, or was
//! silent longest when there are more than `PARTITION_PRODUCERS_MAX`. After that its old batches are
//! no longer recognised: that long a retry of a first batch is appended again.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::batch::BatchProducer;
use flotilla_types::limits::{
    PARTITION_PRODUCERS_MAX, PRODUCER_BATCHES_IN_FLIGHT_MAX, PRODUCER_EXPIRY_MS,
};
use flotilla_types::{Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

use super::Rejection;

/// A batch that was appended, as far as recognising it again needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RememberedBatch {
    pub(super) base_sequence: Sequence,
    pub(super) record_count: u32,
    pub(super) base_offset: Offset,
}

impl RememberedBatch {
    pub(super) fn end_offset(&self) -> Offset {
        self.base_offset.advance(u64::from(self.record_count))
    }

    fn next_sequence(&self) -> Sequence {
        self.base_sequence.advance(self.record_count)
    }
}

/// What the rule says of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Fits,
    Duplicate(RememberedBatch),
    Rejected(Rejection),
}

/// Judges a batch of `producer` against what is known of it.
pub(super) fn judge(
    known: Option<&KnownProducer>,
    producer: BatchProducer,
    record_count: u32,
) -> Verdict {
    let found = producer.base_sequence;
    let Some(known) = known else {
        return if found == Sequence::new(0) {
            Verdict::Fits
        } else {
            Verdict::Rejected(Rejection::UnknownProducer {
                producer: producer.id,
                found,
            })
        };
    };
    if producer.epoch < known.epoch {
        return Verdict::Rejected(Rejection::ProducerFenced {
            producer: producer.id,
            current: known.epoch,
            found: producer.epoch,
        });
    }
    let expected = if producer.epoch > known.epoch {
        Sequence::new(0)
    } else if let Some(duplicate) = known.find(found, record_count) {
        return Verdict::Duplicate(duplicate);
    } else {
        known.last().next_sequence()
    };
    if found == expected {
        Verdict::Fits
    } else {
        Verdict::Rejected(Rejection::OutOfOrderSequence {
            producer: producer.id,
            expected,
            found,
        })
    }
}

/// One producer: its epoch and the last batches of that epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownProducer {
    epoch: ProducerEpoch,
    last: RememberedBatch,
    /// Those before `last`, oldest first, filled from the end.
    earlier: [Option<RememberedBatch>; PRODUCER_BATCHES_IN_FLIGHT_MAX - 1],
}

impl KnownProducer {
    pub(super) fn new(epoch: ProducerEpoch, first: RememberedBatch) -> Self {
        Self {
            epoch,
            last: first,
            earlier: [None; _],
        }
    }

    pub(super) fn epoch(&self) -> ProducerEpoch {
        self.epoch
    }

    pub(super) fn last(&self) -> &RememberedBatch {
        &self.last
    }

    /// The remembered batches, oldest first.
    pub(super) fn batches(&self) -> impl Iterator<Item = &RememberedBatch> {
        self.earlier.iter().flatten().chain([&self.last])
    }

    /// Adds the batch that follows; the oldest one is forgotten, and so is every older epoch.
    pub(super) fn remember(&mut self, epoch: ProducerEpoch, batch: RememberedBatch) {
        if epoch != self.epoch {
            *self = Self::new(epoch, batch);
            return;
        }
        self.earlier.rotate_left(1);
        let [.., newest] = &mut self.earlier;
        *newest = Some(self.last);
        self.last = batch;
    }

    fn find(&self, base_sequence: Sequence, record_count: u32) -> Option<RememberedBatch> {
        self.batches()
            .find(|batch| {
                batch.base_sequence == base_sequence && batch.record_count == record_count
            })
            .copied()
    }
}

/// Every producer that the partition remembers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ProducerTable {
    producers: BTreeMap<ProducerId, Row>,
    /// The producers in the order in which they last wrote. Offsets grow with replicated time, and
    /// unlike time they never tie.
    by_silence: BTreeSet<(Offset, ProducerId)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    producer: KnownProducer,
    last_append: Timestamp,
}

impl ProducerTable {
    pub(super) fn get(&self, id: ProducerId) -> Option<&KnownProducer> {
        self.producers.get(&id).map(|row| &row.producer)
    }

    /// Every producer with the replicated time of its last append, by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ProducerId, &KnownProducer, Timestamp)> {
        self.producers
            .iter()
            .map(|(id, row)| (*id, &row.producer, row.last_append))
    }

    /// Puts back what `iter` told. False if the producer is there already.
    pub(super) fn restore(
        &mut self,
        id: ProducerId,
        producer: KnownProducer,
        last_append: Timestamp,
    ) -> bool {
        self.by_silence.insert((producer.last.base_offset, id));
        let row = Row {
            producer,
            last_append,
        };
        self.producers.insert(id, row).is_none()
    }

    /// Remembers a batch that was appended at `now`.
    pub(super) fn remember(
        &mut self,
        id: ProducerId,
        epoch: ProducerEpoch,
        batch: RememberedBatch,
        now: Timestamp,
    ) {
        let row = self.producers.entry(id).and_modify(|row| {
            self.by_silence.remove(&(row.producer.last.base_offset, id));
            row.producer.remember(epoch, batch);
            row.last_append = now;
        });
        row.or_insert_with(|| Row {
            producer: KnownProducer::new(epoch, batch),
            last_append: now,
        });
        self.by_silence.insert((batch.base_offset, id));
    }

    /// Forgets one that cannot append any more.
    pub(super) fn forget(&mut self, id: ProducerId) {
        if let Some(row) = self.producers.remove(&id) {
            self.by_silence.remove(&(row.producer.last.base_offset, id));
        }
    }

    /// Forgets those that were silent too long or are too many.
    pub(super) fn forget_silent(&mut self, now: Timestamp) {
        let expired_before = now.minus_millis(PRODUCER_EXPIRY_MS);
        while let Some(&(_, id)) = self.by_silence.first() {
            let too_many = self.producers.len() > PARTITION_PRODUCERS_MAX;
            let expired = self
                .producers
                .get(&id)
                .is_none_or(|row| row.last_append < expired_before);
            if !too_many && !expired {
                break;
            }
            self.by_silence.pop_first();
            self.producers.remove(&id);
        }
    }
}
