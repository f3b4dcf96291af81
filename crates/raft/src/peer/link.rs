//! All lanes of a node, by peer.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{NodeId, RaftGroupId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tonic::transport::Channel;

use super::connector::{ConnectError, Connector, Destination};
use super::frame::FrameKind;
use super::hello::Credentials;
use super::lane::{Dialer, Lane, LaneError, LaneKind, LinkState};
use super::message::{Reply, encode_claims};
use crate::quiescence::QuietClaim;
use crate::standing::Standing;

/// The lanes to one peer.
pub(crate) struct PeerLink {
    pub(crate) peer: NodeId,
    pub(crate) control: Lane,
    pub(crate) data: Lane,
    address: watch::Sender<String>,
    dialer: Dialer,
    /// When the peer's process last answered a ping.
    heard_at: Mutex<Option<Instant>>,
}

impl PeerLink {
    /// Whether the peer's process has answered within `limit`.
    pub(crate) fn is_answering(&self, limit: Duration) -> bool {
        let heard_at = *self.heard_at.lock();
        *self.state().borrow() == LinkState::Up && heard_at.is_some_and(|at| at.elapsed() < limit)
    }

    /// Asks the peer's process whether it is there.
    pub(crate) async fn ping(&self, limit: Duration) -> Result<(), LaneError> {
        let group = RaftGroupId::METADATA;
        let answer = self.control.send(FrameKind::Ping, group, 0, Bytes::new());
        answer.await?.within(limit).await?;
        *self.heard_at.lock() = Some(Instant::now());
        Ok(())
    }

    /// Tells the peer which groups are quiet, and returns those of which it is not sure.
    pub(crate) async fn claim_quiet(
        &self,
        claims: &[QuietClaim],
        limit: Duration,
    ) -> Result<Vec<RaftGroupId>, LaneError> {
        let (group, body) = (RaftGroupId::METADATA, encode_claims(claims));
        let answer = self.control.send(FrameKind::Quiesce, group, 0, body);
        match Reply::decode(answer.await?.within(limit).await?) {
            Ok(Reply::NotQuiet(groups)) => Ok(groups),
            Ok(_) | Err(_) => Err(LaneError::Broken(self.peer)),
        }
    }

    /// A connection of its own, for requests that are passed on.
    pub(crate) async fn connect(&self) -> Result<Channel, ConnectError> {
        let address = self.address.borrow().clone();
        let to = Destination {
            node: Some(self.peer),
            address: &address,
        };
        self.dialer.connector.connect(to).await
    }

    /// A lane of its own, for a snapshot, and the future that serves it.
    pub(crate) fn snapshot_lane(&self) -> (Lane, impl Future<Output = ()> + Send) {
        Lane::new(self.dialer.clone())
    }

    /// Asks the peer, as a leader, for this node's replica of a group to leave or to come back.
    pub(crate) async fn ask_standing(
        &self,
        kind: FrameKind,
        group: RaftGroupId,
        limit: Duration,
    ) -> Result<Standing, LaneError> {
        let answer = self.control.send(kind, group, 0, Bytes::new()).await?;
        match Reply::decode(answer.within(limit).await?) {
            Ok(Reply::Standing(standing)) => Ok(standing),
            Ok(Reply::Refused(_)) => Ok(Standing::NotLeader),
            Ok(_) | Err(_) => Err(LaneError::Broken(self.peer)),
        }
    }

    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.control.state()
    }
}

/// The links of one node to all others.
pub(crate) struct Links {
    credentials: Arc<Credentials>,
    connector: Arc<dyn Connector>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    links: BTreeMap<NodeId, Arc<PeerLink>>,
    /// The tasks that serve the lanes. They end with the node.
    tasks: JoinSet<()>,
}

impl Links {
    pub(crate) fn new(credentials: Arc<Credentials>, connector: Arc<dyn Connector>) -> Self {
        Self {
            credentials,
            connector,
            inner: Mutex::default(),
        }
    }

    /// Opens links to a peer, or tells the ones that exist that it moved. A new link is returned.
    pub(crate) fn set_address(&self, peer: NodeId, address: &str) -> Option<Arc<PeerLink>> {
        if peer == self.credentials.node {
            return None;
        }
        let mut inner = self.inner.lock();
        if let Some(link) = inner.links.get(&peer) {
            link.address.send_if_modified(|current| {
                let moved = current != address;
                if moved {
                    address.clone_into(current);
                }
                moved
            });
            return None;
        }
        let (sender, receiver) = watch::channel(address.to_owned());
        let dialer = |kind| Dialer {
            peer,
            kind,
            address: receiver.clone(),
            connector: self.connector.clone(),
            credentials: self.credentials.clone(),
        };
        let (control, control_task) = Lane::new(dialer(LaneKind::Control));
        let (data, data_task) = Lane::new(dialer(LaneKind::Data));
        let dialer = dialer(LaneKind::Snapshot);
        inner.tasks.spawn(control_task);
        inner.tasks.spawn(data_task);
        let link = PeerLink {
            peer,
            control,
            data,
            address: sender,
            dialer,
            heard_at: Mutex::new(None),
        };
        let link = Arc::new(link);
        inner.links.insert(peer, link.clone());
        Some(link)
    }

    pub(crate) fn get(&self, peer: NodeId) -> Option<Arc<PeerLink>> {
        self.inner.lock().links.get(&peer).cloned()
    }

    /// Whether a peer's process has answered within `limit`.
    pub(crate) fn is_answering(&self, peer: NodeId, limit: Duration) -> bool {
        self.get(peer).is_some_and(|link| link.is_answering(limit))
    }

    pub(crate) fn all(&self) -> Vec<Arc<PeerLink>> {
        self.inner.lock().links.values().cloned().collect()
    }

    pub(crate) fn remove(&self, peer: NodeId) {
        // Its lanes end when nobody uses them any more.
        self.inner.lock().links.remove(&peer);
    }

    pub(crate) async fn connect_to(&self, address: &str) -> Result<Channel, ConnectError> {
        let to = Destination {
            node: None,
            address,
        };
        self.connector.connect(to).await
    }

    pub(crate) fn close(&self) {
        let mut inner = self.inner.lock();
        inner.links.clear();
        inner.tasks.abort_all();
    }
}
