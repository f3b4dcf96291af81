//! Whichever node a client asks, it gets what it came for.

use flotilla_client::{ErrorCode, Offset, OffsetSpec, PartitionIndex};
use flotilla_protocol::v1;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;

use crate::raw_api::{RawNode, record_request};
use crate::topics::{FIRST, create, name};

const PARTITION_COUNT: u32 = 6;

fn partitions() -> impl Iterator<Item = PartitionIndex> {
    (0..PARTITION_COUNT).map(PartitionIndex::new)
}

/// Goal: every node takes records for every partition and serves all of them, also for partitions of
/// which it has no replica.
#[tokio::test(flavor = "multi_thread")]
async fn every_node_produces_to_and_fetches_from_every_partition() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let nodes: Vec<_> = cluster.nodes().iter().map(RawNode::of).collect();
    for replication_factor in [1, 3] {
        let topic = name(&format!("replicated-{replication_factor}"));
        create(&client, &topic, PARTITION_COUNT, replication_factor).await;

        phase(format_args!(
            "write to each partition of {topic} through each node"
        ));
        for partition in partitions() {
            for (place, node) in nodes.iter().enumerate() {
                let request = record_request(&topic, partition, format!("{partition}-{place}"));
                let stored = node.produce(request).await.unwrap();
                assert_eq!(stored.partition, partition.get());
                assert_eq!(stored.base_offset, place as u64);
            }
        }
        phase("read each partition through each node");
        for partition in partitions() {
            for node in &nodes {
                let records = node.read(&topic, partition, OffsetSpec::Earliest).await;
                let records = records.unwrap();
                let values: Vec<_> = records
                    .into_iter()
                    .map(|record| record.value.unwrap())
                    .collect();
                let expected: Vec<_> = (0..3).map(|place| format!("{partition}-{place}")).collect();
                assert_eq!(values, expected);
            }
        }
    }
}

/// Goal: one stream through one node reaches all partitions, and a record that was just acknowledged
/// anywhere is found everywhere.
#[tokio::test(flavor = "multi_thread")]
async fn a_stream_through_one_node_reaches_all_partitions() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, PARTITION_COUNT, 1).await;
    let nodes: Vec<_> = cluster.nodes().iter().map(RawNode::of).collect();

    phase("send a request per partition, and one that is refused in between");
    let mut requests: Vec<_> = partitions()
        .map(|partition| record_request(&topic, partition, "here"))
        .collect();
    requests.insert(3, record_request(&name("missing"), FIRST, "nowhere"));
    let requests: Vec<_> = (1..)
        .zip(requests)
        .map(|(correlation_id, request)| v1::ProduceRequest {
            correlation_id,
            ..request
        })
        .collect();
    let refused = requests[3].correlation_id;
    let mut left: Vec<_> = requests
        .iter()
        .map(|request| request.correlation_id)
        .collect();
    let stream = futures::stream::iter(requests);
    let answers = nodes[0].producer().produce_stream(stream).await.unwrap();
    let mut answers = answers.into_inner();
    while let Some(answer) = answers.message().await.unwrap() {
        left.retain(|id| *id != answer.correlation_id);
        let code = answer.error.map(|error| error.code());
        let expected = (answer.correlation_id == refused).then_some(v1::ErrorCode::UnknownTopic);
        assert_eq!(code, expected);
        if code.is_none() {
            let partition = PartitionIndex::new(answer.partition);
            for node in &nodes {
                let found = node.read(&topic, partition, OffsetSpec::Earliest).await;
                assert_eq!(found.unwrap().len(), 1);
            }
        }
    }
    assert_eq!(left, [0; 0], "every request is answered");
}

/// Goal: a client that wants to find the leaders itself is told where they are.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_must_not_be_forwarded_is_told_the_leader() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let leader = wait_for_leader(&client, &topic, FIRST).await;
    let request = v1::ProduceRequest {
        no_forward: true,
        ..record_request(&topic, FIRST, "only by the leader")
    };
    for node in cluster.nodes().iter().filter(|node| node.id() != leader) {
        let refused = RawNode::of(node)
            .produce(request.clone())
            .await
            .unwrap_err();
        assert_eq!(refused.code, ErrorCode::NotLeader);
        let hint = refused.leader().expect("a settled group knows its leader");
        assert_eq!(hint.node, leader);
        assert_eq!(hint.client_address, cluster.node(leader).client_address());
    }
    let stored = RawNode::of(cluster.node(leader))
        .produce(request)
        .await
        .unwrap();
    assert_eq!(Offset::new(stored.base_offset), Offset::ZERO);
}
