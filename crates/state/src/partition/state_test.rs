use flotilla_types::limits::{
    CHECKPOINT_INTERVAL_BYTES, OFFSET_INDEX_INTERVAL_BYTES, OFFSET_INDEX_INTERVAL_ENTRIES,
};
use flotilla_types::{LogIndex, Offset};

use super::test_batches::{Replica, append_at, appended, large_batch, millis, small_batch};
use super::{Applied, Change, Outcome, PartitionCommand, PartitionState, Rejection};

const LARGE_BYTES: usize = 4 << 20;

fn trim_to(log_start: u64) -> PartitionCommand {
    PartitionCommand::TrimTo {
        log_start: Offset::new(log_start),
    }
}

fn rows(applied: &Applied) -> usize {
    let rows = applied.changes.iter();
    rows.filter(|change| matches!(change, Change::IndexRow { .. }))
        .count()
}

#[test]
fn a_batch_stamped_for_another_state_changes_nothing_but_the_time() {
    let mut replica = Replica::new();
    let batch = small_batch(2, millis(5), None);
    let _ = replica.append(&batch, millis(10));
    let before = replica.state.clone();
    for wrong in [0, 1, 3] {
        let applied = replica.apply(&append_at(Offset::new(wrong), &batch), millis(10));
        assert_eq!(
            applied.outcome,
            Outcome::Rejected(Rejection::OffsetMismatch {
                expected: Offset::new(2)
            })
        );
        assert_eq!(applied.changes, []);
    }
    assert_eq!(replica.state, before);
}

#[test]
fn time_never_goes_back() {
    let mut replica = Replica::new();
    let batch = small_batch(1, millis(0), None);
    let _ = replica.append(&batch, millis(50));
    let _ = replica.append(&batch, millis(20));
    assert_eq!(replica.state.now(), millis(50));
}

#[test]
fn an_interval_ends_with_the_entry_that_fills_it() {
    let mut replica = Replica::new();
    let batch = large_batch(LARGE_BYTES, millis(7));
    let full = CHECKPOINT_INTERVAL_BYTES.div_ceil(batch.len() as u64);
    for _ in 1..full {
        let applied = replica.append(&batch, millis(9));
        assert!(!matches!(applied.changes.last(), Some(Change::Boundary(_))));
    }
    let applied = replica.append(&batch, millis(9));
    let Some(Change::Boundary(checkpoint)) = applied.changes.last() else {
        panic!("no boundary: {applied:?}");
    };
    assert_eq!(checkpoint.index, LogIndex::new(full));
    assert_eq!(checkpoint.end_offset, Offset::new(full));
    assert_eq!(checkpoint.bytes, full * batch.len() as u64);
    assert_eq!(checkpoint.appended_at, millis(9));
    assert_eq!(replica.state.last_checkpoint(), Some(checkpoint));
    assert_eq!(replica.state.purge_point(), None);
}

#[test]
fn the_first_batch_of_an_interval_has_an_index_row() {
    let mut replica = Replica::new();
    let batch = small_batch(1, millis(3), None);
    assert_eq!(rows(&replica.append(&batch, millis(0))), 1);
    assert_eq!(rows(&replica.append(&batch, millis(0))), 0);
    let closed = replica.apply(&PartitionCommand::CloseSegment, millis(0));
    assert!(matches!(closed.changes[..], [Change::Boundary(_)]));
    let applied = replica.append(&batch, millis(8));
    assert_eq!(
        applied.changes,
        [Change::IndexRow {
            base_offset: Offset::new(2),
            index: LogIndex::new(4),
            appended_at: millis(8),
            max_timestamp: millis(3),
        }]
    );
}

#[test]
fn index_rows_come_by_bytes_and_by_entries() {
    let mut replica = Replica::new();
    let half = large_batch(OFFSET_INDEX_INTERVAL_BYTES as usize / 2, millis(0));
    let by_bytes = [1, 0, 1, 0, 1];
    assert_eq!(
        by_bytes.map(|_| rows(&replica.append(&half, millis(0)))),
        by_bytes
    );

    let mut replica = Replica::new();
    let batch = small_batch(1, millis(0), None);
    let with_row: Vec<_> = (0..=2 * OFFSET_INDEX_INTERVAL_ENTRIES)
        .filter(|_| rows(&replica.append(&batch, millis(0))) == 1)
        .collect();
    let step = OFFSET_INDEX_INTERVAL_ENTRIES;
    assert_eq!(with_row, [0, step, 2 * step]);
}

#[test]
fn index_rows_carry_the_largest_timestamp_so_far() {
    let mut replica = Replica::new();
    let size = OFFSET_INDEX_INTERVAL_BYTES as usize;
    let times = [30, 10, 40];
    let found = times.map(|time| {
        let applied = replica.append(&large_batch(size, millis(time)), millis(0));
        match applied.changes[..] {
            [Change::IndexRow { max_timestamp, .. }] => max_timestamp.as_millis(),
            ref other => panic!("expected one row: {other:?}"),
        }
    });
    assert_eq!(found, [30, 30, 40]);
    assert_eq!(replica.state.max_timestamp(), Some(millis(40)));
}

#[test]
fn closing_an_empty_interval_does_nothing() {
    let mut replica = Replica::new();
    let applied = replica.apply(&PartitionCommand::CloseSegment, millis(0));
    assert_eq!(applied.outcome, Outcome::SegmentClosed);
    assert_eq!(applied.changes, []);
    assert_eq!(replica.state.last_checkpoint(), None);
}

#[test]
fn the_log_start_moves_forward_only_and_never_above_the_end() {
    let mut replica = Replica::new();
    let _ = replica.append(&small_batch(10, millis(0), None), millis(0));
    let applied = replica.apply(&trim_to(4), millis(0));
    assert_eq!(
        applied.changes,
        [Change::LogStart {
            offset: Offset::new(4)
        }]
    );
    let back = replica.apply(&trim_to(2), millis(0));
    assert_eq!(
        back.outcome,
        Outcome::Trimmed {
            log_start: Offset::new(4)
        }
    );
    assert_eq!(back.changes, []);
    assert_eq!(
        replica.apply(&trim_to(11), millis(0)).outcome,
        Outcome::Rejected(Rejection::TrimBeyondEnd {
            next_offset: Offset::new(10)
        })
    );
    assert_eq!(replica.state.log_start(), Offset::new(4));
    assert_eq!(
        replica
            .append(&small_batch(1, millis(0), None), millis(0))
            .outcome,
        appended(10, 11)
    );
}

#[test]
fn the_purge_point_is_the_newest_checkpoint_at_or_below_the_log_start() {
    let mut replica = Replica::new();
    // Three intervals of ten records; their checkpoints are entries 2, 4 and 6.
    for _ in 0..3 {
        let _ = replica.append(&small_batch(10, millis(0), None), millis(0));
        let _ = replica.apply(&PartitionCommand::CloseSegment, millis(0));
    }
    let expected = [
        (0, None),
        (9, None),
        (10, Some(2)),
        (19, Some(2)),
        (20, Some(4)),
    ];
    for (log_start, purge_point) in expected {
        let _ = replica.apply(&trim_to(log_start), millis(0));
        assert_eq!(replica.state.purge_point(), purge_point.map(LogIndex::new));
    }
    let kept: Vec<_> = replica
        .state
        .checkpoints()
        .map(|kept| kept.index.get())
        .collect();
    assert_eq!(kept, [4, 6]);
}

#[test]
fn a_checkpoint_below_the_log_start_moves_the_purge_point_at_once() {
    let mut replica = Replica::new();
    let _ = replica.append(&small_batch(10, millis(0), None), millis(0));
    let _ = replica.apply(&trim_to(10), millis(0));
    assert_eq!(replica.state.purge_point(), None);
    let _ = replica.apply(&PartitionCommand::CloseSegment, millis(0));
    assert_eq!(replica.state.purge_point(), Some(LogIndex::new(3)));
    assert_eq!(replica.state.retained_bytes(), 0);
}

#[test]
fn an_image_of_a_checkpoint_and_the_entries_after_it_lead_to_the_same_state() {
    let mut leader = Replica::new();
    let batch = small_batch(10, millis(0), None);
    let _ = leader.append(&batch, millis(1));
    let _ = leader.apply(&PartitionCommand::CloseSegment, millis(2));
    let image = leader.state.encode();
    let next_index = leader.next_index;
    let mut follower = Replica {
        state: PartitionState::decode(&image).unwrap(),
        next_index,
    };
    for replica in [&mut leader, &mut follower] {
        let _ = replica.append(&batch, millis(3));
        let _ = replica.apply(&trim_to(10), millis(4));
    }
    assert_eq!(follower.state, leader.state);
    assert_eq!(follower.state.purge_point(), Some(LogIndex::new(2)));
    assert_eq!(follower.state.log_start(), Offset::new(10));
}

#[test]
fn images_that_contradict_themselves_are_refused() {
    let mut replica = Replica::new();
    let _ = replica.append(&small_batch(10, millis(0), None), millis(0));
    let mut state = replica.state.clone();
    state.log_start = Offset::new(11);
    assert!(PartitionState::decode(&state.encode()).is_err());
    let mut state = replica.state;
    state.next_offset = Offset::new(u64::MAX);
    assert!(PartitionState::decode(&state.encode()).is_err());
    let image = PartitionState::new().encode();
    assert!(PartitionState::decode(&image).is_ok());
    assert!(PartitionState::decode(&[&image[..], &[0]].concat()).is_err());
    assert!(PartitionState::decode(&image[..image.len() - 1]).is_err());
}
