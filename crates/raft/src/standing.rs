//! What a leader does for a replica that has to go: take it out of the voters, and, if it is only to
//! be built again, take it back once it has caught up.
//!
//! Invariant: a replica drops its data only after a sure leader has told it that the committed
//! membership does without it. A majority of the remaining voters then has that membership in its
//! log, and with it everything that was ever committed; no majority of any earlier membership can
//! form without one of them. So neither the entries nor the votes that the replica forgets are missed.
//! It has stopped before it asks for the last time, so that nothing that it acknowledges afterwards
//! counts for a later membership.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_types::NodeId;
use openraft::ChangeMembers;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::groups::Replica;
use crate::type_config::StoredMembership;

/// A replica that lacks no more entries than this catches up while it becomes a voter.
pub(crate) const ENTRIES_BEHIND_MAX: u64 = 64;
/// Fewer voters than this cannot agree to go on without one of them.
const VOTERS_MIN: usize = 3;
/// A replica that wants to leave asks again before this is over.
const LEAVING_LIMIT: Duration = Duration::from_secs(2);

/// The replicas that have just asked to be taken out. Whoever moves replicas leaves them out for so
/// long: taken in again at once, they could never drop what they have.
#[derive(Default)]
pub(crate) struct Leaving {
    asked: Mutex<BTreeMap<NodeId, Instant>>,
}

impl Leaving {
    fn note(&self, replica: NodeId) {
        self.asked.lock().insert(replica, Instant::now());
    }

    pub(crate) fn contains(&self, replica: NodeId) -> bool {
        let mut asked = self.asked.lock();
        asked.retain(|_, at| at.elapsed() < LEAVING_LIMIT);
        asked.contains_key(&replica)
    }
}

/// How far a replica is on its way out or back in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Standing {
    /// It is where it asked to be, and that is committed.
    Settled = 1,
    /// It is on its way: ask again.
    Moving = 2,
    /// This node does not lead the group, or is not sure that it does.
    NotLeader = 3,
    /// The others are too few to go on without the replica.
    Needed = 4,
}

impl Standing {
    pub(crate) fn decode(value: u8) -> Option<Self> {
        [Self::Settled, Self::Moving, Self::NotLeader, Self::Needed]
            .into_iter()
            .find(|standing| *standing as u8 == value)
    }
}

impl Replica {
    /// Takes a replica out of the membership.
    pub(crate) async fn expel(&self, replica: NodeId) -> Standing {
        let Some(membership) = self.sure_membership().await else {
            return Standing::NotLeader;
        };
        self.group().leaving.note(replica);
        let id = replica.get();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let change = if voters.contains(&id) {
            if voters.len() < VOTERS_MIN {
                return Standing::Needed;
            }
            ChangeMembers::RemoveVoters(BTreeSet::from([id]))
        } else if membership.get_node(&id).is_some() {
            ChangeMembers::RemoveNodes(BTreeSet::from([id]))
        } else {
            return Standing::Settled;
        };
        self.change_membership(change).await;
        Standing::Moving
    }

    /// Takes a replica in again: as a learner first, and as a voter once it has nearly all.
    pub(crate) async fn readmit(&self, replica: NodeId) -> Standing {
        let Some(membership) = self.sure_membership().await else {
            return Standing::NotLeader;
        };
        let id = replica.get();
        if membership
            .get_joint_config()
            .iter()
            .all(|config| config.contains(&id))
        {
            return Standing::Settled;
        }
        if membership.get_node(&id).is_none() {
            self.change_membership(ChangeMembers::AddNodes([(id, ())].into()))
                .await;
            return Standing::Moving;
        }
        if self.group().has_caught_up(replica) {
            self.change_membership(ChangeMembers::AddVoterIds(BTreeSet::from([id])))
                .await;
        }
        Standing::Moving
    }

    /// The committed membership, if a majority confirms that this node leads.
    pub(crate) async fn sure_membership(&self) -> Option<StoredMembership> {
        self.group().confirm_leading().await.ok()?;
        Some(self.applied_membership())
    }

    /// A change that fails is tried again by whoever wants it.
    pub(crate) async fn change_membership(&self, change: ChangeMembers<u64, ()>) {
        let group = self.group().id;
        self.group().rouse().await;
        match self
            .group()
            .raft
            .change_membership(change.clone(), false)
            .await
        {
            Ok(_) => tracing::info!(%group, ?change, "changed who votes"),
            Err(error) => tracing::debug!(%group, ?change, %error, "cannot change who votes yet"),
        }
    }
}
