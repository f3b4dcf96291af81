//! Opening a database of which a segment is damaged or lost.
//!
//! RocksDB looks at its files when it opens, and refuses all of them for the sake of one. A segment
//! concerns one group only, so it is given up here: the group then misses entries, which is found and
//! reported, and the other groups go on. Any other file concerns all groups and is never given up.
//!
//! To get at the list of files, the database is opened once without its strict checks. They also guard
//! its write-ahead log, which therefore is checked here before.

use std::fs;
use std::path::{Path, PathBuf};

use rocksdb::{ColumnFamilyDescriptor, DB, Options};

use crate::tables::keys::Family;

/// A write-ahead log is written in blocks, and no record crosses from one to the next.
const BLOCK_BYTES: usize = 32 << 10;
const RECORD_HEADER_BYTES: usize = 7;
/// Files that are given up at one start. Beyond that it is not a file that is damaged.
const GIVEN_UP_MAX: usize = 64;

/// Opens the database, and gives up segments that keep it from opening.
pub(crate) fn open(
    options: &Options,
    dir: &Path,
    families: impl Fn() -> Vec<ColumnFamilyDescriptor>,
) -> Result<DB, rocksdb::Error> {
    let mut lenient = options.clone();
    lenient.set_paranoid_checks(false);
    for _ in 0..GIVEN_UP_MAX {
        let error = match DB::open_cf_descriptors(options, dir, families()) {
            Ok(db) => return Ok(db),
            Err(error) => error,
        };
        let damaged = is_damage(&error).then(|| table_file_in(error.as_ref()));
        let Some(name) = damaged.flatten().filter(|_| logs_are_sound(dir)) else {
            return Err(error);
        };
        let db = DB::open_cf_descriptors(&lenient, dir, families())?;
        if !give_up(&db, name, &error)? {
            return Err(error);
        }
        db.cancel_all_background_work(true);
    }
    DB::open_cf_descriptors(options, dir, families())
}

/// Drops the file if it is a segment. False: it is not, or there is no such file.
fn give_up(db: &DB, name: &str, reason: &rocksdb::Error) -> Result<bool, rocksdb::Error> {
    let files = db.live_files()?;
    let file = files.into_iter().find(|file| {
        file.column_family_name == Family::Segments.name()
            && file.name.trim_start_matches('/') == name
    });
    let Some(file) = file else {
        return Ok(false);
    };
    let (Some(first), Some(last)) = (file.start_key, file.end_key) else {
        return Ok(false);
    };
    let Some(segments) = db.cf_handle(Family::Segments.name()) else {
        return Ok(false);
    };
    tracing::error!(file = name, %reason, "a segment is damaged and is given up");
    // No other segment lies within its keys.
    db.delete_file_in_range_cf(segments, first, last)?;
    Ok(true)
}

/// Whether the file is other than it was, or is gone. What merely cannot be read now may be there
/// later: too many open files, a disk that fails.
fn is_damage(error: &rocksdb::Error) -> bool {
    let is_readable = !error.as_ref().contains("IO error");
    let is_gone = error.as_ref().contains("No such file");
    error.kind() == rocksdb::ErrorKind::Corruption && (is_readable || is_gone)
}

/// The name of the table file that a message is about.
fn table_file_in(message: &str) -> Option<&str> {
    let end = message.find(".sst")?;
    let digits = message[..end].bytes().rev();
    let count = digits.take_while(u8::is_ascii_digit).count();
    (count > 0).then(|| &message[end - count..end + ".sst".len()])
}

/// Whether every record of the write-ahead logs is whole, up to one that was being written last.
fn logs_are_sound(dir: &Path) -> bool {
    let Ok(entries) = fs::read_dir(dir) else {
        return false;
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut logs: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|end| end == "log"))
        .collect();
    logs.sort();
    let last = logs.len().saturating_sub(1);
    let mut numbered = logs.iter().enumerate();
    numbered.all(|(number, path)| {
        fs::read(path).is_ok_and(|log| match end_of_log(&log) {
            LogEnd::Whole => true,
            LogEnd::CutShort => number == last,
            LogEnd::Damaged => false,
        })
    })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LogEnd {
    Whole,
    /// The last record is longer than the file.
    CutShort,
    Damaged,
}

/// How a write-ahead log ends. Its records: crc u32 · length u16 · type u8 · payload.
fn end_of_log(log: &[u8]) -> LogEnd {
    for (number, block) in log.chunks(BLOCK_BYTES).enumerate() {
        let mut rest = block;
        // What is too short for a header is padding.
        while let Some((header, after)) = rest.split_first_chunk::<RECORD_HEADER_BYTES>() {
            let [c0, c1, c2, c3, l0, l1, kind] = *header;
            let length = usize::from(u16::from_le_bytes([l0, l1]));
            if kind == 0 && length == 0 {
                let unused = &log[number * BLOCK_BYTES + block.len() - rest.len()..];
                let is_unused = unused.iter().all(|byte| *byte == 0);
                return if is_unused {
                    LogEnd::Whole
                } else {
                    LogEnd::Damaged
                };
            }
            // Whole, first, middle and last part of a batch. We ask for no other kind.
            if !(1..=4).contains(&kind) {
                return LogEnd::Damaged;
            }
            let Some((payload, next)) = after.split_at_checked(length) else {
                let is_last = block.len() < BLOCK_BYTES;
                return if is_last {
                    LogEnd::CutShort
                } else {
                    LogEnd::Damaged
                };
            };
            let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload);
            if u32::from_le_bytes([c0, c1, c2, c3]) != masked(crc) {
                return LogEnd::Damaged;
            }
            rest = next;
        }
    }
    LogEnd::Whole
}

/// How RocksDB stores a checksum.
const fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: u8, payload: &[u8]) -> Vec<u8> {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&[kind]), payload);
        let mut record = masked(crc).to_le_bytes().to_vec();
        record.extend_from_slice(&(payload.len() as u16).to_le_bytes());
        record.push(kind);
        record.extend_from_slice(payload);
        record
    }

    #[test]
    fn a_log_is_whole_cut_short_or_damaged() {
        let log = [record(1, b"one"), record(2, b"two"), record(4, b"three")].concat();
        assert_eq!(end_of_log(&log), LogEnd::Whole);
        assert_eq!(end_of_log(&[]), LogEnd::Whole);
        for bytes in 1..12 {
            // Less than a header is taken for padding, which RocksDB does as well.
            let end = end_of_log(&log[..log.len() - bytes]);
            let expected = if bytes < 6 {
                LogEnd::CutShort
            } else {
                LogEnd::Whole
            };
            assert_eq!(end, expected, "{bytes} bytes are missing");
        }
        for position in 0..log.len() {
            let mut damaged = log.clone();
            damaged[position] ^= 0x10;
            assert_ne!(end_of_log(&damaged), LogEnd::Whole, "byte {position}");
        }
        let unused = [log.clone(), vec![0; 100]].concat();
        assert_eq!(end_of_log(&unused), LogEnd::Whole);
        let begun = [log, vec![0; 50], vec![1]].concat();
        assert_eq!(end_of_log(&begun), LogEnd::Damaged);
    }

    #[test]
    fn a_message_names_its_file() {
        let message = "Corruption: block checksum mismatch in /data/tables/000009.sst offset 4";
        assert_eq!(table_file_in(message), Some("000009.sst"));
        assert_eq!(table_file_in("IO error: no space"), None);
        assert_eq!(table_file_in("what.sst"), None);
    }
}
