//! The `TopicAdmin` service.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::topics::{parse_config, write_config};
use flotilla_protocol::v1::topic_admin_server::TopicAdmin;
use flotilla_protocol::v1::topic_description::Result as Description;
use flotilla_protocol::{ApiError, v1};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_state::metadata::{MetadataCommand, Topic};
use flotilla_types::{ErrorCode, TopicName};
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};

use crate::errors;
use crate::metadata::{Accepted, Leaders};
use crate::node::Node;
use crate::origin::Origin;

/// How long the metadata group may take to decide.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How long a new topic may take to get all its leaders before the call answers without them.
const LEADERS_LIMIT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct TopicService {
    node: Arc<Node>,
}

impl TopicService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn create(&self, request: v1::CreateTopicRequest) -> Result<v1::Topic, ApiError> {
        let name = TopicName::parse(&request.name)?;
        parse_config(&request.config)?;
        let command = MetadataCommand::CreateTopic {
            name: name.clone(),
            partitions: request.partitions.unwrap_or(1),
            replication_factor: request
                .replication_factor
                .unwrap_or_else(|| self.node.default_replication_factor()),
            config: request.config.into_iter().collect(),
        };
        self.change(&command).await?;
        self.with_leaders(&name).await
    }

    async fn alter(&self, request: v1::AlterTopicRequest) -> Result<v1::Topic, ApiError> {
        let name = TopicName::parse(&request.name)?;
        let (set, unset) = read_changes(request.set, request.reset)?;
        let command = MetadataCommand::AlterTopic {
            name: name.clone(),
            set,
            unset,
        };
        self.change(&command).await?;
        self.describe(&name).await
    }

    async fn add_partitions(
        &self,
        request: v1::AddPartitionsRequest,
    ) -> Result<v1::Topic, ApiError> {
        let name = TopicName::parse(&request.name)?;
        let command = MetadataCommand::AddPartitions {
            name: name.clone(),
            total: request.partitions,
        };
        self.change(&command).await?;
        self.with_leaders(&name).await
    }

    async fn delete(&self, request: v1::DeleteTopicRequest) -> Result<(), ApiError> {
        let name = TopicName::parse(&request.name)?;
        self.change(&MetadataCommand::DeleteTopic { name }).await
    }

    /// Proposes a change and waits until this node shows it.
    async fn change(&self, command: &MetadataCommand) -> Result<(), ApiError> {
        self.node.refuse_when_stopping()?;
        let deadline = Instant::now() + CHANGE_LIMIT;
        let proposed = self.node.propose(command, deadline).await?;
        if let Accepted::Topic(topic) = proposed.accepted {
            tracing::info!(%topic, ?command, "a topic has changed");
        }
        // It has happened. That this node may show it a moment later is no failure.
        if let Err(error) = self.node.wait_for_version(proposed.version, deadline).await {
            tracing::warn!(%error, "a topic has changed, but this node does not see it yet");
        }
        Ok(())
    }

    /// The topic, once each of its partitions has a leader or there is no more time.
    async fn with_leaders(&self, name: &TopicName) -> Result<v1::Topic, ApiError> {
        let deadline = Instant::now() + LEADERS_LIMIT;
        loop {
            let topic = self.describe(name).await?;
            let all_led = topic
                .partitions
                .iter()
                .all(|partition| partition.leader.is_some());
            if all_led || Instant::now() + PAUSE >= deadline {
                return Ok(topic);
            }
            self.node.refuse_when_stopping()?;
            sleep(PAUSE).await;
        }
    }

    async fn describe(&self, name: &TopicName) -> Result<v1::Topic, ApiError> {
        let state = self.node.state();
        let topic = state.topic_named(name);
        let topic = topic.ok_or_else(|| errors::unknown_topic(name))?;
        let leaders = self.node.leaders(&[topic], &Origin::default()).await;
        Ok(self.message(topic, &leaders))
    }

    fn message(&self, topic: &Topic, leaders: &Leaders) -> v1::Topic {
        v1::Topic {
            id: topic.id.get(),
            name: topic.name.as_str().to_owned(),
            replication_factor: topic.replication_factor,
            config: write_config(&topic.config),
            partitions: self.node.partition_messages(topic, leaders),
        }
    }
}

#[tonic::async_trait]
impl TopicAdmin for TopicService {
    async fn create_topic(
        &self,
        request: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().name);
        self.node.admit(&request, AccessAction::Create, topic)?;
        let topic = Some(self.create(request.into_inner()).await?);
        Ok(Response::new(v1::CreateTopicResponse { topic }))
    }

    async fn describe_topics(
        &self,
        request: Request<v1::DescribeTopicsRequest>,
    ) -> Result<Response<v1::DescribeTopicsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        let names = request.into_inner().names;
        let found = self.node.find_topics(&names, &origin).await?;
        let known: Vec<_> = found
            .iter()
            .filter_map(|(_, found)| found.as_ref().ok())
            .collect();
        let leaders = self.node.leaders(&known, &origin).await;
        let topics = found.into_iter().map(|(name, found)| {
            let result = match found {
                Ok(topic) => Description::Topic(self.message(&topic, &leaders)),
                Err(error) => Description::Error(error.into()),
            };
            v1::TopicDescription {
                name,
                result: Some(result),
            }
        });
        Ok(Response::new(v1::DescribeTopicsResponse {
            topics: topics.collect(),
        }))
    }

    async fn list_topics(
        &self,
        request: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        // Whoever was told that a topic is there finds it on every node, also on one that has just started.
        self.node.catch_up().await?;
        let state = self.node.state();
        let sees = |topic: &&Topic| {
            self.node
                .sees(&origin, Resource::Topic(topic.name.as_str()))
        };
        let topics = state.topics().filter(sees).map(|topic| v1::TopicSummary {
            id: topic.id.get(),
            name: topic.name.as_str().to_owned(),
            partitions: topic.partition_count(),
            replication_factor: topic.replication_factor,
        });
        Ok(Response::new(v1::ListTopicsResponse {
            topics: topics.collect(),
        }))
    }

    async fn alter_topic(
        &self,
        request: Request<v1::AlterTopicRequest>,
    ) -> Result<Response<v1::AlterTopicResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().name);
        self.node.admit(&request, AccessAction::Alter, topic)?;
        let topic = Some(self.alter(request.into_inner()).await?);
        Ok(Response::new(v1::AlterTopicResponse { topic }))
    }

    async fn add_partitions(
        &self,
        request: Request<v1::AddPartitionsRequest>,
    ) -> Result<Response<v1::AddPartitionsResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().name);
        self.node.admit(&request, AccessAction::Alter, topic)?;
        let topic = Some(self.add_partitions(request.into_inner()).await?);
        Ok(Response::new(v1::AddPartitionsResponse { topic }))
    }

    async fn delete_topic(
        &self,
        request: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        let topic = Resource::Topic(&request.get_ref().name);
        self.node.admit(&request, AccessAction::Delete, topic)?;
        self.delete(request.into_inner()).await?;
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }

    async fn delete_records(
        &self,
        request: Request<v1::DeleteRecordsRequest>,
    ) -> Result<Response<v1::DeleteRecordsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let deleted = self.node.call_leader(request.into_inner(), &origin);
        Ok(Response::new(deleted.await?))
    }
}

type Changes = (Vec<(String, String)>, Vec<String>);

fn read_changes(set: BTreeMap<String, String>, reset: Vec<String>) -> Result<Changes, ApiError> {
    parse_config(&set)?;
    let contradiction = reset.iter().find(|key| set.contains_key(*key));
    if let Some(key) = contradiction {
        let message = format!("{key} is to be set and to be reset: choose one");
        return Err(ApiError::new(ErrorCode::InvalidArgument, message));
    }
    if set.is_empty() && reset.is_empty() {
        let message = "nothing is to be changed: name a key to set or to reset";
        return Err(ApiError::new(ErrorCode::InvalidArgument, message));
    }
    Ok((set.into_iter().collect(), reset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn changes_are_checked_before_they_are_proposed() {
        let reset = |key: &str| vec![key.to_owned()];
        let code = |set, reset| read_changes(set, reset).err().map(|error| error.code);
        assert_eq!(code(set("retention_ms", "60000"), Vec::new()), None);
        assert_eq!(code(BTreeMap::new(), reset("retention_ms")), None);
        let both = code(set("retention_ms", "60000"), reset("retention_ms"));
        assert_eq!(both, Some(ErrorCode::InvalidArgument));
        let nothing = code(BTreeMap::new(), Vec::new());
        assert_eq!(nothing, Some(ErrorCode::InvalidArgument));
        let unknown = code(set("retention", "1"), Vec::new());
        assert_eq!(unknown, Some(ErrorCode::ConfigInvalid));
    }
}
