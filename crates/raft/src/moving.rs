//! How a leader moves the replicas of its group to other nodes, one step at a time.
//!
//! ```text
//!   learners for those who are new ─► they catch up ─► voters, by joint consensus ─► the others are out
//! ```
//!
//! Each step is worked out anew from the committed membership, so it does not matter who made the one
//! before it, whether that was finished, or whether the wish has changed since.
//!
//! Invariant: the voters become others only when each new one lacks next to nothing, so that the
//! group neither waits for a replica without data nor counts on one. A leader that is to go hands over
//! first.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_types::NodeId;
use openraft::ChangeMembers;

use crate::coordinator::Coordinator;
use crate::groups::Replica;
use crate::metadata::Metadata;
use crate::partition::Partition;
use crate::standing::ENTRIES_BEHIND_MAX;
use crate::type_config::StoredMembership;

/// How long handing over a leadership may take.
const HANDOVER_LIMIT: Duration = Duration::from_secs(2);

/// How far the replicas of a group are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveStep {
    /// They are where they should be, and that is committed.
    Done,
    /// They are on their way.
    Moving {
        /// Entries that the slowest of those that are to vote still lacks; `None` if one of them has
        /// never answered.
        entries_behind: Option<u64>,
    },
    /// This node does not lead the group, or is not sure that it does.
    NotLeader,
}

impl MoveStep {
    /// Nothing is waited for but the change itself.
    const CHANGED: Self = Self::Moving {
        entries_behind: Some(0),
    };
}

/// Where the replicas of a group should be.
struct Wanted<'a> {
    /// The first one is preferred to lead.
    voters: &'a [NodeId],
    /// They get everything and do not vote.
    learners: &'a [NodeId],
}

impl<'a> Wanted<'a> {
    const fn only(voters: &'a [NodeId]) -> Self {
        Self {
            voters,
            learners: &[],
        }
    }

    fn voter_ids(&self) -> BTreeSet<u64> {
        self.voters.iter().map(|node| node.get()).collect()
    }

    fn contains(&self, id: u64) -> bool {
        let mut all = self.voters.iter().chain(self.learners);
        all.any(|node| node.get() == id)
    }

    fn is_met(&self, membership: &StoredMembership) -> bool {
        let configs = membership.get_joint_config();
        configs.len() == 1
            && configs[0] == self.voter_ids()
            && self.others(membership).is_empty()
            && self.missing(membership, |_| false).is_empty()
    }

    /// Learners that nobody wants any more.
    fn others(&self, membership: &StoredMembership) -> BTreeSet<u64> {
        let learners = membership.membership().learner_ids();
        learners.filter(|id| !self.contains(*id)).collect()
    }

    fn missing(
        &self,
        membership: &StoredMembership,
        leaves: impl Fn(NodeId) -> bool,
    ) -> BTreeMap<u64, ()> {
        let all = self.voters.iter().chain(self.learners);
        all.filter(|node| membership.get_node(&node.get()).is_none() && !leaves(**node))
            .map(|node| (node.get(), ()))
            .collect()
    }
}

impl Partition {
    /// Takes the next step to where the replicas should be, if this node leads. The first one is
    /// preferred to lead.
    pub async fn move_replicas(&self, target: &[NodeId]) -> MoveStep {
        Replica::Partition(self.clone())
            .take_step(&Wanted::only(target))
            .await
    }

    /// Whether the replicas are these, as far as this node knows.
    pub fn has_replicas(&self, replicas: &[NodeId]) -> bool {
        Wanted::only(replicas).is_met(&self.group().effective_membership())
    }
}

impl Coordinator {
    /// As [`Partition::move_replicas`].
    pub async fn move_replicas(&self, target: &[NodeId]) -> MoveStep {
        Replica::Coordinator(self.clone())
            .take_step(&Wanted::only(target))
            .await
    }

    /// As [`Partition::has_replicas`].
    pub fn has_replicas(&self, replicas: &[NodeId]) -> bool {
        Wanted::only(replicas).is_met(&self.group().effective_membership())
    }
}

impl Metadata {
    /// As [`Partition::move_replicas`], with those who follow the metadata and do not vote.
    pub async fn move_replicas(&self, voters: &[NodeId], learners: &[NodeId]) -> MoveStep {
        let wanted = Wanted { voters, learners };
        Replica::Metadata(self.clone()).take_step(&wanted).await
    }

    /// As [`Partition::has_replicas`].
    pub fn has_replicas(&self, voters: &[NodeId], learners: &[NodeId]) -> bool {
        Wanted { voters, learners }.is_met(&self.group().effective_membership())
    }
}

impl Replica {
    async fn take_step(&self, wanted: &Wanted<'_>) -> MoveStep {
        let Some(committed) = self.sure_membership().await else {
            return MoveStep::NotLeader;
        };
        if wanted.is_met(&committed) {
            return MoveStep::Done;
        }
        if self.group().effective_membership().log_id() != committed.log_id() {
            // One change at a time.
            return MoveStep::CHANGED;
        }
        let leaves = |node| self.group().leaving.contains(node);
        let missing = wanted.missing(&committed, leaves);
        let others = wanted.others(&committed);
        if !missing.is_empty() || !others.is_empty() {
            let changes = vec![
                ChangeMembers::RemoveNodes(others),
                ChangeMembers::AddNodes(missing),
            ];
            self.change_membership(ChangeMembers::Batch(changes)).await;
            return MoveStep::CHANGED;
        }
        self.change_voters(wanted, &committed).await
    }

    async fn change_voters(&self, wanted: &Wanted<'_>, committed: &StoredMembership) -> MoveStep {
        let target = wanted.voter_ids();
        let configs = committed.get_joint_config();
        let is_joint = configs.len() > 1;
        let lasting = configs.last().cloned().unwrap_or_default();
        if !is_joint && lasting == target {
            // Only who is leaving at the moment is missing.
            return MoveStep::CHANGED;
        }
        if !is_joint {
            let new = wanted.voters.iter();
            let new = new.filter(|node| !lasting.contains(&node.get()));
            let entries_behind = self.entries_behind(new.copied());
            if entries_behind.is_none_or(|entries| entries > ENTRIES_BEHIND_MAX) {
                return MoveStep::Moving { entries_behind };
            }
        }
        // Whoever leads must be among those who vote afterwards.
        let heirs = if is_joint { &lasting } else { &target };
        if !heirs.contains(&self.group().node.get()) {
            let voters: BTreeSet<u64> = committed.voter_ids().collect();
            let prefers_new = wanted
                .voters
                .first()
                .is_some_and(|first| !voters.contains(&first.get()));
            if !is_joint && prefers_new {
                let all = voters.union(&target).copied().collect();
                self.change_membership(ChangeMembers::ReplaceAllVoters(all))
                    .await;
                return MoveStep::CHANGED;
            }
            self.hand_over(wanted.voters, heirs).await;
            return MoveStep::CHANGED;
        }
        let change = match is_joint {
            // Somebody began this, and did not get to its end.
            true => ChangeMembers::AddVoterIds(BTreeSet::new()),
            false => ChangeMembers::ReplaceAllVoters(target),
        };
        self.change_membership(change).await;
        MoveStep::CHANGED
    }

    /// What the last of these lacks, if each has ever answered.
    fn entries_behind(&self, mut replicas: impl Iterator<Item = NodeId>) -> Option<u64> {
        let progress = self.group().progress();
        replicas.try_fold(0, |most, replica| {
            let known = progress.iter().find(|known| known.node == replica)?;
            Some(most.max(known.entries_behind?))
        })
    }

    async fn hand_over(&self, preferred: &[NodeId], heirs: &BTreeSet<u64>) {
        let group = self.group();
        let others = heirs.iter().map(|id| NodeId::new(*id));
        let mut candidates = preferred.iter().copied().chain(others);
        let heir =
            candidates.find(|node| heirs.contains(&node.get()) && group.has_caught_up(*node));
        let Some(heir) = heir else { return };
        if !group.transfer_leader(heir, HANDOVER_LIMIT).await {
            tracing::debug!(group = %group.id, %heir, "the leadership did not move; later again");
        }
    }
}
