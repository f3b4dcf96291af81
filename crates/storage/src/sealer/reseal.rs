//! Leftovers of one group that have grown: they become a segment after all.

use std::ops::ControlFlow;
use std::sync::Arc;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::error::StorageError;
use crate::life::Life;
use crate::sealed::{Piece, SealedLog};
use crate::sealer::Sealer;
use crate::stored::drop_leftovers;
use crate::tables::keys::EntryKey;
use crate::tables::values::StoredEntry;
use crate::tables::{Durability, EntryFamily, EntryScan, SegmentFile, Tables, TablesError};

impl Sealer {
    /// Rewrites one closed leftover run as a segment. A crash in between leaves both, and the next
    /// start drops the leftovers.
    pub(crate) fn reseal_one(&mut self) -> Result<bool, StorageError> {
        let Some((id, first)) = self.reseal.pop_first() else {
            return Ok(false);
        };
        let Some(log) = self.engine.sealed_log(id) else {
            return Ok(true);
        };
        let life = log.life();
        let Some(piece) = log.piece_at(first) else {
            return Ok(true);
        };
        if piece.family == EntryFamily::Leftovers {
            match self.copy_to_segment(&log, &piece) {
                Ok(Some(segment)) => self.replace((&log, life), piece, segment)?,
                Ok(None) => {}
                Err(error) => self.on_failed_copy(&log, (life, first), error)?,
            }
        }
        Ok(true)
    }

    /// Damaged leftovers stay as they are, and the group is reported. What else failed is tried again.
    fn on_failed_copy(
        &mut self,
        log: &SealedLog,
        (life, first): (Life, LogIndex),
        error: StorageError,
    ) -> Result<(), StorageError> {
        match error {
            StorageError::DamagedEntry { .. } | StorageError::MissingEntry { .. } => {
                self.engine.note_damage(log, life, &error);
                Ok(())
            }
            error => {
                self.reseal.insert((log.group, first));
                Err(error)
            }
        }
    }

    fn replace(
        &mut self,
        (log, life): (&SealedLog, Life),
        leftovers: Piece,
        segment: SegmentFile,
    ) -> Result<(), StorageError> {
        let sealed = Piece {
            first: segment.first.index,
            bytes: segment.bytes,
            family: EntryFamily::Segments,
            ..leftovers
        };
        log.replace(life, sealed);
        self.engine.count_sealed(segment.bytes);
        self.dropped_leftover_bytes += leftovers.bytes;
        let changes = drop_leftovers(log.group, &leftovers);
        Ok(self.engine.tables.write(&changes, Durability::Buffered)?)
    }

    /// `None` when all of the piece is purged.
    fn copy_to_segment(
        &self,
        log: &SealedLog,
        piece: &Piece,
    ) -> Result<Option<SegmentFile>, StorageError> {
        let purged = log.purged().map(|purged| purged.index.next());
        let first = purged.map_or(piece.first, |purged| purged.max(piece.first));
        if first > piece.last {
            return Ok(None);
        }
        let tables = Arc::clone(&self.engine.tables);
        copy(tables.as_ref(), log.group, Piece { first, ..*piece }).map(Some)
    }
}

fn copy(tables: &dyn Tables, id: RaftGroupId, piece: Piece) -> Result<SegmentFile, StorageError> {
    let mut segment = tables.begin_segment(EntryKey::new(id, piece.first))?;
    let mut next = piece.first;
    let mut outcome = Ok(());
    let scan = EntryScan {
        family: EntryFamily::Leftovers,
        group: id,
        range: piece.first..piece.last.next(),
        bytes_expected: usize::try_from(piece.bytes).unwrap_or(usize::MAX),
    };
    let scanned = tables.scan(&scan, &mut |key, value| {
        if key.index != next {
            return ControlFlow::Break(());
        }
        outcome = match StoredEntry::decode(key, value) {
            Ok(_) => segment.put(key, value),
            Err(error) => Err(TablesError::Corrupt(Arc::new(error))),
        };
        if outcome.is_err() {
            return ControlFlow::Break(());
        }
        next = next.next();
        ControlFlow::Continue(())
    });
    let (group, index) = (id, next);
    match scanned.and(outcome) {
        Err(TablesError::Corrupt(source)) => Err(StorageError::DamagedEntry {
            group,
            index,
            source,
        }),
        Err(error) => Err(error.into()),
        Ok(()) if next <= piece.last => Err(StorageError::MissingEntry { group, index }),
        Ok(()) => Ok(segment.ingest()?),
    }
}
