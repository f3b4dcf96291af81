//! One run of one group: is it worth sealing, where does it go, and the segment that it becomes.

use std::sync::Arc;

use flotilla_types::LogIndex;

use crate::engine::Engine;
use crate::entry::LogEntry;
use crate::error::StorageError;
use crate::life::Life;
use crate::sealed::{Piece, Run, SealedLog};
use crate::sealer::Sealer;
use crate::tables::EntryFamily;
use crate::tables::keys::EntryKey;
use crate::tables::values::StoredEntry;

/// Most that is read from the journal at a time.
const CHUNK_BYTES_MAX: u64 = 1 << 20;

/// What makes a run worth sealing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Demand {
    /// It is large, or its checkpoint interval is complete.
    Worthwhile,
    /// The journal needs the room.
    Room,
}

/// A run whose first entries are in memory.
pub(crate) enum Gathered {
    /// Large enough for a segment; there may be more of it in the journal.
    Large(OpenRun),
    /// All of it, and it is too small.
    Small(OpenRun),
}

pub(crate) struct OpenRun {
    pub(crate) run: Run,
    /// The first entries of the run, never none.
    pub(crate) head: Vec<LogEntry>,
    pub(crate) head_bytes: u64,
}

impl OpenRun {
    const fn is_complete(&self) -> bool {
        self.head.len() as u64 > self.run.last.get() - self.run.first.get()
    }
}

impl Sealer {
    /// Reads the beginning of the group's next run, unless the run should wait.
    pub(crate) fn gather(
        &self,
        log: &SealedLog,
        demand: Demand,
    ) -> Result<Option<Gathered>, StorageError> {
        let engine = &self.engine;
        let Some(run) = next_run(engine, log) else {
            return Ok(None);
        };
        let large = engine.config.segment_bytes_target;
        let bytes = engine.journal.bytes_before(log.group, run.last.next());
        let complete = run.ends_at_boundary && bytes >= engine.config.segment_bytes_min;
        let waits_behind = run.ends_at_boundary && engine.journal.group_bytes(log.group) >= large;
        if demand == Demand::Worthwhile && bytes < large && !complete && !waits_behind {
            return Ok(None);
        }
        let mut open = OpenRun {
            run,
            head: Vec::new(),
            head_bytes: 0,
        };
        while !open.is_complete() && open.head_bytes < engine.config.segment_bytes_min {
            let next = LogIndex::new(run.first.get() + open.head.len() as u64);
            let chunk = read_chunk(engine, log, next, run.last)?;
            if chunk.is_empty() {
                // A purge has overtaken us.
                return Ok(None);
            }
            open.head_bytes += payload_bytes(&chunk);
            open.head.extend(chunk);
        }
        Ok(Some(
            if open.head_bytes >= engine.config.segment_bytes_min {
                Gathered::Large(open)
            } else {
                Gathered::Small(open)
            },
        ))
    }

    /// Writes a run as one segment: to its boundary, or until it has the wanted size.
    pub(crate) fn write_segment(
        &mut self,
        log: &Arc<SealedLog>,
        open: OpenRun,
    ) -> Result<(), StorageError> {
        let started = self.engine.clock.now();
        let run = open.run;
        // Up to a boundary a segment may grow to twice the size rather than leave a small rest.
        let target = self.engine.config.segment_bytes_target;
        let bytes_max = if run.ends_at_boundary {
            2 * target
        } else {
            target
        };
        let first = EntryKey::new(log.group, run.first);
        let mut segment = self.engine.tables.begin_segment(first)?;
        let mut value = Vec::new();
        let mut bytes = 0;
        let mut last = run.first;
        let mut chunk = open.head;
        loop {
            for entry in &chunk {
                StoredEntry::encode(log.group, entry, &mut value);
                segment.put(EntryKey::new(log.group, entry.id.index), &value)?;
                last = entry.id.index;
            }
            bytes += payload_bytes(&chunk);
            if last >= run.last || bytes >= bytes_max {
                break;
            }
            chunk = read_chunk(&self.engine, log, last.next(), run.last)?;
            if chunk.is_empty() {
                return Ok(());
            }
        }
        let bytes = segment.ingest()?.bytes;
        let closed = run.ends_at_boundary && last == run.last;
        let family = EntryFamily::Segments;
        let piece = Piece {
            first: run.first,
            last,
            bytes,
            family,
            closed,
        };
        self.install(log, run.life, piece);
        let took = self.engine.clock.now().saturating_sub(started);
        metrics::histogram!("flotilla_storage_seal_seconds").record(took.as_secs_f64());
        Ok(())
    }

    /// A piece is durable in its new place: readers find it there, and the journal forgets it. If
    /// the life that it belongs to has ended meanwhile, it is swept away with the others.
    fn install(&mut self, log: &SealedLog, life: Life, piece: Piece) {
        log.add(life, piece);
        let journal = &self.engine.journal;
        journal.release_sealed(log.group, life, piece.last);
        self.engine.count_sealed(piece.bytes);
        self.may_release = true;
    }
}

fn next_run(engine: &Engine, log: &SealedLog) -> Option<Run> {
    let (first, _) = engine.journal.group_range(log.group)?;
    // The journal already hides what a purge that is under way will drop. A crash may undo the purge,
    // and then a segment that begins above it would leave a gap in the sealed log.
    let purge_is_durable = engine.journal.last_purged(log.group) <= log.purged();
    purge_is_durable.then(|| log.next_run(first.index))?
}

/// Some of the entries from `first` to `last`; none when they have been purged.
fn read_chunk(
    engine: &Engine,
    log: &SealedLog,
    first: LogIndex,
    last: LogIndex,
) -> Result<Vec<LogEntry>, StorageError> {
    let bytes = engine.config.segment_bytes_min.min(CHUNK_BYTES_MAX);
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    engine.journal.read(log.group, first..last.next(), bytes)
}

fn payload_bytes(entries: &[LogEntry]) -> u64 {
    entries.iter().map(|entry| entry.payload.len() as u64).sum()
}
