//! One Raft group on this node: what is the same for partitions and for metadata.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_storage::GroupLog;
use flotilla_types::limits::GROUP_COMMAND_BYTES_MAX;
use flotilla_types::{LeaderEpoch, LogIndex, NodeId, RaftGroupId, Term};
use openraft::async_runtime::{Instant, WatchReceiver};
use openraft::errors::{ClientWriteError, ForwardReason};
use openraft::raft::{ClientWriteResult, ReadPolicy, TransferLeaderRequest};
use tokio::sync::{oneshot, watch};

use crate::quiescence::Quiescence;
use crate::standing::{ENTRIES_BEHIND_MAX, Leaving};
use crate::type_config::{
    Callback, Command, CommittedLeaderId, Raft, Reply, StoredMembership, TypeConfig, Vote,
};

/// Who leads a group, as this node knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Leadership {
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
}

/// How far a follower has come, as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaProgress {
    pub node: NodeId,
    /// False while the replica is being built again.
    pub is_voter: bool,
    /// Entries that the follower has not acknowledged; `None` if it never answered.
    pub entries_behind: Option<u64>,
}

impl ReplicaProgress {
    /// Whether it lacks next to nothing.
    pub fn has_caught_up(&self) -> bool {
        self.entries_behind
            .is_some_and(|entries| entries <= ENTRIES_BEHIND_MAX)
    }
}

/// Why a proposal was not applied.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// It was refused before it entered the log.
    #[error("this node does not lead raft group {group}")]
    NotLeader {
        group: RaftGroupId,
        leadership: Leadership,
    },
    /// It was refused before it entered the log: the leader is not sure that it still leads.
    #[error("raft group {group} has no sure leader at the moment")]
    Unsettled { group: RaftGroupId },
    /// It was refused before it entered the log: the links between nodes would not carry it.
    #[error(
        "the request takes {bytes} bytes of the coordinator's log, and {GROUP_COMMAND_BYTES_MAX} is \
         the most"
    )]
    TooLarge { bytes: usize },
    /// It entered this node's log, and another leader's log may or may not hold it.
    #[error("leadership of raft group {group} changed before the outcome was known")]
    ResultUnknown { group: RaftGroupId },
    /// The group has stopped on this node.
    #[error("raft group {group} has stopped")]
    Stopped { group: RaftGroupId },
}

/// A cheap handle.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) id: RaftGroupId,
    pub(crate) node: NodeId,
    pub(crate) raft: Raft,
    pub(crate) log: GroupLog,
    pub(crate) quiescence: Arc<Quiescence>,
    /// Of what this node leads.
    pub(crate) leaving: Arc<Leaving>,
}

impl Group {
    pub(crate) fn leadership(&self) -> Leadership {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        Leadership {
            leader: metrics.current_leader.map(NodeId::new),
            epoch: LeaderEpoch::new(metrics.vote.leader_id.term),
        }
    }

    pub(crate) fn vote(&self) -> Vote {
        self.raft.server_metrics().borrow_watched().vote
    }

    /// Whether this node leads and a majority has answered it within `limit`. A leader that nobody
    /// answers goes on believing in itself until it hears of another one.
    pub(crate) fn is_confirmed_leader(&self, limit: Duration) -> bool {
        if self.leading_term().is_none() {
            return false;
        }
        if self.voters() == [self.node] {
            return true;
        }
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .last_quorum_acked
            .is_some_and(|acked| acked.elapsed() < limit)
    }

    /// The term in which this node leads, if it does.
    pub(crate) fn leading_term(&self) -> Option<Term> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        let leads = metrics.state == openraft::ServerState::Leader
            && metrics.current_leader == Some(self.node.get());
        leads.then(|| Term::new(metrics.vote.leader_id.term))
    }

    /// Waits until a leader is known that `accept` agrees with.
    pub(crate) async fn wait_leadership(
        &self,
        accept: impl Fn(&Leadership) -> bool,
    ) -> Option<Leadership> {
        let mut metrics = self.raft.server_metrics();
        loop {
            let leadership = self.leadership();
            if accept(&leadership) {
                return Some(leadership);
            }
            if metrics.changed().await.is_err() {
                return None;
            }
        }
    }

    /// Waits until a majority confirms that this node leads, and it has applied what was committed
    /// before.
    pub(crate) async fn confirm_leading(&self) -> Result<(), ProposeError> {
        self.require_leading()?;
        let confirmed = self.raft.ensure_linearizable(ReadPolicy::ReadIndex).await;
        let unsettled = |_| ProposeError::Unsettled { group: self.id };
        confirmed.map(drop).map_err(unsettled)
    }

    /// The term, if this node leads; otherwise who does.
    pub(crate) fn require_leading(&self) -> Result<Term, ProposeError> {
        self.leading_term().ok_or_else(|| ProposeError::NotLeader {
            group: self.id,
            leadership: self.leadership(),
        })
    }

    /// Waits until this node, if it leads, has applied everything that earlier leaders committed: an
    /// entry of its own term, that is.
    pub(crate) async fn wait_settled(
        &self,
        mut applied_term: watch::Receiver<Option<Term>>,
    ) -> Result<(), ProposeError> {
        let term = self.require_leading()?;
        let settled = applied_term.wait_for(|applied| *applied >= Some(term));
        let deposed = self.wait_leadership(|now| now.epoch != term.to_leader_epoch());
        let unsettled = ProposeError::Unsettled { group: self.id };
        tokio::select! {
            result = settled => result.map(drop).map_err(|_| unsettled),
            _ = deposed => Err(unsettled),
        }
    }

    /// Queues a command, to be accepted in this leadership only. `on_outcome` runs exactly once,
    /// whether or not anybody still waits.
    pub(crate) async fn propose(
        &self,
        command: Bytes,
        term: Term,
        on_outcome: impl FnOnce(Result<Reply, ProposeError>) + Send + 'static,
    ) {
        self.rouse().await;
        let group = self.clone();
        let callback = Callback(Box::new(move |result: ClientWriteResult<TypeConfig>| {
            on_outcome(group.outcome(result));
        }));
        let write = self
            .raft
            .write(Command(command))
            .with_leader(CommittedLeaderId::new(term.get()))
            .responder(callback);
        if write.await.is_err() {
            tracing::error!(group = %self.id, "the group has stopped");
        }
    }

    /// Proposes a command and waits for what the state machine answers.
    pub(crate) async fn propose_and_wait(&self, command: Bytes) -> Result<Reply, ProposeError> {
        let term = self.require_leading()?;
        let (sender, receiver) = oneshot::channel();
        self.propose(command, term, move |outcome| {
            // Who asked may have given up.
            let _ = sender.send(outcome);
        })
        .await;
        let stopped = ProposeError::Stopped { group: self.id };
        receiver.await.unwrap_or(Err(stopped))
    }

    fn outcome(&self, result: ClientWriteResult<TypeConfig>) -> Result<Reply, ProposeError> {
        match result {
            Ok(response) => Ok(response.data),
            Err(ClientWriteError::ForwardToLeader(forward)) => Err(match forward.reason {
                ForwardReason::NotLeader => ProposeError::NotLeader {
                    group: self.id,
                    leadership: self.leadership(),
                },
                ForwardReason::LeadershipTransfer | ForwardReason::LeaseExpired => {
                    ProposeError::Unsettled { group: self.id }
                }
            }),
            Err(_) => Err(ProposeError::ResultUnknown { group: self.id }),
        }
    }

    /// Hands leadership to another replica and waits until it is there or the limit is over.
    pub(crate) async fn transfer_leader(&self, to: NodeId, limit: Duration) -> bool {
        if self.raft.trigger().transfer_leader(to.get()).await.is_err() {
            return false;
        }
        let there = self.wait_leadership(|leadership| leadership.leader == Some(to));
        matches!(tokio::time::timeout(limit, there).await, Ok(Some(_)))
    }

    /// Ends the loyalty to a leader whose process is gone. One of the others stands for election at
    /// once; they agree on which by the group's number, so that votes do not split and leaders spread.
    pub(crate) async fn succeed(&self, gone: NodeId) {
        let (vote, followed) = {
            let metrics = self.raft.server_metrics();
            let metrics = metrics.borrow_watched();
            (metrics.vote, metrics.current_leader.map(NodeId::new))
        };
        if followed != Some(gone) {
            return;
        }
        let mut heirs = self.voters();
        heirs.retain(|voter| *voter != gone);
        let rank = self.id.get() as usize % heirs.len().max(1);
        let Some(heir) = heirs.get(rank) else { return };
        let request = TransferLeaderRequest::new(vote, heir.get(), None);
        // A refusal means that there is a newer vote already.
        let _ = self.raft.handle_transfer_leader(request).await;
        // The others wake up when they are asked for their votes.
        if *heir == self.node {
            self.wake();
        }
    }

    /// The membership of the last entry that has one, committed or not.
    pub(crate) fn effective_membership(&self) -> StoredMembership {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        StoredMembership::clone(&metrics.membership_config)
    }

    pub(crate) fn voters(&self) -> Vec<NodeId> {
        let metrics = self.raft.server_metrics();
        let metrics = metrics.borrow_watched();
        metrics
            .membership_config
            .voter_ids()
            .map(NodeId::new)
            .collect()
    }

    /// Whether this node and those that fulfil the condition are a majority of the voters.
    pub(crate) fn is_majority(&self, mut has: impl FnMut(NodeId) -> bool) -> bool {
        let voters = self.voters();
        let with = voters
            .iter()
            .filter(|voter| **voter == self.node || has(**voter));
        2 * with.count() > voters.len()
    }

    /// How far the followers are, if this node leads.
    pub(crate) fn progress(&self) -> Vec<ReplicaProgress> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let last = metrics.last_log_index.unwrap_or(0);
        let Some(replication) = &metrics.replication else {
            return Vec::new();
        };
        let voters: BTreeSet<u64> = metrics.membership_config.voter_ids().collect();
        replication
            .iter()
            .map(|(node, matched)| ReplicaProgress {
                node: NodeId::new(*node),
                is_voter: voters.contains(node),
                entries_behind: matched.as_ref().map(|id| last.saturating_sub(id.index)),
            })
            .collect()
    }

    /// Whether a follower lacks next to nothing, if this node leads.
    pub(crate) fn has_caught_up(&self, replica: NodeId) -> bool {
        let mut progress = self.progress().into_iter();
        progress.any(|known| known.node == replica && known.has_caught_up())
    }

    /// What stopped the group, if it has stopped on its own.
    pub(crate) fn failure(&self) -> Option<String> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        match &metrics.running_state {
            Ok(()) | Err(openraft::errors::Fatal::Stopped) => None,
            Err(fatal) => Some(fatal.to_string()),
        }
    }

    /// Takes a new snapshot and purges the log up to it.
    pub(crate) async fn compact(&self, up_to: LogIndex, limit: Duration) -> io::Result<()> {
        let stopped = |_| io::Error::other("the group has stopped");
        self.raft.trigger().snapshot().await.map_err(stopped)?;
        let wait = self.raft.wait(Some(limit));
        wait.metrics(
            |metrics| metrics.snapshot.is_some_and(|id| id.index >= up_to.get()),
            "a snapshot at the purge point",
        )
        .await
        .map_err(io::Error::other)?;
        let trigger = self.raft.trigger();
        trigger.purge_log(up_to.get()).await.map_err(stopped)
    }
}
