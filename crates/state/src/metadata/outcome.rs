//! What applying a metadata command answers, and what the caller has to carry out.

use std::ops::Range;

use flotilla_types::limits::{
    ACCESS_RULES_MAX, CLUSTER_SCHEMA_BYTES_MAX, KEYS_MAX, NODE_REPLICAS_MAX,
    REPLICATION_FACTOR_MAX, SCHEMA_VERSIONS_MAX, TOPIC_PARTITIONS_MAX,
};
use flotilla_types::{
    ErrorCode, Incarnation, KeyName, NodeId, ProducerId, RaftGroupId, TopicConfigError, TopicId,
    TopicName,
};

use crate::access::KeyId;

/// The result of one command.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    pub outcome: MetadataOutcome,
    /// What is different now, or `None` if the command had no effect.
    pub change: Option<MetadataChange>,
}

/// What the proposer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataOutcome {
    NodeRegistered,
    TopicCreated {
        id: TopicId,
    },
    TopicAltered {
        id: TopicId,
    },
    /// The topic now has `total` partitions.
    PartitionsAdded {
        id: TopicId,
        total: u32,
    },
    TopicDeleted {
        id: TopicId,
    },
    /// These ids belong to the proposer alone, for ever.
    ProducerIdsAllocated {
        ids: Range<ProducerId>,
    },
    /// There are coordinators now, or were already.
    CoordinatorsCreated,
    SchemaRegistered {
        id: TopicId,
        version: u32,
    },
    /// All of them have had their effect.
    DoneTogether,
    PlacementChanged,
    /// The partition lives where it was moving to.
    MoveFinished,
    /// The group is not moving to these replicas, or not any more, or it is gone.
    NotMoving,
    /// So many rules are there that were not, and so many are not there that were.
    AccessChanged {
        granted: u32,
        revoked: u32,
    },
    /// The key counts now, or did already.
    KeyAdded,
    KeyRemoved,
    Rejected(MetadataRejection),
}

/// Why a command did not fit the state that it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetadataRejection {
    #[error("the topic configuration is refused")]
    ConfigInvalid(#[from] TopicConfigError),
    #[error("this cluster has given out all ids of a kind")]
    IdsExhausted,
    #[error("{}", partition_count_message(*current, *requested))]
    InvalidPartitionCount {
        /// None while the topic is not created.
        current: Option<u32>,
        requested: u32,
    },
    #[error("producer ids are given out in blocks of at least one")]
    InvalidProducerIdCount,
    #[error("raft group {raft_group} cannot move: {reason}")]
    InvalidMove {
        raft_group: RaftGroupId,
        reason: InvalidMove,
    },
    #[error("the replication factor is 1 to {REPLICATION_FACTOR_MAX}, not {requested}")]
    InvalidReplicationFactor { requested: u32 },
    #[error("key {name} exists")]
    KeyExists { name: KeyName },
    #[error("a key with the id {id} exists")]
    KeyIdTaken { id: KeyId },
    #[error("node {node} was removed from this cluster for good, and its id is never used again")]
    NodeRemoved { node: NodeId },
    #[error("{want} replicas need {want} active nodes, and the cluster has {have}")]
    NotEnoughNodes { have: u32, want: u32 },
    #[error(
        "node {node} would hold {replicas} replicas of partitions, and {NODE_REPLICAS_MAX} is the most"
    )]
    NodeFull { node: NodeId, replicas: u64 },
    #[error(
        "node {node} registered last with {registered}, which the data directory behind {shown} does \
         not remember"
    )]
    OtherPast {
        node: NodeId,
        registered: Incarnation,
        shown: Incarnation,
    },
    #[error("the placement has changed meanwhile: it is at version {current}, not {expected}")]
    PlacementChanged { expected: u64, current: u64 },
    #[error(
        "the schemas of this cluster have {bytes} bytes together, and {CLUSTER_SCHEMA_BYTES_MAX} is the most"
    )]
    SchemasTooLarge { bytes: usize },
    #[error("there would be {rules} access rules, and {ACCESS_RULES_MAX} is the most")]
    TooManyAccessRules { rules: usize },
    #[error("this cluster has {KEYS_MAX} keys, and that is the most")]
    TooManyKeys,
    #[error("topic {name} has {SCHEMA_VERSIONS_MAX} versions of its schema, and that is the most")]
    TooManySchemas { name: TopicName },
    #[error("topic {name} is protected")]
    TopicProtected { name: TopicName },
    #[error("topics have changed meanwhile: they are at version {current}, not {expected}")]
    TopicsChanged { expected: u64, current: u64 },
    #[error("the latest schema of topic {name} has version {current}, not {expected}")]
    SchemaChanged {
        name: TopicName,
        expected: u32,
        current: u32,
    },
    #[error("topic {name} exists")]
    TopicExists { name: TopicName },
    #[error("there is no key {name}")]
    UnknownKey { name: KeyName },
    #[error("there is no node {node}")]
    UnknownNode { node: NodeId },
    #[error("there is no topic {name}")]
    UnknownTopic { name: TopicName },
}

/// What is wrong with a move.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMove {
    #[error("there is no such group")]
    UnknownGroup,
    #[error("it is moved twice")]
    Twice,
    #[error("it would have {replicas} replicas, and 1 to {REPLICATION_FACTOR_MAX} are possible")]
    ReplicaCount { replicas: usize },
    #[error("it would have two replicas on node {node}")]
    TwoReplicas { node: NodeId },
    #[error("node {node} is not active")]
    NotActive { node: NodeId },
}

fn partition_count_message(current: Option<u32>, requested: u32) -> String {
    match current {
        None => format!("a topic has 1 to {TOPIC_PARTITIONS_MAX} partitions, not {requested}"),
        Some(current) => format!(
            "a topic has up to {TOPIC_PARTITIONS_MAX} partitions and never loses one: it has \
             {current}, and {requested} were asked for"
        ),
    }
}

impl MetadataRejection {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::ConfigInvalid(_) => ErrorCode::ConfigInvalid,
            Self::IdsExhausted => ErrorCode::Internal,
            Self::InvalidPartitionCount { .. }
            | Self::InvalidMove { .. }
            | Self::InvalidProducerIdCount
            | Self::InvalidReplicationFactor { .. }
            | Self::NodeRemoved { .. }
            | Self::OtherPast { .. }
            | Self::SchemasTooLarge { .. }
            | Self::TooManyAccessRules { .. }
            | Self::TooManyKeys
            | Self::TooManySchemas { .. } => ErrorCode::InvalidArgument,
            Self::KeyExists { .. } | Self::KeyIdTaken { .. } => ErrorCode::KeyExists,
            Self::NodeFull { .. } | Self::NotEnoughNodes { .. } => ErrorCode::NotEnoughNodes,
            Self::PlacementChanged { .. }
            | Self::SchemaChanged { .. }
            | Self::TopicsChanged { .. } => ErrorCode::VersionConflict,
            Self::TopicExists { .. } => ErrorCode::TopicExists,
            Self::TopicProtected { .. } => ErrorCode::TopicProtected,
            Self::UnknownKey { .. } => ErrorCode::UnknownKey,
            Self::UnknownNode { .. } => ErrorCode::UnknownNode,
            Self::UnknownTopic { .. } => ErrorCode::UnknownTopic,
        }
    }
}

impl MetadataChange {
    /// Whether it is about topics: their existence, partitions, configuration or schemas.
    pub(super) fn concerns_topics(&self) -> bool {
        match self {
            Self::GroupsAdded { .. }
            | Self::TopicConfig { .. }
            | Self::Schema { .. }
            | Self::GroupsRemoved { .. } => true,
            Self::Several(changes) => changes.iter().any(Self::concerns_topics),
            Self::NodeJoined { .. }
            | Self::Node { .. }
            | Self::ProducerIds
            | Self::Coordinators { .. }
            | Self::Placement { .. }
            | Self::MoveFinished { .. }
            | Self::Access => false,
        }
    }

    /// Whether it is about access rules or keys.
    pub(super) fn concerns_access(&self) -> bool {
        match self {
            Self::Access => true,
            Self::Several(changes) => changes.iter().any(Self::concerns_access),
            Self::NodeJoined { .. }
            | Self::Node { .. }
            | Self::GroupsAdded { .. }
            | Self::TopicConfig { .. }
            | Self::Schema { .. }
            | Self::GroupsRemoved { .. }
            | Self::ProducerIds
            | Self::Coordinators { .. }
            | Self::Placement { .. }
            | Self::MoveFinished { .. } => false,
        }
    }

    /// Whether it is about what a plan for another placement is worked out from: which nodes there
    /// are, their duties, and the replicas that each group shall have. That a move is finished is not.
    pub(super) fn concerns_placement(&self) -> bool {
        match self {
            Self::NodeJoined { .. }
            | Self::GroupsAdded { .. }
            | Self::GroupsRemoved { .. }
            | Self::Coordinators { .. }
            | Self::Placement { .. } => true,
            Self::Several(changes) => changes.iter().any(Self::concerns_placement),
            Self::Node { .. }
            | Self::TopicConfig { .. }
            | Self::Schema { .. }
            | Self::ProducerIds
            | Self::MoveFinished { .. }
            | Self::Access => false,
        }
    }
}

/// What is different after a command. The caller starts and stops replicas and refreshes what it
/// derived from the old state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetadataChange {
    /// A node joined that was not known.
    NodeJoined { id: NodeId },
    /// A node came back, perhaps with other addresses.
    Node { id: NodeId },
    /// A topic was created, or has more partitions: these groups are new.
    GroupsAdded {
        topic: TopicId,
        raft_groups: Range<RaftGroupId>,
    },
    /// A topic has another configuration.
    TopicConfig { topic: TopicId },
    /// A topic has another schema.
    Schema { topic: TopicId },
    /// Several things, in this order.
    Several(Vec<MetadataChange>),
    /// A topic is gone, and so are its groups and their data.
    GroupsRemoved {
        topic: TopicId,
        raft_groups: Vec<RaftGroupId>,
    },
    /// Producer ids were given out. Nothing to do.
    ProducerIds,
    /// The coordinators of consumer groups exist from now on: these groups are new.
    Coordinators { raft_groups: Range<RaftGroupId> },
    /// Nodes have other duties, or these groups shall have other replicas.
    Placement { raft_groups: Vec<RaftGroupId> },
    /// A group has the replicas that it was moving to: what other nodes hold of it can go.
    MoveFinished { raft_group: RaftGroupId },
    /// There are other access rules or other keys: what was concluded from them counts no more.
    Access,
}
