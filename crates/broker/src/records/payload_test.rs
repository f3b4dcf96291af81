use std::io::Write;

use flate2::write::GzEncoder;
use flotilla_types::BatchProducer;
use flotilla_types::limits::{BATCH_BYTES_MAX, BATCH_DECOMPRESSED_BYTES_MAX};

use super::*;

const NOW: Timestamp = Timestamp::from_millis(1_000);

fn record(key: Option<&'static str>, value: &'static str) -> v1::Record {
    v1::Record {
        key: key.map(|key| Bytes::from_static(key.as_bytes())),
        value: Some(Bytes::from_static(value.as_bytes())),
        headers: vec![v1::Header {
            key: "h".to_owned(),
            value: Some(Bytes::from_static(b"xy")),
        }],
        timestamp_ms: None,
        message_id: None,
    }
}

fn plain(records: Vec<v1::Record>) -> Payload {
    Payload::Records(v1::PlainRecords { records })
}

fn batch_of(values: &[&[u8]], compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        builder.push(NOW, None, Some(value), &[]).unwrap();
    }
    builder.build(None::<BatchProducer>).unwrap()
}

/// The batch with other bytes in it and a checksum that fits them, as a careless client sends it.
fn forged(batch: &RecordBatch, change: impl FnOnce(&mut Vec<u8>)) -> Payload {
    let mut bytes = batch.as_bytes().to_vec();
    change(&mut bytes);
    let length = u32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let checksum = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&checksum.to_be_bytes());
    Payload::Batch(Bytes::from(bytes))
}

/// CRC-32C, bit by bit.
fn crc32c(bytes: &[u8]) -> u32 {
    let crc = bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg())
        })
    });
    !crc
}

fn small_records(max_record_bytes: u32) -> TopicConfig {
    TopicConfig {
        max_record_bytes,
        ..TopicConfig::default()
    }
}

async fn code_of(payload: &Payload, config: &TopicConfig) -> Option<ErrorCode> {
    to_batch(payload, config, NOW)
        .await
        .err()
        .map(|error| error.code)
}

#[tokio::test]
async fn plain_records_are_packed_in_order_with_all_they_have() {
    let mut dated = record(Some("k"), "two");
    dated.timestamp_ms = Some(77);
    let payload = plain(vec![record(None, "one"), dated]);
    let batch = to_batch(&payload, &TopicConfig::default(), NOW)
        .await
        .unwrap();
    let records = batch.records().unwrap();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].timestamp, NOW);
    assert_eq!(records[0].key, None);
    assert_eq!(records[0].headers[0].key, "h");
    assert_eq!(records[1].timestamp, Timestamp::from_millis(77));
    assert_eq!(records[1].key.as_deref(), Some(&b"k"[..]));
    assert_eq!(records[1].value.as_deref(), Some(&b"two"[..]));
}

#[test]
fn a_key_picks_the_partition_and_without_one_a_message_id_does() {
    let identified = |key, id: &str| v1::Record {
        message_id: Some(id.to_owned()),
        ..record(key, "x")
    };
    let choose = |records: Vec<v1::Record>, turn| {
        choose_partition(&plain(records), 100, turn).map_err(|error| error.code)
    };
    let by_text = |text: &str| Ok(partition_of_key(text.as_bytes(), 100));
    let keyed = || identified(Some("k"), "a");
    assert_eq!(
        choose(vec![keyed(), identified(Some("k"), "b")], 0),
        by_text("k")
    );
    for turn in [0, 1] {
        assert_eq!(choose(vec![identified(None, "a")], turn), by_text("a"));
        let next = PartitionIndex::new(turn);
        assert_eq!(choose(vec![record(None, "x")], turn), Ok(next));
    }
    let refused = Err(ErrorCode::InvalidArgument);
    let two_ids = vec![identified(None, "a"), identified(None, "b")];
    assert_eq!(choose(two_ids, 0), refused);
    assert_eq!(
        choose(vec![identified(None, "a"), record(None, "x")], 0),
        refused
    );
}

#[tokio::test]
async fn a_record_over_the_topics_limit_is_refused_however_it_comes() {
    let at_limit = small_records(6);
    let below = small_records(5);
    let payload = plain(vec![record(None, "one")]);
    assert_eq!(code_of(&payload, &at_limit).await, None, "3 + 3 bytes");
    assert_eq!(
        code_of(&payload, &below).await,
        Some(ErrorCode::BatchTooLarge)
    );

    let zeros = [0_u8; 4_096];
    for compression in [Compression::None, Compression::Zstd, Compression::Gzip] {
        let batch = batch_of(&[b"small", &zeros], compression);
        let payload = Payload::Batch(batch.into_bytes());
        assert_eq!(code_of(&payload, &small_records(4_096)).await, None);
        let code = code_of(&payload, &small_records(4_095)).await;
        assert_eq!(code, Some(ErrorCode::BatchTooLarge), "{compression}");
    }
}

#[tokio::test]
async fn a_count_that_the_records_do_not_bear_out_is_refused() {
    let batch = batch_of(&[b"a", b"b", b"c"], Compression::None);
    for claimed in [2_u32, 4] {
        let payload = forged(&batch, |bytes| {
            bytes[23..27].copy_from_slice(&(claimed - 1).to_be_bytes());
            bytes[57..61].copy_from_slice(&claimed.to_be_bytes());
        });
        let code = code_of(&payload, &TopicConfig::default()).await;
        assert_eq!(code, Some(ErrorCode::BatchMalformed), "{claimed} of 3");
    }
}

#[tokio::test]
async fn damage_magic_codec_and_length_have_their_codes() {
    let batch = batch_of(&[b"a"], Compression::None);
    let config = TopicConfig::default();
    let mut damaged = batch.as_bytes().to_vec();
    *damaged.last_mut().unwrap() ^= 1;
    let code = code_of(&Payload::Batch(damaged.into()), &config).await;
    assert_eq!(code, Some(ErrorCode::ChecksumMismatch));

    let magic = forged(&batch, |bytes| bytes[16] = 1);
    assert_eq!(
        code_of(&magic, &config).await,
        Some(ErrorCode::BatchMalformed)
    );
    let codec = forged(&batch, |bytes| bytes[22] = 7);
    assert_eq!(
        code_of(&codec, &config).await,
        Some(ErrorCode::UnknownCodec)
    );
    let half = batch.as_bytes().slice(..batch.len() - 1);
    let code = code_of(&Payload::Batch(half), &config).await;
    assert_eq!(code, Some(ErrorCode::BatchMalformed));
}

#[tokio::test]
async fn a_batch_over_the_limit_and_a_bomb_are_too_large() {
    let config = TopicConfig::default();
    let batch = batch_of(&[b"a"], Compression::None);
    let huge = forged(&batch, |bytes| bytes.resize(BATCH_BYTES_MAX + 1, 0));
    assert_eq!(
        code_of(&huge, &config).await,
        Some(ErrorCode::BatchTooLarge)
    );

    let mut bomb = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..=BATCH_DECOMPRESSED_BYTES_MAX / zeros.len() {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let bomb = forged(&batch, |bytes| {
        bytes[22] = 1;
        bytes.truncate(RecordBatch::HEADER_BYTES);
        bytes.extend_from_slice(&bomb);
    });
    assert_eq!(
        code_of(&bomb, &config).await,
        Some(ErrorCode::BatchTooLarge)
    );
}

#[test]
fn a_key_chooses_its_partition_and_the_turn_decides_without_one() {
    let keyed = plain(vec![record(Some("21"), "a"), record(Some("21"), "b")]);
    let expected = partition_of_key(b"21", 12);
    for turn in [0, 5] {
        assert_eq!(choose_partition(&keyed, 12, turn), Ok(expected));
    }
    let keyless = plain(vec![record(None, "a"), record(None, "b")]);
    let chosen = (0..4).map(|turn| choose_partition(&keyless, 3, turn).unwrap().get());
    assert_eq!(chosen.collect::<Vec<_>>(), [0, 1, 2, 0]);
}

#[test]
fn what_has_no_single_partition_must_name_one() {
    let batch = batch_of(&[b"a"], Compression::None);
    let payloads = [
        plain(Vec::new()),
        plain(vec![record(Some("a"), "1"), record(Some("b"), "2")]),
        plain(vec![record(None, "1"), record(Some("b"), "2")]),
        Payload::Batch(batch.into_bytes()),
    ];
    for payload in payloads {
        let error = choose_partition(&payload, 3, 0).unwrap_err();
        assert_eq!(error.code, ErrorCode::InvalidArgument);
    }
}
