//! Which partitions a member holds, as the coordinator says it.

use flotilla_protocol::{ApiError, v1};
use flotilla_types::{Generation, PartitionIndex, TopicId, TopicName};

use crate::ClientError;
use crate::PartitionName;

/// A partition of which a member was told that it is its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HeldPartition {
    pub name: PartitionName,
    /// Of the topic: another one of the same name is another log.
    pub topic_id: TopicId,
    /// The group's generation in which the member got it.
    pub generation: Generation,
}

/// What one member holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Grows with every change.
    pub(crate) version: u64,
    /// To be read.
    pub(crate) partitions: Vec<HeldPartition>,
    /// To be given up: nobody else gets them until they are released.
    pub(crate) revoked: Vec<HeldPartition>,
}

impl Assignment {
    pub(crate) fn read(answer: Option<v1::Assignment>) -> Result<Self, ClientError> {
        let answer = answer.ok_or_else(|| ClientError::missing("an assignment"))?;
        let read = |partitions: Vec<v1::HeldPartition>| {
            let partitions = partitions.into_iter().map(HeldPartition::read);
            partitions.collect::<Result<Vec<_>, _>>()
        };
        Ok(Self {
            version: answer.version,
            partitions: read(answer.partitions)?,
            revoked: read(answer.revoked)?,
        })
    }
}

impl HeldPartition {
    fn read(held: v1::HeldPartition) -> Result<Self, ClientError> {
        let topic = TopicName::parse(&held.topic).map_err(ApiError::from)?;
        Ok(Self {
            name: PartitionName::new(topic, PartitionIndex::new(held.partition)),
            topic_id: TopicId::new(held.topic_id),
            generation: Generation::new(held.generation),
        })
    }

    pub(super) fn write(&self) -> v1::HeldPartition {
        v1::HeldPartition {
            topic: self.name.topic.to_string(),
            topic_id: self.topic_id.get(),
            partition: self.name.partition.get(),
            generation: self.generation.get(),
        }
    }
}
