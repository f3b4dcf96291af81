//! A node that has to remember many producers and many groups is soon back.

use std::time::{Duration, Instant};

use flotilla_client::{OffsetSpec, PartitionIndex, TopicName};
use flotilla_protocol::v1;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_until_caught_up;
use flotilla_types::batch::{BatchBuilder, BatchProducer, Compression};
use flotilla_types::{ProducerEpoch, ProducerId, Sequence, Timestamp};
use futures::StreamExt;

use crate::raw_api::{RawNode, batch_request};
use crate::topics::{create, name};

/// Set to measure with more.
const PRODUCERS_VARIABLE: &str = "FLOTILLA_RESTART_PRODUCERS";
const GROUPS_VARIABLE: &str = "FLOTILLA_RESTART_GROUPS";
const PARTITIONS: u32 = 12;
const RESTART_LIMIT: Duration = Duration::from_secs(10);

fn size(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| {
        text.parse().expect("the variable is a number")
    })
}

/// The first batch of a producer, or the same one again.
fn first_batch(topic: &TopicName, id: u64) -> v1::ProduceRequest {
    let mut builder = BatchBuilder::new(Compression::None);
    let timestamp = Timestamp::from_millis(1_700_000_000_000);
    builder.push(timestamp, None, Some(b"first"), &[]).unwrap();
    let batch = builder.build(Some(BatchProducer {
        id: ProducerId::new(1_000_000 + id),
        epoch: ProducerEpoch::new(0),
        base_sequence: Sequence::new(0),
    }));
    v1::ProduceRequest {
        correlation_id: id,
        partition: Some((id % u64::from(PARTITIONS)) as u32),
        ..batch_request(topic, batch.unwrap().as_bytes().clone())
    }
}

/// Sends the first batch of every producer, and counts those that were there before.
async fn produce(node: &RawNode, topic: &TopicName, producers: u64) -> u64 {
    let topic = topic.clone();
    let requests = futures::stream::iter((0..producers).map(move |id| first_batch(&topic, id)));
    let answers = node.producer().produce_stream(requests).await.unwrap();
    let mut answers = answers.into_inner();
    let (mut count, mut duplicates) = (0, 0);
    while let Some(answer) = answers.next().await {
        let answer = answer.unwrap();
        assert_eq!(answer.error, None);
        count += 1;
        duplicates += u64::from(answer.duplicate);
    }
    assert_eq!(count, producers);
    duplicates
}

async fn commit(node: &RawNode, topic: &TopicName, groups: u64) {
    let commits = (0..groups).map(|group| {
        let request = v1::CommitOffsetsRequest {
            group_id: format!("group-{group}"),
            member_id: String::new(),
            offsets: vec![v1::OffsetCommit {
                topic: topic.to_string(),
                offset: 1,
                ..v1::OffsetCommit::default()
            }],
        };
        let mut client = node.groups();
        async move {
            let answer = client.commit_offsets(request).await.unwrap().into_inner();
            assert_eq!(answer.outcomes[0].error, None);
        }
    });
    let commits = futures::stream::iter(commits).buffer_unordered(32);
    commits.collect::<Vec<()>>().await;
}

/// Goal: a killed node that remembers many producers and groups is ready and has caught up in time, and
/// has forgotten none of them.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_with_many_producers_and_groups_is_soon_back() {
    let producers = size(PRODUCERS_VARIABLE, 6_000);
    let groups = size(GROUPS_VARIABLE, 200);
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, PARTITIONS, 3).await;

    phase(format_args!(
        "{producers} producers write, {groups} groups commit"
    ));
    let node = RawNode::of(&cluster.nodes()[0]);
    assert_eq!(produce(&node, &topic, producers).await, 0);
    commit(&node, &topic, groups).await;

    phase("kill a node, and start it again");
    let killed = cluster.nodes()[1].id();
    cluster.node_mut(killed).kill();
    let started = Instant::now();
    cluster.start_all().await;
    wait_until_caught_up(&client, &topic, killed).await;
    let took = started.elapsed();
    phase(format_args!("it was back after {} ms", took.as_millis()));
    assert!(took < RESTART_LIMIT, "{took:?}");

    phase("kill all, and see that every producer and every group is known");
    cluster.kill_all();
    let started = Instant::now();
    cluster.start_all().await;
    cluster.wait_for_leaders(&client).await;
    phase(format_args!(
        "all were back after {} ms",
        started.elapsed().as_millis()
    ));
    let node = RawNode::of(&cluster.nodes()[2]);
    assert_eq!(produce(&node, &topic, producers).await, producers);
    let listed = client.admin().list_groups().await.unwrap();
    assert_eq!(listed.len() as u64, groups);
    let mut stored = 0;
    for partition in (0..PARTITIONS).map(PartitionIndex::new) {
        let records = node.read(&topic, partition, OffsetSpec::Earliest).await;
        stored += records.unwrap().len() as u64;
    }
    assert_eq!(stored, producers);
}
