//! Connections to other nodes, for calls that are passed on: one per peer, kept while it works.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_raft::RaftNode;
use flotilla_types::{ClusterId, ErrorCode, NodeId};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::Status;
use tonic::transport::Channel;

/// After a failed attempt others are not made for this long: a thousand calls that wait for a node
/// that is down shall not dial it a thousand times.
const REDIAL_AFTER: Duration = Duration::from_millis(200);

/// The connections of this node to its peers.
pub(crate) struct Peers {
    raft: Arc<RaftNode>,
    cluster: ClusterId,
    dials: Mutex<HashMap<NodeId, Arc<tokio::sync::Mutex<Dial>>>>,
}

#[derive(Default)]
enum Dial {
    #[default]
    Never,
    Connected(Channel),
    Failed(Instant),
}

impl Peers {
    pub(crate) fn new(raft: Arc<RaftNode>, cluster: ClusterId) -> Self {
        Self {
            raft,
            cluster,
            dials: Mutex::default(),
        }
    }

    pub(crate) fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// The connection to `peer`, made if there is none. Nothing was sent if this fails.
    pub(crate) async fn channel(&self, peer: NodeId) -> Result<Channel, ApiError> {
        let dial = self.dials.lock().entry(peer).or_default().clone();
        let mut dial = dial.lock().await;
        match &*dial {
            Dial::Connected(channel) => return Ok(channel.clone()),
            Dial::Failed(at) if at.elapsed() < REDIAL_AFTER => return Err(unreachable(peer)),
            Dial::Never | Dial::Failed(_) => {}
        }
        match self.raft.connect(peer).await {
            Some(channel) => {
                *dial = Dial::Connected(channel.clone());
                Ok(channel)
            }
            None => {
                *dial = Dial::Failed(Instant::now());
                Err(unreachable(peer))
            }
        }
    }

    /// Lets go of a connection that leads nowhere: the next call makes another one.
    pub(crate) fn forget(&self, peer: NodeId) {
        self.dials.lock().remove(&peer);
    }

    /// Reads how a call to `peer` ended, and lets go of the connection if it is at fault, or leads to
    /// a node that stops.
    pub(crate) fn failed(&self, peer: NodeId, status: &Status) -> ApiError {
        let error = ApiError::from_status(status);
        if is_transport_failure(status) || error.code == ErrorCode::ShuttingDown {
            self.forget(peer);
        }
        error
    }

    /// As [`Self::failed`], for a call that changes nothing: the one who asked may ask again.
    pub(crate) fn failed_to_read(&self, peer: NodeId, status: &Status) -> ApiError {
        let error = self.failed(peer, status);
        if is_transport_failure(status) {
            return unreachable(peer);
        }
        error
    }
}

/// No handler of ours made this status: they all give details.
fn is_transport_failure(status: &Status) -> bool {
    status.details().is_empty()
}

fn unreachable(peer: NodeId) -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        format!("node {peer}, which has to answer, cannot be reached: try again in a moment"),
    )
}
