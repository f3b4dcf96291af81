//! A node loses its disk or gets an old copy of it, and comes back as if nothing had happened.

use std::fs;
use std::path::Path;
use std::time::Duration;

use flotilla_client::{Client, NodeId, ProducerConfig, TopicName};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::history::History;
use flotilla_tests::phase::phase;
use flotilla_tests::workload::{Writing, read_whole, write};

use tempfile::TempDir;

use crate::topics::{create, name};

/// The node that forgets.
const FORGETFUL: NodeId = NodeId::new(2);
const REFUSAL_LIMIT: Duration = Duration::from_secs(20);

/// Expects node 2, which has just been started on a directory that forgot something, to end, and the
/// others to go on without it.
async fn assert_refused(cluster: &mut Cluster, topic: &TopicName) {
    let node = cluster.node_mut(FORGETFUL);
    let ended = node.wait_for_end(REFUSAL_LIMIT).await;
    phase(format_args!("node {FORGETFUL} has ended: {ended}"));
    assert_eq!(ended.code(), Some(70), "{}", node.log_tail(20));
    assert!(node.log().contains("is an old copy"), "{}", node.log());

    phase("the others go on");
    let client = cluster.client().await;
    let mut history = write_some(&client, topic).await;
    for reading in read_whole(&client, topic).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}

async fn write_some(client: &Client, topic: &TopicName) -> History {
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count: 1_000,
        value_bytes: 100,
        key_count: 10,
    };
    let written = write(client, &writing, ProducerConfig::default(), |_| ()).await;
    let history = written.unwrap();
    assert_eq!(history.acknowledged_count(), 1_000);
    history
}

/// Goal: a node whose data directory was wiped has forgotten what it voted and acknowledged, so under
/// its old id it is refused and ends, and the others go on without it.
async fn a_wiped_node_is_refused(lives: usize) {
    let mut cluster = Cluster::start(3).await;
    let topic = name("orders");
    create(&cluster.client().await, &topic, 3, 3).await;
    for _ in 1..lives {
        cluster.node_mut(FORGETFUL).kill();
        cluster.start_all().await;
    }

    phase(format_args!("wipe node {FORGETFUL} in its life {lives}"));
    let node = cluster.node_mut(FORGETFUL);
    node.kill();
    fs::remove_dir_all(node.data_dir()).unwrap();
    node.start();
    assert_refused(&mut cluster, &topic).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_wiped_in_its_first_life_is_refused() {
    a_wiped_node_is_refused(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_was_wiped_in_a_later_life_is_refused() {
    a_wiped_node_is_refused(3).await;
}

/// Goal: a data directory that is put back as it was before the node's last start lacks what the
/// node acknowledged since. The node is refused, however often it tries, and whether its peers saw
/// the later start themselves or only read of it in their logs.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_copy_of_a_data_directory_is_refused() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let node = cluster.node_mut(FORGETFUL);
    node.kill();
    let copies = TempDir::new().unwrap();
    let copy = copies.path().join("data");
    copy_directory(&node.data_dir(), &copy);

    phase("the node goes on, and acknowledges records");
    cluster.start_all().await;
    let (payments, refunds) = (name("payments"), name("refunds"));
    create(&client, &payments, 3, 3).await;
    create(&client, &refunds, 3, 3).await;
    write_some(&client, &payments).await;

    phase("the old copy is put back");
    let node = cluster.node_mut(FORGETFUL);
    node.kill();
    fs::remove_dir_all(node.data_dir()).unwrap();
    copy_directory(&copy, &node.data_dir());
    node.start();
    assert_refused(&mut cluster, &topic).await;

    phase("everybody starts again, the old copy for the second time");
    cluster.kill_all();
    for node in 1..=3 {
        cluster.node_mut(NodeId::new(node)).start();
    }
    assert_refused(&mut cluster, &refunds).await;
}

fn copy_directory(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_directory(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
