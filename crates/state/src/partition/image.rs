//! The state of a partition as bytes: a row that a restart begins from, and the Raft snapshot.
//!
//! The image of a checkpoint holds the state as of that entry, the log start included. Whoever
//! installs it applies the later entries, trims among them, and arrives where the others are.

use flotilla_types::limits::PRODUCER_BATCHES_IN_FLIGHT_MAX;
use flotilla_types::{LogIndex, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};
use minicbor::{Decode, Encode};

use super::producers::{KnownProducer, ProducerTable, RememberedBatch};
use super::state::OpenInterval;
use super::{Checkpoint, PartitionState};
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
const WHAT: &str = "partition image";

/// Offsets are signed on the wire, so none lies above this.
const OFFSET_MAX: u64 = i64::MAX as u64;

#[derive(Encode, Decode)]
struct StateImage {
    #[n(0)]
    now_ms: i64,
    #[n(1)]
    next_offset: u64,
    #[n(2)]
    log_start: u64,
    #[n(3)]
    max_timestamp_ms: Option<i64>,
    #[n(4)]
    producers: Vec<ProducerImage>,
    #[n(5)]
    checkpoints: Vec<CheckpointImage>,
    #[n(6)]
    open: Option<OpenIntervalImage>,
}

#[derive(Encode, Decode)]
struct ProducerImage {
    #[n(0)]
    id: u64,
    #[n(1)]
    epoch: u16,
    #[n(2)]
    last_append_ms: i64,
    /// Oldest first, never empty.
    #[n(3)]
    batches: Vec<BatchImage>,
}

#[derive(Encode, Decode)]
struct BatchImage {
    #[n(0)]
    base_sequence: u32,
    #[n(1)]
    record_count: u32,
    #[n(2)]
    base_offset: u64,
}

#[derive(Encode, Decode)]
struct CheckpointImage {
    #[n(0)]
    index: u64,
    #[n(1)]
    end_offset: u64,
    #[n(2)]
    bytes: u64,
    #[n(3)]
    max_timestamp_ms: i64,
}

#[derive(Encode, Decode)]
struct OpenIntervalImage {
    #[n(0)]
    bytes: u64,
    #[n(1)]
    max_timestamp_ms: i64,
    #[n(2)]
    last_row: u64,
    #[n(3)]
    bytes_since_row: u64,
}

impl PartitionState {
    /// Equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let image = StateImage {
            now_ms: self.now.as_millis(),
            next_offset: self.next_offset.get(),
            log_start: self.log_start.get(),
            max_timestamp_ms: self.max_timestamp.map(Timestamp::as_millis),
            producers: self.producers.iter().map(producer_image).collect(),
            checkpoints: self.checkpoints.iter().map(checkpoint_image).collect(),
            open: self.open.map(|open| OpenIntervalImage {
                bytes: open.bytes,
                max_timestamp_ms: open.max_timestamp.as_millis(),
                last_row: open.last_row.get(),
                bytes_since_row: open.bytes_since_row,
            }),
        };
        wire::encode(FORMAT, &image)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let image: StateImage = wire::decode(WHAT, FORMAT, bytes)?;
        ensure(image.next_offset <= OFFSET_MAX, "an offset is out of range")?;
        ensure(
            image.log_start <= image.next_offset,
            "the log starts above its end",
        )?;
        let mut producers = ProducerTable::default();
        for producer in &image.producers {
            restore_producer(producer, image.next_offset, &mut producers)?;
        }
        let state = Self {
            now: Timestamp::from_millis(image.now_ms),
            next_offset: Offset::new(image.next_offset),
            log_start: Offset::new(image.log_start),
            max_timestamp: image.max_timestamp_ms.map(Timestamp::from_millis),
            producers,
            checkpoints: image.checkpoints.iter().map(restore_checkpoint).collect(),
            open: image.open.map(|open| OpenInterval {
                bytes: open.bytes,
                max_timestamp: Timestamp::from_millis(open.max_timestamp_ms),
                last_row: LogIndex::new(open.last_row),
                bytes_since_row: open.bytes_since_row,
            }),
        };
        let ends = state
            .checkpoints
            .iter()
            .map(|end| (end.index, end.end_offset));
        ensure(
            ends.is_sorted_by(|one, next| one.0 < next.0 && one.1 < next.1),
            "checkpoints are out of order",
        )?;
        let last_end = state.checkpoints.back().map(|last| last.end_offset);
        ensure(
            last_end.is_none_or(|end| end <= state.next_offset),
            "a checkpoint lies above the log end",
        )?;
        Ok(state)
    }
}

fn ensure(holds: bool, contradiction: &'static str) -> Result<(), DecodeError> {
    wire::ensure(WHAT, holds, contradiction)
}

fn producer_image(
    (id, producer, last_append): (ProducerId, &KnownProducer, Timestamp),
) -> ProducerImage {
    let batches = producer.batches().map(|batch| BatchImage {
        base_sequence: batch.base_sequence.get(),
        record_count: batch.record_count,
        base_offset: batch.base_offset.get(),
    });
    ProducerImage {
        id: id.get(),
        epoch: producer.epoch().get(),
        last_append_ms: last_append.as_millis(),
        batches: batches.collect(),
    }
}

fn restore_producer(
    image: &ProducerImage,
    next_offset: u64,
    table: &mut ProducerTable,
) -> Result<(), DecodeError> {
    let epoch = ProducerEpoch::new(image.epoch);
    let mut batches = image.batches.iter().map(|batch| RememberedBatch {
        base_sequence: Sequence::new(batch.base_sequence),
        record_count: batch.record_count,
        base_offset: Offset::new(batch.base_offset),
    });
    ensure(
        image
            .batches
            .iter()
            .all(|batch| batch.base_offset < next_offset),
        "a producer's batch lies above the log end",
    )?;
    ensure(
        image.batches.len() <= PRODUCER_BATCHES_IN_FLIGHT_MAX,
        "a producer has too many batches",
    )?;
    let Some(first) = batches.next() else {
        return ensure(false, "a producer has no batch");
    };
    let mut producer = KnownProducer::new(epoch, first);
    for batch in batches {
        producer.remember(epoch, batch);
    }
    let last_append = Timestamp::from_millis(image.last_append_ms);
    ensure(
        table.restore(ProducerId::new(image.id), producer, last_append),
        "a producer occurs twice",
    )
}

fn checkpoint_image(checkpoint: &Checkpoint) -> CheckpointImage {
    CheckpointImage {
        index: checkpoint.index.get(),
        end_offset: checkpoint.end_offset.get(),
        bytes: checkpoint.bytes,
        max_timestamp_ms: checkpoint.max_timestamp.as_millis(),
    }
}

fn restore_checkpoint(image: &CheckpointImage) -> Checkpoint {
    Checkpoint {
        index: LogIndex::new(image.index),
        end_offset: Offset::new(image.end_offset),
        bytes: image.bytes,
        max_timestamp: Timestamp::from_millis(image.max_timestamp_ms),
    }
}
