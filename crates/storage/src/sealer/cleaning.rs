//! Dropping what is purged or removed, and getting its space back.

use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::chores::Chore;
use crate::engine::sweep_pieces;
use crate::error::StorageError;
use crate::sealed::{Piece, SealedLog};
use crate::sealer::Sealer;
use crate::stored::drop_leftovers;
use crate::tables::{Durability, EntryFamily};

impl Sealer {
    /// Drops the pieces below each purge point that became durable. What reaches above it stays
    /// whole; readers do not see the purged part.
    pub(crate) fn drop_purged(&mut self) -> Result<bool, StorageError> {
        let ids = self.engine.chores.take_all(Chore::DropPurged);
        let worked = !ids.is_empty();
        self.for_each(Chore::DropPurged, ids, |sealer, id| {
            let log = sealer.engine.sealed_log(id);
            let purged = log.as_ref().and_then(|log| log.purged());
            match (log, purged) {
                (Some(log), Some(purged)) => sealer.drop_pieces(&log, purged.index),
                _ => Ok(()),
            }
        })?;
        Ok(worked)
    }

    /// Finishes removals whose tombstones are durable: the files go last, then the journal may
    /// forget the group.
    pub(crate) fn drop_removed(&mut self) -> Result<bool, StorageError> {
        let ids = self.engine.chores.take_all(Chore::DropRemoved);
        let worked = !ids.is_empty();
        self.for_each(Chore::DropRemoved, ids, |sealer, id| {
            sealer
                .engine
                .tables
                .drop_segments(id, LogIndex::new(u64::MAX))?;
            if let Some(log) = sealer.engine.groups.lock().present.remove(&id) {
                sealer.dropped_leftover_bytes += leftover_bytes(&log.pieces());
            }
            sealer.engine.journal.forget_removed(id);
            Ok(())
        })?;
        Ok(worked)
    }

    /// Sweeps away what the tables hold of former lives of groups that were reset. Nothing of the
    /// present life is there yet, and what the sealer was making of a former one, it has made by now.
    pub(crate) fn sweep_reset(&mut self) -> Result<bool, StorageError> {
        let ids = self.engine.chores.take_all(Chore::SweepReset);
        let worked = !ids.is_empty();
        self.for_each(Chore::SweepReset, ids, |sealer, id| {
            let engine = Arc::clone(&sealer.engine);
            let log = engine.sealed_log(id);
            let Some((log, life)) =
                log.and_then(|log| Some((Arc::clone(&log), log.life_to_sweep_for()?)))
            else {
                return Ok(());
            };
            sweep_pieces(engine.tables.as_ref(), id, life)?;
            sealer.dropped_leftover_bytes += log.set_swept(life);
            sealer.reseal.retain(|(group, _)| *group != id);
            // What was applied meanwhile could not be sealed.
            engine.chores.ask(Chore::Seal, id);
            Ok(())
        })?;
        Ok(worked)
    }

    /// Does a chore for each group; those that were not done are asked for again.
    fn for_each(
        &mut self,
        chore: Chore,
        ids: impl IntoIterator<Item = RaftGroupId>,
        mut act: impl FnMut(&mut Self, RaftGroupId) -> Result<(), StorageError>,
    ) -> Result<(), StorageError> {
        let mut outcome = Ok(());
        for id in ids {
            if outcome.is_ok() {
                outcome = act(self, id);
            }
            self.may_release = true;
            if outcome.is_err() {
                self.engine.chores.ask(chore, id);
            }
        }
        outcome
    }

    fn drop_pieces(&mut self, log: &Arc<SealedLog>, last: LogIndex) -> Result<(), StorageError> {
        let mut pieces = log.pieces();
        pieces.retain(|piece| piece.last <= last);
        let tables = &self.engine.tables;
        if pieces
            .iter()
            .any(|piece| piece.family == EntryFamily::Segments)
        {
            tables.drop_segments(log.group, last)?;
        }
        let leftovers = pieces
            .iter()
            .filter(|piece| piece.family == EntryFamily::Leftovers);
        let changes: Vec<_> = leftovers
            .flat_map(|piece| drop_leftovers(log.group, piece))
            .collect();
        if !changes.is_empty() {
            // Not synced: a start finds the purge point in the journal and drops them again.
            tables.write(&changes, Durability::Buffered)?;
        }
        self.dropped_leftover_bytes += leftover_bytes(&pieces);
        log.forget_through(last);
        Ok(())
    }

    /// Frees the space of dropped leftovers once it is worth two segments and a good part of what all
    /// leftovers take.
    pub(crate) fn compact_leftovers(&mut self) -> Result<bool, StorageError> {
        let worthwhile = 2 * self.engine.config.segment_bytes_target;
        if self.dropped_leftover_bytes < worthwhile {
            return Ok(false);
        }
        let present = self.engine.usage().leftover_bytes;
        if self.dropped_leftover_bytes < present / 4 {
            return Ok(false);
        }
        self.engine.tables.compact_leftovers()?;
        self.dropped_leftover_bytes = 0;
        Ok(true)
    }
}

fn leftover_bytes(pieces: &[Piece]) -> u64 {
    let leftovers = pieces
        .iter()
        .filter(|piece| piece.family == EntryFamily::Leftovers);
    leftovers.map(|piece| piece.bytes).sum()
}
