//! A record that was appended longer ago than its topic keeps records is served by nobody.

use std::time::{Duration, Instant};

use flotilla_client::{
    ErrorCode, NewTopic, Offset, OffsetSpec, Producer, ProducerConfig, ProducerRecord, Timestamp,
    TopicName,
};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;

use crate::raw_api::RawNode;
use crate::topics::{FIRST, name};

const KEPT: Duration = Duration::from_millis(1_500);
/// Nodes count whole milliseconds.
const CLOCK_STEP: Duration = Duration::from_millis(2);
const LIMIT: Duration = Duration::from_secs(20);

/// A record's offset, and between which moments it was appended.
struct Sent {
    offset: Offset,
    begun: Instant,
    acknowledged: Instant,
}

/// Its own timestamp is wrong: nothing goes by it.
async fn send(producer: &Producer, topic: &TopicName) -> Sent {
    let begun = Instant::now();
    let record = ProducerRecord::new(topic.clone(), "x").timestamp(Timestamp::from_millis(7));
    let delivered = producer.send(record).await.unwrap().await.unwrap();
    Sent {
        offset: delivered.offset,
        begun,
        acknowledged: Instant::now(),
    }
}

/// Goal: each node serves exactly the records that are young enough, while the partition is written to
/// and when it is quiet, although nothing has been dropped yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_old_is_not_served_by_any_node() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    let kept_ms = KEPT.as_millis().to_string();
    let new = NewTopic::new(topic.clone())
        .replication_factor(3)
        .config("retention_ms", &kept_ms);
    client.admin().create_topic(new).await.unwrap();
    let producer = client.producer(ProducerConfig::default()).unwrap();

    phase("write for a while, and read from every node");
    let mut sent = Vec::new();
    let start = Instant::now();
    while start.elapsed() < KEPT * 3 {
        for _ in 0..5 {
            sent.push(send(&producer, &topic).await);
        }
        for node in cluster.nodes() {
            let before = Instant::now();
            let read = RawNode::of(node)
                .read(&topic, FIRST, OffsetSpec::Earliest)
                .await;
            let read = read.unwrap();
            let after = Instant::now();
            let served = |offset: Offset| read.iter().any(|record| record.offset == offset);
            for sent in &sent {
                let is_old =
                    before.saturating_duration_since(sent.acknowledged) > KEPT + CLOCK_STEP;
                assert!(
                    !(is_old && served(sent.offset)),
                    "{} is too old",
                    sent.offset
                );
                let is_young = after.saturating_duration_since(sent.begun) + CLOCK_STEP < KEPT;
                assert!(!is_young || served(sent.offset), "{} is young", sent.offset);
            }
        }
    }
    let first = OffsetSpec::Offset(Offset::ZERO);
    let refused = RawNode::of(&cluster.nodes()[0])
        .read(&topic, FIRST, first)
        .await;
    let refused = refused.unwrap_err();
    assert_eq!(refused.code, ErrorCode::OffsetOutOfRange);
    assert!(refused.offsets().unwrap().log_start > Offset::ZERO);

    phase("write nothing more, and wait until nothing is served");
    let end = sent.last().unwrap().offset.get() + 1;
    let admin = client.admin();
    until("the partition is empty", LIMIT, async || {
        let earliest = admin
            .list_offsets(&topic, &[FIRST], OffsetSpec::Earliest)
            .await;
        let earliest = *earliest.ok()?[0].offset.as_ref().ok()?;
        (earliest.get() == end).then_some(())
    })
    .await;
    assert!(sent.last().unwrap().begun.elapsed() > KEPT);
    for node in cluster.nodes() {
        let read = RawNode::of(node)
            .read(&topic, FIRST, OffsetSpec::Earliest)
            .await;
        assert_eq!(read.unwrap().len(), 0);
    }
    let described = admin.describe_cluster().await.unwrap();
    let log_start = described.partitions[0].log_start.unwrap();
    assert_eq!(log_start.get(), end);

    phase("a new record begins the log again");
    let next = send(&producer, &topic).await;
    let read = RawNode::of(&cluster.nodes()[1])
        .read(&topic, FIRST, OffsetSpec::Earliest)
        .await;
    assert_eq!(read.unwrap()[0].offset, next.offset);
}
