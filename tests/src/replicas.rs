//! Who leads, and who has everything, read from a description of the cluster.

use std::time::Duration;

use flotilla_client::{
    Client, ClusterDescription, NodeId, PartitionDescription, PartitionIndex, TopicName,
};

use crate::condition::until;

/// A leader that is not there by then will not come.
const LEADER_LIMIT: Duration = Duration::from_secs(30);
/// A node that has not caught up by then never will.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(60);

/// What still moves by then is stuck.
const MOVE_LIMIT: Duration = Duration::from_secs(120);

pub fn partition_of<'a>(
    cluster: &'a ClusterDescription,
    topic: &TopicName,
    partition: PartitionIndex,
) -> Option<&'a PartitionDescription> {
    let mut partitions = cluster.partitions.iter();
    partitions.find(|known| known.topic == *topic && known.index == partition)
}

pub fn leader_of(
    cluster: &ClusterDescription,
    topic: &TopicName,
    partition: PartitionIndex,
) -> Option<NodeId> {
    Some(partition_of(cluster, topic, partition)?.leader?.node)
}

/// Whether `node` is up and has every entry of its replicas of the topic, as the leaders know it.
pub fn has_caught_up(cluster: &ClusterDescription, topic: &TopicName, node: NodeId) -> bool {
    is_near(cluster, topic, node, 0)
}

/// Whether `node` is up and no replica of the topic on it lacks more entries than that, as the leaders
/// know it.
pub fn is_near(
    cluster: &ClusterDescription,
    topic: &TopicName,
    node: NodeId,
    lag_entries_max: u64,
) -> bool {
    let mut nodes = cluster.nodes.iter();
    let is_alive = nodes.any(|known| known.id == node && known.alive);
    let partitions = cluster.partitions.iter();
    let mut partitions = partitions.filter(|partition| partition.topic == *topic);
    is_alive
        && partitions.all(|partition| {
            let lag = lag_of(partition, node);
            lag.is_some_and(|entries| entries <= lag_entries_max)
        })
}

/// What the node's replica lacks, if that is known. A node without one lacks nothing.
fn lag_of(partition: &PartitionDescription, node: NodeId) -> Option<u64> {
    let leader = partition.leader?;
    let mut replicas = partition.replicas.iter();
    match replicas.find(|replica| replica.node == node) {
        Some(own) if leader.node != node => own.lag_entries,
        _ => Some(0),
    }
}

/// # Panics
///
/// If nobody leads within half a minute.
pub async fn wait_for_leader(
    client: &Client,
    topic: &TopicName,
    partition: PartitionIndex,
) -> NodeId {
    let what = format!("somebody leads {topic}/{partition}");
    until(&what, LEADER_LIMIT, async || {
        let cluster = client.admin().describe_cluster().await.ok()?;
        leader_of(&cluster, topic, partition)
    })
    .await
}

/// # Panics
///
/// If the node has not caught up within a minute.
pub async fn wait_until_caught_up(client: &Client, topic: &TopicName, node: NodeId) {
    let what = format!("node {node} has every record of {topic}");
    until(&what, CATCH_UP_LIMIT, async || {
        let cluster = client.admin().describe_cluster().await.ok()?;
        has_caught_up(&cluster, topic, node).then_some(())
    })
    .await;
}

/// Waits until nothing moves, and returns the cluster as it is then.
///
/// # Panics
///
/// If something still moves after two minutes.
pub async fn wait_until_settled(client: &Client) -> ClusterDescription {
    until("nothing moves any more", MOVE_LIMIT, async || {
        let cluster = client.admin().describe_cluster().await.ok()?;
        cluster.moves.is_empty().then_some(cluster)
    })
    .await
}

#[cfg(test)]
mod tests {
    use flotilla_client::{
        NodeDescription, NodeDuty, NodeHoldings, PartitionLeader, ReplicaDescription,
    };
    use flotilla_types::{ClusterId, LeaderEpoch, NodeAddresses, RaftGroupId};

    use super::*;

    /// Nodes 1 and 2, both with a replica of `orders/0`, which node 1 leads.
    fn cluster(is_second_alive: bool, second_lag: Option<u64>) -> ClusterDescription {
        let node = |id, alive| NodeDescription {
            id: NodeId::new(id),
            addresses: NodeAddresses {
                client: String::new(),
                peer: String::new(),
            },
            alive,
            duty: NodeDuty::Active,
            holdings: NodeHoldings::default(),
            is_drained: false,
        };
        let replica = |node, lag_entries| ReplicaDescription {
            node: NodeId::new(node),
            lag_entries,
            is_voter: None,
        };
        ClusterDescription {
            cluster_id: ClusterId::new([0; 16]),
            answered_by: NodeId::new(1),
            nodes: vec![node(1, true), node(2, is_second_alive)],
            removed_nodes: Vec::new(),
            moves: Vec::new(),
            metadata_leader: None,
            partitions: vec![PartitionDescription {
                topic: TopicName::parse("orders").unwrap(),
                index: PartitionIndex::new(0),
                raft_group: RaftGroupId::new(1),
                leader: Some(PartitionLeader {
                    node: NodeId::new(1),
                    epoch: LeaderEpoch::new(1),
                }),
                log_start: None,
                high_watermark: None,
                stored_bytes: None,
                replicas: vec![replica(1, None), replica(2, second_lag)],
                moving_to: Vec::new(),
            }],
        }
    }

    #[test]
    fn a_node_has_caught_up_when_it_is_up_and_lags_nowhere() {
        let topic = TopicName::parse("orders").unwrap();
        let caught_up = |cluster, node| has_caught_up(&cluster, &topic, NodeId::new(node));
        assert!(caught_up(cluster(true, Some(0)), 2));
        assert!(!caught_up(cluster(true, Some(1)), 2));
        assert!(!caught_up(cluster(true, None), 2));
        assert!(!caught_up(cluster(false, Some(0)), 2));
        assert!(caught_up(cluster(true, None), 1), "a leader has everything");
        let mut leaderless = cluster(true, Some(0));
        leaderless.partitions[0].leader = None;
        assert!(!caught_up(leaderless, 2));
    }
}
