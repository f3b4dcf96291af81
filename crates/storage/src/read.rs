//! Finds entries wherever they lie: in a segment, among the leftovers, or in the journal.
//!
//! The sealer first adds a piece to the group's list and then lets the journal forget it; a
//! purge first becomes visible and then drops files. So an entry that is found nowhere is looked for
//! once more before it counts as missing. A reset that happens meanwhile makes the read start over.

use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use flotilla_types::{LogIndex, Term};

use crate::engine::Engine;
use crate::entry::LogEntry;
use crate::error::StorageError;
use crate::sealed::{Piece, SealedLog};
use crate::tables::values::StoredEntry;
use crate::tables::{EntryScan, TablesError};

/// How often a read looks again when entries move under it. Each move is one segment's worth, so a
/// reader that loses this often is not racing, it is missing something.
const LOOKS_MAX: usize = 8;

pub(crate) fn term_at(
    engine: &Engine,
    sealed: &SealedLog,
    index: LogIndex,
) -> Result<Option<Term>, StorageError> {
    if let Some(term) = engine.journal.term_at(sealed.group, index) {
        return Ok(Some(term));
    }
    let entries = read(engine, sealed, index..index.next(), 0)?;
    Ok(entries.first().map(|entry| entry.id.term))
}

/// Reads, and reports damage that it meets. What was read of a life that has ended is not served.
pub(crate) fn read(
    engine: &Engine,
    sealed: &SealedLog,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<LogEntry>, StorageError> {
    loop {
        let life = sealed.life();
        let found = look(engine, sealed, range.clone(), bytes_max);
        if sealed.life() != life {
            continue;
        }
        if let Err(error) = &found {
            engine.note_damage(sealed, life, error);
        }
        return found;
    }
}

fn look(
    engine: &Engine,
    sealed: &SealedLog,
    range: Range<LogIndex>,
    bytes_max: usize,
) -> Result<Vec<LogEntry>, StorageError> {
    let mut reading = Reading {
        engine,
        sealed,
        next: range.start,
        found: Vec::new(),
        bytes: 0,
        bytes_max,
    };
    let mut looks = 0;
    loop {
        let Some(end) = reading.end(range.end) else {
            return Ok(reading.found);
        };
        if reading.next >= end || reading.is_full() {
            return Ok(reading.found);
        }
        let before = reading.next;
        reading.advance(end)?;
        looks = if reading.next > before { 0 } else { looks + 1 };
        if looks == LOOKS_MAX {
            return Err(StorageError::MissingEntry {
                group: sealed.group,
                index: before,
            });
        }
    }
}

/// A read under way: everything before `next` is in `found`.
struct Reading<'a> {
    engine: &'a Engine,
    sealed: &'a SealedLog,
    next: LogIndex,
    found: Vec<LogEntry>,
    bytes: usize,
    bytes_max: usize,
}

impl Reading<'_> {
    /// Where the log ends for this read; `None` when what comes next lies before its start.
    fn end(&self, wanted: LogIndex) -> Option<LogIndex> {
        let group = self.sealed.group;
        // The journal first: what leaves it in between is found among the pieces.
        let in_journal = self
            .engine
            .journal
            .group_range(group)
            .map(|(first, _)| first.index);
        let bounds = self.engine.journal.bounds(group);
        let start = match bounds.last_purged {
            Some(purged) => Some(purged.index.next()),
            None => self.sealed.first_sealed().or(in_journal),
        };
        let end = bounds.last?.index.next().min(wanted);
        start.is_some_and(|start| start <= self.next).then_some(end)
    }

    const fn is_full(&self) -> bool {
        !self.found.is_empty() && self.bytes >= self.bytes_max
    }

    fn advance(&mut self, end: LogIndex) -> Result<(), StorageError> {
        match self.sealed.piece_at(self.next) {
            Some(piece) => self.take_from_piece(&piece, end),
            None => self.take_from_journal(end),
        }
    }

    fn take_from_journal(&mut self, end: LogIndex) -> Result<(), StorageError> {
        let rest = self.bytes_max.saturating_sub(self.bytes);
        let entries = self
            .engine
            .journal
            .read(self.sealed.group, self.next..end, rest)?;
        for entry in entries {
            if entry.id.index != self.next || self.take(entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn take_from_piece(&mut self, piece: &Piece, end: LogIndex) -> Result<(), StorageError> {
        let scan = EntryScan {
            family: piece.family,
            group: self.sealed.group,
            range: self.next..end.min(piece.last.next()),
            bytes_expected: self.bytes_max.saturating_sub(self.bytes),
        };
        let tables = Arc::clone(&self.engine.tables);
        let mut damaged = None;
        let scanned = tables.scan(&scan, &mut |key, value| {
            if key.index != self.next {
                return ControlFlow::Break(());
            }
            match StoredEntry::decode(key, value) {
                Ok(entry) => self.take(entry),
                Err(error) => {
                    damaged = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        let (group, index) = (self.sealed.group, self.next);
        if let Some(error) = damaged {
            return Err(StorageError::DamagedEntry {
                group,
                index,
                source: Arc::new(error),
            });
        }
        match scanned {
            Err(TablesError::Corrupt(source)) => Err(StorageError::DamagedEntry {
                group,
                index,
                source,
            }),
            other => Ok(other?),
        }
    }

    fn take(&mut self, entry: LogEntry) -> ControlFlow<()> {
        let bytes = entry.payload.len();
        if !self.found.is_empty() && self.bytes + bytes > self.bytes_max {
            // The next one does not fit; nothing is missing.
            self.bytes = self.bytes_max;
            return ControlFlow::Break(());
        }
        self.bytes += bytes;
        self.next = entry.id.index.next();
        self.found.push(entry);
        if self.bytes >= self.bytes_max {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}
