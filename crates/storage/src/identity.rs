//! Whose data directory this is.

use flotilla_types::{ClusterId, Lineage, NodeId};

/// The node that a data directory belongs to, and its starts on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub lineage: Lineage,
}
