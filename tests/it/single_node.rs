//! A cluster of one keeps the promise as far as one disk can.

use flotilla_client::{NewTopic, ProducerConfig};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::history::History;
use flotilla_tests::phase::phase;
use flotilla_tests::workload::{Writing, read_whole, write};
use tokio::join;
use tokio::sync::watch;

use crate::topics::name;

const RECORD_COUNT: u64 = 20_000;

/// Goal: a node alone, in an empty directory, takes records and has them after SIGKILL, again and
/// again.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_survives_sigkill() {
    let mut cluster = Cluster::start(1).await;
    let client = cluster.client().await;
    let topic = name("orders");
    let created = client
        .admin()
        .create_topic(NewTopic::new(topic.clone()))
        .await;
    assert_eq!(created.unwrap().replication_factor, 1);

    let mut history = History::default();
    for producer in 1..=2 {
        phase(format_args!(
            "write, and kill the node half way: life {producer}"
        ));
        let writing = Writing {
            topic: topic.clone(),
            producer,
            record_count: RECORD_COUNT,
            value_bytes: 100,
            key_count: 10,
        };
        let (acknowledged, mut progress) = watch::channel(0);
        let write = write(&client, &writing, ProducerConfig::default(), |count| {
            acknowledged.send_replace(count);
        });
        let kill = async {
            let half = RECORD_COUNT / 2;
            progress.wait_for(|count| *count >= half).await.unwrap();
            cluster.kill_all();
            cluster.start_all().await;
        };
        let (written, ()) = join!(write, kill);
        history.merge(written.unwrap());
    }
    assert_eq!(history.acknowledged_count() as u64, 2 * RECORD_COUNT);
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}
