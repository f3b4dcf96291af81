//! The parts of an open store and what they share. Handles, threads and the sealer each hold one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::Mutex;

use crate::chores::{Chore, Chores};
use crate::clock::MonotonicClock;
use crate::config::StorageConfig;
use crate::damage::Damage;
use crate::disk::Disk;
use crate::entry::Completion;
use crate::error::StorageError;
use crate::failure::Failure;
use crate::identity::Identity;
use crate::journal::Journal;
use crate::life::Life;
use crate::rows::{RowQueue, RowWork};
use crate::scrub::ScrubMeter;
use crate::sealed::SealedLog;
use crate::space::Space;
use crate::tables::{Change, Durability, RowFamily, Tables, TablesError, keys, values};
use crate::trouble::{SealingTrouble, Trouble};
use crate::usage::Usage;
use crate::write_pressure::PressureGauge;

pub(crate) struct Engine {
    pub(crate) config: StorageConfig,
    pub(crate) disk: Arc<dyn Disk>,
    pub(crate) clock: Arc<dyn MonotonicClock>,
    pub(crate) journal: Journal,
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) groups: Mutex<Groups>,
    pub(crate) identity: Mutex<Option<Identity>>,
    /// Drawn for this start.
    pub(crate) random: u32,
    pub(crate) rows: Arc<RowQueue>,
    pub(crate) chores: Arc<Chores>,
    pub(crate) failure: Arc<Failure>,
    pub(crate) space: Space,
    pub(crate) pressure: Arc<PressureGauge>,
    /// Groups whose stored entries are damaged or missing.
    pub(crate) damage: Damage,
    pub(crate) scrub: ScrubMeter,
    pub(crate) trouble: Trouble,
    /// Bytes that went to segments and leftovers since the start.
    pub(crate) sealed_bytes_written: AtomicU64,
}

/// The groups of this node, with those that are gone for ever.
#[derive(Default)]
pub(crate) struct Groups {
    pub(crate) present: HashMap<RaftGroupId, Arc<SealedLog>>,
    pub(crate) removed: HashSet<RaftGroupId>,
}

impl Groups {
    pub(crate) fn open(&mut self, id: RaftGroupId) -> Arc<SealedLog> {
        let created = || Arc::new(SealedLog::new(id));
        Arc::clone(self.present.entry(id).or_insert_with(created))
    }
}

impl Engine {
    pub(crate) fn sealed_log(&self, id: RaftGroupId) -> Option<Arc<SealedLog>> {
        self.groups.lock().present.get(&id).map(Arc::clone)
    }

    /// Every group with stored state. The journal keeps each group's vote and purge point for as long
    /// as the group exists, so it knows them all.
    pub(crate) fn group_ids(&self) -> Vec<RaftGroupId> {
        let mut ids = self.journal.groups();
        let groups = self.groups.lock();
        ids.retain(|id| !groups.removed.contains(id));
        ids.sort_unstable();
        ids
    }

    /// Queues rows behind the sync of everything that was submitted to the journal so far.
    pub(crate) fn write_rows_after_sync(&self, work: RowWork) {
        let (rows, clock) = (Arc::clone(&self.rows), Arc::clone(&self.clock));
        self.journal
            .after_sync(Box::new(move |synced| match synced {
                Ok(()) => rows.push(work, clock.now()),
                Err(error) => {
                    if let Some(done) = work.done {
                        done(Err(error));
                    }
                }
            }));
    }

    /// Asks for a chore on what is applied now, once the journal has synced it. False: there is none.
    pub(crate) fn ask_after_sync(&self, chore: Chore, logs: Vec<Arc<SealedLog>>) -> bool {
        let applied: Vec<(Arc<SealedLog>, (Life, LogIndex))> = logs
            .into_iter()
            .filter_map(|log| log.applied().map(|applied| (log, applied)))
            .collect();
        if applied.is_empty() {
            return false;
        }
        let chores = Arc::clone(&self.chores);
        self.journal.after_sync(Box::new(move |synced| {
            if synced.is_ok() {
                for (log, (life, applied)) in applied {
                    log.set_sealable(life, applied);
                    chores.ask(chore, log.group);
                }
            }
        }));
        true
    }

    /// Removes a group: a tombstone in the journal first, then one in the tables together with the
    /// deletion of all rows, then the files. A crash in between leaves a tombstone to go on from.
    pub(crate) fn remove_group(&self, id: RaftGroupId, done: Completion) {
        let log = {
            let mut groups = self.groups.lock();
            groups.removed.insert(id);
            groups.open(id)
        };
        log.set_removed();
        let (rows, clock) = (Arc::clone(&self.rows), Arc::clone(&self.clock));
        let chores = Arc::clone(&self.chores);
        self.journal.remove_group(
            id,
            Box::new(move |synced| {
                if synced.is_ok() {
                    rows.push(removal_rows(id, chores), clock.now());
                }
                done(synced);
            }),
        );
    }

    /// Resets a group: first in the journal, then its rows go, then, in the background, its pieces.
    /// A crash in between leaves the number of its life to go on from.
    pub(crate) fn reset_group(&self, id: RaftGroupId, done: Completion) {
        let log = {
            let mut groups = self.groups.lock();
            let is_removed = groups.removed.contains(&id);
            (!is_removed).then(|| groups.open(id))
        };
        let Some(log) = log else {
            return self
                .journal
                .after_sync(Box::new(move |_| done(Err(StorageError::Removed(id)))));
        };
        let unsent = log.begin_life(|life| {
            self.damage.forget(id);
            let done = self.after_reset(Arc::clone(&log), life, done);
            self.journal.reset_group(id, life, done)
        });
        // Its completion may need what is locked while a life begins.
        drop(unsent);
    }

    /// What follows when the journal has synced a reset.
    fn after_reset(&self, log: Arc<SealedLog>, life: Life, done: Completion) -> Completion {
        let (rows, clock) = (Arc::clone(&self.rows), Arc::clone(&self.clock));
        let chores = Arc::clone(&self.chores);
        Box::new(move |synced| {
            if let Err(error) = synced {
                return done(Err(error));
            }
            let changes = reset_rows(log.group, life);
            let done: Completion = Box::new(move |written| {
                if written.is_ok() {
                    log.set_begun(life);
                    chores.ask(Chore::SweepReset, log.group);
                }
                done(written);
            });
            let done = Some(done);
            rows.push(RowWork { changes, done }, clock.now());
        })
    }

    /// Takes note of an error if it means that stored entries of a group are damaged, unless the life
    /// in which it was met has ended.
    pub(crate) fn note_damage(&self, log: &SealedLog, life: Life, error: &StorageError) {
        let is_damage = matches!(
            error,
            StorageError::DamagedEntry { .. } | StorageError::MissingEntry { .. }
        );
        if !is_damage {
            return;
        }
        let alarm = log.in_life(|now| (now == life).then(|| self.damage.note(log.group, error)));
        if let Some(alarm) = alarm {
            alarm.raise(log.group, error);
        }
    }

    pub(crate) fn stalled_for(&self) -> Duration {
        self.journal
            .stalled_for()
            .max(self.rows.stalled_for(self.clock.now()))
    }

    pub(crate) fn sealing_trouble(&self) -> Option<SealingTrouble> {
        self.trouble.present(self.clock.now())
    }

    pub(crate) fn usage(&self) -> Usage {
        let (scrubbed_bytes, scrub_passes, scrub_pass_bytes) = self.scrub.read();
        let mut usage = Usage {
            scrubbed_bytes,
            scrub_passes,
            scrub_pass_bytes,
            journal_bytes: self.journal.bytes(),
            disk_free_bytes: self.space.free_bytes(),
            journal_bytes_written: self.journal.bytes_written(),
            sealed_bytes_written: self.sealed_bytes_written.load(Ordering::Relaxed),
            group_count: self.group_ids().len() as u64,
            damaged_group_count: self.damage.groups().len() as u64,
            damage_found_count: self.damage.found_count(),
            ..Usage::default()
        };
        let logs: Vec<_> = self
            .groups
            .lock()
            .present
            .values()
            .map(Arc::clone)
            .collect();
        for log in logs {
            log.add_to(&mut usage);
        }
        usage
    }

    pub(crate) fn count_sealed(&self, bytes: u64) {
        self.sealed_bytes_written
            .fetch_add(bytes, Ordering::Relaxed);
    }

    /// Looks at the disk, at the directory where all data lies.
    pub(crate) fn observe_space(&self) {
        match self.disk.free_bytes(&self.config.data_dir) {
            Ok(free) => {
                self.space.observe(free);
                self.pressure.observe_disk(!self.space.accepts_writes());
            }
            Err(error) => tracing::warn!(%error, "could not read the free space of the disk"),
        }
    }

    /// A failure that the node must not survive.
    pub(crate) fn fail(&self, error: &StorageError) {
        self.failure.report(error);
    }
}

/// The tables' half of a removal, and who goes on when it is durable.
pub(crate) fn removal_rows(id: RaftGroupId, chores: Arc<Chores>) -> RowWork {
    let everything = LogIndex::new(0)..LogIndex::new(u64::MAX);
    let changes = vec![
        Change::Put(
            RowFamily::System,
            keys::tombstone(id),
            values::encode_tombstone(),
        ),
        Change::DeleteRange(RowFamily::Rows, keys::rows_of(id)),
        Change::DeleteRange(RowFamily::System, keys::leftover_runs_of(id)),
        Change::DropLeftovers(id, everything),
        Change::Delete(RowFamily::System, keys::rows_life(id)),
        Change::Delete(RowFamily::System, keys::pieces_life(id)),
    ];
    let done: Completion = Box::new(move |written| {
        if written.is_ok() {
            chores.ask(Chore::DropRemoved, id);
        }
    });
    RowWork {
        changes,
        done: Some(done),
    }
}

/// Deletes the rows of all lives before this one, and says so.
pub(crate) fn reset_rows(id: RaftGroupId, life: Life) -> Vec<Change> {
    vec![
        Change::DeleteRange(RowFamily::Rows, keys::rows_of(id)),
        Change::Put(
            RowFamily::System,
            keys::rows_life(id),
            values::encode_life(life),
        ),
    ]
}

/// Sweeps the pieces of all lives before this one from the tables, durably.
pub(crate) fn sweep_pieces(
    tables: &dyn Tables,
    id: RaftGroupId,
    life: Life,
) -> Result<(), TablesError> {
    // The files first: the row says that they are gone.
    tables.drop_segments(id, LogIndex::new(u64::MAX))?;
    let everything = LogIndex::new(0)..LogIndex::new(u64::MAX);
    let changes = [
        Change::DeleteRange(RowFamily::System, keys::leftover_runs_of(id)),
        Change::DropLeftovers(id, everything),
        Change::Put(
            RowFamily::System,
            keys::pieces_life(id),
            values::encode_life(life),
        ),
    ];
    tables.write(&changes, Durability::Synced)
}
