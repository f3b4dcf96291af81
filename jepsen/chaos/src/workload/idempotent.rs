//! Idempotent producers: every failure that may pass is tried again, and still each record is stored once
//! and in order. Keys pick the partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_checker::history::{ClientKind, Offset, Place, Produce, Produced, RecordValue};
use flotilla_client::{
    Client, ClientError, Delivered, PartitionIndex, Producer, ProducerConfig, ProducerRecord,
    Publication,
};
use futures::future::join_all;
use rand::RngExt;
use tokio::task::JoinSet;

use super::Workload;
use super::field::{Field, LoadedTopic};
use super::pace::Pace;
use crate::payload::encode;
use crate::recorder::ProcessLog;

const PRODUCERS: u32 = 3;
const BATCH: u32 = 60;
const KEYS: u32 = 64;
/// One batch in so many is the last one of its producer.
const CRASH_ONE_IN: u32 = 300;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Idempotent.name())?;
    for _ in 0..PRODUCERS {
        let client = field.client()?;
        let writer = Writer {
            producer: client.producer(impatient())?,
            client,
            log: field.process(ClientKind::Native),
            topic: topic.clone(),
            partitions: BTreeMap::new(),
        };
        let pace = Pace::of_rate(field.rate(), (PRODUCERS, BATCH), field.stop());
        processes.spawn(writer.run(field.clone(), pace));
    }
    Ok(())
}

/// Gives up so early that outages show.
pub(super) fn impatient() -> ProducerConfig {
    ProducerConfig {
        request_timeout: Duration::from_secs(2),
        delivery_timeout: Duration::from_secs(6),
        ..ProducerConfig::default()
    }
}

/// Sends the records through a producer, and waits for the fate of each.
pub(super) async fn send_all(
    producer: &Producer,
    records: Vec<ProducerRecord>,
) -> Vec<Result<Delivered, ClientError>> {
    let mut deliveries = Vec::with_capacity(records.len());
    for record in records {
        deliveries.push(producer.send(record).await);
    }
    let fates = deliveries
        .into_iter()
        .map(|sent| async move { sent?.await });
    join_all(fates).await
}

/// Writes one operation down for each part of a batch that had one fate.
pub(super) fn note_batch(
    log: &ProcessLog,
    request: &Produce,
    invoked_at: flotilla_checker::history::Nanos,
    outcomes: &[Result<Delivered, ClientError>],
) {
    let pairs: Vec<_> = request.records.iter().zip(outcomes).collect();
    let kind = |outcome: &Result<Delivered, ClientError>| {
        outcome.as_ref().err().map(ClientError::is_definite)
    };
    for part in pairs.chunk_by(|a, b| kind(a.1) == kind(b.1)) {
        let request = Produce {
            records: part.iter().map(|(record, _)| (*record).clone()).collect(),
            ..request.clone()
        };
        let pending = log.begin_at(invoked_at, request);
        match &part[0].1 {
            Ok(_) => {
                let delivered = part.iter().filter_map(|(_, outcome)| outcome.as_ref().ok());
                let place = |delivered: &Delivered| Place {
                    offset: Offset::new(delivered.offset.get()),
                    is_duplicate: false,
                };
                let places = delivered.map(place).collect();
                pending.ok(Produced { places });
            }
            Err(error) => pending.error(error),
        }
    }
}

struct Writer {
    client: Client,
    producer: Producer,
    log: ProcessLog,
    topic: LoadedTopic,
    /// Of each key, once it is known.
    partitions: BTreeMap<u32, PartitionIndex>,
}

impl Writer {
    async fn run(mut self, field: Field, mut pace: Pace) {
        let mut rng = field.rng(&self.log);
        while pace.next().await {
            let keys: Vec<_> = (0..BATCH).map(|_| rng.random_range(0..KEYS)).collect();
            self.send(&keys).await;
            if rng.random_ratio(1, CRASH_ONE_IN)
                && let Ok(client) = field.client()
                && let Ok(producer) = client.producer(impatient())
            {
                (self.client, self.producer) = (client, producer);
            }
        }
    }

    /// Sends one record for each key. What goes to one partition is one operation.
    async fn send(&mut self, keys: &[u32]) {
        let mut batches: BTreeMap<PartitionIndex, Vec<(RecordValue, ProducerRecord)>> =
            BTreeMap::new();
        for key in keys {
            let Some(partition) = self.partition_of(*key).await else {
                return;
            };
            let value = self.log.next_value();
            let record = self.record(*key, encode(value));
            batches.entry(partition).or_default().push((value, record));
        }
        let invoked_at = self.log.now();
        let sending = batches.into_iter().map(|(partition, batch)| {
            let (values, records): (Vec<_>, Vec<_>) = batch.into_iter().unzip();
            let request = Produce::new(self.topic.partition(partition), values);
            let producer = &self.producer;
            async move { (request, send_all(producer, records).await) }
        });
        for (request, outcomes) in join_all(sending).await {
            note_batch(&self.log, &request, invoked_at, &outcomes);
        }
    }

    async fn partition_of(&mut self, key: u32) -> Option<PartitionIndex> {
        if let Some(partition) = self.partitions.get(&key) {
            return Some(*partition);
        }
        let publication = Publication::new(self.record(key, Vec::new()));
        let partition = self.client.partition_of(&publication).await.ok()?;
        self.partitions.insert(key, partition);
        Some(partition)
    }

    fn record(&self, key: u32, payload: Vec<u8>) -> ProducerRecord {
        ProducerRecord::new(self.topic.name.clone(), payload).key(format!("key-{key}"))
    }
}
