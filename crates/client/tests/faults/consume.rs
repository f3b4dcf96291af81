//! What a consumer promises when things go wrong.

use std::ops::Range;
use std::time::Duration;

use flotilla_client::{
    Compression, Consumer, ConsumerConfig, ErrorCode, Offset, OffsetSpec, OutOfRange, Timestamp,
    Until,
};
use flotilla_types::BatchBuilder;
use futures::{FutureExt, TryStreamExt};

use crate::fake_cluster::{FakeCluster, FetchFault, TOPIC, partition, topic};

/// A cluster whose partition 0 has `batch_count` batches of two records, `0`, `1`, `2` and so on. A
/// record's timestamp is ten times its offset.
async fn filled(node_count: usize, batch_count: u32) -> FakeCluster {
    let cluster = FakeCluster::start(node_count, 1).await;
    append(&cluster, 0..batch_count);
    cluster
}

fn append(cluster: &FakeCluster, batches: Range<u32>) {
    cluster.change(|state| {
        let log = state.partition(TOPIC, 0).unwrap();
        for batch in batches {
            let mut records = BatchBuilder::new(Compression::Lz4);
            for number in [batch * 2, batch * 2 + 1] {
                let timestamp = Timestamp::from_millis(i64::from(number) * 10);
                let value = number.to_string();
                (records.push(timestamp, None, Some(value.as_bytes()), &[])).unwrap();
            }
            log.append(&records.build(None).unwrap()).unwrap();
        }
    });
}

async fn consumer(cluster: &FakeCluster, config: ConsumerConfig) -> Consumer {
    cluster.client().await.consumer(config).unwrap()
}

fn to_the_end() -> ConsumerConfig {
    ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    }
}

fn numbers(range: Range<u32>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// Polls until `count` records are there, or until there are no more.
async fn read(consumer: &mut Consumer, count: usize) -> Vec<String> {
    let mut values = Vec::new();
    while values.len() < count {
        let records = consumer.poll(count - values.len()).await.unwrap();
        if records.is_empty() {
            break;
        }
        values.extend(records.into_iter().map(|record| {
            String::from_utf8(record.value.expect("no tombstones here").to_vec()).unwrap()
        }));
    }
    values
}

#[tokio::test]
async fn it_reads_from_where_it_is_told() {
    let cluster = filled(1, 5).await;
    let at = |offset| OffsetSpec::Offset(Offset::new(offset));
    for (start, expected) in [
        (OffsetSpec::Earliest, 0..10),
        (at(4), 4..10),
        (at(5), 5..10),
        (at(10), 10..10),
        (OffsetSpec::Timestamp(Timestamp::from_millis(65)), 7..10),
        (OffsetSpec::Latest, 10..10),
    ] {
        let mut consumer = consumer(&cluster, to_the_end()).await;
        consumer.assign(&topic(), partition(0), start);
        assert_eq!(
            read(&mut consumer, 100).await,
            numbers(expected),
            "{start:?}"
        );
        assert_eq!(
            consumer.position(&topic(), partition(0)),
            Some(Offset::new(10))
        );
    }
}

#[tokio::test]
async fn it_goes_on_where_it_was_when_streams_break_and_leaders_move() {
    let cluster = filled(3, 100).await;
    let faults = [
        None,
        Some(FetchFault::Break),
        None,
        Some(FetchFault::MoveLeader),
    ];
    (cluster.state().fetch_faults).extend(faults.iter().cycle().take(120));
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(read(&mut consumer, 200).await, numbers(0..200));
}

#[tokio::test]
async fn it_waits_for_new_records() {
    let cluster = filled(1, 1).await;
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(read(&mut consumer, 2).await, numbers(0..2));
    assert!(consumer.poll(1).now_or_never().is_none());
    append(&cluster, 1..2);
    assert_eq!(read(&mut consumer, 2).await, numbers(2..4));
}

#[tokio::test]
async fn latest_keeps_its_meaning_when_the_stream_breaks_before_the_first_record() {
    let cluster = filled(2, 1).await;
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Latest);
    while consumer.position(&topic(), partition(0)).is_none() {
        // Takes in what has come, and what has come is the place that `latest` stands for.
        let _ = consumer.poll(1).now_or_never();
        tokio::task::yield_now().await;
    }
    cluster.change(|state| state.move_leader(TOPIC, 0));
    append(&cluster, 1..3);
    assert_eq!(read(&mut consumer, 4).await, numbers(2..6));
}

#[tokio::test]
async fn a_position_outside_the_log_is_an_error_unless_told_otherwise() {
    let cluster = filled(1, 5).await;
    cluster.state().partition(TOPIC, 0).unwrap().log_start = 4;
    for (out_of_range, expected) in [
        (OutOfRange::Fail, None),
        (OutOfRange::Earliest, Some(4..10)),
        (OutOfRange::Latest, Some(10..10)),
    ] {
        let config = ConsumerConfig {
            out_of_range,
            ..to_the_end()
        };
        let mut consumer = consumer(&cluster, config).await;
        let start = OffsetSpec::Offset(Offset::new(1));
        consumer.assign(&topic(), partition(0), start);
        match expected {
            Some(expected) => assert_eq!(read(&mut consumer, 100).await, numbers(expected)),
            None => {
                let error = consumer.poll(1).await.unwrap_err();
                assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
                let offsets = error.api_error().unwrap().offsets().unwrap();
                assert_eq!(offsets.log_start, Offset::new(4));
                assert!(consumer.poll(1).await.unwrap().is_empty(), "it has stopped");
            }
        }
    }
}

#[tokio::test]
async fn a_flipped_bit_is_an_error_and_never_a_record() {
    let cluster = filled(1, 3).await;
    (cluster.state().fetch_faults).extend([None, Some(FetchFault::Corrupt)]);
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(read(&mut consumer, 2).await, numbers(0..2));
    let error = consumer.poll(1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::ChecksumMismatch);

    let position = consumer.position(&topic(), partition(0)).unwrap();
    consumer.seek(&topic(), partition(0), OffsetSpec::Offset(position));
    assert_eq!(read(&mut consumer, 4).await, numbers(2..6));
}

#[tokio::test]
async fn records_before_trouble_are_handed_out_before_it() {
    let cluster = filled(1, 2).await;
    (cluster.state().fetch_faults).extend([None, Some(FetchFault::Corrupt)]);
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(read(&mut consumer, 1).await, numbers(0..1));
    let error = loop {
        // However the answers arrive, record 1 comes first and the error after it.
        match consumer.poll(10).await {
            Ok(records) => assert_eq!(records[0].offset, Offset::new(1)),
            Err(error) => break error,
        }
    };
    assert_eq!(error.code(), ErrorCode::ChecksumMismatch);
    let position = consumer.position(&topic(), partition(0));
    assert_eq!(position, Some(Offset::new(2)));
}

#[tokio::test]
async fn a_seek_drops_what_was_fetched_from_elsewhere() {
    let cluster = filled(1, 50).await;
    let mut consumer = consumer(&cluster, ConsumerConfig::default()).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    assert_eq!(read(&mut consumer, 5).await, numbers(0..5));
    let start = OffsetSpec::Offset(Offset::new(90));
    consumer.seek(&topic(), partition(0), start);
    assert_eq!(read(&mut consumer, 10).await, numbers(90..100));
    consumer.unassign(&topic(), partition(0));
    assert!(consumer.poll(1).await.unwrap().is_empty());
}

#[tokio::test]
async fn dropping_a_stream_loses_no_record() {
    let cluster = filled(1, 10).await;
    let mut consumer = consumer(&cluster, to_the_end()).await;
    consumer
        .assign_topic(&topic(), OffsetSpec::Earliest)
        .await
        .unwrap();
    for expected in 0..3 {
        let mut stream = std::pin::pin!(consumer.stream());
        let record = stream.try_next().await.unwrap().unwrap();
        assert_eq!(record.offset, Offset::new(expected));
    }
    let rest: Vec<_> = consumer.stream().try_collect().await.unwrap();
    assert_eq!(rest.len(), 17);
}

#[tokio::test]
async fn lasting_trouble_is_reported_and_survived() {
    let cluster = filled(1, 1).await;
    let config = ConsumerConfig {
        retry_timeout: Duration::from_millis(50),
        ..ConsumerConfig::default()
    };
    let mut consumer = consumer(&cluster, config).await;
    cluster.state().partition(TOPIC, 0).unwrap().leader = None;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    let error = consumer.poll(1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.is_retryable());

    cluster.state().partition(TOPIC, 0).unwrap().leader = Some(0);
    let records = loop {
        // More of the same may have been on its way.
        match consumer.poll(2).await {
            Ok(records) => break records,
            Err(error) => assert_eq!(error.code(), ErrorCode::Timeout),
        }
    };
    assert_eq!(records.len(), 2);
}

/// A consumer that is slower than its node never holds more than its budget, one answer, and what
/// HTTP/2 and the node have under way.
#[tokio::test]
async fn a_slow_consumer_slows_the_node_down() {
    const BATCH_BYTES: u64 = 256 << 10;
    const BATCHES: u64 = 100;
    const UNDER_WAY: u64 = (4 << 20) + 4 * BATCH_BYTES;

    let cluster = FakeCluster::start(1, 1).await;
    cluster.change(|state| {
        let log = state.partition(TOPIC, 0).unwrap();
        for _ in 0..BATCHES {
            let mut records = BatchBuilder::new(Compression::None);
            let value = vec![b'x'; BATCH_BYTES as usize];
            let timestamp = Timestamp::from_millis(0);
            records.push(timestamp, None, Some(&value), &[]).unwrap();
            log.append(&records.build(None).unwrap()).unwrap();
        }
    });
    let config = ConsumerConfig {
        prefetch_bytes: 2 * BATCH_BYTES as usize,
        ..to_the_end()
    };
    let mut consumer = consumer(&cluster, config).await;
    consumer.assign(&topic(), partition(0), OffsetSpec::Earliest);
    for polled in 1..=BATCHES {
        assert_eq!(consumer.poll(1).await.unwrap().len(), 1);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        let fetched = cluster.state().fetched_bytes;
        let allowed = (polled + 3) * (BATCH_BYTES + 100) + UNDER_WAY;
        assert!(fetched <= allowed, "{fetched} bytes after {polled} batches");
    }
    assert!(consumer.poll(1).await.unwrap().is_empty());
}
