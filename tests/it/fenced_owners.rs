//! The producer of a job's owner appends only while no later owner has been fenced in.

use std::time::Duration;

use flotilla_client::{
    Client, ErrorCode, JobConfig, JobName, JobOwnership, OffsetSpec, PartitionIndex, Producer,
    ProducerConfig, ProducerRecord, TopicName,
};
use flotilla_protocol::{ApiError, v1};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;

use crate::raw_api::RawNode;
use crate::topics::{FIRST, create, name};

const SECOND: PartitionIndex = PartitionIndex::new(1);
const SESSION_TIMEOUT: Duration = Duration::from_secs(1);

async fn acquire(client: &Client) -> JobOwnership {
    let config = JobConfig {
        session_timeout: SESSION_TIMEOUT,
        ..JobConfig::new(JobName::parse("sync").unwrap())
    };
    client.jobs().acquire(config).await.unwrap()
}

fn producer_of(client: &Client, ownership: &JobOwnership) -> Producer {
    let config = ProducerConfig {
        owner: Some(ownership.producer_owner()),
        ..ProducerConfig::default()
    };
    client.producer(config).unwrap()
}

async fn send(
    producer: &Producer,
    topic: &TopicName,
    partition: PartitionIndex,
    value: &'static str,
) -> Result<u64, ErrorCode> {
    let record = ProducerRecord::new(topic.clone(), value).partition(partition);
    let delivery = producer.send(record).await.map_err(|error| error.code())?;
    let delivered = delivery.await.map_err(|error| error.code())?;
    Ok(delivered.offset.get())
}

/// Goal: an owner that was paused, and wakes after another one has taken over, appends nothing: neither
/// where it had written nor where it never had, now or after everything has been restarted.
#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_wakes_too_late_appends_nothing() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 2, 3).await;

    phase("the first owner writes to one partition, and falls silent");
    let first = acquire(&client).await;
    let paused = producer_of(&client, &first);
    assert_eq!(send(&paused, &topic, FIRST, "first").await, Ok(0));
    // Its producer stays as it is, as it would in a process that is stopped.
    drop(first);

    phase("the second owner takes over, and writes to both");
    let second = acquire(&client).await;
    let active = producer_of(&client, &second);
    assert_eq!(send(&active, &topic, FIRST, "second").await, Ok(1));
    assert_eq!(send(&active, &topic, SECOND, "second").await, Ok(0));

    phase("a second producer of the same owner is another one, and the latest one writes");
    let again = producer_of(&client, &second);
    assert_eq!(send(&again, &topic, SECOND, "again").await, Ok(1));
    let replaced = send(&active, &topic, SECOND, "replaced").await;
    assert_eq!(replaced, Err(ErrorCode::ProducerFenced));
    let active = again;
    assert_eq!(send(&active, &topic, FIRST, "again").await, Ok(2));

    phase("the first one wakes");
    let fenced = Err(ErrorCode::ProducerFenced);
    assert_eq!(send(&paused, &topic, FIRST, "late").await, fenced);
    assert_eq!(send(&paused, &topic, SECOND, "late").await, fenced);

    phase("the leader dies: the second goes on, the first does not");
    let leader = wait_for_leader(&client, &topic, FIRST).await;
    cluster.node_mut(leader).kill();
    assert_eq!(send(&active, &topic, FIRST, "again").await, Ok(3));
    assert_eq!(send(&paused, &topic, FIRST, "late").await, fenced);

    phase("everything is killed and started again");
    cluster.kill_all();
    cluster.start_all().await;
    assert_eq!(send(&active, &topic, SECOND, "again").await, Ok(2));
    for partition in [FIRST, SECOND] {
        assert_eq!(send(&paused, &topic, partition, "late").await, fenced);
        let node = RawNode::of(&cluster.nodes()[0]);
        let records = node.read(&topic, partition, OffsetSpec::Earliest).await;
        for record in records.unwrap() {
            assert_ne!(record.value.as_deref(), Some(&b"late"[..]));
        }
    }
    second.release().await.unwrap();
}

/// Goal: what cannot be fenced in is told apart.
#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_the_past_and_of_nobody_are_refused() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let fence = async |node: usize, topic: &str, job: &str, token: u64| {
        let request = v1::FenceProducerRequest {
            topic: topic.to_owned(),
            job: job.to_owned(),
            token,
            ..v1::FenceProducerRequest::default()
        };
        let mut producer = RawNode::of(&cluster.nodes()[node]).producer();
        match producer.fence_producer(request).await {
            Ok(answer) => Ok(answer.into_inner().end_offset),
            Err(status) => Err(ApiError::from(status).code),
        }
    };
    phase("any node passes it on, and to ask twice does no harm");
    for node in [0, 1, 2, 0] {
        assert_eq!(fence(node, "orders", "sync", 9).await, Ok(0));
    }
    assert_eq!(fence(1, "orders", "sync", 12).await, Ok(0));
    for token in [9, 11] {
        let refused = fence(2, "orders", "sync", token).await;
        assert_eq!(refused, Err(ErrorCode::ProducerFenced));
    }
    assert_eq!(fence(0, "orders", "other", 11).await, Ok(0));

    phase("nonsense");
    let refused = [
        (
            fence(0, "orders", "sync", 0).await,
            ErrorCode::InvalidArgument,
        ),
        (
            fence(0, "orders", "sync", u64::MAX).await,
            ErrorCode::InvalidArgument,
        ),
        (
            fence(0, "orders", "a/b", 13).await,
            ErrorCode::InvalidJobName,
        ),
        (
            fence(0, "payments", "sync", 13).await,
            ErrorCode::UnknownTopic,
        ),
        (
            fence(0, "..", "sync", 13).await,
            ErrorCode::InvalidTopicName,
        ),
    ];
    for (answer, expected) in refused {
        assert_eq!(answer, Err(expected));
    }
}
