//! Arbitrary bytes as a record batch: whatever can be read can be written again, and nothing
//! panics.

#![no_main]

use bytes::Bytes;
use flotilla_types::{BatchBuilder, BatchError, Record, RecordBatch, RecordFault};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let bytes = Bytes::copy_from_slice(bytes);
    cut_into_batches(bytes.clone());
    let strict = RecordBatch::parse(bytes.clone());
    // A mutation hardly ever hits the right checksum, so the way on leads past it.
    match RecordBatch::parse_trusted(bytes) {
        Ok(batch) => read_and_rewrite(&batch),
        Err(_) => assert!(strict.is_err(), "only the checksum sets the two apart"),
    }
});

fn cut_into_batches(mut row: Bytes) {
    let mut bytes_left = row.len();
    while let Ok(Some(batch)) = RecordBatch::parse_first(&mut row) {
        bytes_left -= batch.len();
        assert_eq!(row.len(), bytes_left);
    }
}

fn read_and_rewrite(batch: &RecordBatch) {
    let contents = batch.verify_records();
    let Ok(records) = batch.records() else {
        assert!(contents.is_err(), "what was verified can be read");
        return;
    };
    assert_eq!(records.len(), batch.record_count() as usize);
    assert_eq!(records[0].offset, batch.base_offset());

    let mut builder = BatchBuilder::new(batch.compression());
    for Record {
        timestamp,
        key,
        value,
        headers,
        ..
    } in &records
    {
        match builder.push(*timestamp, key.as_deref(), value.as_deref(), headers) {
            Ok(()) => {}
            // Compression may hold more than a builder takes, and another first record may be
            // further away in time.
            Err(
                BatchError::TooLarge { .. }
                | BatchError::Record {
                    fault: RecordFault::Timestamp,
                    ..
                },
            ) => return,
            Err(error) => panic!("a record that was read is refused: {error:?}"),
        }
    }
    let built = builder.build(batch.producer()).expect("there are records");
    let rebuilt = RecordBatch::parse(built.into_bytes()).expect("a built batch is sound");
    assert_eq!(rebuilt.producer(), batch.producer());
    assert_eq!(
        without_offsets(rebuilt.records()),
        without_offsets(Ok(records))
    );
    rebuilt
        .verify_records()
        .expect("a built batch can be verified");
}

/// A builder starts at offset 0, wherever the records came from.
fn without_offsets(records: Result<Vec<Record>, BatchError>) -> Vec<Record> {
    let mut records = records.expect("the records can be read");
    let base_offset = records[0].offset;
    for record in &mut records {
        record.offset = flotilla_types::Offset::new(record.offset.distance_from(base_offset));
    }
    records
}
