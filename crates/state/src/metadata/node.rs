//! What the metadata group records of each node.

use flotilla_types::{Incarnation, NodeAddresses, NodeDuty, NodeId};

/// A node that has joined the cluster, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    /// Of the start that registered last.
    pub incarnation: Incarnation,
    pub addresses: NodeAddresses,
    pub duty: NodeDuty,
}
