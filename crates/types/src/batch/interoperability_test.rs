//! Batches of ours are read, and batches for us are written, by an implementation that is not ours.

use bytes::{Bytes, BytesMut};
use kafka_protocol::records as theirs;

use super::{BatchBuilder, BatchProducer, Compression, Header, Record, RecordBatch};
use crate::{LeaderEpoch, Offset, ProducerEpoch, ProducerId, Sequence, Timestamp};

const BASE_OFFSET: i64 = 1 << 33;
const BASE_TIMESTAMP: i64 = 1_700_000_000_000;

fn their_codec(compression: Compression) -> theirs::Compression {
    match compression {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

/// Enough records, long enough, for several blocks of each codec.
fn records() -> Vec<Record> {
    let header = |key: &str, value: Option<&str>| Header {
        key: key.to_owned(),
        value: value.map(|value| Bytes::from(value.to_owned())),
    };
    (0..2_000_i64)
        .map(|position| Record {
            offset: Offset::new((BASE_OFFSET + position) as u64),
            timestamp: Timestamp::from_millis(BASE_TIMESTAMP + position * 37 % 1_000),
            key: (position % 3 != 0).then(|| Bytes::from(format!("key-{position}"))),
            value: (position % 5 != 0).then(|| {
                Bytes::from(format!("value {position} ").repeat((position % 40) as usize))
            }),
            headers: match position % 4 {
                0 => vec![],
                1 => vec![header("type", Some("order")), header("trace", None)],
                2 => vec![header("", Some(""))],
                _ => vec![
                    header("größe", Some("✓")),
                    header("b", Some("2")),
                    header("a", None),
                ],
            },
        })
        .collect()
}

fn producer() -> BatchProducer {
    BatchProducer {
        id: ProducerId::new(u64::from(u32::MAX) * 3),
        epoch: ProducerEpoch::new(12),
        base_sequence: Sequence::new(345),
    }
}

fn to_theirs(record: &Record, producer: Option<BatchProducer>) -> theirs::Record {
    let position = record.offset.get() as i64 - BASE_OFFSET;
    theirs::Record {
        transactional: false,
        control: false,
        delete_horizon: false,
        partition_leader_epoch: 6,
        producer_id: producer.map_or(theirs::NO_PRODUCER_ID, |p| p.id.get() as i64),
        producer_epoch: producer.map_or(theirs::NO_PRODUCER_EPOCH, |p| p.epoch.get() as i16),
        timestamp_type: theirs::TimestampType::Creation,
        offset: record.offset.get() as i64,
        // Their sequences run on from the base, that of a batch without a producer being -1.
        sequence: producer.map_or(theirs::NO_SEQUENCE, |p| p.base_sequence.get() as i32)
            + position as i32,
        timestamp: record.timestamp.as_millis(),
        key: record.key.clone(),
        value: record.value.clone(),
        headers: record
            .headers
            .iter()
            .map(|header| (header.key.clone().into(), header.value.clone()))
            .collect(),
    }
}

/// Their zstd is switched off: it would compile the library a second time, with other features than
/// ours. So the test hands it in, as plain zstd frames, which is what Kafka has.
fn decode_by_theirs(mut bytes: Bytes, compression: Compression) -> theirs::RecordSet {
    let decoded = if compression == Compression::Zstd {
        let decompress = |packed: &mut Bytes, _| Ok(Bytes::from(zstd::decode_all(&packed[..])?));
        theirs::RecordBatchDecoder::decode_with_custom_compression(&mut bytes, Some(decompress))
    } else {
        theirs::RecordBatchDecoder::decode(&mut bytes)
    };
    decoded.unwrap()
}

fn encode_by_theirs(
    out: &mut BytesMut,
    records: &[theirs::Record],
    options: &theirs::RecordEncodeOptions,
) {
    let encoded = if options.compression == theirs::Compression::Zstd {
        let compress = |plain: &mut BytesMut, out: &mut BytesMut, _| {
            out.extend_from_slice(&zstd::encode_all(&plain[..], 3)?);
            Ok(())
        };
        theirs::RecordBatchEncoder::encode_with_custom_compression(
            out,
            records,
            options,
            Some(compress),
        )
    } else {
        theirs::RecordBatchEncoder::encode(out, records, options)
    };
    encoded.unwrap();
}

#[test]
fn our_batches_are_read_by_others() {
    for compression in Compression::ALL {
        for producer in [None, Some(producer())] {
            let mut builder = BatchBuilder::new(compression);
            for Record {
                timestamp,
                key,
                value,
                headers,
                ..
            } in records()
            {
                builder
                    .push(timestamp, key.as_deref(), value.as_deref(), &headers)
                    .unwrap();
            }
            let batch = builder.build(producer).unwrap();
            assert_eq!(batch.compression(), compression);
            let mut bytes = BytesMut::new();
            batch.stamp_into(
                Offset::new(BASE_OFFSET as u64),
                LeaderEpoch::new(6),
                &mut bytes,
            );

            let decoded = decode_by_theirs(bytes.freeze(), compression);
            assert_eq!(decoded.compression, their_codec(compression));
            let expected: Vec<_> = records()
                .iter()
                .map(|record| to_theirs(record, producer))
                .collect();
            assert_eq!(decoded.records, expected);
        }
    }
}

#[test]
fn batches_of_others_are_read_by_us() {
    for compression in Compression::ALL {
        for producer in [None, Some(producer())] {
            let to_encode: Vec<_> = records()
                .iter()
                .map(|record| to_theirs(record, producer))
                .collect();
            let mut bytes = BytesMut::new();
            let options = theirs::RecordEncodeOptions {
                version: 2,
                compression: their_codec(compression),
            };
            encode_by_theirs(&mut bytes, &to_encode, &options);

            let batch = RecordBatch::parse(bytes.freeze()).unwrap();
            assert_eq!(batch.compression(), compression);
            assert_eq!(batch.producer(), producer);
            assert_eq!(batch.base_offset(), Offset::new(BASE_OFFSET as u64));
            assert_eq!(batch.leader_epoch(), LeaderEpoch::new(6));
            assert_eq!(
                batch.max_timestamp(),
                Timestamp::from_millis(BASE_TIMESTAMP + 999)
            );
            batch.verify_records().unwrap();
            assert_eq!(batch.records().unwrap(), records());
        }
    }
}

#[test]
fn both_sides_write_the_same_bytes_where_nothing_is_compressed() {
    let mut builder = BatchBuilder::new(Compression::None);
    for Record {
        timestamp,
        key,
        value,
        headers,
        ..
    } in records()
    {
        builder
            .push(timestamp, key.as_deref(), value.as_deref(), &headers)
            .unwrap();
    }
    let mut ours = BytesMut::new();
    builder.build(Some(producer())).unwrap().stamp_into(
        Offset::new(BASE_OFFSET as u64),
        LeaderEpoch::new(6),
        &mut ours,
    );
    let to_encode: Vec<_> = records()
        .iter()
        .map(|record| to_theirs(record, Some(producer())))
        .collect();
    let options = theirs::RecordEncodeOptions {
        version: 2,
        compression: theirs::Compression::None,
    };
    let mut other = BytesMut::new();
    theirs::RecordBatchEncoder::encode(&mut other, &to_encode, &options).unwrap();
    assert_eq!(ours, other);
}
