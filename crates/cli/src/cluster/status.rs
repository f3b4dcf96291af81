//! What an operator wants to know of a cluster, drawn from its description.

use flotilla_client::{ClusterDescription, NodeId, PartitionDescription, ReplicaDescription};

/// Nodes with what they carry, and everything that is not well.
pub(super) struct Status<'a> {
    pub(super) cluster: &'a ClusterDescription,
    pub(super) nodes: Vec<NodeLoad>,
    pub(super) leaderless: Vec<&'a PartitionDescription>,
    pub(super) under_replicated: Vec<UnderReplicated<'a>>,
}

/// What one node carries, in the order of the description's nodes.
pub(super) struct NodeLoad {
    pub(super) leaders: usize,
    pub(super) replicas: usize,
}

/// A partition that has a leader and lacks replicas that keep up.
pub(super) struct UnderReplicated<'a> {
    pub(super) partition: &'a PartitionDescription,
    pub(super) behind: Vec<Behind>,
}

/// A replica that does not keep up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Behind {
    pub(super) node: NodeId,
    pub(super) is_alive: bool,
    /// `None` if the leader does not know.
    pub(super) lag_entries: Option<u64>,
}

impl<'a> Status<'a> {
    pub(super) fn of(cluster: &'a ClusterDescription, lag_entries_max: u64) -> Self {
        let partitions = &cluster.partitions;
        let (led, leaderless): (Vec<_>, Vec<_>) = partitions
            .iter()
            .partition(|partition| partition.leader.is_some());
        let under_replicated = led.into_iter().filter_map(|partition| {
            let behind: Vec<_> = behind(cluster, partition, lag_entries_max).collect();
            (!behind.is_empty()).then_some(UnderReplicated { partition, behind })
        });
        Self {
            cluster,
            nodes: cluster
                .nodes
                .iter()
                .map(|node| load(cluster, node.id))
                .collect(),
            leaderless,
            under_replicated: under_replicated.collect(),
        }
    }

    pub(super) fn is_well(&self) -> bool {
        self.leaderless.is_empty()
            && self.under_replicated.is_empty()
            && self.cluster.metadata_leader.is_some()
            && self
                .cluster
                .nodes
                .iter()
                .all(|node| node.alive || node.is_drained)
    }
}

fn load(cluster: &ClusterDescription, node: NodeId) -> NodeLoad {
    let leads = |partition: &&PartitionDescription| {
        partition.leader.is_some_and(|leader| leader.node == node)
    };
    let holds = |partition: &&PartitionDescription| {
        partition
            .replicas
            .iter()
            .any(|replica| replica.node == node)
    };
    NodeLoad {
        leaders: cluster.partitions.iter().filter(leads).count(),
        replicas: cluster.partitions.iter().filter(holds).count(),
    }
}

/// The leader itself is never behind, whatever is known of its lag. Nor is a replica that is still
/// being copied to where the partition moves.
fn behind(
    cluster: &ClusterDescription,
    partition: &PartitionDescription,
    lag_entries_max: u64,
) -> impl Iterator<Item = Behind> {
    let is_alive = |id| cluster.nodes.iter().any(|node| node.id == id && node.alive);
    let leader = partition.leader.map(|leader| leader.node);
    let keeps_up = move |replica: &ReplicaDescription| {
        let is_copied =
            partition.moving_to.contains(&replica.node) && replica.is_voter == Some(false);
        is_copied
            || Some(replica.node) == leader
            || is_alive(replica.node)
                && replica
                    .lag_entries
                    .is_some_and(|lag| lag <= lag_entries_max)
    };
    let replicas = partition.replicas.iter();
    replicas
        .filter(move |replica| !keeps_up(replica))
        .map(move |replica| Behind {
            node: replica.node,
            is_alive: is_alive(replica.node),
            lag_entries: replica.lag_entries,
        })
}

#[cfg(test)]
pub(super) mod tests {
    use flotilla_client::{
        NodeDescription, NodeDuty, NodeHoldings, PartitionIndex, PartitionLeader, TopicName,
    };
    use flotilla_types::{ClusterId, LeaderEpoch, NodeAddresses, RaftGroupId};

    use super::*;

    /// Three nodes, of which `dead` do not answer; `orders` with partitions of three replicas each.
    pub(in crate::cluster) fn cluster(
        dead: &[u64],
        partitions: &[(Option<u64>, [Option<u64>; 3])],
    ) -> ClusterDescription {
        let node = |id| NodeDescription {
            id: NodeId::new(id),
            addresses: NodeAddresses {
                client: format!("127.0.0.1:74{id}0"),
                peer: format!("127.0.0.1:74{id}1"),
            },
            alive: !dead.contains(&id),
            duty: NodeDuty::Active,
            holdings: NodeHoldings::default(),
            is_drained: false,
        };
        let leader = |id| PartitionLeader {
            node: NodeId::new(id),
            epoch: LeaderEpoch::new(3),
        };
        let partition = |(index, (leads, lags)): (u32, &(Option<u64>, [Option<u64>; 3]))| {
            let replica = |(node, lag_entries)| ReplicaDescription {
                node: NodeId::new(node),
                lag_entries,
                is_voter: Some(true),
            };
            PartitionDescription {
                topic: TopicName::parse("orders").unwrap(),
                index: PartitionIndex::new(index),
                raft_group: RaftGroupId::new(index + 1),
                leader: leads.map(leader),
                log_start: None,
                high_watermark: None,
                stored_bytes: None,
                replicas: (1..).zip(*lags).map(replica).collect(),
                moving_to: Vec::new(),
            }
        };
        ClusterDescription {
            cluster_id: ClusterId::new([7; 16]),
            answered_by: NodeId::new(1),
            nodes: (1..=3).map(node).collect(),
            removed_nodes: Vec::new(),
            moves: Vec::new(),
            metadata_leader: Some(leader(1)),
            partitions: (0..).zip(partitions).map(partition).collect(),
        }
    }

    #[test]
    fn a_healthy_cluster_is_well() {
        let cluster = cluster(&[], &[(Some(1), [None, Some(0), Some(1_000)])]);
        let status = Status::of(&cluster, 1_000);
        assert!(status.is_well());
        let loads = status
            .nodes
            .iter()
            .map(|load| (load.leaders, load.replicas));
        assert_eq!(loads.collect::<Vec<_>>(), [(1, 1), (0, 1), (0, 1)]);
    }

    #[test]
    fn a_replica_is_behind_if_it_lags_is_unknown_or_its_node_is_dead() {
        let lagging = cluster(&[], &[(Some(1), [Some(0), Some(1_001), None])]);
        let status = Status::of(&lagging, 1_000);
        let nodes: Vec<_> = status.under_replicated[0]
            .behind
            .iter()
            .map(|behind| (behind.node.get(), behind.lag_entries))
            .collect();
        assert_eq!(nodes, [(2, Some(1_001)), (3, None)]);

        let dead = cluster(&[2], &[(Some(1), [Some(0), Some(0), Some(0)])]);
        let status = Status::of(&dead, 1_000);
        assert_eq!(status.under_replicated[0].behind.len(), 1);
        assert!(!status.is_well());
    }

    #[test]
    fn a_drained_node_may_be_down_and_a_replica_that_is_copied_may_lag() {
        let mut cluster = cluster(&[3], &[(Some(1), [Some(0), Some(9_000), Some(0)])]);
        cluster.nodes[2].is_drained = true;
        let partition = &mut cluster.partitions[0];
        partition.replicas.pop();
        partition.replicas[1].is_voter = Some(false);
        assert!(!Status::of(&cluster, 1_000).is_well());
        cluster.partitions[0].moving_to = vec![NodeId::new(1), NodeId::new(2)];
        assert!(Status::of(&cluster, 1_000).is_well());
    }

    #[test]
    fn a_partition_without_a_leader_is_listed_as_such_and_only_once() {
        let cluster = cluster(&[], &[(None, [None; 3]), (Some(2), [Some(0); 3])]);
        let status = Status::of(&cluster, 1_000);
        assert_eq!(status.leaderless.len(), 1);
        assert!(status.under_replicated.is_empty());
        assert!(!status.is_well());
    }
}
