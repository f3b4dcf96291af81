//! Groups that stand still: they cost nothing, and nobody notices.

use std::time::Duration;

use flotilla_types::{LeaderEpoch, Offset};
use tokio::time::{sleep, timeout};

use crate::RaftConfig;
use crate::cluster_test::{Cluster, GROUP, LIMIT, batch};

const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Three nodes whose groups stand still as soon as nothing happens.
async fn start() -> Cluster {
    let config = RaftConfig {
        quiesce_after_ms: Some(100),
        ..RaftConfig::default()
    };
    Cluster::start_with(3, config).await
}

async fn wait_quiet(cluster: &Cluster) {
    let is_quiet = |at| cluster.partition(at).group().is_quiet();
    let running = || (0..3).filter(|at| cluster.nodes[*at].is_some());
    let quiet = async {
        while !running().all(is_quiet) {
            // A replica tells nobody that it has come to rest.
            sleep(LOOK_AGAIN).await;
        }
    };
    timeout(LIMIT, quiet).await.unwrap();
}

fn epoch(cluster: &Cluster, at: usize) -> LeaderEpoch {
    cluster.partition(at).leadership().epoch
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_stands_still_and_wakes_to_take_a_batch() {
    let cluster = start().await;
    cluster.append(&batch(0)).await;
    for number in 1..4 {
        wait_quiet(&cluster).await;
        let before = epoch(&cluster, 0);
        assert_eq!(cluster.append(&batch(number)).await, Offset::new(number));
        assert_eq!(epoch(&cluster, 0), before, "the leader is the same");
    }
    for at in 0..3 {
        cluster.assert_holds(at, 0, 4).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_of_a_quiet_group_is_believed_and_can_be_asked() {
    let cluster = start().await;
    cluster.append(&batch(0)).await;
    wait_quiet(&cluster).await;
    let leader = cluster.leader().await;
    for node in cluster.nodes.iter().flatten() {
        let confirmed = node.node.confirmed_leadership(GROUP).unwrap();
        assert_eq!(confirmed.leader.unwrap().get(), leader as u64 + 1);
    }
    let group = cluster.partition(leader).group().clone();
    group.confirm_leading().await.unwrap();
    assert!(group.is_quiet(), "a question needs no timers");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_group_whose_leader_is_gone_elects_another() {
    let mut cluster = start().await;
    cluster.append(&batch(0)).await;
    wait_quiet(&cluster).await;
    let leader = cluster.leader().await;
    cluster.stop(leader).await;
    assert_eq!(cluster.append(&batch(1)).await, Offset::new(1));
    cluster.restart(leader).await;
    cluster.assert_holds(leader, 0, 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_starts_leaves_the_leader_of_a_quiet_group_alone() {
    let mut cluster = start().await;
    cluster.append(&batch(0)).await;
    wait_quiet(&cluster).await;
    let leader = cluster.leader().await;
    let before = epoch(&cluster, leader);
    let follower = (leader + 1) % 3;
    cluster.stop(follower).await;
    cluster.restart(follower).await;
    cluster.assert_holds(follower, 0, 1).await;
    wait_quiet(&cluster).await;
    assert_eq!(epoch(&cluster, leader), before);
    assert_eq!(cluster.leader().await, leader);
}

/// Its process goes on answering pings, so only the claims that nobody makes any more tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quiet_group_notices_that_the_replica_of_its_leader_has_ended() {
    let cluster = start().await;
    cluster.append(&batch(0)).await;
    wait_quiet(&cluster).await;
    let leader = cluster.leader().await;
    let before = epoch(&cluster, leader);
    let ended = cluster.partition(leader).group().raft.clone();
    ended.shutdown().await.unwrap();
    let other = cluster.partition((leader + 1) % 3);
    let successor = other.wait_leadership(|now| now.epoch > before && now.leader.is_some());
    timeout(LIMIT, successor).await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leadership_of_a_quiet_group_can_be_handed_over() {
    let cluster = start().await;
    cluster.append(&batch(0)).await;
    wait_quiet(&cluster).await;
    let leader = cluster.leader().await;
    let heir = (leader + 1) % 3;
    let heir_id = cluster.nodes[heir].as_ref().unwrap().node.id();
    let partition = cluster.partition(leader);
    assert!(partition.transfer_leader(heir_id, LIMIT).await);
    assert_eq!(cluster.append(&batch(1)).await, Offset::new(1));
    for at in 0..3 {
        cluster.assert_holds(at, 0, 2).await;
    }
}
