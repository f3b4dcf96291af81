//! Batches and short cuts that the tests of this module share.

use bytes::Bytes;
use flotilla_types::batch::{BatchBuilder, BatchProducer, Compression, RecordBatch};
use flotilla_types::{
    LeaderEpoch, LogIndex, MessageId, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp,
};

use super::{
    Applied, IdentifiedRecord, Outcome, PartitionCommand, PartitionState, Stamp, encode_append,
    encode_identified_append,
};

pub(super) fn millis(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

pub(super) fn producer(id: u64, epoch: u16, base_sequence: u32) -> BatchProducer {
    BatchProducer {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(epoch),
        base_sequence: Sequence::new(base_sequence),
    }
}

/// A batch of `record_count` small records.
pub(super) fn small_batch(
    record_count: u32,
    timestamp: Timestamp,
    producer: Option<BatchProducer>,
) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..record_count {
        builder.push(timestamp, None, Some(b"value"), &[]).unwrap();
    }
    builder.build(producer).unwrap()
}

/// A batch of one record whose value has `bytes` bytes.
pub(super) fn large_batch(bytes: usize, timestamp: Timestamp) -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .push(timestamp, None, Some(&vec![7; bytes]), &[])
        .unwrap();
    builder.build(None).unwrap()
}

pub(super) fn stamp(timestamp: Timestamp, base_offset: Offset) -> Stamp {
    Stamp {
        timestamp,
        base_offset,
        leader_epoch: LeaderEpoch::new(3),
    }
}

/// Records with these message ids, one after the other.
pub(super) fn identified(ids: &[&str]) -> Vec<IdentifiedRecord> {
    let ids = ids.iter().zip(0..);
    ids.map(|(id, position)| IdentifiedRecord {
        position,
        id: MessageId::of(id).unwrap(),
    })
    .collect()
}

/// The command that a leader would propose: encoded and read back, as every replica does.
pub(super) fn append_at(base_offset: Offset, batch: &RecordBatch) -> PartitionCommand {
    let payload: Bytes = encode_append(batch, stamp(millis(0), base_offset));
    PartitionCommand::decode(&payload).unwrap().1
}

/// A state with the index that its next entry gets.
#[derive(Clone)]
pub(super) struct Replica {
    pub(super) state: PartitionState,
    pub(super) next_index: u64,
}

impl Replica {
    pub(super) fn new() -> Self {
        Self {
            state: PartitionState::new(),
            next_index: 1,
        }
    }

    pub(super) fn apply(&mut self, command: &PartitionCommand, now: Timestamp) -> Applied {
        let index = LogIndex::new(self.next_index);
        self.next_index += 1;
        self.state.apply(index, command, now)
    }

    /// Applies the batch at the offset that is next.
    pub(super) fn append(&mut self, batch: &RecordBatch, now: Timestamp) -> Applied {
        let command = append_at(self.state.next_offset(), batch);
        self.apply(&command, now)
    }

    /// Appends records with these message ids, at the offset that is next.
    pub(super) fn append_identified(
        &mut self,
        ids: &[&str],
        window_ms: u32,
        now: Timestamp,
    ) -> Outcome {
        let batch = small_batch(ids.len() as u32, now, None);
        let stamp = stamp(now, self.state.next_offset());
        let payload = encode_identified_append(&batch, stamp, (window_ms, &identified(ids)));
        self.apply(&PartitionCommand::decode(&payload).unwrap().1, now)
            .outcome
    }

    /// As `append`, for a small batch that nothing but its producer tells from others.
    pub(super) fn produce(&mut self, record_count: u32, producer: BatchProducer) -> Outcome {
        let batch = small_batch(record_count, millis(0), Some(producer));
        self.append(&batch, millis(0)).outcome
    }
}

pub(super) fn appended(base: u64, end: u64) -> Outcome {
    Outcome::Appended {
        base_offset: Offset::new(base),
        end_offset: Offset::new(end),
    }
}

pub(super) fn duplicate(base: u64, end: u64) -> Outcome {
    Outcome::Duplicate {
        base_offset: Offset::new(base),
        end_offset: Offset::new(end),
    }
}
