//! A load that goes on at its rate whatever the cluster does, and notes every acknowledgement.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use flotilla_client::{Delivery, PartitionIndex, Producer, ProducerRecord, TopicName};
use futures::future::join;
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::payloads::Payloads;

/// Records of a partition that may be open at a time: an outage of minutes.
const OPEN_MAX: usize = 100_000;

#[derive(Clone, Copy, Debug)]
pub(super) struct Acknowledgement {
    pub(super) sent_at: Instant,
    pub(super) at: Instant,
}

/// Ends when it is dropped.
pub(super) struct SteadyLoad {
    topic: TopicName,
    partitions: Vec<Arc<Mutex<Vec<Acknowledgement>>>>,
    stop: CancellationToken,
    lanes: JoinSet<Result<u64>>,
}

struct Lane {
    producer: Producer,
    topic: TopicName,
    partition: PartitionIndex,
    period: Duration,
    payloads: Payloads,
    acknowledged: Arc<Mutex<Vec<Acknowledgement>>>,
    stop: CancellationToken,
}

struct Open {
    sent_at: Instant,
    delivery: Delivery,
}

impl SteadyLoad {
    /// Sends a record of `record_bytes` to each partition once in `period`.
    pub(super) fn start(
        producer: &Producer,
        topic: &TopicName,
        partition_count: u32,
        (period, record_bytes): (Duration, usize),
    ) -> Self {
        let stop = CancellationToken::new();
        let mut lanes = JoinSet::new();
        let mut partitions = Vec::new();
        for partition in 0..partition_count {
            let acknowledged = Arc::default();
            let lane = Lane {
                producer: producer.clone(),
                topic: topic.clone(),
                partition: PartitionIndex::new(partition),
                period,
                payloads: Payloads::new(partition.into(), record_bytes),
                acknowledged: Arc::clone(&acknowledged),
                stop: stop.clone(),
            };
            lanes.spawn(lane.run());
            partitions.push(acknowledged);
        }
        Self {
            topic: topic.clone(),
            partitions,
            stop,
            lanes,
        }
    }

    pub(super) const fn topic(&self) -> &TopicName {
        &self.topic
    }

    /// Those since [`Self::forget`], in order, with one before them.
    pub(super) fn acknowledgements(&self, partition: PartitionIndex) -> Vec<Acknowledgement> {
        self.partitions[partition.get() as usize].lock().clone()
    }

    /// Whether a record that was sent after `time` is acknowledged.
    pub(super) fn answered_since(&self, partition: PartitionIndex, time: Instant) -> bool {
        let acknowledged = self.partitions[partition.get() as usize].lock();
        acknowledged.last().is_some_and(|last| last.sent_at > time)
    }

    /// Keeps the last acknowledgement of each partition only.
    pub(super) fn forget(&self) {
        for acknowledged in &self.partitions {
            let mut acknowledged = acknowledged.lock();
            let old = acknowledged.len().saturating_sub(1);
            acknowledged.drain(..old);
        }
    }

    /// Sends no more, waits for what is open and says how many records were acknowledged. An error
    /// means that one was given up.
    pub(super) async fn stop(mut self) -> Result<u64> {
        self.stop.cancel();
        let mut count = 0;
        while let Some(ended) = self.lanes.join_next().await {
            count += ended??;
        }
        Ok(count)
    }
}

impl Lane {
    async fn run(mut self) -> Result<u64> {
        let (queue, open) = mpsc::channel(OPEN_MAX);
        let settling = settle(open, Arc::clone(&self.acknowledged));
        let (sent, settled) = join(self.send(queue), settling).await;
        // A record that failed says more than those that were not sent because of it.
        let count = settled?;
        sent?;
        Ok(count)
    }

    async fn send(&mut self, queue: mpsc::Sender<Open>) -> Result<()> {
        let mut ticks = interval(self.period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return Ok(()),
                _ = ticks.tick() => {}
            }
            let record = ProducerRecord::new(self.topic.clone(), self.payloads.make());
            let sent_at = Instant::now();
            let delivery = self.producer.send(record.partition(self.partition)).await?;
            let open = Open { sent_at, delivery };
            queue
                .send(open)
                .await
                .ok()
                .context("an earlier record failed")?;
        }
    }
}

async fn settle(
    mut open: mpsc::Receiver<Open>,
    acknowledged: Arc<Mutex<Vec<Acknowledgement>>>,
) -> Result<u64> {
    let mut count = 0;
    while let Some(Open { sent_at, delivery }) = open.recv().await {
        delivery.await.context("a record was given up")?;
        let at = Instant::now();
        acknowledged.lock().push(Acknowledgement { sent_at, at });
        count += 1;
    }
    Ok(count)
}
