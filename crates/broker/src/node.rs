//! What all services and loops of one node share.

use std::sync::Arc;

use flotilla_identity::IssuersError;
use flotilla_protocol::{ApiError, LeaderHint};
use flotilla_raft::{Leadership, Partition, RaftNode};
use flotilla_state::metadata::MetadataState;
use flotilla_types::limits::{GRPC_MESSAGE_BYTES_MAX, REPLICATION_FACTOR_DEFAULT};
use flotilla_types::{ErrorCode, NodeId, Offset, Timestamp, TopicId};
use parking_lot::Mutex;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Keeper;
use crate::broker::{BrokerParts, RecordRoom};
use crate::config::BrokerConfig;
use crate::coordinators::Sessions;
use crate::errors;
use crate::metadata::{LeadersElsewhere, ProducerIds};
use crate::meters::Meters;
use crate::peers::Peers;
use crate::reconcile::Reconciled;
use crate::records::SchemasInForce;

/// One node's broker, behind an `Arc` that every service and loop holds.
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) config: BrokerConfig,
    pub(crate) raft: Arc<RaftNode>,
    pub(crate) metadata: flotilla_raft::Metadata,
    pub(crate) peers: Peers,
    pub(crate) meters: Meters,
    /// Ends every loop, every stream that follows a log, and the taking of new produce requests.
    pub(crate) stop: CancellationToken,
    /// Everything that runs. It is empty before the node lets go of its partitions.
    pub(crate) tasks: TaskTracker,
    /// How far the partitions of this node are what metadata says.
    pub(crate) reconciled: watch::Sender<Reconciled>,
    /// The cluster knows this start of the node.
    pub(crate) registered: watch::Sender<bool>,
    /// Registered, and caught up with the metadata of that moment.
    pub(crate) joined: watch::Sender<bool>,
    /// Permits are bytes of produce requests.
    pub(crate) produce_room: Arc<Semaphore>,
    pub(crate) producer_ids: ProducerIds,
    pub(crate) leaders_elsewhere: LeadersElsewhere,
    pub(crate) schemas: SchemasInForce,
    pub(crate) sessions: Sessions,
    /// Who finds out who calls; nobody is asked without one.
    pub(crate) keeper: Option<Keeper>,
    parts: BrokerParts,
    state: watch::Receiver<Arc<MetadataState>>,
    failure: watch::Sender<Option<String>>,
    round_robin: Mutex<u32>,
}

impl Node {
    pub(crate) fn new(
        config: BrokerConfig,
        parts: BrokerParts,
        stop: CancellationToken,
    ) -> Result<Self, IssuersError> {
        let keeper = config.auth.clone().map(|auth| {
            let (state, clock) = (parts.metadata.watch(), parts.clock.clone());
            Keeper::start(auth, state, clock, &stop)
        });
        let keeper = keeper.transpose()?;
        let room = config.produce_bytes_in_flight_max;
        let room = room.clamp(GRPC_MESSAGE_BYTES_MAX, Semaphore::MAX_PERMITS);
        Ok(Self {
            id: parts.raft.id(),
            raft: parts.raft.clone(),
            metadata: parts.metadata.clone(),
            peers: Peers::new(parts.raft.clone(), config.cluster),
            meters: Meters::new(),
            stop,
            tasks: TaskTracker::new(),
            reconciled: watch::channel(Reconciled::default()).0,
            registered: watch::channel(false).0,
            joined: watch::channel(false).0,
            produce_room: Arc::new(Semaphore::new(room)),
            producer_ids: ProducerIds::default(),
            leaders_elsewhere: LeadersElsewhere::default(),
            sessions: Sessions::default(),
            schemas: SchemasInForce::default(),
            state: parts.metadata.watch(),
            failure: watch::channel(None).0,
            round_robin: Mutex::new(0),
            keeper,
            config,
            parts,
        })
    }

    /// The metadata as this node has applied it.
    pub(crate) fn state(&self) -> Arc<MetadataState> {
        self.state.borrow().clone()
    }

    pub(crate) fn watch_state(&self) -> watch::Receiver<Arc<MetadataState>> {
        self.state.clone()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.parts.clock.now()
    }

    /// Where the records of a partition of the topic start that are served.
    pub(crate) async fn log_start(
        &self,
        partition: &Partition,
        topic: TopicId,
    ) -> Result<Offset, ApiError> {
        let log_start = partition.log_start(self.oldest_kept(topic)).await;
        log_start.map_err(errors::from_read)
    }

    /// Records of the topic that were appended earlier are not served any more.
    fn oldest_kept(&self, topic: TopicId) -> Option<Timestamp> {
        let retention_ms = self.state().topic(topic)?.config.retention_ms?;
        Some(self.now().minus_millis(retention_ms))
    }

    pub(crate) fn room(&self) -> RecordRoom {
        *self.parts.room.borrow()
    }

    pub(crate) fn watch_room(&self) -> watch::Receiver<RecordRoom> {
        self.parts.room.clone()
    }

    /// Replicas of what is made without saying how many. Nodes that have not registered yet count: what
    /// is made while the cluster starts shall not have fewer replicas for ever.
    pub(crate) fn default_replication_factor(&self) -> u32 {
        let state = self.state();
        let voters = self.metadata.voters().into_iter();
        let on_their_way = voters.filter(|voter| state.node(*voter).is_none());
        let node_count = state.active_nodes().count() + on_their_way.count();
        node_count.clamp(1, REPLICATION_FACTOR_DEFAULT as usize) as u32
    }

    /// A number that is another one each time, to spread records without a key.
    pub(crate) fn next_turn(&self) -> u32 {
        let mut turn = self.round_robin.lock();
        *turn = turn.wrapping_add(1);
        *turn
    }

    /// Where clients find a leader.
    pub(crate) fn leader_hint(&self, leadership: Leadership) -> Option<LeaderHint> {
        let leader = leadership.leader?;
        let client_address = self.state().node(leader)?.addresses.client.clone();
        Some(LeaderHint {
            node: leader,
            client_address,
            leader_epoch: leadership.epoch,
        })
    }

    pub(crate) fn refuse_when_stopping(&self) -> Result<(), ApiError> {
        if self.stop.is_cancelled() {
            return Err(shutting_down());
        }
        Ok(())
    }

    /// Reports what the node must not go on after. The first reason stays.
    pub(crate) fn fail(&self, reason: String) {
        tracing::error!(%reason, "the node cannot go on");
        self.failure.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    pub(crate) fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }
}

pub(crate) fn shutting_down() -> ApiError {
    ApiError::new(
        ErrorCode::ShuttingDown,
        "the node is shutting down: ask another node",
    )
}
