//! What goes wrong while a store is open, or before it is opened: full disks, failing disks, damage.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};

use crate::disk::{CrashStyle, Fault};
use crate::error::{OpenError, StorageError};
use crate::group::Row;
use crate::rig::{Rig, World, answer, entries, log_id, unheard};
use crate::tables::{RowFamily, keys};
use crate::write_pressure::WritePressure;

fn watched(rig: &Rig) -> Arc<AtomicBool> {
    let failed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&failed);
    rig.storage()
        .on_failure(Box::new(move |_| noted.store(true, Ordering::Relaxed)));
    failed
}

fn row() -> Vec<Row> {
    vec![Row::Put {
        key: b"k".to_vec(),
        value: Bytes::from_static(b"v"),
    }]
}

#[test]
fn sealing_on_a_full_disk_is_tried_again_and_stops_nothing() {
    let rig = Rig::simulated();
    let failed = watched(&rig);
    rig.append(7, 1..101, 1_000);
    rig.tables().set_full(true);
    rig.seal(7, &[]);
    rig.append(7, 101..103, 10);
    assert_eq!(rig.storage().usage().segment_count, 0);
    rig.pass(Duration::from_secs(90));
    let trouble = rig.storage().sealing_trouble().unwrap();
    assert_eq!(trouble.failing_for, Duration::from_secs(90));
    assert!(trouble.failures > 1, "{trouble:?}");
    assert!(
        trouble
            .cause
            .starts_with("the tables failed: the disk is full: "),
        "{trouble:?}"
    );
    rig.tables().set_full(false);
    rig.settle();
    assert!(rig.storage().usage().segment_count > 0);
    assert_eq!(rig.storage().sealing_trouble(), None);
    assert!(!failed.load(Ordering::Relaxed));
    let expected = [entries(7, 1..101, 1_000), entries(7, 101..103, 10)].concat();
    rig.assert_holds(7, &expected);
}

#[test]
fn nothing_is_sealed_above_a_purge_that_may_be_undone() {
    let mut rig = Rig::simulated();
    rig.append(7, 1..101, 1_000);
    // The journal has synced what the sealer needs, but the tables cannot take it yet.
    rig.tables().set_full(true);
    rig.seal(7, &[]);
    rig.tables().set_full(false);
    let next = rig.disk().operations();
    rig.disk().inject(Fault::Fail(next, ErrorKind::Other));
    rig.group(7).purge_to(log_id(1, 20), unheard());
    rig.settle();
    rig.abandon();
    rig.disk().crash(CrashStyle::Unsynced);
    rig.tables().crash(0);
    rig.open().unwrap();
    rig.assert_holds(7, &entries(7, 1..101, 1_000));
}

#[test]
fn rows_wait_for_space_in_their_order() {
    let rig = Rig::simulated();
    let failed = watched(&rig);
    rig.tables().set_full(true);
    let (done, durable) = answer();
    rig.group(7).write_rows(None, row(), Some(done));
    rig.settle();
    assert!(durable.lock().is_none() && rig.group(7).row(b"k").unwrap().is_none());
    rig.pass(Duration::from_secs(3));
    assert_eq!(rig.storage().stalled_for(), Duration::from_secs(3));
    rig.tables().set_full(false);
    rig.durably(|done| {
        rig.group(7)
            .write_rows(None, vec![Row::Delete { key: b"k".to_vec() }], Some(done));
    });
    assert!(matches!(*durable.lock(), Some(Ok(()))));
    assert_eq!(rig.group(7).row(b"k").unwrap(), None);
    assert_eq!(rig.storage().stalled_for(), Duration::ZERO);
    assert!(!failed.load(Ordering::Relaxed));
}

#[test]
fn rows_that_cannot_be_written_stop_the_node() {
    let rig = Rig::simulated();
    let failed = watched(&rig);
    rig.tables()
        .inject(Fault::Fail(rig.tables().operations(), ErrorKind::Other));
    let outcome = rig.outcome_of(|done| rig.group(7).write_rows(None, row(), Some(done)));
    assert!(
        matches!(outcome, Err(StorageError::Tables(_))),
        "{outcome:?}"
    );
    assert!(failed.load(Ordering::Relaxed));
    let later = rig.outcome_of(|done| rig.group(7).write_rows(None, row(), Some(done)));
    assert!(later.is_err());
}

#[test]
fn a_failed_journal_stops_the_node_and_acknowledges_nothing_more() {
    let rig = Rig::simulated();
    let failed = watched(&rig);
    rig.append(7, 1..3, 10);
    rig.disk()
        .inject(Fault::Fail(rig.disk().operations(), ErrorKind::Other));
    let outcome = rig.outcome_of(|done| rig.group(7).append(entries(7, 3..4, 10), done));
    assert!(
        matches!(outcome, Err(StorageError::Journal(_))),
        "{outcome:?}"
    );
    assert!(failed.load(Ordering::Relaxed) && watched(&rig).load(Ordering::Relaxed));
    let rows = rig.outcome_of(|done| rig.group(7).write_rows(None, row(), Some(done)));
    assert!(rows.is_err());
    assert_eq!(rig.group(7).row(b"k").unwrap(), None);
}

#[test]
fn a_write_that_waits_is_a_stall() {
    let rig = Rig::simulated();
    rig.append(7, 1..2, 10);
    assert_eq!(rig.storage().stalled_for(), Duration::ZERO);
    rig.group(7).append(entries(7, 2..3, 10), unheard());
    rig.pass(Duration::from_secs(5));
    assert_eq!(rig.storage().stalled_for(), Duration::from_secs(5));
    rig.settle();
    assert_eq!(rig.storage().stalled_for(), Duration::ZERO);
}

#[test]
fn writers_are_refused_before_the_disk_is_full_and_let_in_again() {
    let mut rig = Rig::simulated();
    rig.close();
    rig.config.disk_reserve_bytes = 1 << 20;
    rig.open().unwrap();
    rig.append(7, 1..20, 1_000);
    let look = |rig: &Rig, capacity: u64| {
        rig.disk().set_capacity(Some(capacity));
        rig.pass(Duration::from_secs(2));
        rig.settle();
        rig.storage().accepts_writes()
    };
    assert!(look(&rig, 4 << 20));
    assert!(!look(&rig, 1 << 20));
    // What is under way still gets through.
    rig.append(7, 20..22, 100);
    assert!(!look(&rig, 1_300_000));
    assert!(look(&rig, 2 << 20));
}

#[test]
fn a_lost_segment_closes_its_group_and_no_other() {
    for (first, missing) in [(1, 1), (31, 31), (61, 61)] {
        let mut rig = Rig::simulated();
        for group in 1..3 {
            rig.append(group, 1..91, 1_000);
            rig.seal(group, &[30, 60, 90]);
        }
        rig.close();
        let lost = RaftGroupId::new(1);
        assert!(rig.tables().lose_segment(lost, LogIndex::new(first)));
        rig.open().unwrap();
        let closed = rig.storage().group(lost).map(|_| ());
        let Err(StorageError::MissingEntry { index, .. }) = closed else {
            panic!("{closed:?}");
        };
        assert_eq!(index, LogIndex::new(missing));
        rig.assert_holds(2, &entries(2, 1..91, 1_000));
    }
}

fn files_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(end)))
        .collect()
}

#[test]
fn a_flipped_bit_in_a_segment_file_is_found_at_the_read() {
    let mut rig = Rig::new(World::real());
    rig.append(7, 1..41, 1_000);
    rig.seal(7, &[40]);
    rig.close();
    let segments = files_ending(&rig.config.data_dir.join("tables"), ".sst");
    let largest = segments
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len())
        .unwrap();
    let mut bytes = fs::read(largest).unwrap();
    let needle = &entries(7, 20..21, 1_000)[0].payload;
    let at = bytes
        .windows(16)
        .position(|window| window == &needle[500..516])
        .unwrap();
    bytes[at] ^= 4;
    fs::write(largest, bytes).unwrap();
    rig.open().unwrap();
    let damaged = rig.read_all(7);
    assert!(
        matches!(damaged, Err(StorageError::DamagedEntry { .. })),
        "{damaged:?}"
    );
}

#[test]
fn what_a_crash_left_of_an_unfinished_segment_is_swept_away() {
    let mut rig = Rig::new(World::real());
    rig.append(7, 1..3, 10);
    rig.close();
    let left = rig.config.data_dir.join("sealing").join("7-1.sst");
    fs::write(&left, b"half a segment").unwrap();
    rig.open().unwrap();
    assert!(!left.exists());
    rig.append(7, 3..101, 1_000);
    rig.seal(7, &[]);
    assert!(rig.storage().usage().segment_count > 0);
}

/// Appends as a producer does that asks first, until it is held back or has appended enough.
fn produce(rig: &Rig, next: &mut u64, count: u64) {
    for _ in 0..count {
        if rig.storage().accepts_writes() {
            rig.append(7, *next..*next + 5, 3_000);
            *next += 5;
            let last = LogIndex::new(*next - 1);
            rig.group(7).allow_sealing(last, &[]);
        }
        assert!(
            rig.storage().usage().journal_bytes <= 2 * rig.config.journal_bytes_max,
            "{:?}",
            rig.storage().usage()
        );
    }
}

#[test]
fn producers_that_wait_keep_the_journal_within_twice_its_budget() {
    let rig = Rig::simulated();
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = Arc::clone(&heard);
    rig.storage()
        .on_write_pressure(Box::new(move |pressure| noted.lock().push(pressure)));
    let mut next = 1;
    // Nothing can be sealed, so the journal only grows.
    rig.tables().set_full(true);
    produce(&rig, &mut next, 100);
    assert_eq!(rig.storage().write_pressure(), WritePressure::JournalFull);
    let bytes = rig.storage().usage().journal_bytes;
    assert!(bytes > rig.config.journal_bytes_max, "{bytes}");
    // Everything else goes on.
    rig.durably(|done| rig.group(9).save_vote(Bytes::from_static(b"vote"), done));
    rig.append(9, 1..3, 100);
    rig.assert_holds(7, &entries(7, 1..next, 3_000));
    rig.tables().set_full(false);
    rig.settle();
    rig.pass(Duration::from_secs(2));
    rig.settle();
    assert_eq!(rig.storage().write_pressure(), WritePressure::None);
    let expected = [
        WritePressure::None,
        WritePressure::JournalFull,
        WritePressure::None,
    ];
    assert_eq!(*heard.lock(), expected);
    let held_at = next;
    produce(&rig, &mut next, 100);
    assert!(next > held_at + 400, "producers are let in again");
    rig.assert_holds(7, &entries(7, 1..next, 3_000));
}

#[test]
fn a_journal_that_is_far_over_its_budget_at_a_start_holds_producers_back() {
    let mut rig = Rig::simulated();
    rig.tables().set_full(true);
    let mut next = 1;
    produce(&rig, &mut next, 100);
    rig.abandon();
    rig.tables().crash(0);
    rig.tables().set_full(false);
    rig.open().unwrap();
    assert_eq!(rig.storage().write_pressure(), WritePressure::JournalFull);
    rig.seal(7, &[]);
    rig.pass(Duration::from_secs(2));
    rig.settle();
    assert!(rig.storage().accepts_writes());
}

/// A store with two groups, each with segments that the journal has given up,
/// closed; and the file of one segment.
fn closed_with_segments() -> (Rig, PathBuf) {
    let mut rig = Rig::new(World::real());
    for group in [7, 8] {
        rig.append(group, 1..91, 1_000);
        rig.seal(group, &[30, 60, 90]);
        rig.durably(|done| rig.group(group).write_rows(None, row(), Some(done)));
    }
    rig.close();
    let mut segments = files_ending(&rig.config.data_dir.join("tables"), ".sst");
    segments.sort();
    let damaged = segments.pop().unwrap();
    (rig, damaged)
}

fn flip(path: &Path, from_end: usize) {
    let mut bytes = fs::read(path).unwrap();
    let at = bytes.len() - from_end;
    bytes[at] ^= 4;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_segment_file_that_cannot_be_opened_closes_its_group_and_no_other() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 4] = [
        ("a bit of its footer is flipped", |path| flip(path, 20)),
        ("a bit of its properties is flipped", |path| flip(path, 200)),
        ("it is cut short", |path| {
            let bytes = fs::read(path).unwrap();
            fs::write(path, &bytes[..bytes.len() - 100]).unwrap();
        }),
        ("it is gone", |path| fs::remove_file(path).unwrap()),
    ];
    for (what, damage) in damages {
        println!("{what}");
        let (mut rig, path) = closed_with_segments();
        damage(&path);
        rig.open().unwrap();
        let damaged = rig.storage().damaged_groups();
        let [lost] = damaged[..] else {
            panic!("{damaged:?}");
        };
        assert!(rig.storage().group(lost).is_err());
        let other = if lost.get() == 7 { 8 } else { 7 };
        rig.assert_holds(other, &entries(other, 1..91, 1_000));
        for group in [lost.get(), other] {
            let tables = &rig.storage().engine.tables;
            let key = keys::row(RaftGroupId::new(group), b"k");
            assert!(tables.row(RowFamily::Rows, &key).unwrap().is_some());
        }
        rig.durably(|done| rig.storage().reset_group(lost, done));
        rig.append(lost.get(), 1..41, 1_000);
        rig.seal(lost.get(), &[40]);
        rig.reopen();
        rig.assert_holds(lost.get(), &entries(lost.get(), 1..41, 1_000));
    }
}

#[test]
fn damage_that_concerns_all_groups_is_not_worked_around() {
    let (mut rig, segment) = closed_with_segments();
    flip(&segment, 20);
    let tables = rig.config.data_dir.join("tables");
    let logs = files_ending(&tables, ".log");
    let log = logs
        .iter()
        .max_by_key(|path| fs::metadata(path).unwrap().len());
    let log = log.unwrap();
    let length = fs::read(log).unwrap().len();
    flip(log, length / 2);
    for _ in 0..2 {
        let refused = rig.open().unwrap_err();
        assert!(matches!(refused, OpenError::Tables { .. }), "{refused}");
        assert!(segment.exists());
    }
}
