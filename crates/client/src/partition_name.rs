//! A partition as people name it.

use std::fmt;

use flotilla_types::{PartitionIndex, TopicName};

/// One partition of the topic that has this name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionName {
    pub topic: TopicName,
    pub partition: PartitionIndex,
}

impl PartitionName {
    pub fn new(topic: TopicName, partition: PartitionIndex) -> Self {
        Self { topic, partition }
    }
}

impl fmt::Display for PartitionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.partition)
    }
}
