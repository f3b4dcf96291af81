//! What commands and images have in common on the wire. The numbers of fields are permanent.

use flotilla_types::{
    Generation, GroupId, JobName, MemberId, NameError, PartitionId, PartitionIndex, TopicId,
    TopicName,
};
use minicbor::{Decode, Encode};

use super::Subscription;
use crate::DecodeError;

#[derive(Encode, Decode)]
pub(super) struct PartitionBody {
    #[n(0)]
    topic: u64,
    #[n(1)]
    index: u32,
}

#[derive(Encode, Decode)]
pub(super) struct HoldingBody {
    #[n(0)]
    topic: u64,
    #[n(1)]
    index: u32,
    #[n(2)]
    generation: u64,
}

#[derive(Encode, Decode)]
pub(super) enum SubscriptionBody {
    #[n(0)]
    Topics(#[n(0)] Vec<String>),
    #[n(1)]
    Pattern(#[n(0)] String),
}

impl PartitionBody {
    pub(super) fn new(partition: PartitionId) -> Self {
        Self {
            topic: partition.topic.get(),
            index: partition.index.get(),
        }
    }

    pub(super) fn read(&self) -> PartitionId {
        partition_id(self.topic, self.index)
    }
}

impl HoldingBody {
    pub(super) fn new((partition, generation): (PartitionId, Generation)) -> Self {
        Self {
            topic: partition.topic.get(),
            index: partition.index.get(),
            generation: generation.get(),
        }
    }

    pub(super) fn read(&self) -> (PartitionId, Generation) {
        let partition = partition_id(self.topic, self.index);
        (partition, Generation::new(self.generation))
    }
}

impl SubscriptionBody {
    pub(super) fn new(subscription: &Subscription) -> Self {
        match subscription {
            Subscription::Topics(topics) => {
                Self::Topics(topics.iter().map(ToString::to_string).collect())
            }
            Subscription::Pattern(pattern) => Self::Pattern(pattern.clone()),
        }
    }

    pub(super) fn read(self, what: &'static str) -> Result<Subscription, DecodeError> {
        Ok(match self {
            Self::Topics(topics) => {
                let topics = topics.iter().map(|topic| topic_name(what, topic));
                Subscription::Topics(topics.collect::<Result<_, _>>()?)
            }
            Self::Pattern(pattern) => Subscription::Pattern(pattern),
        })
    }
}

pub(super) fn partition_id(topic: u64, index: u32) -> PartitionId {
    PartitionId {
        topic: TopicId::new(topic),
        index: PartitionIndex::new(index),
    }
}

pub(super) fn group_id(what: &'static str, text: &str) -> Result<GroupId, DecodeError> {
    named(what, GroupId::parse(text), "a group id is not one")
}

pub(super) fn member_id(what: &'static str, text: &str) -> Result<MemberId, DecodeError> {
    named(what, MemberId::parse(text), "a member id is not one")
}

pub(super) fn job_name(what: &'static str, text: &str) -> Result<JobName, DecodeError> {
    named(what, JobName::parse(text), "a job name is not one")
}

fn topic_name(what: &'static str, text: &str) -> Result<TopicName, DecodeError> {
    named(what, TopicName::parse(text), "a topic name is not one")
}

/// Names were checked before they were proposed, so one that is no name is damage.
fn named<T>(
    what: &'static str,
    parsed: Result<T, NameError>,
    contradiction: &'static str,
) -> Result<T, DecodeError> {
    parsed.map_err(|_| DecodeError::Contradiction {
        what,
        contradiction,
    })
}
