//! Who should hand leadership to whom, so that each group is led where its placement wants it.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{NodeId, RaftGroupId};

use super::MetadataState;

/// One leadership that should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderTransfer {
    pub raft_group: RaftGroupId,
    pub from: NodeId,
    pub to: NodeId,
}

impl MetadataState {
    /// The transfers that bring every partition and every coordinator to its preferred leader. One that
    /// has no known leader, or whose preferred leader is not in `live`, stays as it is.
    pub fn leader_transfers(
        &self,
        leaders: &BTreeMap<RaftGroupId, NodeId>,
        live: &BTreeSet<NodeId>,
    ) -> Vec<LeaderTransfer> {
        let transfers = self.placements().filter_map(|placed| {
            let from = *leaders.get(&placed.raft_group)?;
            let to = placed.preferred_leader();
            (from != to && live.contains(&to)).then_some(LeaderTransfer {
                raft_group: placed.raft_group,
                from,
                to,
            })
        });
        transfers.collect()
    }
}
