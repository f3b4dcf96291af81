//! What every store must do, on the machine with RocksDB and in the simulation alike.

use std::fs;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};

use crate::error::StorageError;
use crate::group::Row;
use crate::rig::{Rig, World, entries, entry, log_id, unheard};

fn on_both(test: impl Fn(Rig)) {
    World::both().into_iter().map(Rig::new).for_each(test);
}

const fn index(value: u64) -> LogIndex {
    LogIndex::new(value)
}

fn put(key: &str, value: &str) -> Row {
    Row::Put {
        key: key.into(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }
}

fn keys_between(range: Range<&str>) -> Range<Vec<u8>> {
    range.start.into()..range.end.into()
}

#[test]
fn large_runs_become_segments_and_read_back_the_same() {
    on_both(|mut rig| {
        rig.append(7, 1..101, 1_000);
        rig.seal(7, &[]);
        let usage = rig.storage().usage();
        assert!(usage.segment_count >= 2, "{usage:?}");
        assert!(usage.sealed_bytes_written >= 64_000, "{usage:?}");
        rig.assert_holds(7, &entries(7, 1..101, 1_000));
        rig.reopen();
        assert_eq!(rig.storage().usage().segment_count, usage.segment_count);
        rig.assert_holds(7, &entries(7, 1..101, 1_000));
        // The log goes on where it was.
        rig.append(7, 101..103, 10);
        assert_eq!(rig.group(7).bounds().last, Some(log_id(1, 102)));
        assert!(rig.group(7).log_bytes() >= 100_000);
    });
}

#[test]
fn no_segment_reaches_across_a_boundary() {
    on_both(|rig| {
        rig.append(7, 1..61, 1_000);
        rig.seal(7, &[12, 17, 40]);
        let segments = rig.storage().engine.tables.segments().unwrap();
        let ranges: Vec<_> = segments
            .iter()
            .map(|file| (file.first.index.get(), file.last.get()))
            .collect();
        assert_eq!(ranges, [(1, 12), (13, 17), (18, 40)]);
        rig.assert_holds(7, &entries(7, 1..61, 1_000));
    });
}

#[test]
fn what_is_not_applied_stays_in_the_journal() {
    on_both(|rig| {
        rig.append(7, 1..101, 1_000);
        rig.group(7).allow_sealing(index(40), &[]);
        rig.settle();
        let segments = rig.storage().engine.tables.segments().unwrap();
        assert_eq!(
            segments.last().map(|file| file.last <= index(40)),
            Some(true)
        );
        // The end is still open: it can be replaced.
        rig.group(7).truncate_from(index(41), unheard());
        let replaced: Vec<_> = (41..50).map(|number| entry(7, number, 2, 30)).collect();
        rig.durably(|done| rig.group(7).append(replaced.clone(), done));
        rig.assert_holds(7, &[entries(7, 1..41, 1_000), replaced].concat());
    });
}

#[test]
fn quiet_groups_share_files_when_the_journal_is_full() {
    on_both(|mut rig| {
        let groups = 1..41;
        for round in 0..8_u64 {
            for group in groups.clone() {
                rig.append(group, round * 4 + 1..round * 4 + 5, 400);
                rig.seal(group, &[]);
            }
        }
        let usage = rig.storage().usage();
        assert!(usage.leftover_bytes > 100_000, "{usage:?}");
        assert!(
            usage.journal_bytes <= rig.config.journal_bytes_max + (64 << 10),
            "{usage:?}"
        );
        for _ in 0..2 {
            for group in groups.clone() {
                rig.assert_holds(group, &entries(group, 1..33, 400));
            }
            rig.reopen();
        }
        assert_eq!(rig.storage().groups().len(), 40);
    });
}

#[test]
fn leftovers_that_have_grown_become_a_segment() {
    on_both(|mut rig| {
        rig.config.segment_bytes_min = 32 << 10;
        rig.reopen();
        // Group 1 grows slowly; group 2 fills the journal, so that group 1 has to make room.
        let mut filled = 1;
        for round in 0..10_u64 {
            rig.append(1, round * 2 + 1..round * 2 + 3, 1_000);
            rig.seal(1, &[20]);
            rig.append(2, filled..filled + 10, 10_000);
            filled += 10;
            rig.group(2).allow_sealing(index(1), &[]);
            rig.pass(Duration::from_secs(2));
            rig.settle();
        }
        let segments = rig.storage().engine.tables.segments().unwrap();
        let ranges: Vec<_> = segments
            .iter()
            .filter(|file| file.first.group == RaftGroupId::new(1))
            .map(|file| (file.first.index.get(), file.last.get()))
            .collect();
        assert_eq!(ranges, [(1, 20)], "{:?}", rig.storage().usage());
        rig.assert_holds(1, &entries(1, 1..21, 1_000));
        rig.reopen();
        rig.assert_holds(1, &entries(1, 1..21, 1_000));
    });
}

#[test]
fn the_space_of_purged_leftovers_comes_back() {
    on_both(|mut rig| {
        rig.config.segment_bytes_min = 32 << 10;
        rig.reopen();
        for group in 1..41 {
            rig.append(group, 1..33, 400);
            rig.seal(group, &[]);
        }
        let before = rig.storage().usage().leftover_bytes;
        assert!(before > 200_000, "{:?}", rig.storage().usage());
        for group in 1..40 {
            rig.durably(|done| rig.group(group).purge_to(log_id(1, 32), done));
        }
        let after = rig.storage().usage().leftover_bytes;
        assert!(after < 20_000, "{after} bytes of {before} are left");
        match &rig.world {
            World::Simulated { tables, .. } => {
                assert_eq!(tables.leftover_indexes(RaftGroupId::new(3)).len(), 0);
            }
            World::Real(_) => {
                let blobs = blob_bytes(&rig.config.data_dir.join("tables"));
                assert!(
                    blobs < before / 2,
                    "{blobs} bytes of {before} are still on disk"
                );
            }
        }
        rig.reopen();
        rig.assert_holds(40, &entries(40, 1..33, 400));
        rig.assert_holds(3, &[]);
    });
}

fn blob_bytes(tables_dir: &Path) -> u64 {
    let files = fs::read_dir(tables_dir)
        .unwrap()
        .map(|entry| entry.unwrap());
    let blobs = files.filter(|file| file.path().extension().is_some_and(|end| end == "blob"));
    blobs.map(|blob| blob.metadata().unwrap().len()).sum()
}

#[test]
fn a_purge_drops_whole_segments_and_hides_the_rest() {
    on_both(|mut rig| {
        rig.append(7, 1..101, 1_000);
        rig.seal(7, &[20, 40, 60]);
        rig.durably(|done| rig.group(7).purge_to(log_id(1, 50), done));
        for _ in 0..2 {
            let segments = rig.storage().engine.tables.segments().unwrap();
            assert_eq!(
                segments.first().map(|file| file.first.index),
                Some(index(41))
            );
            rig.assert_holds(7, &entries(7, 51..101, 1_000));
            let log = rig.group(7);
            assert_eq!(log.read(index(50)..index(60), 1 << 20).unwrap(), []);
            assert_eq!(log.bounds().last_purged, Some(log_id(1, 50)));
            assert_eq!(
                log.term_at(index(50)).unwrap().map(|term| term.get()),
                Some(1)
            );
            assert_eq!(log.term_at(index(49)).unwrap(), None);
            rig.reopen();
        }
    });
}

#[test]
fn a_purge_above_the_end_leaves_an_empty_log_that_goes_on_after_it() {
    on_both(|mut rig| {
        rig.append(7, 1..51, 1_000);
        rig.seal(7, &[50]);
        rig.durably(|done| rig.group(7).purge_to(log_id(3, 200), done));
        assert_eq!(rig.storage().usage().segment_count, 0);
        let bounds = rig.group(7).bounds();
        assert_eq!(
            (bounds.last_purged, bounds.last),
            (Some(log_id(3, 200)), Some(log_id(3, 200)))
        );
        rig.reopen();
        assert_eq!(rig.group(7).bounds(), bounds);
        let hole = vec![entry(7, 202, 3, 10)];
        let refused = rig.outcome_of(|done| rig.group(7).append(hole, done));
        assert!(
            matches!(refused, Err(StorageError::NotContiguous { .. })),
            "{refused:?}"
        );
        let next = vec![entry(7, 201, 3, 10)];
        rig.durably(|done| rig.group(7).append(next.clone(), done));
        rig.reopen();
        rig.assert_holds(7, &next);
    });
}

#[test]
fn logs_of_no_one_and_one_entry_survive_a_reopen() {
    on_both(|mut rig| {
        rig.durably(|done| rig.group(1).save_vote(Bytes::from_static(b"vote"), done));
        rig.append(2, 0..1, 0);
        rig.reopen();
        assert_eq!(rig.group(1).vote(), Some(Bytes::from_static(b"vote")));
        assert_eq!(rig.group(1).bounds().last, None);
        assert_eq!(rig.group(1).read(index(0)..index(9), 100).unwrap(), []);
        rig.assert_holds(2, &entries(2, 0..1, 0));
        assert_eq!(rig.group(3).bounds().last, None);
        let ids: Vec<_> = rig
            .storage()
            .groups()
            .into_iter()
            .map(RaftGroupId::get)
            .collect();
        assert_eq!(ids, [1, 2]);
    });
}

#[test]
fn a_vote_survives_the_release_of_the_file_that_held_it() {
    on_both(|mut rig| {
        rig.durably(|done| {
            rig.group(1)
                .save_vote(Bytes::from_static(b"for 3 in term 9"), done)
        });
        let mut next = 1;
        while rig.storage().usage().segment_count < 12 {
            rig.append(2, next..next + 40, 1_000);
            next += 40;
            rig.seal(2, &[]);
        }
        assert!(rig.storage().usage().journal_bytes <= rig.config.journal_bytes_max);
        rig.reopen();
        assert_eq!(
            rig.group(1).vote(),
            Some(Bytes::from_static(b"for 3 in term 9"))
        );
        rig.assert_holds(2, &entries(2, 1..next, 1_000));
    });
}

#[test]
fn reads_keep_to_their_budget_and_cross_from_segments_into_the_journal() {
    on_both(|rig| {
        rig.append(7, 1..31, 1_000);
        rig.append(7, 31..41, 1_000);
        rig.seal(7, &[30]);
        let log = rig.group(7);
        let found = log.read(index(25)..index(38), 10_000).unwrap();
        assert_eq!(found, entries(7, 25..35, 1_000));
        assert_eq!(
            log.read(index(29)..index(33), 0).unwrap(),
            entries(7, 29..30, 1_000)
        );
        assert_eq!(log.read(index(41)..index(50), 9_999).unwrap(), []);
        assert_eq!(
            log.read(index(39)..index(99), 9_999).unwrap(),
            entries(7, 39..41, 1_000)
        );
        assert_eq!(log.read_cached(index(1)..index(5), 9_999), None);
        assert_eq!(
            log.read_cached(index(40)..index(41), 1),
            Some(entries(7, 40..41, 1_000))
        );
    });
}

#[test]
fn rows_reach_their_table_only_after_the_log_entries_behind_them() {
    on_both(|mut rig| {
        let log = rig.group(7);
        log.append(entries(7, 1..3, 10), unheard());
        log.write_rows(Some(index(2)), vec![put("a", "1"), put("b", "2")], None);
        assert_eq!(log.row(b"a").unwrap(), None);
        rig.settle();
        assert_eq!(log.row(b"a").unwrap(), Some(b"1".to_vec()));
        let ahead = rig.outcome_of(|done| log.write_rows(Some(index(3)), vec![], Some(done)));
        assert!(
            matches!(ahead, Err(StorageError::MissingEntry { .. })),
            "{ahead:?}"
        );
        rig.durably(|done| log.write_rows(None, vec![put("c", "3")], Some(done)));
        drop(log);
        rig.reopen();
        let rows = rig.group(7).rows(keys_between("a".."z"), 10).unwrap();
        let expected = [("a", "1"), ("b", "2"), ("c", "3")];
        assert_eq!(
            rows,
            expected.map(|(key, value)| (key.into(), value.into()))
        );
    });
}

#[test]
fn rows_belong_to_their_group() {
    on_both(|rig| {
        for group in 1..4 {
            let name = format!("group {group}");
            let rows = vec![put("a5", &name), put("a7", &name), put("b1", &name)];
            rig.durably(|done| rig.group(group).write_rows(None, rows, Some(done)));
        }
        let log = rig.group(2);
        let last = |key: &str, floor: &str| {
            let found = log
                .last_row_at_or_before(key.as_bytes(), floor.as_bytes())
                .unwrap();
            found.map(|(key, _)| String::from_utf8(key).unwrap())
        };
        assert_eq!(last("a6", "a").as_deref(), Some("a5"));
        assert_eq!(last("a7", "a").as_deref(), Some("a7"));
        assert_eq!(last("a4", "a"), None);
        assert_eq!(last("a4", "z"), None);
        let delete = Row::DeleteRange {
            start: "a".into(),
            end: "b".into(),
        };
        rig.durably(|done| log.write_rows(None, vec![delete, put("a9", "new")], Some(done)));
        let keys = |group: u32| {
            let rows = rig.group(group).rows(keys_between("".."~"), 2).unwrap();
            rows.into_iter()
                .map(|(key, _)| String::from_utf8(key).unwrap())
                .collect::<Vec<_>>()
        };
        assert_eq!(keys(2), ["a9", "b1"]);
        assert_eq!(keys(3), ["a5", "a7"]);
        let backwards = Row::DeleteRange {
            start: "b".into(),
            end: "a".into(),
        };
        let delete = Row::Delete { key: "a9".into() };
        rig.durably(|done| log.write_rows(None, vec![backwards, delete], Some(done)));
        assert_eq!(keys(2), ["b1"]);
        assert_eq!(rig.group(2).rows(keys_between("b".."a"), 9).unwrap(), []);
    });
}

#[test]
fn a_removed_group_is_gone_for_ever_and_others_are_not() {
    on_both(|mut rig| {
        for group in 1..3 {
            rig.append(group, 1..51, 1_000);
            rig.seal(group, &[]);
            rig.durably(|done| {
                rig.group(group)
                    .write_rows(None, vec![put("k", "v")], Some(done))
            });
        }
        let removed = RaftGroupId::new(1);
        let log = rig.group(1);
        rig.durably(|done| rig.storage().remove_group(removed, done));
        let refused = rig.outcome_of(|done| log.append(entries(1, 51..52, 1), done));
        assert!(
            matches!(refused, Err(StorageError::Removed(_))),
            "{refused:?}"
        );
        let refused = rig.outcome_of(|done| log.write_rows(None, vec![put("k", "w")], Some(done)));
        assert!(
            matches!(refused, Err(StorageError::Removed(_))),
            "{refused:?}"
        );
        assert_eq!(log.row(b"k").unwrap(), None);
        drop(log);
        for _ in 0..2 {
            assert!(matches!(
                rig.storage().group(removed),
                Err(StorageError::Removed(_))
            ));
            assert_eq!(rig.storage().groups(), [RaftGroupId::new(2)]);
            let segments = rig.storage().engine.tables.segments().unwrap();
            assert!(
                segments
                    .iter()
                    .all(|file| file.first.group == RaftGroupId::new(2))
            );
            rig.assert_holds(2, &entries(2, 1..51, 1_000));
            rig.reopen();
        }
    });
}

#[test]
fn a_damaged_entry_is_never_served() {
    let mut rig = Rig::simulated();
    rig.append(7, 1..101, 1_000);
    rig.seal(7, &[]);
    rig.reopen();
    assert!(rig.tables().flip_bit(RaftGroupId::new(7), index(3), 4_321));
    let damaged = rig.group(7).read(index(3)..index(5), 1 << 20);
    let Err(StorageError::DamagedEntry { index: found, .. }) = damaged else {
        panic!("{damaged:?}");
    };
    assert_eq!(found, index(3));
    assert!(rig.read_all(7).is_err());
    assert!(rig.group(7).term_at(index(3)).is_err());
    // The others are as good as ever.
    assert_eq!(
        rig.group(7).read(index(4)..index(6), 9_999).unwrap(),
        entries(7, 4..6, 1_000)
    );
}
