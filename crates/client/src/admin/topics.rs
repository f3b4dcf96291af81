//! Topics: create, describe, list, alter, delete.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_protocol::v1::topic_admin_client::TopicAdminClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{Offset, PartitionIndex, TopicId, TopicName, limits};
use tonic::Request;

use super::Admin;
use super::cluster::{PartitionLeader, read_leader, read_nodes};
use crate::client::{Repeat, within};
use crate::{ClientError, NodeChannel};

/// A topic to be created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: TopicName,
    /// 1 to 4,096. Default 1.
    pub partitions: Option<u32>,
    /// 1 to 7. Default 3, or the number of nodes if there are fewer.
    pub replication_factor: Option<u32>,
    /// Keys of the topic configuration that differ from their defaults.
    pub config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with the cluster's defaults.
    pub fn new(name: TopicName) -> Self {
        Self {
            name,
            partitions: None,
            replication_factor: None,
            config: BTreeMap::new(),
        }
    }

    #[must_use]
    pub fn partitions(mut self, count: u32) -> Self {
        self.partitions = Some(count);
        self
    }

    #[must_use]
    pub fn replication_factor(mut self, count: u32) -> Self {
        self.replication_factor = Some(count);
        self
    }

    #[must_use]
    pub fn config(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(key.into(), value.into());
        self
    }
}

/// A topic as the cluster knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub id: TopicId,
    pub name: TopicName,
    pub replication_factor: u32,
    /// Every key of the topic configuration with its value.
    pub config: BTreeMap<String, String>,
    /// By index.
    pub partitions: Vec<TopicPartition>,
}

/// Where one partition of a topic lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicPartition {
    pub index: PartitionIndex,
    /// `None` while no leader is known.
    pub leader: Option<PartitionLeader>,
    pub replicas: Vec<flotilla_types::NodeId>,
}

/// A line of the list of topics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicSummary {
    pub id: TopicId,
    pub name: TopicName,
    pub partitions: u32,
    pub replication_factor: u32,
}

impl Admin {
    /// Creates a topic. It returns when the partitions have leaders.
    pub async fn create_topic(&self, topic: NewTopic) -> Result<TopicDescription, ClientError> {
        let request = v1::CreateTopicRequest {
            name: topic.name.to_string(),
            partitions: topic.partitions,
            replication_factor: topic.replication_factor,
            config: topic.config,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { topic_client(channel).create_topic(request).await }
        };
        let answer = self.core.call(Repeat::IfDefinite, send).await?;
        read_topic(answer.topic)
    }

    /// Deletes the records of a partition below `before`, all of them without one, and returns the
    /// first offset that can still be read.
    pub async fn delete_records(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        before: Option<Offset>,
    ) -> Result<Offset, ClientError> {
        let request = v1::DeleteRecordsRequest {
            topic: topic.to_string(),
            partition: partition.get(),
            before_offset: before.map(Offset::get),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { topic_client(channel).delete_records(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        Ok(Offset::new(answer.log_start))
    }

    /// Describes these topics, or all of them if none is named, each with its own outcome.
    pub async fn describe_topics(
        &self,
        names: &[TopicName],
    ) -> Result<Vec<(TopicName, Result<TopicDescription, ClientError>)>, ClientError> {
        let request = v1::DescribeTopicsRequest {
            names: names.iter().map(TopicName::to_string).collect(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { topic_client(channel).describe_topics(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        answer.topics.into_iter().map(read_description).collect()
    }

    /// Describes one topic.
    pub async fn describe_topic(&self, name: &TopicName) -> Result<TopicDescription, ClientError> {
        let mut described = self.describe_topics(std::slice::from_ref(name)).await?;
        match described.pop() {
            Some((_, topic)) => topic,
            None => Err(ClientError::missing("a topic")),
        }
    }

    /// Lists all topics by name.
    pub async fn list_topics(&self) -> Result<Vec<TopicSummary>, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::ListTopicsRequest {});
            async move { topic_client(channel).list_topics(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        answer.topics.into_iter().map(read_summary).collect()
    }

    /// Sets some keys of a topic's configuration and puts others back to their default: all of it
    /// or nothing.
    pub async fn alter_topic(
        &self,
        name: &TopicName,
        set: BTreeMap<String, String>,
        reset: Vec<String>,
    ) -> Result<TopicDescription, ClientError> {
        let request = v1::AlterTopicRequest {
            name: name.to_string(),
            set,
            reset,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { topic_client(channel).alter_topic(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        read_topic(answer.topic)
    }

    /// Raises the number of partitions to `partitions`.
    pub async fn add_partitions(
        &self,
        name: &TopicName,
        partitions: u32,
    ) -> Result<TopicDescription, ClientError> {
        let request = v1::AddPartitionsRequest {
            name: name.to_string(),
            partitions,
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { topic_client(channel).add_partitions(request).await }
        };
        let answer = self.core.call(Repeat::IfDefinite, send).await?;
        read_topic(answer.topic)
    }

    /// Deletes a topic with its records. It cannot be undone.
    pub async fn delete_topic(&self, name: &TopicName) -> Result<(), ClientError> {
        let request = v1::DeleteTopicRequest {
            name: name.to_string(),
        };
        let send = |channel: NodeChannel, limit: Duration| {
            let request: Request<v1::DeleteTopicRequest> = within(limit, request.clone());
            async move { topic_client(channel).delete_topic(request).await }
        };
        self.core.call(Repeat::IfDefinite, send).await?;
        Ok(())
    }
}

fn topic_client(channel: NodeChannel) -> TopicAdminClient<NodeChannel> {
    TopicAdminClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
}

fn read_description(
    described: v1::TopicDescription,
) -> Result<(TopicName, Result<TopicDescription, ClientError>), ClientError> {
    let name = TopicName::parse(&described.name).map_err(ApiError::from)?;
    let topic = match described.result {
        Some(v1::topic_description::Result::Topic(topic)) => read_topic(Some(topic)),
        Some(v1::topic_description::Result::Error(error)) => Err(ApiError::from(error).into()),
        None => Err(ClientError::missing("a topic")),
    };
    Ok((name, topic))
}

fn read_topic(topic: Option<v1::Topic>) -> Result<TopicDescription, ClientError> {
    let topic = topic.ok_or_else(|| ClientError::missing("the topic"))?;
    let partitions = topic
        .partitions
        .into_iter()
        .map(|partition| TopicPartition {
            index: PartitionIndex::new(partition.index),
            leader: partition.leader.map(read_leader),
            replicas: read_nodes(&partition.replicas),
        });
    Ok(TopicDescription {
        id: TopicId::new(topic.id),
        name: TopicName::parse(&topic.name).map_err(ApiError::from)?,
        replication_factor: topic.replication_factor,
        config: topic.config,
        partitions: partitions.collect(),
    })
}

fn read_summary(topic: v1::TopicSummary) -> Result<TopicSummary, ClientError> {
    Ok(TopicSummary {
        id: TopicId::new(topic.id),
        name: TopicName::parse(&topic.name).map_err(ApiError::from)?,
        partitions: topic.partitions,
        replication_factor: topic.replication_factor,
    })
}
