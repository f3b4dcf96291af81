//! The fixed part of a batch: 61 bytes, big-endian.

use super::checksum::{self, ChecksumCheck};
use super::{BatchError, Compression};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const MAGIC: u8 = 2;

const CODEC_BITS: u16 = 0b111;
const LOG_APPEND_TIME_BIT: u16 = 1 << 3;

/// What stands in the producer fields of a batch without a producer, and in the leader epoch of a
/// batch that no leader has stamped.
const ABSENT: i64 = -1;

/// Who wrote the batch, so that a repeated one is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchProducer {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    pub base_sequence: Sequence,
}

impl BatchProducer {
    /// Makes sure that the fields of a header can hold each of the three.
    pub(super) fn verify(self) -> Result<(), BatchError> {
        let (id, epoch, sequence) = self.to_fields();
        match decode_producer(id, epoch, sequence)? {
            Some(_) => Ok(()),
            None => Err(BatchError::Producer {
                id,
                epoch,
                sequence,
            }),
        }
    }

    /// What is too large for its field comes out negative.
    const fn to_fields(self) -> (i64, i16, i32) {
        (
            self.id.get() as i64,
            self.epoch.get() as i16,
            self.base_sequence.get() as i32,
        )
    }
}

/// Whose clock the timestamps of the records come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimestampType {
    /// The producer's: each record has its own.
    Create,
    /// The log's: the maximum in the header stands for all records.
    LogAppend,
}

/// The header of a sound batch, without its length and checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BatchHeader {
    pub(super) base_offset: Offset,
    pub(super) leader_epoch: Option<LeaderEpoch>,
    pub(super) compression: Compression,
    pub(super) timestamp_type: TimestampType,
    pub(super) base_timestamp: Timestamp,
    pub(super) max_timestamp: Timestamp,
    pub(super) producer: Option<BatchProducer>,
    /// From 1 to [`BATCH_RECORDS_MAX`].
    pub(super) record_count: u32,
}

impl BatchHeader {
    pub(super) const BYTES: usize = 61;
    /// The length field counts what follows it.
    const LENGTH_END: usize = 12;
    pub(super) const CHECKSUMMED_START: usize = 21;

    /// How long the batch at the start of `bytes` says that it is, in all; within the limit, but
    /// perhaps more than there are.
    pub(super) fn decode_batch_len(bytes: &[u8]) -> Result<usize, BatchError> {
        let Some(header) = bytes.first_chunk::<{ Self::BYTES }>() else {
            let (needed_bytes, actual_bytes) = (Self::BYTES, bytes.len());
            return Err(BatchError::Truncated {
                needed_bytes,
                actual_bytes,
            });
        };
        let length = i32::from_be_bytes(field(header, 8));
        let batch_len = usize::try_from(length)
            .ok()
            .and_then(|length| length.checked_add(Self::LENGTH_END))
            .filter(|&batch_len| batch_len >= Self::BYTES)
            .ok_or(BatchError::Length { length })?;
        if batch_len > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes: batch_len,
                bytes_max: BATCH_BYTES_MAX,
            });
        }
        Ok(batch_len)
    }

    /// Reads and checks the header of `batch`, which is one batch from its first to its last byte.
    pub(super) fn decode(batch: &[u8], check: ChecksumCheck) -> Result<Self, BatchError> {
        let batch_len = Self::decode_batch_len(batch)?;
        if batch.len() < batch_len {
            let (needed_bytes, actual_bytes) = (batch_len, batch.len());
            return Err(BatchError::Truncated {
                needed_bytes,
                actual_bytes,
            });
        }
        if batch.len() > batch_len {
            return Err(BatchError::TrailingBytes {
                trailing_bytes: batch.len() - batch_len,
            });
        }
        let header = batch
            .first_chunk()
            .expect("a batch is at least as long as its header");
        let [magic] = field(header, 16);
        if magic != MAGIC {
            return Err(BatchError::Magic { magic });
        }
        if check == ChecksumCheck::Compute {
            checksum::verify(batch, u32::from_be_bytes(field(header, 17)))?;
        }
        Self::decode_fields(header)
    }

    fn decode_fields(header: &[u8; Self::BYTES]) -> Result<Self, BatchError> {
        let (compression, timestamp_type) =
            decode_attributes(u16::from_be_bytes(field(header, 21)))?;
        let record_count = decode_record_count(
            i32::from_be_bytes(field(header, 57)),
            i32::from_be_bytes(field(header, 23)),
        )?;
        Ok(Self {
            base_offset: decode_base_offset(i64::from_be_bytes(field(header, 0)), record_count)?,
            leader_epoch: decode_leader_epoch(i32::from_be_bytes(field(header, 12)))?,
            compression,
            timestamp_type,
            base_timestamp: Timestamp::from_millis(i64::from_be_bytes(field(header, 27))),
            max_timestamp: Timestamp::from_millis(i64::from_be_bytes(field(header, 35))),
            producer: decode_producer(
                i64::from_be_bytes(field(header, 43)),
                i16::from_be_bytes(field(header, 51)),
                i32::from_be_bytes(field(header, 53)),
            )?,
            record_count,
        })
    }

    /// Writes the header over the first bytes of `batch`, which holds its records already.
    pub(super) fn encode_over(&self, batch: &mut [u8]) {
        let length = i32::try_from(batch.len() - Self::LENGTH_END).expect("a batch is below 2 GiB");
        let mut attributes = u16::from(self.compression.codec());
        if self.timestamp_type == TimestampType::LogAppend {
            attributes |= LOG_APPEND_TIME_BIT;
        }
        let (id, epoch, sequence) = encode_producer(self.producer);
        put(batch, 0, self.base_offset.get().to_be_bytes());
        put(batch, 8, length.to_be_bytes());
        put(
            batch,
            12,
            encode_leader_epoch(self.leader_epoch).to_be_bytes(),
        );
        put(batch, 16, [MAGIC]);
        put(batch, 21, attributes.to_be_bytes());
        put(batch, 23, (self.record_count - 1).to_be_bytes());
        put(batch, 27, self.base_timestamp.as_millis().to_be_bytes());
        put(batch, 35, self.max_timestamp.as_millis().to_be_bytes());
        put(batch, 43, id.to_be_bytes());
        put(batch, 51, epoch.to_be_bytes());
        put(batch, 53, sequence.to_be_bytes());
        put(batch, 57, self.record_count.to_be_bytes());
        put(batch, 17, checksum::compute(batch).to_be_bytes());
    }

    /// Writes what a leader decides over a batch, and nothing that the checksum covers.
    pub(super) fn stamp_over(batch: &mut [u8], base_offset: Offset, leader_epoch: LeaderEpoch) {
        put(batch, 0, base_offset.get().to_be_bytes());
        put(
            batch,
            12,
            encode_leader_epoch(Some(leader_epoch)).to_be_bytes(),
        );
    }
}

fn field<const N: usize>(header: &[u8; BatchHeader::BYTES], start: usize) -> [u8; N] {
    *header[start..]
        .first_chunk()
        .expect("every field lies in the header")
}

fn put<const N: usize>(batch: &mut [u8], start: usize, field: [u8; N]) {
    batch[start..start + N].copy_from_slice(&field);
}

fn decode_attributes(attributes: u16) -> Result<(Compression, TimestampType), BatchError> {
    if attributes & !(CODEC_BITS | LOG_APPEND_TIME_BIT) != 0 {
        return Err(BatchError::Attributes { attributes });
    }
    let codec = (attributes & CODEC_BITS) as u8;
    let compression = Compression::from_codec(codec).ok_or(BatchError::Codec { codec })?;
    let timestamp_type = match attributes & LOG_APPEND_TIME_BIT {
        0 => TimestampType::Create,
        _ => TimestampType::LogAppend,
    };
    Ok((compression, timestamp_type))
}

fn decode_record_count(record_count: i32, last_offset_delta: i32) -> Result<u32, BatchError> {
    let record_count = u32::try_from(record_count)
        .ok()
        .filter(|&count| count >= 1 && count as usize <= BATCH_RECORDS_MAX)
        .ok_or_else(|| BatchError::RecordCount {
            record_count: record_count.into(),
        })?;
    if i64::from(last_offset_delta) != i64::from(record_count) - 1 {
        return Err(BatchError::LastOffsetDelta {
            last_offset_delta,
            record_count,
        });
    }
    Ok(record_count)
}

fn decode_base_offset(base_offset: i64, record_count: u32) -> Result<Offset, BatchError> {
    // The end offset has to be one that a batch could start at.
    base_offset
        .checked_add(record_count.into())
        .and_then(|_| u64::try_from(base_offset).ok())
        .map(Offset::new)
        .ok_or(BatchError::BaseOffset { base_offset })
}

fn decode_leader_epoch(leader_epoch: i32) -> Result<Option<LeaderEpoch>, BatchError> {
    if i64::from(leader_epoch) == ABSENT {
        return Ok(None);
    }
    u64::try_from(leader_epoch)
        .map(|epoch| Some(LeaderEpoch::new(epoch)))
        .map_err(|_| BatchError::LeaderEpoch { leader_epoch })
}

/// The field has 31 bits for it. More leaders than that would take one election per second for 68
/// years; the epoch of the last of them stands for all that follow.
fn encode_leader_epoch(leader_epoch: Option<LeaderEpoch>) -> i32 {
    leader_epoch.map_or(ABSENT as i32, |epoch| {
        i32::try_from(epoch.get()).unwrap_or(i32::MAX)
    })
}

fn decode_producer(
    id: i64,
    epoch: i16,
    sequence: i32,
) -> Result<Option<BatchProducer>, BatchError> {
    if id == ABSENT && i64::from(epoch) == ABSENT && i64::from(sequence) == ABSENT {
        return Ok(None);
    }
    match (
        u64::try_from(id),
        u16::try_from(epoch),
        u32::try_from(sequence),
    ) {
        (Ok(id), Ok(epoch), Ok(sequence)) => Ok(Some(BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Sequence::new(sequence),
        })),
        _ => Err(BatchError::Producer {
            id,
            epoch,
            sequence,
        }),
    }
}

fn encode_producer(producer: Option<BatchProducer>) -> (i64, i16, i32) {
    producer.map_or(
        (ABSENT, ABSENT as i16, ABSENT as i32),
        BatchProducer::to_fields,
    )
}
