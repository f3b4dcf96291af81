//! Batches for the tests of this module.

use bytes::{Bytes, BytesMut};

use super::checksum;
use super::{BatchBuilder, BatchProducer, Compression, Header, RecordBatch};
use crate::limits::BATCH_BYTES_MAX;
use crate::{ProducerEpoch, ProducerId, Sequence, Timestamp};

pub(super) const PRODUCER: BatchProducer = BatchProducer {
    id: ProducerId::new(4_000_000_000),
    epoch: ProducerEpoch::new(0x7fff),
    base_sequence: Sequence::new(0x7fff_ffff),
};

/// Three records with all that a record can have, alike enough for every codec to gain by it.
pub(super) fn batch(compression: Compression) -> RecordBatch {
    let headers = [
        header("trace", Some(b"a1")),
        header("trace", Some(b"")),
        header("", None),
    ];
    let value = "all hands on deck, ".repeat(12);
    let mut builder = BatchBuilder::new(compression);
    let mut push = |millis, key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]| {
        builder
            .push(Timestamp::from_millis(millis), key, value, headers)
            .unwrap();
    };
    push(
        1_700_000_000_000,
        Some(b"ship-1"),
        Some(value.as_bytes()),
        &headers,
    );
    push(1_699_999_999_990, None, Some(value.as_bytes()), &[]);
    push(1_700_000_000_250, Some(b""), None, &headers[..1]);
    let batch = builder.build(Some(PRODUCER)).unwrap();
    assert_eq!(batch.compression(), compression);
    batch
}

pub(super) fn header(key: &str, value: Option<&'static [u8]>) -> Header {
    Header {
        key: key.to_owned(),
        value: value.map(Bytes::from_static),
    }
}

/// The batch with bytes overwritten from `start`, and a checksum that covers the change.
pub(super) fn overwrite(batch: &[u8], start: usize, field: &[u8]) -> Bytes {
    let mut bytes = BytesMut::from(batch);
    bytes[start..start + field.len()].copy_from_slice(field);
    seal(bytes)
}

/// The header of `batch` before other record bytes, with a length and a checksum that fit.
pub(super) fn replace_records(batch: &RecordBatch, records: &[u8]) -> RecordBatch {
    let mut bytes = BytesMut::from(&batch.as_bytes()[..RecordBatch::HEADER_BYTES]);
    bytes.extend_from_slice(records);
    assert!(
        bytes.len() <= BATCH_BYTES_MAX,
        "{} bytes are no batch",
        bytes.len()
    );
    let length = u32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    RecordBatch::parse(seal(bytes)).unwrap()
}

fn seal(mut batch: BytesMut) -> Bytes {
    let checksum = checksum::compute(&batch);
    batch[17..21].copy_from_slice(&checksum.to_be_bytes());
    batch.freeze()
}
