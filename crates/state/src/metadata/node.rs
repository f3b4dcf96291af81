//! What the metadata group records of each node.

use flotilla_types::{Incarnation, NodeAddresses, NodeId};

/// A node that has joined the cluster, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    /// Of the start that registered last.
    pub incarnation: Incarnation,
    pub addresses: NodeAddresses,
    pub duty: NodeDuty,
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
