//! How duties change and replicas begin and finish to move. A plan is checked whole, and then carried
//! out whole, for exactly the placement that it was worked out for.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::limits::{NODE_REPLICAS_MAX, REPLICATION_FACTOR_MAX};
use flotilla_types::{NodeId, RaftGroupId};

use super::apply::Effect;
use super::outcome::InvalidMove;
use super::{
    MetadataChange, MetadataOutcome, MetadataRejection, MetadataState, NodeDuty, Partition,
};

impl MetadataState {
    pub(super) fn change_placement(
        &mut self,
        placement_version: u64,
        duties: &[(NodeId, NodeDuty)],
        moves: &[(RaftGroupId, Vec<NodeId>)],
    ) -> Effect {
        if placement_version != self.placement_version {
            return Err(MetadataRejection::PlacementChanged {
                expected: placement_version,
                current: self.placement_version,
            });
        }
        let mut after = self.clone();
        for (node, duty) in duties {
            after.change_duty(*node, *duty)?;
        }
        let mut moved = BTreeSet::new();
        for (raft_group, replicas) in moves {
            let is_first = moved.insert(*raft_group);
            let moved = match is_first {
                true => after.begin_move(*raft_group, replicas),
                false => Err(InvalidMove::Twice),
            };
            moved.map_err(|reason| MetadataRejection::InvalidMove {
                raft_group: *raft_group,
                reason,
            })?;
        }
        refuse_fuller_node(&self.wanted_counts(), &after.wanted_counts())?;
        let change = (after != *self).then(|| MetadataChange::Placement {
            raft_groups: moved.into_iter().collect(),
        });
        *self = after;
        Ok((MetadataOutcome::PlacementChanged, change))
    }

    /// For a group that is gone, or goes elsewhere by now, nothing is finished.
    pub(super) fn finish_move(
        &mut self,
        raft_group: RaftGroupId,
        replicas: &[NodeId],
    ) -> (MetadataOutcome, Option<MetadataChange>) {
        let placed = self.placement_mut(raft_group);
        match placed.is_some_and(|placed| placed.finish_move(replicas)) {
            true => {
                let change = MetadataChange::MoveFinished { raft_group };
                (MetadataOutcome::MoveFinished, Some(change))
            }
            false => (MetadataOutcome::NotMoving, None),
        }
    }

    fn change_duty(&mut self, node: NodeId, duty: NodeDuty) -> Result<(), MetadataRejection> {
        let known = self.nodes.get_mut(&node);
        let known = known.ok_or(MetadataRejection::UnknownNode { node })?;
        if known.duty == NodeDuty::Removed && duty != NodeDuty::Removed {
            return Err(MetadataRejection::NodeRemoved { node });
        }
        known.duty = duty;
        Ok(())
    }

    fn begin_move(
        &mut self,
        raft_group: RaftGroupId,
        replicas: &[NodeId],
    ) -> Result<(), InvalidMove> {
        if !(1..=REPLICATION_FACTOR_MAX as usize).contains(&replicas.len()) {
            let replicas = replicas.len();
            return Err(InvalidMove::ReplicaCount { replicas });
        }
        let mut distinct = BTreeSet::new();
        for node in replicas.iter().copied() {
            if !distinct.insert(node) {
                return Err(InvalidMove::TwoReplicas { node });
            }
            if self.duty(node) != Some(NodeDuty::Active) {
                return Err(InvalidMove::NotActive { node });
            }
        }
        let placed = self.placement_mut(raft_group);
        placed.ok_or(InvalidMove::UnknownGroup)?.move_to(replicas);
        Ok(())
    }

    /// How many replicas each node shall have.
    fn wanted_counts(&self) -> BTreeMap<NodeId, u64> {
        let mut counts = BTreeMap::new();
        for node in self.placements().flat_map(Partition::wanted) {
            *counts.entry(*node).or_default() += 1;
        }
        counts
    }

    fn placement_mut(&mut self, raft_group: RaftGroupId) -> Option<&mut Partition> {
        let Some(id) = self.partition_of_group.get(&raft_group) else {
            let mut coordinators = self.coordinators.iter_mut();
            return coordinators.find(|coordinator| coordinator.raft_group == raft_group);
        };
        let topic = self.topics.get_mut(&id.topic)?;
        topic.partitions.get_mut(id.index.get() as usize)
    }
}

/// A node may be too full already. What is refused is to give it more.
fn refuse_fuller_node(
    before: &BTreeMap<NodeId, u64>,
    after: &BTreeMap<NodeId, u64>,
) -> Result<(), MetadataRejection> {
    let had = |node| before.get(node).copied().unwrap_or_default();
    let fuller = after.iter().find(|(node, replicas)| {
        **replicas > u64::from(NODE_REPLICAS_MAX) && **replicas > had(node)
    });
    match fuller {
        Some((node, replicas)) => Err(MetadataRejection::NodeFull {
            node: *node,
            replicas: *replicas,
        }),
        None => Ok(()),
    }
}
