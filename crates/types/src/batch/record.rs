//! One record inside a batch.
//!
//! ```text
//!  length | attributes | timestamp delta | offset delta | key | value | header count | headers
//! ```
//!
//! All numbers but the attributes are zig-zag varints; key, value and the parts of a header follow
//! their lengths, where -1 stands for null.

use bytes::Bytes;

use super::cursor::Cursor;
use super::error::RecordFault;
use super::varint;
use crate::limits::{RECORD_BYTES_MAX, RECORD_HEADERS_MAX};
use crate::{Offset, Timestamp};

/// A record as it is consumed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub offset: Offset,
    pub timestamp: Timestamp,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// A name and a value beside a record's payload. Names may repeat; their order is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    pub key: String,
    pub value: Option<Bytes>,
}

/// A record still in its batch: deltas instead of positions, slices instead of owned bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: i32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: RawHeaders<'a>,
}

impl<'a> RawRecord<'a> {
    /// The fewest bytes that a record can take: every field at its shortest.
    pub(super) const BYTES_MIN: usize = 7;

    #[inline(always)]
    pub(super) fn decode(records: &mut Cursor<'a>) -> Result<Self, RecordFault> {
        let mut fields = Cursor::new(records.prefixed_bytes()?);
        if fields.byte()? != 0 {
            return Err(RecordFault::Attributes);
        }
        let record = Self {
            timestamp_delta: fields.varint_i64()?,
            offset_delta: fields.varint_i32()?,
            key: fields.nullable_bytes()?,
            value: fields.nullable_bytes()?,
            headers: RawHeaders::decode(&mut fields)?,
        };
        if !fields.is_at_end() {
            return Err(RecordFault::TrailingBytes);
        }
        if record.payload_bytes() > RECORD_BYTES_MAX {
            return Err(RecordFault::TooLarge);
        }
        Ok(record)
    }

    /// Key, value and headers together: what the limits on a record's size mean.
    pub(super) fn payload_bytes(&self) -> usize {
        optional_len(self.key) + optional_len(self.value) + self.headers.payload_bytes
    }
}

/// The headers of a [`RawRecord`], known to be sound.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawHeaders<'a> {
    fields: Cursor<'a>,
    count: usize,
    payload_bytes: usize,
}

impl<'a> RawHeaders<'a> {
    pub(super) const fn count(&self) -> usize {
        self.count
    }

    #[inline(always)]
    fn decode(fields: &mut Cursor<'a>) -> Result<Self, RecordFault> {
        let count = usize::try_from(fields.varint_i32()?).map_err(|_| RecordFault::HeaderCount)?;
        if count > RECORD_HEADERS_MAX {
            return Err(RecordFault::HeaderCount);
        }
        let mut headers = Self {
            fields: *fields,
            count,
            payload_bytes: 0,
        };
        for _ in 0..count {
            let (key, value) = decode_header(fields)?;
            headers.payload_bytes += key.len() + optional_len(value);
        }
        Ok(headers)
    }

    /// The headers as owned values that share `bytes`, in which they lie.
    pub(super) fn to_headers(mut self, bytes: &Bytes) -> Vec<Header> {
        (0..self.count)
            .map(|_| {
                let (key, value) =
                    decode_header(&mut self.fields).expect("the headers were decoded once before");
                Header {
                    key: key.to_owned(),
                    value: value.map(|value| bytes.slice_ref(value)),
                }
            })
            .collect()
    }
}

fn decode_header<'a>(fields: &mut Cursor<'a>) -> Result<(&'a str, Option<&'a [u8]>), RecordFault> {
    let key = fields.prefixed_bytes()?;
    let key = std::str::from_utf8(key).map_err(|_| RecordFault::HeaderKey)?;
    Ok((key, fields.nullable_bytes()?))
}

fn optional_len(bytes: Option<&[u8]>) -> usize {
    bytes.map_or(0, <[u8]>::len)
}

/// A record on its way into a batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRecord<'a> {
    pub(super) timestamp_delta: i64,
    pub(super) offset_delta: u32,
    pub(super) key: Option<&'a [u8]>,
    pub(super) value: Option<&'a [u8]>,
    pub(super) headers: &'a [Header],
}

impl NewRecord<'_> {
    /// Key, value and headers together, without overflow however many there are.
    pub(super) fn payload_bytes(&self) -> usize {
        let headers = self.headers.iter().map(|header| {
            header
                .key
                .len()
                .saturating_add(optional_len(header.value.as_deref()))
        });
        [optional_len(self.key), optional_len(self.value)]
            .into_iter()
            .chain(headers)
            .fold(0, usize::saturating_add)
    }

    /// How many bytes [`Self::encode`] appends.
    pub(super) fn encoded_len(&self) -> usize {
        let fields_len = self.fields_len();
        varint::encoded_len(fields_len as i64) + fields_len
    }

    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        varint::put(out, self.fields_len() as i64);
        out.push(0);
        varint::put(out, self.timestamp_delta);
        varint::put(out, self.offset_delta.into());
        put_nullable(out, self.key);
        put_nullable(out, self.value);
        varint::put(out, self.headers.len() as i64);
        for header in self.headers {
            put_nullable(out, Some(header.key.as_bytes()));
            put_nullable(out, header.value.as_deref());
        }
    }

    fn fields_len(&self) -> usize {
        let headers: usize = self
            .headers
            .iter()
            .map(|header| {
                nullable_len(Some(header.key.as_bytes())) + nullable_len(header.value.as_deref())
            })
            .sum();
        1 + varint::encoded_len(self.timestamp_delta)
            + varint::encoded_len(self.offset_delta.into())
            + nullable_len(self.key)
            + nullable_len(self.value)
            + varint::encoded_len(self.headers.len() as i64)
            + headers
    }
}

fn nullable_len(bytes: Option<&[u8]>) -> usize {
    match bytes {
        None => varint::encoded_len(-1),
        Some(bytes) => varint::encoded_len(bytes.len() as i64) + bytes.len(),
    }
}

fn put_nullable(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => varint::put(out, -1),
        Some(bytes) => {
            varint::put(out, bytes.len() as i64);
            out.extend_from_slice(bytes);
        }
    }
}
