//! A follower misses something, and catches up exactly.

use flotilla_client::{
    Client, ErrorCode, NewTopic, NodeId, Offset, OffsetSpec, ProducerConfig, TopicName,
};
use flotilla_tests::cluster::{Cluster, ClusterOptions};
use flotilla_tests::condition::until;
use flotilla_tests::history::History;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::{partition_of, wait_for_leader, wait_until_caught_up};
use flotilla_tests::workload::{Writing, write};
use std::time::Duration;

use crate::raw_api::RawNode;
use crate::topics::{FIRST, create, name};

/// Retention looks at its topics ten times a second here.
const RETENTION_LIMIT: Duration = Duration::from_secs(20);

async fn fill(client: &Client, topic: &TopicName, producer: u32, sizes: (u64, usize)) -> History {
    let (record_count, value_bytes) = sizes;
    let writing = Writing {
        topic: topic.clone(),
        producer,
        record_count,
        value_bytes,
        key_count: 10,
    };
    let history = write(client, &writing, ProducerConfig::default(), |_| ()).await;
    let history = history.unwrap();
    assert_eq!(history.acknowledged_count() as u64, record_count);
    history
}

/// A node that does not lead the topic's first partition.
async fn some_follower(cluster: &Cluster, client: &Client, topic: &TopicName) -> NodeId {
    let leader = wait_for_leader(client, topic, FIRST).await;
    let mut nodes = cluster.nodes().iter().map(|node| node.id());
    nodes.find(|node| *node != leader).unwrap()
}

/// Goal: a follower that was dead while records were written has the same records in the end, from
/// its own disk.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_was_away_catches_up() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let mut history = fill(&client, &topic, 1, (2_000, 100)).await;

    let follower = some_follower(&cluster, &client, &topic).await;
    phase(format_args!("write without node {follower}"));
    cluster.node_mut(follower).kill();
    history.merge(fill(&client, &topic, 2, (20_000, 100)).await);

    phase("bring it back while writing goes on");
    cluster.node_mut(follower).start();
    history.merge(fill(&client, &topic, 3, (5_000, 100)).await);
    cluster.wait_ready().await;
    wait_until_caught_up(&client, &topic, follower).await;

    phase("read all copies");
    for node in cluster.nodes() {
        let reading = RawNode::of(node).read_whole(&topic, FIRST).await;
        history.note_reading(reading.unwrap());
    }
    history.assert_promise_kept();
}

/// Goal: a follower whose missing records were retired meanwhile takes over exactly what is retained,
/// and nobody serves what is not.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_whose_records_were_retired_meanwhile_catches_up() {
    let options = ClusterOptions {
        node_count: 3,
        settings: vec![("broker.retention_check_ms", "100".to_owned())],
    };
    let mut cluster = Cluster::start_with(options).await;
    let client = cluster.client().await;
    let topic = name("metrics");
    let small = NewTopic::new(topic.clone())
        .replication_factor(3)
        .config("retention_bytes", (1 << 20).to_string());
    client.admin().create_topic(small).await.unwrap();
    fill(&client, &topic, 1, (10, 100)).await;

    let follower = some_follower(&cluster, &client, &topic).await;
    phase(format_args!("write much without node {follower}"));
    cluster.node_mut(follower).kill();
    fill(&client, &topic, 2, (1_400, 64 << 10)).await;
    phase("wait for retention");
    let log_start = until(
        "the first records are retired",
        RETENTION_LIMIT,
        async || {
            let described = client.admin().describe_cluster().await.ok()?;
            let log_start = partition_of(&described, &topic, FIRST)?.log_start?;
            (log_start > Offset::new(10)).then_some(log_start)
        },
    )
    .await;

    phase(format_args!(
        "the log starts at {log_start}; bring the follower back"
    ));
    cluster.node_mut(follower).start();
    cluster.wait_ready().await;
    wait_until_caught_up(&client, &topic, follower).await;
    fill(&client, &topic, 3, (10, 100)).await;

    phase("compare all copies");
    let mut copies = Vec::new();
    for node in cluster.nodes() {
        let raw = RawNode::of(node);
        let before = OffsetSpec::Offset(Offset::new(0));
        let refused = raw.read(&topic, FIRST, before).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::OffsetOutOfRange);
        let retained = refused.offsets().unwrap();
        assert!(retained.log_start >= log_start, "{retained:?}");
        assert_eq!(retained.high_watermark, Offset::new(1_420));
        copies.push(raw.read(&topic, FIRST, OffsetSpec::Earliest).await.unwrap());
    }
    // Retention may have gone on between two readings, so the shortest copy decides.
    let shared = copies.iter().map(Vec::len).min().unwrap();
    assert!(shared > 10, "retention left {shared} records");
    let ends: Vec<_> = copies
        .iter()
        .map(|copy| &copy[copy.len() - shared..])
        .collect();
    assert_eq!(ends[0].last().unwrap().offset, Offset::new(1_419));
    assert!(ends.windows(2).all(|pair| pair[0] == pair[1]));
}
