//! What the metadata group records of each topic.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_types::{
    NodeId, PartitionIndex, RaftGroupId, Timestamp, TopicConfig, TopicId, TopicName,
};

/// A topic and its placement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub id: TopicId,
    pub name: TopicName,
    pub config: TopicConfig,
    pub replication_factor: u32,
    /// In the order of their index, from 0, without gaps.
    pub partitions: Vec<Partition>,
    /// From version 1 on, without gaps. Records must match the last one.
    pub schemas: Vec<SchemaVersion>,
}

/// One version of a topic's schema. It was checked before it was proposed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaVersion {
    /// JSON.
    pub text: Arc<str>,
    pub created_at: Timestamp,
}

/// The placement of one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub raft_group: RaftGroupId,
    /// Distinct nodes, never none. The first one is preferred to lead.
    pub replicas: Vec<NodeId>,
    /// The replicas that it shall have instead, in the same form and never the same nodes. The
    /// group's members change step by step, and when they are these, the move is finished.
    pub moving_to: Option<Vec<NodeId>>,
}

impl Topic {
    pub fn partition(&self, index: PartitionIndex) -> Option<&Partition> {
        self.partitions.get(usize::try_from(index.get()).ok()?)
    }

    pub fn partition_count(&self) -> u32 {
        u32::try_from(self.partitions.len())
            .expect("invariant: a topic has at most TOPIC_PARTITIONS_MAX partitions")
    }

    /// The number of the latest schema, 0 for none.
    pub fn schema_version(&self) -> u32 {
        u32::try_from(self.schemas.len())
            .expect("invariant: a topic has at most SCHEMA_VERSIONS_MAX schemas")
    }

    pub fn raft_groups(&self) -> impl Iterator<Item = RaftGroupId> {
        self.partitions.iter().map(|partition| partition.raft_group)
    }
}

impl Partition {
    pub(super) fn new(raft_group: RaftGroupId, replicas: Vec<NodeId>) -> Self {
        Self {
            raft_group,
            replicas,
            moving_to: None,
        }
    }

    /// The nodes that have to hold a replica now: while it moves, the old ones and the new ones.
    pub fn hosts(&self) -> impl Iterator<Item = NodeId> + '_ {
        let replicas = self.replicas.iter();
        let added = self.moving_to.iter().flatten();
        let added = added.filter(|node| !self.replicas.contains(node));
        replicas.chain(added).copied()
    }

    pub fn is_hosted_by(&self, node: NodeId) -> bool {
        self.hosts().any(|host| host == node)
    }

    /// The replicas that it has once it does not move any more.
    pub fn wanted(&self) -> &[NodeId] {
        self.moving_to.as_deref().unwrap_or(&self.replicas)
    }

    /// While it moves, a node that stays, so that leadership does not go where it cannot remain.
    pub fn preferred_leader(&self) -> NodeId {
        let mut wanted = self.wanted().iter();
        let staying = wanted.find(|node| self.replicas.contains(node));
        *staying
            .or_else(|| self.replicas.first())
            .expect("invariant: a partition has a replica")
    }

    /// Lets it move to these replicas. The same nodes in another order are no move.
    pub(super) fn move_to(&mut self, wanted: &[NodeId]) {
        if is_same_set(wanted, &self.replicas) {
            self.replicas = wanted.to_vec();
            self.moving_to = None;
        } else {
            self.moving_to = Some(wanted.to_vec());
        }
    }

    /// Whether the members of its group, which are these, are what it was moving to. Then it has moved.
    pub(super) fn finish_move(&mut self, members: &[NodeId]) -> bool {
        let finished = self.moving_to.take_if(|to| is_same_set(to, members));
        let is_finished = finished.is_some();
        self.replicas = finished.unwrap_or_else(|| std::mem::take(&mut self.replicas));
        is_finished
    }
}

pub(super) fn is_same_set(left: &[NodeId], right: &[NodeId]) -> bool {
    let set = |nodes: &[NodeId]| nodes.iter().copied().collect::<BTreeSet<_>>();
    left.len() == right.len() && set(left) == set(right)
}
