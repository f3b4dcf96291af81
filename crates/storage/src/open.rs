//! Opening a data directory: what is there, does it belong together, is it complete.
//!
//! Nothing here deletes or rewrites what it does not understand. A directory that is locked, newer,
//! half missing or damaged is refused with an error that says what to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use flotilla_types::LogIndex;
use parking_lot::Mutex;

use crate::chores::Chores;
use crate::config::StorageConfig;
use crate::damage::Damage;
use crate::engine::{Engine, Groups, removal_rows};
use crate::error::{IoFailure, OpenError, StorageError};
use crate::failure::Failure;
use crate::journal::{Journal, JournalConfig, Recovered, RecoveredGroup, Writer};
use crate::rows::{RowQueue, RowWork};
use crate::scrub::ScrubMeter;
use crate::sealed::{Piece, SealedLog};
use crate::seams::Seams;
use crate::space::Space;
use crate::stored::{Stored, damaged, drop_leftovers};
use crate::tables::{
    Change, Durability, EntryFamily, OpenTablesError, RowFamily, Tables, TablesError, keys, values,
};
use crate::trouble::Trouble;
use crate::write_pressure::PressureGauge;

/// A log of which nothing was purged begins at one of the first two indexes.
const LOG_START_MAX: LogIndex = LogIndex::new(1);

pub(crate) fn open(
    config: StorageConfig,
    seams: &Seams,
) -> Result<(Arc<Engine>, Writer), OpenError> {
    config.validate()?;
    let dir = config.data_dir.clone();
    seams
        .disk
        .create_dir_all(&dir)
        .map_err(|e| IoFailure::new("create", &dir, e))?;
    let tables = seams
        .tables
        .0
        .open(&dir, &config)
        .map_err(|error| tables_error(&dir, error))?;
    let version = check_version(&dir, tables.as_ref())?;
    let is_fresh = version.is_none();
    let stored = Stored::read(tables.as_ref()).map_err(|error| failed(&dir, error))?;
    let journal_dir = dir.join("journal");
    if !is_fresh && journal_is_missing(&journal_dir, seams)? {
        return Err(OpenError::Incomplete {
            missing: journal_dir,
        });
    }
    let (journal, writer, recovered) = Journal::open(
        journal_config(&config, seams),
        Arc::clone(&seams.disk),
        Arc::clone(&seams.clock),
    )?;
    if is_fresh && !recovered.groups.is_empty() {
        return Err(OpenError::Incomplete {
            missing: dir.join("tables"),
        });
    }
    // From here on a directory without any journal file is one that lost it.
    if let Err(error) = journal.prepare_spare() {
        tracing::warn!(error = %error.chain(), "no journal file could be allocated ahead of need");
    }
    let synced = seams.disk.sync_dir(&journal_dir);
    synced.map_err(|error| IoFailure::new("sync", &journal_dir, error))?;
    if is_fresh {
        // Written last: it says that both halves of the directory are there.
        write_version(tables.as_ref()).map_err(|error| failed(&dir, error))?;
    }
    let free = seams
        .disk
        .free_bytes(&dir)
        .map_err(|e| IoFailure::new("inspect", &dir, e))?;
    let engine = assemble((config, free), seams, (journal, tables));
    engine.identity.lock().clone_from(&stored.identity);
    bring_together(&engine, stored, &recovered).map_err(|error| failed(&dir, error))?;
    Ok((engine, writer))
}

/// Puts the parts of a store together and lets each tell the others what they have to know.
fn assemble(
    (config, free_bytes): (StorageConfig, u64),
    seams: &Seams,
    (journal, tables): (Journal, Arc<dyn Tables>),
) -> Arc<Engine> {
    let reserve = config.disk_reserve_bytes;
    let pressure = Arc::new(PressureGauge::new(&config));
    let engine = Arc::new(Engine {
        config,
        disk: Arc::clone(&seams.disk),
        clock: Arc::clone(&seams.clock),
        journal,
        tables,
        groups: Mutex::new(Groups::default()),
        identity: Mutex::new(None),
        random: (seams.journal_salt ^ (seams.journal_salt >> 32)) as u32,
        rows: Arc::new(RowQueue::default()),
        chores: Arc::new(Chores::default()),
        failure: Arc::new(Failure::default()),
        space: Space::new(reserve, free_bytes),
        pressure,
        damage: Damage::default(),
        scrub: ScrubMeter::default(),
        trouble: Trouble::default(),
        sealed_bytes_written: AtomicU64::new(0),
    });
    let pressure = Arc::clone(&engine.pressure);
    pressure.observe_disk(!engine.space.accepts_writes());
    pressure.observe_journal(engine.journal.bytes());
    let grown = move |bytes| pressure.observe_journal(bytes);
    engine.journal.on_growth(Box::new(grown));
    let failure = Arc::clone(&engine.failure);
    engine
        .journal
        .on_failure(Box::new(move |error| failure.report(error)));
    engine
}

fn journal_config(config: &StorageConfig, seams: &Seams) -> JournalConfig {
    // As many as the budget has: then no file is made or deleted while the journal breathes.
    let files_max = config.journal_bytes_max / config.journal_file_bytes;
    JournalConfig {
        directory: config.data_dir.join("journal"),
        file_bytes: config.journal_file_bytes,
        spare_files_max: usize::try_from(files_max).unwrap_or(usize::MAX),
        cache_bytes: usize::try_from(config.tail_cache_bytes).unwrap_or(usize::MAX),
        salt: seams.journal_salt,
    }
}

fn journal_is_missing(journal_dir: &Path, seams: &Seams) -> Result<bool, OpenError> {
    match seams.disk.list(journal_dir) {
        Ok(names) => Ok(names.is_empty()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(IoFailure::new("list", journal_dir, error).into()),
    }
}

/// The version of the directory; `None` for a fresh one. A newer one is refused.
fn check_version(dir: &Path, tables: &dyn Tables) -> Result<Option<u32>, OpenError> {
    let stored = tables.row(RowFamily::System, &keys::format_version());
    let Some(value) = stored.map_err(|error| failed(dir, error))? else {
        return Ok(None);
    };
    match values::decode_format_version(&value) {
        Ok(version) if version < values::FORMAT_VERSION => Err(OpenError::OlderVersion {
            directory: dir.to_path_buf(),
            found: version,
        }),
        Ok(version) if version > values::FORMAT_VERSION => Err(OpenError::NewerVersion {
            directory: dir.to_path_buf(),
            detail: format!(
                "format {version}, this one reads up to {}",
                values::FORMAT_VERSION
            ),
        }),
        Ok(version) => Ok(Some(version)),
        Err(error) => Err(failed(dir, damaged(error))),
    }
}

fn write_version(tables: &dyn Tables) -> Result<(), TablesError> {
    let value = values::encode_format_version(values::FORMAT_VERSION);
    let change = Change::Put(RowFamily::System, keys::format_version(), value);
    tables.write(&[change], Durability::Synced)
}

/// Joins what the tables hold with what the journal holds, and asks for what a crash left undone.
fn bring_together(
    engine: &Engine,
    stored: Stored,
    recovered: &Recovered,
) -> Result<(), TablesError> {
    let mut stored = stored;
    let mut groups = engine.groups.lock();
    groups.removed.extend(stored.removed.drain(..));
    for (id, known) in &recovered.groups {
        if known.removed {
            groups.removed.insert(*id);
            // Some of it may be left, so the removal starts over.
            engine.rows.push(
                removal_rows(*id, Arc::clone(&engine.chores)),
                engine.clock.now(),
            );
            groups.open(*id).set_removed();
        } else {
            let tables = engine.tables.as_ref();
            let mut pieces = stored.take_pieces(tables, (*id, known.life))?;
            let purged = known.last_purged.map(|purged| purged.index);
            let kept = pieces.split_off(pieces.partition_point(|piece| Some(piece.last) <= purged));
            for piece in &pieces {
                match piece.family {
                    EntryFamily::Segments => tables.drop_segments(*id, piece.last)?,
                    EntryFamily::Leftovers => {
                        let obsolete = stored.obsolete.entry(*id).or_default();
                        obsolete.extend(drop_leftovers(*id, piece));
                    }
                }
            }
            join(engine, &groups.open(*id), kept, known);
        }
    }
    let obsolete: Vec<_> = std::mem::take(&mut stored.obsolete)
        .into_values()
        .flatten()
        .collect();
    if !obsolete.is_empty() {
        engine.rows.push(
            RowWork {
                changes: obsolete,
                done: None,
            },
            engine.clock.now(),
        );
    }
    // Every group is in the journal as long as it exists. What else has pieces lost its journal.
    for id in std::mem::take(&mut stored.pieces).into_keys() {
        if !groups.removed.contains(&id) {
            let log = groups.open(id);
            log.recovered(stored.life(id));
            miss(engine, &log, LogIndex::new(0));
        }
    }
    Ok(())
}

/// Both halves of one group's log. An entry that must be in one of them and is not closes the group.
fn join(engine: &Engine, log: &SealedLog, pieces: Vec<Piece>, known: &RecoveredGroup) {
    let life = known.life;
    log.recovered(life);
    if let Some(purged) = known.last_purged {
        log.set_purged(life, purged);
    }
    if let Some(missing) = first_missing(known, &pieces) {
        return miss(engine, log, missing);
    }
    for piece in pieces {
        log.add(life, piece);
    }
    if let Some(last) = log.last_sealed() {
        engine.journal.release_sealed(log.group, life, last);
    }
}

/// Closes a group until it is reset.
fn miss(engine: &Engine, log: &SealedLog, index: LogIndex) {
    log.set_missing(index);
    let group = log.group;
    engine.note_damage(
        log,
        log.life(),
        &StorageError::MissingEntry { group, index },
    );
}

/// The first entry that was acknowledged and is nowhere.
fn first_missing(known: &RecoveredGroup, pieces: &[Piece]) -> Option<LogIndex> {
    let mut end = known
        .last_purged
        .map_or(LOG_START_MAX, |purged| purged.index.next());
    for (number, piece) in pieces.iter().enumerate() {
        // A purge may have cut through the first piece.
        let adjoins = if number == 0 {
            piece.first <= end
        } else {
            piece.first == end
        };
        if !adjoins {
            return Some(end);
        }
        end = piece.last.next();
    }
    let given_up_end = known
        .sealed
        .map_or(LogIndex::new(0), |sealed| sealed.index.next());
    let (journal_start, journal_end) = match known.range {
        Some((first, last)) => (first.index, last.index.next()),
        None => (end, given_up_end),
    };
    if given_up_end > end || journal_start > end {
        return Some(end);
    }
    // The journal was synced beyond each piece before that piece was made.
    let journal_end = journal_end.max(given_up_end);
    (!pieces.is_empty() && journal_end < end).then_some(journal_end)
}

fn tables_error(dir: &Path, error: OpenTablesError) -> OpenError {
    let directory = dir.to_path_buf();
    match error {
        OpenTablesError::InUse => OpenError::InUse { directory },
        OpenTablesError::NewerFormat(detail) => OpenError::NewerVersion { directory, detail },
        OpenTablesError::Tables(error) => failed(dir, error),
    }
}

fn failed(dir: &Path, error: TablesError) -> OpenError {
    OpenError::Tables {
        directory: dir.join("tables"),
        source: Arc::new(error),
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::{LogId, Term};

    use super::*;

    const fn id(index: u64) -> LogId {
        LogId::new(Term::new(1), LogIndex::new(index))
    }

    fn piece((first, last): (u64, u64)) -> Piece {
        Piece {
            first: LogIndex::new(first),
            last: LogIndex::new(last),
            bytes: 1,
            family: EntryFamily::Segments,
            closed: true,
        }
    }

    /// The first missing entry of a log with these pieces, purge point, end of what the journal gave
    /// up, and range in the journal.
    fn missing(
        pieces: &[(u64, u64)],
        (last_purged, sealed): (Option<u64>, Option<u64>),
        range: Option<(u64, u64)>,
    ) -> Option<u64> {
        let known = RecoveredGroup {
            last_purged: last_purged.map(id),
            sealed: sealed.map(id),
            range: range.map(|(first, last)| (id(first), id(last))),
            ..RecoveredGroup::default()
        };
        let pieces: Vec<_> = pieces.iter().copied().map(piece).collect();
        first_missing(&known, &pieces).map(LogIndex::get)
    }

    #[test]
    fn complete_logs_miss_nothing() {
        assert_eq!(missing(&[], (None, None), None), None);
        assert_eq!(missing(&[], (None, None), Some((0, 5))), None);
        assert_eq!(missing(&[], (Some(40), None), Some((41, 50))), None);
        assert_eq!(missing(&[], (Some(40), Some(20)), None), None);
        assert_eq!(missing(&[(0, 0), (1, 7)], (None, Some(7)), None), None);
        assert_eq!(missing(&[(1, 7)], (None, None), Some((1, 9))), None);
        assert_eq!(missing(&[(1, 7)], (None, Some(7)), Some((8, 9))), None);
        assert_eq!(
            missing(&[(1, 7), (8, 30)], (Some(5), Some(30)), Some((31, 31))),
            None
        );
    }

    #[test]
    fn the_first_entry_that_is_nowhere_is_named() {
        assert_eq!(missing(&[(2, 7)], (None, Some(7)), None), Some(1));
        assert_eq!(missing(&[], (None, None), Some((3, 5))), Some(1));
        assert_eq!(missing(&[(9, 20)], (Some(7), Some(20)), None), Some(8));
        assert_eq!(missing(&[(1, 7), (9, 20)], (None, Some(20)), None), Some(8));
        assert_eq!(missing(&[(1, 7)], (None, Some(9)), Some((10, 12))), Some(8));
        assert_eq!(missing(&[(1, 7)], (None, Some(7)), Some((9, 12))), Some(8));
        assert_eq!(missing(&[], (None, Some(4)), None), Some(1));
    }

    #[test]
    fn a_journal_that_ends_before_a_segment_has_lost_its_end() {
        assert_eq!(missing(&[(1, 7)], (None, None), Some((1, 5))), Some(6));
        assert_eq!(missing(&[(1, 7)], (None, None), None), Some(0));
    }
}
