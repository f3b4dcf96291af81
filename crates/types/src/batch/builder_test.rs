use bytes::Bytes;

use super::samples::{PRODUCER, batch, header};
use super::{
    BatchBuilder, BatchError, BatchProducer, Compression, Header, RecordBatch, RecordFault,
};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, RECORD_BYTES_MAX, RECORD_HEADERS_MAX};
use crate::{ErrorCode, LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const NOW: Timestamp = Timestamp::from_millis(1_700_000_000_000);

#[test]
fn a_built_batch_is_what_a_reader_sees() {
    for compression in Compression::ALL {
        let built = batch(compression);
        assert_eq!(built.base_offset(), Offset::ZERO);
        assert_eq!(built.end_offset(), Offset::new(3));
        assert_eq!(built.leader_epoch(), LeaderEpoch::new(0));
        assert_eq!(built.producer(), Some(PRODUCER));
        assert_eq!(RecordBatch::parse(built.as_bytes().clone()).unwrap(), built);
    }
}

#[test]
fn time_may_run_backwards_inside_a_batch() {
    let batch = batch(Compression::Snappy);
    let millis: Vec<_> = batch
        .records()
        .unwrap()
        .iter()
        .map(|record| record.timestamp.as_millis())
        .collect();
    assert_eq!(
        millis,
        [1_700_000_000_000, 1_699_999_999_990, 1_700_000_000_250]
    );
    assert_eq!(batch.base_timestamp().as_millis(), millis[0]);
    assert_eq!(batch.max_timestamp().as_millis(), millis[2]);
    batch.verify_records().unwrap();
}

#[test]
fn the_estimate_is_the_size_without_compression() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        for _ in 0..100 {
            builder
                .push(NOW, Some(b"key"), Some(&[b'v'; 100]), &[])
                .unwrap();
        }
        assert_eq!(builder.record_count(), 100);
        let estimated_bytes = builder.estimated_bytes();
        let batch = builder.build(None).unwrap();
        assert_eq!(batch.compression(), compression);
        match compression {
            Compression::None => assert_eq!(batch.len(), estimated_bytes),
            _ => assert!(batch.len() < estimated_bytes / 2),
        }
    }
}

#[test]
fn records_that_compression_would_not_shrink_stay_as_they_are() {
    for compression in Compression::ALL {
        let mut builder = BatchBuilder::new(compression);
        builder.push(NOW, None, Some(b"x"), &[]).unwrap();
        let estimated_bytes = builder.estimated_bytes();
        let batch = builder.build(None).unwrap();
        assert_eq!(batch.compression(), Compression::None);
        assert_eq!(batch.len(), estimated_bytes);
        assert_eq!(
            batch.records().unwrap()[0].value.as_deref(),
            Some(b"x".as_slice())
        );
    }
}

#[test]
fn a_batch_without_records_cannot_be_built() {
    let error = BatchBuilder::new(Compression::None)
        .build(None)
        .unwrap_err();
    assert!(
        matches!(error, BatchError::RecordCount { record_count: 0 }),
        "{error}"
    );
}

#[test]
fn the_largest_record_that_is_allowed_fits_a_batch() {
    let key = "k".repeat(10);
    let headers: Vec<Header> = (0..RECORD_HEADERS_MAX)
        .map(|_| header(&key, Some(b"0123456789")))
        .collect();
    let value = vec![0; RECORD_BYTES_MAX - 20 * RECORD_HEADERS_MAX - 3];
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .push(NOW, Some(b"key"), Some(&value), &headers)
        .unwrap();
    let batch = RecordBatch::parse(builder.build(Some(PRODUCER)).unwrap().into_bytes()).unwrap();
    assert_eq!(
        batch.verify_records().unwrap().largest_record_bytes,
        RECORD_BYTES_MAX
    );
}

#[test]
fn a_record_over_the_limit_leaves_the_builder_as_it_was() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder.push(NOW, None, Some(b"before"), &[]).unwrap();
    let estimated_bytes = builder.estimated_bytes();

    let value = vec![0; RECORD_BYTES_MAX];
    let error = builder
        .push(NOW, Some(b"k"), Some(&value), &[])
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    let in_header = Header {
        key: "k".to_owned(),
        value: Some(Bytes::from(value)),
    };
    let error = builder.push(NOW, None, None, &[in_header]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
    let headers = vec![header("", None); RECORD_HEADERS_MAX + 1];
    let error = builder.push(NOW, None, None, &headers).unwrap_err();
    assert!(matches!(
        error,
        BatchError::Record {
            position: 1,
            fault: RecordFault::HeaderCount
        }
    ));

    assert_eq!(builder.estimated_bytes(), estimated_bytes);
    assert_eq!(builder.build(None).unwrap().records().unwrap().len(), 1);
}

#[test]
fn timestamps_too_far_apart_for_one_batch_are_refused() {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .push(Timestamp::from_millis(-2), None, None, &[])
        .unwrap();
    let error = builder
        .push(Timestamp::from_millis(i64::MAX), None, None, &[])
        .unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::Record {
                fault: RecordFault::Timestamp,
                ..
            }
        ),
        "{error}"
    );
    builder
        .push(Timestamp::from_millis(i64::MIN), None, None, &[])
        .unwrap();
    let records = builder.build(None).unwrap().records().unwrap();
    assert_eq!(records[1].timestamp, Timestamp::from_millis(i64::MIN));
}

#[test]
fn a_batch_stops_growing_at_its_limits() {
    let mut builder = BatchBuilder::new(Compression::Gzip);
    let half = vec![0; BATCH_BYTES_MAX / 2];
    builder.push(NOW, None, Some(&half), &[]).unwrap();
    let error = builder.push(NOW, None, Some(&half), &[]).unwrap_err();
    assert!(matches!(error, BatchError::TooLarge { .. }), "{error}");

    let mut builder = BatchBuilder::new(Compression::None);
    for _ in 0..BATCH_RECORDS_MAX {
        builder.push(NOW, None, None, &[]).unwrap();
    }
    let error = builder.push(NOW, None, None, &[]).unwrap_err();
    assert!(matches!(error, BatchError::RecordCount { .. }), "{error}");
    let batch = RecordBatch::parse(builder.build(None).unwrap().into_bytes()).unwrap();
    assert_eq!(batch.records().unwrap().len(), BATCH_RECORDS_MAX);
}

#[test]
fn a_producer_that_the_fields_cannot_hold_is_refused() {
    for producer in [
        BatchProducer {
            id: ProducerId::new(u64::MAX),
            ..PRODUCER
        },
        BatchProducer {
            epoch: ProducerEpoch::new(1 << 15),
            ..PRODUCER
        },
        BatchProducer {
            base_sequence: Sequence::new(1 << 31),
            ..PRODUCER
        },
        BatchProducer {
            id: ProducerId::new(u64::MAX),
            epoch: ProducerEpoch::new(u16::MAX),
            base_sequence: Sequence::new(u32::MAX),
        },
    ] {
        let mut builder = BatchBuilder::new(Compression::None);
        builder.push(NOW, None, None, &[]).unwrap();
        let error = builder.build(Some(producer)).unwrap_err();
        assert!(matches!(error, BatchError::Producer { .. }), "{error}");
    }
}
