//! From the payload of a request to a batch that every consumer can read.
//!
//! Batches are stored as they come, so whatever is wrong with one must be found here. The checksum
//! says that the bytes are those of the sender; it does not say that there are as many records as the
//! header claims, that they decompress, or how large they are. All records are therefore walked once,
//! whether compressed or not: offsets are given by the count in the header, and a wrong one would
//! leave a hole that every consumer falls into. That is decided here, by the leader, once; followers
//! check checksums only.

use bytes::Bytes;
use flotilla_protocol::v1::produce_request::Payload;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::limits::BATCH_RECORDS_MAX;
use flotilla_types::{
    BatchBuilder, BatchContents, BatchError, Compression, ErrorCode, Header, MessageId,
    PartitionIndex, RecordBatch, Timestamp, TopicConfig, partition_of_key,
};

/// A compressed batch above this is walked on a thread that may block, in bytes.
const COMPRESSED_INLINE_MAX: usize = 64 << 10;
/// As above, for an uncompressed batch.
const PLAIN_INLINE_MAX: usize = 1 << 20;
/// What a record takes beside its key, value and headers, roughly, in bytes.
const RECORD_OVERHEAD_BYTES: usize = 64;

/// What holding the payload costs, in bytes.
pub(crate) fn held_bytes(payload: &Payload) -> usize {
    match payload {
        Payload::Batch(bytes) => bytes.len(),
        Payload::Records(records) => records
            .records
            .iter()
            .map(|record| RECORD_OVERHEAD_BYTES + record_bytes(record) + id_bytes(record))
            .sum(),
    }
}

/// The partition for records whose request names none: the one of their key, or the `turn`-th if
/// they have none.
pub(crate) fn choose_partition(
    payload: &Payload,
    partition_count: u32,
    turn: u32,
) -> Result<PartitionIndex, ApiError> {
    let Payload::Records(records) = payload else {
        return Err(invalid("a batch needs the number of its partition"));
    };
    let mut routes = records.records.iter().map(routed_by);
    let Some(route) = routes.next() else {
        return Err(no_records());
    };
    if routes.any(|other| other != route) {
        return Err(invalid(
            "records of several keys, or without keys and of several message ids, need the number of \
             their partition: name it, or send one request for each",
        ));
    }
    Ok(match route {
        Some(key) => partition_of_key(key, partition_count),
        None => PartitionIndex::new(turn % partition_count),
    })
}

/// What picks a record's partition: its key, or else its message id, so that one that is sent again
/// comes to the partition that knows it.
fn routed_by(record: &v1::Record) -> Option<&[u8]> {
    let id = record.message_id.as_ref().map(String::as_bytes);
    record.key.as_deref().or(id)
}

pub(crate) fn read_message_id(id: &str) -> Result<MessageId, ApiError> {
    MessageId::of(id).map_err(|error| invalid(&error.to_string()))
}

/// The batch to append. `now` is the timestamp of records that have none.
pub(crate) async fn to_batch(
    payload: &Payload,
    config: &TopicConfig,
    now: Timestamp,
) -> Result<RecordBatch, ApiError> {
    match payload {
        Payload::Records(records) => pack(records.records.iter(), config, now),
        Payload::Batch(bytes) => check(bytes.clone(), config).await,
    }
}

pub(crate) fn pack<'a>(
    records: impl Iterator<Item = &'a v1::Record>,
    config: &TopicConfig,
    now: Timestamp,
) -> Result<RecordBatch, ApiError> {
    let mut builder = BatchBuilder::new(Compression::None);
    let mut is_empty = true;
    for record in records {
        is_empty = false;
        check_record_bytes(record_bytes(record), config)?;
        let headers: Vec<Header> = record.headers.iter().cloned().map(Header::from).collect();
        let timestamp = record.timestamp_ms.map_or(now, Timestamp::from_millis);
        builder.push(
            timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &headers,
        )?;
    }
    if is_empty {
        return Err(no_records());
    }
    Ok(builder.build(None)?)
}

async fn check(bytes: Bytes, config: &TopicConfig) -> Result<RecordBatch, ApiError> {
    let batch = RecordBatch::parse(bytes)?;
    let contents = verify(&batch).await?;
    check_record_bytes(contents.largest_record_bytes, config)?;
    Ok(batch)
}

async fn verify(batch: &RecordBatch) -> Result<BatchContents, ApiError> {
    let inline_max = match batch.compression() {
        Compression::None => PLAIN_INLINE_MAX,
        Compression::Gzip | Compression::Snappy | Compression::Lz4 | Compression::Zstd => {
            COMPRESSED_INLINE_MAX
        }
    };
    if batch.len() <= inline_max {
        return Ok(batch.verify_records()?);
    }
    let batch = batch.clone();
    let verified = tokio::task::spawn_blocking(move || batch.verify_records());
    let verified: Result<BatchContents, BatchError> = verified.await.map_err(|error| {
        tracing::error!(%error, "checking a batch failed");
        ApiError::new(ErrorCode::Internal, "the batch could not be checked")
    })?;
    Ok(verified?)
}

fn check_record_bytes(bytes: usize, config: &TopicConfig) -> Result<(), ApiError> {
    let bytes_max = config.max_record_bytes;
    if bytes <= bytes_max as usize {
        return Ok(());
    }
    let message = format!(
        "a record of {bytes} bytes is over the topic's limit of {bytes_max}: \
         send less, or raise max_record_bytes of the topic"
    );
    Err(ApiError::new(ErrorCode::BatchTooLarge, message))
}

/// Key, value and headers together: what limits on a record's size mean.
fn record_bytes(record: &v1::Record) -> usize {
    let len = |bytes: &Option<Bytes>| bytes.as_ref().map_or(0, Bytes::len);
    let headers = record.headers.iter();
    let headers: usize = headers
        .map(|header| header.key.len() + len(&header.value))
        .sum();
    len(&record.key) + len(&record.value) + headers
}

fn id_bytes(record: &v1::Record) -> usize {
    record.message_id.as_ref().map_or(0, String::len)
}

/// Refuses what is wrong whatever the topic, before anything is done about it.
pub(crate) fn refuse_senseless(payload: &Payload) -> Result<(), ApiError> {
    let Payload::Records(records) = payload else {
        return Ok(());
    };
    if records.records.len() > BATCH_RECORDS_MAX {
        return Err(invalid(&format!(
            "{} records are too many for one request: send {BATCH_RECORDS_MAX} at a time",
            records.records.len()
        )));
    }
    let mut ids = records
        .records
        .iter()
        .filter_map(|record| record.message_id.as_deref());
    let checked = ids.try_for_each(MessageId::check);
    checked.map_err(|error| invalid(&error.to_string()))
}

fn no_records() -> ApiError {
    invalid("a request needs at least one record")
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}

#[cfg(test)]
#[path = "payload_test.rs"]
mod tests;
