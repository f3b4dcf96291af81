//! Members of a consumer group that note what they process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_client::{
    Client, ClientError, GroupConfig, GroupId, MemberId, Offset, PartitionIndex, PartitionName,
    Subscription, TopicName,
};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::condition::until;

/// Records that a member takes at a time.
const POLL_RECORDS: usize = 200;
const LIMIT: Duration = Duration::from_secs(60);

/// What all members of a group have processed, by partition. Each is one of one topic.
#[derive(Clone, Debug, Default)]
pub struct Processed(Arc<Mutex<BTreeMap<PartitionIndex, Vec<u64>>>>);

impl Processed {
    fn note(&self, partition: PartitionIndex, offset: Offset) {
        let mut processed = self.0.lock();
        processed.entry(partition).or_default().push(offset.get());
    }

    /// Records, each once however often it was processed.
    pub fn distinct(&self) -> usize {
        let processed = self.0.lock();
        let distinct = processed.values().map(|offsets| {
            let distinct: BTreeSet<u64> = offsets.iter().copied().collect();
            distinct.len()
        });
        distinct.sum()
    }

    /// Records that were processed more than once, counted as often as that was too often.
    pub fn repeated(&self) -> usize {
        let all: usize = self.0.lock().values().map(Vec::len).sum();
        all - self.distinct()
    }

    /// The first offset below `end` that nobody has processed.
    pub fn gap_below(&self, partition: PartitionIndex, end: Offset) -> Option<u64> {
        let processed = self.0.lock();
        let offsets = processed.get(&partition);
        let offsets: BTreeSet<u64> = offsets.into_iter().flatten().copied().collect();
        (0..end.get()).find(|offset| !offsets.contains(offset))
    }
}

/// A member that processes until it is told to stop.
pub struct Worker {
    stop: CancellationToken,
    task: JoinHandle<Result<(), ClientError>>,
}

impl Worker {
    pub fn start(
        client: &Client,
        group: &GroupId,
        topic: &TopicName,
        processed: &Processed,
    ) -> Self {
        let config = GroupConfig {
            auto_commit: Some(Duration::from_millis(100)),
            session_timeout: Duration::from_secs(5),
            ..GroupConfig::new(group.clone(), Subscription::Topics(vec![topic.clone()]))
        };
        let consumer = client.group_consumer(config);
        let stop = CancellationToken::new();
        let (stopping, processed) = (stop.clone(), processed.clone());
        let task = tokio::spawn(async move {
            let mut consumer = consumer?;
            loop {
                let polled = tokio::select! {
                    () = stopping.cancelled() => break,
                    polled = consumer.poll(POLL_RECORDS) => polled,
                };
                match polled {
                    Ok(records) => {
                        for record in records {
                            processed.note(record.partition, record.offset);
                        }
                    }
                    // What passes is what the test provokes.
                    Err(error) if error.is_retryable() => {}
                    Err(error) if is_lost(&error) => {}
                    Err(error) => return Err(error),
                }
            }
            consumer.close().await
        });
        Self { stop, task }
    }

    /// Commits, leaves and ends.
    ///
    /// # Panics
    ///
    /// If the member failed.
    pub async fn stop(self) {
        self.stop.cancel();
        self.task
            .await
            .expect("the member does not panic")
            .expect("the member does not fail");
    }

    /// Ends without a word, as a process that is killed.
    pub fn kill(self) {
        self.task.abort();
    }
}

/// The partition is another member's by now.
fn is_lost(error: &ClientError) -> bool {
    use flotilla_client::ErrorCode::{StaleGeneration, UnknownGroup, UnknownMember};
    matches!(error.code(), StaleGeneration | UnknownGroup | UnknownMember)
}

/// Looks at a group again and again, and notes who held what in which generation.
pub struct Watcher {
    stop: CancellationToken,
    task: JoinHandle<Holders>,
}

type Holders = BTreeMap<(PartitionName, u64), BTreeSet<MemberId>>;

impl Watcher {
    pub fn start(client: &Client, group: &GroupId) -> Self {
        let (admin, group) = (client.admin(), group.clone());
        let stop = CancellationToken::new();
        let stopping = stop.clone();
        let task = tokio::spawn(async move {
            let mut holders = Holders::new();
            while !stopping.is_cancelled() {
                let Ok(described) = admin.describe_group(&group).await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                for member in described.members {
                    for held in member.partitions.iter().chain(&member.revoked) {
                        let key = (held.name.clone(), held.generation.get());
                        holders
                            .entry(key)
                            .or_default()
                            .insert(member.member.clone());
                    }
                }
            }
            holders
        });
        Self { stop, task }
    }

    /// Ends, and says how many holdings it has seen.
    ///
    /// # Panics
    ///
    /// If two members held one partition in one generation.
    pub async fn assert_nothing_was_shared(self) -> usize {
        self.stop.cancel();
        let holders = self.task.await.expect("looking does not panic");
        for (holding, members) in &holders {
            assert_eq!(members.len(), 1, "{holding:?} was held by {members:?}");
        }
        holders.len()
    }
}

/// Waits until this many members of the group, who all want the same, hold all of these partitions
/// between them, nobody has any to give up, and nobody has two more than another.
pub async fn wait_until_settled(
    client: &Client,
    group: &GroupId,
    (members, partitions): (usize, usize),
) -> BTreeMap<MemberId, BTreeSet<PartitionName>> {
    until("the group has settled", LIMIT, async || {
        let described = client.admin().describe_group(group).await.ok()?;
        let held = described.members.iter().map(|member| {
            let held = member.partitions.iter().map(|held| held.name.clone());
            (member.member.clone(), held.collect::<BTreeSet<_>>())
        });
        let held: BTreeMap<_, _> = held.collect();
        let is_settled = described
            .members
            .iter()
            .all(|member| member.revoked.is_empty());
        let counts = held.values().map(BTreeSet::len);
        let is_even = counts.clone().max() <= counts.clone().min().map(|least| least + 1);
        let is_whole = held.len() == members && counts.sum::<usize>() == partitions;
        (is_settled && is_even && is_whole).then_some(held)
    })
    .await
}
