//! The cluster as an operator sees it.

use std::collections::BTreeMap;

use flotilla_protocol::v1::cluster_admin_client::ClusterAdminClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{
    ClusterId, LeaderEpoch, NodeAddresses, NodeDuty, NodeId, Offset, PartitionIndex, RaftGroupId,
    TopicName, limits,
};

use super::Admin;
use super::placement::{PlacementMove, read_duty, read_move};
use crate::client::{Repeat, within};
use crate::{ClientError, NodeChannel};

/// Nodes, leaders and partitions at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: ClusterId,
    /// Who answered.
    pub answered_by: NodeId,
    /// By id.
    pub nodes: Vec<NodeDescription>,
    /// The ids of those that were removed for good.
    pub removed_nodes: Vec<NodeId>,
    /// `None` while none is known.
    pub metadata_leader: Option<PartitionLeader>,
    /// By topic and index.
    pub partitions: Vec<PartitionDescription>,
    /// What moves, by raft group: from where it is to where it shall be.
    pub moves: Vec<PlacementMove>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeDescription {
    pub id: NodeId,
    pub addresses: NodeAddresses,
    /// The answering node has heard from it lately.
    pub alive: bool,
    pub duty: NodeDuty,
    pub holdings: NodeHoldings,
    /// It was draining, and nothing is left on it: it can be stopped.
    pub is_drained: bool,
}

/// Partitions and coordinators that have something to do with a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NodeHoldings {
    /// Of which it has a replica.
    pub replicas: u32,
    /// Of these, the ones that move away.
    pub leaving: u32,
    /// That move to it.
    pub arriving: u32,
}

/// Who leads, and since when: the epoch increases with each leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionLeader {
    pub node: NodeId,
    pub epoch: LeaderEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionDescription {
    pub topic: TopicName,
    pub index: PartitionIndex,
    /// For logs and metrics of the nodes.
    pub raft_group: RaftGroupId,
    /// `None` while none is known.
    pub leader: Option<PartitionLeader>,
    /// `None` if the leader could not be asked.
    pub log_start: Option<Offset>,
    /// `None` if the leader could not be asked.
    pub high_watermark: Option<Offset>,
    /// Record batches as each replica stores them, that retention has not dropped. `None` if the
    /// leader could not be asked.
    pub stored_bytes: Option<u64>,
    /// By node. While it moves, those that it moves to are among them.
    pub replicas: Vec<ReplicaDescription>,
    /// The nodes that shall hold it instead, preferred leader first. Empty while it does not move.
    pub moving_to: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    pub node: NodeId,
    /// Raft log entries that the leader has and this replica has not confirmed, if known.
    pub lag_entries: Option<u64>,
    /// False while it gets what it lacks and does not count for majorities. `None` if unknown.
    pub is_voter: Option<bool>,
}

impl Admin {
    /// Describes nodes and partitions, asking all nodes that can be reached.
    pub async fn describe_cluster(&self) -> Result<ClusterDescription, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::DescribeClusterRequest {});
            async move { cluster_client(channel).describe_cluster(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        read_cluster(answer)
    }

    /// Moves the leadership of a partition to another of its replicas.
    pub async fn transfer_leader(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        to: NodeId,
    ) -> Result<PartitionLeader, ClientError> {
        let request = v1::TransferLeaderRequest {
            topic: topic.to_string(),
            partition: partition.get(),
            to_node_id: to.get(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { cluster_client(channel).transfer_leader(request).await }
        };
        let answer = self.core.call(Repeat::IfDefinite, send).await?;
        answer
            .leader
            .map(read_leader)
            .ok_or_else(|| ClientError::missing("the leader"))
    }
}

pub(super) fn cluster_client(channel: NodeChannel) -> ClusterAdminClient<NodeChannel> {
    ClusterAdminClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
}

fn read_cluster(answer: v1::DescribeClusterResponse) -> Result<ClusterDescription, ClientError> {
    let cluster_id = ClusterId::parse(&answer.cluster_id);
    let partitions = answer.partitions.into_iter().map(read_partition);
    let moves = answer.moves.into_iter().map(read_move);
    let mut statuses = BTreeMap::new();
    let mut removed_nodes = Vec::new();
    for status in answer.node_statuses {
        let node = NodeId::new(status.node_id);
        let duty = read_duty(status.duty())?;
        match duty {
            NodeDuty::Removed => removed_nodes.push(node),
            _ => {
                statuses.insert(node, (duty, status));
            }
        }
    }
    let nodes = answer.nodes.into_iter();
    let nodes = nodes.map(|node| {
        let status = statuses.remove(&NodeId::new(node.id));
        let (duty, status) = status.ok_or_else(|| ClientError::missing("the duty of a node"))?;
        Ok(describe_node(node, duty, &status))
    });
    Ok(ClusterDescription {
        cluster_id: cluster_id.ok_or_else(|| ClientError::missing("a cluster id"))?,
        answered_by: NodeId::new(answer.node_id),
        nodes: nodes.collect::<Result<_, ClientError>>()?,
        removed_nodes,
        metadata_leader: answer.metadata_leader.map(read_leader),
        partitions: partitions.collect::<Result<_, _>>()?,
        moves: moves.collect::<Result<_, _>>()?,
    })
}

fn describe_node(node: v1::Node, duty: NodeDuty, status: &v1::NodeStatus) -> NodeDescription {
    NodeDescription {
        id: NodeId::new(node.id),
        addresses: NodeAddresses {
            client: node.client_address,
            peer: node.peer_address,
        },
        alive: node.alive,
        duty,
        holdings: NodeHoldings {
            replicas: status.replicas,
            leaving: status.replicas_leaving,
            arriving: status.replicas_arriving,
        },
        is_drained: status.is_drained,
    }
}

fn read_partition(partition: v1::PartitionStatus) -> Result<PartitionDescription, ClientError> {
    let replicas = partition.replicas.into_iter();
    Ok(PartitionDescription {
        topic: TopicName::parse(&partition.topic).map_err(ApiError::from)?,
        index: PartitionIndex::new(partition.index),
        raft_group: RaftGroupId::new(partition.raft_group),
        leader: partition.leader.map(read_leader),
        log_start: partition.log_start.map(Offset::new),
        high_watermark: partition.high_watermark.map(Offset::new),
        stored_bytes: partition.stored_bytes,
        replicas: replicas
            .map(|replica| ReplicaDescription {
                node: NodeId::new(replica.node_id),
                lag_entries: replica.lag_entries,
                is_voter: replica.is_voter,
            })
            .collect(),
        moving_to: read_nodes(&partition.moving_to),
    })
}

pub(super) fn read_leader(leader: v1::PartitionLeader) -> PartitionLeader {
    PartitionLeader {
        node: NodeId::new(leader.node_id),
        epoch: LeaderEpoch::new(leader.leader_epoch),
    }
}

pub(super) fn read_nodes(ids: &[u64]) -> Vec<NodeId> {
    ids.iter().copied().map(NodeId::new).collect()
}
