//! What can be wrong with a record batch.

use std::io;
use std::sync::Arc;

use thiserror::Error;

use super::Compression;
use crate::ErrorCode;

/// Why bytes are not a record batch, or why records cannot become one.
#[derive(Clone, Debug, Error)]
pub enum BatchError {
    #[error("batch ends after {actual_bytes} bytes, but needs {needed_bytes}")]
    Truncated {
        needed_bytes: usize,
        actual_bytes: usize,
    },
    #[error("{trailing_bytes} bytes follow the batch")]
    TrailingBytes { trailing_bytes: usize },
    #[error("length field {length} is below that of an empty batch")]
    Length { length: i32 },
    #[error("batch of {bytes} bytes is over the limit of {bytes_max}")]
    TooLarge { bytes: usize, bytes_max: usize },
    #[error("magic {magic} is not 2")]
    Magic { magic: u8 },
    #[error("checksum {computed:08x} of the bytes differs from the stored {stored:08x}")]
    Checksum { stored: u32, computed: u32 },
    #[error("compression codec {codec} is unknown")]
    Codec { codec: u8 },
    #[error("attributes {attributes:#06x} ask for what is not supported")]
    Attributes { attributes: u16 },
    #[error("record count {record_count} is out of range")]
    RecordCount { record_count: i64 },
    #[error("last offset delta {last_offset_delta} does not fit {record_count} records")]
    LastOffsetDelta {
        last_offset_delta: i32,
        record_count: u32,
    },
    #[error("base offset {base_offset} is out of range")]
    BaseOffset { base_offset: i64 },
    #[error("leader epoch {leader_epoch} is out of range")]
    LeaderEpoch { leader_epoch: i32 },
    #[error("producer id {id}, epoch {epoch} and sequence {sequence} do not go together")]
    Producer { id: i64, epoch: i16, sequence: i32 },
    #[error("records are over the limit of {bytes_max} bytes when decompressed")]
    DecompressedTooLarge { bytes_max: usize },
    #[error("records cannot be decompressed as {compression}")]
    Decompression {
        compression: Compression,
        #[source]
        source: Arc<io::Error>,
    },
    #[error("{trailing_bytes} bytes follow the last record")]
    TrailingRecordBytes { trailing_bytes: usize },
    #[error("record {position} of the batch is malformed")]
    Record {
        position: u32,
        #[source]
        fault: RecordFault,
    },
}

/// What is wrong with one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum RecordFault {
    #[error("record ends early")]
    Truncated,
    #[error("record is longer than its fields")]
    TrailingBytes,
    #[error("variable-length integer is too large")]
    VarintOverflow,
    #[error("length is negative")]
    NegativeLength,
    #[error("attributes are set")]
    Attributes,
    #[error("offset delta is not the record's position")]
    OffsetDelta,
    #[error("timestamp is out of range")]
    Timestamp,
    #[error("timestamp is later than the batch says that any is")]
    TimestampAboveMax,
    #[error("there are too many headers")]
    HeaderCount,
    #[error("header key is not UTF-8")]
    HeaderKey,
    #[error("key, value and headers are too large")]
    TooLarge,
}

impl BatchError {
    /// The word for it that clients see.
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::Checksum { .. } => ErrorCode::ChecksumMismatch,
            Self::Codec { .. } => ErrorCode::UnknownCodec,
            Self::TooLarge { .. }
            | Self::DecompressedTooLarge { .. }
            | Self::Record {
                fault: RecordFault::TooLarge,
                ..
            } => ErrorCode::BatchTooLarge,
            Self::Truncated { .. }
            | Self::TrailingBytes { .. }
            | Self::Length { .. }
            | Self::Magic { .. }
            | Self::Attributes { .. }
            | Self::RecordCount { .. }
            | Self::LastOffsetDelta { .. }
            | Self::BaseOffset { .. }
            | Self::LeaderEpoch { .. }
            | Self::Producer { .. }
            | Self::Decompression { .. }
            | Self::TrailingRecordBytes { .. }
            | Self::Record { .. } => ErrorCode::BatchMalformed,
        }
    }
}
