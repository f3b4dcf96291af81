//! A store with its own threads, on the machine: writers, readers, sealing and purging at once.

use std::sync::mpsc::{Receiver, channel};
use std::thread::scope;
use std::time::Duration;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::config::StorageConfig;
use crate::group::{GroupLog, Row};
use crate::rig::{entries, entry, log_id};
use crate::seams::Seams;
use crate::storage::Storage;

const GROUPS: std::ops::Range<u32> = 1..4;
const BATCHES: u64 = 120;
const BATCH: u64 = 10;
const END: u64 = 1 + BATCHES * BATCH;
/// Entries that stay when the rest is purged on the way.
const KEPT: u64 = 400;
const PATIENCE: Duration = Duration::from_secs(20);

fn config(dir: &std::path::Path) -> StorageConfig {
    let mut config = StorageConfig::new(dir.join("data"));
    config.journal_file_bytes = 64 << 10;
    config.journal_bytes_max = 256 << 10;
    config.journal_bytes_kept = 0;
    config.segment_bytes_target = 64 << 10;
    config.segment_bytes_min = 8 << 10;
    config.tail_cache_bytes = 16 << 10;
    config
}

fn confirmed(answers: &Receiver<bool>) {
    assert!(
        answers
            .recv_timeout(PATIENCE)
            .expect("every change is answered")
    );
}

/// Writes a log in batches, applies it, ends intervals, purges behind itself.
fn write(log: &GroupLog) {
    let group = log.id().get();
    let (sender, answers) = channel();
    for batch in 0..BATCHES {
        let first = 1 + batch * BATCH;
        let last = LogIndex::new(first + BATCH - 1);
        let answer = sender.clone();
        log.append(
            entries(group, first..first + BATCH, 700),
            Box::new(move |outcome| answer.send(outcome.is_ok()).unwrap()),
        );
        confirmed(&answers);
        let boundaries: &[LogIndex] = if batch % 8 == 7 { &[last] } else { &[] };
        log.allow_sealing(last, boundaries);
        let value = bytes::Bytes::from(last.get().to_string());
        log.write_rows(
            Some(last),
            vec![Row::Put {
                key: b"applied".to_vec(),
                value,
            }],
            None,
        );
        if batch % 20 == 19 && last.get() > KEPT {
            let answer = sender.clone();
            log.purge_to(
                log_id(1, last.get() - KEPT),
                Box::new(move |outcome| answer.send(outcome.is_ok()).unwrap()),
            );
            confirmed(&answers);
        }
    }
}

/// Reads again and again from wherever the log begins, while it grows and shrinks.
fn read(log: &GroupLog) {
    let mut next = LogIndex::new(1);
    while next < LogIndex::new(END) {
        let bounds = log.bounds();
        next = bounds
            .last_purged
            .map_or(next, |purged| next.max(purged.index.next()));
        for found in log.read(next..LogIndex::new(END), 20_000).unwrap() {
            assert_eq!(found.id.index, next, "group {}", log.id());
            assert!(
                found == entry(log.id().get(), next.get(), 1, 700),
                "entry {next}"
            );
            next = next.next();
        }
        // Sometimes it looks back.
        if next.get().is_multiple_of(7) && next < LogIndex::new(END) {
            next = LogIndex::new(next.get().saturating_sub(100).max(1));
            std::thread::yield_now();
        }
    }
}

#[test]
fn readers_see_every_entry_while_it_moves_and_a_reopen_finds_them_all() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::open(config(dir.path()), Seams::real()).unwrap();
    let log = |storage: &Storage, id| storage.group(RaftGroupId::new(id)).unwrap();
    scope(|scope| {
        for id in GROUPS {
            let (writer, reader) = (log(&storage, id), log(&storage, id));
            scope.spawn(move || write(&writer));
            scope.spawn(move || read(&reader));
        }
    });
    let usage = storage.usage();
    // What was sealed may have been purged again by now.
    assert!(usage.sealed_bytes_written > 0, "{usage:?}");
    storage.close();
    let storage = Storage::open(config(dir.path()), Seams::real()).unwrap();
    for id in GROUPS {
        let log = log(&storage, id);
        let first = log
            .bounds()
            .last_purged
            .map_or(1, |purged| purged.index.get() + 1);
        assert_eq!(first, END - KEPT);
        let found = log
            .read(LogIndex::new(first)..LogIndex::new(END), 1 << 30)
            .unwrap();
        assert!(found == entries(id, first..END, 700), "group {id}");
        assert_eq!(
            log.row(b"applied").unwrap(),
            Some((END - 1).to_string().into_bytes())
        );
    }
    storage.close();
}

const LIVES: u64 = 25;
const LIFE_END: u64 = 301;

/// Lives again and again: each life is written in a term of its own, applied, and ended by a reset.
fn live(storage: &Storage, log: &GroupLog) {
    let (sender, answers) = channel();
    for life in 1..=LIVES {
        for first in (1..LIFE_END).step_by(20) {
            let batch = (first..first + 20).map(|index| entry(log.id().get(), index, life, 700));
            let answer = sender.clone();
            log.append(
                batch.collect(),
                Box::new(move |outcome| answer.send(outcome.is_ok()).unwrap()),
            );
            confirmed(&answers);
            log.allow_sealing(LogIndex::new(first + 19), &[]);
        }
        if life < LIVES {
            let answer = sender.clone();
            let done =
                Box::new(move |outcome: Result<(), _>| answer.send(outcome.is_ok()).unwrap());
            storage.reset_group(log.id(), done);
            confirmed(&answers);
        }
    }
}

/// Reads here and there until the last life is complete. What it gets together is of one life, and
/// no life comes back.
fn watch(log: &GroupLog) {
    let mut life = 0;
    let mut next = 1;
    let last = LogIndex::new(LIFE_END - 1);
    while life < LIVES || log.bounds().last.map(|last| last.index) != Some(last) {
        next = (next * 7 + 3) % LIFE_END;
        let found = log.read(LogIndex::new(next)..LogIndex::new(LIFE_END), 30_000);
        let found = found.unwrap();
        if let Some(first) = found.first() {
            let term = first.id.term.get();
            assert!(term >= life, "life {life} is over, and {term} came back");
            life = term;
        }
        for (found, index) in found.iter().zip(next..) {
            let expected = entry(log.id().get(), index, life, 700);
            assert!(*found == expected, "{} in life {life}", found.id);
        }
        std::thread::yield_now();
    }
}

#[test]
fn readers_never_see_two_lives_at_once_and_take_no_reset_for_damage() {
    let dir = tempfile::tempdir().unwrap();
    let storage = Storage::open(config(dir.path()), Seams::real()).unwrap();
    let log = |storage: &Storage, id| storage.group(RaftGroupId::new(id)).unwrap();
    scope(|scope| {
        for id in GROUPS {
            let (writer, reader) = (log(&storage, id), log(&storage, id));
            let storage = &storage;
            scope.spawn(move || live(storage, &writer));
            scope.spawn(move || watch(&reader));
        }
    });
    assert_eq!(storage.damaged_groups(), []);
    let usage = storage.usage();
    assert!(usage.sealed_bytes_written > 0, "{usage:?}");
    storage.close();
    let storage = Storage::open(config(dir.path()), Seams::real()).unwrap();
    for id in GROUPS {
        let found = log(&storage, id).read(LogIndex::new(1)..LogIndex::new(LIFE_END), 1 << 30);
        let expected = (1..LIFE_END).map(|index| entry(id, index, LIVES, 700));
        assert!(found.unwrap() == expected.collect::<Vec<_>>(), "group {id}");
    }
    storage.close();
}
