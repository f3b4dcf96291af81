use std::collections::VecDeque;

use flotilla_types::Offset;
use flotilla_types::batch::BatchProducer;
use proptest::prelude::*;

use super::test_batches::{Replica, append_at, millis, producer, small_batch};
use super::{Admission, Outcome, PartitionCommand, PendingBatches, Rejection};

fn append(base_offset: u64) -> Admission {
    Admission::Append {
        base_offset: Offset::new(base_offset),
    }
}

#[test]
fn offsets_are_handed_out_ahead_of_the_applied_state() {
    let replica = Replica::new();
    let mut pending = PendingBatches::new();
    assert_eq!(replica.state.check(None, 3, &pending), append(0));
    pending.push(Offset::ZERO, None, 3);
    assert_eq!(replica.state.check(None, 2, &pending), append(3));
    pending.clear();
    assert!(pending.is_empty());
    assert_eq!(replica.state.check(None, 2, &pending), append(0));
}

#[test]
fn a_batch_sent_again_while_it_is_pending_waits_for_the_first_one() {
    let mut replica = Replica::new();
    let mut pending = PendingBatches::new();
    let first = producer(1, 0, 0);
    pending.push(Offset::ZERO, Some(first), 2);
    assert_eq!(
        replica.state.check(Some(first), 2, &pending),
        Admission::Pending {
            base_offset: Offset::ZERO,
            end_offset: Offset::new(2)
        }
    );
    let _ = replica.produce(2, first);
    assert_eq!(
        replica.state.check(Some(first), 2, &pending),
        Admission::Duplicate {
            base_offset: Offset::ZERO,
            end_offset: Offset::new(2)
        }
    );
}

#[test]
fn no_more_batches_of_a_producer_are_in_flight_than_are_remembered() {
    let mut replica = Replica::new();
    let mut pending = PendingBatches::new();
    for sequence in 0..5 {
        let batch = producer(1, 0, sequence);
        assert_eq!(
            replica.state.check(Some(batch), 1, &pending),
            append(u64::from(sequence))
        );
        pending.push(Offset::new(u64::from(sequence)), Some(batch), 1);
    }
    let sixth = producer(1, 0, 5);
    assert_eq!(
        replica.state.check(Some(sixth), 1, &pending),
        Admission::InFlightFull
    );
    let _ = replica.produce(1, producer(1, 0, 0));
    assert_eq!(replica.state.check(Some(sixth), 1, &pending), append(5));
}

#[test]
fn a_newer_epoch_that_is_pending_fences_the_older_one_already() {
    let mut replica = Replica::new();
    let _ = replica.produce(1, producer(1, 0, 0));
    let mut pending = PendingBatches::new();
    pending.push(Offset::new(1), Some(producer(1, 1, 0)), 1);
    assert!(matches!(
        replica.state.check(Some(producer(1, 0, 1)), 1, &pending),
        Admission::Rejected(Rejection::ProducerFenced { .. })
    ));
}

#[derive(Clone, Debug)]
enum Step {
    /// A batch arrives, in sequence, again, or out of it.
    Arrive {
        producer: u64,
        epoch: u16,
        sequence: u32,
        record_count: u32,
    },
    /// The oldest proposed batch is applied.
    Apply,
    Settle,
    /// The leader forgets what it proposed, and none of it was committed.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0_u64..2, 0_u16..2, 0_u32..8, 1_u32..3).prop_map(
            |(producer, epoch, sequence, record_count)| Step::Arrive {
                producer,
                epoch,
                sequence,
                record_count,
            }
        ),
        3 => Just(Step::Apply),
        1 => Just(Step::Settle),
        1 => Just(Step::Restart),
    ]
}

struct Leader {
    replica: Replica,
    pending: PendingBatches,
    proposed: VecDeque<(Offset, BatchProducer, PartitionCommand)>,
}

impl Leader {
    fn on_arrival(&mut self, producer: BatchProducer, record_count: u32) {
        let state = &self.replica.state;
        let admission = state.check(Some(producer), record_count, &self.pending);
        // What a state that had applied everything proposed would say is what must be said now.
        let mut ahead = self.replica.clone();
        for (_, _, command) in &self.proposed {
            let _ = ahead.apply(command, millis(0));
        }
        let outcome = ahead.produce(record_count, producer);
        match (admission, outcome) {
            (
                Admission::Append { base_offset },
                Outcome::Appended {
                    base_offset: base, ..
                },
            ) => {
                assert_eq!(base_offset, base);
                self.pending.push(base_offset, Some(producer), record_count);
                let batch = small_batch(record_count, millis(0), Some(producer));
                let command = append_at(base_offset, &batch);
                self.proposed.push_back((base_offset, producer, command));
            }
            (Admission::InFlightFull, Outcome::Appended { .. }) => {
                let of_producer = self
                    .proposed
                    .iter()
                    .filter(|(_, by, _)| by.id == producer.id);
                assert_eq!(of_producer.count(), 5);
            }
            (
                Admission::Pending { base_offset, .. },
                Outcome::Duplicate {
                    base_offset: base, ..
                },
            ) => {
                assert_eq!(base_offset, base);
                assert!(base_offset >= state.next_offset());
            }
            (
                Admission::Duplicate { base_offset, .. },
                Outcome::Duplicate {
                    base_offset: base, ..
                },
            ) => {
                assert_eq!(base_offset, base);
                assert!(base_offset < state.next_offset());
            }
            (Admission::Rejected(said), Outcome::Rejected(done)) => assert_eq!(said, done),
            other => panic!("admission and apply differ: {other:?}"),
        }
    }

    fn apply_oldest(&mut self) {
        let Some((offset, _, command)) = self.proposed.pop_front() else {
            return;
        };
        let outcome = self.replica.apply(&command, millis(0)).outcome;
        assert!(
            matches!(outcome, Outcome::Appended { base_offset, .. } if base_offset == offset),
            "an admitted batch did not fit: {outcome:?}"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn the_leader_foresees_what_apply_will_say(steps in prop::collection::vec(step(), 1..120)) {
        let mut leader = Leader {
            replica: Replica::new(),
            pending: PendingBatches::new(),
            proposed: VecDeque::new(),
        };
        for step in steps {
            match step {
                Step::Arrive { producer: id, epoch, sequence, record_count } => {
                    leader.on_arrival(producer(id, epoch, sequence), record_count);
                }
                Step::Apply => leader.apply_oldest(),
                Step::Settle => leader.pending.settle(leader.replica.state.next_offset()),
                Step::Restart => {
                    leader.pending.clear();
                    leader.proposed.clear();
                }
            }
        }
    }
}
