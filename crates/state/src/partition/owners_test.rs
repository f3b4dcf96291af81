use std::collections::BTreeMap;

use flotilla_types::limits::PARTITION_OWNERS_MAX;
use flotilla_types::{FencingToken, JobName, Offset, ProducerEpoch, ProducerId, Timestamp};
use proptest::prelude::*;

use super::test_batches::{Replica, appended, duplicate, millis, producer, small_batch};
use super::{Admission, Outcome, PartitionCommand, PartitionState, PendingBatches, Rejection};

fn job(name: &str) -> JobName {
    JobName::parse(name).unwrap()
}

fn token(count: u64) -> FencingToken {
    FencingToken::of_coordinator(3, count)
}

impl Replica {
    fn fence(&mut self, name: &str, token: FencingToken) -> Outcome {
        self.fence_instance(name, token, 1)
    }

    fn fence_instance(&mut self, name: &str, token: FencingToken, instance: u64) -> Outcome {
        let command = PartitionCommand::Fence {
            job: job(name),
            token,
            instance,
        };
        self.apply(&command, millis(0)).outcome
    }

    fn produce_owned(&mut self, token: FencingToken, sequence: u32) -> Outcome {
        let id = ProducerId::owned(token).get();
        self.produce(1, producer(id, 0, sequence))
    }
}

fn fenced(end_offset: u64) -> Outcome {
    Outcome::Fenced {
        end_offset: Offset::new(end_offset),
        epoch: ProducerEpoch::new(0),
    }
}

fn refused(found: FencingToken) -> Outcome {
    Outcome::Rejected(Rejection::OwnerFenced { found })
}

#[test]
fn an_owner_appends_only_after_it_was_fenced_in() {
    let mut replica = Replica::new();
    assert_eq!(replica.produce_owned(token(1), 0), refused(token(1)));
    assert_eq!(replica.fence("sync", token(1)), fenced(0));
    assert_eq!(replica.produce_owned(token(1), 0), appended(0, 1));
    assert_eq!(replica.produce_owned(token(1), 0), duplicate(0, 1));
    assert_eq!(replica.fence("sync", token(1)), fenced(1));
    assert_eq!(replica.produce_owned(token(1), 1), appended(1, 2));
}

#[test]
fn an_owner_whose_token_has_passed_on_appends_nothing() {
    let mut replica = Replica::new();
    let _ = replica.fence("sync", token(1));
    assert_eq!(replica.produce_owned(token(1), 0), appended(0, 1));
    assert_eq!(replica.fence("sync", token(4)), fenced(1));
    for sequence in [0, 1] {
        assert_eq!(replica.produce_owned(token(1), sequence), refused(token(1)));
    }
    assert_eq!(replica.fence("sync", token(1)), refused(token(1)));
    // One that had never been here is too late as well.
    assert_eq!(replica.fence("sync", token(2)), refused(token(2)));
    assert_eq!(replica.produce_owned(token(2), 0), refused(token(2)));
    assert_eq!(replica.produce_owned(token(4), 0), appended(1, 2));
}

/// Each producer of an owner begins at the first sequence. The second one must not be taken for the
/// first, or its records would be answered as duplicates and lost.
#[test]
fn a_second_producer_of_an_owner_is_another_one() {
    let mut replica = Replica::new();
    let id = ProducerId::owned(token(1)).get();
    let fenced_in = |end_offset, epoch| Outcome::Fenced {
        end_offset: Offset::new(end_offset),
        epoch: ProducerEpoch::new(epoch),
    };
    assert_eq!(replica.fence_instance("sync", token(1), 7), fenced_in(0, 0));
    assert_eq!(replica.produce(1, producer(id, 0, 0)), appended(0, 1));
    assert_eq!(replica.fence_instance("sync", token(1), 7), fenced_in(1, 0));
    assert_eq!(replica.fence_instance("sync", token(1), 8), fenced_in(1, 1));
    assert_eq!(replica.produce(1, producer(id, 1, 0)), appended(1, 2));
    assert_eq!(replica.produce(1, producer(id, 1, 0)), duplicate(1, 2));
    for epoch in [0, 2] {
        let refused = replica.produce(1, producer(id, epoch, 0));
        assert!(matches!(
            refused,
            Outcome::Rejected(Rejection::ProducerFenced { .. })
        ));
    }
    let copy = PartitionState::decode(&replica.state.encode()).unwrap();
    assert_eq!(copy, replica.state);
}

#[test]
fn an_owner_that_was_just_fenced_in_is_not_the_one_that_is_forgotten() {
    let mut replica = Replica::new();
    for count in 1..=PARTITION_OWNERS_MAX as u64 {
        let _ = replica.fence(&format!("job-{count}"), token(count));
    }
    let last = token(PARTITION_OWNERS_MAX as u64 + 1);
    let _ = replica.fence("a", last);
    assert_eq!(replica.produce_owned(last, 0), appended(0, 1));
}

#[test]
fn a_leader_refuses_what_apply_would_refuse() {
    let mut replica = Replica::new();
    let _ = replica.fence("sync", token(2));
    let check = |token| {
        let owned = producer(ProducerId::owned(token).get(), 0, 0);
        let pending = PendingBatches::new();
        replica.state.check(Some(owned), 1, &pending)
    };
    let rejection = Rejection::OwnerFenced { found: token(1) };
    assert_eq!(check(token(1)), Admission::Rejected(rejection));
    assert!(matches!(check(token(2)), Admission::Append { .. }));
}

#[test]
fn jobs_do_not_fence_one_another_and_share_no_token() {
    let mut replica = Replica::new();
    let _ = replica.fence("a", token(5));
    assert_eq!(replica.fence("b", token(2)), fenced(0));
    assert_eq!(replica.produce_owned(token(5), 0), appended(0, 1));
    assert_eq!(replica.produce_owned(token(2), 0), appended(1, 2));
    assert_eq!(replica.fence("b", token(5)), refused(token(5)));
}

#[test]
fn tokens_that_no_coordinator_gives_out_are_refused() {
    let mut replica = Replica::new();
    for impossible in [0, u64::MAX, 1 << 56] {
        let impossible = FencingToken::new(impossible);
        assert_eq!(replica.fence("sync", impossible), refused(impossible));
    }
}

/// The partition remembers a limited number of owners. What it forgets must not come back.
#[test]
fn an_owner_that_was_forgotten_stays_fenced() {
    let mut replica = Replica::new();
    let _ = replica.fence("first", token(7));
    assert_eq!(replica.produce_owned(token(7), 0), appended(0, 1));
    let _ = replica.fence("second", token(8));
    assert_eq!(replica.produce_owned(token(8), 0), appended(1, 2));
    for count in 0..PARTITION_OWNERS_MAX as u64 - 1 {
        let _ = replica.fence(&format!("job-{count}"), token(10 + count));
    }
    assert_eq!(replica.produce_owned(token(7), 1), refused(token(7)));
    assert_eq!(replica.fence("first", token(6)), refused(token(6)));
    assert_eq!(replica.fence("first", token(7)), refused(token(7)));
    assert_eq!(replica.produce_owned(token(8), 1), appended(2, 3));
    assert!(matches!(
        replica.fence("first", token(5_000)),
        Outcome::Fenced { .. }
    ));
    let copy = PartitionState::decode(&replica.state.encode()).unwrap();
    assert_eq!(copy, replica.state);
}

proptest! {
    /// Whatever comes in which order: a job's owner never appends after a later one was fenced in.
    #[test]
    fn appends_of_a_job_come_in_the_order_of_its_tokens(
        steps in prop::collection::vec((0_u8..3, 1_u64..6, any::<bool>()), 1..60),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut replica = Replica::new();
        let mut last_fenced: BTreeMap<u8, u64> = BTreeMap::new();
        let mut sequences: BTreeMap<(u8, u64), u32> = BTreeMap::new();
        let image_after = image_after.index(steps.len());
        for (number, (job, count, is_fence)) in steps.into_iter().enumerate() {
            // No two jobs have a token in common.
            let token = token(count * 3 + u64::from(job));
            let last = last_fenced.get(&job).copied().unwrap_or(0);
            if is_fence {
                let outcome = replica.fence(&format!("job-{job}"), token);
                let expected = count >= last;
                prop_assert_eq!(matches!(outcome, Outcome::Fenced { .. }), expected);
                last_fenced.insert(job, last.max(count));
            } else {
                let sequence = sequences.entry((job, count)).or_default();
                let outcome = replica.produce_owned(token, *sequence);
                prop_assert_eq!(matches!(outcome, Outcome::Appended { .. }), count == last);
                *sequence += u32::from(count == last);
            }
            if number == image_after {
                replica.state = PartitionState::decode(&replica.state.encode()).unwrap();
            }
        }
    }
}

#[test]
fn a_producer_without_owner_is_not_concerned() {
    let mut replica = Replica::new();
    let _ = replica.fence("sync", token(1));
    assert_eq!(replica.produce(1, producer(1, 0, 0)), appended(0, 1));
    let batch = small_batch(1, Timestamp::from_millis(0), None);
    assert_eq!(replica.append(&batch, millis(0)).outcome, appended(1, 2));
}
