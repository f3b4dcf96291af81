//! The oldest records of a partition are deleted on demand.

use flotilla_client::{
    Client, ErrorCode, Offset, OffsetSpec, PartitionIndex, ProducerConfig, TopicName,
};
use flotilla_tests::cluster::{Cluster, Node, flotilla};
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;
use flotilla_tests::workload::{Writing, write};

use crate::raw_api::RawNode;
use crate::topics::{FIRST, create, name};

const BEFORE: Offset = Offset::new(300);

async fn fill(client: &Client, topic: &TopicName, record_count: u64) {
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count,
        value_bytes: 100,
        key_count: 0,
    };
    let history = write(client, &writing, ProducerConfig::default(), |_| ()).await;
    assert_eq!(history.unwrap().acknowledged_count() as u64, record_count);
}

/// Each node begins its copy at the first offset that stays, and refuses the one before it.
async fn assert_begins_at(nodes: &[Node], topic: &TopicName, log_start: Offset) {
    for node in nodes {
        let raw = RawNode::of(node);
        let kept = raw.read(topic, FIRST, OffsetSpec::Offset(log_start)).await;
        assert_eq!(kept.unwrap()[0].offset, log_start);
        let gone = OffsetSpec::Offset(Offset::new(log_start.get() - 1));
        let refused = raw.read(topic, FIRST, gone).await.unwrap_err();
        assert_eq!(refused.code, ErrorCode::OffsetOutOfRange);
        assert_eq!(refused.offsets().unwrap().log_start, log_start);
    }
}

/// Goal: deleted records are gone on every replica, through restarts, and what was not deleted stays.
#[tokio::test(flavor = "multi_thread")]
async fn deleted_records_are_gone_everywhere_and_stay_gone() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    fill(&client, &topic, 1_000).await;
    let admin = client.admin();

    phase("delete the first 300 records, twice, and then less");
    for before in [BEFORE, BEFORE, Offset::new(10)] {
        let log_start = admin.delete_records(&topic, FIRST, Some(before)).await;
        assert_eq!(log_start.unwrap(), BEFORE);
    }
    // A follower may learn of it a moment later: it does when it has what was acknowledged next.
    fill(&client, &topic, 1).await;
    for node in cluster.nodes() {
        let last = OffsetSpec::Offset(Offset::new(1_000));
        assert_eq!(
            RawNode::of(node)
                .read(&topic, FIRST, last)
                .await
                .unwrap()
                .len(),
            1
        );
    }
    assert_begins_at(cluster.nodes(), &topic, BEFORE).await;

    phase("kill all nodes and start them again");
    cluster.kill_all();
    cluster.start_all().await;
    wait_for_leader(&client, &topic, FIRST).await;
    let earliest = admin
        .list_offsets(&topic, &[FIRST], OffsetSpec::Earliest)
        .await;
    assert_eq!(*earliest.unwrap()[0].offset.as_ref().unwrap(), BEFORE);
    assert_begins_at(cluster.nodes(), &topic, BEFORE).await;

    phase("ask for what cannot be");
    let beyond = admin
        .delete_records(&topic, FIRST, Some(Offset::new(1_002)))
        .await;
    assert_eq!(beyond.unwrap_err().code(), ErrorCode::OffsetOutOfRange);
    let partition = PartitionIndex::new(7);
    let unknown = admin.delete_records(&topic, partition, None).await;
    assert_eq!(unknown.unwrap_err().code(), ErrorCode::UnknownPartition);
    let unknown = admin.delete_records(&name("no-such"), FIRST, None).await;
    assert_eq!(unknown.unwrap_err().code(), ErrorCode::UnknownTopic);

    phase("empty the topic by the command line");
    let bootstrap = cluster.bootstrap_argument();
    let arguments = [
        "topic",
        "delete-records",
        "orders",
        "--before",
        "end",
        "-o",
        "json",
        &bootstrap,
    ];
    let emptied = flotilla(&arguments, "").await;
    assert_eq!(emptied.code, Some(0), "{}", emptied.stderr);
    let expected = r#"{"topic":"orders","partitions":[{"partition":0,"log_start":1001}]}"#;
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&emptied.stdout).unwrap(),
        serde_json::from_str::<serde_json::Value>(expected).unwrap()
    );
}
