//! Who should hand leadership to whom, so that each partition is led where its placement wants it.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{NodeId, PartitionId, RaftGroupId};

use super::MetadataState;

/// One leadership that should move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaderTransfer {
    pub partition: PartitionId,
    pub raft_group: RaftGroupId,
    pub from: NodeId,
    pub to: NodeId,
}

impl MetadataState {
    /// The transfers that bring every partition to its preferred leader. A partition that has no
    /// known leader, or whose preferred leader is not in `live`, stays as it is.
    pub fn leader_transfers(
        &self,
        leaders: &BTreeMap<RaftGroupId, NodeId>,
        live: &BTreeSet<NodeId>,
    ) -> Vec<LeaderTransfer> {
        let transfers = self.partitions().filter_map(|(id, partition)| {
            let from = *leaders.get(&partition.raft_group)?;
            let to = partition.preferred_leader();
            (from != to && live.contains(&to)).then_some(LeaderTransfer {
                partition: id,
                raft_group: partition.raft_group,
                from,
                to,
            })
        });
        transfers.collect()
    }
}
