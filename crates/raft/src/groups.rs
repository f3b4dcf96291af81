//! The groups that live on this node, by id.

use std::collections::BTreeMap;

use flotilla_types::RaftGroupId;
use parking_lot::RwLock;

use crate::coordinator::Coordinator;
use crate::group::Group;
use crate::metadata::Metadata;
use crate::partition::Partition;
use crate::type_config::StoredMembership;

/// One replica of this node.
#[derive(Clone)]
pub(crate) enum Replica {
    Metadata(Metadata),
    Partition(Partition),
    Coordinator(Coordinator),
}

impl Replica {
    pub(crate) fn group(&self) -> &Group {
        match self {
            Self::Metadata(metadata) => metadata.group(),
            Self::Partition(partition) => partition.group(),
            Self::Coordinator(coordinator) => coordinator.group(),
        }
    }

    /// The membership as of the last applied entry.
    pub(crate) fn applied_membership(&self) -> StoredMembership {
        match self {
            Self::Metadata(metadata) => metadata.cell().applied().1,
            Self::Partition(partition) => partition.cell().applied().1,
            Self::Coordinator(coordinator) => coordinator.cell().applied().1,
        }
    }

    /// What the replica still has to hand to storage is handed over.
    pub(crate) fn save(&self) {
        if let Self::Partition(partition) = self {
            partition.cell().save();
        }
    }

    /// The replica hands nothing to storage any more.
    pub(crate) fn close(&self) {
        if let Self::Partition(partition) = self {
            partition.cell().close();
        }
    }
}

#[derive(Default)]
pub(crate) struct GroupTable {
    replicas: RwLock<BTreeMap<RaftGroupId, Replica>>,
}

impl GroupTable {
    pub(crate) fn insert(&self, id: RaftGroupId, replica: Replica) {
        self.replicas.write().insert(id, replica);
    }

    pub(crate) fn remove(&self, id: RaftGroupId) -> Option<Replica> {
        self.replicas.write().remove(&id)
    }

    pub(crate) fn get(&self, id: RaftGroupId) -> Option<Replica> {
        self.replicas.read().get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Replica> {
        self.replicas.read().values().cloned().collect()
    }
}
