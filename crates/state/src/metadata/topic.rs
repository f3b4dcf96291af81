//! What the metadata group records of each node and each topic.

use std::sync::Arc;

use flotilla_types::{
    Incarnation, NodeAddresses, NodeId, PartitionIndex, RaftGroupId, Timestamp, TopicConfig,
    TopicId, TopicName,
};

/// A node that has joined the cluster, running or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    pub id: NodeId,
    /// Of the start that registered last.
    pub incarnation: Incarnation,
    pub addresses: NodeAddresses,
}

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
    pub fn preferred_leader(&self) -> NodeId {
        *self
            .replicas
            .first()
            .expect("invariant: a partition has a replica")
    }
}
