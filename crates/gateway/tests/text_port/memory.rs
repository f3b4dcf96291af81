//! A broker of the tests, with everything in memory.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use flotilla_client::{
    ApiError, ClientError, ErrorCode, ErrorFacts, Offset, OffsetRange, OffsetSpec, PartitionIndex,
    Publication, Published, TopicName,
};
use flotilla_gateway::text::{
    Receipt, TextBackend, TextCode, TextError, TextFetch, TextFetched, TextRecord,
};
use flotilla_net::RemoteCertificate;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::timeout;

pub(crate) const TOKEN: &str = "s3cret-of-alice";

/// Whoever speaks, by name.
pub(crate) type Caller = Option<&'static str>;

pub(crate) struct MemoryBroker {
    state: Mutex<State>,
    /// Counts up with each record.
    records: watch::Sender<usize>,
    /// So many records are acknowledged; the receipts of others wait.
    acknowledged: watch::Sender<usize>,
    /// So many topics have been created, or tried.
    pub(crate) creations: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<String, Vec<Log>>,
    queued: usize,
    callers: Vec<Caller>,
    failures: Vec<ApiError>,
}

#[derive(Default)]
struct Log {
    start: u64,
    values: Vec<Option<Bytes>>,
    ids: HashMap<String, u64>,
}

impl MemoryBroker {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::default(),
            records: watch::Sender::new(0),
            acknowledged: watch::Sender::new(usize::MAX),
            creations: watch::Sender::new(0),
        }
    }

    pub(crate) fn with_topic(self, name: &str, partitions: usize) -> Self {
        let logs = (0..partitions).map(|_| Log::default()).collect();
        self.state.lock().topics.insert(name.to_owned(), logs);
        self
    }

    /// Values from offset 0 on. None are tombstones.
    pub(crate) fn store(&self, topic: &str, partition: usize, values: &[Option<&'static str>]) {
        let mut state = self.state.lock();
        let log = &mut state.topics.get_mut(topic).unwrap()[partition];
        let values = values.iter().map(|value| value.map(Bytes::from));
        log.values.extend(values);
        drop(state);
        self.records.send_modify(|count| *count += 1);
    }

    pub(crate) fn delete_before(&self, topic: &str, start: u64) {
        self.state.lock().topics.get_mut(topic).unwrap()[0].start = start;
    }

    /// Only so many records are acknowledged, until more are allowed.
    pub(crate) fn acknowledge(&self, count: usize) {
        self.acknowledged.send_replace(count);
    }

    /// The next record is refused.
    pub(crate) fn fail_next(&self, code: ErrorCode, message: &str) {
        self.state
            .lock()
            .failures
            .push(ApiError::new(code, message));
    }

    pub(crate) fn values(&self, topic: &str, partition: usize) -> Vec<String> {
        let state = self.state.lock();
        let Some(logs) = state.topics.get(topic) else {
            return Vec::new();
        };
        let values = logs[partition].values.iter().flatten();
        values
            .map(|value| String::from_utf8_lossy(value).into_owned())
            .collect()
    }

    pub(crate) fn topics(&self) -> Vec<String> {
        self.state.lock().topics.keys().cloned().collect()
    }

    /// Who published, in order.
    pub(crate) fn callers(&self) -> Vec<Caller> {
        self.state.lock().callers.clone()
    }

    /// Until so many records were queued.
    pub(crate) async fn until_queued(&self, count: usize) {
        let mut records = self.records.subscribe();
        let enough = records.wait_for(|_| self.state.lock().queued >= count);
        enough.await.unwrap();
    }

    pub(crate) fn queued(&self) -> usize {
        self.state.lock().queued
    }

    fn look(&self, query: &TextFetch) -> Result<TextFetched, ClientError> {
        let state = self.state.lock();
        let topic = query.topic.as_str();
        let logs = state
            .topics
            .get(topic)
            .ok_or_else(|| unknown_topic(topic))?;
        let log = logs.get(query.partition.get() as usize);
        let log = log.ok_or_else(|| refusal(ErrorCode::UnknownPartition, "no such partition"))?;
        let end = log.values.len() as u64;
        let start = match query.start {
            OffsetSpec::Offset(offset) => offset.get(),
            OffsetSpec::Earliest => log.start,
            OffsetSpec::Latest => end,
            OffsetSpec::Timestamp(_) => unreachable!("the text protocol knows no times"),
        };
        if start < log.start || start > end {
            let range = OffsetRange {
                log_start: Offset::new(log.start),
                high_watermark: Offset::new(end),
            };
            let mut error = ApiError::new(ErrorCode::OffsetOutOfRange, "not there");
            error.facts = ErrorFacts::Offsets(range);
            return Err(error.into());
        }
        let mut bytes = 0;
        let mut records = Vec::new();
        for offset in start..end {
            let value = log.values[offset as usize].clone();
            bytes += value.as_ref().map_or(0, Bytes::len);
            let is_full = records.len() == query.records_max || bytes > query.bytes_max;
            if is_full && !records.is_empty() {
                break;
            }
            let offset = Offset::new(offset);
            records.push(TextRecord { offset, value });
        }
        Ok(TextFetched {
            next_offset: Offset::new(start + records.len() as u64),
            records,
            log_start: Offset::new(log.start),
            high_watermark: Offset::new(end),
        })
    }

    fn append(&self, caller: Caller, publication: Publication) -> Result<Published, ClientError> {
        let mut state = self.state.lock();
        if let Some(failure) = state.failures.pop() {
            return Err(failure.into());
        }
        state.callers.push(caller);
        state.queued += 1;
        let record = publication.record;
        let topic = record.topic.as_str();
        let logs = state.topics.get_mut(topic);
        let logs = logs.ok_or_else(|| unknown_topic(topic))?;
        let routed_by = record.key.clone();
        let routed_by = routed_by.or_else(|| publication.message_id.clone().map(Bytes::from));
        let partition = match (record.partition, routed_by) {
            (Some(partition), _) => partition.get() as usize,
            (None, Some(key)) => key.iter().map(|byte| *byte as usize).sum::<usize>() % logs.len(),
            (None, None) => logs.len() - 1,
        };
        let log = logs.get_mut(partition);
        let log = log.ok_or_else(|| refusal(ErrorCode::UnknownPartition, "no such partition"))?;
        let known = publication
            .message_id
            .as_ref()
            .and_then(|id| log.ids.get(id));
        let published = |offset: u64, duplicate| Published {
            partition: PartitionIndex::new(partition as u32),
            offset: Offset::new(offset),
            duplicate,
        };
        if let Some(offset) = known {
            return Ok(published(*offset, true));
        }
        let offset = log.values.len() as u64;
        log.values.push(record.value);
        if let Some(id) = publication.message_id {
            log.ids.insert(id, offset);
        }
        Ok(published(offset, false))
    }
}

impl TextBackend for MemoryBroker {
    type Caller = Caller;

    fn newcomer(&self, _: &RemoteCertificate) -> Caller {
        None
    }

    async fn authenticate(&self, token: String) -> Result<Caller, TextError> {
        match token.as_str() {
            TOKEN => Ok(Some("alice")),
            // A careless message, to see that it stays inside.
            _ => Err(TextError::new(
                TextCode::Broker(ErrorCode::Unauthenticated),
                format!("nobody has {token}: get a new one"),
            )),
        }
    }

    async fn partitions(&self, _: &Caller, topic: &TopicName) -> Result<u32, ClientError> {
        tokio::task::yield_now().await;
        let state = self.state.lock();
        let logs = state.topics.get(topic.as_str());
        let logs = logs.ok_or_else(|| unknown_topic(topic.as_str()))?;
        Ok(logs.len() as u32)
    }

    async fn create_topic(&self, _: &Caller, topic: &TopicName) -> Result<(), ClientError> {
        self.creations.send_modify(|count| *count += 1);
        tokio::task::yield_now().await;
        let mut state = self.state.lock();
        if state.topics.contains_key(topic.as_str()) {
            return Err(refusal(ErrorCode::TopicExists, "somebody was faster"));
        }
        state.topics.insert(topic.to_string(), vec![Log::default()]);
        Ok(())
    }

    async fn publish(
        &self,
        caller: &Caller,
        publication: Publication,
    ) -> Result<Receipt, ClientError> {
        tokio::task::yield_now().await;
        let published = self.append(*caller, publication)?;
        self.records.send_modify(|count| *count += 1);
        let number = self.queued();
        let mut acknowledged = self.acknowledged.subscribe();
        let receipt = async move {
            acknowledged
                .wait_for(|count| *count >= number)
                .await
                .unwrap();
            Ok(published)
        };
        Ok(receipt.boxed())
    }

    async fn fetch(&self, _: &Caller, query: TextFetch) -> Result<TextFetched, ClientError> {
        let mut records = self.records.subscribe();
        let query = match (query.start, self.look(&query)) {
            // What is the latest is decided now, not when there is something.
            (OffsetSpec::Latest, Ok(fetched)) => TextFetch {
                start: OffsetSpec::Offset(fetched.next_offset),
                ..query
            },
            _ => query,
        };
        let there = async {
            loop {
                records.borrow_and_update();
                let fetched = self.look(&query);
                if !matches!(&fetched, Ok(fetched) if fetched.records.is_empty()) {
                    return fetched;
                }
                records.changed().await.unwrap();
            }
        };
        match query.wait {
            Duration::ZERO => self.look(&query),
            wait => match timeout(wait, there).await {
                Ok(fetched) => fetched,
                Err(_) => self.look(&query),
            },
        }
    }
}

fn unknown_topic(topic: &str) -> ClientError {
    refusal(
        ErrorCode::UnknownTopic,
        &format!("there is no topic {topic}"),
    )
}

fn refusal(code: ErrorCode, message: &str) -> ClientError {
    ApiError::new(code, message).into()
}
