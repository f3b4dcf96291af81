//! The journal is over its budget: what is in its oldest files goes, large or small.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::RaftGroupId;

use crate::chores::Chore;
use crate::error::StorageError;
use crate::sealed::SealedLog;
use crate::sealer::Sealer;
use crate::sealer::run::{Demand, Gathered};
use crate::tables::LEFTOVERS_MEMTABLE_BYTES;

/// Bytes of small runs that become durable together. A flush syncs four files, so it should be worth
/// it; and it should fit into one memtable.
const BATCH_BYTES: u64 = LEFTOVERS_MEMTABLE_BYTES as u64 / 4 * 3;
/// Bytes that may be copied forward to release one journal file while there is room.
const COPY_BYTES_MAX: u64 = 256 << 10;
/// Pause when nothing in the journal can be sealed.
const NO_ROOM_PAUSE: Duration = Duration::from_secs(1);

impl Sealer {
    /// Seals runs from the oldest files until the journal is within its budget. One step writes one
    /// segment at most, or one batch of leftovers.
    pub(crate) fn make_room(&mut self) -> Result<bool, StorageError> {
        let now = self.engine.clock.now();
        if self.no_room_until.is_some_and(|until| now < until) {
            return Ok(false);
        }
        self.no_room_until = None;
        if self.engine.chores.is_waiting(Chore::MakeRoom) {
            self.asked_for_room = false;
            self.made_room |= self.seal_pressed()?;
            if !self.engine.chores.is_waiting(Chore::MakeRoom) && !self.made_room {
                self.give_up_until(now + NO_ROOM_PAUSE);
            }
            return Ok(true);
        }
        if self.asked_for_room || !self.is_over_budget() {
            return Ok(false);
        }
        self.made_room = false;
        let logs = self.logs_in_oldest_files();
        self.asked_for_room = self.engine.ask_after_sync(Chore::MakeRoom, logs);
        if !self.asked_for_room {
            self.give_up_until(now + NO_ROOM_PAUSE);
        }
        Ok(self.asked_for_room)
    }

    /// Nothing in the full files can be sealed now. What is left is copying it out of the way.
    fn give_up_until(&mut self, time: Duration) {
        self.no_room_until = Some(time);
        self.may_release = true;
    }

    fn seal_pressed(&mut self) -> Result<bool, StorageError> {
        let engine = Arc::clone(&self.engine);
        let mut again = Vec::new();
        let mut outcome = Ok(false);
        while outcome.is_ok()
            && self.batch.bytes() < BATCH_BYTES
            && let Some(id) = engine.chores.take_one(Chore::MakeRoom)
        {
            let Some(log) = engine.sealed_log(id) else {
                continue;
            };
            match self.gather(&log, Demand::Room) {
                Ok(None) => {}
                Ok(Some(Gathered::Small(run))) => {
                    again.push(id);
                    outcome = self.add_leftovers(&log, &run).map(|()| true);
                }
                Ok(Some(Gathered::Large(run))) => {
                    again.push(id);
                    outcome = self.write_segment(&log, run).map(|()| true);
                    break;
                }
                Err(error) => {
                    again.push(id);
                    outcome = Err(error);
                }
            }
        }
        let sealed = outcome.and_then(|sealed| self.finish_leftovers().map(|()| sealed));
        // Beyond a boundary, or after a failure, there is more to do for these.
        for id in again {
            engine.chores.ask(Chore::MakeRoom, id);
        }
        sealed
    }

    /// The groups that can give something up, from as many of the oldest files as it takes to get
    /// well below the budget. Files in which nothing can be sealed are passed over.
    fn logs_in_oldest_files(&self) -> Vec<Arc<SealedLog>> {
        let mut excess = self.engine.config.journal_bytes_max / 4;
        let mut found = BTreeMap::new();
        for file in self
            .engine
            .journal
            .files()
            .into_iter()
            .filter(|file| file.full)
        {
            let ids = file.groups.iter().map(|(id, _, _)| *id);
            let logs: Vec<_> = ids.filter_map(|id| self.log_that_can_seal(id)).collect();
            if logs.is_empty() {
                continue;
            }
            found.extend(logs.into_iter().map(|log| (log.group, log)));
            excess = excess.saturating_sub(file.bytes);
            if excess == 0 {
                break;
            }
        }
        found.into_values().collect()
    }

    fn log_that_can_seal(&self, id: RaftGroupId) -> Option<Arc<SealedLog>> {
        let log = self.engine.sealed_log(id)?;
        let (first, _) = self.engine.journal.group_range(id)?;
        let (_, applied) = log.applied()?;
        (applied >= first.index).then_some(log)
    }

    fn is_over_budget(&self) -> bool {
        let (journal, config) = (&self.engine.journal, &self.engine.config);
        journal.bytes() > config.journal_bytes_max
            || journal.index_bytes() > config.journal_index_bytes_max
    }

    /// How much may be copied forward to release a file. Normally little, because what can be sealed
    /// soon should not be written twice. When nothing more can be sealed and the journal is far
    /// over its budget, one group must not keep all files behind its oldest entry. The limit stays below a file's size: to copy a full file would
    /// free nothing, and go on for ever.
    pub(crate) fn copy_bytes_max(&self) -> u64 {
        let file_bytes = self.engine.config.journal_file_bytes;
        let (bytes, bytes_max) = (
            self.engine.journal.bytes(),
            self.engine.config.journal_bytes_max,
        );
        if self.no_room_until.is_some() && bytes > bytes_max / 2 * 3 {
            file_bytes / 4 * 3
        } else {
            COPY_BYTES_MAX.min(file_bytes / 16)
        }
    }
}
