//! A batch as it travels: checked once, then passed on as bytes.

use std::fmt;

use bytes::{Bytes, BytesMut};

use super::checksum::ChecksumCheck;
use super::cursor::Cursor;
use super::error::RecordFault;
use super::header::{BatchHeader, TimestampType};
use super::record::RawRecord;
use super::{BatchError, BatchProducer, Compression, Record};
use crate::limits::BATCH_HEADERS_MAX;
use crate::{LeaderEpoch, Offset, Timestamp};

/// One Kafka RecordBatch v2 with a sound header. Cloning shares the bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct RecordBatch {
    header: BatchHeader,
    bytes: Bytes,
}

/// What is known of a batch once all of its records were read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchContents {
    /// Key, value and headers of the largest record together, in bytes.
    pub largest_record_bytes: usize,
}

impl RecordBatch {
    /// Length of the part before the records, in bytes.
    pub const HEADER_BYTES: usize = BatchHeader::BYTES;

    /// Takes exactly one batch. Checks the header and the checksum; never decompresses.
    pub fn parse(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::decode(&bytes, ChecksumCheck::Compute)?;
        Ok(Self { header, bytes })
    }

    /// Cuts the first batch off a row of batches and [parses](Self::parse) it. `None` when there
    /// are no bytes left. After an error `bytes` is as it was.
    pub fn parse_first(bytes: &mut Bytes) -> Result<Option<Self>, BatchError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let batch_len = BatchHeader::decode_batch_len(bytes)?;
        let batch = Self::parse(bytes.slice(..batch_len.min(bytes.len())))?;
        let _ = bytes.split_to(batch_len);
        Ok(Some(batch))
    }

    /// How long the batch that begins with `head` says that it is, in all.
    pub fn declared_bytes(head: &[u8; Self::HEADER_BYTES]) -> Result<usize, BatchError> {
        BatchHeader::decode_batch_len(head)
    }

    /// As [`Self::parse`], for bytes that another checksum has vouched for since they were parsed.
    pub fn parse_trusted(bytes: Bytes) -> Result<Self, BatchError> {
        let header = BatchHeader::decode(&bytes, ChecksumCheck::Skip)?;
        Ok(Self { header, bytes })
    }

    pub(super) const fn from_parts(header: BatchHeader, bytes: Bytes) -> Self {
        Self { header, bytes }
    }

    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    pub fn into_bytes(self) -> Bytes {
        self.bytes
    }

    /// Length of the whole batch, in bytes.
    #[expect(
        clippy::len_without_is_empty,
        reason = "a batch has at least one record"
    )]
    pub const fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Offset of the first record.
    pub const fn base_offset(&self) -> Offset {
        self.header.base_offset
    }

    /// The offset that follows the last record.
    pub const fn end_offset(&self) -> Offset {
        self.header
            .base_offset
            .advance(self.header.record_count as u64)
    }

    /// The epoch of the leader that stamped the batch. It is 0, an epoch that no leader has, until
    /// one did.
    pub fn leader_epoch(&self) -> LeaderEpoch {
        self.header.leader_epoch.unwrap_or(LeaderEpoch::new(0))
    }

    /// At least 1.
    pub const fn record_count(&self) -> u32 {
        self.header.record_count
    }

    /// Timestamp of the first record, as a rule: what the timestamps of the records count from.
    pub const fn base_timestamp(&self) -> Timestamp {
        self.header.base_timestamp
    }

    pub const fn max_timestamp(&self) -> Timestamp {
        self.header.max_timestamp
    }

    pub const fn compression(&self) -> Compression {
        self.header.compression
    }

    /// The idempotent producer of the batch, if it has one.
    pub const fn producer(&self) -> Option<BatchProducer> {
        self.header.producer
    }

    /// Appends the batch with this base offset and leader epoch. Its checksum leaves those out and
    /// stays valid.
    pub fn stamp_into(&self, base_offset: Offset, leader_epoch: LeaderEpoch, out: &mut BytesMut) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        BatchHeader::stamp_over(&mut out[start..], base_offset, leader_epoch);
    }

    /// Reads all records. Those of an uncompressed batch share its bytes.
    pub fn records(&self) -> Result<Vec<Record>, BatchError> {
        let bytes = self.record_bytes()?;
        let mut records = Vec::with_capacity(self.record_count_within(&bytes)?);
        self.for_each_record(&bytes, |timestamp, record| {
            records.push(Record {
                offset: self.header.base_offset.advance(records.len() as u64),
                timestamp,
                key: record.key.map(|key| bytes.slice_ref(key)),
                value: record.value.map(|value| bytes.slice_ref(value)),
                headers: record.headers.to_headers(&bytes),
            });
            Ok(())
        })?;
        Ok(records)
    }

    /// Reads all records once and keeps none. What passes can be read by every consumer, and found
    /// by its timestamps.
    pub fn verify_records(&self) -> Result<BatchContents, BatchError> {
        let bytes = self.record_bytes()?;
        let mut largest_record_bytes = 0;
        self.for_each_record(&bytes, |timestamp, record| {
            largest_record_bytes = largest_record_bytes.max(record.payload_bytes());
            if timestamp > self.header.max_timestamp {
                return Err(RecordFault::TimestampAboveMax);
            }
            Ok(())
        })?;
        Ok(BatchContents {
            largest_record_bytes,
        })
    }

    fn record_bytes(&self) -> Result<Bytes, BatchError> {
        let stored = self.bytes.slice(Self::HEADER_BYTES..);
        match self.header.compression {
            Compression::None => Ok(stored),
            compression => compression.decompress(&stored).map(Bytes::from),
        }
    }

    /// The record count, once it is known that so many records can be in so many bytes.
    fn record_count_within(&self, bytes: &[u8]) -> Result<usize, BatchError> {
        let record_count = self.header.record_count;
        if record_count as usize > bytes.len() / RawRecord::BYTES_MIN {
            return Err(BatchError::RecordCount {
                record_count: record_count.into(),
            });
        }
        Ok(record_count as usize)
    }

    /// Hands every record to `visit`, with its timestamp. Makes sure that there are as many as the
    /// header says, numbered in order, and nothing behind them.
    fn for_each_record<'a>(
        &self,
        bytes: &'a [u8],
        mut visit: impl FnMut(Timestamp, RawRecord<'a>) -> Result<(), RecordFault>,
    ) -> Result<(), BatchError> {
        let mut cursor = Cursor::new(bytes);
        let mut header_count = 0;
        for position in 0..self.header.record_count {
            let mut visit_next = || {
                let record = RawRecord::decode(&mut cursor)?;
                if i64::from(record.offset_delta) != i64::from(position) {
                    return Err(RecordFault::OffsetDelta);
                }
                header_count += record.headers.count();
                if header_count > BATCH_HEADERS_MAX {
                    return Err(RecordFault::HeaderCount);
                }
                visit(self.timestamp_of(&record)?, record)
            };
            visit_next().map_err(|fault| BatchError::Record { position, fault })?;
        }
        if !cursor.is_at_end() {
            return Err(BatchError::TrailingRecordBytes {
                trailing_bytes: cursor.remaining(),
            });
        }
        Ok(())
    }

    fn timestamp_of(&self, record: &RawRecord<'_>) -> Result<Timestamp, RecordFault> {
        match self.header.timestamp_type {
            TimestampType::LogAppend => Ok(self.header.max_timestamp),
            TimestampType::Create => self
                .header
                .base_timestamp
                .as_millis()
                .checked_add(record.timestamp_delta)
                .map(Timestamp::from_millis)
                .ok_or(RecordFault::Timestamp),
        }
    }
}

impl fmt::Debug for RecordBatch {
    /// The header and the size. The records are too many to print, and not ours to show.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RecordBatch")
            .field("header", &self.header)
            .field("bytes", &self.bytes.len())
            .finish()
    }
}
