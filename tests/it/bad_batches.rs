//! Batches that must not get in, and what is not harmed by them.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression as GzipLevel;
use flate2::write::GzEncoder;
use flotilla_client::{ApiError, Compression, ErrorCode, NewTopic, OffsetSpec, Timestamp};
use flotilla_protocol::v1;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_types::{BatchBuilder, RecordBatch};

use crate::raw_api::{RawNode, batch_request};
use crate::topics::{FIRST, name};

const MAX_RECORD_BYTES: usize = 1_000;
/// Decompressed, more than any node is ready to hold for one batch.
const BOMB_BYTES: usize = 64 << 20;

/// Where the fields of a batch's header are.
const LENGTH: usize = 8;
/// The length counts what follows it.
const LENGTH_END: usize = 12;
const MAGIC: usize = 16;
const CHECKSUM: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const RECORD_COUNT: usize = 57;

fn batch(values: &[&[u8]], compression: Compression) -> Vec<u8> {
    let mut builder = BatchBuilder::new(compression);
    for value in values {
        let timestamp = Timestamp::from_millis(1_700_000_000_000);
        builder.push(timestamp, None, Some(value), &[]).unwrap();
    }
    builder.build(None).unwrap().into_bytes().to_vec()
}

fn two_records() -> Vec<u8> {
    batch(&[b"one", b"two"], Compression::None)
}

/// The batch with some bytes replaced and, but for the checksum itself, a checksum that fits.
fn forged(mut batch: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    batch[at..at + bytes.len()].copy_from_slice(bytes);
    if at != CHECKSUM {
        seal(&mut batch);
    }
    batch
}

fn seal(batch: &mut [u8]) {
    let checksum = crc32c::crc32c(&batch[ATTRIBUTES..]);
    batch[CHECKSUM..ATTRIBUTES].copy_from_slice(&checksum.to_be_bytes());
}

/// A small batch whose records become enormous.
fn bomb() -> Vec<u8> {
    const GZIP: [u8; 2] = [0, 1];
    let mut zeros = GzEncoder::new(Vec::new(), GzipLevel::best());
    let block = vec![0; 1 << 20];
    for _ in 0..BOMB_BYTES / block.len() {
        zeros.write_all(&block).unwrap();
    }
    let mut bomb = batch(&[b"x"], Compression::None);
    bomb.truncate(RecordBatch::HEADER_BYTES);
    bomb.extend(zeros.finish().unwrap());
    let length = u32::try_from(bomb.len() - LENGTH_END).unwrap();
    forged(
        forged(bomb, LENGTH, &length.to_be_bytes()),
        ATTRIBUTES,
        &GZIP,
    )
}

fn bad_batches() -> Vec<(&'static str, Vec<u8>, ErrorCode)> {
    use ErrorCode::{BatchMalformed, BatchTooLarge, ChecksumMismatch, UnknownCodec};
    let good = two_records();
    let short = good[..good.len() - 1].to_vec();
    let twice = [&good[..], &good].concat();
    let mut damaged = good.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let longer = (good.len() as u32 - 11).to_be_bytes();
    let mut three = forged(good.clone(), LAST_OFFSET_DELTA, &2_u32.to_be_bytes());
    three = forged(three, RECORD_COUNT, &3_u32.to_be_bytes());
    let mut one = forged(good.clone(), LAST_OFFSET_DELTA, &0_u32.to_be_bytes());
    one = forged(one, RECORD_COUNT, &1_u32.to_be_bytes());
    let large = vec![b'x'; MAX_RECORD_BYTES + 1];
    vec![
        ("nothing", Vec::new(), BatchMalformed),
        ("noise", vec![0xA5; 100], BatchMalformed),
        (
            "a wrong checksum",
            forged(good.clone(), CHECKSUM, &[0; 4]),
            ChecksumMismatch,
        ),
        ("a flipped bit", damaged, ChecksumMismatch),
        (
            "an old magic",
            forged(good.clone(), MAGIC, &[1]),
            BatchMalformed,
        ),
        ("a missing end", short, BatchMalformed),
        ("a second batch", twice, BatchMalformed),
        (
            "a length that is too large",
            forged(good.clone(), LENGTH, &longer),
            BatchMalformed,
        ),
        (
            "a negative length",
            forged(good.clone(), LENGTH, &[0xFF; 4]),
            BatchMalformed,
        ),
        ("a record too few", three, BatchMalformed),
        ("a record too many", one, BatchMalformed),
        (
            "no records",
            forged(good.clone(), RECORD_COUNT, &[0; 4]),
            BatchMalformed,
        ),
        (
            "an unknown codec",
            forged(good.clone(), ATTRIBUTES, &[0, 7]),
            UnknownCodec,
        ),
        (
            "a codec that was not used",
            forged(good, ATTRIBUTES, &[0, 4]),
            BatchMalformed,
        ),
        ("a decompression bomb", bomb(), BatchTooLarge),
        (
            "a large record",
            batch(&[&large], Compression::None),
            BatchTooLarge,
        ),
        (
            "a large record, compressed",
            batch(&[&large], Compression::Zstd),
            BatchTooLarge,
        ),
    ]
}

/// Goal: nothing but sound batches is stored, each refusal says why, and neither the node nor the
/// stream nor the partition suffers.
#[tokio::test(flavor = "multi_thread")]
async fn bad_batches_are_refused_and_leave_no_trace() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    let limited =
        NewTopic::new(topic.clone()).config("max_record_bytes", MAX_RECORD_BYTES.to_string());
    client.admin().create_topic(limited).await.unwrap();

    for node in cluster.nodes() {
        let node = RawNode::of(node);
        phase("one by one");
        for (what, batch, code) in bad_batches() {
            let refused = node.produce(batch_request(&topic, batch)).await;
            let error = refused.expect_err(what);
            assert_eq!(error.code, code, "{what}: {error}");
        }
        phase("on one stream");
        let requests = (0..)
            .zip(bad_batches())
            .map(|(correlation_id, (_, batch, _))| {
                let request = batch_request(&topic, batch);
                v1::ProduceRequest {
                    correlation_id,
                    ..request
                }
            });
        let requests: Vec<_> = requests.collect();
        let stream = futures::stream::iter(requests);
        let answers = node.producer().produce_stream(stream).await.unwrap();
        let mut answers = answers.into_inner();
        let mut left = bad_batches();
        for expected in (0..).zip(left.drain(..)) {
            let (correlation_id, (what, _, code)) = expected;
            let answer = answers.message().await.unwrap().expect(what);
            assert_eq!(answer.correlation_id, correlation_id);
            let error = ApiError::from(answer.error.expect(what));
            assert_eq!(error.code, code, "{what}: {error}");
        }
    }

    phase("a sound batch gets the first offset");
    let node = RawNode::of(&cluster.nodes()[0]);
    let stored = node
        .produce(batch_request(&topic, two_records()))
        .await
        .unwrap();
    assert_eq!((stored.base_offset, stored.end_offset), (0, 2));
    let records = node
        .read(&topic, FIRST, OffsetSpec::Earliest)
        .await
        .unwrap();
    let values: Vec<_> = records
        .into_iter()
        .map(|record| record.value.unwrap())
        .collect();
    assert_eq!(values, [Bytes::from("one"), Bytes::from("two")]);
}
