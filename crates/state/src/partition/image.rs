//! The state of a partition as bytes: a row that a restart begins from, and the Raft snapshot.
//!
//! The image of a checkpoint holds the state as of that entry, the log start included. Whoever
//! installs it applies the later entries, trims among them, and arrives where the others are.

use flotilla_types::limits::PRODUCER_BATCHES_IN_FLIGHT_MAX;
use flotilla_types::{
    FencingToken, JobName, LogIndex, MessageId, Offset, ProducerEpoch, ProducerId, Sequence,
    Timestamp,
};
use minicbor::{Decode, Encode};

use super::message_ids::{MessageIds, Remembered};
use super::owners::{Owner, OwnerTable};
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
    #[n(7)]
    owners: Vec<OwnerImage>,
    #[n(8)]
    owner_floors: Vec<u64>,
    /// Of each, oldest first: the id, and as big-endian integers offset and time of append.
    #[n(9)]
    #[cbor(with = "minicbor::bytes")]
    message_ids: Vec<u8>,
    #[n(10)]
    message_id_window_ms: u32,
}

#[derive(Encode, Decode)]
struct OwnerImage {
    #[n(0)]
    job: String,
    #[n(1)]
    token: u64,
    #[n(2)]
    heard_at: u64,
    #[n(3)]
    instance: u64,
    #[n(4)]
    epoch: u16,
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
    appended_at_ms: i64,
}

#[derive(Encode, Decode)]
struct OpenIntervalImage {
    #[n(0)]
    bytes: u64,
    #[n(1)]
    appended_at_ms: i64,
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
                appended_at_ms: open.appended_at.as_millis(),
                last_row: open.last_row.get(),
                bytes_since_row: open.bytes_since_row,
            }),
            owners: self.owners.iter().map(owner_image).collect(),
            owner_floors: self.owners.floors().map(FencingToken::get).collect(),
            message_ids: message_ids_image(&self.message_ids),
            message_id_window_ms: self.message_ids.window_ms,
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
            owners: restore_owners(&image.owners, &image.owner_floors)?,
            message_ids: restore_message_ids(&image)?,
            checkpoints: image.checkpoints.iter().map(restore_checkpoint).collect(),
            open: image.open.map(|open| OpenInterval {
                bytes: open.bytes,
                appended_at: Timestamp::from_millis(open.appended_at_ms),
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
        appended_at_ms: checkpoint.appended_at.as_millis(),
    }
}

fn restore_checkpoint(image: &CheckpointImage) -> Checkpoint {
    Checkpoint {
        index: LogIndex::new(image.index),
        end_offset: Offset::new(image.end_offset),
        bytes: image.bytes,
        appended_at: Timestamp::from_millis(image.appended_at_ms),
    }
}

fn owner_image((job, owner): (&JobName, &Owner)) -> OwnerImage {
    OwnerImage {
        job: job.to_string(),
        token: owner.token.get(),
        heard_at: owner.heard_at.get(),
        instance: owner.instance,
        epoch: owner.epoch.get(),
    }
}

fn restore_owners(owners: &[OwnerImage], floors: &[u64]) -> Result<OwnerTable, DecodeError> {
    let mut restored = Vec::with_capacity(owners.len());
    for owner in owners {
        let Ok(job) = JobName::parse(&owner.job) else {
            return contradiction("a job name is not one");
        };
        let owner = Owner {
            token: FencingToken::new(owner.token),
            instance: owner.instance,
            epoch: ProducerEpoch::new(owner.epoch),
            heard_at: Offset::new(owner.heard_at),
        };
        restored.push((job, owner));
    }
    let floors = floors.iter().map(|floor| FencingToken::new(*floor));
    match OwnerTable::restore(restored.into_iter(), floors) {
        Some(table) => Ok(table),
        None => contradiction("an owner occurs twice"),
    }
}

const MESSAGE_ID_BYTES: usize = 32;

fn message_ids_image(ids: &MessageIds) -> Vec<u8> {
    let ids = ids.iter();
    let mut image = Vec::with_capacity(ids.len() * MESSAGE_ID_BYTES);
    for (id, remembered) in ids {
        image.extend_from_slice(&id.to_bytes());
        image.extend_from_slice(&remembered.offset.get().to_be_bytes());
        image.extend_from_slice(&remembered.appended_at.as_millis().to_be_bytes());
    }
    image
}

fn restore_message_ids(image: &StateImage) -> Result<MessageIds, DecodeError> {
    let mut ids = MessageIds::default();
    ids.window_ms = image.message_id_window_ms;
    let (rows, rest) = image.message_ids.as_chunks::<MESSAGE_ID_BYTES>();
    ensure(rest.is_empty(), "a message id is cut off")?;
    let mut latest = i64::MIN;
    for row in rows {
        let (id, places) = row.split_at(16);
        let (Ok(id), (&[offset, appended_at], [])) = (id.try_into(), places.as_chunks::<8>())
        else {
            return contradiction("a message id is cut off");
        };
        let offset = u64::from_be_bytes(offset);
        let appended_at = i64::from_be_bytes(appended_at);
        ensure(
            offset < image.next_offset,
            "a message id lies above the log end",
        )?;
        ensure(latest <= appended_at, "message ids are out of order")?;
        latest = appended_at;
        let remembered = Remembered {
            offset: Offset::new(offset),
            appended_at: Timestamp::from_millis(appended_at),
        };
        ids.remember(MessageId::from_bytes(id), remembered);
    }
    Ok(ids)
}

fn contradiction<T>(contradiction: &'static str) -> Result<T, DecodeError> {
    Err(DecodeError::Contradiction {
        what: WHAT,
        contradiction,
    })
}
