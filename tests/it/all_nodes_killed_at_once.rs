//! The power of the whole site goes, and comes back.

use flotilla_client::{PartitionIndex, ProducerConfig};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_until_caught_up;
use flotilla_tests::workload::{Writing, write};
use tokio::join;
use tokio::sync::watch;

use crate::raw_api::RawNode;
use crate::topics::{create, name};

const PARTITION_COUNT: u32 = 4;
const RECORD_COUNT: u64 = 20_000;

/// Goal: after SIGKILL of all nodes at once, every record that was acknowledged is there, on every
/// replica, and a producer that kept trying goes on without loss, duplicates or disorder.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_the_death_of_all_nodes() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, PARTITION_COUNT, 3).await;

    phase("write with two producers, and kill all nodes half way");
    let writing = |producer, key_count| Writing {
        topic: topic.clone(),
        producer,
        record_count: RECORD_COUNT,
        value_bytes: 200,
        key_count,
    };
    let (acknowledged, mut progress) = watch::channel(0);
    let (keyed, keyless) = (writing(1, 100), writing(2, 0));
    let first = write(&client, &keyed, ProducerConfig::default(), |count| {
        acknowledged.send_replace(count);
    });
    let second = write(&client, &keyless, ProducerConfig::default(), |_| ());
    let kill = async {
        let half = RECORD_COUNT / 2;
        progress.wait_for(|count| *count >= half).await.unwrap();
        cluster.kill_all();
        phase("all nodes are dead; start them again");
        cluster.start_all().await;
        phase("all nodes are ready");
    };
    let (first, second, ()) = join!(first, second, kill);
    let mut history = first.unwrap();
    history.merge(second.unwrap());
    assert_eq!(history.acknowledged_count() as u64, 2 * RECORD_COUNT);

    phase("read every partition from every node");
    for node in cluster.nodes() {
        wait_until_caught_up(&client, &topic, node.id()).await;
        for partition in (0..PARTITION_COUNT).map(PartitionIndex::new) {
            let reading = RawNode::of(node).read_whole(&topic, partition).await;
            history.note_reading(reading.unwrap());
        }
    }
    history.assert_promise_kept();
}
