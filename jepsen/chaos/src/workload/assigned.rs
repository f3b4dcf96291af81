//! Producers, and consumers that choose their partitions. Now and then a consumer goes back to what it
//! may not have seen, and now and then it is thrown away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_checker::history::{
    Action, Assign, AssignedBy, ClientKind, Fetch, Fetched, Offset, Seek, TopicPartition,
};
use flotilla_client::{Consumer, ConsumerConfig, OffsetSpec, PartitionIndex};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::Workload;
use super::appender::Appender;
use super::field::{Field, LoadedTopic, Patience};
use super::pace::Pace;
use super::seen_record;
use crate::recorder::ProcessLog;

const PRODUCERS: u32 = 6;
const CONSUMERS: u32 = 2;
const BATCH: u32 = 40;
const POLL_RECORDS: usize = 500;
const POLL_LIMIT: Duration = Duration::from_millis(300);
/// One poll in so many is followed by another assignment, and by a crash.
const ASSIGN_ONE_IN: u32 = 64;
const CRASH_ONE_IN: u32 = 300;
/// How far a consumer goes back at most.
const BACK_MAX: u64 = 2_000;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Assigned.name())?;
    for number in 0..PRODUCERS {
        let pace = Pace::of_rate(field.rate(), (PRODUCERS, BATCH), field.stop());
        let patience = match number % 3 {
            0 => Patience::Little,
            _ => Patience::Usual,
        };
        let appender = Appender::new(field, topic.clone(), patience)?;
        processes.spawn(appender.run(field.clone(), pace, BATCH));
    }
    for _ in 0..CONSUMERS {
        let log = field.process(ClientKind::Native);
        let reader = Reader {
            consumer: field.client()?.consumer(ConsumerConfig::default())?,
            rng: field.rng(&log),
            positions: topic.indexes().map(|index| (index, 0)).collect(),
            log,
            field: field.clone(),
            topic: topic.clone(),
        };
        processes.spawn(reader.run());
    }
    Ok(())
}

struct Reader {
    field: Field,
    topic: LoadedTopic,
    log: ProcessLog,
    rng: StdRng,
    consumer: Consumer,
    /// Where to go on in each partition.
    positions: BTreeMap<PartitionIndex, u64>,
}

impl Reader {
    async fn run(mut self) {
        let stop = self.field.stop().clone();
        self.assign(0);
        while !stop.is_cancelled() {
            self.poll().await;
            if self.rng.random_ratio(1, CRASH_ONE_IN) {
                self.crash();
            } else if self.rng.random_ratio(1, ASSIGN_ONE_IN) {
                let back_max = self.rng.random_range(0..BACK_MAX);
                self.assign(back_max);
            }
        }
    }

    /// Takes some of the partitions, each from up to `back_max` before where it was left.
    fn assign(&mut self, back_max: u64) {
        let chosen: Vec<_> = self
            .topic
            .indexes()
            .filter(|_| back_max == 0 || self.rng.random_ratio(3, 4))
            .collect();
        let partitions = chosen.iter().map(|index| self.topic.partition(*index));
        let partitions: BTreeSet<TopicPartition> = partitions.collect();
        let assigning = self.log.begin(Assign { partitions });
        for index in self.topic.indexes() {
            self.consumer.unassign(&self.topic.name, index);
        }
        assigning.ok(());
        for index in chosen {
            let position = self.positions.get(&index).copied().unwrap_or(0);
            let to = position.saturating_sub(self.rng.random_range(0..=back_max));
            let seeking = self.log.begin(Seek {
                partition: self.topic.partition(index),
                to: Offset::new(to),
            });
            let start = OffsetSpec::Offset(flotilla_client::Offset::new(to));
            self.consumer.assign(&self.topic.name, index, start);
            seeking.ok(());
        }
    }

    async fn poll(&mut self) {
        let fetching = self.log.begin(Fetch {
            assigned_by: AssignedBy::Assign,
        });
        match timeout(POLL_LIMIT, self.consumer.poll(POLL_RECORDS)).await {
            Err(_) => fetching.ok(Fetched::default()),
            Ok(Ok(records)) => {
                let mut fetched = Fetched::default();
                for record in &records {
                    let position = record.offset.get() + 1;
                    self.positions.insert(record.partition, position);
                    let name = self.topic.partition(record.partition);
                    let of_partition = fetched.records.entry(name).or_default();
                    of_partition.push(seen_record(record));
                }
                fetching.ok(fetched);
            }
            Ok(Err(error)) => {
                fetching.error(&error);
                self.crash();
            }
        }
    }

    /// Throws the client away, and goes on with a fresh one.
    fn crash(&mut self) {
        let fresh = self.field.client().ok();
        let fresh = fresh.and_then(|client| client.consumer(ConsumerConfig::default()).ok());
        if let Some(consumer) = fresh {
            self.log.event(Action::Crash);
            self.consumer = consumer;
            self.assign(0);
        }
    }
}
