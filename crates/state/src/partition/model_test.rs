//! The state machine against a model that remembers everything and is written down plainly.

use std::collections::BTreeMap;

use flotilla_types::limits::PRODUCER_EXPIRY_MS;
use flotilla_types::{LogIndex, Offset, Timestamp};
use proptest::prelude::*;

use super::test_batches::{appended, duplicate, millis, producer, small_batch, stamp};
use super::{Outcome, PartitionCommand, PartitionState, Rejection, encode_append};

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// One entry of the log, described relative to what the model knows when it is made.
#[derive(Clone, Debug)]
enum Entry {
    Append {
        producer: Option<u64>,
        sequence: SequenceChoice,
        record_count: u32,
        stamped_for_next: bool,
    },
    Trim {
        percent: u64,
    },
    Close,
}

#[derive(Clone, Copy, Debug)]
enum SequenceChoice {
    Next,
    /// The batch that was sent so many batches before, again.
    Retry {
        back: usize,
    },
    Skip {
        by: u32,
    },
    NewEpoch {
        sequence: u32,
    },
    OldEpoch,
}

fn sequence_choice() -> impl Strategy<Value = SequenceChoice> {
    prop_oneof![
        6 => Just(SequenceChoice::Next),
        4 => (0_usize..8).prop_map(|back| SequenceChoice::Retry { back }),
        1 => (1_u32..4).prop_map(|by| SequenceChoice::Skip { by }),
        1 => (0_u32..2).prop_map(|sequence| SequenceChoice::NewEpoch { sequence }),
        1 => Just(SequenceChoice::OldEpoch),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let append = (
        prop::option::weighted(0.9, 0_u64..3),
        sequence_choice(),
        1_u32..4,
        prop::bool::weighted(0.9),
    );
    prop_oneof![
        12 => append.prop_map(|(producer, sequence, record_count, stamped_for_next)| {
            Entry::Append { producer, sequence, record_count, stamped_for_next }
        }),
        1 => (0_u64..130).prop_map(|percent| Entry::Trim { percent }),
        1 => Just(Entry::Close),
    ]
}

fn log() -> impl Strategy<Value = Vec<(Entry, i64)>> {
    let pause_ms = prop_oneof![8 => 0_i64..1_000, 1 => DAY_MS..5 * DAY_MS];
    prop::collection::vec((entry(), pause_ms), 1..80)
}

#[derive(Clone, Copy, Debug)]
struct SentBatch {
    epoch: u16,
    sequence: u32,
    record_count: u32,
    base_offset: u64,
}

#[derive(Default)]
struct Model {
    now_ms: i64,
    next_offset: u64,
    log_start: u64,
    /// Every batch that was appended since the producer was last forgotten, and when the last was.
    producers: BTreeMap<u64, (Vec<SentBatch>, i64)>,
    /// The offset of every record that a producer wrote since it was last forgotten.
    offsets: BTreeMap<(u64, u16, u32), u64>,
}

impl Model {
    fn sent(&self, id: u64) -> &[SentBatch] {
        self.producers.get(&id).map_or(&[], |(sent, _)| sent)
    }

    /// The identity that the batch of this choice carries: epoch, base sequence and record count.
    fn choose(&self, id: u64, choice: SequenceChoice, record_count: u32) -> (u16, u32, u32) {
        let sent = self.sent(id);
        let last = sent.last();
        let epoch = last.map_or(5, |last| last.epoch);
        let next = last.map_or(0, |last| last.sequence + last.record_count);
        match choice {
            SequenceChoice::Next => (epoch, next, record_count),
            SequenceChoice::Retry { back } => match sent.iter().rev().nth(back) {
                Some(old) => (old.epoch, old.sequence, old.record_count),
                None => (epoch, next, record_count),
            },
            SequenceChoice::Skip { by } => (epoch, next + by, record_count),
            SequenceChoice::NewEpoch { sequence } => (epoch + 1, sequence, record_count),
            SequenceChoice::OldEpoch => (epoch - 1, next, record_count),
        }
    }

    /// What must come out when the batch with this identity meets this state.
    fn expect(&self, id: u64, (epoch, sequence, record_count): (u16, u32, u32)) -> Expected {
        let sent = self.sent(id);
        let Some(last) = sent.last() else {
            return if sequence == 0 {
                Expected::Appended
            } else {
                Expected::Unknown
            };
        };
        if epoch < last.epoch {
            return Expected::Fenced;
        }
        if epoch > last.epoch {
            return if sequence == 0 {
                Expected::Appended
            } else {
                Expected::OutOfOrder
            };
        }
        let remembered = sent.iter().rev().take(5).filter(|old| old.epoch == epoch);
        for old in remembered {
            if (old.sequence, old.record_count) == (sequence, record_count) {
                let end = old.base_offset + u64::from(old.record_count);
                return Expected::Duplicate(old.base_offset, end);
            }
        }
        if sequence == last.sequence + last.record_count {
            Expected::Appended
        } else {
            Expected::OutOfOrder
        }
    }

    fn append(&mut self, id: Option<u64>, (epoch, sequence, record_count): (u16, u32, u32)) {
        if let Some(id) = id {
            let (sent, last_ms) = self.producers.entry(id).or_default();
            sent.push(SentBatch {
                epoch,
                sequence,
                record_count,
                base_offset: self.next_offset,
            });
            *last_ms = self.now_ms;
            for position in 0..record_count {
                let offset = self.next_offset + u64::from(position);
                let record = (id, epoch, sequence + position);
                let earlier = self.offsets.insert(record, offset);
                assert_eq!(earlier, None, "{record:?} has two offsets");
            }
        }
        self.next_offset += u64::from(record_count);
    }

    fn forget_silent(&mut self) {
        let expired_before = self.now_ms - PRODUCER_EXPIRY_MS as i64;
        self.producers
            .retain(|_, (_, last_ms)| *last_ms >= expired_before);
        let known = &self.producers;
        self.offsets.retain(|(id, _, _), _| known.contains_key(id));
    }
}

#[derive(Clone, Copy, Debug)]
enum Expected {
    Appended,
    Duplicate(u64, u64),
    Unknown,
    Fenced,
    OutOfOrder,
    WrongOffset,
}

impl Expected {
    fn matches(self, outcome: Outcome, base: u64, record_count: u32) -> bool {
        match (self, outcome) {
            (Self::Appended, outcome) => outcome == appended(base, base + u64::from(record_count)),
            (Self::Duplicate(base, end), outcome) => outcome == duplicate(base, end),
            (Self::Unknown, Outcome::Rejected(Rejection::UnknownProducer { .. }))
            | (Self::Fenced, Outcome::Rejected(Rejection::ProducerFenced { .. }))
            | (Self::OutOfOrder, Outcome::Rejected(Rejection::OutOfOrderSequence { .. })) => true,
            (Self::WrongOffset, Outcome::Rejected(Rejection::OffsetMismatch { expected })) => {
                expected.get() == base
            }
            _ => false,
        }
    }
}

/// Builds the entry's payload, moves the model on, and returns what the outcome must be checked with.
fn play(
    model: &mut Model,
    entry: &Entry,
    state: &mut PartitionState,
    index: LogIndex,
) -> bytes::Bytes {
    let now = millis(model.now_ms);
    match entry {
        Entry::Append {
            producer: id,
            sequence,
            record_count,
            stamped_for_next,
        } => {
            let identity = id.map_or((0, 0, *record_count), |id| {
                model.choose(id, *sequence, *record_count)
            });
            let by = id.map(|id| producer(id, identity.0, identity.1));
            let batch = small_batch(identity.2, now, by);
            let base = model.next_offset;
            let stamped = if *stamped_for_next { base } else { base + 1 };
            let payload = encode_append(&batch, stamp(now, Offset::new(stamped)));
            let expected = match id {
                _ if !stamped_for_next => Expected::WrongOffset,
                Some(id) => model.expect(*id, identity),
                None => Expected::Appended,
            };
            let outcome = apply(state, index, &payload);
            assert!(
                expected.matches(outcome, base, identity.2),
                "{entry:?} {identity:?} came out as {outcome:?}, not as {expected:?}"
            );
            if matches!(expected, Expected::Appended) {
                model.append(*id, identity);
            }
            model.forget_silent();
            payload
        }
        Entry::Trim { percent } => {
            let log_start = model.next_offset * percent / 100;
            let command = PartitionCommand::TrimTo {
                log_start: Offset::new(log_start),
            };
            let payload = command.encode(now);
            let outcome = apply(state, index, &payload);
            if log_start > model.next_offset {
                assert!(matches!(
                    outcome,
                    Outcome::Rejected(Rejection::TrimBeyondEnd { .. })
                ));
            } else {
                model.log_start = model.log_start.max(log_start);
                let log_start = Offset::new(model.log_start);
                assert_eq!(outcome, Outcome::Trimmed { log_start });
            }
            payload
        }
        Entry::Close => {
            let payload = PartitionCommand::CloseSegment.encode(now);
            assert_eq!(apply(state, index, &payload), Outcome::SegmentClosed);
            payload
        }
    }
}

fn apply(state: &mut PartitionState, index: LogIndex, payload: &bytes::Bytes) -> Outcome {
    let (timestamp, command): (Timestamp, _) = PartitionCommand::decode(payload).unwrap();
    state.apply(index, &command, timestamp).outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn replicas_agree_with_the_model_and_with_one_another(
        log in log(),
        image_after in any::<prop::sample::Index>(),
    ) {
        let mut model = Model::default();
        let mut state = PartitionState::new();
        let mut payloads = Vec::new();
        for ((entry, pause_ms), index) in log.iter().zip(1..) {
            model.now_ms += pause_ms;
            payloads.push(play(&mut model, entry, &mut state, LogIndex::new(index)));
            prop_assert_eq!(state.next_offset().get(), model.next_offset);
            prop_assert_eq!(state.log_start().get(), model.log_start);
            prop_assert_eq!(state.now().as_millis(), model.now_ms);
        }

        let mut straight = PartitionState::new();
        let mut through_image = PartitionState::new();
        for (payload, index) in payloads.iter().zip(1..) {
            let _ = apply(&mut straight, LogIndex::new(index), payload);
            let _ = apply(&mut through_image, LogIndex::new(index), payload);
            if image_after.index(payloads.len()) + 1 == index as usize {
                through_image = PartitionState::decode(&through_image.encode()).unwrap();
            }
        }
        prop_assert_eq!(&straight, &state);
        prop_assert_eq!(&through_image, &state);
        prop_assert_eq!(through_image.encode(), state.encode());
    }
}
