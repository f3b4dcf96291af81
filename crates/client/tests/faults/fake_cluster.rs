//! Nodes that speak the real protocol over real connections, keep one log in memory between them,
//! and fail as they are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use flotilla_client::{Client, ClientConfig, PartitionIndex, TopicName};
use flotilla_protocol::v1::consumer_groups_server::ConsumerGroupsServer;
use flotilla_protocol::v1::fetch_server::FetchServer;
use flotilla_protocol::v1::jobs_server::JobsServer;
use flotilla_protocol::v1::metadata_server::MetadataServer;
use flotilla_protocol::v1::produce_server::ProduceServer;
use flotilla_protocol::v1::topic_admin_server::TopicAdminServer;
use flotilla_protocol::{ApiError, LeaderHint};
use flotilla_types::{ErrorCode, LeaderEpoch, NodeId, limits};
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use crate::fake_groups::FakeGroup;
use crate::fake_jobs::FakeJobs;
use crate::fake_node::FakeNode;
use crate::partition_log::PartitionLog;

pub(crate) const TOPIC: &str = "orders";

/// What happens to the next produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ProduceFault {
    /// It is refused and not applied.
    Refuse(ErrorCode),
    /// It is applied, and the answer says that nobody knows.
    ApplyButAnswer(ErrorCode),
    /// It is applied, and the stream breaks before the answer.
    LoseAnswer,
    /// The stream breaks and the request is gone.
    LoseRequest,
    /// The stream breaks and the request arrives later.
    DelayRequest,
    /// Another node becomes leader before it arrives.
    MoveLeader,
}

/// What happens to the next answer to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FetchFault {
    /// The stream breaks instead.
    Break,
    /// Another node becomes leader, and this one says so.
    MoveLeader,
    /// A bit flips on the way.
    Corrupt,
}

pub(crate) struct FakeCluster {
    pub(crate) shared: Arc<Shared>,
    _nodes: JoinSet<()>,
}

pub(crate) struct Shared {
    state: Mutex<State>,
    /// Counts changes of the logs.
    changes: watch::Sender<u64>,
    /// While it is false, no produce request, no new heartbeat and no renewal is answered.
    pub(crate) answering: watch::Sender<bool>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) addresses: Vec<String>,
    pub(crate) topics: BTreeMap<String, Vec<PartitionLog>>,
    pub(crate) produce_faults: VecDeque<Option<ProduceFault>>,
    pub(crate) fetch_faults: VecDeque<Option<FetchFault>>,
    pub(crate) producer_ids: u64,
    pub(crate) produce_requests: u64,
    pub(crate) fetched_bytes: u64,
    pub(crate) group: FakeGroup,
    pub(crate) jobs: FakeJobs,
}

impl FakeCluster {
    /// Nodes on loopback, and a topic whose partitions are led by one after the other.
    pub(crate) async fn start(node_count: usize, partition_count: u32) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::default(),
            changes: watch::Sender::new(0),
            answering: watch::Sender::new(true),
        });
        let mut nodes = JoinSet::new();
        for index in 0..node_count {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap().to_string();
            shared.state().addresses.push(address);
            let node = FakeNode {
                index,
                shared: Arc::clone(&shared),
            };
            let server = Server::builder()
                .max_frame_size(limits::GRPC_FRAME_BYTES)
                .add_service(MetadataServer::new(node.clone()))
                .add_service(
                    ProduceServer::new(node.clone())
                        .max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX),
                )
                .add_service(FetchServer::new(node.clone()))
                .add_service(TopicAdminServer::new(node.clone()))
                .add_service(ConsumerGroupsServer::new(node.clone()))
                .add_service(JobsServer::new(node))
                .serve_with_incoming(TcpIncoming::from(listener).with_nodelay(Some(true)));
            nodes.spawn(async move { server.await.unwrap() });
        }
        let cluster = Self {
            shared,
            _nodes: nodes,
        };
        cluster.state().add_topic(TOPIC, partition_count);
        cluster
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    pub(crate) async fn client(&self) -> Client {
        Client::connect(self.client_config()).await.unwrap()
    }

    pub(crate) fn client_config(&self) -> ClientConfig {
        ClientConfig {
            backoff_min: Duration::from_millis(1),
            backoff_max: Duration::from_millis(4),
            ..ClientConfig::new(self.state().addresses.clone())
        }
    }

    /// The values of one partition of the topic, in order.
    pub(crate) fn values(&self, partition: usize) -> Vec<String> {
        self.state().topics[TOPIC][partition].values()
    }

    /// Changes something that fetches wait for.
    pub(crate) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.shared.note_change();
    }
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    pub(crate) fn note_change(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

impl State {
    pub(crate) fn add_topic(&mut self, name: &str, partition_count: u32) {
        let node_count = self.addresses.len();
        let partitions =
            (0..partition_count as usize).map(|index| PartitionLog::led_by(index % node_count));
        self.topics.insert(name.to_owned(), partitions.collect());
    }

    pub(crate) fn partition(
        &mut self,
        topic: &str,
        index: u32,
    ) -> Result<&mut PartitionLog, ApiError> {
        let Some(partitions) = self.topics.get_mut(topic) else {
            return Err(ApiError::new(ErrorCode::UnknownTopic, "no such topic"));
        };
        (partitions.get_mut(index as usize))
            .ok_or_else(|| ApiError::new(ErrorCode::UnknownPartition, "no such partition"))
    }

    /// Refuses on nodes that do not lead.
    pub(crate) fn led_partition(
        &mut self,
        node: usize,
        topic: &str,
        index: u32,
    ) -> Result<&mut PartitionLog, ApiError> {
        let addresses = self.addresses.clone();
        let log = self.partition(topic, index)?;
        match log.leader {
            Some(leader) if leader == node => Ok(log),
            Some(leader) => Err(ApiError::new(ErrorCode::NotLeader, "another node leads")
                .with_leader(LeaderHint {
                    node: node_id(leader),
                    client_address: addresses[leader].clone(),
                    leader_epoch: LeaderEpoch::new(log.epoch),
                })),
            None => Err(ApiError::new(ErrorCode::NotLeader, "nobody leads")),
        }
    }

    pub(crate) fn move_leader(&mut self, topic: &str, index: u32) {
        let node_count = self.addresses.len();
        let log = self.partition(topic, index).unwrap();
        log.leader = log.leader.map(|leader| (leader + 1) % node_count);
        log.epoch += 1;
    }
}

pub(crate) fn node_id(index: usize) -> NodeId {
    NodeId::new(index as u64 + 1)
}

pub(crate) fn topic() -> TopicName {
    TopicName::parse(TOPIC).unwrap()
}

pub(crate) const fn partition(index: u32) -> PartitionIndex {
    PartitionIndex::new(index)
}
