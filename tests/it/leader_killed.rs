//! Leaders die one after the other while a producer writes, and nobody but the clock notices.

use flotilla_client::ProducerConfig;
use flotilla_tests::cluster::Cluster;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::{wait_for_leader, wait_until_caught_up};
use flotilla_tests::workload::{Writing, read_whole, write};
use tokio::join;
use tokio::sync::watch;

use crate::topics::{FIRST, create, name};

/// Set by `make kills` to make the story a long one.
const RECORDS_VARIABLE: &str = "FLOTILLA_KILLS_RECORDS";
const KILLS_VARIABLE: &str = "FLOTILLA_KILLS";
const RECORD_COUNT: u64 = 40_000;
const KILLS: u64 = 3;

fn size(variable: &str, default: u64) -> u64 {
    let given = std::env::var(variable).ok();
    given.map_or(default, |text| {
        text.parse().expect("the variable is a number")
    })
}

/// Goal: an idempotent producer that meets dead leaders loses nothing, doubles nothing and keeps the
/// order of its keys.
#[tokio::test(flavor = "multi_thread")]
async fn killed_leaders_cost_no_record_and_double_none() {
    let record_count = size(RECORDS_VARIABLE, RECORD_COUNT);
    let kills = size(KILLS_VARIABLE, KILLS);
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;

    phase(format_args!(
        "write {record_count} records, and kill the leader of partition 0 {kills} times"
    ));
    let writing = Writing {
        topic: topic.clone(),
        producer: 1,
        record_count,
        value_bytes: 100,
        key_count: 50,
    };
    let (acknowledged, mut progress) = watch::channel(0);
    let write = write(&client, &writing, ProducerConfig::default(), |count| {
        acknowledged.send_replace(count);
    });
    let kill = async {
        for kill in 1..=kills {
            let due = record_count * kill / (kills + 1);
            progress.wait_for(|count| *count >= due).await.unwrap();
            let leader = wait_for_leader(&client, &topic, FIRST).await;
            phase(format_args!("kill node {leader} after {due} records"));
            cluster.node_mut(leader).kill();
            cluster.wait_for_leaders(&client).await;
            phase(format_args!("others lead; start node {leader} again"));
            cluster.start_all().await;
            wait_until_caught_up(&client, &topic, leader).await;
        }
    };
    let (history, ()) = join!(write, kill);
    let mut history = history.unwrap();

    phase("read everything back");
    for reading in read_whole(&client, &topic).await.unwrap() {
        history.note_reading(reading);
    }
    assert_eq!(history.acknowledged_count() as u64, record_count);
    history.assert_promise_kept();
    phase("nothing is lost, doubled or out of order");
}
