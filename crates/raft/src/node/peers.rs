//! The other nodes: where they are, which are gone, and who of them leads.

use flotilla_types::{Incarnation, NodeId, RaftGroupId};
use tonic::transport::Channel;

use super::RaftNode;
use crate::group::Leadership;
use crate::peer::{LinkState, PeerLink};

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

    /// A peer whose process is gone leads nothing any more. Its followers need not sit out the time
    /// for which they are loyal to a silent leader.
    fn watch_peer(&self, link: &PeerLink) {
        let peer = link.peer;
        let mut state = link.state();
        let groups = self.groups.clone();
        self.tasks.lock().spawn(async move {
            loop {
                for awaited in [LinkState::Up, LinkState::Gone] {
                    if state.wait_for(|state| *state == awaited).await.is_err() {
                        return;
                    }
                }
                tracing::info!(%peer, "a node is gone; electing new leaders where it led");
                for replica in groups.all() {
                    replica.group().succeed(peer).await;
                }
            }
        });
    }

    /// A connection of its own to a peer, for requests that are passed on.
    pub async fn connect(&self, peer: NodeId) -> Option<Channel> {
        self.links.get(peer)?.connect().await.ok()
    }

    /// A connection to whichever node listens for its peers at this address.
    pub async fn connect_to(&self, address: &str) -> Option<Channel> {
        self.links.connect_to(address).await.ok()
    }

    /// The peers whose links are up.
    pub fn connected_peers(&self) -> Vec<NodeId> {
        let links = self.links.all().into_iter();
        links
            .filter(|link| *link.state().borrow() == LinkState::Up)
            .map(|link| link.peer)
            .collect()
    }

    /// Who leads a group, for those who only want to know and do not try. Without a majority nobody
    /// learns that a leader is none any more, so this names only a leader that this node hears of
    /// still: itself, if a majority answers, or another node that it has a link to, as it has to a
    /// majority.
    pub fn confirmed_leadership(&self, group: RaftGroupId) -> Option<Leadership> {
        let replica = self.groups.get(group)?;
        let mut leadership = replica.group().leadership();
        leadership.leader = leadership.leader.filter(|leader| {
            if *leader == self.node {
                let limit = self.config.leadership_doubt();
                return replica.group().is_confirmed_leader(limit);
            }
            let connected = self.connected_peers();
            let voters = replica.group().voters();
            let is_heard = |voter: &&NodeId| **voter == self.node || connected.contains(voter);
            let heard_count = voters.iter().filter(is_heard).count();
            connected.contains(leader) && 2 * heard_count > voters.len()
        });
        Some(leadership)
    }
}
