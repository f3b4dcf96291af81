//! A node loses its disk, and comes back as if nothing had happened.

use std::fs;
use std::time::Duration;

use flotilla_client::{NodeId, ProducerConfig};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::workload::{Writing, read_whole, write};

use crate::topics::{create, name};

const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// Goal: a node whose data directory was wiped has forgotten what it voted and acknowledged, so under
/// its old id it is refused and ends, and the others go on without it.
async fn a_wiped_node_is_refused(lives: usize) {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let wiped = NodeId::new(2);
    for _ in 1..lives {
        cluster.node_mut(wiped).kill();
        cluster.start_all().await;
    }

    phase(format_args!("wipe node {wiped} in its life {lives}"));
    cluster.node_mut(wiped).kill();
    fs::remove_dir_all(cluster.node(wiped).data_dir()).unwrap();
    cluster.node_mut(wiped).start();
    let ended = cluster.node_mut(wiped).wait_for_end(REFUSAL_LIMIT).await;
    phase(format_args!("node {wiped} has ended: {ended}"));
    assert_eq!(
        ended.code(),
        Some(70),
        "{}",
        cluster.node(wiped).log_tail(20)
    );
    let log = cluster.node(wiped).log();
    assert!(log.contains("data directory"), "{log}");

    phase("the others go on");
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count: 1_000,
        value_bytes: 100,
        key_count: 10,
    };
    let written = write(&client, &writing, ProducerConfig::default(), |_| ()).await;
    let mut history = written.unwrap();
    assert_eq!(history.acknowledged_count(), 1_000);
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_wiped_in_its_first_life_is_refused() {
    a_wiped_node_is_refused(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_wiped_in_a_later_life_is_refused() {
    a_wiped_node_is_refused(3).await;
}
