use bytes::{Bytes, BytesMut};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::samples::{batch, replace_records};
use super::{BatchBuilder, BatchProducer, Compression, Header, Record, RecordBatch};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

fn any_bytes() -> impl Strategy<Value = Option<Bytes>> {
    // Few different bytes, so that some batches do shrink when they are compressed.
    option::of(vec(0..3_u8, 0..200).prop_map(Bytes::from))
}

fn any_header() -> impl Strategy<Value = Header> {
    (any::<String>(), any_bytes()).prop_map(|(key, value)| Header { key, value })
}

prop_compose! {
    /// A record but for its offset, which the batch decides.
    fn any_record()(
        millis in -(1_i64 << 61)..(1 << 61),
        key in any_bytes(),
        value in any_bytes(),
        headers in vec(any_header(), 0..4),
    ) -> Record {
        Record { offset: Offset::ZERO, timestamp: Timestamp::from_millis(millis), key, value, headers }
    }
}

prop_compose! {
    fn any_producer()(
        id in 0..(1_u64 << 63),
        epoch in 0..(1_u16 << 15),
        base_sequence in 0..(1_u32 << 31),
    ) -> BatchProducer {
        BatchProducer {
            id: ProducerId::new(id),
            epoch: ProducerEpoch::new(epoch),
            base_sequence: Sequence::new(base_sequence),
        }
    }
}

proptest! {
    #[test]
    fn records_come_out_as_they_went_in(
        compression in select(Compression::ALL.as_slice()),
        mut records in vec(any_record(), 1..20),
        producer in option::of(any_producer()),
        base_offset in 0..(1_u64 << 62),
        leader_epoch in 0..(1_u64 << 31),
    ) {
        let mut builder = BatchBuilder::new(compression);
        for Record { timestamp, key, value, headers, .. } in &records {
            builder.push(*timestamp, key.as_deref(), value.as_deref(), headers).unwrap();
        }
        let estimated_bytes = builder.estimated_bytes();
        let built = builder.build(producer).unwrap();
        prop_assert!(built.len() <= estimated_bytes);

        let mut stamped = BytesMut::new();
        built.stamp_into(Offset::new(base_offset), LeaderEpoch::new(leader_epoch), &mut stamped);
        let batch = RecordBatch::parse(stamped.freeze()).unwrap();
        prop_assert_eq!(batch.producer(), producer);
        prop_assert_eq!(batch.leader_epoch(), LeaderEpoch::new(leader_epoch));
        prop_assert_eq!(batch.base_timestamp(), records[0].timestamp);
        prop_assert_eq!(Some(batch.max_timestamp()), records.iter().map(|r| r.timestamp).max());
        for (record, offset) in records.iter_mut().zip(base_offset..) {
            record.offset = Offset::new(offset);
        }
        prop_assert_eq!(batch.records().unwrap(), records);
        batch.verify_records().unwrap();
    }

    #[test]
    fn arbitrary_bytes_are_no_batch(bytes: Vec<u8>) {
        let bytes = Bytes::from(bytes);
        prop_assert!(RecordBatch::parse(bytes.clone()).is_err());
        prop_assert!(RecordBatch::parse_trusted(bytes.clone()).is_err());
        prop_assert_eq!(RecordBatch::parse_first(&mut bytes.clone()).is_err(), !bytes.is_empty());
    }

    #[test]
    fn arbitrary_records_under_a_sound_header_never_panic(
        compression in select(Compression::ALL.as_slice()),
        records: Vec<u8>,
    ) {
        let batch = replace_records(&batch(compression), &records);
        prop_assert!(batch.records().is_err());
        prop_assert!(batch.verify_records().is_err());
    }

    #[test]
    fn damaged_records_are_read_alike_by_all_readers(
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut records = batch(Compression::None).as_bytes()[RecordBatch::HEADER_BYTES..].to_vec();
        for (position, byte) in damage {
            let position = position.index(records.len());
            records[position] = byte;
        }
        let batch = replace_records(&batch(Compression::None), &records);
        if batch.verify_records().is_ok() {
            prop_assert_eq!(batch.records().unwrap().len(), 3);
        }
    }
}
