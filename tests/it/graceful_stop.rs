//! A node is told to stop while it leads, and the others take over without a failure.

use flotilla_client::ProducerConfig;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_for_leader;
use flotilla_tests::workload::{Writing, read_whole, write};
use tokio::join;
use tokio::sync::watch;

use crate::topics::{FIRST, create, name};

const RECORD_COUNT: u64 = 30_000;

/// Goal: after SIGTERM a node hands its leaderships over, ends with exit code 0, and no
/// record of a producer fails.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_stops_hands_over_what_it_leads() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 6, 3).await;

    phase("write, and stop the leader of partition 0");
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count: RECORD_COUNT,
        value_bytes: 100,
        key_count: 60,
    };
    let config = ProducerConfig::default();
    let (acknowledged, mut progress) = watch::channel(0);
    let write = write(&client, &writing, config, |count| {
        acknowledged.send_replace(count);
    });
    let stop = async {
        let due = RECORD_COUNT / 4;
        progress.wait_for(|count| *count >= due).await.unwrap();
        let leader = wait_for_leader(&client, &topic, FIRST).await;
        phase(format_args!("stop node {leader}"));
        let ended = cluster.node_mut(leader).stop().await;
        phase(format_args!("node {leader} has ended: {ended}"));
        assert_eq!(ended.code(), Some(0));
        let described = cluster.wait_for_leaders(&client).await;
        for partition in &described.partitions {
            assert_ne!(partition.leader.map(|leader| leader.node), Some(leader));
        }
        leader
    };
    let (history, stopped) = join!(write, stop);
    let mut history = history.unwrap();
    assert_eq!(history.acknowledged_count() as u64, RECORD_COUNT);

    phase("it comes back");
    cluster.node_mut(stopped).start();
    cluster.wait_ready().await;
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}
