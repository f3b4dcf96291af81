//! The name of a partition, written `topic/index`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TopicPartition {
    topic: String,
    index: u32,
}

/// A text that names no partition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is not a partition: write topic/index")]
pub struct TopicPartitionError {
    text: String,
}

impl TopicPartition {
    pub fn new(topic: &str, index: u32) -> Self {
        Self {
            topic: topic.to_owned(),
            index,
        }
    }

    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub const fn index(&self) -> u32 {
        self.index
    }
}

impl FromStr for TopicPartition {
    type Err = TopicPartitionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text
            .rsplit_once('/')
            .and_then(|(topic, index)| Some(Self::new(topic, index.parse().ok()?)));
        parsed.ok_or_else(|| TopicPartitionError {
            text: text.to_owned(),
        })
    }
}

impl TryFrom<String> for TopicPartition {
    type Error = TopicPartitionError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<TopicPartition> for String {
    fn from(partition: TopicPartition) -> Self {
        partition.to_string()
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.topic, self.index)
    }
}
