//! Administration: topics, their schemas, all topics as one manifest, the cluster and which of its nodes
//! hold what, consumer groups, which offsets there are, and who may do what.
//!
//! Any node answers these calls. What only reads is tried again on other nodes until the deadline;
//! what changes something is tried again only after errors that say that nothing happened.

mod access;
mod cluster;
mod group_lag;
mod groups;
mod manifests;
mod offsets;
mod placement;
mod schemas;
mod topics;

use std::sync::Arc;

pub use access::{
    AccessAnswer, AccessQuestion, ChangedRules, KeySummary, TokenExplanation, TokenFinding,
};
pub use cluster::{
    ClusterDescription, NodeDescription, NodeHoldings, PartitionDescription, PartitionLeader,
    ReplicaDescription,
};
pub use group_lag::PartitionLag;
pub use groups::{GroupDescription, GroupMember, GroupSummary};
pub use manifests::{
    AppliedManifest, ApplyOptions, ExportedManifest, FieldChange, Manifest, TopicChange,
    TopicChangeKind, TopicSpec,
};
pub use offsets::PartitionOffset;
pub use placement::{
    DutyChange, MoveSubject, PlacementChange, PlacementGoal, PlacementMove, PlacementOptions,
};
pub use schemas::{CheckedSchema, RegisteredSchema, SchemaVersion};
pub use topics::{NewTopic, TopicDescription, TopicPartition, TopicSummary};

use crate::client::Core;

/// Manages topics and consumer groups, and looks at the cluster. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admin {
    core: Arc<Core>,
}

impl Admin {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }
}
