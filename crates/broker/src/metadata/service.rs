//! The `Metadata` service: where things are, and identities for producers.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_protocol::v1::metadata_server::Metadata;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Leadership;
use flotilla_state::access::{AccessAction, Resource};
use flotilla_state::metadata::{MetadataState, NodeDuty, Partition, Topic};
use flotilla_types::limits::TOPICS_PER_REQUEST_MAX;
use flotilla_types::{ErrorCode, RaftGroupId, TopicName};
use tonic::{Request, Response, Status};

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

pub(crate) struct MetadataService {
    node: Arc<Node>,
}

/// What this node says of leaders: its own replicas know best, the others were asked.
pub(crate) struct Leaders {
    elsewhere: BTreeMap<RaftGroupId, Leadership>,
}

impl MetadataService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn topics(
        &self,
        names: &[String],
        origin: &Origin,
    ) -> Result<Vec<v1::TopicMetadata>, ApiError> {
        let found = self.node.find_topics(names, origin).await?;
        let known: Vec<_> = found
            .iter()
            .filter_map(|(_, found)| found.as_ref().ok())
            .collect();
        let leaders = self.node.leaders(&known, origin).await;
        let topics = found.into_iter().map(|(name, found)| match found {
            Ok(topic) => v1::TopicMetadata {
                id: topic.id.get(),
                name,
                error: None,
                has_schema: !topic.schemas.is_empty(),
                partitions: self.node.partition_messages(&topic, &leaders),
            },
            Err(error) => v1::TopicMetadata {
                name,
                error: Some(error.into()),
                ..v1::TopicMetadata::default()
            },
        });
        Ok(topics.collect())
    }
}

#[tonic::async_trait]
impl Metadata for MetadataService {
    async fn get_metadata(
        &self,
        request: Request<v1::GetMetadataRequest>,
    ) -> Result<Response<v1::GetMetadataResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        let request = request.into_inner();
        let topics = match request.nodes_only {
            true if request.topics.is_empty() => Vec::new(),
            true => return Err(nodes_only_with_topics().into()),
            false => self.topics(&request.topics, &origin).await?,
        };
        Ok(Response::new(v1::GetMetadataResponse {
            cluster_id: self.node.peers.cluster().to_string(),
            nodes: node_messages(&self.node),
            topics,
        }))
    }

    async fn allocate_producer_id(
        &self,
        _request: Request<v1::AllocateProducerIdRequest>,
    ) -> Result<Response<v1::AllocateProducerIdResponse>, Status> {
        self.node.refuse_when_stopping()?;
        let id = self.node.next_producer_id().await?;
        Ok(Response::new(v1::AllocateProducerIdResponse {
            producer_id: id.get(),
            // A new id has no earlier instance that would have to be fenced.
            producer_epoch: 0,
        }))
    }
}

fn nodes_only_with_topics() -> ApiError {
    let message = "`topics` and `nodes_only` contradict each other: leave one of them out";
    ApiError::new(ErrorCode::InvalidArgument, message)
}

impl Node {
    /// The topics of these names, or why there is none, in their order; all topics that the caller may
    /// describe by name if there are no names.
    pub(crate) async fn find_topics(
        &self,
        names: &[String],
        origin: &Origin,
    ) -> Result<Vec<(String, Result<Topic, ApiError>)>, ApiError> {
        if names.len() > TOPICS_PER_REQUEST_MAX {
            let message = format!(
                "{} topics are too many for one request: ask for {TOPICS_PER_REQUEST_MAX} at a time",
                names.len()
            );
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
        if names.is_empty() {
            let state = self.state();
            let sees = |topic: &&Topic| self.sees(origin, Resource::Topic(topic.name.as_str()));
            let topics = state.topics().filter(sees).cloned();
            return Ok(topics
                .map(|topic| (topic.name.as_str().to_owned(), Ok(topic)))
                .collect());
        }
        let find_all = |state: &MetadataState| {
            let find = |text: &String| (text.clone(), self.find_topic(state, text, origin));
            names.iter().map(find).collect::<Vec<_>>()
        };
        let found = find_all(&self.state());
        if !found.iter().any(|(_, found)| is_unknown(found)) {
            return Ok(found);
        }
        // They may have been created a moment ago, through another node.
        match self.catch_up().await {
            Ok(()) => Ok(find_all(&self.state())),
            Err(error) => Ok(found
                .into_iter()
                .map(|(name, found)| match is_unknown(&found) {
                    true => (name, Err(error.clone())),
                    false => (name, found),
                })
                .collect()),
        }
    }

    fn find_topic(
        &self,
        state: &MetadataState,
        text: &str,
        origin: &Origin,
    ) -> Result<Topic, ApiError> {
        let name = TopicName::parse(text)?;
        self.allow(origin, AccessAction::Describe, Resource::Topic(text))?;
        let topic = state.topic_named(&name).cloned();
        topic.ok_or_else(|| errors::unknown_topic(&name))
    }

    /// Who leads the partitions of these topics.
    pub(crate) async fn leaders(&self, topics: &[&Topic], origin: &Origin) -> Leaders {
        let mut groups = topics.iter().flat_map(|topic| topic.raft_groups());
        let all_here = groups.all(|group| self.raft.partition(group).is_some());
        let elsewhere = match all_here || origin.local_only() {
            true => BTreeMap::new(),
            false => self.leaders_elsewhere().await,
        };
        Leaders { elsewhere }
    }

    /// Who leads the group, if that is known.
    pub(crate) fn leader(
        &self,
        group: RaftGroupId,
        leaders: &Leaders,
    ) -> Option<v1::PartitionLeader> {
        let leadership = match self.raft.partition(group) {
            Some(partition) => partition.leadership(),
            None => *leaders.elsewhere.get(&group)?,
        };
        Some(v1::PartitionLeader {
            node_id: leadership.leader?.get(),
            leader_epoch: leadership.epoch.get(),
        })
    }

    pub(crate) fn partition_messages(
        &self,
        topic: &Topic,
        leaders: &Leaders,
    ) -> Vec<v1::PartitionMetadata> {
        let partitions = topic.partitions.iter().zip(0..);
        partitions
            .map(|(partition, index)| {
                let leader = self.leader(partition.raft_group, leaders);
                partition_message(index, partition, leader)
            })
            .collect()
    }
}

fn is_unknown(found: &Result<Topic, ApiError>) -> bool {
    matches!(found, Err(error) if error.code == ErrorCode::UnknownTopic)
}

fn partition_message(
    index: u32,
    partition: &Partition,
    leader: Option<v1::PartitionLeader>,
) -> v1::PartitionMetadata {
    v1::PartitionMetadata {
        index,
        leader,
        replicas: partition.replicas.iter().map(|node| node.get()).collect(),
    }
}

/// All nodes but those that were removed, and which of them this node has a link to.
pub(crate) fn node_messages(node: &Node) -> Vec<v1::Node> {
    let connected = node.raft.connected_peers();
    let state = node.state();
    let members = state
        .nodes()
        .filter(|known| known.duty != NodeDuty::Removed);
    let nodes = members.map(|known| v1::Node {
        id: known.id.get(),
        client_address: known.addresses.client.clone(),
        peer_address: known.addresses.peer.clone(),
        alive: known.id == node.id || connected.contains(&known.id),
    });
    nodes.collect()
}
