use flotilla_types::limits::{PARTITION_PRODUCERS_MAX, PRODUCER_EXPIRY_MS};
use flotilla_types::{Offset, ProducerEpoch, ProducerId, Sequence};

use super::producers::{KnownProducer, RememberedBatch, Verdict, judge};
use super::test_batches::{Replica, appended, duplicate, millis, producer, small_batch};
use super::{Outcome, Rejection};

const EXPIRY_MS: i64 = PRODUCER_EXPIRY_MS as i64;

#[test]
fn a_batch_sent_again_keeps_its_offsets() {
    let mut replica = Replica::new();
    assert_eq!(replica.produce(3, producer(1, 0, 0)), appended(0, 3));
    assert_eq!(replica.produce(2, producer(1, 0, 3)), appended(3, 5));
    let before = replica.state.clone();
    assert_eq!(replica.produce(3, producer(1, 0, 0)), duplicate(0, 3));
    assert_eq!(replica.produce(2, producer(1, 0, 3)), duplicate(3, 5));
    assert_eq!(replica.state, before);
}

#[test]
fn five_batches_are_remembered_and_no_more() {
    let mut replica = Replica::new();
    for sequence in 0..6 {
        let _ = replica.produce(1, producer(1, 0, sequence));
    }
    assert_eq!(replica.produce(1, producer(1, 0, 1)), duplicate(1, 2));
    assert_eq!(
        replica.produce(1, producer(1, 0, 0)),
        Outcome::Rejected(Rejection::OutOfOrderSequence {
            producer: ProducerId::new(1),
            expected: Sequence::new(6),
            found: Sequence::new(0),
        })
    );
}

#[test]
fn a_gap_in_the_sequence_is_refused_until_it_is_filled() {
    let mut replica = Replica::new();
    let _ = replica.produce(3, producer(1, 0, 0));
    assert_eq!(
        replica.produce(1, producer(1, 0, 5)),
        Outcome::Rejected(Rejection::OutOfOrderSequence {
            producer: ProducerId::new(1),
            expected: Sequence::new(3),
            found: Sequence::new(5),
        })
    );
    assert_eq!(replica.produce(2, producer(1, 0, 3)), appended(3, 5));
    assert_eq!(replica.produce(1, producer(1, 0, 5)), appended(5, 6));
}

#[test]
fn a_batch_of_another_length_is_not_a_duplicate() {
    let mut replica = Replica::new();
    let _ = replica.produce(3, producer(1, 0, 0));
    assert!(matches!(
        replica.produce(2, producer(1, 0, 0)),
        Outcome::Rejected(Rejection::OutOfOrderSequence { .. })
    ));
}

#[test]
fn a_newer_epoch_starts_at_zero_and_fences_the_older_one() {
    let mut replica = Replica::new();
    let _ = replica.produce(3, producer(1, 0, 0));
    assert!(matches!(
        replica.produce(1, producer(1, 1, 3)),
        Outcome::Rejected(Rejection::OutOfOrderSequence { .. })
    ));
    assert_eq!(replica.produce(3, producer(1, 1, 0)), appended(3, 6));
    assert_eq!(
        replica.produce(1, producer(1, 0, 3)),
        Outcome::Rejected(Rejection::ProducerFenced {
            producer: ProducerId::new(1),
            current: ProducerEpoch::new(1),
            found: ProducerEpoch::new(0),
        })
    );
    assert_eq!(replica.produce(3, producer(1, 1, 0)), duplicate(3, 6));
}

#[test]
fn an_unknown_producer_starts_at_zero() {
    let mut replica = Replica::new();
    assert_eq!(
        replica.produce(1, producer(9, 4, 7)),
        Outcome::Rejected(Rejection::UnknownProducer {
            producer: ProducerId::new(9),
            found: Sequence::new(7),
        })
    );
    assert_eq!(replica.produce(1, producer(9, 4, 0)), appended(0, 1));
}

#[test]
fn the_sequence_goes_on_at_zero_after_its_end() {
    let last = RememberedBatch {
        base_sequence: Sequence::new((1 << 31) - 2),
        record_count: 2,
        base_offset: Offset::ZERO,
    };
    let known = KnownProducer::new(ProducerEpoch::new(0), last);
    assert_eq!(judge(Some(&known), producer(1, 0, 0), 1), Verdict::Fits);
    assert!(matches!(
        judge(Some(&known), producer(1, 0, 1), 1),
        Verdict::Rejected(Rejection::OutOfOrderSequence { .. })
    ));
}

#[test]
fn a_silent_producer_is_forgotten_by_replicated_time_when_others_write() {
    let mut replica = Replica::new();
    let silent = small_batch(1, millis(0), Some(producer(1, 0, 0)));
    let other = |sequence| small_batch(1, millis(0), Some(producer(2, 0, sequence)));
    let _ = replica.append(&silent, millis(1_000));
    let _ = replica.append(&other(0), millis(1_000 + EXPIRY_MS));
    assert_eq!(
        replica.append(&silent, millis(1_000)).outcome,
        duplicate(0, 1)
    );
    let _ = replica.append(&other(1), millis(1_001 + EXPIRY_MS));
    let next = small_batch(1, millis(0), Some(producer(1, 0, 1)));
    assert!(matches!(
        replica.append(&next, millis(0)).outcome,
        Outcome::Rejected(Rejection::UnknownProducer { .. })
    ));
}

#[test]
fn a_producer_that_comes_back_before_it_is_forgotten_goes_on() {
    let mut replica = Replica::new();
    let first = small_batch(1, millis(0), Some(producer(1, 0, 0)));
    let second = small_batch(1, millis(0), Some(producer(1, 0, 1)));
    let _ = replica.append(&first, millis(0));
    assert_eq!(
        replica.append(&second, millis(2 * EXPIRY_MS)).outcome,
        appended(1, 2)
    );
}

#[test]
fn of_too_many_producers_the_most_silent_one_is_forgotten() {
    let mut replica = Replica::new();
    let count = PARTITION_PRODUCERS_MAX as u64;
    for id in 0..count {
        let _ = replica.produce(1, producer(id, 0, 0));
    }
    // Producer 0 writes again, so 1 is now the one that was silent longest.
    let _ = replica.produce(1, producer(0, 0, 1));
    let _ = replica.produce(1, producer(count, 0, 0));
    assert!(matches!(
        replica.produce(1, producer(1, 0, 1)),
        Outcome::Rejected(Rejection::UnknownProducer { .. })
    ));
    assert_eq!(
        replica.produce(1, producer(0, 0, 1)),
        duplicate(count, count + 1)
    );
    let copy = super::PartitionState::decode(&replica.state.encode()).unwrap();
    assert_eq!(copy, replica.state);
}
