//! The loop of whoever leads coordinators: it ends memberships and ownerships that are silent,
//! distributes partitions when topics come, go or grow, and forgets what nobody needs any more.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flotilla_raft::Coordinator;
use flotilla_state::groups::{CoordinatorCommand, CoordinatorState, JobCommand};
use flotilla_state::metadata::MetadataState;
use flotilla_types::limits::{GROUP_EXPIRY_MS, JOB_EXPIRY_MS};
use flotilla_types::{Generation, GroupId, LeaderEpoch, RaftGroupId, Timestamp, TopicId};
use futures::future::join_all;
use parking_lot::Mutex;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::sessions::{Known, Session};
use crate::groups::rebalance;
use crate::node::Node;

const TICK: Duration = Duration::from_millis(250);
/// Between two looks for groups and jobs that nobody uses any more.
const EXPIRY_INTERVAL: Duration = Duration::from_secs(60);

/// How long one coordinator may take at a time.
const KEEP_LIMIT: Duration = Duration::from_secs(2);

/// What a group's partitions were distributed by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Basis {
    epoch: LeaderEpoch,
    membership_version: u64,
    generation: Generation,
    metadata_version: u64,
}

struct Keeper {
    node: Arc<Node>,
    /// Groups are looked at again only when their members or the metadata have changed.
    distributed: Mutex<HashMap<(RaftGroupId, GroupId), Basis>>,
    /// The leadership, and the version of the metadata, by which deleted topics were forgotten.
    swept: Mutex<HashMap<RaftGroupId, (LeaderEpoch, u64)>>,
}

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let keeper = Keeper {
        node: node.clone(),
        distributed: Mutex::default(),
        swept: Mutex::default(),
    };
    let mut expired_at = Instant::now();
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        let looks_for_idle = expired_at.elapsed() >= EXPIRY_INTERVAL;
        if looks_for_idle {
            expired_at = Instant::now();
        }
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = keeper.keep(looks_for_idle) => {}
        }
    }
}

impl Keeper {
    async fn keep(&self, looks_for_idle: bool) {
        let mut led = self.node.coordinators_here();
        led.retain(Coordinator::is_leader);
        let is_led = |id| led.iter().any(|coordinator| coordinator.raft_group() == id);
        self.node.sessions.keep_led(is_led);
        self.distributed
            .lock()
            .retain(|(coordinator, _), _| is_led(*coordinator));
        // One that cannot get on, for want of a majority, does not hold up the others.
        let kept = led.iter().map(|coordinator| {
            let kept = self.keep_one(coordinator, looks_for_idle);
            timeout(KEEP_LIMIT, kept)
        });
        join_all(kept).await;
    }

    async fn keep_one(&self, coordinator: &Coordinator, looks_for_idle: bool) {
        let epoch = coordinator.leadership().epoch;
        // A leader that has just been elected does not know all members yet.
        if coordinator.wait_settled().await.is_err() {
            return;
        }
        self.end_silent(coordinator, epoch).await;
        self.forget_deleted_topics(coordinator, epoch).await;
        self.distribute(coordinator, epoch).await;
        if looks_for_idle {
            self.forget_idle(coordinator).await;
        }
    }

    async fn end_silent(&self, coordinator: &Coordinator, epoch: LeaderEpoch) {
        let known = coordinator.look(sessions);
        let led = (coordinator.raft_group(), epoch);
        for silent in self.node.sessions.silent(led, known, Instant::now()) {
            propose(coordinator, &expiry(silent, self.node.now())).await;
        }
    }

    async fn forget_idle(&self, coordinator: &Coordinator) {
        let now = self.node.now();
        if coordinator.look(has_empty_group) {
            let idle_ms = GROUP_EXPIRY_MS;
            propose(
                coordinator,
                &CoordinatorCommand::ExpireGroups { now, idle_ms },
            )
            .await;
        }
        if coordinator.look(has_free_job) {
            let idle_ms = JOB_EXPIRY_MS;
            let command = JobCommand::ExpireJobs { now, idle_ms };
            propose(coordinator, &CoordinatorCommand::Job(command)).await;
        }
    }

    async fn forget_deleted_topics(&self, coordinator: &Coordinator, epoch: LeaderEpoch) {
        let metadata = self.node.state();
        let (led, now) = (coordinator.raft_group(), (epoch, metadata.version()));
        if self.swept.lock().get(&led) == Some(&now) {
            return;
        }
        let deleted = coordinator.look(|state| deleted_topics(state, &metadata));
        if deleted.is_empty() {
            self.swept.lock().insert(led, now);
            return;
        }
        // The next look finds out whether it worked.
        let topics = deleted.into_iter().collect();
        propose(coordinator, &CoordinatorCommand::ForgetTopics { topics }).await;
    }

    async fn distribute(&self, coordinator: &Coordinator, epoch: LeaderEpoch) {
        for (id, basis) in self.not_distributed(coordinator, epoch) {
            if rebalance(&self.node, coordinator, &id).await {
                let group = (coordinator.raft_group(), id);
                self.distributed.lock().insert(group, basis);
            }
        }
    }

    fn not_distributed(
        &self,
        coordinator: &Coordinator,
        epoch: LeaderEpoch,
    ) -> Vec<(GroupId, Basis)> {
        let metadata_version = self.node.state().version();
        let led = coordinator.raft_group();
        let mut distributed = self.distributed.lock();
        coordinator.look(|state| {
            distributed.retain(|(coordinator, id), _| {
                let mut group = state.group(id).into_iter();
                *coordinator != led || group.any(|group| !group.members().is_empty())
            });
            let groups = state.groups();
            let populated = groups.filter(|(_, group)| !group.members().is_empty());
            let bases = populated.map(|(id, group)| {
                let basis = Basis {
                    epoch,
                    membership_version: group.membership_version(),
                    generation: group.generation(),
                    metadata_version,
                };
                (id.clone(), basis)
            });
            let is_due =
                |(id, basis): &(GroupId, Basis)| distributed.get(&(led, id.clone())) != Some(basis);
            bases.filter(is_due).collect()
        })
    }
}

async fn propose(coordinator: &Coordinator, command: &CoordinatorCommand) {
    // What is due now is still due at the next tick.
    if let Err(error) = coordinator.propose(command).await {
        tracing::debug!(group = %coordinator.raft_group(), %error, "a coordinator does not get on");
    }
}

fn sessions(state: &CoordinatorState) -> Vec<Known> {
    let members = state.groups().flat_map(|(group, known)| {
        known.members().iter().map(|(member, known)| {
            let session = Session::Member {
                group: group.clone(),
                member: member.clone(),
                joined: known.joined,
            };
            (session, known.session_timeout_ms)
        })
    });
    let owners = state.jobs().jobs().filter_map(|(job, known)| {
        let owner = known.owner.as_ref()?;
        let session = Session::Owner {
            job: job.clone(),
            acquired: owner.acquired,
        };
        Some((session, owner.session_timeout_ms))
    });
    let known = members.chain(owners);
    known
        .map(|(session, timeout_ms)| (session, Duration::from_millis(timeout_ms.into())))
        .collect()
}

/// What ends a session that was silent for too long.
fn expiry(silent: Session, now: Timestamp) -> CoordinatorCommand {
    match silent {
        Session::Member {
            group,
            member,
            joined,
        } => {
            tracing::info!(%group, %member, "a member was silent for too long");
            CoordinatorCommand::Expire {
                group,
                member,
                joined,
                now,
            }
        }
        Session::Owner { job, acquired } => {
            tracing::info!(%job, "the owner of a job was silent for too long");
            CoordinatorCommand::Job(JobCommand::ExpireOwner { job, acquired, now })
        }
    }
}

fn has_free_job(state: &CoordinatorState) -> bool {
    let mut jobs = state.jobs().jobs();
    jobs.any(|(_, job)| job.owner.is_none())
}

fn has_empty_group(state: &CoordinatorState) -> bool {
    let mut groups = state.groups();
    groups.any(|(_, group)| group.members().is_empty())
}

fn deleted_topics(state: &CoordinatorState, metadata: &MetadataState) -> BTreeSet<TopicId> {
    let groups = state.groups();
    let topics = groups.flat_map(|(_, group)| {
        let committed = group.offsets().keys();
        let assigned = group.members().values();
        let assigned = assigned.flat_map(|member| {
            let held = member.held.keys().chain(member.revoked.keys());
            held.chain(&member.awaited)
        });
        committed.chain(assigned).map(|partition| partition.topic)
    });
    let topics: BTreeSet<TopicId> = topics.collect();
    topics
        .into_iter()
        .filter(|topic| metadata.was_deleted(*topic))
        .collect()
}
