use flotilla_types::{Offset, TopicConfig};
use proptest::prelude::*;

use super::test_batches::{Replica, millis, small_batch};
use super::{PartitionCommand, RetentionStep};

fn keep_ms(retention_ms: u64) -> TopicConfig {
    TopicConfig {
        retention_ms: Some(retention_ms),
        retention_bytes: None,
        ..TopicConfig::default()
    }
}

fn keep_bytes(retention_bytes: u64) -> TopicConfig {
    TopicConfig {
        retention_ms: None,
        retention_bytes: Some(retention_bytes),
        ..TopicConfig::default()
    }
}

fn trim_to(log_start: u64) -> Option<RetentionStep> {
    Some(RetentionStep::TrimTo {
        log_start: Offset::new(log_start),
    })
}

/// Closed intervals of one record each, appended at these times.
fn intervals(times: &[i64]) -> Replica {
    let mut replica = Replica::new();
    for time in times {
        append(&mut replica, *time);
        let _ = replica.apply(&PartitionCommand::CloseSegment, millis(*time));
    }
    replica
}

/// A record with a timestamp of its own, which nothing goes by.
fn append(replica: &mut Replica, time: i64) {
    let timestamp = [i64::MAX, -1, 0, 77][replica.next_index as usize % 4];
    let _ = replica.append(&small_batch(1, millis(timestamp), None), millis(time));
}

#[test]
fn intervals_go_by_age_from_the_front() {
    let state = intervals(&[100, 200, 200, 900]).state;
    let config = keep_ms(1_000);
    assert_eq!(state.retention_step(millis(1_100), &config), None);
    assert_eq!(state.retention_step(millis(1_101), &config), trim_to(1));
    assert_eq!(state.retention_step(millis(1_200), &config), trim_to(1));
    assert_eq!(state.retention_step(millis(1_201), &config), trim_to(3));
    assert_eq!(state.retention_step(millis(9_000), &config), trim_to(4));
}

#[test]
fn nothing_goes_when_nothing_is_asked_for() {
    let config = TopicConfig {
        retention_ms: None,
        retention_bytes: None,
        ..TopicConfig::default()
    };
    let state = intervals(&[1, 2, 3]).state;
    assert_eq!(state.retention_step(millis(i64::MAX), &config), None);
}

#[test]
fn a_quiet_partition_closes_its_interval_once_everything_has_expired() {
    let mut replica = intervals(&[100]);
    append(&mut replica, 300);
    let config = keep_ms(1_000);
    let step = |replica: &Replica, now| replica.state.retention_step(millis(now), &config);
    assert_eq!(step(&replica, 1_300), trim_to(1));
    assert_eq!(step(&replica, 1_301), Some(RetentionStep::CloseSegment));
    let close = RetentionStep::CloseSegment.into_command();
    let _ = replica.apply(&close, millis(1_301));
    assert_eq!(step(&replica, 1_301), trim_to(2));
}

#[test]
fn an_open_interval_without_readable_records_is_closed() {
    let mut replica = Replica::new();
    append(&mut replica, 300);
    let log_start = replica.state.next_offset();
    let _ = replica.apply(&PartitionCommand::TrimTo { log_start }, millis(0));
    let step = replica.state.retention_step(millis(0), &keep_ms(1_000));
    assert_eq!(step, Some(RetentionStep::CloseSegment));
}

#[test]
fn intervals_go_by_size_while_the_bound_stays_filled() {
    let state = intervals(&[1, 2, 3, 4]).state;
    let interval = state.retained_bytes() / 4;
    let step = |bytes| state.retention_step(millis(0), &keep_bytes(bytes));
    assert_eq!(step(4 * interval), None);
    assert_eq!(step(3 * interval + 1), None);
    assert_eq!(step(3 * interval), trim_to(1));
    assert_eq!(step(2 * interval + 1), trim_to(1));
    assert_eq!(step(interval), trim_to(3));
}

proptest! {
    /// Retention always comes to rest, loses no record that is young and inside the size bound, and
    /// leaves at most the interval that crosses the bound.
    #[test]
    fn retention_keeps_what_it_promises_and_drops_the_rest(
        intervals in prop::collection::vec((prop::collection::vec(0_i64..1_000, 1..4), any::<bool>()), 0..8),
        now in 0_i64..10_000,
        retention_ms in 1_000_u64..4_000,
        retention_bytes in prop::option::of(1_u64..1_000),
    ) {
        let config = TopicConfig { retention_bytes, ..keep_ms(retention_ms) };
        let mut replica = Replica::new();
        let mut times = Vec::new();
        let mut time = 0;
        for (pauses, close) in &intervals {
            for pause in pauses {
                time += pause;
                append(&mut replica, time);
                times.push(time);
            }
            if *close {
                let _ = replica.apply(&PartitionCommand::CloseSegment, millis(0));
            }
        }
        let record_bytes = small_batch(1, millis(0), None).len() as u64;
        let mut steps = 0;
        while let Some(step) = replica.state.retention_step(millis(now), &config) {
            let _ = replica.apply(&step.into_command(), millis(0));
            steps += 1;
            prop_assert!(steps <= 3, "retention does not come to rest");
        }
        let log_start = replica.state.log_start().get();
        let count = times.len() as u64;
        for (offset, time) in (0..).zip(&times) {
            let young = millis(*time) >= millis(now).minus_millis(retention_ms);
            let newer_bytes = (count - offset - 1) * record_bytes;
            let inside = retention_bytes.is_none_or(|bound| newer_bytes < bound);
            prop_assert!(offset >= log_start || !(young && inside), "record {offset} is lost");
        }
        let all_old = times
            .iter()
            .all(|time| millis(*time) < millis(now).minus_millis(retention_ms));
        if all_old {
            prop_assert_eq!(log_start, count);
        }
    }
}
