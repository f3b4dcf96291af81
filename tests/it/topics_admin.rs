//! Topics come, change and go, and senseless requests change nothing.

use std::collections::BTreeMap;

use flotilla_client::{
    ApiError, Client, ConsumerConfig, ErrorCode, NewTopic, Offset, OffsetSpec, PartitionIndex,
    ProducerConfig, ProducerRecord, TopicName,
};
use flotilla_protocol::v1;
use flotilla_protocol::v1::metadata_client::MetadataClient;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::workload::read_whole;
use flotilla_types::TopicId;
use std::time::Duration;
use tokio::time::timeout;

use crate::raw_api::{RawNode, record_request};
use crate::topics::{FIRST, create, name};

/// Goal: a topic can be created, described, altered, extended and deleted, and one that is created
/// again under the same name is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_topic_lives_and_its_successor_inherits_nothing() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let topic = name("orders");

    phase("create");
    let created = create(&client, &topic, 4, 2).await;
    assert_eq!(created.replication_factor, 2);
    assert_eq!(created.partitions.len(), 4);
    for partition in &created.partitions {
        assert_eq!(partition.replicas.len(), 2);
        let leader = partition.leader.expect("created topics have leaders").node;
        assert!(partition.replicas.contains(&leader));
    }
    let again = admin.create_topic(NewTopic::new(topic.clone())).await;
    assert_eq!(again.unwrap_err().code(), ErrorCode::TopicExists);

    phase("alter");
    let set = BTreeMap::from([("retention_ms".to_owned(), "60000".to_owned())]);
    let altered = admin.alter_topic(&topic, set, Vec::new()).await.unwrap();
    assert_eq!(altered.config["retention_ms"], "60000");
    let reset = vec!["retention_ms".to_owned()];
    let altered = admin.alter_topic(&topic, BTreeMap::new(), reset).await;
    assert_eq!(altered.unwrap().config, created.config);
    let wrong = BTreeMap::from([
        ("retention_bytes".to_owned(), "1048576".to_owned()),
        ("retention_ms".to_owned(), "soon".to_owned()),
    ]);
    let refused = admin.alter_topic(&topic, wrong, Vec::new()).await;
    assert_eq!(refused.unwrap_err().code(), ErrorCode::ConfigInvalid);
    let described = admin.describe_topic(&topic).await.unwrap();
    assert_eq!(described.config, created.config, "all of it or nothing");

    phase("add partitions, and write to the new ones");
    let extended = admin.add_partitions(&topic, 6).await.unwrap();
    assert_eq!(extended.partitions.len(), 6);
    let fewer = admin.add_partitions(&topic, 5).await.unwrap_err();
    assert_eq!(fewer.code(), ErrorCode::InvalidArgument);
    let producer = client.producer(ProducerConfig::default()).unwrap();
    for partition in (0..6).map(PartitionIndex::new) {
        let record = ProducerRecord::new(topic.clone(), "old").partition(partition);
        producer.send(record).await.unwrap().await.unwrap();
    }
    let mut reader = client.consumer(ConsumerConfig::default()).unwrap();
    reader.assign(&topic, FIRST, OffsetSpec::Earliest);
    assert_eq!(reader.poll(10).await.unwrap().len(), 1);

    phase("delete, and create again");
    admin.delete_topic(&topic).await.unwrap();
    let gone = admin.describe_topic(&topic).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::UnknownTopic);
    assert!(admin.list_topics().await.unwrap().is_empty());
    let gone = admin.delete_topic(&topic).await.unwrap_err();
    assert_eq!(gone.code(), ErrorCode::UnknownTopic);
    let successor = create(&client, &topic, 2, 3).await;
    assert_ne!(successor.id, created.id);
    for reading in read_whole(&client, &topic).await.unwrap() {
        assert_eq!(reading.records, []);
    }
    let record = ProducerRecord::new(topic.clone(), "new").partition(FIRST);
    let stored = producer.send(record).await.unwrap().await.unwrap();
    assert_eq!(stored.offset, Offset::ZERO);

    phase("whoever meant the old one is told, on every node");
    let told = timeout(Duration::from_secs(30), reader.poll(10)).await;
    let told = told.expect("the reader is told").unwrap_err();
    assert_eq!(told.code(), ErrorCode::UnknownTopic);
    for node in cluster.nodes() {
        let fetch = async |id: TopicId| {
            let request = v1::FetchRequest {
                topic: topic.to_string(),
                topic_id: Some(id.get()),
                start: Some(OffsetSpec::Earliest.into()),
                ..v1::FetchRequest::default()
            };
            RawNode::of(node).fetch(request).await
        };
        let refused = fetch(created.id).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::UnknownTopic);
        assert_eq!(fetch(successor.id).await.unwrap().len(), 1);
    }
}

/// Goal: a node that starts again goes through topics that were deleted long ago, and is none the
/// worse for it.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_topics_do_not_keep_a_node_from_starting() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let admin = client.admin();
    let kept = name("kept");
    create(&client, &kept, 3, 3).await;
    for round in 0..3 {
        phase(format_args!("round {round}: create and delete"));
        for number in 0..8 {
            let topic = name(&format!("short-lived-{number}"));
            create(&client, &topic, 3, 3).await;
            admin.delete_topic(&topic).await.unwrap();
        }
        let described = admin.describe_cluster().await.unwrap();
        let leader = described.metadata_leader.unwrap().node;
        phase(format_args!(
            "round {round}: kill node {leader}, which leads the metadata"
        ));
        cluster.node_mut(leader).kill();
        cluster.wait_for_leaders(&client).await;
        cluster.start_all().await;
        write_one(&client, &kept).await;
    }
    for node in cluster.nodes() {
        assert!(node.is_running(), "{}", node.log_tail(40));
        assert!(
            !node.log().contains("the node cannot go on"),
            "{}",
            node.log_tail(40)
        );
    }
}

async fn write_one(client: &Client, topic: &TopicName) {
    let producer = client.producer(ProducerConfig::default()).unwrap();
    let record = ProducerRecord::new(topic.clone(), "still here");
    producer.send(record).await.unwrap().await.unwrap();
}

/// Goal: what cannot be created is refused with a code that says why, on every node alike, and leaves
/// nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn senseless_topics_are_refused() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let with = |change: fn(&mut v1::CreateTopicRequest)| {
        let mut request = v1::CreateTopicRequest {
            name: "fine".to_owned(),
            ..v1::CreateTopicRequest::default()
        };
        change(&mut request);
        request
    };
    let cases = [
        (
            with(|topic| topic.name.clear()),
            ErrorCode::InvalidTopicName,
        ),
        (
            with(|topic| topic.name = "x".repeat(250)),
            ErrorCode::InvalidTopicName,
        ),
        (
            with(|topic| topic.name = "../x".to_owned()),
            ErrorCode::InvalidTopicName,
        ),
        (
            with(|topic| topic.name = "..".to_owned()),
            ErrorCode::InvalidTopicName,
        ),
        (
            with(|topic| topic.name = "smörgås".to_owned()),
            ErrorCode::InvalidTopicName,
        ),
        (
            with(|topic| topic.partitions = Some(0)),
            ErrorCode::InvalidArgument,
        ),
        (
            with(|topic| topic.partitions = Some(10_000)),
            ErrorCode::InvalidArgument,
        ),
        (
            with(|topic| topic.partitions = Some(u32::MAX)),
            ErrorCode::InvalidArgument,
        ),
        (
            with(|topic| topic.replication_factor = Some(0)),
            ErrorCode::InvalidArgument,
        ),
        (
            with(|topic| topic.replication_factor = Some(8)),
            ErrorCode::InvalidArgument,
        ),
        (
            with(|topic| topic.replication_factor = Some(4)),
            ErrorCode::NotEnoughNodes,
        ),
        (
            with(|topic| drop(topic.config.insert("colour".to_owned(), "red".to_owned()))),
            ErrorCode::ConfigInvalid,
        ),
        (
            with(|topic| {
                drop(
                    topic
                        .config
                        .insert("retention_ms".to_owned(), "-2".to_owned()),
                )
            }),
            ErrorCode::ConfigInvalid,
        ),
    ];
    for node in cluster.nodes() {
        for (request, code) in &cases {
            let refused = RawNode::of(node)
                .topics()
                .create_topic(request.clone())
                .await;
            let error = ApiError::from(refused.unwrap_err());
            assert_eq!(error.code, *code, "{request:?}");
            assert!(!error.message.is_empty());
        }
    }
    assert!(client.admin().list_topics().await.unwrap().is_empty());

    phase("the longest name works");
    let longest = name(&"x".repeat(249));
    create(&client, &longest, 1, 3).await;
    assert_eq!(client.admin().list_topics().await.unwrap()[0].name, longest);
}

/// Goal: what does not exist is said not to exist.
#[tokio::test(flavor = "multi_thread")]
async fn unknown_topics_and_partitions_have_their_codes() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let (topic, missing) = (name("orders"), name("missing"));
    create(&client, &topic, 2, 3).await;
    let above = PartitionIndex::new(2);
    let cases: [(&TopicName, PartitionIndex, ErrorCode); 2] = [
        (&missing, FIRST, ErrorCode::UnknownTopic),
        (&topic, above, ErrorCode::UnknownPartition),
    ];
    for node in cluster.nodes() {
        let node = RawNode::of(node);
        for (topic, partition, code) in cases {
            let request = record_request(topic, partition, "lost");
            assert_eq!(node.produce(request).await.unwrap_err().code, code);
            let read = node.read(topic, partition, OffsetSpec::Earliest).await;
            assert_eq!(read.unwrap_err().code, code);
        }
    }
}

/// Goal: who only wants to know the nodes gets no list of all topics with them.
#[tokio::test(flavor = "multi_thread")]
async fn metadata_can_be_asked_for_without_topics() {
    let cluster = Cluster::start(1).await;
    create(&cluster.client().await, &name("orders"), 1, 1).await;
    let node = RawNode::of(&cluster.nodes()[0]);
    let ask = async |topics: &[&str], nodes_only| {
        let request = v1::GetMetadataRequest {
            topics: topics.iter().map(ToString::to_string).collect(),
            nodes_only,
        };
        let mut client = MetadataClient::new(node.channel());
        let answer = client.get_metadata(request).await;
        answer.map(tonic::Response::into_inner)
    };
    let all = ask(&[], false).await.unwrap();
    assert_eq!((all.nodes.len(), all.topics.len()), (1, 1));
    let nodes = ask(&[], true).await.unwrap();
    assert_eq!((nodes.nodes, nodes.topics.len()), (all.nodes, 0));
    let refused = ask(&["orders"], true).await.unwrap_err();
    assert_eq!(ApiError::from(refused).code, ErrorCode::InvalidArgument);
}
