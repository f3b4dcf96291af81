//! The other nodes: where they are, which are gone, and who of them leads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use flotilla_types::{Incarnation, NodeId, RaftGroupId};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};
use tonic::transport::Channel;

use super::RaftNode;
use super::quiesce::{self, UNCONFIRMED_MAX};
use crate::config::RaftConfig;
use crate::group::Leadership;
use crate::groups::GroupTable;
use crate::peer::{ConnectError, LinkState, PeerLink};

/// How long the quiet groups of a leader that was away for a moment wait for a word of it.
const RETURN_GRACE: Duration = Duration::from_millis(2_500);

impl RaftNode {
    /// Where another node listens for its peers, and which start of it is registered, if that is
    /// known.
    pub fn set_peer(&self, peer: NodeId, address: &str, registered: Option<Incarnation>) {
        if let Some(registered) = registered {
            self.credentials.expect_start(peer, registered);
        }
        if let Some(link) = self.links.set_address(peer, address) {
            self.watch_peer(&link);
        }
    }

    /// A node that was removed from the cluster: it is not talked to any more, and told why.
    pub fn forget_peer(&self, peer: NodeId) {
        self.credentials.disown(peer);
        self.links.remove(peer);
    }

    /// Notices when the peer's process comes, goes and falls silent.
    fn watch_peer(&self, link: &Arc<PeerLink>) {
        let mut tasks = self.tasks.lock();
        tasks.spawn(watch_state(
            (link.peer, link.state()),
            self.groups.clone(),
            self.config.silence_limit(),
        ));
        tasks.spawn(keep_pinging(
            Arc::downgrade(link),
            self.groups.clone(),
            self.config.clone(),
        ));
    }

    /// A connection of its own to a peer, for requests that are passed on.
    pub async fn connect(&self, peer: NodeId) -> Option<Channel> {
        self.links.get(peer)?.connect().await.ok()
    }

    /// A connection to whichever node listens for its peers at this address.
    pub async fn connect_to(&self, address: &str) -> Result<Channel, ConnectError> {
        self.links.connect_to(address).await
    }

    /// The other nodes of the cluster, whether or not they can be reached.
    pub fn known_peers(&self) -> Vec<NodeId> {
        let links = self.links.all().into_iter();
        links.map(|link| link.peer).collect()
    }

    /// The peers whose links are up.
    pub fn connected_peers(&self) -> Vec<NodeId> {
        let links = self.links.all().into_iter();
        links
            .filter(|link| *link.state().borrow() == LinkState::Up)
            .map(|link| link.peer)
            .collect()
    }

    /// The peers whose processes have answered lately.
    pub(super) fn answering_peers(&self) -> Vec<NodeId> {
        let limit = self.config.leadership_doubt();
        let links = self.links.all().into_iter();
        links
            .filter(|link| link.is_answering(limit))
            .map(|link| link.peer)
            .collect()
    }

    /// Who leads a group, for those who only want to know and do not try. Without a majority nobody
    /// learns that a leader is none any more, so this names only a leader that this node hears of
    /// still: itself, if a majority answers, or another node that it has a link to, as it has to a
    /// majority.
    pub fn confirmed_leadership(&self, group: RaftGroupId) -> Option<Leadership> {
        let replica = self.groups.get(group)?;
        let group = replica.group();
        let mut leadership = group.leadership();
        leadership.leader = leadership.leader.filter(|leader| {
            // Nobody asks the followers of a quiet group; their processes answer for them.
            if *leader == self.node && !group.is_quiet() {
                return group.is_confirmed_leader(self.config.leadership_doubt());
            }
            let heard = match *leader == self.node {
                true => self.answering_peers(),
                false => self.connected_peers(),
            };
            let hears_leader = *leader == self.node || heard.contains(leader);
            hears_leader && group.is_majority(|voter| heard.contains(&voter))
        });
        Some(leadership)
    }
}

/// Follows whether the peer can be reached.
async fn watch_state(
    (peer, mut state): (NodeId, watch::Receiver<LinkState>),
    groups: Arc<GroupTable>,
    silence_limit: Duration,
) {
    let mut was_up = false;
    loop {
        let now = *state.borrow_and_update();
        match now {
            LinkState::Up => {
                was_up = true;
                on_connected(peer, &groups).await;
            }
            LinkState::Gone if was_up => {
                was_up = false;
                on_gone(peer, &groups).await;
                tokio::time::sleep(silence_limit).await;
                on_silent(peer, &groups);
            }
            LinkState::Down | LinkState::Gone => {}
        }
        if state.changed().await.is_err() {
            return;
        }
    }
}

/// A peer that has just started stands for election where it hears of no leader, and one that was
/// away only for a moment may still be the leader that it was. Quiet groups have to say which.
async fn on_connected(peer: NodeId, groups: &GroupTable) {
    let mut led = Vec::new();
    for replica in groups.all() {
        let group = replica.group();
        if !group.is_quiet() {
            continue;
        }
        if group.leading_term().is_some() {
            if group.voters().contains(&peer) {
                led.push(group.clone());
            }
        } else if group.leadership().leader == Some(peer) {
            group.doubt(UNCONFIRMED_MAX.saturating_sub(RETURN_GRACE));
        }
    }
    quiesce::wake_leaders(led).await;
}

/// A peer whose process is gone leads nothing any more. Its followers need not sit out the time
/// for which they are loyal to a silent leader. Groups that somebody waits for come first.
async fn on_gone(peer: NodeId, groups: &GroupTable) {
    tracing::info!(%peer, "a node is gone; electing new leaders where it led");
    let (quiet, busy): (Vec<_>, Vec<_>) = groups
        .all()
        .into_iter()
        .partition(|replica| replica.group().is_quiet());
    for replica in busy.iter().chain(&quiet) {
        replica.group().succeed(peer).await;
    }
}

/// A peer that does not answer may lead nothing any more: quiet groups find out by themselves.
fn on_silent(peer: NodeId, groups: &GroupTable) {
    for replica in groups.all() {
        let group = replica.group();
        if group.is_quiet() && group.leadership().leader == Some(peer) {
            group.wake();
        }
    }
}

/// Until the link is closed.
async fn keep_pinging(link: Weak<PeerLink>, groups: Arc<GroupTable>, config: RaftConfig) {
    let mut pings = interval(config.ping_interval());
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pings.tick().await;
        let Some(link) = link.upgrade() else { return };
        let was_answering = link.is_answering(config.leadership_doubt());
        if let Err(error) = link.ping(config.silence_limit()).await
            && was_answering
        {
            tracing::debug!(peer = %link.peer, %error, "a node does not answer");
            on_silent(link.peer, &groups);
        }
    }
}
