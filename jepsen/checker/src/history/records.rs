//! Operations on the log of a partition.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    JobGuard, NodeNumber, Offset, ProducerEpoch, ProducerId, RecordHash, RecordValue, Sequence,
    TopicPartition,
};

/// Sends records to one partition, in this order, as one batch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Produce {
    pub partition: TopicPartition,
    pub records: Vec<SentRecord>,
    /// Of an idempotent producer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub producer: Option<ProducerStamp>,
    /// Of the owner of a job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guard: Option<JobGuard>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SentRecord {
    pub value: RecordValue,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
}

/// What makes a batch recognisable when it is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProducerStamp {
    pub id: ProducerId,
    pub epoch: ProducerEpoch,
    /// Of the first record; each other one has the sequence after the one before it.
    pub base_sequence: Sequence,
}

/// Where the records are: one place for each, in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Produced {
    pub places: Vec<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    pub offset: Offset,
    /// Whether the record had been stored there before this request.
    #[serde(default, skip_serializing_if = "is_false")]
    pub is_duplicate: bool,
}

/// Takes partitions by the consumer's own choice, and gives up all others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    pub partitions: BTreeSet<TopicPartition>,
}

/// Joins a consumer group that shares out the partitions of topics.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Subscribe {
    pub topics: BTreeSet<String>,
}

/// Moves the consumer's position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Seek {
    pub partition: TopicPartition,
    pub to: Offset,
}

/// Fetches whatever comes next, of all partitions that the consumer has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetch {
    pub assigned_by: AssignedBy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignedBy {
    Assign,
    Subscribe,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fetched {
    /// In the order in which the consumer was given them.
    pub records: BTreeMap<TopicPartition, Vec<SeenRecord>>,
    /// Partitions that came to the consumer or left it while it fetched.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub rebalanced: BTreeSet<TopicPartition>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeenRecord {
    pub offset: Offset,
    /// `None` if it is none that the run sends, whole and unharmed.
    pub value: Option<RecordValue>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash: Option<RecordHash>,
}

/// Asks for the high watermark, and expects one that is up to date.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TailRead {
    pub partition: TopicPartition,
}

/// Reads all that one replica has, after the cluster was healed and came to rest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinalRead {
    pub node: NodeNumber,
    pub partition: TopicPartition,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoredLog {
    pub log_start: Offset,
    pub high_watermark: Offset,
    pub records: Vec<SeenRecord>,
}

const fn is_false(flag: &bool) -> bool {
    !*flag
}
