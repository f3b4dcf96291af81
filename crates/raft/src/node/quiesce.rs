//! Lets idle groups stand still, and says again and again to their followers that they do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::time::Duration;

use flotilla_types::{NodeId, RaftGroupId};
use futures::StreamExt;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::RaftNode;
use crate::group::Group;
use crate::quiescence::QuietClaim;

/// How often a node looks through its groups.
const ROUND: Duration = Duration::from_millis(250);
/// A quiet group is claimed anew every so many rounds.
const ROUNDS_BETWEEN_CLAIMS: u32 = 8;
/// A follower of which nobody claims for so long that its group is quiet looks for a leader.
pub(super) const UNCONFIRMED_MAX: Duration = Duration::from_secs(7);
/// Claims that share a message.
const CLAIMS_PER_MESSAGE: usize = 4_096;
/// How long a peer may take to answer claims.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);
/// Groups that are woken at a time.
const WAKING_MAX: usize = 64;

impl RaftNode {
    pub(super) fn let_idle_groups_rest(self: &Arc<Self>) {
        if let Some(idle_limit) = self.config.quiesce_after() {
            let quiescing = run(Arc::downgrade(self), idle_limit);
            self.tasks.lock().spawn(quiescing);
        }
    }
}

/// Runs for as long as the node.
async fn run(node: Weak<RaftNode>, idle_limit: Duration) {
    let mut rounds = interval(ROUND);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch {
        idle_limit,
        idle_since: BTreeMap::new(),
        round: 0,
    };
    loop {
        rounds.tick().await;
        let Some(node) = node.upgrade() else { return };
        watch.look_around(&node).await;
    }
}

/// What was seen in the rounds before.
struct Watch {
    idle_limit: Duration,
    /// The last entry of each idle group that is led here, and since when it is the last.
    idle_since: BTreeMap<RaftGroupId, (u64, Instant)>,
    round: u32,
}

/// A claim that is being made.
struct Pending {
    group: Group,
    claim: QuietClaim,
    followers: Vec<NodeId>,
    /// When it was found to be idle.
    proposals: u64,
}

impl Watch {
    async fn look_around(&mut self, node: &RaftNode) {
        self.round = self.round.wrapping_add(1);
        let claims_anew = self.round.is_multiple_of(ROUNDS_BETWEEN_CLAIMS);
        let reachable = node.answering_peers();
        let (mut pending, mut waking) = (Vec::new(), Vec::new());
        for replica in node.groups.all() {
            let group = replica.group();
            if group.id == RaftGroupId::METADATA {
                continue;
            }
            let proposals = group.proposals();
            let Some((claim, followers)) = group.quiet_claim(&reachable) else {
                self.idle_since.remove(&group.id);
                if group.is_quiet() {
                    if group.leading_term().is_some() {
                        waking.push(group.clone());
                    } else if group.unconfirmed_for() > UNCONFIRMED_MAX {
                        group.wake();
                    }
                }
                continue;
            };
            let is_due = match group.is_quiet() {
                true => claims_anew,
                false => self.has_been_idle(&claim),
            };
            if is_due {
                pending.push(Pending {
                    group: group.clone(),
                    claim,
                    followers,
                    proposals,
                });
            }
        }
        waking.extend(claim_all(node, pending).await);
        wake_leaders(waking).await;
    }

    fn has_been_idle(&mut self, claim: &QuietClaim) -> bool {
        let now = Instant::now();
        let (last, since) = self
            .idle_since
            .entry(claim.group)
            .or_insert((claim.last.index, now));
        if *last != claim.last.index {
            (*last, *since) = (claim.last.index, now);
        }
        now.duration_since(*since) >= self.idle_limit
    }
}

/// Lets those groups rest whose followers agree, and returns those that rest although some do not.
async fn claim_all(node: &RaftNode, pending: Vec<Pending>) -> Vec<Group> {
    let mut by_peer: BTreeMap<NodeId, Vec<QuietClaim>> = BTreeMap::new();
    for one in &pending {
        for follower in &one.followers {
            by_peer
                .entry(*follower)
                .or_default()
                .push(one.claim.clone());
        }
    }
    let asking = by_peer
        .iter()
        .map(|(peer, claims)| refused_by(node, *peer, claims));
    let refused: BTreeSet<_> = futures::future::join_all(asking)
        .await
        .concat()
        .into_iter()
        .collect();
    let mut disputed = Vec::new();
    for one in pending {
        if !refused.contains(&one.group.id) {
            one.group.rest_as_leader(one.proposals);
        } else if one.group.is_quiet() {
            disputed.push(one.group);
        }
    }
    disputed
}

/// The groups that a peer does not agree to be quiet. If it does not answer, those are all.
async fn refused_by(node: &RaftNode, peer: NodeId, claims: &[QuietClaim]) -> Vec<RaftGroupId> {
    let all = |claims: &[QuietClaim]| claims.iter().map(|claim| claim.group).collect::<Vec<_>>();
    let Some(link) = node.links.get(peer) else {
        return all(claims);
    };
    let mut refused = Vec::new();
    for claims in claims.chunks(CLAIMS_PER_MESSAGE) {
        match link.claim_quiet(claims, ANSWER_LIMIT).await {
            Ok(groups) => refused.extend(groups),
            Err(error) => {
                tracing::debug!(%peer, %error, "no answer to what is claimed to be quiet");
                refused.extend(all(claims));
            }
        }
    }
    refused
}

pub(super) async fn wake_leaders(groups: Vec<Group>) {
    futures::stream::iter(groups)
        .for_each_concurrent(WAKING_MAX, async |group| group.wake_as_leader().await)
        .await;
}
