//! What a partition can be told, and how that is written into a log entry.
//!
//! ```text
//!  0        1      2                10
//!  format   kind   timestamp (BE)   body
//!                                   append: the stamped record batch, byte for byte
//!                                   trim:   CBOR {0: log start}
//!                                   close:  nothing
//!                                   fence:  CBOR {0: job, 1: token, 2: instance}
//!                                   identified append:
//!                                           window u32, count u32, then of each record that has a
//!                                           message id its position u32 and 16 bytes of id (BE),
//!                                           then the stamped record batch
//! ```
//!
//! The batch is the rest of its entry, so that a fetch cuts it out of the entry without a copy.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use flotilla_types::limits::BATCH_RECORDS_MAX;
use flotilla_types::{
    FencingToken, JobName, LeaderEpoch, MessageId, Offset, RecordBatch, Timestamp,
};
use minicbor::{Decode, Encode};

use super::IdentifiedRecord;
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
const KIND_APPEND: u8 = 1;
const KIND_TRIM_TO: u8 = 2;
const KIND_CLOSE_SEGMENT: u8 = 3;
const KIND_FENCE: u8 = 4;
const KIND_IDENTIFIED_APPEND: u8 = 5;
const ENVELOPE_BYTES: usize = 10;
/// Window and count of an identified append.
const IDS_HEAD_BYTES: usize = 8;
/// Position and id of one record.
const ID_BYTES: usize = 20;
const WHAT: &str = "partition command";

/// A decision of the leader, which every replica applies.
#[derive(Clone, Debug)]
pub enum PartitionCommand {
    /// Take these records.
    Append(Append),
    /// Make everything below unreadable: retention, or records that a user deleted.
    TrimTo { log_start: Offset },
    /// End the open interval, so that retention can drop it.
    CloseSegment,
    /// Take the batches of this instance of the owner's producer, and none of its earlier instances or
    /// of the job's earlier owners any more.
    Fence {
        job: JobName,
        token: FencingToken,
        instance: u64,
    },
    /// Take these records, unless a message id among theirs is known.
    IdentifiedAppend(IdentifiedAppend),
}

/// A record batch that already carries its base offset and leader epoch.
#[derive(Clone, Debug)]
pub struct Append {
    pub batch: RecordBatch,
}

/// A stamped record batch with message ids.
#[derive(Clone, Debug)]
pub struct IdentifiedAppend {
    pub batch: RecordBatch,
    /// How long message ids count, in milliseconds.
    pub window_ms: u32,
    /// Those of the batch that have one, by position.
    pub records: Vec<IdentifiedRecord>,
}

/// What the leader writes into a batch, and when.
#[derive(Clone, Copy, Debug)]
pub struct Stamp {
    pub timestamp: Timestamp,
    pub base_offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Encode, Decode)]
struct FenceBody {
    #[n(0)]
    job: String,
    #[n(1)]
    token: u64,
    #[n(2)]
    instance: u64,
}

#[derive(Encode, Decode)]
struct TrimToBody {
    #[n(0)]
    log_start: u64,
}

impl PartitionCommand {
    /// The payload of the log entry; `timestamp` is the leader's clock, which never goes back.
    pub fn encode(&self, timestamp: Timestamp) -> Bytes {
        match self {
            Self::Append(append) => {
                let batch = append.batch.as_bytes();
                let mut out = envelope(KIND_APPEND, timestamp, batch.len());
                out.put_slice(batch);
                out.freeze()
            }
            Self::TrimTo { log_start } => {
                let body = TrimToBody {
                    log_start: log_start.get(),
                };
                let body = minicbor::to_vec(body).expect("invariant: a vector takes every byte");
                let mut out = envelope(KIND_TRIM_TO, timestamp, body.len());
                out.put_slice(&body);
                out.freeze()
            }
            Self::CloseSegment => envelope(KIND_CLOSE_SEGMENT, timestamp, 0).freeze(),
            Self::Fence {
                job,
                token,
                instance,
            } => {
                let body = FenceBody {
                    job: job.to_string(),
                    token: token.get(),
                    instance: *instance,
                };
                let body = minicbor::to_vec(body).expect("invariant: a vector takes every byte");
                let mut out = envelope(KIND_FENCE, timestamp, body.len());
                out.put_slice(&body);
                out.freeze()
            }
            Self::IdentifiedAppend(append) => {
                let batch = append.batch.as_bytes();
                let ids = (append.window_ms, &append.records[..]);
                let mut out = identified_envelope(timestamp, ids, batch.len());
                out.put_slice(batch);
                out.freeze()
            }
        }
    }

    /// Reads what `encode` or `encode_append` wrote. The batch shares the bytes of `payload`; its own
    /// checksum is not computed again, because the log's frame covers it.
    pub fn decode(payload: &Bytes) -> Result<(Timestamp, Self), DecodeError> {
        let (kind, timestamp) = read_envelope(payload)?;
        let body = payload.slice(ENVELOPE_BYTES..);
        let command = match kind {
            KIND_APPEND => Self::Append(Append {
                batch: RecordBatch::parse_trusted(body)?,
            }),
            KIND_TRIM_TO => {
                let body: TrimToBody = wire::decode_body(WHAT, &body)?;
                Self::TrimTo {
                    log_start: Offset::new(body.log_start),
                }
            }
            KIND_FENCE => {
                let body: FenceBody = wire::decode_body(WHAT, &body)?;
                let job = JobName::parse(&body.job).map_err(|_| DecodeError::Contradiction {
                    what: WHAT,
                    contradiction: "a job name is not one",
                })?;
                Self::Fence {
                    job,
                    token: FencingToken::new(body.token),
                    instance: body.instance,
                }
            }
            KIND_IDENTIFIED_APPEND => Self::IdentifiedAppend(read_identified(body)?),
            KIND_CLOSE_SEGMENT if body.is_empty() => Self::CloseSegment,
            KIND_CLOSE_SEGMENT => return Err(DecodeError::TrailingBytes { what: WHAT }),
            found => return Err(DecodeError::UnknownKind { found }),
        };
        Ok((timestamp, command))
    }
}

/// The payload of an append entry, stamped on the way: the batch is copied once.
pub fn encode_append(batch: &RecordBatch, stamp: Stamp) -> Bytes {
    let mut out = envelope(KIND_APPEND, stamp.timestamp, batch.len());
    batch.stamp_into(stamp.base_offset, stamp.leader_epoch, &mut out);
    out.freeze()
}

/// As `encode_append`, for records with message ids, which count for `window_ms`.
pub fn encode_identified_append(
    batch: &RecordBatch,
    stamp: Stamp,
    (window_ms, records): (u32, &[IdentifiedRecord]),
) -> Bytes {
    let mut out = identified_envelope(stamp.timestamp, (window_ms, records), batch.len());
    batch.stamp_into(stamp.base_offset, stamp.leader_epoch, &mut out);
    out.freeze()
}

/// The record batch inside an entry's payload, or `None` if the entry holds another command.
pub fn batch_bytes(entry_payload: &Bytes) -> Option<Bytes> {
    let (kind, _) = read_envelope(entry_payload).ok()?;
    match kind {
        KIND_APPEND => Some(entry_payload.slice(ENVELOPE_BYTES..)),
        KIND_IDENTIFIED_APPEND => {
            let mut body = entry_payload.slice(ENVELOPE_BYTES..);
            let ids = read_ids_head(&mut body).ok()?.1 * ID_BYTES;
            (ids <= body.len()).then(|| body.slice(ids..))
        }
        _ => None,
    }
}

/// When the leader proposed the entry. Of appends that were not refused, none is older than the one
/// before, and none is younger than the time of append in its index row.
pub fn append_time(entry_payload: &[u8]) -> Option<Timestamp> {
    read_envelope(entry_payload).ok().map(|(_, time)| time)
}

fn identified_envelope(
    timestamp: Timestamp,
    (window_ms, records): (u32, &[IdentifiedRecord]),
    batch_bytes: usize,
) -> BytesMut {
    let body_bytes = IDS_HEAD_BYTES + records.len() * ID_BYTES + batch_bytes;
    let mut out = envelope(KIND_IDENTIFIED_APPEND, timestamp, body_bytes);
    out.put_u32(window_ms);
    out.put_u32(records.len() as u32);
    for record in records {
        out.put_u32(record.position);
        out.put_slice(&record.id.to_bytes());
    }
    out
}

/// The window and the number of ids.
fn read_ids_head(body: &mut Bytes) -> Result<(u32, usize), DecodeError> {
    let truncated = |_| DecodeError::Truncated { what: WHAT };
    let window_ms = body.try_get_u32().map_err(truncated)?;
    let count = body.try_get_u32().map_err(truncated)? as usize;
    if count > BATCH_RECORDS_MAX {
        return Err(DecodeError::Contradiction {
            what: WHAT,
            contradiction: "it has more message ids than a batch can have records",
        });
    }
    Ok((window_ms, count))
}

fn read_identified(mut body: Bytes) -> Result<IdentifiedAppend, DecodeError> {
    let (window_ms, count) = read_ids_head(&mut body)?;
    if body.len() < count * ID_BYTES {
        return Err(DecodeError::Truncated { what: WHAT });
    }
    let mut records = Vec::with_capacity(count);
    for _ in 0..count {
        let position = body.get_u32();
        let mut id = [0; 16];
        body.copy_to_slice(&mut id);
        let id = MessageId::from_bytes(id);
        records.push(IdentifiedRecord { position, id });
    }
    let batch = RecordBatch::parse_trusted(body)?;
    let has_place = |record: &IdentifiedRecord| record.position < batch.record_count();
    if !records.iter().all(has_place) {
        return Err(DecodeError::Contradiction {
            what: WHAT,
            contradiction: "a message id belongs to no record",
        });
    }
    Ok(IdentifiedAppend {
        batch,
        window_ms,
        records,
    })
}

fn envelope(kind: u8, timestamp: Timestamp, body_bytes: usize) -> BytesMut {
    let mut out = BytesMut::with_capacity(ENVELOPE_BYTES + body_bytes);
    out.put_u8(FORMAT);
    out.put_u8(kind);
    out.put_i64(timestamp.as_millis());
    out
}

fn read_envelope(payload: &[u8]) -> Result<(u8, Timestamp), DecodeError> {
    let truncated = DecodeError::Truncated { what: WHAT };
    let envelope: &[u8; ENVELOPE_BYTES] = payload.first_chunk().ok_or(truncated)?;
    let [format, kind, timestamp @ ..] = *envelope;
    if format != FORMAT {
        return Err(DecodeError::UnknownFormat {
            what: WHAT,
            found: format,
        });
    }
    Ok((kind, Timestamp::from_millis(i64::from_be_bytes(timestamp))))
}
