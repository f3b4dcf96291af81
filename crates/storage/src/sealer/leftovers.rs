//! Small runs of many groups, written together into files that they share.

use std::sync::Arc;

use crate::error::StorageError;
use crate::sealed::{Piece, Run, SealedLog};
use crate::sealer::Sealer;
use crate::sealer::run::OpenRun;
use crate::tables::keys::{self, EntryKey};
use crate::tables::values::{LeftoverRun, StoredEntry};
use crate::tables::{Change, Durability, EntryFamily, RowFamily};

/// Runs that become durable together. Their entries are in the table already, but not durable.
#[derive(Default)]
pub(crate) struct LeftoverBatch {
    runs: Vec<BatchedRun>,
    bytes: u64,
}

struct BatchedRun {
    log: Arc<SealedLog>,
    run: Run,
    bytes: u64,
}

impl LeftoverBatch {
    pub(crate) const fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }
}

impl Sealer {
    /// Adds a small run to the batch.
    pub(crate) fn add_leftovers(
        &mut self,
        log: &Arc<SealedLog>,
        open: &OpenRun,
    ) -> Result<(), StorageError> {
        let entries: Vec<_> = open
            .head
            .iter()
            .map(|entry| {
                let mut value = Vec::new();
                StoredEntry::encode(log.group, entry, &mut value);
                (EntryKey::new(log.group, entry.id.index), value)
            })
            .collect();
        self.engine.tables.write_leftovers(&entries)?;
        let bytes = entries.iter().map(|(_, value)| value.len() as u64).sum();
        self.batch.bytes += bytes;
        let (log, run) = (Arc::clone(log), open.run);
        self.batch.runs.push(BatchedRun { log, run, bytes });
        Ok(())
    }

    /// Makes the batch durable: first the entries, then the rows that list them. Only then does the
    /// journal forget them. Entries that no row lists are written again, alike, by the next attempt.
    pub(crate) fn finish_leftovers(&mut self) -> Result<(), StorageError> {
        let batch = std::mem::take(&mut self.batch);
        if batch.runs.is_empty() {
            return Ok(());
        }
        let tables = &self.engine.tables;
        tables.flush_leftovers()?;
        let pieces: Vec<_> = batch.runs.iter().map(|batched| batched.piece()).collect();
        let changes: Vec<_> = batch
            .runs
            .iter()
            .zip(&pieces)
            .map(|(run, piece)| listing(&run.log, piece))
            .collect();
        tables.write(&changes, Durability::Synced)?;
        self.may_release = true;
        for (batched, piece) in batch.runs.iter().zip(pieces) {
            let log = &batched.log;
            let life = batched.run.life;
            log.put_leftovers(life, piece);
            let journal = &self.engine.journal;
            journal.release_sealed(log.group, life, piece.last);
            self.engine.count_sealed(batched.bytes);
            if piece.closed && piece.bytes >= self.engine.config.segment_bytes_target / 4 {
                self.reseal.insert((log.group, piece.first));
            }
        }
        Ok(())
    }
}

impl BatchedRun {
    /// The piece that results: a new one, or the group's last one grown longer. A boundary between
    /// the two keeps them apart.
    fn piece(&self) -> Piece {
        let Run {
            first,
            last,
            ends_at_boundary: closed,
            ..
        } = self.run;
        let family = EntryFamily::Leftovers;
        match self.log.last_piece() {
            Some(open) if open.family == family && !open.closed => Piece {
                last,
                bytes: open.bytes + self.bytes,
                closed,
                ..open
            },
            _ => Piece {
                first,
                last,
                bytes: self.bytes,
                family,
                closed,
            },
        }
    }
}

fn listing(log: &SealedLog, piece: &Piece) -> Change {
    let key = keys::leftover_run(EntryKey::new(log.group, piece.first));
    let run = LeftoverRun {
        last: piece.last,
        bytes: piece.bytes,
        closed: piece.closed,
    };
    Change::Put(RowFamily::System, key, run.encode())
}
