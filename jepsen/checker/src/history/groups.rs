//! Operations of consumer groups. The process is the member.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Generation, Offset, TopicPartition};

/// Says that everything below `offset` is done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OffsetCommit {
    pub group: String,
    pub partition: TopicPartition,
    /// In which the member was granted the partition.
    pub generation: Generation,
    pub offset: Offset,
}

/// Asks for the committed offset, which is none as long as there was no offset commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommittedOffsetRead {
    pub group: String,
    pub partition: TopicPartition,
}

/// The member heard that it was granted partitions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupAssigned {
    pub group: String,
    pub generation: Generation,
    pub partitions: BTreeSet<TopicPartition>,
}

/// The member gave partitions back, or heard that it had lost them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupRevoked {
    pub group: String,
    pub generation: Generation,
    pub partitions: BTreeSet<TopicPartition>,
}

/// The member is done with the records of `start..end`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProcessedRange {
    pub group: String,
    pub partition: TopicPartition,
    pub start: Offset,
    pub end: Offset,
}
