//! What this node leads: the same for partitions and for coordinators.

use std::time::Duration;

use flotilla_raft::{Coordinator, MoveStep, Partition, ReplicaProgress};
use flotilla_types::{NodeId, RaftGroupId};

use crate::node::Node;

/// A replica of this node that leads its group.
pub(crate) enum Led {
    Partition(Partition),
    Coordinator(Coordinator),
}

impl Led {
    /// `None` if this node does not lead the group.
    pub(crate) fn here(node: &Node, group: RaftGroupId) -> Option<Self> {
        if let Some(partition) = node.raft.partition(group) {
            return partition.is_leader().then_some(Self::Partition(partition));
        }
        let coordinator = node.raft.coordinator(group)?;
        coordinator
            .is_leader()
            .then_some(Self::Coordinator(coordinator))
    }

    pub(crate) fn has_replicas(&self, replicas: &[NodeId]) -> bool {
        match self {
            Self::Partition(partition) => partition.has_replicas(replicas),
            Self::Coordinator(coordinator) => coordinator.has_replicas(replicas),
        }
    }

    pub(crate) fn progress(&self) -> Vec<ReplicaProgress> {
        match self {
            Self::Partition(partition) => partition.progress(),
            Self::Coordinator(coordinator) => coordinator.progress(),
        }
    }

    pub(crate) async fn move_replicas(&self, target: &[NodeId]) -> MoveStep {
        match self {
            Self::Partition(partition) => partition.move_replicas(target).await,
            Self::Coordinator(coordinator) => coordinator.move_replicas(target).await,
        }
    }

    pub(crate) async fn transfer_leader(&self, to: NodeId, limit: Duration) -> bool {
        match self {
            Self::Partition(partition) => partition.transfer_leader(to, limit).await,
            Self::Coordinator(coordinator) => coordinator.transfer_leader(to, limit).await,
        }
    }
}
