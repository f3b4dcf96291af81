//! A disk without room: writers are refused with a clear word, and the rest goes on.

use std::time::Duration;

use flotilla_client::{ErrorCode, NodeId, ProducerConfig};
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::workload::{Writing, read_whole, write};

use crate::raw_api::{RawNode, record_request};
use crate::topics::{FIRST, create, name};

/// More than any disk of a test machine has.
const ENORMOUS: u64 = 1 << 50;
const RESERVE: &str = "storage.disk_reserve_bytes";

/// Goal: nodes below their reserve elect leaders and serve what they have, refuse new records surely
/// and by name, and take them again as soon as there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_refuses_writers_and_nobody_else() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let writing = |producer| Writing {
        topic: topic.clone(),
        producer,
        record_count: 1_000,
        value_bytes: 100,
        key_count: 10,
    };
    let mut history = write(&client, &writing(1), ProducerConfig::default(), |_| ())
        .await
        .unwrap();

    phase("start again with a reserve that no disk has");
    for node in 1..=3 {
        cluster.node_mut(NodeId::new(node)).stop().await;
    }
    cluster.configure(&[(RESERVE, ENORMOUS.to_string())]);
    cluster.start_all().await;
    cluster.wait_for_leaders(&client).await;
    for node in cluster.nodes() {
        let refused = RawNode::of(node)
            .produce(record_request(&topic, FIRST, "no room"))
            .await;
        let error = refused.unwrap_err();
        assert_eq!(error.code, ErrorCode::DiskFull);
        assert!(error.code.is_definite());
    }
    let impatient = ProducerConfig {
        delivery_timeout: Duration::from_millis(500),
        ..ProducerConfig::default()
    };
    let refused = write(&client, &writing(2), impatient, |_| ())
        .await
        .unwrap();
    assert_eq!(refused.acknowledged_count(), 0);
    history.merge(refused);
    let readable = read_whole(&client, &topic).await.unwrap();
    let readable: usize = readable.iter().map(|reading| reading.records.len()).sum();
    assert_eq!(readable, 1_000);

    phase("start again with room");
    cluster.kill_all();
    cluster.configure(&[]);
    cluster.start_all().await;
    let written = write(&client, &writing(3), ProducerConfig::default(), |_| ()).await;
    let written = written.unwrap();
    assert_eq!(written.acknowledged_count(), 1_000);
    history.merge(written);
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}
