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

/// When the first record was acknowledged that was sent after `time`.
pub(super) fn first_after(acknowledgements: &[Acknowledgement], time: Instant) -> Option<Instant> {
    let after = acknowledgements.iter().filter(|one| one.sent_at > time);
    after.map(|one| one.at).min()
}

/// The longest time between two acknowledgements, of which the second came after `time`.
pub(super) fn longest_silence(acknowledgements: &[Acknowledgement], time: Instant) -> Duration {
    let pairs = acknowledgements.windows(2).filter(|pair| pair[1].at > time);
    let silences = pairs.map(|pair| pair[1].at.saturating_duration_since(pair[0].at));
    silences.max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn acknowledgements(begun: Instant, times: &[(u64, u64)]) -> Vec<Acknowledgement> {
        let at = |millis| begun + Duration::from_millis(millis);
        let times = times.iter();
        times
            .map(|(sent_at, acknowledged)| Acknowledgement {
                sent_at: at(*sent_at),
                at: at(*acknowledged),
            })
            .collect()
    }

    #[test]
    fn late_answers_of_the_dead_node_do_not_end_the_outage() {
        let begun = Instant::now();
        let killed_at = begun + Duration::from_millis(100);
        let times = [
            (80, 90),
            (95, 120),
            (105, 450),
            (110, 450),
            (460, 900),
            (470, 901),
        ];
        let all = acknowledgements(begun, &times);
        let first = first_after(&all, killed_at).unwrap();
        assert_eq!(first - begun, Duration::from_millis(450));
        let silence = longest_silence(&all, killed_at);
        assert_eq!(
            silence,
            Duration::from_millis(450),
            "the second stall was longer"
        );
        assert_eq!(first_after(&all[..2], killed_at), None);
    }

    #[test]
    fn a_silence_before_the_kill_does_not_count() {
        let begun = Instant::now();
        let all = acknowledgements(begun, &[(0, 10), (900, 990), (1_000, 1_010)]);
        let silence = longest_silence(&all, begun + Duration::from_secs(1));
        assert_eq!(silence, Duration::from_millis(20));
    }
}
