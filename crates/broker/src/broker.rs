//! The handle on a node's broker: start, what it serves, how it is, stop.

use std::sync::Arc;

use flotilla_identity::IssuersError;
use flotilla_protocol::ApiError;
use flotilla_raft::{Metadata, RaftNode};
use flotilla_types::{Principal, Shown};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;

use crate::clock::Clock;
use crate::config::BrokerConfig;
use crate::node::Node;
use crate::serving::{self, Health};
use crate::{coordinators, joining, leader_balance, metadata, moves, reconcile, retention};

/// What the broker stands on.
#[derive(Clone)]
pub struct BrokerParts {
    pub raft: Arc<RaftNode>,
    /// This node's replica of the metadata group, as [`RaftNode::open_metadata`] returned it.
    pub metadata: Metadata,
    /// Whether this node has room for records.
    pub room: watch::Receiver<RecordRoom>,
    pub clock: Arc<dyn Clock>,
}

/// Whether a node can take records from producers, and if not, why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecordRoom {
    Free,
    /// What was taken has to reach its place first: a matter of moments, so producers wait.
    CatchingUp,
    /// Retention, or an operator, has to make room: producers are refused.
    DiskFull,
}

/// The broker of one node. Clones are handles on the same one.
#[derive(Clone)]
pub struct Broker {
    node: Arc<Node>,
    health: Health,
}

impl Broker {
    /// Starts to join the cluster and to bring this node's partitions up. The services of
    /// [`Self::peer_routes`] must be reachable for other nodes soon, or nothing of that succeeds.
    ///
    /// It fails when the settings of an issuer make no sense.
    ///
    /// Cancelling `stop` stops it: see [`Self::shutdown`].
    pub fn start(
        config: BrokerConfig,
        parts: BrokerParts,
        stop: CancellationToken,
    ) -> Result<Self, IssuersError> {
        let node = Arc::new(Node::new(config, parts, stop)?);
        let health = Health::default();
        let tasks = &node.tasks;
        tasks.spawn(reconcile::run(node.clone()));
        tasks.spawn(joining::run(node.clone()));
        tasks.spawn(retention::run(node.clone()));
        tasks.spawn(leader_balance::run(node.clone()));
        tasks.spawn(moves::run(node.clone()));
        tasks.spawn(metadata::keep_members(node.clone()));
        tasks.spawn(coordinators::run_keeper(node.clone()));
        tasks.spawn(serving::report_health(node.clone(), health.clone()));
        Ok(Self { node, health })
    }

    /// What clients call: the services of `flotilla.v1`, health and reflection.
    pub fn public_routes(&self) -> Routes {
        serving::public_routes(&self.node, &self.health)
    }

    /// What the doors of this process call: the same services as clients do, without a connection in between.
    pub fn local_routes(&self) -> Routes {
        serving::local_routes(&self.node)
    }

    /// Who shows this, or nothing.
    pub async fn identify(&self, shown: Shown<'_>) -> Result<Principal, ApiError> {
        match &self.node.keeper {
            Some(keeper) => Ok(keeper.identify(shown).await?.0),
            None => Ok(Principal::anonymous()),
        }
    }

    /// What other nodes call: the same services for calls that are passed on, and the links
    /// between the nodes.
    pub fn peer_routes(&self) -> Routes {
        serving::peer_routes(&self.node)
    }

    /// Becomes true when the node is registered, knows what the cluster knew at that moment and has
    /// opened its partitions. Until then it is not ready.
    pub fn joined(&self) -> watch::Receiver<bool> {
        self.node.joined.subscribe()
    }

    /// Becomes `Some` when something happened after which the node must not go on.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.node.failure()
    }

    /// Takes no more produce requests, finishes those in flight within the configured limit and
    /// ends every loop and stream. Leaderships stay: [`RaftNode::shutdown`] hands them over.
    pub async fn shutdown(&self) {
        self.node.stop.cancel();
        self.node.tasks.close();
        let limit = self.node.config.shutdown_limit();
        if timeout(limit, self.node.tasks.wait()).await.is_err() {
            tracing::warn!(
                unfinished = self.node.tasks.len(),
                "requests were still in flight at the end of the time to stop"
            );
        }
    }
}
