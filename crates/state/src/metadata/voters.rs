//! Which nodes vote in the metadata group.
//!
//! Nodes that drain or were removed give up their vote, and active ones take their place. Others keep
//! it, so that the group changes no more than it must.

use std::collections::BTreeSet;

use flotilla_types::NodeId;

use super::{MetadataState, NodeDuty};

/// With fewer voters the cluster does not survive the loss of one, so it takes any that it can get.
const VOTERS_MIN: usize = 3;

impl MetadataState {
    /// The voters that the metadata group shall have after `current`, by id and never none. Those that
    /// have not registered yet belong to the cluster since it was founded, and stay.
    pub fn wanted_metadata_voters(&self, current: &[NodeId]) -> Vec<NodeId> {
        let leaves = |node: &NodeId| {
            let duty = self.duty(*node);
            matches!(duty, Some(NodeDuty::Draining | NodeDuty::Removed))
        };
        let mut voters: BTreeSet<_> = current.iter().copied().collect();
        // An even number survives the loss of no more than the odd one below it.
        let count = voters.len().max(VOTERS_MIN) | 1;
        voters.retain(|node| !leaves(node));
        for node in self.active_nodes() {
            if voters.len() >= count {
                break;
            }
            voters.insert(node);
        }
        if voters.is_empty() {
            voters.extend(current);
        }
        voters.into_iter().collect()
    }
}
