use super::samples::{batch, overwrite, replace_records};
use super::varint;
use super::{BatchBuilder, BatchError, Compression, RecordBatch, RecordFault};
use crate::limits::{BATCH_HEADERS_MAX, RECORD_BYTES_MAX, RECORD_HEADERS_MAX};
use crate::{ErrorCode, Timestamp};

/// A batch of one record at time 1,000, whose record bytes the tests replace.
fn single() -> RecordBatch {
    let mut builder = BatchBuilder::new(Compression::None);
    builder
        .push(Timestamp::from_millis(1_000), None, None, &[])
        .unwrap();
    builder.build(None).unwrap()
}

/// A record of these fields behind their length.
fn record(fields: &[u8]) -> Vec<u8> {
    let mut record = Vec::new();
    varint::put(&mut record, fields.len() as i64);
    record.extend_from_slice(fields);
    record
}

fn varints(values: &[i64]) -> Vec<u8> {
    let mut out = Vec::new();
    values
        .iter()
        .for_each(|&value| varint::put(&mut out, value));
    out
}

/// What is wrong with the only record of a batch.
fn fault(record: &[u8]) -> RecordFault {
    let batch = replace_records(&single(), record);
    match (batch.records(), batch.verify_records()) {
        (
            Err(BatchError::Record { position: 0, fault }),
            Err(BatchError::Record {
                position: 0,
                fault: verified,
            }),
        ) => {
            assert_eq!(fault, verified);
            fault
        }
        other => panic!("no fault was found: {other:?}"),
    }
}

#[test]
fn the_shortest_record_is_read() {
    let batch = replace_records(&single(), &record(&[0, 0, 0, 1, 1, 0]));
    let records = batch.records().unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0].key, &records[0].value), (&None, &None));
    assert_eq!(batch.verify_records().unwrap().largest_record_bytes, 0);
}

#[test]
fn records_of_an_uncompressed_batch_share_its_bytes() {
    let batch = batch(Compression::None);
    let within = batch.as_bytes().as_ptr_range();
    for record in batch.records().unwrap() {
        for bytes in [record.key, record.value]
            .into_iter()
            .flatten()
            .filter(|b| !b.is_empty())
        {
            assert!(within.contains(&bytes.as_ptr()));
        }
    }
}

#[test]
fn the_largest_record_is_found_whatever_it_is_made_of() {
    for compression in Compression::ALL {
        let contents = batch(compression).verify_records().unwrap();
        let (key, value, headers) = ("ship-1".len(), 12 * 19, "tracea1trace".len());
        assert_eq!(contents.largest_record_bytes, key + value + headers);
    }
}

/// The three sample records under a header that speaks of another number of them.
fn miscounted(record_count: u32) -> RecordBatch {
    let bytes = batch(Compression::None).into_bytes();
    let bytes = overwrite(&bytes, 23, &(record_count - 1).to_be_bytes());
    RecordBatch::parse(overwrite(&bytes, 57, &record_count.to_be_bytes())).unwrap()
}

#[test]
fn a_count_that_does_not_fit_the_records_is_refused() {
    let error = miscounted(2).records().unwrap_err();
    assert!(
        matches!(error, BatchError::TrailingRecordBytes { .. }),
        "{error}"
    );
    let error = miscounted(4).records().unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::Record {
                position: 3,
                fault: RecordFault::Truncated
            }
        ),
        "{error}"
    );
    assert!(miscounted(2).verify_records().is_err());
    assert!(miscounted(4).verify_records().is_err());
}

#[test]
fn a_count_that_the_bytes_cannot_hold_is_refused_before_room_is_made() {
    let error = miscounted(100_000).records().unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::RecordCount {
                record_count: 100_000
            }
        ),
        "{error}"
    );
    assert_eq!(error.code(), ErrorCode::BatchMalformed);
    let empty = replace_records(&single(), &[]);
    assert!(matches!(
        empty.records(),
        Err(BatchError::RecordCount { record_count: 1 })
    ));
    assert!(empty.verify_records().is_err());
}

#[test]
fn a_record_cut_short_anywhere_is_refused() {
    let whole = batch(Compression::None)
        .as_bytes()
        .slice(RecordBatch::HEADER_BYTES..);
    for length in 0..whole.len() {
        let cut = replace_records(&batch(Compression::None), &whole[..length]);
        assert!(cut.records().is_err(), "{length}");
        assert!(cut.verify_records().is_err(), "{length}");
    }
}

#[test]
fn lengths_below_null_and_beyond_the_record_are_refused() {
    for length in [-2, i64::from(i32::MIN)] {
        let key = [&[0, 0, 0], varints(&[length, -1, 0]).as_slice()].concat();
        assert_eq!(fault(&record(&key)), RecordFault::NegativeLength);
        let value = [&[0, 0, 0], varints(&[-1, length, 0]).as_slice()].concat();
        assert_eq!(fault(&record(&value)), RecordFault::NegativeLength);
    }
    let own = [varints(&[-1]), vec![0; 6]].concat();
    assert_eq!(fault(&own), RecordFault::NegativeLength);
    for length in [1, 1 << 20, i64::from(i32::MAX)] {
        let value = [&[0, 0, 0], varints(&[-1, length]).as_slice()].concat();
        assert_eq!(
            fault(&[record(&value), vec![0; 64]].concat()),
            RecordFault::Truncated
        );
    }
}

#[test]
fn integers_beyond_their_type_are_refused() {
    let wide_length = [&[0, 0, 0], varints(&[1 << 31]).as_slice(), &[1, 0]].concat();
    assert_eq!(fault(&record(&wide_length)), RecordFault::VarintOverflow);
    let endless = [[0].as_slice(), &[0xff; 11]].concat();
    assert_eq!(fault(&record(&endless)), RecordFault::VarintOverflow);
}

#[test]
fn fields_that_must_follow_from_the_batch_are_checked() {
    assert_eq!(fault(&record(&[1, 0, 0, 1, 1, 0])), RecordFault::Attributes);
    assert_eq!(
        fault(&record(&[0, 0, 2, 1, 1, 0])),
        RecordFault::OffsetDelta
    );
    assert_eq!(
        fault(&record(&[0, 0, 1, 1, 1, 0])),
        RecordFault::OffsetDelta
    );
    assert_eq!(
        fault(&record(&[0, 0, 0, 1, 1, 0, 0])),
        RecordFault::TrailingBytes
    );
}

#[test]
fn a_timestamp_that_overflows_is_refused() {
    let fields = [&[0], varints(&[i64::MAX]).as_slice(), &[0, 1, 1, 0]].concat();
    assert_eq!(fault(&record(&fields)), RecordFault::Timestamp);
}

#[test]
fn a_record_later_than_the_batch_says_is_not_let_in() {
    let batch = replace_records(&single(), &record(&[0, 2, 0, 1, 1, 0]));
    let error = batch.verify_records().unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::Record {
                position: 0,
                fault: RecordFault::TimestampAboveMax
            }
        ),
        "{error}"
    );
    assert_eq!(
        batch.records().unwrap()[0].timestamp,
        Timestamp::from_millis(1_001)
    );
}

#[test]
fn header_counts_out_of_range_are_refused() {
    for count in [-1, RECORD_HEADERS_MAX as i64 + 1, i64::from(i32::MAX)] {
        let fields = [&[0, 0, 0, 1, 1], varints(&[count]).as_slice()].concat();
        assert_eq!(fault(&record(&fields)), RecordFault::HeaderCount);
    }
    let fewer_than_said = [&[0, 0, 0, 1, 1], varints(&[2, 0, -1]).as_slice()].concat();
    assert_eq!(fault(&record(&fewer_than_said)), RecordFault::Truncated);
}

#[test]
fn header_keys_that_are_no_text_are_refused() {
    let null = [&[0, 0, 0, 1, 1], varints(&[1, -1, -1]).as_slice()].concat();
    assert_eq!(fault(&record(&null)), RecordFault::NegativeLength);
    let binary = [&[0, 0, 0, 1, 1], varints(&[1, 1]).as_slice(), &[0xff, 1]].concat();
    assert_eq!(fault(&record(&binary)), RecordFault::HeaderKey);
}

#[test]
fn a_record_over_the_limit_is_refused_even_where_it_compresses_well() {
    let records_of = |value_bytes: usize| {
        let value = varints(&[value_bytes as i64]);
        let fields = [&[0, 0, 0, 1], value.as_slice(), &vec![7; value_bytes], &[0]].concat();
        let mut compressed = Vec::new();
        Compression::Zstd.compress(&record(&fields), &mut compressed);
        let zstd_bits = 4_u16.to_be_bytes();
        let header = RecordBatch::parse(overwrite(single().as_bytes(), 21, &zstd_bits)).unwrap();
        replace_records(&header, &compressed)
    };
    let contents = records_of(RECORD_BYTES_MAX).verify_records().unwrap();
    assert_eq!(contents.largest_record_bytes, RECORD_BYTES_MAX);
    let error = records_of(RECORD_BYTES_MAX + 1)
        .verify_records()
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::BatchTooLarge);
}

#[test]
fn headers_that_would_swell_in_memory_are_refused() {
    let records_per_batch = (BATCH_HEADERS_MAX / RECORD_HEADERS_MAX) as u32 + 1;
    let mut records = Vec::new();
    for position in 0..records_per_batch {
        let empty_headers = [0, 1].repeat(RECORD_HEADERS_MAX);
        let numbers = varints(&[0, position.into(), -1, -1, RECORD_HEADERS_MAX as i64]);
        records.extend(record(&[&[0], numbers.as_slice(), &empty_headers].concat()));
    }
    let bytes = overwrite(
        single().as_bytes(),
        23,
        &(records_per_batch - 1).to_be_bytes(),
    );
    let bytes = overwrite(&bytes, 57, &records_per_batch.to_be_bytes());
    let batch = replace_records(&RecordBatch::parse(bytes).unwrap(), &records);
    let error = batch.verify_records().unwrap_err();
    assert!(
        matches!(
            error,
            BatchError::Record {
                fault: RecordFault::HeaderCount,
                ..
            }
        ),
        "{error}"
    );
}
