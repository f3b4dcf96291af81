//! The handle from which everything else is made.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_types::ErrorCode;
use tokio::time::{Instant, timeout};
use tonic::{Request, Response, Status};

use crate::backoff::Backoff;
use crate::channels::{self, ChannelFactory, Channels, read_status};
use crate::deadline;
use crate::fetch;
use crate::metadata::Metadata;
use crate::node_channel::Caller;
use crate::{
    Admin, ClientConfig, ClientError, Consumer, ConsumerConfig, FetchOptions, FetchedRecords,
    GroupConfig, GroupConsumer, Jobs, NodeChannel, PartitionIndex, Principal, Producer,
    ProducerConfig, Publication, Published, TopicName, publish,
};

/// A connection to a cluster. Cheap to clone; clones share connections and what is known of the
/// cluster.
#[derive(Clone, Debug)]
pub struct Client {
    core: Arc<Core>,
}

impl Client {
    /// Connects over TCP. It returns when one of the bootstrap nodes has answered.
    pub async fn connect(config: ClientConfig) -> Result<Self, ClientError> {
        let factory = channels::over_tcp(&config);
        Self::over(factory, config).await
    }

    /// A client that connects with its first call, and until then knows the bootstrap nodes only.
    pub fn unconnected(config: ClientConfig) -> Result<Self, ClientError> {
        let factory = channels::over_tcp(&config);
        let core = Core::over(factory, config)?;
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// Connects over channels of the caller's making, such as in-process ones.
    pub async fn over(factory: ChannelFactory, config: ClientConfig) -> Result<Self, ClientError> {
        let core = Core::over(factory, config)?;
        core.find_cluster().await?;
        Ok(Self {
            core: Arc::new(core),
        })
    }

    /// A client over the same connections that acts for somebody else. Only a node of the same process
    /// believes that ([`NodeChannel::local`]); others go by the connection.
    #[must_use]
    pub fn on_behalf_of(&self, principal: Principal) -> Self {
        let caller = Caller::Principal(principal);
        let channels = Arc::new(self.core.channels.on_behalf_of(caller));
        Self {
            core: Arc::new(Core::new(self.core.config.clone(), channels)),
        }
    }

    /// Writes records. A producer has its own buffer and its own identity for deduplication.
    pub fn producer(&self, config: ProducerConfig) -> Result<Producer, ClientError> {
        Producer::start(Arc::clone(&self.core), config)
    }

    /// Writes a few records, each with an outcome of its own, in the order in which they are given. A
    /// message id keeps a record from being stored twice, whoever sends it again and from wherever: see
    /// [`Publication::message_id`]. For many records a [`Producer`] is faster.
    pub async fn publish(
        &self,
        publications: Vec<Publication>,
    ) -> Vec<Result<Published, ClientError>> {
        publish::publish(&self.core, publications).await
    }

    /// The partition to which [`publish`](Self::publish) would write this now. One without a partition, a
    /// key and a message id goes to any.
    pub async fn partition_of(
        &self,
        publication: &Publication,
    ) -> Result<PartitionIndex, ClientError> {
        publish::choose_partition(&self.core, publication).await
    }

    /// How many partitions the topic has, as was told lately. Of a topic that is not known yet, a node is asked
    /// once: a topic that was created a moment ago may be unknown to it.
    pub async fn partition_count(&self, topic: &TopicName) -> Result<u32, ClientError> {
        let deadline = self.core.deadline();
        let view = self.core.metadata.topic_at_once(topic, deadline).await?;
        Ok(view.partition_count())
    }

    /// Whether records of the topic must match a schema, as was told lately.
    pub async fn has_schema(&self, topic: &TopicName) -> Result<bool, ClientError> {
        let deadline = self.core.deadline();
        let view = self.core.metadata.topic(topic, deadline).await?;
        Ok(view.has_schema())
    }

    /// Reads a few records of one partition, from any place. For many records a [`Consumer`] is faster.
    pub async fn fetch(&self, options: FetchOptions) -> Result<FetchedRecords, ClientError> {
        fetch::fetch(&self.core, options).await
    }

    /// Reads records.
    pub fn consumer(&self, config: ConsumerConfig) -> Result<Consumer, ClientError> {
        Consumer::start(Arc::clone(&self.core), config)
    }

    /// Reads records as a member of a consumer group. It begins to join at once.
    pub fn group_consumer(&self, config: GroupConfig) -> Result<GroupConsumer, ClientError> {
        GroupConsumer::start(Arc::clone(&self.core), config)
    }

    /// Acquires jobs, so that one process at a time does them.
    pub fn jobs(&self) -> Jobs {
        Jobs::new(Arc::clone(&self.core))
    }

    /// Manages topics and consumer groups, and looks at the cluster.
    pub fn admin(&self) -> Admin {
        Admin::new(Arc::clone(&self.core))
    }
}

/// What producers, consumers and admins share.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) config: ClientConfig,
    pub(crate) channels: Arc<Channels>,
    pub(crate) metadata: Metadata,
}

/// What may be done when nobody knows whether a call was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Once or twice is the same: try again after any failure that may pass.
    Always,
    /// Try again only after an error that says that nothing happened.
    IfDefinite,
}

impl Core {
    fn over(factory: ChannelFactory, config: ClientConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let channels = Arc::new(Channels::new(factory, Caller::of(&config)));
        for address in &config.bootstrap {
            channels.get(address)?;
        }
        Ok(Self::new(config, channels))
    }

    fn new(config: ClientConfig, channels: Arc<Channels>) -> Self {
        Self {
            metadata: Metadata::new(config.clone(), Arc::clone(&channels)),
            config,
            channels,
        }
    }

    /// When a call or a look-up that begins now is given up.
    pub(crate) fn deadline(&self) -> Instant {
        deadline::after(Instant::now(), self.config.deadline)
    }

    /// Makes a call that any node can answer, again and again on one node after the other, as long
    /// as that is safe and may help.
    pub(crate) async fn call<T, F, Fut>(&self, repeat: Repeat, send: F) -> Result<T, ClientError>
    where
        T: Debug,
        F: Fn(NodeChannel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_until(self.deadline(), repeat, send).await
    }

    /// As [`call`](Self::call), until this deadline.
    pub(crate) async fn call_until<T, F, Fut>(
        &self,
        deadline: Instant,
        repeat: Repeat,
        send: F,
    ) -> Result<T, ClientError>
    where
        T: Debug,
        F: Fn(NodeChannel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let started = Instant::now();
        let mut backoff = Backoff::new(&self.config);
        loop {
            let mut last = ApiError::new(ErrorCode::LeaderNotAvailable, "no node is known");
            let addresses = self.metadata.addresses();
            for (nth, address) in addresses.iter().enumerate() {
                let left = deadline.saturating_duration_since(Instant::now());
                if nth > 0 && left.is_zero() {
                    break;
                }
                let limit = match repeat {
                    Repeat::Always => {
                        let attempts = addresses.len() - nth;
                        deadline::share_of(deadline, attempts, self.config.attempt_timeout)
                    }
                    Repeat::IfDefinite => left,
                };
                let error = match self.attempt(address, limit, &send).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                let may_repeat = repeat == Repeat::Always || error.code.is_definite();
                if !error.code.is_retryable() || !may_repeat {
                    return Err(error.into());
                }
                last = error;
            }
            if !backoff.pause_until(deadline).await {
                return Err(ClientError::GaveUp {
                    waited: started.elapsed(),
                    definite: true,
                    last,
                });
            }
        }
    }

    /// Makes a call to this node once.
    pub(crate) async fn attempt<T, F, Fut>(
        &self,
        address: &str,
        limit: Duration,
        send: &F,
    ) -> Result<T, ApiError>
    where
        F: Fn(NodeChannel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let channel = self
            .channels
            .get(address)
            .map_err(|error| ApiError::new(ErrorCode::LeaderNotAvailable, error.to_string()))?;
        match timeout(limit, send(channel, limit)).await {
            Ok(Ok(answer)) => Ok(answer.into_inner()),
            Ok(Err(status)) => Err(read_status(address, &status)),
            Err(_) => Err(ApiError::new(
                ErrorCode::Timeout,
                format!("node {address} does not answer"),
            )),
        }
    }

    /// Makes a call to one node, to another one for the next number.
    pub(crate) async fn attempt_nth<T, F, Fut>(
        &self,
        nth: usize,
        limit: Duration,
        send: &F,
    ) -> Result<T, ApiError>
    where
        F: Fn(NodeChannel, Duration) -> Fut,
        Fut: Future<Output = Result<Response<T>, Status>>,
    {
        let addresses = self.metadata.addresses();
        let address = &addresses[nth % addresses.len()];
        self.attempt(address, limit, send).await
    }

    async fn find_cluster(&self) -> Result<(), ClientError> {
        let started = Instant::now();
        let deadline = self.deadline();
        let mut backoff = Backoff::new(&self.config);
        loop {
            let version = self.metadata.version();
            let Err(last) = self.metadata.refresh(version, deadline).await else {
                return Ok(());
            };
            if last.code.concerns_the_caller() {
                return Err(last.into());
            }
            if !backoff.pause_until(deadline).await {
                return Err(ClientError::GaveUp {
                    waited: started.elapsed(),
                    definite: true,
                    last,
                });
            }
        }
    }
}

/// A request that tells the node how long its answer is waited for.
pub(crate) fn within<T>(limit: Duration, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(limit);
    request
}
