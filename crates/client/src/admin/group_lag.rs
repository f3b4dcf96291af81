//! How far a consumer group is behind.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::OffsetSpec;
use flotilla_types::{GroupId, MemberId, Offset, PartitionIndex, Timestamp, TopicName};
use tokio::time::{Instant, timeout_at};

use super::{Admin, GroupDescription};
use crate::PartitionName;
use crate::{ClientError, Consumer, ConsumerConfig, OutOfRange, Until};

/// Partitions of which the oldest waiting records are read at a time.
const READ_TOGETHER: usize = 64;
/// Longest time for reading them, all partitions together.
const READ_LIMIT: Duration = Duration::from_secs(5);

/// How far a group is behind in one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionLag {
    pub name: PartitionName,
    /// Who holds the partition.
    pub owner: Option<MemberId>,
    /// `None` if the group has not committed any.
    pub committed: Option<Offset>,
    /// `None` if it could not be asked for.
    pub log_start: Option<Offset>,
    /// `None` if it could not be asked for.
    pub high_watermark: Option<Offset>,
    /// High watermark minus committed offset. `None` if one of them is not known.
    pub records: Option<u64>,
    /// How old the first record is that waits; zero if none does. `None` if it could not be read.
    pub time: Option<Duration>,
}

impl Admin {
    /// How far the group is behind, for every partition that has a committed offset or a member.
    pub async fn group_lag(&self, group: &GroupId) -> Result<Vec<PartitionLag>, ClientError> {
        self.lag_of(&self.describe_group(group).await?).await
    }

    /// As [`group_lag`](Self::group_lag), for a group as it was described.
    pub async fn lag_of(&self, group: &GroupDescription) -> Result<Vec<PartitionLag>, ClientError> {
        let mut lags = partitions_of(group);
        let mut topics: BTreeMap<TopicName, Vec<PartitionIndex>> = BTreeMap::new();
        for name in lags.keys() {
            let partitions = topics.entry(name.topic.clone()).or_default();
            partitions.push(name.partition);
        }
        for (topic, partitions) in topics {
            let ends = self.offsets(&topic, &partitions, OffsetSpec::Latest);
            let starts = self.offsets(&topic, &partitions, OffsetSpec::Earliest);
            let (ends, starts) = tokio::join!(ends, starts);
            for partition in partitions {
                let name = PartitionName::new(topic.clone(), partition);
                if let Some(lag) = lags.get_mut(&name) {
                    lag.measure(starts.get(&partition), ends.get(&partition));
                }
            }
        }
        let mut lags: Vec<_> = lags.into_values().collect();
        self.read_times(&mut lags).await?;
        Ok(lags)
    }

    /// What can be asked for; a topic that is gone or out of reach says nothing.
    async fn offsets(
        &self,
        topic: &TopicName,
        partitions: &[PartitionIndex],
        spec: OffsetSpec,
    ) -> HashMap<PartitionIndex, Offset> {
        let listed = self.list_offsets(topic, partitions, spec).await;
        let listed = listed.unwrap_or_default().into_iter();
        listed
            .filter_map(|listed| Some((listed.partition, listed.offset.ok()?)))
            .collect()
    }

    /// Reads the first waiting record of each partition that has one.
    async fn read_times(&self, lags: &mut [PartitionLag]) -> Result<(), ClientError> {
        let deadline = Instant::now() + READ_LIMIT.min(self.core.config.deadline);
        let mut waiting: Vec<_> = (lags.iter_mut())
            .filter(|lag| lag.records.is_some_and(|records| records > 0))
            .collect();
        for part in waiting.chunks_mut(READ_TOGETHER) {
            let mut consumer = Consumer::start(Arc::clone(&self.core), one_batch_each())?;
            let mut unread = HashMap::new();
            for lag in part {
                let start = lag.committed.max(lag.log_start).unwrap_or(Offset::ZERO);
                let PartitionName { topic, partition } = &lag.name;
                consumer.assign(topic, *partition, OffsetSpec::Offset(start));
                unread.insert(lag.name.clone(), &mut lag.time);
            }
            let now = (self.core.config.clock)();
            while let Ok(polled) = timeout_at(deadline, consumer.poll(1)).await {
                // A partition that fails has no time, the others go on.
                let Ok(records) = polled else { continue };
                let Some(record) = records.into_iter().next() else {
                    break;
                };
                let name = PartitionName::new(record.topic, record.partition);
                consumer.unassign(&name.topic, name.partition);
                if let Some(time) = unread.remove(&name) {
                    *time = Some(age(record.timestamp, now));
                }
            }
        }
        Ok(())
    }
}

impl PartitionLag {
    fn of(name: PartitionName) -> Self {
        Self {
            name,
            owner: None,
            committed: None,
            log_start: None,
            high_watermark: None,
            records: None,
            time: None,
        }
    }

    fn measure(&mut self, log_start: Option<&Offset>, high_watermark: Option<&Offset>) {
        self.log_start = log_start.copied();
        self.high_watermark = high_watermark.copied();
        if let (Some(committed), Some(end)) = (self.committed, self.high_watermark) {
            let records = end.get().saturating_sub(committed.get());
            self.records = Some(records);
            self.time = (records == 0).then_some(Duration::ZERO);
        }
    }
}

/// Everything that is committed or held.
fn partitions_of(group: &GroupDescription) -> BTreeMap<PartitionName, PartitionLag> {
    let mut lags = BTreeMap::new();
    for committed in &group.offsets {
        lag_in(&mut lags, &committed.name).committed = Some(committed.offset);
    }
    for member in &group.members {
        for held in member.partitions.iter().chain(&member.revoked) {
            lag_in(&mut lags, &held.name).owner = Some(member.member.clone());
        }
    }
    lags
}

fn lag_in<'a>(
    lags: &'a mut BTreeMap<PartitionName, PartitionLag>,
    name: &PartitionName,
) -> &'a mut PartitionLag {
    let lag = lags.entry(name.clone());
    lag.or_insert_with(|| PartitionLag::of(name.clone()))
}

/// The smallest answers: one record of each partition is all that is wanted.
fn one_batch_each() -> ConsumerConfig {
    ConsumerConfig {
        until: Until::HighWatermark,
        out_of_range: OutOfRange::Earliest,
        fetch_bytes: 1,
        retry_timeout: READ_LIMIT,
        ..ConsumerConfig::default()
    }
}

fn age(timestamp: Timestamp, now: Timestamp) -> Duration {
    let millis = now.as_millis().saturating_sub(timestamp.as_millis());
    Duration::from_millis(u64::try_from(millis).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(committed: Option<u64>, high_watermark: Option<u64>) -> PartitionLag {
        let topic = TopicName::parse("orders").unwrap();
        let name = PartitionName::new(topic, PartitionIndex::new(0));
        let mut lag = PartitionLag {
            committed: committed.map(Offset::new),
            ..PartitionLag::of(name)
        };
        let high_watermark = high_watermark.map(Offset::new);
        lag.measure(Some(&Offset::ZERO), high_watermark.as_ref());
        lag
    }

    #[test]
    fn lag_is_known_where_both_of_its_ends_are() {
        assert_eq!(lag(Some(3), Some(10)).records, Some(7));
        assert_eq!(lag(Some(3), Some(10)).time, None, "it has to be read");
        assert_eq!(lag(Some(10), Some(10)).time, Some(Duration::ZERO));
        assert_eq!(lag(None, Some(10)).records, None);
        assert_eq!(lag(Some(3), None).records, None);
        // A high watermark that was asked for before the commit.
        assert_eq!(lag(Some(11), Some(10)).records, Some(0));
    }

    #[test]
    fn a_record_from_the_future_is_not_old() {
        let [now, later] = [1_000, 2_000].map(Timestamp::from_millis);
        assert_eq!(age(later, now), Duration::ZERO);
        assert_eq!(age(now, later), Duration::from_secs(1));
    }
}
