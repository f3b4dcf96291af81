//! Keeps the [`ClusterView`] up to date: asked for when needed, by one task at a time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::metadata_client::MetadataClient;
use flotilla_protocol::{ApiError, LeaderHint, v1};
use flotilla_types::{ErrorCode, PartitionIndex, TopicId, TopicName, limits};
use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, timeout, timeout_at};

use crate::backoff::Backoff;
use crate::channels::{Channels, read_status};
use crate::cluster_view::{ClusterView, TopicView};
use crate::deadline::share_of;
use crate::{ClientConfig, ClientError, Routing};

/// How long a topic may be unknown to nodes that have not caught up yet, after its creation or
/// after their start.
pub(crate) const UNKNOWN_TOPIC_PATIENCE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(crate) struct Metadata {
    config: ClientConfig,
    channels: Arc<Channels>,
    known: RwLock<Known>,
    /// Held by the one who asks.
    asking: tokio::sync::Mutex<()>,
    /// Topics that have been used.
    topics: Mutex<BTreeSet<TopicName>>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    view: Arc<ClusterView>,
    version: Version,
    asked_at: Option<Instant>,
    /// Who answered last.
    source: Option<String>,
}

/// Increases with each answer that was taken in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Version(u64);

impl Metadata {
    pub(crate) fn new(config: ClientConfig, channels: Arc<Channels>) -> Self {
        Self {
            config,
            channels,
            known: RwLock::default(),
            asking: tokio::sync::Mutex::default(),
            topics: Mutex::default(),
        }
    }

    pub(crate) fn view(&self) -> Arc<ClusterView> {
        Arc::clone(&self.known.read().view)
    }

    pub(crate) fn version(&self) -> Version {
        self.known.read().version
    }

    /// How many partitions the topic has, and which have a leader. Asks if that is not known, until
    /// `deadline`.
    pub(crate) async fn topic(
        &self,
        topic: &TopicName,
        deadline: Instant,
    ) -> Result<Arc<TopicView>, ClientError> {
        match self.fresh_topic(topic) {
            Some(view) => Ok(view),
            None => self.topic_now(topic, deadline).await,
        }
    }

    /// As [`topic`](Self::topic), but asks even if it is known: the topic may have more partitions
    /// by now, or be another one of the same name.
    pub(crate) async fn topic_now(
        &self,
        topic: &TopicName,
        deadline: Instant,
    ) -> Result<Arc<TopicView>, ClientError> {
        let newly_used = self.topics.lock().insert(topic.clone());
        let view = self.ask_for_topic(topic, deadline).await;
        if newly_used && view.is_err() {
            self.topics.lock().remove(topic);
        }
        view
    }

    /// As [`topic`](Self::topic), but asks once and believes that there is no topic of this name, although it may
    /// have been created a moment ago.
    pub(crate) async fn topic_at_once(
        &self,
        topic: &TopicName,
        deadline: Instant,
    ) -> Result<Arc<TopicView>, ClientError> {
        if let Some(view) = self.fresh_topic(topic) {
            return Ok(view);
        }
        let newly_used = self.topics.lock().insert(topic.clone());
        // Another task may have asked just before, and not for this topic.
        for _ in 0..2 {
            self.refresh(self.version(), deadline).await?;
            match self.view().topic(topic) {
                Some(Ok(view)) => return Ok(Arc::clone(view)),
                Some(Err(error)) => {
                    if newly_used {
                        self.topics.lock().remove(topic);
                    }
                    return Err(error.clone().into());
                }
                None => {}
            }
        }
        Err(ClientError::missing("a topic"))
    }

    /// The id of the topic that has this name, as far as is known. Asks nobody.
    pub(crate) fn topic_id(&self, topic: &TopicName) -> Option<TopicId> {
        let view = self.view();
        Some(view.topic(topic)?.as_ref().ok()?.id())
    }

    /// Where requests for the partition go: where its leader listens, as far as is known, or to a node
    /// that passes them on. Asks nobody.
    pub(crate) fn leader_address(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Option<String>, ApiError> {
        let view = self.view();
        let address = view.leader_address(topic, partition)?;
        match self.config.routing {
            Routing::ToLeaders => Ok(address.map(str::to_owned)),
            Routing::ThroughBootstrap => Ok(self.addresses().into_iter().next()),
        }
    }

    pub(crate) fn learn_leader(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        hint: &LeaderHint,
    ) {
        let mut known = self.known.write();
        Arc::make_mut(&mut known.view).learn_leader(topic, partition, hint);
    }

    /// Asks the nodes, one after the other, until one answers or `deadline` has passed. Does nothing
    /// if another task has asked since `seen`.
    pub(crate) async fn refresh(&self, seen: Version, deadline: Instant) -> Result<(), ApiError> {
        let Ok(_turn) = timeout_at(deadline, self.asking.lock()).await else {
            return Err(ApiError::new(ErrorCode::Timeout, "no node answers"));
        };
        if self.version() != seen {
            return Ok(());
        }
        let mut last = ApiError::new(ErrorCode::LeaderNotAvailable, "no node is known");
        let addresses = self.addresses();
        for (nth, address) in addresses.iter().enumerate() {
            if nth > 0 && Instant::now() >= deadline {
                break;
            }
            let topics = self.topics.lock().clone();
            let attempts = addresses.len() - nth;
            let limit = share_of(deadline, attempts, self.config.attempt_timeout);
            match self.ask(address, &topics, limit).await {
                Ok(answer) => match self.take_in(answer, &topics, address) {
                    Ok(()) => return Ok(()),
                    Err(error) => last = error,
                },
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Every node worth asking, the likeliest first.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let known = self.known.read();
        let candidates = known
            .source
            .iter()
            .map(String::as_str)
            .chain(self.known_nodes(&known.view))
            .chain(self.config.bootstrap.iter().map(String::as_str));
        let mut addresses: Vec<String> = Vec::new();
        for candidate in candidates {
            if !addresses.iter().any(|address| address == candidate) {
                addresses.push(candidate.to_owned());
            }
        }
        addresses
    }

    /// The nodes that may be asked beside the bootstrap nodes.
    fn known_nodes<'a>(&self, view: &'a ClusterView) -> impl Iterator<Item = &'a str> {
        let may_be_asked = self.config.routing == Routing::ToLeaders;
        let addresses = may_be_asked.then(|| view.node_addresses());
        addresses.into_iter().flatten()
    }

    /// The topic as it was told lately.
    fn fresh_topic(&self, topic: &TopicName) -> Option<Arc<TopicView>> {
        let known = self.known.read();
        let is_fresh = known
            .asked_at
            .is_some_and(|asked_at| asked_at.elapsed() < self.config.metadata_age_max);
        match known.view.topic(topic) {
            Some(Ok(view)) if is_fresh => Some(Arc::clone(view)),
            _ => None,
        }
    }

    async fn ask_for_topic(
        &self,
        topic: &TopicName,
        deadline: Instant,
    ) -> Result<Arc<TopicView>, ClientError> {
        let started = Instant::now();
        let mut backoff = Backoff::new(&self.config);
        loop {
            let refreshed = self.refresh(self.version(), deadline).await;
            let error = match (self.view().topic(topic), refreshed) {
                (Some(Ok(view)), _) => return Ok(Arc::clone(view)),
                (_, Err(error)) => error,
                (Some(Err(error)), Ok(())) => error.clone(),
                (None, Ok(())) => ApiError::new(
                    ErrorCode::UnknownTopic,
                    format!("the node does not say whether there is a topic {topic}"),
                ),
            };
            let is_unknown = error.code == ErrorCode::UnknownTopic;
            let may_pass = match is_unknown {
                true => started.elapsed() < UNKNOWN_TOPIC_PATIENCE,
                false => error.code.is_retryable(),
            };
            if !may_pass {
                return Err(error.into());
            }
            if !backoff.pause_until(deadline).await {
                return Err(match is_unknown {
                    true => error.into(),
                    false => ClientError::GaveUp {
                        waited: started.elapsed(),
                        definite: true,
                        last: error,
                    },
                });
            }
        }
    }

    async fn ask(
        &self,
        address: &str,
        topics: &BTreeSet<TopicName>,
        limit: Duration,
    ) -> Result<v1::GetMetadataResponse, ApiError> {
        let channel = self
            .channels
            .get(address)
            .map_err(|error| ApiError::new(ErrorCode::LeaderNotAvailable, error.to_string()))?;
        let mut client =
            MetadataClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
        // Naming none asks for all, unless only the nodes matter.
        let request = v1::GetMetadataRequest {
            nodes_only: topics.is_empty(),
            topics: if topics.len() > limits::TOPICS_PER_REQUEST_MAX {
                Vec::new()
            } else {
                topics.iter().map(TopicName::to_string).collect()
            },
        };
        match timeout(limit, client.get_metadata(request)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(read_status(address, &status)),
            Err(_) => Err(ApiError::new(
                ErrorCode::Timeout,
                format!("node {address} does not answer"),
            )),
        }
    }

    fn take_in(
        &self,
        answer: v1::GetMetadataResponse,
        topics: &BTreeSet<TopicName>,
        source: &str,
    ) -> Result<(), ApiError> {
        let mut known = self.known.write();
        let view = known.view.merge(answer, topics)?;
        *known = Known {
            view: Arc::new(view),
            version: Version(known.version.0 + 1),
            asked_at: Some(Instant::now()),
            source: Some(source.to_owned()),
        };
        Ok(())
    }
}
