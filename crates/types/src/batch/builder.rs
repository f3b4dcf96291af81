//! Packs records into a batch.

use bytes::Bytes;

use super::error::RecordFault;
use super::header::{BatchHeader, TimestampType};
use super::record::NewRecord;
use super::{BatchError, BatchProducer, Compression, Header, RecordBatch};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_HEADERS_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX, RECORD_HEADERS_MAX,
};
use crate::{Offset, Timestamp};

/// A batch in the making: records are appended to one buffer and compressed at the end.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    compression: Compression,
    /// Room for the header, then the records as they are pushed.
    batch: Vec<u8>,
    record_count: u32,
    header_count: usize,
    /// Base and maximum, once there is a record.
    timestamps: Option<(Timestamp, Timestamp)>,
}

impl BatchBuilder {
    pub fn new(compression: Compression) -> Self {
        Self {
            compression,
            batch: vec![0; BatchHeader::BYTES],
            record_count: 0,
            header_count: 0,
            timestamps: None,
        }
    }

    pub const fn record_count(&self) -> u32 {
        self.record_count
    }

    /// What the batch has grown to. Compression can only make it smaller.
    pub const fn estimated_bytes(&self) -> usize {
        self.batch.len()
    }

    /// Appends a record. Its timestamp may lie before that of the record before it. After an error
    /// the builder is as it was.
    pub fn push(
        &mut self,
        timestamp: Timestamp,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> Result<(), BatchError> {
        let (base, max) = self.timestamps.unwrap_or((timestamp, timestamp));
        let position = self.record_count;
        let fault = |fault| BatchError::Record { position, fault };
        let record = NewRecord {
            timestamp_delta: timestamp
                .as_millis()
                .checked_sub(base.as_millis())
                .ok_or_else(|| fault(RecordFault::Timestamp))?,
            offset_delta: position,
            key,
            value,
            headers,
        };
        if headers.len() > RECORD_HEADERS_MAX
            || headers.len() > BATCH_HEADERS_MAX - self.header_count
        {
            return Err(fault(RecordFault::HeaderCount));
        }
        if record.payload_bytes() > RECORD_BYTES_MAX {
            return Err(fault(RecordFault::TooLarge));
        }
        if position as usize == BATCH_RECORDS_MAX {
            return Err(BatchError::RecordCount {
                record_count: i64::from(position) + 1,
            });
        }
        let bytes = self.batch.len() + record.encoded_len();
        if bytes > BATCH_BYTES_MAX {
            return Err(BatchError::TooLarge {
                bytes,
                bytes_max: BATCH_BYTES_MAX,
            });
        }
        record.encode(&mut self.batch);
        self.record_count += 1;
        self.header_count += headers.len();
        self.timestamps = Some((base, max.max(timestamp)));
        Ok(())
    }

    /// The finished batch, at base offset 0 and not stamped by any leader. Records that compression
    /// would not make smaller stay as they are.
    pub fn build(self, producer: Option<BatchProducer>) -> Result<RecordBatch, BatchError> {
        let Some((base_timestamp, max_timestamp)) = self.timestamps else {
            return Err(BatchError::RecordCount { record_count: 0 });
        };
        producer.map_or(Ok(()), BatchProducer::verify)?;
        let (compression, mut batch) = compress_if_smaller(self.compression, self.batch);
        let header = BatchHeader {
            base_offset: Offset::ZERO,
            leader_epoch: None,
            compression,
            timestamp_type: TimestampType::Create,
            base_timestamp,
            max_timestamp,
            producer,
            record_count: self.record_count,
        };
        header.encode_over(&mut batch);
        Ok(RecordBatch::from_parts(header, Bytes::from(batch)))
    }
}

fn compress_if_smaller(compression: Compression, batch: Vec<u8>) -> (Compression, Vec<u8>) {
    if compression == Compression::None {
        return (compression, batch);
    }
    let mut compressed = Vec::with_capacity(batch.len() / 2);
    compressed.resize(BatchHeader::BYTES, 0);
    compression.compress(&batch[BatchHeader::BYTES..], &mut compressed);
    if compressed.len() < batch.len() {
        (compression, compressed)
    } else {
        (Compression::None, batch)
    }
}
