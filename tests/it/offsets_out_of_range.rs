//! Places that are not in the log.

use flotilla_client::{
    Client, Consumer, ConsumerConfig, ErrorCode, Offset, OffsetSpec, OutOfRange, ProducerConfig,
    ProducerRecord, Timestamp, TopicName, Until,
};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;

use crate::topics::{FIRST, create, name};

const RECORD_COUNT: u64 = 3;

async fn write(client: &Client, topic: &TopicName, count: u64) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for number in 0..count {
        let timestamp = Timestamp::from_millis(1_000 * i64::try_from(number).unwrap());
        let record = ProducerRecord::new(topic.clone(), "x").timestamp(timestamp);
        producer.send(record).await.unwrap().await.unwrap();
    }
}

fn consumer(client: &Client, until: Until, out_of_range: OutOfRange) -> Consumer {
    let config = ConsumerConfig {
        until,
        out_of_range,
        ..ConsumerConfig::default()
    };
    client.consumer(config).unwrap()
}

async fn offsets(consumer: &mut Consumer) -> Vec<u64> {
    let records = consumer.poll(100).await.unwrap();
    records.iter().map(|record| record.offset.get()).collect()
}

/// Goal: a position outside the log is refused with the positions that are inside, or replaced as the
/// consumer asked; the end itself is inside.
#[tokio::test(flavor = "multi_thread")]
async fn a_position_outside_the_log_is_refused_or_replaced() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    write(&client, &topic, RECORD_COUNT).await;
    let above = OffsetSpec::Offset(Offset::new(RECORD_COUNT + 1));
    let end = OffsetSpec::Offset(Offset::new(RECORD_COUNT));

    phase("fail");
    let mut failing = consumer(&client, Until::HighWatermark, OutOfRange::Fail);
    failing.assign(&topic, FIRST, above);
    let error = failing.poll(1).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::OffsetOutOfRange);
    let readable = error.api_error().and_then(|error| error.offsets()).unwrap();
    assert_eq!(readable.log_start, Offset::ZERO);
    assert_eq!(readable.high_watermark, Offset::new(RECORD_COUNT));
    failing.assign(&topic, FIRST, end);
    assert_eq!(offsets(&mut failing).await, [0; 0]);

    phase("go back to the start");
    let mut returning = consumer(&client, Until::HighWatermark, OutOfRange::Earliest);
    returning.assign(&topic, FIRST, above);
    assert_eq!(offsets(&mut returning).await, [0, 1, 2]);

    phase("go on at the end");
    let mut waiting = consumer(&client, Until::Forever, OutOfRange::Latest);
    waiting.assign(&topic, FIRST, above);
    // When it looks for the end is its own affair, so records come until it has seen one.
    let mut written = RECORD_COUNT;
    let seen = loop {
        tokio::select! {
            biased;
            seen = offsets(&mut waiting) => break seen,
            () = write(&client, &topic, 1) => written += 1,
        }
    };
    let first = seen[0];
    assert!(
        (RECORD_COUNT..=written).contains(&first),
        "{first} of {written}"
    );
}

/// Goal: ends and moments are translated into offsets.
#[tokio::test(flavor = "multi_thread")]
async fn ends_and_moments_have_offsets() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    write(&client, &topic, RECORD_COUNT).await;
    let at = |millis| OffsetSpec::Timestamp(Timestamp::from_millis(millis));
    for (spec, expected) in [
        (OffsetSpec::Earliest, 0),
        (OffsetSpec::Latest, RECORD_COUNT),
        (at(0), 0),
        (at(1), 1),
        (at(2_000), 2),
        (at(2_001), RECORD_COUNT),
    ] {
        let listed = client
            .admin()
            .list_offsets(&topic, &[], spec)
            .await
            .unwrap();
        let offsets: Vec<_> = listed
            .into_iter()
            .map(|line| line.offset.unwrap().get())
            .collect();
        assert_eq!(offsets, [expected], "{spec:?}");
    }
}
