//! Lists of what all coordinators have, put together from their leaders.

use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_raft::Coordinator;
use flotilla_types::{ErrorCode, NodeId};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::node::Node;
use crate::origin::Origin;

/// How long another node may take to list what it coordinates.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long the coordinators may take to have leaders.
const LIST_LIMIT: Duration = Duration::from_secs(3);
/// How long a leader may take to learn what earlier ones decided.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

/// A list that every leader of coordinators has a part of.
pub(crate) trait Listing: Sized + Send + 'static {
    /// What is asked of another node for its part.
    type Request: Send;

    /// The part of one coordinator, unless this node cannot tell yet.
    fn led(node: &Node, coordinator: &Coordinator) -> Option<Vec<Self>>;

    fn request() -> Self::Request;

    /// Asks another node for the parts of those that it leads.
    fn ask(
        request: Request<Self::Request>,
        channel: Channel,
    ) -> impl Future<Output = Result<Listed<Self>, Status>> + Send;
}

/// The parts of some coordinators.
pub(crate) struct Listed<T> {
    pub(crate) parts: Vec<T>,
    pub(crate) coordinators: usize,
}

impl Node {
    /// The parts of all coordinators as their leaders know them, in no order; only of those that this
    /// node leads for a node that asks.
    pub(crate) async fn list_coordinated<T: Listing>(
        &self,
        origin: &Origin,
    ) -> Result<Listed<T>, ApiError> {
        let deadline = Instant::now() + LIST_LIMIT;
        loop {
            let mut listed = self.list_led().await;
            if origin.local_only() {
                return Ok(listed);
            }
            let peers = self.raft.connected_peers().into_iter();
            let told = join_all(peers.map(|peer| self.ask_for_list(peer))).await;
            for theirs in told {
                let theirs: Listed<T> = theirs;
                listed.parts.extend(theirs.parts);
                listed.coordinators += theirs.coordinators;
            }
            let all = self.state().coordinators().len();
            if listed.coordinators >= all {
                return Ok(listed);
            }
            if Instant::now() + PAUSE >= deadline {
                let message = format!(
                    "{} of the {all} coordinators have no leader that can be reached: try again when \
                     a majority of the nodes is up",
                    all - listed.coordinators
                );
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
            self.refuse_when_stopping()?;
            sleep(PAUSE).await;
        }
    }

    async fn list_led<T: Listing>(&self) -> Listed<T> {
        let mut listed = Listed::default();
        for coordinator in self.coordinators_here() {
            // One that was deposed and does not know it yet would be counted twice.
            let leadership = self.raft.confirmed_leadership(coordinator.raft_group());
            if leadership.and_then(|leadership| leadership.leader) != Some(self.id) {
                continue;
            }
            let settled = timeout(SETTLE_LIMIT, coordinator.wait_settled()).await;
            if !matches!(settled, Ok(Ok(()))) {
                continue;
            }
            if let Some(led) = T::led(self, &coordinator) {
                listed.coordinators += 1;
                listed.parts.extend(led);
            }
        }
        listed
    }

    async fn ask_for_list<T: Listing>(&self, peer: NodeId) -> Listed<T> {
        let Ok(channel) = self.peers.channel(peer).await else {
            return Listed::default();
        };
        let request = Origin::ask_only(T::request(), self.peers.cluster(), ASK_LIMIT);
        T::ask(request, channel).await.unwrap_or_else(|status| {
            let error = self.peers.failed_to_read(peer, &status);
            tracing::debug!(%peer, %error, "a node does not list what it coordinates");
            Listed::default()
        })
    }
}

impl<T> Default for Listed<T> {
    fn default() -> Self {
        Self {
            parts: Vec::new(),
            coordinators: 0,
        }
    }
}
