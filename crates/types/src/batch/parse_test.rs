use bytes::{Bytes, BytesMut};

use super::samples::{PRODUCER, batch, overwrite};
use super::{BatchError, Compression, RecordBatch};
use crate::limits::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX};
use crate::{ErrorCode, LeaderEpoch, Offset, Timestamp};

/// Made by hand from the format's description: two records, `k` = `v1` and null = null.
const GOLDEN: &str = "\
    0000000000000007 00000042 00000003 02 816486d7 0000 00000001 \
    0000018bcfe56800 0000018bcfe56805 0000000000000009 0002 0000000b 00000002 \
    12 00 00 00 026b 04 7631 00 0c 00 0a 02 01 01 00";

fn golden() -> Bytes {
    let digits: Vec<u8> = GOLDEN.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

#[test]
fn fields_are_read_from_where_the_format_puts_them() {
    let batch = RecordBatch::parse(golden()).unwrap();
    assert_eq!(batch.base_offset(), Offset::new(7));
    assert_eq!(batch.end_offset(), Offset::new(9));
    assert_eq!(batch.leader_epoch(), LeaderEpoch::new(3));
    assert_eq!(batch.record_count(), 2);
    assert_eq!(batch.compression(), Compression::None);
    assert_eq!(
        batch.base_timestamp(),
        Timestamp::from_millis(0x18b_cfe5_6800)
    );
    assert_eq!(
        batch.max_timestamp(),
        Timestamp::from_millis(0x18b_cfe5_6805)
    );
    assert_eq!(batch.len(), golden().len());
    let producer = batch.producer().unwrap();
    assert_eq!(producer.id.get(), 9);
    assert_eq!(producer.epoch.get(), 2);
    assert_eq!(producer.base_sequence.get(), 11);

    let records = batch.records().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].key.as_deref(), Some(b"k".as_slice()));
    assert_eq!(records[0].value.as_deref(), Some(b"v1".as_slice()));
    assert_eq!(records[1].offset, Offset::new(8));
    assert_eq!(records[1].timestamp, batch.max_timestamp());
    assert_eq!((&records[1].key, &records[1].value), (&None, &None));
}

#[test]
fn a_batch_cut_short_anywhere_is_refused() {
    for compression in Compression::ALL {
        let whole = batch(compression).into_bytes();
        for length in 0..whole.len() {
            let cut = whole.slice(..length);
            let error = RecordBatch::parse(cut.clone()).unwrap_err();
            assert!(
                matches!(error, BatchError::Truncated { .. }),
                "{length}: {error}"
            );
            assert_eq!(error.code(), ErrorCode::BatchMalformed);
            assert!(RecordBatch::parse_trusted(cut.clone()).is_err(), "{length}");

            let mut row = cut.clone();
            let first = RecordBatch::parse_first(&mut row);
            assert_eq!(first.is_err(), length > 0, "{length}");
            assert_eq!(row, cut, "an error takes nothing off the row");
        }
    }
}

#[test]
fn every_flipped_bit_is_noticed_unless_the_leader_may_change_it() {
    let original = batch(Compression::None);
    let values = |batch: &RecordBatch| -> Vec<_> {
        batch
            .records()
            .unwrap()
            .into_iter()
            .map(|record| (record.key, record.value))
            .collect()
    };
    let mut tolerated = 0;
    for bit in 0..original.len() * 8 {
        let mut bytes = BytesMut::from(original.as_bytes().as_ref());
        bytes[bit / 8] ^= 0x80 >> (bit % 8);
        let Ok(flipped) = RecordBatch::parse(bytes.freeze()) else {
            continue;
        };
        tolerated += 1;
        assert!(
            matches!(bit / 8, 0..8 | 12..16),
            "bit {bit} is not the leader's to change"
        );
        assert_eq!(values(&flipped), values(&original));
        let mut restored = BytesMut::new();
        flipped.stamp_into(Offset::ZERO, LeaderEpoch::new(1), &mut restored);
        let mut expected = BytesMut::new();
        original.stamp_into(Offset::ZERO, LeaderEpoch::new(1), &mut expected);
        assert_eq!(restored, expected);
    }
    // The sign bit of the offset, and each bit of the epoch but the sign of -1, make no sense.
    assert_eq!(tolerated, 63 + 1);
}

#[test]
fn a_wrong_checksum_is_noticed_unless_the_bytes_are_trusted() {
    let mut bytes = BytesMut::from(batch(Compression::None).as_bytes().as_ref());
    bytes[17] ^= 1;
    let bytes = bytes.freeze();
    let error = RecordBatch::parse(bytes.clone()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::ChecksumMismatch);
    assert_eq!(
        RecordBatch::parse_trusted(bytes.clone())
            .unwrap()
            .as_bytes(),
        &bytes
    );
}

#[test]
fn bytes_behind_the_batch_are_refused() {
    let mut bytes = BytesMut::from(batch(Compression::Zstd).as_bytes().as_ref());
    bytes.extend_from_slice(&[0]);
    let error = RecordBatch::parse(bytes.freeze()).unwrap_err();
    assert!(
        matches!(error, BatchError::TrailingBytes { trailing_bytes: 1 }),
        "{error}"
    );
}

#[test]
fn a_row_of_batches_is_cut_into_batches() {
    let batches = Compression::ALL.map(batch);
    let mut row = BytesMut::new();
    for (batch, offset) in batches.iter().zip(0..) {
        batch.stamp_into(Offset::new(offset * 3), LeaderEpoch::new(8), &mut row);
    }
    let mut row = row.freeze();
    for (batch, offset) in batches.iter().zip(0..) {
        let first = RecordBatch::parse_first(&mut row).unwrap().unwrap();
        assert_eq!(first.base_offset(), Offset::new(offset * 3));
        assert_eq!(first.leader_epoch(), LeaderEpoch::new(8));
        assert_eq!(first.compression(), batch.compression());
        assert_eq!(first.as_bytes()[16..], batch.as_bytes()[16..]);
    }
    assert_eq!(RecordBatch::parse_first(&mut row).unwrap(), None);
}

#[test]
fn a_stamped_batch_keeps_its_checksum_and_moves_its_records() {
    let unstamped = batch(Compression::Lz4);
    assert_eq!(unstamped.leader_epoch(), LeaderEpoch::new(0));
    let mut out = BytesMut::from(b"before".as_slice());
    unstamped.stamp_into(Offset::new(1 << 40), LeaderEpoch::new(77), &mut out);
    assert_eq!(&out[..6], b"before");

    let stamped = RecordBatch::parse(out.split_off(6).freeze()).unwrap();
    assert_eq!(stamped.leader_epoch(), LeaderEpoch::new(77));
    assert_eq!(stamped.end_offset(), Offset::new((1 << 40) + 3));
    assert_eq!(stamped.producer(), Some(PRODUCER));
    let offsets: Vec<_> = stamped
        .records()
        .unwrap()
        .iter()
        .map(|r| r.offset.get())
        .collect();
    assert_eq!(offsets, [1 << 40, (1 << 40) + 1, (1 << 40) + 2]);
}

#[test]
fn an_epoch_that_the_field_cannot_hold_is_stamped_as_the_last_one() {
    let mut out = BytesMut::new();
    batch(Compression::None).stamp_into(Offset::ZERO, LeaderEpoch::new(u64::MAX), &mut out);
    let stamped = RecordBatch::parse(out.freeze()).unwrap();
    assert_eq!(stamped.leader_epoch(), LeaderEpoch::new(0x7fff_ffff));
}

#[test]
fn the_log_may_set_one_time_for_all_records() {
    let attributes_of_log_append_time = 1_u16 << 3;
    let bytes = overwrite(
        batch(Compression::None).as_bytes(),
        21,
        &attributes_of_log_append_time.to_be_bytes(),
    );
    let batch = RecordBatch::parse(bytes).unwrap();
    for record in batch.records().unwrap() {
        assert_eq!(record.timestamp, batch.max_timestamp());
    }
    batch.verify_records().unwrap();
}

/// Refuses a batch with `field` at `start`, although its checksum is right.
fn refuse(start: usize, field: &[u8]) -> BatchError {
    let bytes = overwrite(batch(Compression::None).as_bytes(), start, field);
    let trusted = RecordBatch::parse_trusted(bytes.clone()).unwrap_err();
    let error = RecordBatch::parse(bytes).unwrap_err();
    assert_eq!(trusted.code(), error.code());
    error
}

#[test]
fn lengths_that_no_batch_has_are_refused() {
    for length in [i32::MIN, -1, 0, 48] {
        let error = refuse(8, &length.to_be_bytes());
        assert!(matches!(error, BatchError::Length { .. }), "{error}");
    }
    for length in [i32::MAX, BATCH_BYTES_MAX as i32 - 11] {
        assert_eq!(
            refuse(8, &length.to_be_bytes()).code(),
            ErrorCode::BatchTooLarge
        );
    }
    let error = refuse(8, &(BATCH_BYTES_MAX as i32 - 12).to_be_bytes());
    assert!(matches!(error, BatchError::Truncated { .. }), "{error}");
}

#[test]
fn other_magics_are_refused() {
    for magic in [0, 1, 3, 0xff] {
        assert!(matches!(refuse(16, &[magic]), BatchError::Magic { .. }));
    }
}

#[test]
fn unknown_codecs_are_refused() {
    for codec in 5..8_u16 {
        assert_eq!(
            refuse(21, &codec.to_be_bytes()).code(),
            ErrorCode::UnknownCodec
        );
    }
}

#[test]
fn transactional_control_and_unknown_attributes_are_refused() {
    for bit in 4..16 {
        let error = refuse(21, &(1_u16 << bit).to_be_bytes());
        assert!(matches!(error, BatchError::Attributes { .. }), "{error}");
        assert_eq!(error.code(), ErrorCode::BatchMalformed);
    }
}

#[test]
fn counts_out_of_range_or_at_odds_with_the_offsets_are_refused() {
    for count in [i32::MIN, -1, 0, BATCH_RECORDS_MAX as i32 + 1, i32::MAX] {
        let error = refuse(57, &count.to_be_bytes());
        assert!(matches!(error, BatchError::RecordCount { .. }), "{error}");
    }
    for last_offset_delta in [i32::MIN, -1, 0, 1, 3, i32::MAX] {
        let error = refuse(23, &last_offset_delta.to_be_bytes());
        assert!(
            matches!(error, BatchError::LastOffsetDelta { .. }),
            "{error}"
        );
    }
}

#[test]
fn offsets_and_epochs_that_no_log_has_are_refused() {
    for base_offset in [-1, i64::MIN, i64::MAX, i64::MAX - 2] {
        let error = refuse(0, &base_offset.to_be_bytes());
        assert!(matches!(error, BatchError::BaseOffset { .. }), "{error}");
    }
    for leader_epoch in [-2, i32::MIN] {
        let error = refuse(12, &leader_epoch.to_be_bytes());
        assert!(matches!(error, BatchError::LeaderEpoch { .. }), "{error}");
    }
}

#[test]
fn producer_fields_come_together_or_not_at_all() {
    let fields = |id: i64, epoch: i16, sequence: i32| {
        let mut fields = Vec::new();
        fields.extend_from_slice(&id.to_be_bytes());
        fields.extend_from_slice(&epoch.to_be_bytes());
        fields.extend_from_slice(&sequence.to_be_bytes());
        fields
    };
    for (id, epoch, sequence) in [
        (-1, 0, 0),
        (0, -1, 0),
        (0, 0, -1),
        (-1, -1, 0),
        (0, -1, -1),
        (-2, -1, -1),
        (-1, -1, -2),
    ] {
        let error = refuse(43, &fields(id, epoch, sequence));
        assert!(matches!(error, BatchError::Producer { .. }), "{error}");
    }
    let absent = overwrite(batch(Compression::None).as_bytes(), 43, &fields(-1, -1, -1));
    assert_eq!(RecordBatch::parse(absent).unwrap().producer(), None);
}

/// The seeds of the fuzz target were written once and stay: they stand for batches on disk.
#[test]
fn batches_that_were_written_earlier_are_still_read() {
    let written: [(Compression, &'static [u8]); 5] = [
        (
            Compression::None,
            include_bytes!("../../../../fuzz/seeds/record_batch/none"),
        ),
        (
            Compression::Gzip,
            include_bytes!("../../../../fuzz/seeds/record_batch/gzip"),
        ),
        (
            Compression::Snappy,
            include_bytes!("../../../../fuzz/seeds/record_batch/snappy"),
        ),
        (
            Compression::Lz4,
            include_bytes!("../../../../fuzz/seeds/record_batch/lz4"),
        ),
        (
            Compression::Zstd,
            include_bytes!("../../../../fuzz/seeds/record_batch/zstd"),
        ),
    ];
    for (compression, bytes) in written {
        let earlier = RecordBatch::parse(Bytes::from_static(bytes)).unwrap();
        assert_eq!(earlier.compression(), compression);
        assert_eq!(earlier.producer(), Some(PRODUCER));
        assert_eq!(
            earlier.records().unwrap(),
            batch(compression).records().unwrap()
        );
    }
}
