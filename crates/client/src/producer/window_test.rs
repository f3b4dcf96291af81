//! The rules of the window, one by one.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_types::{
    BatchBuilder, Compression, ErrorCode, Offset, PartitionIndex, ProducerEpoch, ProducerId,
    RecordBatch, Timestamp,
};
use futures::FutureExt;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::accumulator::OpenBatch;
use super::delivery::{Delivery, FirstFailure, Promise};
use super::window::{Identity, Window};
use crate::ClientError;

const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);

/// A window under producer 1, and what the callers of its batches wait for.
struct Fixture {
    window: Window,
    deliveries: Vec<Delivery>,
}

/// Number, producer and base sequence of a batch that was sent.
type Sent = (u64, u64, u32);

impl Fixture {
    fn new() -> Self {
        let mut window = Window::new(5, true, DELIVERY_TIMEOUT, Arc::<FirstFailure>::default());
        window.adopt(identity(1));
        Self {
            window,
            deliveries: Vec::new(),
        }
    }

    /// Batches of two records each.
    fn with_batches(count: usize) -> Self {
        let mut fixture = Self::new();
        for _ in 0..count {
            fixture.take_in();
        }
        fixture
    }

    fn take_in(&mut self) {
        let mut records = BatchBuilder::new(Compression::None);
        for value in [b"a", b"b"] {
            let timestamp = Timestamp::from_millis(5);
            records.push(timestamp, None, Some(value), &[]).unwrap();
        }
        let promise = Promise::new();
        let delivery = promise.delivery(PartitionIndex::new(0), 0);
        let room = Arc::new(Semaphore::new(1)).try_acquire_owned();
        self.window.take_in(OpenBatch {
            number: self.deliveries.len() as u64,
            records,
            room: room.unwrap(),
            promise,
            opened_at: Instant::now(),
        });
        self.deliveries.push(delivery);
    }

    fn send_all(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some((number, _, bytes)) = self.window.next_to_send() {
            let batch = RecordBatch::parse(bytes).unwrap();
            let producer = batch.producer().unwrap();
            sent.push((number, producer.id.get(), producer.base_sequence.get()));
        }
        sent
    }

    fn refuse(&mut self, number: u64, code: ErrorCode) {
        let error = ApiError::new(code, "no");
        self.window.on_answer(number, Err(error));
    }

    fn acknowledge(&mut self, number: u64, offset: u64) {
        self.window.on_answer(number, Ok(Offset::new(offset)));
    }

    fn fail_head(&mut self) {
        let last = ApiError::new(ErrorCode::BatchTooLarge, "no");
        self.window.fail_head(|in_doubt| ClientError::GaveUp {
            waited: Duration::ZERO,
            definite: !in_doubt,
            last: last.clone(),
        });
        self.window.retry_all();
    }

    /// What became of a batch: its offset, or whether its failure is definite.
    fn outcome(&mut self, number: usize) -> Option<Result<u64, bool>> {
        let outcome = (&mut self.deliveries[number]).now_or_never()?;
        Some(match outcome {
            Ok(delivered) => Ok(delivered.offset.get()),
            Err(error) => Err(error.is_definite()),
        })
    }
}

fn identity(id: u64) -> Identity {
    Identity {
        id: ProducerId::new(id),
        epoch: ProducerEpoch::new(0),
    }
}

#[test]
fn batches_are_numbered_in_order_and_keep_their_numbers_when_sent_again() {
    let mut fixture = Fixture::with_batches(3);
    let sent = fixture.send_all();
    assert_eq!(sent, [(0, 1, 0), (1, 1, 2), (2, 1, 4)]);
    fixture.acknowledge(0, 10);
    fixture.refuse(1, ErrorCode::ResultUnknown);
    fixture.refuse(2, ErrorCode::OutOfOrderSequence);
    fixture.window.retry_all();
    assert_eq!(fixture.send_all(), sent[1..]);
    assert_eq!(fixture.outcome(0), Some(Ok(10)));
    assert_eq!(fixture.window.settled_before(), 1);
}

#[test]
fn a_batch_acknowledged_before_the_head_is_not_sent_again() {
    let mut fixture = Fixture::with_batches(2);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::Timeout);
    fixture.acknowledge(1, 12);
    assert_eq!(fixture.window.settled_before(), 0);
    fixture.window.retry_all();
    assert_eq!(fixture.send_all(), [(0, 1, 0)]);
    fixture.acknowledge(0, 10);
    assert_eq!(fixture.window.settled_before(), 2);
    assert!(fixture.window.is_empty());
}

#[test]
fn no_more_batches_are_taken_in_than_a_node_remembers() {
    let mut fixture = Fixture::with_batches(5);
    let _ = fixture.send_all();
    fixture.acknowledge(1, 12);
    assert!(!fixture.window.has_room(), "the head still spans five");
    fixture.acknowledge(0, 10);
    assert!(fixture.window.has_room());
}

#[test]
fn a_head_that_was_surely_refused_hands_its_numbers_on() {
    let mut fixture = Fixture::with_batches(3);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::BatchTooLarge);
    fixture.refuse(1, ErrorCode::OutOfOrderSequence);
    fixture.refuse(2, ErrorCode::OutOfOrderSequence);
    fixture.fail_head();
    assert_eq!(fixture.outcome(0), Some(Err(true)));
    assert_eq!(fixture.send_all(), [(1, 1, 0), (2, 1, 2)]);
}

#[test]
fn numbers_of_which_copies_may_be_under_way_are_not_used_again() {
    let mut fixture = Fixture::with_batches(3);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::BatchTooLarge);
    fixture.refuse(1, ErrorCode::OutOfOrderSequence);
    fixture.refuse(2, ErrorCode::ResultUnknown);
    fixture.fail_head();
    assert!(fixture.window.needs_identity());
    assert_eq!(fixture.send_all(), []);
    fixture.window.adopt(identity(2));
    assert_eq!(fixture.send_all(), [(1, 2, 0), (2, 2, 2)]);
    assert_eq!(fixture.outcome(2), None);
}

#[test]
fn a_head_in_doubt_takes_those_in_doubt_behind_it_along() {
    let mut fixture = Fixture::with_batches(4);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::ResultUnknown);
    fixture.refuse(1, ErrorCode::ResultUnknown);
    fixture.refuse(2, ErrorCode::OutOfOrderSequence);
    fixture.refuse(3, ErrorCode::ResultUnknown);
    fixture.fail_head();
    assert_eq!(fixture.outcome(0), Some(Err(false)));
    assert_eq!(fixture.outcome(1), Some(Err(false)));
    // Batch 2 was surely not applied, so batch 3 was not either.
    fixture.window.adopt(identity(2));
    assert_eq!(fixture.send_all(), [(2, 2, 0), (3, 2, 2)]);
}

#[test]
fn doubt_outlives_a_later_definite_error() {
    let mut fixture = Fixture::with_batches(1);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::Timeout);
    fixture.window.retry_all();
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::DiskFull);
    fixture.fail_head();
    assert_eq!(fixture.outcome(0), Some(Err(false)));
}

#[test]
fn a_batch_that_was_never_sent_expires_without_a_trace() {
    let mut fixture = Fixture::with_batches(1);
    let error = ApiError::new(ErrorCode::LeaderNotAvailable, "nobody leads");
    let now = Instant::now();
    fixture.window.expire(now, &error);
    assert_eq!(fixture.outcome(0), None);
    fixture.window.expire(now + DELIVERY_TIMEOUT, &error);
    assert_eq!(fixture.outcome(0), Some(Err(true)));
    fixture.take_in();
    assert_eq!(fixture.send_all(), [(1, 1, 0)]);
}

#[test]
fn starting_over_keeps_every_record() {
    let mut fixture = Fixture::with_batches(2);
    let _ = fixture.send_all();
    fixture.refuse(0, ErrorCode::UnknownProducer);
    fixture.refuse(1, ErrorCode::UnknownProducer);
    fixture.window.start_over();
    fixture.window.retry_all();
    fixture.window.adopt(identity(2));
    let (_, _, bytes) = fixture.window.next_to_send().unwrap();
    let records = RecordBatch::parse(bytes).unwrap().records().unwrap();
    let values: Vec<_> = records.into_iter().map(|record| record.value).collect();
    assert_eq!(values, [Some("a".into()), Some("b".into())]);
}
