//! What a partition can be told, and how that is written into a log entry.
//!
//! ```text
//!  0        1      2                10
//!  format   kind   timestamp (BE)   body
//!                                   append: the stamped record batch, byte for byte
//!                                   trim:   CBOR {0: log start}
//!                                   close:  nothing
//! ```
//!
//! The batch stands at a fixed place and is the rest of the entry, so that a fetch cuts it out of the
//! entry without a copy.

use bytes::{BufMut, Bytes, BytesMut};
use flotilla_types::{LeaderEpoch, Offset, RecordBatch, Timestamp};
use minicbor::{Decode, Encode};

use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
const KIND_APPEND: u8 = 1;
const KIND_TRIM_TO: u8 = 2;
const KIND_CLOSE_SEGMENT: u8 = 3;
const ENVELOPE_BYTES: usize = 10;
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
}

/// A record batch that already carries its base offset and leader epoch.
#[derive(Clone, Debug)]
pub struct Append {
    pub batch: RecordBatch,
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
            KIND_CLOSE_SEGMENT if body.is_empty() => Self::CloseSegment,
            KIND_CLOSE_SEGMENT => return Err(DecodeError::TrailingBytes { what: WHAT }),
            found => return Err(DecodeError::UnknownKind { found }),
        };
        Ok((timestamp, command))
    }
}

/// The payload of an append entry, stamped on the way: the batch is copied once.
pub fn encode_append(
    timestamp: Timestamp,
    batch: &RecordBatch,
    base_offset: Offset,
    leader_epoch: LeaderEpoch,
) -> Bytes {
    let mut out = envelope(KIND_APPEND, timestamp, batch.len());
    batch.stamp_into(base_offset, leader_epoch, &mut out);
    out.freeze()
}

/// The record batch inside an entry's payload, or `None` if the entry holds another command.
pub fn batch_bytes(entry_payload: &Bytes) -> Option<Bytes> {
    let (kind, _) = read_envelope(entry_payload).ok()?;
    (kind == KIND_APPEND).then(|| entry_payload.slice(ENVELOPE_BYTES..))
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
