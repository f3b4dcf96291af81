//! Replicas whose data is damaged: parked at once, then built again from the others.
//!
//! ```text
//!   damage ──► parked ──(the others go on without it)──► emptied ──► rebuilding ──► serving
//!                │                                                    learner, then voter
//!                └── too few others: it stays parked, and nothing is dropped
//! ```
//!
//! A parked replica neither votes nor acknowledges, because it may lack what it once acknowledged.
//! Where it is on its way is stored, so that a restart goes on from there. Its vote is never
//! dropped. A damaged replica of the metadata group stops the node instead: a node cannot serve
//! without it.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use flotilla_storage::Row;
use flotilla_types::{NodeId, RaftGroupId};
use parking_lot::Mutex;

use super::{Birth, GroupKind, GroupSpec, OpenGroupError, RaftNode, most_advanced};
use crate::codec::{DecodeError, FORMAT, Reader};
use crate::groups::Replica;
use crate::log_store::{completion, wait};
use crate::machine::read_row;
use crate::peer::FrameKind;
use crate::rows::parked_key;
use crate::standing::Standing;

/// Pause between two attempts at the next step.
const STEP_PAUSE: Duration = Duration::from_millis(250);
/// The same while the others are too few: until somebody adds a replica.
const STUCK_PAUSE: Duration = Duration::from_secs(5);
/// How long a leader may take to answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How long handing over a leadership may take.
const HANDOVER_LIMIT: Duration = Duration::from_secs(1);

/// Where a damaged replica is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its data is still there, and must not be used.
    Parked,
    /// It is empty, or on its way from empty to complete.
    Rebuilding,
    /// It is not damaged, but came after its group: it never brings the group to life.
    Newcomer,
}

/// The damaged replicas of a node.
#[derive(Default)]
pub(super) struct Parked {
    stages: Mutex<BTreeMap<RaftGroupId, Stage>>,
}

impl Parked {
    pub(super) fn contains(&self, id: RaftGroupId) -> bool {
        self.stages.lock().contains_key(&id)
    }

    pub(super) fn ids(&self) -> Vec<RaftGroupId> {
        self.stages.lock().keys().copied().collect()
    }

    fn stage(&self, id: RaftGroupId) -> Option<Stage> {
        self.stages.lock().get(&id).copied()
    }

    /// The stage before.
    pub(super) fn set(&self, id: RaftGroupId, stage: Option<Stage>) -> Option<Stage> {
        let mut stages = self.stages.lock();
        let before = match stage {
            Some(stage) => stages.insert(id, stage),
            None => stages.remove(&id),
        };
        metrics::gauge!("flotilla_raft_parked_replicas").set(stages.len() as f64);
        before
    }
}

impl RaftNode {
    /// Parks replicas as storage finds them damaged.
    pub(super) fn watch_damage(self: &Arc<Self>) {
        let damage = self.damage.clone();
        self.storage.on_damage(Box::new(move |group, error| {
            // Storage says what it found; what happens now is said where it happens.
            tracing::debug!(%group, error = %error.chain(), "a replica is damaged");
            damage.notify_one();
        }));
        let weak = Arc::downgrade(self);
        let damage = self.damage.clone();
        self.tasks.lock().spawn(async move {
            loop {
                damage.notified().await;
                let Some(node) = weak.upgrade() else { return };
                node.park_damaged().await;
            }
        });
    }

    async fn park_damaged(self: &Arc<Self>) {
        for id in self.storage.damaged_groups() {
            if id == RaftGroupId::METADATA {
                self.fail(
                    "this node's replica of the metadata group is damaged. Move the data directory \
                     away and start the node again under a new node id"
                        .to_owned(),
                );
                return;
            }
            let kind = match self.groups.get(id) {
                Some(Replica::Partition(_)) => GroupKind::Partition,
                Some(Replica::Coordinator(_)) => GroupKind::Coordinator,
                // It is parked already, or will be when it is opened.
                Some(Replica::Metadata(_)) | None => continue,
            };
            let Some(replicas) = self.withdraw(id).await else {
                continue;
            };
            self.park(GroupSpec {
                id,
                kind,
                replicas,
                is_new_member: false,
            })
            .await;
        }
    }

    /// Stops a replica, and says who votes in its group. Others lead from here on.
    pub(super) async fn withdraw(&self, id: RaftGroupId) -> Option<Vec<NodeId>> {
        let replica = self.groups.get(id)?;
        let group = replica.group();
        let voters = group.voters();
        if group.leading_term().is_some()
            && let Some(heir) = most_advanced(group, &self.connected_peers())
        {
            group.transfer_leader(heir, HANDOVER_LIMIT).await;
        }
        self.groups.remove(id);
        // A group that has already stopped is as good as one that stops now.
        let _ = group.raft.shutdown().await;
        replica.close();
        Some(voters)
    }

    /// Keeps a stopped replica from being used, now and after a restart, and begins its rebuild.
    pub(super) async fn park(self: &Arc<Self>, spec: GroupSpec) {
        let before = self.parked.set(spec.id, Some(Stage::Parked));
        if let Err(error) = self.note_stage(spec.id, Some(Stage::Parked)).await {
            tracing::warn!(group = %spec.id, %error, "cannot note that a replica is parked");
        }
        if before.is_none() {
            self.begin_rebuild(spec);
        }
    }

    pub(super) fn resume_rebuild(self: &Arc<Self>, spec: GroupSpec, stage: Stage) {
        self.parked.set(spec.id, Some(stage));
        self.begin_rebuild(spec);
    }

    fn begin_rebuild(self: &Arc<Self>, spec: GroupSpec) {
        let group = spec.id;
        tracing::warn!(%group, "a replica is parked until it is rebuilt");
        let rebuild = rebuild(Arc::downgrade(self), spec);
        self.tasks.lock().spawn(rebuild);
    }

    /// Tries the next step.
    async fn rebuild_step(self: &Arc<Self>, spec: &GroupSpec, stage: Stage) -> Progress {
        match stage {
            Stage::Newcomer => Progress::Finished,
            Stage::Parked => match self.ask_leader(spec, FrameKind::Expel).await {
                Some(Standing::Settled) => self.start_over(spec).await,
                Some(Standing::Needed) => Progress::Stuck,
                _ => Progress::Waits,
            },
            Stage::Rebuilding => match self.ask_leader(spec, FrameKind::Readmit).await {
                Some(Standing::Settled) => match self.note_stage(spec.id, None).await {
                    Ok(()) => Progress::Finished,
                    Err(_) => Progress::Waits,
                },
                _ => Progress::Waits,
            },
        }
    }

    /// Drops what is damaged, and joins in again with nothing.
    async fn start_over(self: &Arc<Self>, spec: &GroupSpec) -> Progress {
        let _turn = self.emptying.lock().await;
        if self.parked.stage(spec.id) != Some(Stage::Parked) {
            // It was dropped in the meantime.
            return Progress::Waits;
        }
        let emptied = async {
            self.empty(spec.id).await?;
            self.note_stage(spec.id, Some(Stage::Rebuilding)).await
        };
        if let Err(error) = emptied.await {
            tracing::warn!(group = %spec.id, %error, "cannot empty a damaged replica");
            return Progress::Waits;
        }
        match self.open_replica(spec, Birth::Forbidden).await {
            Ok(()) => {
                self.parked.set(spec.id, Some(Stage::Rebuilding));
                Progress::Waits
            }
            Err(error) => {
                tracing::warn!(group = %spec.id, %error, "cannot open an emptied replica");
                Progress::Waits
            }
        }
    }

    /// Drops everything of a group that has stopped, except its vote.
    pub(super) async fn empty(&self, id: RaftGroupId) -> std::io::Result<()> {
        let (done, durable) = completion();
        self.storage.reset_group(id, done);
        wait(durable).await
    }

    async fn ask_leader(&self, spec: &GroupSpec, kind: FrameKind) -> Option<Standing> {
        let mut replicas = spec.replicas.iter();
        if replicas.all(|replica| *replica == self.node) {
            return Some(Standing::Needed);
        }
        self.ask_others(spec.id, &spec.replicas, (kind, ANSWER_LIMIT))
            .await
    }

    /// Asks the other replicas until one answers that leads.
    pub(super) async fn ask_others(
        &self,
        group: RaftGroupId,
        replicas: &[NodeId],
        (kind, limit): (FrameKind, Duration),
    ) -> Option<Standing> {
        for other in replicas {
            // There is no link to this node itself.
            let Some(link) = self.links.get(*other) else {
                continue;
            };
            match link.ask_standing(kind, group, limit).await {
                Ok(Standing::NotLeader) => {}
                Ok(standing) => return Some(standing),
                Err(error) => tracing::debug!(%group, %other, %error, "no answer"),
            }
        }
        None
    }

    /// Makes sure that an empty replica never brings its group to life, not even after a restart.
    pub(super) async fn note_newcomer(&self, id: RaftGroupId) -> Result<(), OpenGroupError> {
        if self.is_empty(id) {
            let noted = self.note_stage(id, Some(Stage::Newcomer)).await;
            return noted.map_err(|error| OpenGroupError::Recovery {
                group: id,
                reason: error.to_string(),
            });
        }
        Ok(())
    }

    /// The stage at which a replica was left by an earlier run of the process.
    pub(super) async fn noted_stage(
        &self,
        id: RaftGroupId,
    ) -> Result<Option<Stage>, OpenGroupError> {
        let notes = self.storage.group(RaftGroupId::METADATA);
        let notes = notes.map_err(|source| OpenGroupError::Storage { group: id, source })?;
        let unreadable = |reason: String| OpenGroupError::Recovery { group: id, reason };
        let row = read_row(&notes, parked_key(id)).await;
        let row = row.map_err(|error| unreadable(error.to_string()))?;
        let stage = row.map(decode_stage).transpose();
        stage.map_err(|error| unreadable(error.to_string()))
    }

    pub(super) async fn note_stage(
        &self,
        id: RaftGroupId,
        stage: Option<Stage>,
    ) -> std::io::Result<()> {
        let key = parked_key(id);
        let row = match stage {
            Some(stage) => Row::Put {
                key,
                value: encode_stage(stage),
            },
            None => Row::Delete { key },
        };
        let notes = self.storage.group(RaftGroupId::METADATA);
        let notes = notes.map_err(std::io::Error::other)?;
        let (done, durable) = completion();
        notes.write_rows(None, vec![row], Some(done));
        wait(durable).await
    }

    /// A removed group needs no rebuild.
    pub(super) async fn forget_parked(&self, id: RaftGroupId) {
        self.parked.set(id, None);
        let noted = self.noted_stage(id).await;
        if !matches!(noted, Ok(None))
            && let Err(error) = self.note_stage(id, None).await
        {
            tracing::warn!(group = %id, %error, "cannot drop the note of a removed replica");
        }
    }
}

/// What a step came to.
enum Progress {
    Waits,
    /// Only the other replicas could help, and there are too few.
    Stuck,
    Finished,
}

/// Goes on until the replica serves again, is removed, or the node stops.
async fn rebuild(node: Weak<RaftNode>, spec: GroupSpec) {
    let group = spec.id;
    let mut told = false;
    loop {
        {
            let Some(node) = node.upgrade() else { return };
            let Some(stage) = node.parked.stage(group) else {
                return;
            };
            match node.rebuild_step(&spec, stage).await {
                Progress::Finished => {
                    node.parked.set(group, None);
                    tracing::info!(%group, "a damaged replica was rebuilt and serves again");
                    return;
                }
                Progress::Stuck if !told => {
                    told = true;
                    // After a restart somebody may have mended it by hand, so it is tried again.
                    if let Err(error) = node.note_stage(group, None).await {
                        tracing::warn!(%group, %error, "cannot drop the note of a parked replica");
                    }
                    tracing::error!(
                        %group,
                        replicas = spec.replicas.len(),
                        "a damaged replica cannot be rebuilt, because the other replicas are too \
                         few to go on without it. Nothing of it is dropped; put back the data \
                         directory from a copy, or give up the topic"
                    );
                }
                Progress::Stuck | Progress::Waits => {}
            }
        }
        tokio::time::sleep(if told { STUCK_PAUSE } else { STEP_PAUSE }).await;
    }
}

fn encode_stage(stage: Stage) -> Bytes {
    let number = match stage {
        Stage::Parked => 1,
        Stage::Rebuilding => 2,
        Stage::Newcomer => 3,
    };
    Bytes::copy_from_slice(&[FORMAT, number])
}

fn decode_stage(row: Bytes) -> Result<Stage, DecodeError> {
    let mut reader = Reader::new(row);
    reader.version()?;
    let stage = match reader.u8("a parked replica's stage")? {
        1 => Stage::Parked,
        2 => Stage::Rebuilding,
        3 => Stage::Newcomer,
        value => {
            return Err(DecodeError::Unknown {
                what: "a parked replica's stage",
                value: value.into(),
            });
        }
    };
    reader.finish("a parked replica's note")?;
    Ok(stage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_what_was_noted() {
        for stage in [Stage::Parked, Stage::Rebuilding, Stage::Newcomer] {
            assert_eq!(decode_stage(encode_stage(stage)), Ok(stage));
        }
        assert!(decode_stage(Bytes::from_static(&[FORMAT, 9])).is_err());
        assert!(decode_stage(Bytes::from_static(&[FORMAT])).is_err());
    }
}
