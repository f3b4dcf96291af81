//! The first frame in each direction: who speaks, and whether the other side may listen.

use std::collections::{BTreeMap, BTreeSet};

use bytes::{BufMut, Bytes, BytesMut};
use flotilla_protocol::internal::Hello;
use flotilla_types::{ClusterId, Incarnation, Lineage, NodeId};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::frame::{FrameKind, OutgoingFrame};
use crate::codec::{DecodeError, FORMAT, Reader};

const FORMAT_VERSION: u32 = 2;

/// Who this node is, and what it knows of the others.
pub(crate) struct Credentials {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) lineage: Lineage,
    /// The newest start that each peer has shown or that the metadata group holds of it, with the
    /// earlier ones that it remembered.
    known: Mutex<BTreeMap<NodeId, Lineage>>,
    /// The nodes that were removed from the cluster.
    removed: Mutex<BTreeSet<NodeId>>,
    /// What a peer said when it refused this node for good.
    disowned: watch::Sender<Option<String>>,
}

/// Why a peer is not talked to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HelloError {
    #[error("the peer sent no hello that can be read")]
    Unreadable,
    #[error("the peer speaks format {found}, this node knows up to {FORMAT_VERSION}")]
    Version { found: u32 },
    #[error("the peer belongs to cluster {found}, this node to {expected}")]
    Cluster {
        expected: ClusterId,
        found: ClusterId,
    },
    #[error("node {expected} was expected here, and it says that it is node {found}")]
    Node { expected: NodeId, found: NodeId },
    #[error(
        "node {node} shows {found} but was already seen at {known}, which its data directory does not \
         remember: it was wiped or is an old copy. Give the machine a new node id"
    )]
    OtherPast {
        node: NodeId,
        found: Incarnation,
        known: Incarnation,
    },
    #[error(
        "node {node} was removed from the cluster, which is for ever. Start the machine again with an \
         empty data directory, a new node id and --join"
    )]
    Removed { node: NodeId },
}

impl Credentials {
    pub(crate) fn new(cluster: ClusterId, node: NodeId, lineage: Lineage) -> Self {
        Self {
            cluster,
            node,
            lineage,
            known: Mutex::default(),
            removed: Mutex::default(),
            disowned: watch::channel(None).0,
        }
    }

    /// Becomes `Some` when a peer knows that this node has forgotten what it once promised.
    pub(crate) fn disowned(&self) -> watch::Receiver<Option<String>> {
        self.disowned.subscribe()
    }

    /// Takes note of how a peer ended the greeting.
    pub(crate) fn on_farewell(&self, farewell: &Farewell) {
        if farewell.is_for_good {
            self.disowned.send_replace(Some(farewell.reason.clone()));
        }
    }

    /// Learns which start of a node the metadata group has registered. A peer may have shown a later
    /// one since, but none with another past.
    pub(crate) fn expect_start(&self, node: NodeId, registered: Incarnation) {
        let mut known = self.known.lock();
        let shown = known.get(&node);
        if shown.is_none_or(|shown| !shown.may_follow(registered)) {
            known.insert(node, Lineage::only(registered));
        }
    }

    /// From now on the node is refused.
    pub(crate) fn disown(&self, node: NodeId) {
        self.removed.lock().insert(node);
    }

    pub(crate) fn is_removed(&self, node: NodeId) -> bool {
        self.removed.lock().contains(&node)
    }

    pub(crate) fn hello(&self) -> OutgoingFrame {
        let hello = Hello {
            format_version: FORMAT_VERSION,
            cluster: self.cluster,
            node: self.node,
            lineage: self.lineage.clone(),
        };
        OutgoingFrame::notice(FrameKind::Hello, hello.encode())
    }

    /// Accepts or refuses whoever sent this hello.
    pub(crate) fn check(
        &self,
        body: Bytes,
        expected: Option<NodeId>,
    ) -> Result<NodeId, HelloError> {
        let hello = Hello::decode(body).ok_or(HelloError::Unreadable)?;
        if hello.format_version != FORMAT_VERSION {
            return Err(HelloError::Version {
                found: hello.format_version,
            });
        }
        if hello.cluster != self.cluster {
            return Err(HelloError::Cluster {
                expected: self.cluster,
                found: hello.cluster,
            });
        }
        if let Some(expected) = expected.filter(|expected| *expected != hello.node) {
            return Err(HelloError::Node {
                expected,
                found: hello.node,
            });
        }
        if self.is_removed(hello.node) {
            return Err(HelloError::Removed { node: hello.node });
        }
        let mut known = self.known.lock();
        if let Some(newest) = known.get(&hello.node).map(Lineage::current)
            && !hello.lineage.may_follow(newest)
        {
            return Err(HelloError::OtherPast {
                node: hello.node,
                found: hello.lineage.current(),
                known: newest,
            });
        }
        known.insert(hello.node, hello.lineage);
        Ok(hello.node)
    }
}

/// What a node says that does not talk to its peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Farewell {
    /// The peer must not take part any more.
    is_for_good: bool,
    pub(crate) reason: String,
}

impl Farewell {
    pub(crate) fn encode(&self) -> OutgoingFrame {
        let mut body = BytesMut::new();
        body.put_u8(FORMAT);
        body.put_u8(self.is_for_good.into());
        body.put_slice(self.reason.as_bytes());
        OutgoingFrame::notice(FrameKind::Farewell, body.freeze())
    }

    pub(crate) fn decode(body: Bytes) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(body);
        reader.version()?;
        Ok(Self {
            is_for_good: reader.bool("whether a farewell is for good")?,
            reason: String::from_utf8_lossy(&reader.rest()).into_owned(),
        })
    }
}

impl From<&HelloError> for Farewell {
    fn from(error: &HelloError) -> Self {
        Self {
            is_for_good: matches!(
                error,
                HelloError::OtherPast { .. } | HelloError::Removed { .. }
            ),
            reason: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: NodeId = NodeId::new(2);

    fn here() -> Credentials {
        credentials(1, 1, Lineage::first(1))
    }

    fn credentials(cluster: u8, node: u64, lineage: Lineage) -> Credentials {
        Credentials::new(ClusterId::new([cluster; 16]), NodeId::new(node), lineage)
    }

    fn show(here: &Credentials, lineage: &Lineage) -> Result<NodeId, HelloError> {
        let hello = credentials(1, PEER.get(), lineage.clone()).hello();
        here.check(hello.body.into_bytes(), None)
    }

    #[test]
    fn a_wiped_node_is_refused_under_its_old_id() {
        for lives in 0..3 {
            let here = here();
            let start = |lineage: Lineage, mark| lineage.started_again(mark);
            let before = (0..lives).fold(Lineage::first(7), start);
            assert_eq!(show(&here, &before), Ok(PEER));
            let refused = show(&here, &Lineage::first(8));
            assert!(matches!(refused, Err(HelloError::OtherPast { .. })));
        }
    }

    #[test]
    fn an_old_copy_is_refused_once_the_node_has_started_again() {
        let here = here();
        let copied = Lineage::first(7).registered();
        let original = copied.clone().started_again(8);
        assert_eq!(show(&here, &original), Ok(PEER));
        let mut copy = copied;
        for mark in 9..12 {
            copy = copy.started_again(mark);
            let refused = show(&here, &copy);
            assert!(matches!(refused, Err(HelloError::OtherPast { .. })));
        }
        assert_eq!(show(&here, &original.started_again(12)), Ok(PEER));
    }

    #[test]
    fn what_was_registered_counts_more_than_what_was_shown() {
        let here = here();
        let wiped = Lineage::first(8).started_again(9).started_again(10);
        assert_eq!(show(&here, &wiped), Ok(PEER), "nothing is known yet");
        let registered = Lineage::first(7).registered();
        here.expect_start(PEER, registered.current());
        assert!(show(&here, &wiped).is_err());
        let later = registered.clone().started_again(11);
        assert_eq!(show(&here, &later), Ok(PEER));
        here.expect_start(PEER, registered.current());
        assert!(show(&here, &registered).is_err(), "a later start was seen");
    }

    #[test]
    fn a_node_that_forgot_what_is_only_known_here_may_pass() {
        let here = here();
        let old = Lineage::first(7);
        here.expect_start(PEER, old.current());
        let later = old.started_again(8).registered().started_again(9);
        assert_eq!(show(&here, &later), Ok(PEER));
    }

    #[test]
    fn a_node_learns_that_it_was_wiped() {
        let there = here();
        there.expect_start(PEER, Lineage::first(5).current());
        let wiped = credentials(1, PEER.get(), Lineage::first(6));
        let refused = there
            .check(wiped.hello().body.into_bytes(), None)
            .unwrap_err();
        wiped.on_farewell(&Farewell {
            is_for_good: false,
            reason: "for another reason".to_owned(),
        });
        assert_eq!(*wiped.disowned().borrow(), None);
        wiped.on_farewell(&Farewell::from(&refused));
        assert_eq!(*wiped.disowned().borrow(), Some(refused.to_string()));
    }

    #[test]
    fn a_removed_node_is_refused_and_learns_why() {
        let here = here();
        let peer = credentials(1, PEER.get(), Lineage::first(1));
        assert_eq!(here.check(peer.hello().body.into_bytes(), None), Ok(PEER));
        here.disown(PEER);
        let refused = here
            .check(peer.hello().body.into_bytes(), None)
            .unwrap_err();
        assert_eq!(refused, HelloError::Removed { node: PEER });
        peer.on_farewell(&Farewell::from(&refused));
        assert!(peer.disowned().borrow().is_some());
    }

    #[test]
    fn another_cluster_or_node_is_refused() {
        let here = here();
        let peer = |cluster| {
            let hello = credentials(cluster, 2, Lineage::first(1)).hello();
            hello.body.into_bytes()
        };
        let foreign = here.check(peer(9), None);
        assert!(matches!(foreign, Err(HelloError::Cluster { .. })));
        let other = here.check(peer(1), Some(NodeId::new(3)));
        assert!(matches!(other, Err(HelloError::Node { .. })));
        let garbage = here.check(Bytes::from_static(b"\xff\xff"), None);
        assert_eq!(garbage, Err(HelloError::Unreadable));
    }
}
