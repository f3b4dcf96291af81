//! Producers and consumers that note what they do, for the [`History`] to be judged.

use std::collections::VecDeque;

use bytes::Bytes;
use flotilla_client::{
    Client, ClientError, ConsumerConfig, Delivered, Delivery, OffsetSpec, ProducerConfig,
    ProducerRecord, TopicName, Until,
};

use crate::history::{Extent, Fate, History, Reading, RecordId, Seen, Sent};

/// Records whose fate may be open at a time.
const OPEN_MAX: usize = 1_000;
/// Records that a consumer takes at a time.
const POLL_RECORDS: usize = 10_000;

/// What one producer writes.
#[derive(Clone, Debug)]
pub struct Writing {
    pub topic: TopicName,
    /// Distinguishes the producers of a test.
    pub producer: u32,
    pub record_count: u64,
    pub value_bytes: usize,
    /// Keys that take turns. With none, records have no key.
    pub key_count: u64,
}

impl Writing {
    fn key(&self, number: u64) -> Option<Bytes> {
        let turn = number.checked_rem(self.key_count)?;
        Some(format!("{}-{turn}", self.producer).into())
    }
}

/// Sends everything, in order, and notes what became of each record. `acknowledged` is told how many
/// were acknowledged so far, so that a test can act in mid-air.
///
/// # Errors
///
/// If no producer can be made. What happens to single records is in the history.
pub async fn write(
    client: &Client,
    writing: &Writing,
    config: ProducerConfig,
    mut acknowledged: impl FnMut(u64),
) -> Result<History, ClientError> {
    let producer = client.producer(config)?;
    let mut history = History::default();
    let mut open: VecDeque<(RecordId, Option<Bytes>, Delivery)> = VecDeque::new();
    let mut acknowledged_count = 0;
    for number in 0..writing.record_count {
        if open.len() == OPEN_MAX {
            settle(&mut open, &mut history, &mut acknowledged_count).await;
            acknowledged(acknowledged_count);
        }
        let id = RecordId::new(writing.producer, number);
        let key = writing.key(number);
        let record = ProducerRecord::new(writing.topic.clone(), id.value(writing.value_bytes));
        let record = match &key {
            Some(key) => record.key(key.clone()),
            None => record,
        };
        match producer.send(record).await {
            Ok(delivery) => open.push_back((id, key, delivery)),
            Err(error) => history.note_sent(
                id,
                Sent {
                    key,
                    fate: fate_of(Err(error)),
                },
            ),
        }
    }
    while !open.is_empty() {
        settle(&mut open, &mut history, &mut acknowledged_count).await;
    }
    acknowledged(acknowledged_count);
    // Every record was answered one by one, so the sum of it all has nothing to add.
    let _ = producer.close().await;
    Ok(history)
}

/// Learns what became of the older half of what is open, at least of one record.
async fn settle(
    open: &mut VecDeque<(RecordId, Option<Bytes>, Delivery)>,
    history: &mut History,
    acknowledged_count: &mut u64,
) {
    let count = open.len().div_ceil(2);
    for (id, key, delivery) in open.drain(..count) {
        let fate = fate_of(delivery.await);
        *acknowledged_count += u64::from(matches!(fate, Fate::Acknowledged { .. }));
        history.note_sent(id, Sent { key, fate });
    }
}

fn fate_of(outcome: Result<Delivered, ClientError>) -> Fate {
    match outcome {
        Ok(Delivered { partition, offset }) => Fate::Acknowledged { partition, offset },
        Err(error) if error.is_definite() => Fate::Refused,
        Err(_) => Fate::Unknown,
    }
}

/// Reads every partition of a topic from the first record to the high watermark.
///
/// # Errors
///
/// If the topic cannot be read to its end.
pub async fn read_whole(client: &Client, topic: &TopicName) -> Result<Vec<Reading>, ClientError> {
    let config = ConsumerConfig {
        until: Until::HighWatermark,
        ..ConsumerConfig::default()
    };
    let mut consumer = client.consumer(config)?;
    let partitions = consumer.assign_topic(topic, OffsetSpec::Earliest).await?;
    let empty = |partition| Reading {
        partition,
        extent: Extent::Whole,
        records: Vec::new(),
    };
    let mut readings: Vec<_> = partitions.into_iter().map(empty).collect();
    loop {
        let records = consumer.poll(POLL_RECORDS).await?;
        if records.is_empty() {
            return Ok(readings);
        }
        for record in records {
            let reading = readings
                .iter_mut()
                .find(|reading| reading.partition == record.partition);
            reading
                .expect("a consumer reads what it was assigned")
                .records
                .push(Seen {
                    offset: record.offset,
                    id: record.value.as_deref().and_then(RecordId::of_value),
                    key: record.key,
                });
        }
    }
}
