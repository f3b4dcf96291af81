//! The groups that live on this node, by id.

use std::collections::BTreeMap;

use flotilla_types::RaftGroupId;
use parking_lot::RwLock;

use crate::group::Group;
use crate::metadata::Metadata;
use crate::partition::Partition;
use crate::type_config::Raft;

/// One replica of this node.
#[derive(Clone)]
pub(crate) enum Replica {
    Metadata(Metadata),
    Partition(Partition),
}

impl Replica {
    pub(crate) fn group(&self) -> &Group {
        match self {
            Self::Metadata(metadata) => metadata.group(),
            Self::Partition(partition) => partition.group(),
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

    pub(crate) fn raft(&self, id: RaftGroupId) -> Option<Raft> {
        let replicas = self.replicas.read();
        replicas
            .get(&id)
            .map(|replica| replica.group().raft.clone())
    }

    pub(crate) fn all(&self) -> Vec<Replica> {
        self.replicas.read().values().cloned().collect()
    }
}
