//! What users of the journal rely on, one behaviour at a time; and all of it on a real disk with a
//! real thread.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use crossbeam_channel::Receiver;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};
use parking_lot::Mutex;

use super::format::{PAGE_BYTES, page_up};
use super::rig::{FILE_BYTES, clock, config, entry, log_files};
use super::{Journal, JournalConfig, Writer};
use crate::clock::MonotonicClock;
use crate::disk::{CrashStyle, Fault, RealDisk, SimDisk};
use crate::entry::{Completion, LogEntry};
use crate::error::StorageError;
use crate::life::Life;

const GROUP: RaftGroupId = RaftGroupId::new(1);
const OTHER: RaftGroupId = RaftGroupId::new(2);

/// The outcomes of completions, in the order in which they ran.
#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<Outcome>>>);

type Outcome = (u32, Result<(), String>);

impl Outcomes {
    fn of(&self, number: u32) -> Completion {
        let outcomes = Arc::clone(&self.0);
        Box::new(move |outcome| {
            let outcome = outcome.map_err(|error| error.to_string());
            outcomes.lock().push((number, outcome));
        })
    }

    fn numbers(&self) -> Vec<u32> {
        self.0.lock().iter().map(|(number, _)| *number).collect()
    }

    fn errors(&self) -> Vec<String> {
        self.0
            .lock()
            .iter()
            .filter_map(|(_, outcome)| outcome.clone().err())
            .collect()
    }
}

fn open(disk: &SimDisk) -> (Journal, Writer) {
    let (journal, writer, _) = Journal::open(config(), Arc::new(disk.clone()), clock()).unwrap();
    (journal, writer)
}

fn nothing() -> Completion {
    Box::new(|_| {})
}

fn index(number: u64) -> LogIndex {
    LogIndex::new(number)
}

fn log_id(term: u64, number: u64) -> LogId {
    LogId::new(Term::new(term), index(number))
}

fn read_all(journal: &Journal, group: RaftGroupId) -> Vec<LogEntry> {
    let Some((first, last)) = journal.group_range(group) else {
        return Vec::new();
    };
    journal
        .read(group, first.index..last.index.next(), usize::MAX)
        .unwrap()
}

#[test]
fn entries_and_votes_are_readable_before_they_are_durable() {
    let (journal, mut writer) = open(&SimDisk::new());
    let outcomes = Outcomes::default();
    let entries = vec![entry(1, 0, "a"), entry(1, 1, "bc")];
    journal.append(GROUP, entries.clone(), outcomes.of(0));
    journal.save_vote(GROUP, Bytes::from("vote"), outcomes.of(1));
    assert_eq!(read_all(&journal, GROUP), entries);
    assert_eq!(journal.vote(GROUP), Some(Bytes::from("vote")));
    assert_eq!(journal.term_at(GROUP, index(1)), Some(Term::new(1)));
    assert_eq!(journal.group_bytes(GROUP), 3);
    assert_eq!(outcomes.numbers(), [] as [u32; 0]);
    assert!(writer.run_once());
    assert_eq!(outcomes.numbers(), [0, 1]);
    assert_eq!(outcomes.errors(), [] as [String; 0]);
    assert!(!writer.run_once());
}

#[test]
fn small_writes_to_a_new_file_are_prepared_for_and_large_ones_are_not() {
    let large_files = JournalConfig {
        file_bytes: 1 << 20,
        ..config()
    };
    let disk = Arc::new(SimDisk::new());
    let (journal, mut writer, _) = Journal::open(large_files, disk, clock()).unwrap();
    let mut numbers = 0..;
    let mut write = |payload_bytes: usize| {
        let before = journal.bytes_written();
        let entry = entry(1, numbers.next().unwrap(), vec![1; payload_bytes]);
        journal.append(GROUP, vec![entry], nothing());
        assert!(writer.run_once());
        journal.bytes_written() - before
    };
    let _begins_the_file = write(100);
    let pages: Vec<u64> = (0..17).map(|_| write(100) / PAGE_BYTES).collect();
    assert_eq!(pages, [vec![1; 16], vec![1 + 16]].concat());
    for _ in 0..3 {
        assert_eq!(write(100_000), page_up(100_000 + 100));
    }
}

#[test]
fn a_read_is_bounded_but_returns_at_least_one_entry() {
    let (journal, _writer) = open(&SimDisk::new());
    let entries: Vec<_> = (0..4)
        .map(|number| entry(1, number, vec![1; 100]))
        .collect();
    journal.append(GROUP, entries.clone(), nothing());
    let read = |start, end, bytes_max| {
        journal
            .read(GROUP, index(start)..index(end), bytes_max)
            .unwrap()
    };
    assert_eq!(read(1, 4, 250), entries[1..3]);
    assert_eq!(read(2, 9, usize::MAX), entries[2..]);
    assert_eq!(read(3, 4, 0), entries[3..]);
    assert_eq!(read(4, 9, 100), []);
    assert_eq!(read(2, 2, 100), []);
}

#[test]
fn a_hole_is_refused_in_turn_and_changes_nothing() {
    let (journal, mut writer) = open(&SimDisk::new());
    let outcomes = Outcomes::default();
    journal.append(GROUP, vec![entry(1, 5, "five")], outcomes.of(0));
    journal.append(GROUP, vec![entry(1, 7, "seven")], outcomes.of(1));
    journal.append(
        GROUP,
        vec![entry(1, 6, "six"), entry(1, 8, "eight")],
        outcomes.of(2),
    );
    journal.purge_to(GROUP, log_id(1, 5), outcomes.of(3));
    journal.append(
        GROUP,
        vec![entry(2, 5, "below the purge point")],
        outcomes.of(4),
    );
    journal.truncate_from(GROUP, index(4), outcomes.of(5));
    journal.append(GROUP, vec![entry(2, 6, "six")], outcomes.of(6));
    writer.run_once();
    assert_eq!(outcomes.numbers(), [0, 1, 2, 3, 4, 5, 6]);
    assert_eq!(
        outcomes.errors(),
        [
            "raft group 1 continues at 6, not at 7",
            "raft group 1 continues at 7, not at 8",
            "raft group 1 continues at 6, not at 5",
            "raft group 1 continues at 6, not at 4",
        ]
    );
    assert_eq!(read_all(&journal, GROUP), [entry(2, 6, "six")]);
}

#[test]
fn a_log_continues_after_a_purge_point_above_its_end() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    journal.append(GROUP, vec![entry(1, 0, "old")], nothing());
    journal.purge_to(GROUP, log_id(3, 40), nothing());
    assert_eq!(journal.group_range(GROUP), None);
    assert_eq!(journal.term_at(GROUP, index(40)), Some(Term::new(3)));
    journal.append(GROUP, vec![entry(3, 41, "new")], nothing());
    writer.run_once();
    disk.crash(CrashStyle::Unsynced);
    let (journal, _writer) = open(&disk);
    assert_eq!(journal.last_purged(GROUP), Some(log_id(3, 40)));
    assert_eq!(read_all(&journal, GROUP), [entry(3, 41, "new")]);
}

#[test]
fn a_removed_group_stays_removed_until_it_is_forgotten() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    let outcomes = Outcomes::default();
    journal.append(GROUP, vec![entry(1, 0, "a")], outcomes.of(0));
    journal.remove_group(GROUP, outcomes.of(1));
    journal.save_vote(GROUP, Bytes::from("late"), outcomes.of(2));
    journal.forget_removed(GROUP);
    assert!(journal.is_removed(GROUP), "the removal is not durable yet");
    writer.run_once();
    assert_eq!(outcomes.errors(), ["raft group 1 was removed"]);
    assert_eq!(
        (journal.groups(), journal.group_range(GROUP)),
        (vec![], None)
    );
    disk.crash(CrashStyle::Unsynced);
    let (journal, _writer) = open(&disk);
    assert!(journal.is_removed(GROUP));
    journal.forget_removed(GROUP);
    assert!(!journal.is_removed(GROUP));
}

#[test]
fn memory_holds_what_is_not_durable_and_the_newest_of_the_rest() {
    let (journal, mut writer) = open(&SimDisk::new());
    let cached = |number| {
        journal
            .read_cached(GROUP, index(number)..index(number + 1), 1)
            .is_some()
    };
    // Four times the budget waits for the writer: all of it is pinned.
    for number in 0..32 {
        journal.append(
            GROUP,
            vec![entry(1, number, vec![number as u8; 1_000])],
            nothing(),
        );
    }
    assert!((0..32).all(cached));
    writer.run_once();
    assert!(!cached(0) && !cached(20) && cached(27) && cached(31));
    let entries = read_all(&journal, GROUP);
    assert!(
        entries
            .iter()
            .all(|entry| entry.payload[0] == entry.id.index.get() as u8)
    );
    let newest = journal
        .read_cached(GROUP, index(30)..index(40), usize::MAX)
        .unwrap();
    assert_eq!(newest, entries[30..]);
}

#[test]
fn a_group_without_quorum_pins_no_file() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    // The first group has a vote and entries that nobody will ever commit; the other one moves on.
    let stuck = vec![entry(1, 3, "stuck"), entry(1, 4, vec![4; 5_000])];
    journal.purge_to(GROUP, log_id(1, 2), nothing());
    journal.save_vote(GROUP, Bytes::from("candidate"), nothing());
    journal.append(GROUP, stuck.clone(), nothing());
    for number in 0..200 {
        journal.append(OTHER, vec![entry(1, number, vec![9; 2_000])], nothing());
        writer.run_once();
        if number % 20 == 19 {
            journal.release_sealed(OTHER, Life::default(), index(number));
            let released = journal.copy_forward(20_000, nothing());
            writer.run_once();
            journal.recycle(&released).unwrap();
        }
    }
    assert!(journal.files().last().unwrap().sequence > 10);
    assert!(journal.files().len() <= 2, "{:?}", journal.files());
    assert_eq!(journal.spare_files(), config().spare_files_max);
    disk.crash(CrashStyle::Unsynced);
    let (journal, _writer) = open(&disk);
    assert_eq!(read_all(&journal, GROUP), stuck);
    assert_eq!(journal.vote(GROUP), Some(Bytes::from("candidate")));
    assert_eq!(journal.last_purged(GROUP), Some(log_id(1, 2)));
    assert_eq!(journal.last_sealed(OTHER), Some(log_id(1, 199)));
}

#[test]
fn a_file_with_more_than_may_be_copied_is_kept() {
    let (journal, mut writer) = open(&SimDisk::new());
    while journal.files().len() < 2 {
        let next = journal
            .group_range(GROUP)
            .map_or(0, |(_, last)| last.index.get() + 1);
        journal.append(GROUP, vec![entry(1, next, vec![1; 3_000])], nothing());
        writer.run_once();
    }
    let full = journal.files().remove(0);
    assert!(full.full);
    let [(group, first, last)] = full.groups[..] else {
        panic!("one group wrote: {full:?}");
    };
    assert_eq!((group, first), (GROUP, index(0)));
    let leftover = (last.get() + 1) * (3_000 + 32);
    let released = journal.copy_forward(leftover - 1, nothing());
    writer.run_once();
    assert_eq!(journal.recycle(&released).unwrap(), 0);
    let released = journal.copy_forward(leftover, nothing());
    writer.run_once();
    assert_eq!(journal.recycle(&released).unwrap(), 1);
    assert_eq!(read_all(&journal, GROUP).len() as u64, last.get() + 2);
}

#[test]
fn a_file_is_not_judged_while_a_change_that_drops_something_is_in_flight() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    journal.save_vote(GROUP, Bytes::from("first"), nothing());
    while journal.files().len() < 2 {
        let next = journal
            .group_range(OTHER)
            .map_or(0, |(_, last)| last.index.get() + 1);
        journal.append(OTHER, vec![entry(1, next, vec![1; 3_000])], nothing());
        writer.run_once();
    }
    journal.release_sealed(OTHER, Life::default(), index(100));
    let outcomes = Outcomes::default();
    let released = journal.copy_forward(0, outcomes.of(0));
    journal.save_vote(GROUP, Bytes::from("second"), outcomes.of(1));
    writer.run_once();
    assert_eq!(outcomes.numbers(), [] as [u32; 0]);
    assert_eq!(journal.recycle(&released).unwrap(), 0);
    writer.run_once();
    assert_eq!(outcomes.numbers(), [1, 0]);
    assert_eq!(journal.recycle(&released).unwrap(), 1);
    disk.crash(CrashStyle::Unsynced);
    assert_eq!(open(&disk).0.vote(GROUP), Some(Bytes::from("second")));
}

#[test]
fn an_entry_larger_than_a_file_is_kept() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    let large = entry(1, 1, vec![5; 16 << 20]);
    journal.append(GROUP, vec![entry(1, 0, "small")], nothing());
    writer.run_once();
    journal.append(GROUP, vec![large.clone(), entry(1, 2, "next")], nothing());
    writer.run_once();
    journal.append(GROUP, vec![entry(1, 3, "last")], nothing());
    writer.run_once();
    disk.crash(CrashStyle::Unsynced);
    let (journal, _writer) = open(&disk);
    let entries = read_all(&journal, GROUP);
    assert_eq!(entries.len(), 4);
    assert_eq!(entries[1], large);
}

#[test]
fn an_idle_journal_writes_its_watermark_once() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    journal.append(GROUP, vec![entry(1, 0, "a")], nothing());
    writer.run_once();
    let before = disk.operations();
    writer.write_watermark();
    let after = disk.operations();
    assert_eq!(after, before + 2, "one write, one sync");
    writer.write_watermark();
    assert_eq!(disk.operations(), after);
}

#[test]
fn damage_that_a_reader_finds_is_not_served_and_ends_acknowledgements() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    journal.append(GROUP, vec![entry(1, 0, vec![7; 1_000])], nothing());
    // Push the entry out of memory.
    journal.append(OTHER, vec![entry(1, 0, vec![8; 20_000])], nothing());
    writer.run_once();
    disk.flip_bit(&log_files(&disk)[0], 4_096 + 40 + 32 + 500, 3)
        .unwrap();
    let failures = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&failures);
    journal.on_failure(Box::new(move |error| {
        assert!(matches!(error, StorageError::Corrupt(_)));
        counter.fetch_add(1, Ordering::Relaxed);
    }));
    let read = journal.read(GROUP, index(0)..index(1), usize::MAX);
    let Err(StorageError::Corrupt(damage)) = read else {
        panic!("served damaged data: {read:?}");
    };
    assert_eq!(damage.position, 4_096 + 40);
    assert_eq!(failures.load(Ordering::Relaxed), 1);
    let outcomes = Outcomes::default();
    journal.append(OTHER, vec![entry(1, 1, "more")], outcomes.of(0));
    writer.run_once();
    assert_eq!(outcomes.errors().len(), 1);
}

#[test]
fn a_failed_write_fails_everything_that_waits_and_all_that_comes() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    let outcomes = Outcomes::default();
    journal.append(GROUP, vec![entry(1, 0, "a")], outcomes.of(0));
    writer.run_once();
    let sync = disk.operations() + 1;
    disk.inject(Fault::Fail(sync, std::io::ErrorKind::Other));
    journal.append(GROUP, vec![entry(1, 1, "b")], outcomes.of(1));
    journal.after_sync(outcomes.of(2));
    writer.run_once();
    let done = outcomes.of(3);
    journal.save_vote(GROUP, Bytes::from("vote"), done);
    writer.run_once();
    assert_eq!(outcomes.numbers(), [0, 1, 2, 3]);
    assert_eq!(outcomes.errors().len(), 3, "{:?}", outcomes.errors());
    assert_eq!(disk.operations(), sync + 1, "nothing is tried again");
    let called = Arc::new(AtomicBool::new(false));
    let call = Arc::clone(&called);
    journal.on_failure(Box::new(move |_| call.store(true, Ordering::Relaxed)));
    assert!(
        called.load(Ordering::Relaxed),
        "late subscribers learn of it, too"
    );
}

#[test]
fn what_comes_after_the_shutdown_is_told_so() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    let outcomes = Outcomes::default();
    journal.append(GROUP, vec![entry(1, 0, "a")], outcomes.of(0));
    journal.shut_down(outcomes.of(1));
    journal.append(GROUP, vec![entry(1, 1, "b")], outcomes.of(2));
    writer.run_once();
    assert_eq!(outcomes.errors(), [] as [String; 0]);
    writer.run_once();
    journal.append(GROUP, vec![entry(1, 2, "c")], outcomes.of(3));
    drop(writer);
    journal.append(GROUP, vec![entry(1, 3, "d")], outcomes.of(4));
    assert_eq!(outcomes.numbers(), [0, 1, 2, 3, 4]);
    assert_eq!(outcomes.errors(), ["storage is closed"; 3]);
    assert_eq!(journal.stalled_for(), Duration::ZERO);
}

#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl MonotonicClock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

#[test]
fn a_write_that_waits_shows_as_a_stall() {
    let clock = Arc::new(ManualClock::default());
    let (journal, mut writer, _) =
        Journal::open(config(), Arc::new(SimDisk::new()), Arc::clone(&clock) as _).unwrap();
    clock.0.store(100, Ordering::Relaxed);
    assert_eq!(journal.stalled_for(), Duration::ZERO);
    journal.append(GROUP, vec![entry(1, 0, "a")], nothing());
    clock.0.store(103, Ordering::Relaxed);
    journal.append(GROUP, vec![entry(1, 1, "b")], nothing());
    clock.0.store(107, Ordering::Relaxed);
    assert_eq!(journal.stalled_for(), Duration::from_secs(7));
    writer.run_once();
    assert_eq!(journal.stalled_for(), Duration::ZERO);
}

/// What each thread appends in the test below.
const ENTRIES: u64 = 400;

fn payload(group: u64, number: u64) -> Vec<u8> {
    vec![(group * 31 + number) as u8; 500 + number as usize]
}

fn append_steadily(journal: &Journal, group: u64) {
    let id = RaftGroupId::new(group as u32);
    let mut waiting = Vec::new();
    for number in 0..ENTRIES {
        let (done, outcome) = waiter();
        journal.append(id, vec![entry(1, number, payload(group, number))], done);
        waiting.push(outcome);
        if number % 8 == 7 {
            waiting
                .drain(..)
                .for_each(|outcome| outcome.recv().unwrap().unwrap());
        }
    }
}

/// Eight threads append to a group each, one reads what they wrote, one releases files.
#[test]
fn real_threads_on_a_real_disk_lose_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let config = JournalConfig {
        directory: directory.path().join("journal"),
        file_bytes: 2 * FILE_BYTES,
        ..config()
    };
    let open = || Journal::open(config.clone(), Arc::new(RealDisk), clock()).unwrap();
    let (journal, writer, _) = open();
    let writer = std::thread::spawn(move || writer.run());
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let appenders: Vec<_> = (0..8)
            .map(|group| {
                let journal = journal.clone();
                scope.spawn(move || append_steadily(&journal, group))
            })
            .collect();
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                for group in 0..8 {
                    for entry in read_all(&journal, RaftGroupId::new(group as u32)) {
                        assert_eq!(entry.payload, payload(group, entry.id.index.get()));
                    }
                }
            }
        });
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                journal.prepare_spare().unwrap();
                let (done, outcome) = waiter();
                let released = journal.copy_forward(2 * FILE_BYTES, done);
                outcome.recv().unwrap().unwrap();
                journal.recycle(&released).unwrap();
            }
        });
        appenders
            .into_iter()
            .for_each(|appender| appender.join().unwrap());
        is_done.store(true, Ordering::Relaxed);
    });
    assert!(
        journal.files().last().unwrap().sequence > 5,
        "files were switched"
    );
    assert!(journal.bytes_written() > 8 * ENTRIES * 500);
    let (done, outcome) = waiter();
    journal.shut_down(done);
    outcome.recv().unwrap().unwrap();
    writer.join().unwrap();
    let (journal, _writer, recovered) = open();
    assert_eq!(recovered.groups.len(), 8);
    for group in 0..8 {
        let entries = read_all(&journal, RaftGroupId::new(group as u32));
        assert_eq!(entries.len() as u64, ENTRIES);
        let is_right = |entry: &LogEntry| entry.payload == payload(group, entry.id.index.get());
        assert!(entries.iter().all(is_right));
    }
}

fn waiter() -> (Completion, Receiver<Result<(), StorageError>>) {
    let (answer, outcome) = crossbeam_channel::bounded(1);
    let done = Box::new(move |result| answer.send(result).unwrap());
    (done, outcome)
}

#[test]
fn a_reset_leaves_the_vote_and_an_empty_log_that_begins_where_it_likes() {
    let disk = SimDisk::new();
    let (journal, mut writer) = open(&disk);
    let outcomes = Outcomes::default();
    journal.save_vote(GROUP, Bytes::from("vote"), outcomes.of(0));
    journal.append(GROUP, vec![entry(1, 5, "five")], outcomes.of(1));
    drop(journal.purge_to(GROUP, log_id(1, 5), outcomes.of(2)));
    drop(journal.reset_group(GROUP, Life::new(1), outcomes.of(3)));
    assert_eq!(journal.group_range(GROUP), None);
    assert_eq!(journal.last_purged(GROUP), None);
    assert_eq!(journal.vote(GROUP), Some(Bytes::from("vote")));
    journal.append(GROUP, vec![entry(1, 0, "zero")], outcomes.of(4));
    while writer.run_once() {}
    assert_eq!(outcomes.numbers(), [0, 1, 2, 3, 4]);
    assert_eq!(outcomes.errors(), [] as [String; 0]);
    disk.crash(CrashStyle::Unsynced);
    let (journal, _writer) = open(&disk);
    assert_eq!(read_all(&journal, GROUP), [entry(1, 0, "zero")]);
    assert_eq!(journal.vote(GROUP), Some(Bytes::from("vote")));
    assert_eq!(journal.life(GROUP), Life::new(1));
}

#[test]
fn what_was_sealed_in_a_life_that_has_ended_releases_nothing() {
    let (journal, mut writer) = open(&SimDisk::new());
    journal.append(GROUP, vec![entry(1, 0, "a"), entry(1, 1, "b")], nothing());
    drop(journal.reset_group(GROUP, Life::new(1), nothing()));
    let anew = vec![entry(1, 0, "c"), entry(1, 1, "d")];
    journal.append(GROUP, anew.clone(), nothing());
    while writer.run_once() {}
    journal.release_sealed(GROUP, Life::new(0), index(1));
    assert_eq!(read_all(&journal, GROUP), anew);
    journal.release_sealed(GROUP, Life::new(1), index(0));
    assert_eq!(read_all(&journal, GROUP), anew[1..]);
}

#[test]
fn an_entry_is_not_looked_for_where_one_of_a_former_life_is() {
    let (journal, mut writer) = open(&SimDisk::new());
    // So large that the writer takes it alone, while the rest is queued already.
    journal.append(GROUP, vec![entry(1, 0, vec![7; 5 << 20])], nothing());
    drop(journal.reset_group(GROUP, Life::new(1), nothing()));
    let anew = vec![entry(1, 0, "anew")];
    journal.append(GROUP, anew.clone(), nothing());
    assert!(writer.run_once());
    assert_eq!(read_all(&journal, GROUP), anew);
    while writer.run_once() {}
    assert_eq!(read_all(&journal, GROUP), anew);
}
