//! What an admin, and connecting, promise.

use std::time::Duration;

use flotilla_client::{Client, ClientConfig, ErrorCode, NewTopic, Offset, OffsetSpec, TopicName};

use crate::fake_cluster::{FakeCluster, partition, topic};

fn name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

#[tokio::test]
async fn topics_are_created_listed_described_and_deleted() {
    let cluster = FakeCluster::start(2, 1).await;
    let admin = cluster.client().await.admin();
    let new_topic = NewTopic::new(name("bills"))
        .partitions(3)
        .config("retention_ms", "60000");
    let created = admin.create_topic(new_topic.clone()).await.unwrap();
    assert_eq!(created.partitions.len(), 3);
    assert_eq!(created.config["retention_ms"], "60000");

    let error = admin.create_topic(new_topic).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::TopicExists);
    let listed = admin.list_topics().await.unwrap();
    let names: Vec<_> = listed.iter().map(|topic| topic.name.as_str()).collect();
    assert_eq!(names, ["bills", "orders"]);

    let described = admin.describe_topic(&name("bills")).await.unwrap();
    assert_eq!(described.name, name("bills"));
    admin.delete_topic(&name("bills")).await.unwrap();
    let error = admin.describe_topic(&name("bills")).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownTopic);
}

#[tokio::test]
async fn a_refused_configuration_says_why() {
    let cluster = FakeCluster::start(1, 1).await;
    let admin = cluster.client().await.admin();
    let error = admin
        .create_topic(NewTopic::new(name("bills")).config("retention", "1"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), ErrorCode::ConfigInvalid);
    assert!(error.to_string().contains("retention_ms"), "{error}");
}

#[tokio::test]
async fn each_partition_has_its_own_outcome() {
    let cluster = FakeCluster::start(1, 1).await;
    let admin = cluster.client().await.admin();
    let partitions = [partition(0), partition(9)];
    let offsets = admin
        .list_offsets(&topic(), &partitions, OffsetSpec::Latest)
        .await
        .unwrap();
    assert_eq!(*offsets[0].offset.as_ref().unwrap(), Offset::ZERO);
    let error = offsets[1].offset.as_ref().unwrap_err();
    assert_eq!(error.code(), ErrorCode::UnknownPartition);
}

#[tokio::test]
async fn one_bootstrap_node_that_answers_is_enough() {
    let cluster = FakeCluster::start(1, 1).await;
    let alive = cluster.state().addresses[0].clone();
    let client = Client::connect(ClientConfig::new(["127.0.0.1:1", &alive])).await;
    let topics = client.unwrap().admin().list_topics().await.unwrap();
    assert_eq!(topics.len(), 1);
}

#[tokio::test]
async fn connecting_to_nobody_fails_in_time() {
    let config = ClientConfig {
        // On a busy machine the end may cut an attempt short, which then does not know why it failed.
        deadline: Duration::from_secs(1),
        ..ClientConfig::new(["127.0.0.1:1"])
    };
    let error = Client::connect(config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Timeout);
    assert!(error.is_definite());
    let cause = &error.api_error().unwrap().message;
    assert!(cause.contains("127.0.0.1:1: Connection refused"), "{cause}");
}

#[tokio::test]
async fn an_address_that_is_none_is_refused_at_once() {
    let wrong = [
        "not an address",
        "localhost",
        "localhost:0",
        "localhost:70000",
        "user@localhost:7400",
        "localhost:7400/path",
        "http://localhost:7400",
        ":7400",
    ];
    let lists = wrong.iter().map(|address| vec![*address]);
    for bootstrap in lists.chain([vec![]]) {
        let error = Client::connect(ClientConfig::new(bootstrap.clone())).await;
        let code = error.unwrap_err().code();
        assert_eq!(code, ErrorCode::InvalidArgument, "{bootstrap:?}");
    }
}
