//! Groups that are damaged, and groups that begin anew.

use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::Mutex;

use crate::disk::{CrashStyle, Fault};
use crate::entry::{LogBounds, LogEntry};
use crate::error::StorageError;
use crate::group::Row;
use crate::rig::{Rig, World, answer, entries, entry, log_id, unheard};
use crate::tables::memory::Moment;
use crate::tables::{RowFamily, keys};

const GROUP: RaftGroupId = RaftGroupId::new(7);

fn on_both(test: impl Fn(Rig)) {
    World::both().into_iter().map(Rig::new).for_each(test);
}

fn row(value: &str) -> Vec<Row> {
    vec![Row::Put {
        key: b"applied".to_vec(),
        value: Bytes::copy_from_slice(value.as_bytes()),
    }]
}

/// The groups that a listener heard of, in order.
type Heard = Arc<Mutex<Vec<u32>>>;

fn listen(rig: &Rig) -> Heard {
    let heard = Heard::default();
    let noted = Arc::clone(&heard);
    rig.storage()
        .on_damage(Box::new(move |group, _| noted.lock().push(group.get())));
    heard
}

/// A group with segments, leftovers, entries in the journal, a vote, a purge point and rows.
fn grown(rig: &Rig) {
    let vote = Bytes::from_static(b"for 3 in term 9");
    rig.durably(|done| rig.group(7).save_vote(vote, done));
    rig.append(7, 1..61, 1_000);
    rig.seal(7, &[20, 40, 43]);
    rig.append(7, 61..90, 100);
    rig.durably(|done| rig.group(7).purge_to(log_id(1, 5), done));
    rig.durably(|done| {
        rig.group(7)
            .write_rows(Some(LogIndex::new(60)), row("60"), Some(done));
    });
    assert!(rig.storage().usage().segment_count > 0);
}

fn assert_new(rig: &Rig) {
    let log = rig.group(7);
    assert_eq!(log.bounds(), LogBounds::default());
    assert_eq!(log.vote(), Some(Bytes::from_static(b"for 3 in term 9")));
    assert_eq!(log.row(b"applied").unwrap(), None);
    assert_eq!(log.term_at(LogIndex::new(5)).unwrap(), None);
    let all = LogIndex::new(0)..LogIndex::new(100);
    assert_eq!(log.read(all.clone(), 1 << 20).unwrap(), []);
    assert_eq!(log.read_cached(all, 1 << 20), None);
    assert_eq!(log.log_bytes(), 0);
    let segments = rig.storage().engine.tables.segments().unwrap();
    assert!(segments.iter().all(|segment| segment.first.group != GROUP));
    let tables = &rig.storage().engine.tables;
    let leftovers = tables.rows(RowFamily::System, keys::leftover_runs_of(GROUP), 1);
    assert_eq!(leftovers.unwrap(), []);
}

#[test]
fn a_reset_group_has_its_vote_and_nothing_else() {
    on_both(|mut rig| {
        grown(&rig);
        let log = rig.group(7);
        rig.durably(|done| rig.storage().reset_group(GROUP, done));
        // A handle from before the reset sees the same.
        assert_eq!(log.bounds(), LogBounds::default());
        drop(log);
        assert_new(&rig);
        rig.reopen();
        assert_new(&rig);
        assert_eq!(rig.storage().groups(), [GROUP]);
    });
}

#[test]
fn a_log_that_began_anew_is_written_sealed_and_purged_like_any_other() {
    on_both(|mut rig| {
        grown(&rig);
        rig.durably(|done| rig.storage().reset_group(GROUP, done));
        // The same indexes as before, with other contents, and then some.
        let anew: Vec<_> = (0..120).map(|index| entry(7, index, 4, 900)).collect();
        rig.durably(|done| rig.group(7).append(anew.clone(), done));
        rig.seal(7, &[30]);
        assert!(rig.storage().usage().segment_count >= 2);
        for _ in 0..2 {
            rig.assert_holds(7, &anew);
            rig.reopen();
        }
        rig.durably(|done| rig.group(7).purge_to(log_id(4, 30), done));
        rig.durably(|done| rig.group(7).write_rows(None, row("anew"), Some(done)));
        rig.reopen();
        rig.assert_holds(7, &anew[31..]);
        assert_eq!(
            rig.group(7).row(b"applied").unwrap(),
            Some(b"anew".to_vec())
        );
    });
}

#[test]
fn a_log_that_began_anew_may_begin_above_a_purge_point() {
    on_both(|mut rig| {
        grown(&rig);
        rig.durably(|done| rig.storage().reset_group(GROUP, done));
        rig.durably(|done| rig.group(7).purge_to(log_id(3, 500), done));
        let next = vec![entry(7, 501, 4, 40)];
        rig.durably(|done| rig.group(7).append(next.clone(), done));
        rig.reopen();
        rig.assert_holds(7, &next);
        assert_eq!(rig.group(7).bounds().last_purged, Some(log_id(3, 500)));
    });
}

#[test]
fn what_was_on_its_way_when_a_group_was_reset_does_not_come_back() {
    on_both(|mut rig| {
        grown(&rig);
        let log = rig.group(7);
        // Nothing of this is durable yet, and the sealer has not begun.
        log.append(entries(7, 90..140, 1_000), unheard());
        log.allow_sealing(LogIndex::new(139), &[LogIndex::new(100)]);
        log.purge_to(log_id(1, 30), unheard());
        log.write_rows(Some(LogIndex::new(120)), row("120"), None);
        let (done, reset) = answer();
        rig.storage().reset_group(GROUP, done);
        let anew: Vec<_> = (1..4).map(|index| entry(7, index, 1, 333)).collect();
        log.append(anew.clone(), unheard());
        log.write_rows(Some(LogIndex::new(3)), row("3"), None);
        drop(log);
        rig.settle();
        assert!(matches!(*reset.lock(), Some(Ok(()))));
        for _ in 0..2 {
            rig.assert_holds(7, &anew);
            assert_eq!(rig.group(7).bounds().last_purged, None);
            assert_eq!(rig.group(7).row(b"applied").unwrap(), Some(b"3".to_vec()));
            assert_eq!(rig.storage().usage().segment_count, 0);
            rig.reopen();
        }
    });
}

/// Resets the group at the next such moment and writes a new log, all in the midst of what goes on.
fn reset_at(rig: &Rig, moment: Moment, anew: &[LogEntry]) {
    let (storage, log, anew) = (rig.storage().clone(), rig.group(7), anew.to_vec());
    rig.tables().interrupt(moment, move || {
        storage.reset_group(GROUP, unheard());
        log.append(anew, unheard());
    });
}

#[test]
fn a_read_that_a_reset_interrupts_is_of_the_new_log_alone() {
    let rig = Rig::simulated();
    rig.append(7, 1..61, 1_000);
    rig.seal(7, &[60]);
    let anew: Vec<_> = (1..91).map(|index| entry(7, index, 4, 300)).collect();
    reset_at(&rig, Moment::Scan, &anew);
    let all = LogIndex::new(1)..LogIndex::new(100);
    assert_eq!(rig.group(7).read(all, 1 << 20).unwrap(), anew);
    assert!(!rig.tables().awaits_interruption());
    assert_eq!(rig.storage().damaged_groups(), []);
}

#[test]
fn what_the_sealer_was_making_when_the_group_was_reset_is_swept_away() {
    for moment in [Moment::Ingest, Moment::Flush, Moment::Scan] {
        println!("{moment:?}");
        let mut rig = Rig::simulated();
        // Runs of less become leftovers, and those that grow are read again to seal them.
        rig.config.segment_bytes_min = match moment {
            Moment::Ingest => 4 << 10,
            Moment::Flush | Moment::Scan => 32 << 10,
        };
        rig.reopen();
        let mut filled = 1;
        let mut press = |rig: &Rig| {
            rig.append(2, filled..filled + 40, 10_000);
            filled += 40;
            rig.group(2).allow_sealing(LogIndex::new(1), &[]);
            rig.pass(std::time::Duration::from_secs(2));
            rig.settle();
        };
        rig.append(7, 1..11, 1_000);
        let anew: Vec<_> = (1..31).map(|index| entry(7, index, 1, 700)).collect();
        reset_at(&rig, moment, &anew);
        rig.seal(7, &[10]);
        press(&rig);
        assert!(!rig.tables().awaits_interruption());
        // Nothing of the new log is applied, so all of it is in the journal.
        assert_eq!(rig.tables().segment_ranges(GROUP), []);
        assert_eq!(rig.tables().leftover_indexes(GROUP).len(), 0);
        rig.assert_holds(7, &anew);
        rig.seal(7, &[30]);
        press(&rig);
        for _ in 0..2 {
            rig.assert_holds(7, &anew);
            assert_eq!(rig.storage().damaged_groups(), []);
            rig.reopen();
        }
    }
}

#[test]
fn a_reset_outlives_the_release_of_the_file_that_held_it() {
    on_both(|mut rig| {
        grown(&rig);
        for _ in 0..2 {
            rig.durably(|done| rig.storage().reset_group(GROUP, done));
        }
        let anew = entries(7, 1..4, 50);
        rig.durably(|done| rig.group(7).append(anew.clone(), done));
        let written = rig.storage().usage().journal_bytes_written;
        let mut next = 1;
        while rig.storage().usage().journal_bytes_written
            < written + 6 * rig.config.journal_file_bytes
        {
            rig.append(2, next..next + 40, 1_000);
            next += 40;
            rig.seal(2, &[]);
        }
        rig.reopen();
        rig.assert_holds(7, &anew);
        rig.durably(|done| rig.storage().reset_group(GROUP, done));
        rig.reopen();
        assert_new(&rig);
        rig.assert_holds(2, &entries(2, 1..next, 1_000));
    });
}

#[test]
fn a_start_finishes_a_reset_that_a_crash_cut_short() {
    on_both(|mut rig| {
        grown(&rig);
        // What the journal does first, and nothing of what follows.
        rig.durably(|done| {
            let life = rig.group(7).life().next();
            let journal = &rig.storage().engine.journal;
            drop(journal.reset_group(GROUP, life, done));
        });
        rig.abandon();
        if let World::Simulated { disk, tables } = &rig.world {
            disk.crash(CrashStyle::Unsynced);
            tables.crash(0);
        }
        rig.open().unwrap();
        assert_new(&rig);
        let anew: Vec<_> = (0..60).map(|index| entry(7, index, 4, 900)).collect();
        rig.durably(|done| rig.group(7).append(anew.clone(), done));
        rig.seal(7, &[50]);
        rig.reopen();
        rig.assert_holds(7, &anew);
    });
}

#[test]
fn a_removed_group_cannot_be_reset() {
    on_both(|mut rig| {
        grown(&rig);
        rig.durably(|done| rig.storage().remove_group(GROUP, done));
        for _ in 0..2 {
            let refused = rig.outcome_of(|done| rig.storage().reset_group(GROUP, done));
            assert!(
                matches!(refused, Err(StorageError::Removed(GROUP))),
                "{refused:?}"
            );
            assert_eq!(rig.storage().groups(), []);
            rig.reopen();
        }
    });
}

#[test]
fn damage_that_a_read_meets_is_reported_once_until_the_group_is_reset() {
    let rig = Rig::simulated();
    let heard = listen(&rig);
    for group in [7, 8] {
        rig.append(group, 1..41, 1_000);
        rig.seal(group, &[40]);
    }
    assert!(rig.tables().flip_bit(GROUP, LogIndex::new(3), 4_321));
    for _ in 0..3 {
        assert!(rig.read_all(7).is_err());
        assert!(rig.group(7).term_at(LogIndex::new(3)).is_err());
    }
    assert_eq!(*heard.lock(), [7]);
    assert_eq!(rig.storage().damaged_groups(), [GROUP]);
    // Who asks later hears of it, too; and the other group is as good as ever.
    assert_eq!(*listen(&rig).lock(), [7]);
    rig.assert_holds(8, &entries(8, 1..41, 1_000));
    rig.durably(|done| rig.storage().reset_group(GROUP, done));
    assert_eq!(rig.storage().damaged_groups(), []);
    rig.append(7, 1..41, 1_000);
    rig.seal(7, &[40]);
    rig.assert_holds(7, &entries(7, 1..41, 1_000));
    assert!(rig.tables().flip_bit(GROUP, LogIndex::new(9), 77));
    assert!(rig.read_all(7).is_err());
    assert_eq!(*heard.lock(), [7, 7]);
}

#[test]
fn a_group_that_misses_entries_at_a_start_is_reported_and_opens_after_a_reset() {
    for first in [1, 31, 61] {
        let mut rig = Rig::simulated();
        for group in [7, 8] {
            let vote = Bytes::from_static(b"for 3 in term 9");
            rig.durably(|done| rig.group(group).save_vote(vote, done));
            rig.append(group, 1..91, 1_000);
            rig.seal(group, &[30, 60, 90]);
        }
        rig.close();
        assert!(rig.tables().lose_segment(GROUP, LogIndex::new(first)));
        rig.open().unwrap();
        assert_eq!(*listen(&rig).lock(), [7]);
        assert!(rig.storage().group(GROUP).is_err());
        rig.durably(|done| rig.storage().reset_group(GROUP, done));
        for _ in 0..2 {
            assert_eq!(rig.storage().damaged_groups(), []);
            assert_eq!(rig.group(7).bounds(), LogBounds::default());
            assert_eq!(
                rig.group(7).vote(),
                Some(Bytes::from_static(b"for 3 in term 9"))
            );
            assert_eq!(rig.tables().segment_ranges(GROUP), []);
            rig.assert_holds(8, &entries(8, 1..91, 1_000));
            rig.reopen();
        }
        rig.append(7, 1..91, 1_000);
        rig.seal(7, &[30, 60, 90]);
        rig.reopen();
        rig.assert_holds(7, &entries(7, 1..91, 1_000));
    }
}

#[test]
fn damaged_leftovers_are_reported_when_they_are_sealed_again() {
    let mut rig = Rig::simulated();
    rig.config.segment_bytes_min = 32 << 10;
    rig.reopen();
    let heard = listen(&rig);
    rig.append(7, 1..11, 1_000);
    let mut filled = 1;
    let mut press = |rig: &Rig| {
        rig.append(2, filled..filled + 40, 10_000);
        filled += 40;
        rig.group(2).allow_sealing(LogIndex::new(1), &[]);
        rig.pass(std::time::Duration::from_secs(2));
        rig.settle();
    };
    rig.seal(7, &[]);
    press(&rig);
    assert!(
        rig.tables().flip_bit(GROUP, LogIndex::new(4), 99),
        "it is a leftover"
    );
    rig.append(7, 11..21, 1_000);
    rig.seal(7, &[20]);
    press(&rig);
    assert_eq!(*heard.lock(), [7]);
    assert_eq!(rig.tables().segment_ranges(GROUP), []);
}

/// A group that misses a segment.
fn damaged() -> Rig {
    let mut rig = Rig::simulated();
    rig.append(7, 1..91, 1_000);
    rig.seal(7, &[30, 60, 90]);
    rig.close();
    assert!(rig.tables().lose_segment(GROUP, LogIndex::new(31)));
    rig.open().unwrap();
    rig
}

/// Resets a damaged group on a machine that stops on the way, and tells whether it was told of the
/// reset. After a crash the group must be damaged as before, or new.
fn stopped_reset(inject: impl FnOnce(&Rig), style: CrashStyle) -> bool {
    let mut rig = damaged();
    inject(&rig);
    let (done, reset) = answer();
    rig.storage().reset_group(GROUP, done);
    for _ in 0..50 {
        rig.storage().step();
    }
    let was_told = matches!(*reset.lock(), Some(Ok(())));
    rig.abandon();
    rig.disk().crash(style);
    rig.tables().crash(0);
    rig.open().unwrap();
    let is_damaged = rig.storage().damaged_groups() == [GROUP];
    assert!(!(was_told && is_damaged));
    if is_damaged {
        assert!(rig.storage().group(GROUP).is_err());
    } else {
        assert_eq!(rig.group(7).bounds(), LogBounds::default());
        assert_eq!(rig.tables().segment_ranges(GROUP), []);
    }
    was_told
}

#[test]
fn a_damaged_group_is_as_damaged_or_new_after_a_crash() {
    let mut told = 0;
    for at in 0..8 {
        for fault in [Fault::StopBefore, Fault::StopAfter] {
            let tables = |rig: &Rig| rig.tables().inject(fault(rig.tables().operations() + at));
            let disk = |rig: &Rig| rig.disk().inject(fault(rig.disk().operations() + at));
            for style in [CrashStyle::Unsynced, CrashStyle::Process] {
                println!("operation {at}, {style:?}");
                told += u32::from(stopped_reset(tables, style));
                told += u32::from(stopped_reset(disk, style));
            }
        }
    }
    assert!((8..56).contains(&told), "{told} of 64 resets went through");
}
