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

/// What the cluster wants of a node. Only an operator changes it, after the node's first start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum NodeDuty {
    /// It gets replicas of new topics, and its share when replicas are spread evenly.
    Active,
    /// It joined a running cluster and holds nothing until it is added.
    Spare,
    /// It gets nothing new, and what it holds moves away. Then it can be stopped.
    Draining,
    /// It was replaced for good. The id stays taken, and nobody registers with it again.
    Removed,
}

impl NodeDuty {
    /// As it is sent and printed.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Spare => "spare",
            Self::Draining => "draining",
            Self::Removed => "removed",
        }
    }
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
