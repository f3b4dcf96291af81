//! Producing the input, and noting where and when each record was acknowledged.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, ensure};
use flotilla_client::{
    Client, Delivery, Offset, PartitionIndex, Producer, ProducerConfig, ProducerRecord,
    TopicDescription, TopicName,
};
use flotilla_types::partition_of_key;
use futures::future::{join, try_join_all};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::input::Input;

/// The header with a record's running number.
pub(super) const NUMBER_HEADER: &str = "number";

/// Records of one partition that wait for their acknowledgement at a time. Few, so that what is sent
/// after the kill does not queue behind much that was sent before.
const OPEN_MAX: usize = 4_000;

/// The acknowledgement of one record.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stored {
    /// Which record of the input.
    pub(super) number: usize,
    pub(super) offset: Offset,
    pub(super) sent_at: Instant,
    pub(super) at: Instant,
}

/// Every acknowledgement, by partition, in the order of the records.
#[derive(Debug)]
pub(super) struct Feeding {
    pub(super) partitions: Vec<Vec<Stored>>,
    pub(super) elapsed: Duration,
}

/// A record whose fate is open.
struct Open {
    number: usize,
    sent_at: Instant,
    delivery: Delivery,
}

/// Sends the records of each partition in the order of the input, all partitions at a time, and waits
/// until each record is acknowledged. `acknowledged` is told how many are. An error means that a
/// record was given up.
pub(super) async fn feed(
    client: &Client,
    topic: &TopicDescription,
    input: Arc<Input>,
    acknowledged: watch::Sender<usize>,
) -> anyhow::Result<Feeding> {
    let begun = Instant::now();
    let producer = client.producer(ProducerConfig::default())?;
    let shares = share_out(&input, topic.partitions.len());
    let lanes = topic.partitions.iter().zip(shares);
    let lanes = lanes.map(|(partition, numbers)| {
        let lane = Lane {
            partition: partition.index,
            topic: &topic.name,
            input: &input,
            acknowledged: &acknowledged,
        };
        lane.feed(&producer, numbers)
    });
    let partitions = try_join_all(lanes).await?;
    let elapsed = begun.elapsed();
    producer.close().await?;
    Ok(Feeding {
        partitions,
        elapsed,
    })
}

/// The numbers of each partition's records.
fn share_out(input: &Input, partition_count: usize) -> Vec<Vec<usize>> {
    let mut shares = vec![Vec::new(); partition_count];
    for (number, line) in input.records().iter().enumerate() {
        let partition = partition_of_key(&line.key, partition_count as u32);
        shares[partition.get() as usize].push(number);
    }
    shares
}

/// What one partition's records need on their way.
struct Lane<'a> {
    partition: PartitionIndex,
    topic: &'a TopicName,
    input: &'a Input,
    acknowledged: &'a watch::Sender<usize>,
}

impl Lane<'_> {
    async fn feed(self, producer: &Producer, numbers: Vec<usize>) -> anyhow::Result<Vec<Stored>> {
        let (queue, open) = mpsc::channel(OPEN_MAX);
        let (sent, settled) = join(self.send(producer, numbers, queue), self.settle(open)).await;
        // A record that failed says more than those that were not sent because of it.
        let stored = settled?;
        sent?;
        Ok(stored)
    }

    async fn send(
        &self,
        producer: &Producer,
        numbers: Vec<usize>,
        queue: mpsc::Sender<Open>,
    ) -> anyhow::Result<()> {
        for number in numbers {
            let line = &self.input.records()[number];
            let record = ProducerRecord::new(self.topic.clone(), line.value.clone())
                .key(line.key.clone())
                .header(NUMBER_HEADER, number.to_string());
            let room = queue.reserve().await.context("an earlier record failed")?;
            let sent_at = Instant::now();
            let delivery = producer.send(record).await?;
            room.send(Open {
                number,
                sent_at,
                delivery,
            });
        }
        Ok(())
    }

    async fn settle(&self, mut open: mpsc::Receiver<Open>) -> anyhow::Result<Vec<Stored>> {
        let mut stored = Vec::new();
        while let Some(open) = open.recv().await {
            let number = open.number;
            let delivered = open.delivery.await;
            let delivered = delivered.with_context(|| format!("record {number} was not stored"))?;
            ensure!(
                delivered.partition == self.partition,
                "record {number} went to partition {}, and its key belongs to {}",
                delivered.partition,
                self.partition
            );
            stored.push(Stored {
                number,
                offset: delivered.offset,
                sent_at: open.sent_at,
                at: Instant::now(),
            });
            self.acknowledged.send_modify(|count| *count += 1);
        }
        Ok(stored)
    }
}
