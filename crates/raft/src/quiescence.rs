//! Groups in which nothing happens stand still: no timers, no heartbeats, no elections.
//!
//! ```text
//!   leader    awake ──(nothing happened for a while, every follower has all)──► claims
//!             claims ──(every follower that can be reached agrees)──► quiet, and claims it again and again
//!   follower  awake ──(a claim that it agrees with)──► quiet
//!   both      quiet ──(an append, a vote, a refused claim, no claims any more, a node in doubt)──► awake
//! ```
//!
//! What heartbeats would tell of each group, nodes tell of one another: one ping for each pair of
//! nodes says that a process is there, and one message with all claims says in which groups it still
//! leads and has no news. A quiet group is therefore as safe as any other, for all that stands still
//! is timers: who votes, and for whom, stays Raft's business.
//!
//! Two things are decided here for Raft. A quiet replica that hears of its leader refuses to pre-vote
//! for anybody else, because the leader's lease, which would have been the reason, ran out long ago.
//! And the leader of a quiet group proposes nothing before a majority has renewed that lease.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use flotilla_types::{NodeId, RaftGroupId};
use openraft::async_runtime::{Instant as _, WatchReceiver};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

use crate::group::Group;
use crate::type_config::{RaftLogId, Vote};

/// How long a majority may take to renew the lease of a leader that wakes up.
const RENEWAL_LIMIT: Duration = Duration::from_millis(500);

/// What a leader says of a group: this is all there is, and everybody has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuietClaim {
    pub(crate) group: RaftGroupId,
    pub(crate) vote: Vote,
    pub(crate) last: RaftLogId,
}

/// Whether a replica stands still.
pub(crate) struct Quiescence {
    is_quiet: AtomicBool,
    /// Commands that were ever proposed here, whether or not they got into the log.
    proposals: AtomicU64,
    /// When the leader was last heard to claim that the group is quiet. Whoever holds it may change
    /// whether the replica is.
    confirmed_at: Mutex<Instant>,
}

impl Default for Quiescence {
    fn default() -> Self {
        Self {
            is_quiet: AtomicBool::new(false),
            proposals: AtomicU64::new(0),
            confirmed_at: Mutex::new(Instant::now()),
        }
    }
}

impl Group {
    pub(crate) fn is_quiet(&self) -> bool {
        self.quiescence.is_quiet.load(Ordering::SeqCst)
    }

    /// Commands that were proposed here so far.
    pub(crate) fn proposals(&self) -> u64 {
        self.quiescence.proposals.load(Ordering::SeqCst)
    }

    /// The claim that this group is quiet, if this node leads it, nothing is under way in it and a
    /// majority, of which all have everything, is among the nodes that are `reachable`.
    pub(crate) fn quiet_claim(&self, reachable: &[NodeId]) -> Option<(QuietClaim, Vec<NodeId>)> {
        self.leading_term()?;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        // What has stopped goes on saying that it leads.
        metrics.running_state.as_ref().ok()?;
        let last = metrics.last_applied?;
        let replication = metrics.replication.as_ref()?;
        if metrics.last_log_index != Some(last.index) {
            return None;
        }
        let membership = metrics.membership_config.membership();
        let voters: Vec<NodeId> = membership.voter_ids().map(NodeId::new).collect();
        let is_settled =
            membership.get_joint_config().len() == 1 && membership.learner_ids().next().is_none();
        let others = voters.iter().filter(|voter| **voter != self.node);
        let followers: Vec<NodeId> = others
            .filter(|voter| reachable.contains(voter))
            .copied()
            .collect();
        let has_all = |follower: &NodeId| replication.get(&follower.get()) == Some(&Some(last));
        if !is_settled
            || 2 * (followers.len() + 1) <= voters.len()
            || !followers.iter().all(has_all)
        {
            return None;
        }
        let claim = QuietClaim {
            group: self.id,
            vote: metrics.vote,
            last,
        };
        Some((claim, followers))
    }

    /// Lets this leader's replica stand still, unless something was proposed since there were
    /// `proposals`.
    pub(crate) fn rest_as_leader(&self, proposals: u64) {
        self.rest();
        // Whoever proposes counts first and looks second, so one of the two sees the other.
        if self.proposals() != proposals || self.leading_term().is_none() {
            self.wake();
        }
    }

    /// Lets a follower's replica stand still, if it sees what its leader claims.
    pub(crate) fn agree_to_rest(&self, claim: &QuietClaim) -> bool {
        let agrees = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            metrics.vote == claim.vote
                && metrics.last_applied == Some(claim.last)
                && metrics.last_log_index == Some(claim.last.index)
        };
        if agrees {
            self.rest();
        }
        agrees
    }

    fn rest(&self) {
        let mut confirmed_at = self.quiescence.confirmed_at.lock();
        *confirmed_at = Instant::now();
        if !self.quiescence.is_quiet.swap(true, Ordering::SeqCst) {
            self.raft.runtime_config().tick(false);
        }
    }

    /// Lets the timers of this replica run again. A follower that has heard nothing for long stands for
    /// election at once.
    pub(crate) fn wake(&self) {
        if !self.is_quiet() {
            return;
        }
        let _changing = self.quiescence.confirmed_at.lock();
        if self.quiescence.is_quiet.swap(false, Ordering::SeqCst) {
            self.raft.runtime_config().tick(true);
        }
    }

    /// Wakes a leader's replica: its followers hear of it, and it may propose again.
    pub(crate) async fn wake_as_leader(&self) {
        if self.raft.trigger().heartbeat().await.is_err() {
            return;
        }
        self.wake();
        if self.voters() == [self.node] {
            return;
        }
        let mut metrics = self.raft.metrics();
        let renewed = async {
            loop {
                let acked = metrics.borrow_watched().last_quorum_acked;
                let is_fresh = acked.is_some_and(|acked| acked.elapsed() < RENEWAL_LIMIT);
                if is_fresh || metrics.changed().await.is_err() {
                    return;
                }
            }
        };
        // Without a majority the proposal is refused, as it would be in any group.
        let _ = timeout(RENEWAL_LIMIT, renewed).await;
    }

    /// Notes that somebody is about to propose, and makes sure that the group is awake.
    pub(crate) async fn rouse(&self) {
        self.quiescence.proposals.fetch_add(1, Ordering::SeqCst);
        if self.is_quiet() {
            self.wake_as_leader().await;
        }
    }

    /// A quiet follower goes on as if its leader had last been heard that long ago.
    pub(crate) fn doubt(&self, silence: Duration) {
        let heard_at = Instant::now().checked_sub(silence);
        let mut confirmed_at = self.quiescence.confirmed_at.lock();
        *confirmed_at = (*confirmed_at).min(heard_at.unwrap_or(*confirmed_at));
    }

    /// How long ago a quiet group was last said to be quiet.
    pub(crate) fn unconfirmed_for(&self) -> Duration {
        self.quiescence.confirmed_at.lock().elapsed()
    }
}
