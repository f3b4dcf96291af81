//! All Raft groups of one node, their links, and the chores between them.

mod departure;
mod peers;
mod quiesce;
mod rebuild;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_storage::{Storage, StorageError};
use flotilla_types::{Lineage, NodeId, RaftGroupId};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::rebuild::{Parked, Stage};
use crate::config::{RaftConfig, RaftConfigError};
use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::groups::{GroupTable, Replica};
use crate::log_store::LogStore;
use crate::machine::{CoordinatorCell, Machine, MetadataCell, PartitionCell, StateMachine};
use crate::metadata::Metadata;
use crate::pace::Pace;
use crate::partition::Partition;
use crate::peer::{Connector, Credentials, Links, NetworkFactory, PeerServer};
use crate::type_config::Raft;

/// How long one group may take to cut its log.
const COMPACTION_LIMIT: Duration = Duration::from_secs(30);
/// A journal write that takes longer than this means a disk that hangs: followers cannot tell,
/// because heartbeats go on, so the node must step down by stopping.
const STALL_LIMIT: Duration = Duration::from_secs(20);

/// Why a group does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenGroupError {
    #[error(transparent)]
    Config(#[from] RaftConfigError),
    #[error("raft group {group} cannot be read from storage")]
    Storage {
        group: RaftGroupId,
        source: StorageError,
    },
    #[error("raft group {group} cannot be recovered: {reason}")]
    Recovery { group: RaftGroupId, reason: String },
}

/// What a group other than the metadata group replicates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupKind {
    Partition,
    Coordinator,
}

/// A group to open and who votes in it. The first replica is the preferred leader.
#[derive(Clone, Debug)]
pub struct GroupSpec {
    pub id: RaftGroupId,
    pub kind: GroupKind,
    pub replicas: Vec<NodeId>,
    /// The group lives on the replicas named, and this node is to get a replica of it.
    pub is_new_member: bool,
}

/// How a replica is after it was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opened {
    Serving,
    /// Its data is damaged. It is being rebuilt from the other replicas.
    Parked,
    /// Its group was removed for good. Whoever asks does not know that yet.
    Removed,
}

/// Whether a replica that finds no trace of its group may bring it to life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Birth {
    Allowed,
    /// The group lives elsewhere; this replica was emptied, or is new.
    Forbidden,
}

/// One node's share of the cluster's Raft groups.
pub struct RaftNode {
    node: NodeId,
    config: RaftConfig,
    storage: Storage,
    groups: Arc<GroupTable>,
    links: Arc<Links>,
    credentials: Arc<Credentials>,
    tasks: Mutex<JoinSet<()>>,
    parked: Parked,
    /// Held while a replica is emptied.
    emptying: tokio::sync::Mutex<()>,
    catch_up: Pace,
    /// Storage has found damaged replicas.
    damage: Arc<Notify>,
    failure: watch::Sender<Option<String>>,
    closing: CancellationToken,
}

impl RaftNode {
    /// Starts without groups. The storage must already know whose it is.
    pub fn start(
        config: RaftConfig,
        storage: Storage,
        identity: flotilla_storage::Identity,
        connector: Arc<dyn Connector>,
    ) -> Arc<Self> {
        let credentials = Arc::new(Credentials::new(
            identity.cluster,
            identity.node,
            identity.lineage,
        ));
        let (failure, _) = watch::channel(None);
        let node = Arc::new(Self {
            node: identity.node,
            catch_up: Pace::new(config.catch_up_bytes_per_second),
            config,
            groups: Arc::default(),
            links: Arc::new(Links::new(credentials.clone(), connector)),
            credentials,
            tasks: Mutex::default(),
            parked: Parked::default(),
            emptying: tokio::sync::Mutex::default(),
            damage: Arc::default(),
            failure,
            closing: CancellationToken::new(),
            storage,
        });
        node.watch_storage();
        node.watch_damage();
        node.watch_refusals();
        node.let_idle_groups_rest();
        let weak = Arc::downgrade(&node);
        let interval = Duration::from_millis(node.config.save_interval_ms);
        node.tasks.lock().spawn(async move {
            let mut ticks = tokio::time::interval(interval);
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                let Some(node) = weak.upgrade() else { return };
                node.do_chores().await;
            }
        });
        node
    }

    pub fn id(&self) -> NodeId {
        self.node
    }

    /// What serves the links of other nodes.
    pub fn peer_server(&self) -> PeerServer {
        PeerServer::new(
            self.groups.clone(),
            self.links.clone(),
            self.credentials.clone(),
            self.config.silence_limit(),
            self.closing.clone(),
        )
    }

    /// The starts of this node that the cluster may know.
    pub fn lineage(&self) -> &Lineage {
        &self.credentials.lineage
    }

    /// Takes note that the cluster has registered this start, so that from now on an older copy of
    /// the data directory is told from it.
    pub async fn note_registered(&self) -> Result<(), StorageError> {
        let storage = self.storage.clone();
        tokio::task::spawn_blocking(move || storage.forget_earlier_starts())
            .await
            .expect("invariant: noting a registration does not panic")
    }

    /// Becomes `Some` when something happened after which the node must not go on.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.failure.subscribe()
    }

    /// Opens this node's replica of the metadata group. With no replicas named it waits until the
    /// group's leader takes it in.
    pub async fn open_metadata(&self, replicas: Vec<NodeId>) -> Result<Metadata, OpenGroupError> {
        let id = RaftGroupId::METADATA;
        let log = self.open_log(id)?;
        let opened = log.clone();
        let cell = tokio::task::spawn_blocking(move || MetadataCell::open(opened));
        let cell = Arc::new(recovered(id, cell.await)?);
        let group = self.build(log, Machine::Metadata(cell.clone())).await?;
        let metadata = Metadata::new(group.clone(), cell);
        self.groups.insert(id, Replica::Metadata(metadata.clone()));
        if !replicas.is_empty() {
            self.bring_to_life(group, replicas);
        }
        Ok(metadata)
    }

    /// Opens this node's replica of a group. One that is damaged is parked, which is no error: the
    /// others serve meanwhile.
    pub async fn open_group(self: &Arc<Self>, spec: GroupSpec) -> Result<Opened, OpenGroupError> {
        // A node that starts goes through its metadata again, and meets groups of which it dropped
        // the data long ago.
        if self.storage.is_removed(spec.id) {
            return Ok(Opened::Removed);
        }
        let noted = self.noted_stage(spec.id).await?;
        if spec.is_new_member && noted.is_none() {
            self.note_newcomer(spec.id).await?;
        }
        let birth = match noted {
            None if spec.is_new_member => Birth::Forbidden,
            None => Birth::Allowed,
            Some(Stage::Newcomer | Stage::Rebuilding) => Birth::Forbidden,
            Some(Stage::Parked) => {
                self.resume_rebuild(spec, Stage::Parked);
                return Ok(Opened::Parked);
            }
        };
        match self.open_replica(&spec, birth).await {
            Ok(()) if noted != Some(Stage::Rebuilding) => {
                // It may have been found damaged in the meantime.
                self.damage.notify_one();
                Ok(Opened::Serving)
            }
            Ok(()) => {
                self.resume_rebuild(spec, Stage::Rebuilding);
                Ok(Opened::Parked)
            }
            Err(_) if self.storage.damaged_groups().contains(&spec.id) => {
                self.park(spec).await;
                Ok(Opened::Parked)
            }
            Err(error) => Err(error),
        }
    }

    async fn open_replica(&self, spec: &GroupSpec, birth: Birth) -> Result<(), OpenGroupError> {
        let log = self.open_log(spec.id)?;
        let opened = log.clone();
        let (group, replica) = match spec.kind {
            GroupKind::Partition => {
                let cell = tokio::task::spawn_blocking(move || PartitionCell::open(opened));
                let cell = Arc::new(recovered(spec.id, cell.await)?);
                let group = self.build(log, Machine::Partition(cell.clone())).await?;
                let partition = Partition::new(group.clone(), cell);
                (group, Replica::Partition(partition))
            }
            GroupKind::Coordinator => {
                let cell = tokio::task::spawn_blocking(move || CoordinatorCell::open(opened));
                let cell = Arc::new(recovered(spec.id, cell.await)?);
                let group = self.build(log, Machine::Coordinator(cell.clone())).await?;
                let coordinator = Coordinator::new(group.clone(), cell);
                (group, Replica::Coordinator(coordinator))
            }
        };
        self.groups.insert(spec.id, replica);
        if birth == Birth::Allowed {
            self.bring_to_life(group, spec.replicas.clone());
        }
        Ok(())
    }

    /// This node's replica of a partition, if it has one that can be used.
    pub fn partition(&self, id: RaftGroupId) -> Option<Partition> {
        if self.is_parked(id) {
            return None;
        }
        match self.groups.get(id)? {
            Replica::Partition(partition) => Some(partition),
            Replica::Metadata(_) | Replica::Coordinator(_) => None,
        }
    }

    /// This node's replica of a coordinator, if it has one that can be used.
    pub fn coordinator(&self, id: RaftGroupId) -> Option<Coordinator> {
        if self.is_parked(id) {
            return None;
        }
        match self.groups.get(id)? {
            Replica::Coordinator(coordinator) => Some(coordinator),
            Replica::Metadata(_) | Replica::Partition(_) => None,
        }
    }

    /// Whether this node has opened its replica of a group.
    pub fn has_opened(&self, id: RaftGroupId) -> bool {
        self.groups.get(id).is_some()
    }

    /// Whether this node's replica is damaged and not yet rebuilt.
    pub fn is_parked(&self, id: RaftGroupId) -> bool {
        self.parked.contains(id)
    }

    /// The replicas of this node that are damaged and not yet rebuilt.
    pub fn parked_replicas(&self) -> Vec<RaftGroupId> {
        self.parked.ids()
    }

    /// The groups other than the metadata group that storage holds data of.
    pub fn stored_groups(&self) -> Vec<RaftGroupId> {
        let groups = self.storage.groups().into_iter();
        groups.filter(|id| *id != RaftGroupId::METADATA).collect()
    }

    /// Stops a group and drops its data for good.
    pub async fn remove_group(&self, id: RaftGroupId) {
        if let Some(replica) = self.groups.remove(id) {
            // A group that has already stopped is as good as one that stops now.
            let _ = replica.group().raft.shutdown().await;
        }
        self.forget_parked(id).await;
        let done = Box::new(move |result: Result<(), StorageError>| {
            if let Err(error) = result {
                tracing::error!(group = %id, %error, "cannot drop the data of a removed group");
            }
        });
        self.storage.remove_group(id, done);
    }

    fn open_log(&self, id: RaftGroupId) -> Result<flotilla_storage::GroupLog, OpenGroupError> {
        let log = self.storage.group(id);
        log.map_err(|source| OpenGroupError::Storage { group: id, source })
    }

    async fn build(
        &self,
        log: flotilla_storage::GroupLog,
        machine: Machine,
    ) -> Result<Group, OpenGroupError> {
        let id = log.id();
        let config = self.config.to_openraft(&format!("raft group {id}"))?;
        let network = NetworkFactory::new(
            id,
            self.links.clone(),
            self.credentials.clone(),
            &self.config,
        );
        let raft = Raft::new(
            self.node.get(),
            Arc::new(config),
            network,
            LogStore::new(log.clone(), self.catch_up.clone()),
            StateMachine::new(machine),
        );
        let raft = raft.await.map_err(|error| OpenGroupError::Recovery {
            group: id,
            reason: error.to_string(),
        })?;
        Ok(Group {
            id,
            node: self.node,
            raft,
            log,
            quiescence: Arc::default(),
            leaving: Arc::default(),
        })
    }

    /// Initialises a group that was never initialised anywhere: the preferred leader at once, so
    /// that it also becomes the first leader; the others only if it does not appear.
    fn bring_to_life(&self, group: Group, replicas: Vec<NodeId>) {
        let preferred = replicas.first() == Some(&self.node);
        let patience = Duration::from_millis(self.config.birth_patience_ms);
        self.tasks.lock().spawn(async move {
            if matches!(group.raft.is_initialized().await, Ok(true) | Err(_)) {
                return;
            }
            if !preferred {
                let led = group.wait_leadership(|leadership| leadership.leader.is_some());
                if tokio::time::timeout(patience, led).await.is_ok() {
                    return;
                }
            }
            let members: BTreeMap<u64, ()> = replicas.iter().map(|id| (id.get(), ())).collect();
            match group.raft.initialize(members).await {
                Ok(()) => tracing::debug!(group = %group.id, "a raft group is born"),
                // Another replica was faster, which is just as well.
                Err(error) => tracing::debug!(group = %group.id, %error, "not initialised here"),
            }
        });
    }

    fn watch_storage(&self) {
        let failure = self.failure.clone();
        self.storage.on_failure(Box::new(move |error| {
            failure.send_replace(Some(format!("storage failed: {}", error.chain())));
        }));
    }

    /// A node that has forgotten its votes and entries must not vote or acknowledge any more.
    fn watch_refusals(&self) {
        let failure = self.failure.clone();
        let mut disowned = self.credentials.disowned();
        self.tasks.lock().spawn(async move {
            if let Ok(reason) = disowned.wait_for(Option::is_some).await {
                failure.send_replace(reason.clone());
            }
        });
    }

    /// What has to be done from time to time: save state, cut logs, notice failures.
    async fn do_chores(&self) {
        let stalled = self.storage.stalled_for();
        if stalled > STALL_LIMIT {
            self.fail(format!(
                "a journal write has been waiting for {} s: the disk hangs",
                stalled.as_secs()
            ));
        }
        for replica in self.groups.all() {
            let group = replica.group();
            if let Some(failure) = group.failure() {
                if self.storage.damaged_groups().contains(&group.id) {
                    self.damage.notify_one();
                    continue;
                }
                self.fail(format!("raft group {} stopped: {failure}", group.id));
            }
            let due = match &replica {
                Replica::Metadata(metadata) => metadata.cell().image_due(),
                Replica::Coordinator(coordinator) => coordinator.cell().image_due(),
                Replica::Partition(partition) => {
                    partition.cell().save();
                    partition.purge_due()
                }
            };
            let Some(up_to) = due else { continue };
            if let Err(error) = group.compact(up_to, COMPACTION_LIMIT).await {
                tracing::warn!(group = %group.id, %error, "cannot cut the log; trying again later");
            } else if let Replica::Partition(partition) = &replica {
                let log_start = partition.trimmed_to();
                partition.cell().forget_purged(up_to, log_start);
            }
        }
    }

    fn fail(&self, reason: String) {
        self.failure.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(reason);
            }
            first
        });
    }

    /// Hands over every leadership, stops all groups and saves their state. Storage stays open.
    pub async fn shutdown(&self, handover_limit: Duration) {
        let replicas = self.groups.all();
        let connected = self.connected_peers();
        let handovers = replicas.iter().filter_map(|replica| {
            let group = replica.group();
            group.leading_term()?;
            let heir = most_advanced(group, &connected)?;
            Some(group.transfer_leader(heir, handover_limit))
        });
        futures::future::join_all(handovers).await;
        for replica in &replicas {
            // A group that has already stopped is as good as one that stops now.
            let _ = replica.group().raft.shutdown().await;
            replica.save();
        }
        self.closing.cancel();
        self.tasks.lock().abort_all();
        self.links.close();
    }
}

/// The connected follower that lacks the fewest entries.
fn most_advanced(group: &Group, connected: &[NodeId]) -> Option<NodeId> {
    let progress = group.progress().into_iter();
    progress
        .filter(|replica| replica.is_voter && connected.contains(&replica.node))
        .filter_map(|replica| Some((replica.entries_behind?, replica.node)))
        .min()
        .map(|(_, node)| node)
}

fn recovered<T>(
    group: RaftGroupId,
    opened: Result<std::io::Result<T>, tokio::task::JoinError>,
) -> Result<T, OpenGroupError> {
    let reason = match opened {
        Ok(Ok(cell)) => return Ok(cell),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    Err(OpenGroupError::Recovery { group, reason })
}
