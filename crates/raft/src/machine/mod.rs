//! openraft's state machine, in front of our pure ones.
//!
//! Applying changes memory only. Rows follow through storage, which holds them back until the
//! journal covers the entries that they come from: a crash can lose rows, which are then computed
//! again from the log, but never leaves rows of entries that are gone.

mod opening;
mod partition;
mod small;

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_storage::GroupLog;
use futures::{Stream, StreamExt};
use openraft::entry::RaftPayload;
use openraft::storage::{EntryResponder, RaftSnapshotBuilder, RaftStateMachine};

pub(crate) use partition::{IndexBound, OldestKept, PartitionCell, Published};
pub(crate) use small::{CoordinatorCell, MetadataCell};

use crate::log_store::Gaps;
use crate::rows::Image;
use crate::type_config::{
    Payload, RaftLogId, Reply, Snapshot, SnapshotData, SnapshotMeta, StoredMembership, TypeConfig,
};

/// What a group replicates.
#[derive(Clone)]
pub(crate) enum Machine {
    Partition(Arc<PartitionCell>),
    Metadata(Arc<MetadataCell>),
    Coordinator(Arc<CoordinatorCell>),
}

impl Machine {
    pub(crate) fn applied(&self) -> (Option<RaftLogId>, StoredMembership) {
        match self {
            Self::Partition(cell) => cell.applied(),
            Self::Metadata(cell) => cell.applied(),
            Self::Coordinator(cell) => cell.applied(),
        }
    }

    fn apply(&self, id: RaftLogId, payload: &Payload) -> io::Result<Reply> {
        match self {
            Self::Partition(cell) => cell.apply(id, payload),
            Self::Metadata(cell) => cell.apply(id, payload),
            Self::Coordinator(cell) => cell.apply(id, payload),
        }
    }

    /// Tells readers what was applied, and storage what it may seal and keep.
    fn publish(&self) {
        match self {
            Self::Partition(cell) => cell.publish(),
            Self::Metadata(cell) => cell.publish(),
            Self::Coordinator(cell) => cell.publish(),
        }
    }

    /// The image that a follower needs in place of purged entries, durable before it is returned.
    async fn build_image(&self) -> io::Result<Image> {
        match self {
            Self::Partition(cell) => cell.build_checkpoint().await,
            Self::Metadata(cell) => cell.build_image().await,
            Self::Coordinator(cell) => cell.build_image().await,
        }
    }

    async fn current_image(&self) -> io::Result<Option<Image>> {
        match self {
            Self::Partition(cell) => cell.current_checkpoint().await,
            Self::Metadata(cell) => Ok(cell.current_image()),
            Self::Coordinator(cell) => Ok(cell.current_image()),
        }
    }

    async fn install(&self, image: Image) -> io::Result<()> {
        match self {
            Self::Partition(cell) => cell.install(image).await,
            Self::Metadata(cell) => cell.install(image).await,
            Self::Coordinator(cell) => cell.install(image).await,
        }
    }
}

/// The state machine that openraft drives: one per group.
pub(crate) struct StateMachine {
    machine: Machine,
    /// The conformance suite also applies samples of a log.
    gaps: Gaps,
}

impl StateMachine {
    pub(crate) fn new(machine: Machine) -> Self {
        Self {
            machine,
            gaps: Gaps::Refused,
        }
    }

    #[cfg(test)]
    pub(crate) fn with_gaps(machine: Machine) -> Self {
        Self {
            machine,
            gaps: Gaps::Allowed,
        }
    }
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = SnapshotData;
    type SnapshotBuilder = ImageBuilder;

    async fn applied_state(&mut self) -> io::Result<(Option<RaftLogId>, StoredMembership)> {
        Ok(self.machine.applied())
    }

    async fn apply<S>(&mut self, mut entries: S) -> io::Result<()>
    where
        S: Stream<Item = io::Result<EntryResponder<TypeConfig>>> + Unpin + Send,
    {
        let mut replies = Vec::new();
        let (mut applied, _) = self.machine.applied();
        while let Some(entry) = entries.next().await {
            let (entry, responder) = entry?;
            if self.gaps == Gaps::Refused {
                check_continuity(applied, entry.log_id)?;
            }
            applied = Some(entry.log_id);
            let reply = self.machine.apply(entry.log_id, &entry.payload)?;
            if let Some(responder) = responder {
                replies.push((responder, reply));
            }
        }
        // Readers learn of the records before their producers do: who was told that a record is
        // stored can read it at once.
        self.machine.publish();
        for (responder, reply) in replies {
            responder.send(reply);
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> ImageBuilder {
        ImageBuilder {
            machine: self.machine.clone(),
        }
    }

    async fn install_snapshot(
        &mut self,
        meta: &SnapshotMeta,
        snapshot: SnapshotData,
    ) -> io::Result<()> {
        let image = Image::decode(snapshot.into_inner()).map_err(io::Error::other)?;
        if image.applied != meta.last_log_id {
            return Err(io::Error::other(
                "the snapshot's image and its description name different entries",
            ));
        }
        self.machine.install(image).await
    }

    async fn get_current_snapshot(&mut self) -> io::Result<Option<Snapshot>> {
        Ok(self.machine.current_image().await?.map(to_snapshot))
    }
}

/// Builds a snapshot without holding up the state machine.
pub(crate) struct ImageBuilder {
    machine: Machine,
}

impl RaftSnapshotBuilder<TypeConfig> for ImageBuilder {
    type SnapshotData = SnapshotData;

    async fn build_snapshot(&mut self) -> io::Result<Snapshot> {
        Ok(to_snapshot(self.machine.build_image().await?))
    }
}

fn to_snapshot(image: Image) -> Snapshot {
    Snapshot {
        meta: SnapshotMeta {
            last_log_id: image.applied,
            last_membership: image.membership.clone(),
        },
        snapshot: SnapshotData::new(image.encode()),
    }
}

/// The membership in an entry, as the state machine keeps it.
fn stored_membership(id: RaftLogId, payload: &Payload) -> Option<StoredMembership> {
    let membership = payload.get_membership()?;
    Some(StoredMembership::new(Some(id), membership))
}

/// openraft hands over entries one after the other; a gap would silently skip records.
fn check_continuity(applied: Option<RaftLogId>, next: RaftLogId) -> io::Result<()> {
    let expected = applied.map_or(0, |id| id.index + 1);
    if next.index == expected {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "entry {} was to be applied where {expected} comes next",
        next.index
    )))
}

/// Reads one row on a thread that may block.
pub(crate) async fn read_row(log: &GroupLog, key: Vec<u8>) -> io::Result<Option<Bytes>> {
    let log = log.clone();
    let row = tokio::task::spawn_blocking(move || log.row(&key))
        .await
        .map_err(io::Error::other)?;
    Ok(row.map_err(io::Error::other)?.map(Bytes::from))
}
