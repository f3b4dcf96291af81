//! One partition as the producer's callers see it: records go in, a task takes batches out.

use flotilla_types::{PartitionIndex, Timestamp, TopicName};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, watch};
use tokio::time::{Instant, sleep_until};

use super::accumulator::{Accumulator, BatchLimits, Due, OpenBatch, Pushed};
use super::record::ProducerRecord;
use crate::ClientError;

pub(super) struct Lane {
    pub(super) topic: TopicName,
    pub(super) partition: PartitionIndex,
    accumulator: Mutex<Accumulator>,
    /// Wakes the task that takes batches out. There is only one.
    changed: Notify,
    /// Batches with smaller numbers have been acknowledged or have failed for good.
    settled_before: watch::Sender<u64>,
}

impl Lane {
    pub(super) fn new(topic: TopicName, partition: PartitionIndex, limits: BatchLimits) -> Self {
        Self {
            topic,
            partition,
            accumulator: Mutex::new(Accumulator::new(limits)),
            changed: Notify::new(),
            settled_before: watch::Sender::new(0),
        }
    }

    pub(super) fn push(
        &self,
        record: &ProducerRecord,
        timestamp: Timestamp,
        room: OwnedSemaphorePermit,
    ) -> Result<Pushed, ClientError> {
        let pushed = (self.accumulator.lock()).push(self.partition, record, timestamp, room)?;
        if pushed.wakes_sender {
            self.changed.notify_one();
        }
        Ok(pushed)
    }

    /// Waits for a batch that is due, or for the end. Nothing is lost if the wait is given up.
    pub(super) async fn next_due(&self, idle: bool) -> Option<OpenBatch> {
        loop {
            let due = self.accumulator.lock().take_due(Instant::now(), idle);
            match due {
                Due::Batch(batch) => return Some(batch),
                Due::End => return None,
                Due::Nothing => self.changed.notified().await,
                Due::At(moment) => tokio::select! {
                    () = self.changed.notified() => {}
                    () = sleep_until(moment) => {}
                },
            }
        }
    }

    /// Takes out batches that were opened at this moment or before, due or not.
    pub(super) fn take_opened_until(&self, moment: Instant) -> Vec<OpenBatch> {
        self.accumulator.lock().take_opened_until(moment)
    }

    /// Lets nothing linger that is here now. The answer is to be waited for with
    /// [`settled`](Self::settled).
    pub(super) fn flush(&self) -> u64 {
        let batch_count = self.accumulator.lock().flush();
        self.changed.notify_one();
        batch_count
    }

    /// Waits until the fate of all batches with numbers below `before` is known.
    pub(super) async fn settled(&self, before: u64) {
        let mut settled_before = self.settled_before.subscribe();
        settled_before
            .wait_for(|settled| *settled >= before)
            .await
            .expect("the sending half lives in self");
    }

    pub(super) fn note_settled(&self, before: u64) {
        self.settled_before.send_replace(before);
    }

    /// Takes no more records and answers `error` instead. What is here is still sent.
    pub(super) fn end(&self, error: ClientError) {
        self.accumulator.lock().end(error);
        self.changed.notify_one();
    }
}
