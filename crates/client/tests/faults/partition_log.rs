//! One partition of the fake cluster: a log in memory that knows producers as a real node does.

use std::collections::{HashMap, VecDeque};

use bytes::{Bytes, BytesMut};
use flotilla_protocol::{ApiError, OffsetSpec};
use flotilla_types::batch::BatchProducer;
use flotilla_types::{
    ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Record, RecordBatch, Sequence,
    Timestamp,
};

/// As many as `PRODUCER_BATCHES_IN_FLIGHT_MAX` says.
const BATCHES_REMEMBERED: usize = 5;

#[derive(Default)]
pub(crate) struct PartitionLog {
    /// Index of the node that leads.
    pub(crate) leader: Option<usize>,
    pub(crate) epoch: u64,
    pub(crate) log_start: u64,
    pub(crate) batches: Vec<RecordBatch>,
    /// Batches that were sent on a stream that broke, and that may still arrive.
    pub(crate) late: Vec<RecordBatch>,
    producers: HashMap<(ProducerId, ProducerEpoch), Producer>,
}

struct Producer {
    next: Sequence,
    recent: VecDeque<(Sequence, u64)>,
}

pub(crate) struct Appended {
    pub(crate) base_offset: u64,
    pub(crate) duplicate: bool,
}

impl PartitionLog {
    pub(crate) fn led_by(node: usize) -> Self {
        Self {
            leader: Some(node),
            epoch: 1,
            ..Self::default()
        }
    }

    pub(crate) fn end_offset(&self) -> u64 {
        let last = self.batches.last();
        last.map_or(self.log_start, |batch| batch.end_offset().get())
    }

    pub(crate) fn append(&mut self, batch: &RecordBatch) -> Result<Appended, ApiError> {
        if let Some(producer) = batch.producer()
            && let Some(base_offset) = self.check(producer)?
        {
            return Ok(Appended {
                base_offset,
                duplicate: true,
            });
        }
        let base_offset = self.end_offset();
        let mut bytes = BytesMut::new();
        let epoch = LeaderEpoch::new(self.epoch);
        batch.stamp_into(Offset::new(base_offset), epoch, &mut bytes);
        self.batches
            .push(RecordBatch::parse(bytes.freeze()).expect("stamping keeps a batch sound"));
        if let Some(producer) = batch.producer() {
            let known = self.producers.entry((producer.id, producer.epoch));
            let known = known.or_insert_with(|| Producer {
                next: Sequence::new(0),
                recent: VecDeque::new(),
            });
            known.next = producer.base_sequence.advance(batch.record_count());
            known
                .recent
                .push_back((producer.base_sequence, base_offset));
            if known.recent.len() > BATCHES_REMEMBERED {
                known.recent.pop_front();
            }
        }
        Ok(Appended {
            base_offset,
            duplicate: false,
        })
    }

    /// The offset of a batch that is here already; nothing for one that comes next.
    fn check(&self, producer: BatchProducer) -> Result<Option<u64>, ApiError> {
        let first = Sequence::new(0);
        match self.producers.get(&(producer.id, producer.epoch)) {
            None if producer.base_sequence == first => Ok(None),
            None => Err(ApiError::new(ErrorCode::UnknownProducer, "who are you?")),
            Some(known) if producer.base_sequence == known.next => Ok(None),
            Some(known) => {
                let mut recent = known.recent.iter();
                match recent.find(|(sequence, _)| *sequence == producer.base_sequence) {
                    Some((_, base_offset)) => Ok(Some(*base_offset)),
                    None => Err(ApiError::new(
                        ErrorCode::OutOfOrderSequence,
                        "not your turn",
                    )),
                }
            }
        }
    }

    /// What a late copy does when it comes after all: it is checked like any other.
    pub(crate) fn deliver_late(&mut self) {
        for batch in std::mem::take(&mut self.late) {
            let _ = self.append(&batch);
        }
    }

    pub(crate) fn forget_producers(&mut self) {
        self.producers.clear();
    }

    pub(crate) fn locate(&self, spec: OffsetSpec) -> u64 {
        match spec {
            OffsetSpec::Offset(offset) => offset.get(),
            OffsetSpec::Earliest => self.log_start,
            OffsetSpec::Latest => self.end_offset(),
            OffsetSpec::Timestamp(timestamp) => self.at_or_after(timestamp),
        }
    }

    fn at_or_after(&self, timestamp: Timestamp) -> u64 {
        let mut records = self.records().into_iter();
        let found = records.find(|record| record.timestamp >= timestamp);
        found.map_or_else(|| self.end_offset(), |record| record.offset.get())
    }

    /// The batch with this offset, and the offset after it.
    pub(crate) fn batch_at(&self, offset: u64) -> Option<(Bytes, u64)> {
        let mut batches = self.batches.iter();
        let batch = batches.find(|batch| batch.end_offset().get() > offset)?;
        Some((batch.as_bytes().clone(), batch.end_offset().get()))
    }

    pub(crate) fn records(&self) -> Vec<Record> {
        let batches = self.batches.iter();
        batches
            .flat_map(|batch| batch.records().expect("stored batches are sound"))
            .collect()
    }

    /// The values of all records as text.
    pub(crate) fn values(&self) -> Vec<String> {
        let records = self.records().into_iter();
        records
            .map(|record| String::from_utf8(record.value.unwrap_or_default().to_vec()).unwrap())
            .collect()
    }
}
