//! A disk gives back something else than it was given. Nobody is served that, and the replica is
//! built again from the others.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::Duration;

use flotilla_client::{Client, ErrorCode, ProducerConfig, TopicName};
use flotilla_tests::cluster::{Cluster, ClusterOptions, Node};
use flotilla_tests::condition::until;
use flotilla_tests::history::{History, RecordId};
use flotilla_tests::http::get;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::{wait_for_leader, wait_until_caught_up};
use flotilla_tests::workload::{Writing, read_whole, write};

use crate::raw_api::RawNode;
use crate::topics::{FIRST, create, name};

const LIMIT: Duration = Duration::from_secs(60);
/// Smaller files hold rows, not segments.
const SEGMENT_FILE_BYTES_MIN: u64 = 200 << 10;

/// Settings with which records leave the journal soon, and stored bytes are checked often.
fn small_segments() -> Vec<(&'static str, String)> {
    let settings = [
        ("storage.journal_file_bytes", 256 << 10),
        ("storage.journal_bytes_max", 1 << 20),
        ("storage.journal_bytes_kept", 0),
        ("storage.segment_bytes_target", 256 << 10),
        ("storage.segment_bytes_min", 32 << 10),
        ("storage.tail_cache_bytes", 1 << 20),
        ("storage.block_cache_bytes", 1 << 20),
        ("storage.scrub_bytes_per_second", 256 << 20),
    ];
    settings
        .map(|(key, value)| (key, value.to_string()))
        .to_vec()
}

async fn start(node_count: u64) -> Cluster {
    let settings = small_segments();
    Cluster::start_with(ClusterOptions {
        node_count,
        settings,
    })
    .await
}

async fn fill(client: &Client, topic: &TopicName, producer: u32, record_count: u64) -> History {
    let writing = Writing {
        topic: topic.clone(),
        producer,
        record_count,
        value_bytes: 4 << 10,
        key_count: 10,
    };
    let history = write(client, &writing, ProducerConfig::default(), |_| ()).await;
    let history = history.unwrap();
    assert_eq!(history.acknowledged_count() as u64, record_count);
    history
}

/// The files that hold segments, once there are some.
async fn segment_files(node: &Node) -> Vec<PathBuf> {
    let directory = node.data_dir().join("tables");
    let is_segment = |path: &PathBuf| {
        let is_large = path
            .metadata()
            .is_ok_and(|data| data.len() >= SEGMENT_FILE_BYTES_MIN);
        is_large && path.extension().is_some_and(|extension| extension == "sst")
    };
    until("segments are stored", LIMIT, async || {
        let files = fs::read_dir(&directory).ok()?;
        let files: Vec<_> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        let segments: Vec<_> = files.into_iter().filter(is_segment).collect();
        (!segments.is_empty()).then_some(segments)
    })
    .await
}

/// Turns over one bit in the middle of each file.
fn flip_a_bit(files: &[PathBuf]) {
    for path in files {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .open(path)
            .unwrap();
        let middle = file.metadata().unwrap().len() / 2;
        let mut byte = [0];
        file.read_exact_at(&mut byte, middle).unwrap();
        file.write_all_at(&[byte[0] ^ 0x10], middle).unwrap();
        file.sync_all().unwrap();
    }
}

async fn wait_until_said(node: &Node, words: &str) {
    until(
        &format!("node {} says: {words}", node.id()),
        LIMIT,
        async || node.log().contains(words).then_some(()),
    )
    .await;
}

async fn wait_until_no_replica_is_damaged(node: &Node) {
    let address = node.http_address();
    until("no replica is damaged", LIMIT, async || {
        let health = get(&address, "/health").await.ok()?;
        health
            .text()
            .contains("no replica is damaged")
            .then_some(())
    })
    .await;
}

/// Goal: a follower whose stored segments were damaged while it was down serves none of it, is
/// rebuilt without help, and holds every record again.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_follower_is_rebuilt_from_the_others() {
    let mut cluster = start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let mut history = fill(&client, &topic, 1, 2_000).await;
    let leader = wait_for_leader(&client, &topic, FIRST).await;
    let mut nodes = cluster.nodes().iter().map(Node::id);
    let victim = nodes.find(|node| *node != leader).unwrap();

    phase(format_args!("damage the segments of node {victim}"));
    let segments = segment_files(cluster.node(victim)).await;
    cluster.node_mut(victim).kill();
    flip_a_bit(&segments);
    cluster.node_mut(victim).start();
    history.merge(fill(&client, &topic, 2, 500).await);

    phase("wait until it has noticed and is rebuilt");
    let node = cluster.node(victim);
    wait_until_said(node, "a damaged replica was rebuilt and serves again").await;
    wait_until_no_replica_is_damaged(node).await;
    wait_until_caught_up(&client, &topic, victim).await;

    phase("read every copy");
    for node in cluster.nodes() {
        let reading = RawNode::of(node).read_whole(&topic, FIRST).await;
        history.note_reading(reading.unwrap());
    }
    history.assert_promise_kept();
}

/// Goal: a leader whose disk rots under it hands over, consumers read every record meanwhile, and
/// producers are not refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_damaged_while_it_serves_hands_over() {
    let cluster = start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 1, 3).await;
    let mut history = fill(&client, &topic, 1, 2_000).await;

    let leader = wait_for_leader(&client, &topic, FIRST).await;
    phase(format_args!(
        "damage the segments of node {leader} while it leads"
    ));
    flip_a_bit(&segment_files(cluster.node(leader)).await);
    let readings = read_whole(&client, &topic).await.unwrap();
    let seen: Vec<_> = readings[0].records.iter().map(|seen| seen.id).collect();
    let written: Vec<_> = (0..2_000)
        .map(|number| Some(RecordId::new(1, number)))
        .collect();
    assert!(
        seen == written,
        "a reader saw something else than was written"
    );
    history.merge(fill(&client, &topic, 2, 500).await);

    phase("wait until it is rebuilt");
    let node = cluster.node(leader);
    wait_until_said(node, "a damaged replica was rebuilt and serves again").await;
    wait_until_no_replica_is_damaged(node).await;
    wait_until_caught_up(&client, &topic, leader).await;
    for node in cluster.nodes() {
        let reading = RawNode::of(node).read_whole(&topic, FIRST).await;
        history.note_reading(reading.unwrap());
    }
    history.assert_promise_kept();
}

/// Goal: where there is no other replica, the damage is said, nothing wrong is served, nothing is
/// dropped, and the rest of the node goes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_only_replica_is_parked_and_kept() {
    let mut cluster = start(1).await;
    let client = cluster.client().await;
    let (damaged, sound) = (name("damaged"), name("sound"));
    create(&client, &damaged, 1, 1).await;
    let history = fill(&client, &damaged, 1, 1_000).await;
    let segments = segment_files(&cluster.nodes()[0]).await;
    create(&client, &sound, 1, 1).await;

    phase("damage the only copy");
    flip_a_bit(&segments);
    let raw = RawNode::of(&cluster.nodes()[0]);
    let refused = raw.read_whole(&damaged, FIRST).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::LeaderNotAvailable);
    wait_until_said(&cluster.nodes()[0], "a damaged replica cannot be rebuilt").await;
    let refused = raw.read_whole(&damaged, FIRST).await.unwrap_err();
    assert_eq!(refused.code, ErrorCode::LeaderNotAvailable);
    fill(&client, &sound, 2, 10).await;

    phase("put the bits back, as from a copy of the disk, and start again");
    let id = cluster.nodes()[0].id();
    cluster.node_mut(id).kill();
    flip_a_bit(&segments);
    cluster.start_all().await;
    wait_for_leader(&client, &damaged, FIRST).await;
    let mut history = history;
    for reading in read_whole(&client, &damaged).await.unwrap() {
        history.note_reading(reading);
    }
    history.assert_promise_kept();
}
