//! What is known of nodes and partitions, as clients and operators see it.

use crate::{LeaderEpoch, NodeId, Offset, PartitionIndex, RaftGroupId};

/// Where a node listens, as `host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeAddresses {
    /// The public gRPC API.
    pub client: String,
    /// The links between nodes.
    pub peer: String,
}

/// One partition as a node sees it now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionStatus {
    pub index: PartitionIndex,
    pub raft_group: RaftGroupId,
    pub replicas: Vec<NodeId>,
    pub leader: Option<(NodeId, LeaderEpoch)>,
    /// Known on nodes that hold a replica.
    pub log_start: Option<Offset>,
    pub high_watermark: Option<Offset>,
}
