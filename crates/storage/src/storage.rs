//! The store of one node: opening, groups, health, closing.

use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{ClusterId, Lineage, NodeId, RaftGroupId};
use parking_lot::Mutex;

use crate::config::StorageConfig;
use crate::damage::DamageListener;
use crate::engine::Engine;
use crate::entry::Completion;
use crate::error::{OpenError, StorageError};
use crate::group::GroupLog;
use crate::identity::Identity;
use crate::open;
use crate::seams::Seams;
use crate::tables::{Change, Durability, RowFamily, keys, values};
use crate::trouble::SealingTrouble;
use crate::usage::Usage;
use crate::workers::Workers;
use crate::write_pressure::{PressureListener, WritePressure};

/// Cheap handle to the store of one data directory.
///
/// A store that is dropped without [`Storage::close`] loses nothing that was acknowledged, but its
/// threads go on and keep the directory until the process ends.
#[derive(Clone)]
pub struct Storage {
    pub(crate) engine: Arc<Engine>,
    workers: Arc<Mutex<Workers>>,
}

impl Storage {
    /// Takes the directory, recovers what it holds and starts the threads. Waits for the disk.
    pub fn open(config: StorageConfig, seams: Seams) -> Result<Self, OpenError> {
        let (engine, writer) = open::open(config, &seams)?;
        let workers = Workers::start(&engine, writer, seams.threads)?;
        Ok(Self {
            engine,
            workers: Arc::new(Mutex::new(workers)),
        })
    }

    /// Whose directory this is; `None` for a fresh one.
    pub fn identity(&self) -> Option<Identity> {
        self.engine.identity.lock().clone()
    }

    /// Makes a fresh directory this node's own, or notes one more start of the node that it belongs
    /// to. Durable when it returns.
    pub fn adopt_identity(
        &self,
        cluster: ClusterId,
        node: NodeId,
    ) -> Result<Identity, StorageError> {
        let mut identity = self.engine.identity.lock();
        let lineage = match identity.as_ref() {
            None => Lineage::first(self.engine.random),
            Some(found) if (found.cluster, found.node) == (cluster, node) => {
                found.lineage.clone().started_again(self.engine.random)
            }
            Some(found) => {
                return Err(StorageError::ForeignDirectory {
                    found: found.clone(),
                });
            }
        };
        let adopted = Identity {
            cluster,
            node,
            lineage,
        };
        self.store_identity(&adopted)?;
        Ok(identity.insert(adopted).clone())
    }

    /// Forgets the starts before this one: the cluster has registered it, so it never asks for an
    /// earlier one again. Durable when it returns.
    pub fn forget_earlier_starts(&self) -> Result<(), StorageError> {
        let mut identity = self.engine.identity.lock();
        let Some(found) = identity.as_mut() else {
            return Ok(());
        };
        let lineage = found.lineage.registered();
        if lineage != found.lineage {
            let changed = Identity {
                lineage,
                ..found.clone()
            };
            self.store_identity(&changed)?;
            *found = changed;
        }
        Ok(())
    }

    fn store_identity(&self, identity: &Identity) -> Result<(), StorageError> {
        let value = values::encode_identity(identity);
        let change = Change::Put(RowFamily::System, keys::identity(), value);
        Ok(self.engine.tables.write(&[change], Durability::Synced)?)
    }

    /// The log and the rows of a group, which begins to exist with its first vote or entry.
    pub fn group(&self, id: RaftGroupId) -> Result<GroupLog, StorageError> {
        let sealed = {
            let mut groups = self.engine.groups.lock();
            if groups.removed.contains(&id) {
                return Err(StorageError::Removed(id));
            }
            groups.open(id)
        };
        match sealed.missing() {
            Some(index) => Err(StorageError::MissingEntry { group: id, index }),
            None => Ok(GroupLog::new(Arc::clone(&self.engine), sealed)),
        }
    }

    /// Whether the group was removed, which is for ever.
    pub fn is_removed(&self, id: RaftGroupId) -> bool {
        self.engine.groups.lock().removed.contains(&id)
    }

    /// Every group that has stored state and was not removed.
    pub fn groups(&self) -> Vec<RaftGroupId> {
        self.engine.group_ids()
    }

    /// Removes a group for ever; its number is never used again. When `done` is called the group
    /// stays removed whatever happens, and its data goes in the background.
    pub fn remove_group(&self, id: RaftGroupId, done: Completion) {
        self.engine.remove_group(id, done);
    }

    /// Makes a group's log as if it never had an entry: its entries, its purge point and its rows go,
    /// and the log begins at 0 or 1 again. The vote stays, because a replica votes once in a term. It
    /// also opens a group of which entries are damaged or missing.
    ///
    /// Handles see an empty log at once, but rows until `done` is called. Then the reset is durable,
    /// and a crash before that leaves the group as it was or reset, and nothing in between. Whoever
    /// uses the group must have stopped: what they would still append, apply or store would count in
    /// the new log.
    pub fn reset_group(&self, id: RaftGroupId, done: Completion) {
        self.engine.reset_group(id, done);
    }

    /// Calls back when stored entries of a group turn out to be damaged or missing, once per group
    /// until it is reset; at once for those that are known. The rest of the node is not concerned,
    /// but this replica must neither vote nor acknowledge before it is rebuilt.
    ///
    /// It is called where the damage was met: by a read, the sealer, the scrub or at the start. It must
    /// not block.
    pub fn on_damage(&self, callback: DamageListener) {
        self.engine.damage.listen(callback);
    }

    /// The groups whose damage was reported and that were not reset since.
    pub fn damaged_groups(&self) -> Vec<RaftGroupId> {
        self.engine.damage.groups()
    }

    pub fn usage(&self) -> Usage {
        self.engine.usage()
    }

    /// Whether there is room for records of producers.
    pub fn accepts_writes(&self) -> bool {
        self.write_pressure() == WritePressure::None
    }

    /// Why producers have to wait, if they have to. It is a look at a number, and ends by itself.
    ///
    /// As long as producers are held back, the journal stays within twice its budget, provided that
    /// what they have under way takes less than a third of the budget. What comes from elsewhere (votes,
    /// replication to followers) is not held back and may take it further.
    pub fn write_pressure(&self) -> WritePressure {
        self.engine.pressure.present()
    }

    /// Calls back with the present pressure at once, and with every other one from when it begins. It is
    /// called under a lock: it must neither block nor call the store.
    pub fn on_write_pressure(&self, callback: PressureListener) {
        self.engine.pressure.listen(callback);
    }

    /// Calls back once when storage has failed in a way that the node must not survive, at once if it
    /// has failed already.
    pub fn on_failure(&self, callback: Box<dyn FnOnce(&StorageError) + Send>) {
        self.engine.failure.listen(callback);
    }

    /// Since when sealing has been failing, and why; `None` when it works. Nothing is lost by that, but
    /// the journal grows, and in the end producers have to wait.
    pub fn sealing_trouble(&self) -> Option<SealingTrouble> {
        self.engine.sealing_trouble()
    }

    /// How long the oldest unfinished write has been waiting; zero when nothing waits.
    pub fn stalled_for(&self) -> Duration {
        self.engine.stalled_for()
    }

    /// Makes everything durable, ends the threads and gives the directory back. Waits for the disk.
    /// Every later change fails with [`StorageError::Closed`].
    pub fn close(&self) {
        self.workers.lock().stop(&self.engine);
    }

    /// Does what the threads would do now, and says whether there was anything. For stores that were
    /// opened with [`Threads::Stepped`](crate::Threads::Stepped); others have nothing left to do.
    pub fn step(&self) -> bool {
        self.workers.lock().step()
    }
}
