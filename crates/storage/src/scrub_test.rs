//! The scrub finds what has rotted although nobody reads it, at its pace, and only that.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};

use crate::disk::Disk;
use crate::rig::{Rig, World, entries, log_id};

const GROUP: RaftGroupId = RaftGroupId::new(7);
const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Lets so much time pass that the scrub reads on, until it has ended a pass.
fn scrub(rig: &Rig) {
    let passes = rig.storage().usage().scrub_passes;
    rig.pass(WEEK);
    let ended = (0..10_000).any(|_| {
        rig.pass(Duration::from_secs(1));
        rig.settle();
        rig.storage().usage().scrub_passes > passes
    });
    assert!(ended, "{:?}", rig.storage().usage());
}

/// Two groups with segments and leftovers, and something in the journal.
fn grown(world: World) -> Rig {
    let mut rig = Rig::new(world);
    rig.config.segment_bytes_min = 16 << 10;
    rig.reopen();
    for group in 7..9 {
        rig.append(group, 1..41, 1_000);
        rig.seal(group, &[40]);
    }
    for round in 0..6 {
        // What is smaller than a quarter of a segment stays a leftover.
        for group in 7..9 {
            let end = round * 10 + 50;
            rig.append(group, end - 9..end + 1, 1_000);
            rig.seal(group, &[end - 5, end]);
        }
        rig.append(2, round * 5 + 1..round * 5 + 6, 10_000);
        rig.group(2).allow_sealing(LogIndex::new(1), &[]);
        rig.pass(Duration::from_secs(2));
        rig.settle();
    }
    let usage = rig.storage().usage();
    assert!(usage.leftover_bytes > 20_000, "{usage:?}");
    rig
}

#[test]
fn a_sound_store_is_read_over_and_over_and_nothing_is_found() {
    for world in World::both() {
        let rig = grown(world);
        for passes in 1..4 {
            scrub(&rig);
            let usage = rig.storage().usage();
            assert!(usage.scrub_passes >= passes, "{usage:?}");
            assert_eq!(
                (usage.damaged_group_count, usage.damage_found_count),
                (0, 0)
            );
            let sealed = usage.segment_bytes + usage.leftover_bytes;
            assert!(usage.scrub_pass_bytes > sealed / 10 * 9, "{usage:?}");
            // Part of it is purged meanwhile.
            let purged = log_id(1, 15 * passes);
            rig.durably(|done| rig.group(7).purge_to(purged, done));
        }
    }
}

#[test]
fn it_keeps_its_pace() {
    let mut rig = Rig::simulated();
    rig.append(7, 1..1_001, 1_000);
    rig.seal(7, &[]);
    rig.config.scrub_bytes_per_second = 64 << 10;
    rig.reopen();
    let stored = rig.storage().usage().segment_bytes;
    let mut seconds = 0;
    while rig.storage().usage().scrub_passes == 0 {
        rig.pass(Duration::from_secs(1));
        seconds += 1;
        rig.settle();
        // It may be ahead by what it reads at a time.
        let read_max = (seconds + 6) * (64 << 10);
        let usage = rig.storage().usage();
        assert!(
            usage.scrubbed_bytes <= read_max,
            "after {seconds} s {usage:?}"
        );
    }
    assert!(rig.storage().usage().scrubbed_bytes >= stored / 10 * 9);
    // The next pass begins a week after this one began.
    rig.pass(WEEK - Duration::from_secs(seconds + 60));
    rig.settle();
    let usage = rig.storage().usage();
    assert_eq!(
        (usage.scrub_passes, usage.scrubbed_bytes),
        (1, usage.scrub_pass_bytes)
    );
    scrub(&rig);
    assert!(rig.storage().usage().scrubbed_bytes > usage.scrubbed_bytes);
}

#[test]
fn it_can_be_switched_off() {
    let mut rig = Rig::simulated();
    rig.config.scrub_bytes_per_second = 0;
    rig.reopen();
    rig.append(7, 1..101, 1_000);
    rig.seal(7, &[]);
    rig.pass(2 * WEEK);
    rig.settle();
    assert_eq!(rig.storage().usage().scrubbed_bytes, 0);
}

#[test]
fn a_flipped_bit_of_any_stored_entry_is_found() {
    let rig = grown(World::simulated());
    // The first segment is purged in part, and the rest of it is read all the same.
    rig.durably(|done| rig.group(7).purge_to(log_id(1, 5), done));
    scrub(&rig);
    let last = rig.group(7).bounds().last.unwrap().index.get();
    let mut flipped = 0;
    for index in (6..=last).step_by(7) {
        let index = LogIndex::new(index);
        let bit = 997 * usize::try_from(index.get()).unwrap();
        if !rig.tables().flip_bit(GROUP, index, bit) {
            continue;
        }
        flipped += 1;
        scrub(&rig);
        assert_eq!(rig.storage().damaged_groups(), [GROUP], "entry {index}");
        // Undone, and forgotten as after a reset.
        assert!(rig.tables().flip_bit(GROUP, index, bit));
        rig.storage().engine.damage.forget(GROUP);
    }
    assert!(flipped > 8, "{flipped} entries of {last} were sealed");
    scrub(&rig);
    assert_eq!(rig.storage().damaged_groups(), []);
}

#[test]
fn a_lost_segment_is_found() {
    let rig = grown(World::simulated());
    let (first, _) = rig.tables().segment_ranges(GROUP)[0];
    assert!(rig.tables().lose_segment(GROUP, first));
    scrub(&rig);
    assert_eq!(rig.storage().damaged_groups(), [GROUP]);
}

fn files_ending(dir: &Path, end: &str) -> Vec<PathBuf> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_str().is_some_and(|path| path.ends_with(end)))
        .collect()
}

/// Turns one bit of each of group 7's payloads in a file of the tables, of which some may not count any
/// more. Tells whether the file has one.
fn flip_in_file(path: &Path, last: u64) -> bool {
    let mut bytes = fs::read(path).unwrap();
    let mut found = false;
    for entry in entries(7, 1..last + 1, 1_000) {
        let needle = &entry.payload[500..516];
        if let Some(at) = bytes.windows(16).position(|window| window == needle) {
            bytes[at] ^= 4;
            found = true;
        }
    }
    fs::write(path, bytes).unwrap();
    found
}

#[test]
fn a_flipped_bit_in_a_file_of_rocksdb_is_found() {
    for end in [".sst", ".blob"] {
        let mut rig = grown(World::real());
        let last = rig.group(7).bounds().last.unwrap().index.get();
        rig.close();
        let files = files_ending(&rig.config.data_dir.join("tables"), end);
        let flipped = files.iter().filter(|path| flip_in_file(path, last)).count();
        assert!(flipped > 0, "entries lie in files that end in {end}");
        rig.open().unwrap();
        assert_eq!(rig.storage().damaged_groups(), []);
        scrub(&rig);
        assert_eq!(
            rig.storage().damaged_groups(),
            [GROUP],
            "in a file that ends in {end}"
        );
    }
}

fn watched(rig: &Rig) -> Arc<AtomicBool> {
    let failed = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&failed);
    rig.storage()
        .on_failure(Box::new(move |_| noted.store(true, Ordering::Relaxed)));
    failed
}

/// The journal files of a simulated disk, oldest first.
fn journal_files(rig: &Rig) -> Vec<PathBuf> {
    let dir = rig.config.data_dir.join("journal");
    let mut names = rig.disk().list(&dir).unwrap();
    names.retain(|name| Path::new(name).extension().is_some_and(|end| end == "log"));
    names.sort();
    names.into_iter().map(|name| dir.join(name)).collect()
}

fn position_of(rig: &Rig, path: &Path, needle: &[u8]) -> Option<usize> {
    let contents = rig.disk().contents(path).unwrap();
    contents
        .windows(needle.len())
        .position(|window| window == needle)
}

/// Fills journal files with entries that are not applied, so that all of them count.
fn filled() -> Rig {
    let rig = Rig::simulated();
    for first in (1..101).step_by(5) {
        rig.append(7, first..first + 5, 1_000);
        if first == 11 {
            let vote = Bytes::from_static(b"the vote of before");
            rig.durably(|done| rig.group(9).save_vote(vote, done));
            let vote = Bytes::from_static(b"the vote that counts");
            rig.durably(|done| rig.group(9).save_vote(vote, done));
        }
    }
    assert!(journal_files(&rig).len() >= 2);
    rig
}

#[test]
fn damage_in_a_full_journal_file_stops_the_node() {
    let rig = filled();
    let failed = watched(&rig);
    scrub(&rig);
    assert!(!failed.load(Ordering::Relaxed));
    let oldest = journal_files(&rig).remove(0);
    let payload = &entries(7, 9..10, 1_000)[0].payload;
    let at = position_of(&rig, &oldest, payload).unwrap();
    rig.disk().flip_bit(&oldest, at + 400, 3).unwrap();
    scrub_until(&rig, || failed.load(Ordering::Relaxed));
    assert_eq!(rig.storage().damaged_groups(), []);
}

/// As `scrub`, until something has happened.
fn scrub_until(rig: &Rig, happened: impl Fn() -> bool) {
    rig.pass(WEEK);
    let found = (0..1_000).any(|_| {
        rig.pass(Duration::from_secs(20));
        for _ in 0..100 {
            rig.storage().step();
        }
        happened()
    });
    assert!(found, "{:?}", rig.storage().usage());
}

#[test]
fn a_damaged_vote_in_a_full_journal_file_stops_the_node() {
    let rig = filled();
    let failed = watched(&rig);
    let oldest = journal_files(&rig).remove(0);
    let at = position_of(&rig, &oldest, b"the vote that counts").unwrap();
    rig.disk().flip_bit(&oldest, at, 0).unwrap();
    scrub_until(&rig, || failed.load(Ordering::Relaxed));
}

#[test]
fn damage_in_a_journal_file_where_nothing_counts_stops_nobody() {
    let rig = filled();
    let failed = watched(&rig);
    let oldest = journal_files(&rig).remove(0);
    let at = position_of(&rig, &oldest, b"the vote of before").unwrap();
    rig.disk().flip_bit(&oldest, at, 0).unwrap();
    scrub(&rig);
    assert!(!failed.load(Ordering::Relaxed));
    rig.assert_holds(7, &entries(7, 1..101, 1_000));
}
