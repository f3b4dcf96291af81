//! Whose data directory this is.

use flotilla_types::{ClusterId, Incarnation, NodeId};

/// The node that a data directory belongs to, and which start on it this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    pub cluster: ClusterId,
    pub node: NodeId,
    pub incarnation: Incarnation,
}

impl Identity {
    /// `directory` tells this data directory from every other one.
    pub(crate) const fn first(cluster: ClusterId, node: NodeId, directory: u32) -> Self {
        Self {
            cluster,
            node,
            incarnation: Incarnation::first(directory),
        }
    }

    /// The same node, started once more.
    #[must_use]
    pub(crate) const fn started_again(self) -> Self {
        Self {
            incarnation: self.incarnation.next(),
            ..self
        }
    }
}
