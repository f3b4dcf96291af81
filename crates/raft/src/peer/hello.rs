//! The first frame in each direction: who speaks, and whether the other side may listen.

use std::collections::BTreeMap;

use bytes::Bytes;
use flotilla_protocol::internal::{Hello, v1};
use flotilla_types::{ClusterId, Incarnation, NodeId};
use parking_lot::Mutex;
use tokio::sync::watch;
use tonic::{Code, Status};

const FORMAT_VERSION: u32 = 1;
/// How a greeting ends that shows an old incarnation. Nothing else ends like this.
const DISOWNED: Code = Code::PermissionDenied;

/// Who this node is, and what it knows of the others.
pub(crate) struct Credentials {
    pub(crate) cluster: ClusterId,
    pub(crate) node: NodeId,
    pub(crate) incarnation: Incarnation,
    /// The newest incarnation that each peer has shown or that the metadata group holds of it.
    known: Mutex<BTreeMap<NodeId, Incarnation>>,
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
    #[error("node {expected} was expected at this address, node {found} answered")]
    Node { expected: NodeId, found: NodeId },
    #[error(
        "node {node} shows {found} but was already seen at {known}: its data directory was wiped or \
         is an old copy. Give the machine a new node id"
    )]
    OldIncarnation {
        node: NodeId,
        found: Incarnation,
        known: Incarnation,
    },
}

impl Credentials {
    pub(crate) fn new(cluster: ClusterId, node: NodeId, incarnation: Incarnation) -> Self {
        Self {
            cluster,
            node,
            incarnation,
            known: Mutex::default(),
            disowned: watch::channel(None).0,
        }
    }

    /// Becomes `Some` when a peer knows that this node has forgotten what it once promised.
    pub(crate) fn disowned(&self) -> watch::Receiver<Option<String>> {
        self.disowned.subscribe()
    }

    /// Takes note of how a peer ended the greeting.
    pub(crate) fn on_refused(&self, status: &Status) {
        if status.code() == DISOWNED {
            self.disowned
                .send_replace(Some(status.message().to_owned()));
        }
    }

    /// Learns what a node was when the metadata group registered it. A peer may have shown a later
    /// start since, but no other directory.
    pub(crate) fn expect_incarnation(&self, node: NodeId, registered: Incarnation) {
        let mut known = self.known.lock();
        let newest = known.entry(node).or_insert(registered);
        if !newest.may_follow(registered) {
            *newest = registered;
        }
    }

    pub(crate) fn hello(&self) -> v1::Frame {
        let hello = Hello {
            format_version: FORMAT_VERSION,
            cluster: self.cluster,
            node: self.node,
            incarnation: self.incarnation,
        };
        v1::Frame {
            body: hello.encode(),
        }
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
        let mut known = self.known.lock();
        let newest = known.entry(hello.node).or_insert(hello.incarnation);
        if !hello.incarnation.may_follow(*newest) {
            return Err(HelloError::OldIncarnation {
                node: hello.node,
                found: hello.incarnation,
                known: *newest,
            });
        }
        *newest = hello.incarnation;
        Ok(hello.node)
    }
}

impl From<HelloError> for Status {
    fn from(error: HelloError) -> Self {
        let code = match error {
            HelloError::OldIncarnation { .. } => DISOWNED,
            HelloError::Unreadable
            | HelloError::Version { .. }
            | HelloError::Cluster { .. }
            | HelloError::Node { .. } => Code::FailedPrecondition,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn credentials(cluster: u8, node: u64, incarnation: u64) -> Credentials {
        Credentials::new(
            ClusterId::new([cluster; 16]),
            NodeId::new(node),
            Incarnation::new(incarnation),
        )
    }

    #[test]
    fn a_wiped_node_is_refused_under_its_old_id() {
        let here = credentials(1, 1, 1);
        let before = credentials(1, 2, 5).hello().body;
        let wiped = credentials(1, 2, 1).hello().body;
        assert_eq!(here.check(before, None), Ok(NodeId::new(2)));
        let refused = here.check(wiped, None);
        assert!(matches!(refused, Err(HelloError::OldIncarnation { .. })));
    }

    #[test]
    fn a_node_that_was_wiped_in_its_first_life_is_refused_too() {
        let show = |directory| credentials(1, 2, Incarnation::first(directory).get());
        let here = credentials(1, 1, 1);
        assert!(here.check(show(7).hello().body, None).is_ok());
        let refused = here.check(show(8).hello().body, None);
        assert!(matches!(refused, Err(HelloError::OldIncarnation { .. })));
    }

    #[test]
    fn what_was_registered_counts_more_than_what_was_shown() {
        let here = credentials(1, 1, 1);
        let registered = Incarnation::first(7);
        let show = |incarnation: Incarnation| {
            let body = credentials(1, 2, incarnation.get()).hello().body;
            here.check(body, None).is_ok()
        };
        assert!(show(Incarnation::first(8)));
        here.expect_incarnation(NodeId::new(2), registered);
        assert!(!show(Incarnation::first(8)));
        assert!(show(registered.next()));
        here.expect_incarnation(NodeId::new(2), registered);
        assert!(!show(registered), "a later start was seen");
    }

    #[test]
    fn a_node_learns_that_it_was_wiped() {
        let there = credentials(1, 1, 1);
        let node = NodeId::new(2);
        there.expect_incarnation(node, Incarnation::new(5));
        let wiped = credentials(1, 2, 1);
        let refused = there.check(wiped.hello().body, None).unwrap_err();
        wiped.on_refused(&Status::failed_precondition("for another reason"));
        assert_eq!(*wiped.disowned().borrow(), None);
        wiped.on_refused(&refused.clone().into());
        assert_eq!(*wiped.disowned().borrow(), Some(refused.to_string()));
    }

    #[test]
    fn another_cluster_or_node_is_refused() {
        let here = credentials(1, 1, 1);
        let foreign = here.check(credentials(9, 2, 1).hello().body, None);
        assert!(matches!(foreign, Err(HelloError::Cluster { .. })));
        let other = here.check(credentials(1, 2, 1).hello().body, Some(NodeId::new(3)));
        assert!(matches!(other, Err(HelloError::Node { .. })));
        let garbage = here.check(Bytes::from_static(b"\xff\xff"), None);
        assert_eq!(garbage, Err(HelloError::Unreadable));
    }
}
