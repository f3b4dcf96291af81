//! Nodes join, drain and are replaced, while records are written, and nobody loses any.

use std::time::Duration;

use flotilla_client::{
    Client, ClientError, ClusterDescription, ErrorCode, NodeDuty, NodeId, PlacementChange,
    PlacementGoal, PlacementOptions, ProducerConfig, TopicName,
};
use flotilla_tests::cluster::{Cluster, flotilla};
use flotilla_tests::condition::until;
use flotilla_tests::phase::phase;
use flotilla_tests::replicas::wait_until_settled;
use flotilla_tests::workload::{Writing, read_whole, write};
use tokio::join;
use tokio::sync::watch;

use crate::topics::{create, name};

const RECORD_COUNT: u64 = 20_000;
/// A node that is not seen as up or down by then is seen wrongly.
const SEEN_LIMIT: Duration = Duration::from_secs(30);

async fn change(client: &Client, goal: PlacementGoal) -> Result<PlacementChange, ClientError> {
    let options = PlacementOptions::default();
    client.admin().change_placement(goal, options).await
}

async fn plan(client: &Client, goal: PlacementGoal) -> Result<PlacementChange, ClientError> {
    let options = PlacementOptions {
        dry_run: true,
        ..PlacementOptions::default()
    };
    client.admin().change_placement(goal, options).await
}

fn is_empty(change: &PlacementChange) -> bool {
    change.duties.is_empty() && change.moves.is_empty()
}

fn duty(cluster: &ClusterDescription, node: NodeId) -> Option<NodeDuty> {
    let mut nodes = cluster.nodes.iter();
    nodes.find(|known| known.id == node).map(|node| node.duty)
}

/// Replicas of partitions on a node.
fn held(cluster: &ClusterDescription, node: NodeId) -> usize {
    let partitions = cluster.partitions.iter();
    let replicas = partitions.flat_map(|partition| &partition.replicas);
    replicas.filter(|replica| replica.node == node).count()
}

async fn wait_until_seen_down(client: &Client, node: NodeId) {
    let what = format!("node {node} is seen to be down");
    until(&what, SEEN_LIMIT, async || {
        let cluster = client.admin().describe_cluster().await.ok()?;
        let mut nodes = cluster.nodes.iter();
        nodes
            .any(|known| known.id == node && !known.alive)
            .then_some(())
    })
    .await;
}

fn writing(topic: &TopicName) -> Writing {
    Writing {
        topic: topic.clone(),
        producer: 1,
        record_count: RECORD_COUNT,
        value_bytes: 100,
        key_count: 50,
    }
}

/// Writes all records, while `story` is told how many are acknowledged, and reads everything back.
async fn write_during(
    client: &Client,
    topic: &TopicName,
    story: impl AsyncFnOnce(watch::Receiver<u64>),
) {
    let (acknowledged, progress) = watch::channel(0);
    let writing = writing(topic);
    let write = write(client, &writing, ProducerConfig::default(), |count| {
        acknowledged.send_replace(count);
    });
    let (history, ()) = join!(write, story(progress));
    let mut history = history.unwrap();
    phase("read everything back");
    for reading in read_whole(client, topic).await.unwrap() {
        history.note_reading(reading);
    }
    assert_eq!(history.acknowledged_count() as u64, RECORD_COUNT);
    history.assert_promise_kept();
}

/// Goal: a node joins a cluster that is written to, gets its share when it is added, and everything
/// acknowledged is read in its order.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_joins_gets_its_share_under_load() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 8, 3).await;

    write_during(&client, &topic, async |mut progress| {
        progress.wait_for(|count| *count > 0).await.unwrap();
        phase("start a fourth node");
        let fourth = cluster.start_joining(&[]).await;
        let described = client.admin().describe_cluster().await.unwrap();
        assert_eq!(duty(&described, fourth), Some(NodeDuty::Spare));
        assert_eq!(held(&described, fourth), 0);

        phase("add it");
        let goal = PlacementGoal::AddNode(fourth);
        let planned = plan(&client, goal).await.unwrap();
        let changed = change(&client, goal).await.unwrap();
        assert_eq!(changed.moves, planned.moves);
        assert!(is_empty(&plan(&client, goal).await.unwrap()), "repeated");
        let settled = wait_until_settled(&client).await;
        assert_eq!(duty(&settled, fourth), Some(NodeDuty::Active));
        for node in &settled.nodes {
            assert_eq!(held(&settled, node.id), 6, "on node {}", node.id);
        }
    })
    .await;
    assert!(is_empty(
        &change(&client, PlacementGoal::Rebalance).await.unwrap()
    ));
}

/// Goal: a node is drained while it is written to, is stopped, and is not missed. Nor is it when it is
/// removed.
#[tokio::test(flavor = "multi_thread")]
async fn a_drained_node_is_not_missed() {
    let mut cluster = Cluster::start(4).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 8, 3).await;
    let first = NodeId::new(1);

    write_during(&client, &topic, async |mut progress| {
        progress.wait_for(|count| *count > 0).await.unwrap();
        phase("drain node 1, and forget it at once");
        let goal = PlacementGoal::DrainNode(first);
        let changed = change(&client, goal).await.unwrap();
        assert!(!changed.moves.is_empty());
        assert!(is_empty(&change(&client, goal).await.unwrap()), "repeated");
        let settled = wait_until_settled(&client).await;
        assert_eq!(held(&settled, first), 0);
        let node = settled.nodes.iter().find(|node| node.id == first);
        assert!(node.unwrap().is_drained);
        phase("stop it");
        cluster.node_mut(first).stop().await;
    })
    .await;

    wait_until_seen_down(&client, first).await;
    phase("remove it");
    let goal = PlacementGoal::ReplaceNode {
        node: first,
        with: None,
        force: false,
    };
    let changed = change(&client, goal).await.unwrap();
    assert_eq!(changed.moves, []);
    let described = client.admin().describe_cluster().await.unwrap();
    assert_eq!(described.removed_nodes, [first]);
    assert!(is_empty(&change(&client, goal).await.unwrap()), "repeated");
}

/// Goal: what a node held that will never come back is held by another, and everything acknowledged is
/// still there.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_node_is_replaced_for_good() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 6, 3).await;
    let dead = NodeId::new(2);

    write_during(&client, &topic, async |mut progress| {
        progress.wait_for(|count| *count > 0).await.unwrap();
        phase("kill node 2, and let another one join");
        cluster.node_mut(dead).kill();
        wait_until_seen_down(&client, dead).await;
        let fourth = cluster.start_joining(&[]).await;
        let goal = PlacementGoal::ReplaceNode {
            node: dead,
            with: Some(fourth),
            force: false,
        };
        let _ = change(&client, goal).await.unwrap();
        let settled = wait_until_settled(&client).await;
        assert_eq!(held(&settled, dead), 0);
        assert_eq!(held(&settled, fourth), 6);
        assert_eq!(settled.removed_nodes, [dead]);
    })
    .await;

    phase("the cluster bears the loss of another node");
    cluster.node_mut(NodeId::new(3)).kill();
    cluster.wait_for_leaders(&client).await;
    let read = read_whole(&client, &topic).await.unwrap();
    assert_eq!(read.len(), 6);
}

/// Goal: whoever carries moves out may die in the middle of it. Others go on.
#[tokio::test(flavor = "multi_thread")]
async fn moves_end_although_those_who_carry_them_out_are_killed() {
    let mut cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 8, 3).await;

    write_during(&client, &topic, async |mut progress| {
        let fourth = cluster.start_joining(&[]).await;
        let due = RECORD_COUNT / 4;
        progress.wait_for(|count| *count >= due).await.unwrap();
        phase("add a node");
        let _ = change(&client, PlacementGoal::AddNode(fourth))
            .await
            .unwrap();
        let leader = client.admin().describe_cluster().await.unwrap();
        let leader = leader.metadata_leader.unwrap().node;
        for victim in [leader, fourth] {
            phase(format_args!("kill node {victim}, and start it again"));
            cluster.node_mut(victim).kill();
            cluster.start_all().await;
        }
        let settled = wait_until_settled(&client).await;
        for node in &settled.nodes {
            assert_eq!(held(&settled, node.id), 6, "on node {}", node.id);
        }
    })
    .await;
}

/// Goal: what cannot be is refused with a code and a way out, by the command too.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_lose_replicas_is_refused() {
    let cluster = Cluster::start(3).await;
    let client = cluster.client().await;
    let topic = name("orders");
    create(&client, &topic, 3, 3).await;
    let (one, nobody) = (NodeId::new(1), NodeId::new(9));
    let replace = |node, with| PlacementGoal::ReplaceNode {
        node,
        with,
        force: false,
    };
    let refused = [
        (PlacementGoal::DrainNode(one), ErrorCode::NotEnoughNodes),
        (replace(one, None), ErrorCode::InvalidArgument),
        (PlacementGoal::AddNode(nobody), ErrorCode::UnknownNode),
        (PlacementGoal::DrainNode(nobody), ErrorCode::UnknownNode),
        (replace(nobody, None), ErrorCode::UnknownNode),
    ];
    for (goal, code) in refused {
        let error = plan(&client, goal).await.unwrap_err();
        assert_eq!(error.code(), code, "{goal:?}: {error}");
    }
    let outdated = PlacementOptions {
        dry_run: false,
        if_placement_version: Some(0),
    };
    let admin = client.admin();
    let error = admin.change_placement(PlacementGoal::Rebalance, outdated);
    assert_eq!(error.await.unwrap_err().code(), ErrorCode::VersionConflict);

    let bootstrap = cluster.bootstrap_argument();
    let run = async |arguments: &[&str]| {
        let arguments = [&["cluster"], arguments, &[&bootstrap]].concat();
        flotilla(&arguments, "").await
    };
    let drain = run(&["drain", "1", "--dry-run"]).await;
    assert_ne!(drain.code, Some(0));
    assert!(drain.stderr.contains("--join"), "{}", drain.stderr);
    let nothing = run(&["rebalance"]).await;
    assert_eq!(nothing.code, Some(0), "{}", nothing.stderr);
    assert_eq!(nothing.stdout, "nothing to change\n");
    let status = run(&["status"]).await;
    assert!(status.stdout.contains("DUTY"), "{}", status.stdout);
}
