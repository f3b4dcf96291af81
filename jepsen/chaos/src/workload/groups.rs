//! Members of a consumer group. They come and go, some stand still for half of their session,
//! and what they processed they commit by hand. The generation of a grant is what the coordinator
//! describes right before the offset commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use flotilla_checker::history::{
    Action, AssignedBy, ClientKind, CommittedOffsetRead, Fetch, Fetched, Generation, GroupAssigned,
    GroupRevoked, Offset, OffsetCommit, ProcessedRange, Subscribe, TopicPartition,
};
use flotilla_client::{
    Client, ConsumerRecord, GroupConfig, GroupConsumer, GroupId, PartitionIndex, PartitionName,
    Subscription,
};
use rand::RngExt;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::Workload;
use super::appender::Appender;
use super::field::{Field, LoadedTopic, Patience};
use super::pace::Pace;
use super::seen_record;
use crate::recorder::ProcessLog;

const GROUP: &str = "members";
const PRODUCERS: u32 = 2;
const MEMBERS: u32 = 3;
const BATCH: u32 = 30;
const POLL_RECORDS: usize = 400;
const POLL_LIMIT: Duration = Duration::from_millis(400);
const SESSION: Duration = Duration::from_secs(3);
/// One poll in so many is followed by the member's leaving, by its silent end, or by standing still.
const LEAVE_ONE_IN: u32 = 60;
const CRASH_ONE_IN: u32 = 90;
const STAND_STILL_ONE_IN: u32 = 90;

pub(super) fn start(field: &Field, processes: &mut JoinSet<()>) -> anyhow::Result<()> {
    let topic = field.topic(Workload::Groups.name())?;
    for _ in 0..PRODUCERS {
        let pace = Pace::of_rate(field.rate(), (PRODUCERS, BATCH), field.stop());
        let appender = Appender::new(field, topic.clone(), Patience::Usual)?;
        processes.spawn(appender.run(field.clone(), pace, BATCH));
    }
    for _ in 0..MEMBERS {
        processes.spawn(live(field.clone(), topic.clone()));
    }
    Ok(())
}

/// One member after the other, each as a process of its own.
async fn live(field: Field, topic: LoadedTopic) {
    while !field.stop().is_cancelled() {
        match Member::join(&field, &topic) {
            Ok(member) => member.run(&field).await,
            Err(_) => sleep(POLL_LIMIT).await,
        }
    }
}

struct Member {
    client: Client,
    consumer: GroupConsumer,
    group: GroupId,
    name: String,
    topic: LoadedTopic,
    log: ProcessLog,
    rng: StdRng,
    held: BTreeSet<PartitionIndex>,
    /// The next offset of each partition that is held, where it is known.
    positions: BTreeMap<PartitionIndex, u64>,
    generations: BTreeMap<PartitionIndex, Generation>,
    /// Processed and not committed.
    uncommitted: BTreeMap<PartitionIndex, u64>,
}

impl Member {
    fn join(field: &Field, topic: &LoadedTopic) -> anyhow::Result<Self> {
        let (client, group) = (field.client()?, GroupId::parse(GROUP)?);
        let log = field.process(ClientKind::Native);
        let name = format!("member-{}", log.number());
        let joining = log.begin(Subscribe {
            topics: [topic.name.to_string()].into(),
        });
        let config = GroupConfig {
            auto_commit: None,
            client_name: name.clone(),
            session_timeout: SESSION,
            ..GroupConfig::new(
                group.clone(),
                Subscription::Topics(vec![topic.name.clone()]),
            )
        };
        let consumer = client.group_consumer(config)?;
        joining.ok(());
        Ok(Self {
            client,
            consumer,
            group,
            name,
            topic: topic.clone(),
            rng: field.rng(&log),
            log,
            held: BTreeSet::new(),
            positions: BTreeMap::new(),
            generations: BTreeMap::new(),
            uncommitted: BTreeMap::new(),
        })
    }

    async fn run(mut self, field: &Field) {
        while !field.stop().is_cancelled() {
            self.poll().await;
            self.commit().await;
            if self.rng.random_ratio(1, LEAVE_ONE_IN) {
                break;
            }
            if self.rng.random_ratio(1, CRASH_ONE_IN) {
                return self.log.event(Action::Crash);
            }
            if self.rng.random_ratio(1, STAND_STILL_ONE_IN) {
                // It is to be silent towards the application, and what it polled is to grow old.
                sleep(SESSION / 2).await;
            }
        }
        // Whether it is told or not, the others get its partitions.
        let _ = timeout(SESSION, self.consumer.leave()).await;
    }

    async fn poll(&mut self) {
        let fetching = self.log.begin(Fetch {
            assigned_by: AssignedBy::Subscribe,
        });
        let polled = timeout(POLL_LIMIT, self.consumer.poll(POLL_RECORDS)).await;
        let moved = self.notice_assignment().await;
        let records = match polled {
            Err(_) => Vec::new(),
            Ok(Ok(records)) => records,
            Ok(Err(error)) => return fetching.error(&error),
        };
        let mut fetched = Fetched {
            rebalanced: moved,
            ..Fetched::default()
        };
        for run in records.chunk_by(|a, b| a.partition == b.partition) {
            self.take(run, &mut fetched);
        }
        fetching.ok(fetched);
    }

    /// Processes records of one partition. Where they do not go on from the last ones, the partition was
    /// away and came back within one poll.
    fn take(&mut self, run: &[ConsumerRecord], fetched: &mut Fetched) {
        let (index, first) = (run[0].partition, run[0].offset.get());
        let end = run[run.len() - 1].offset.get() + 1;
        let partition = self.topic.partition(index);
        if self
            .positions
            .insert(index, end)
            .is_some_and(|position| position != first)
        {
            fetched.rebalanced.insert(partition.clone());
        }
        let of_partition = fetched.records.entry(partition.clone()).or_default();
        of_partition.extend(run.iter().map(seen_record));
        // Offsets that are missing from an answer are not done.
        for run in run.chunk_by(|a, b| a.offset.get() + 1 == b.offset.get()) {
            self.log.event(Action::ProcessedRange(ProcessedRange {
                group: GROUP.to_owned(),
                partition: partition.clone(),
                start: Offset::new(run[0].offset.get()),
                end: Offset::new(run[run.len() - 1].offset.get() + 1),
            }));
        }
        self.uncommitted.insert(index, end);
    }

    /// What came and what went.
    async fn notice_assignment(&mut self) -> BTreeSet<TopicPartition> {
        let held = self.consumer.assignment();
        let held: BTreeSet<_> = held.iter().map(|name| name.partition).collect();
        if held == self.held {
            return BTreeSet::new();
        }
        let gone: Vec<_> = self.held.difference(&held).copied().collect();
        let come: Vec<_> = held.difference(&self.held).copied().collect();
        for index in &gone {
            self.uncommitted.remove(index);
            self.positions.remove(index);
            if let Some(generation) = self.generations.remove(index) {
                self.log.event(Action::GroupRevoked(GroupRevoked {
                    group: GROUP.to_owned(),
                    generation,
                    partitions: [self.topic.partition(*index)].into(),
                }));
            }
        }
        self.held = held;
        self.learn_generations().await;
        let moved = gone.iter().chain(&come);
        moved.map(|index| self.topic.partition(*index)).collect()
    }

    async fn learn_generations(&mut self) {
        let admin = self.client.admin();
        let Ok(Ok(described)) = timeout(SESSION, admin.describe_group(&self.group)).await else {
            return self.generations.clear();
        };
        let mut members = described.members.into_iter();
        let own = members.find(|member| member.client_name == self.name);
        let held = own.map(|member| member.partitions).unwrap_or_default();
        let known = std::mem::take(&mut self.generations);
        for partition in held {
            let index = partition.name.partition;
            let generation = Generation::new(partition.generation.get());
            if !self.held.contains(&index) {
                continue;
            }
            self.generations.insert(index, generation);
            if known.get(&index) != Some(&generation) {
                self.log.event(Action::GroupAssigned(GroupAssigned {
                    group: GROUP.to_owned(),
                    generation,
                    partitions: [self.topic.partition(index)].into(),
                }));
            }
        }
    }

    async fn commit(&mut self) {
        if self.uncommitted.is_empty() {
            return;
        }
        self.learn_generations().await;
        for (index, offset) in std::mem::take(&mut self.uncommitted) {
            let Some(generation) = self.generations.get(&index).copied() else {
                continue;
            };
            let partition = self.topic.partition(index);
            let committing = self.log.begin(OffsetCommit {
                group: GROUP.to_owned(),
                partition: partition.clone(),
                generation,
                offset: Offset::new(offset),
            });
            let name = PartitionName::new(self.topic.name.clone(), index);
            let offsets = [(name.clone(), flotilla_client::Offset::new(offset))].into();
            match self.consumer.commit_offsets(&offsets).await {
                Ok(()) => committing.ok(()),
                // The client tried again by itself: what was refused in the end may be there.
                Err(error) => committing.unknown(&error.to_string()),
            }
            self.read_committed(&name, partition).await;
        }
    }

    async fn read_committed(&mut self, name: &PartitionName, partition: TopicPartition) {
        if !self.rng.random_ratio(1, 4) {
            return;
        }
        let reading = self.log.begin(CommittedOffsetRead {
            group: GROUP.to_owned(),
            partition,
        });
        match self.consumer.committed().await {
            // Who does not hold it any more is told nothing about it.
            Ok(_) if !self.consumer.assignment().contains(name) => reading.failed("not held"),
            Ok(committed) => {
                let offset = committed.get(name);
                reading.ok(offset.map(|offset| Offset::new(offset.get())));
            }
            Err(error) => reading.error(&error),
        }
    }
}
