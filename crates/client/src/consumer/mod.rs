//! Reads records: by position, in order, never past what is durable.
//!
//! ```text
//!   node that leads -> fetcher task -> queue -> poll
//!                      one per partition, bounded by bytes
//! ```

mod config;
mod fetched;
mod fetcher;
mod record;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use flotilla_protocol::OffsetSpec;
use flotilla_types::{BatchError, Offset, PartitionIndex, Record, TopicId, TopicName};
use futures::Stream;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

pub use config::{ConsumerConfig, OutOfRange, Until};
pub use record::ConsumerRecord;

use self::fetched::{Assignment, Batches, Event, Fetched};
use self::fetcher::Fetcher;
use crate::backoff::Backoff;
use crate::client::Core;
use crate::{ClientError, PartitionName};

/// Answers that wait for `poll`. Their payloads are bounded by `prefetch_bytes`.
const QUEUE_MAX: usize = 256;

/// Reads the partitions that it is assigned, fetching ahead of the caller.
///
/// It follows the leaders through failures; records come in order per partition, each once, from
/// the position on. It keeps no position anywhere: whoever wants to go on later stores
/// [`position`](Self::position) and assigns from there.
#[derive(Debug)]
pub struct Consumer {
    core: Arc<Core>,
    config: ConsumerConfig,
    assigned: HashMap<PartitionName, Assigned>,
    assignments_made: u64,
    queue: mpsc::Receiver<Fetched>,
    /// For the fetchers.
    queue_input: mpsc::Sender<Fetched>,
    budget: Arc<Semaphore>,
    /// What `poll` is handing out.
    current: Option<Current>,
    /// An error that was met after records of the same poll.
    postponed: Option<ClientError>,
}

#[derive(Debug)]
struct Assigned {
    assignment: Assignment,
    /// The next record that `poll` returns; unknown until the start has been looked up.
    position: Option<Offset>,
    fetcher: Option<AbortOnDropHandle<()>>,
}

/// Batches of one answer, decoded one by one.
struct Current {
    source: PartitionName,
    batches: Batches,
    /// Of the batch that was taken off last.
    records: std::vec::IntoIter<Record>,
}

impl Consumer {
    pub(crate) fn start(core: Arc<Core>, config: ConsumerConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let (queue_input, queue) = mpsc::channel(QUEUE_MAX);
        Ok(Self {
            core,
            budget: Arc::new(Semaphore::new(config.prefetch_bytes)),
            config,
            assigned: HashMap::new(),
            assignments_made: 0,
            queue,
            queue_input,
            current: None,
            postponed: None,
        })
    }

    /// Reads this partition from `start` on, besides those that are assigned already. If it is one
    /// of them, this is a [`seek`](Self::seek).
    pub fn assign(&mut self, topic: &TopicName, partition: PartitionIndex, start: OffsetSpec) {
        let source = PartitionName {
            topic: topic.clone(),
            partition,
        };
        self.assign_source(source, None, start);
    }

    /// As [`assign`](Self::assign), but of no other topic of this name than the one with this id.
    pub(crate) fn assign_in(
        &mut self,
        topic: (&TopicName, TopicId),
        partition: PartitionIndex,
        start: OffsetSpec,
    ) {
        let (name, id) = topic;
        let source = PartitionName {
            topic: name.clone(),
            partition,
        };
        self.assign_source(source, Some(id), start);
    }

    /// Reads all partitions that the topic has now, and says which those are.
    pub async fn assign_topic(
        &mut self,
        topic: &TopicName,
        start: OffsetSpec,
    ) -> Result<Vec<PartitionIndex>, ClientError> {
        let deadline = self.core.deadline();
        let view = self.core.metadata.topic_now(topic, deadline).await?;
        let partitions: Vec<_> = (0..view.partition_count())
            .map(PartitionIndex::new)
            .collect();
        for partition in &partitions {
            self.assign(topic, *partition, start);
        }
        Ok(partitions)
    }

    /// Goes on reading the partition from `start`. What was fetched from elsewhere is dropped.
    pub fn seek(&mut self, topic: &TopicName, partition: PartitionIndex, start: OffsetSpec) {
        self.assign(topic, partition, start);
    }

    /// Reads the partition no more.
    pub fn unassign(&mut self, topic: &TopicName, partition: PartitionIndex) {
        let source = PartitionName {
            topic: topic.clone(),
            partition,
        };
        self.drop_current_of(&source);
        self.assigned.remove(&source);
    }

    /// The offset of the next record that this partition will give. `None` until that is known:
    /// with `earliest`, `latest` or a timestamp it has to be looked up first.
    pub fn position(&self, topic: &TopicName, partition: PartitionIndex) -> Option<Offset> {
        let source = PartitionName {
            topic: topic.clone(),
            partition,
        };
        self.assigned.get(&source)?.position
    }

    /// Up to `max_records` records. It waits for the first one and takes the others only if they are
    /// here. Empty when there will be none: all partitions have reached their end or failed for
    /// good, or none is assigned. If the call is abandoned while it waits, nothing is lost.
    pub async fn poll(&mut self, max_records: usize) -> Result<Vec<ConsumerRecord>, ClientError> {
        let mut records = Vec::new();
        if max_records == 0 || !self.wait_for_records().await? {
            return Ok(records);
        }
        if let Err(error) = self.take_ready(max_records, &mut records) {
            if records.is_empty() {
                return Err(error);
            }
            self.postponed = Some(error);
        }
        Ok(records)
    }

    /// The records one by one. Dropping the stream loses nothing: the consumer goes on where it was.
    pub fn stream(&mut self) -> impl Stream<Item = Result<ConsumerRecord, ClientError>> + '_ {
        futures::stream::unfold(self, |consumer| async move {
            match consumer.poll(1).await {
                Ok(mut records) => Some((Ok(records.pop()?), consumer)),
                Err(error) => Some((Err(error), consumer)),
            }
        })
    }

    fn assign_source(
        &mut self,
        source: PartitionName,
        topic_id: Option<TopicId>,
        start: OffsetSpec,
    ) {
        self.drop_current_of(&source);
        self.assignments_made += 1;
        let assignment = Assignment(self.assignments_made);
        let fetcher = Fetcher {
            core: Arc::clone(&self.core),
            config: self.config.clone(),
            source: source.clone(),
            assignment,
            topic_id,
            position: start,
            end: None,
            output: self.queue_input.clone(),
            budget: Arc::clone(&self.budget),
            backoff: Backoff::new(&self.core.config),
            failing_since: None,
            quiet_since: Instant::now(),
        };
        let assigned = Assigned {
            assignment,
            position: match start {
                OffsetSpec::Offset(offset) => Some(offset),
                OffsetSpec::Earliest | OffsetSpec::Latest | OffsetSpec::Timestamp(_) => None,
            },
            fetcher: Some(AbortOnDropHandle::new(tokio::spawn(fetcher.run()))),
        };
        self.assigned.insert(source, assigned);
    }

    /// Waits until a record can be taken. False when there will be none.
    async fn wait_for_records(&mut self) -> Result<bool, ClientError> {
        if let Some(error) = self.postponed.take() {
            return Err(error);
        }
        loop {
            if self.has_record()? {
                return Ok(true);
            }
            match self.queue.try_recv() {
                Ok(fetched) => self.take_in(fetched)?,
                Err(_) if self.has_ended() => return Ok(false),
                Err(_) => {
                    let fetched = self.queue.recv().await;
                    self.take_in(fetched.expect("self holds a sending half"))?;
                }
            }
        }
    }

    /// Takes records that are here, until there are `count`.
    fn take_ready(
        &mut self,
        count: usize,
        records: &mut Vec<ConsumerRecord>,
    ) -> Result<(), ClientError> {
        while records.len() < count {
            if self.has_record()? {
                self.take_from_current(count, records);
            } else {
                match self.queue.try_recv() {
                    Ok(fetched) => self.take_in(fetched)?,
                    Err(_) => return Ok(()),
                }
            }
        }
        Ok(())
    }

    /// Takes decoded records of the current batch.
    fn take_from_current(&mut self, count: usize, records: &mut Vec<ConsumerRecord>) {
        let Some(current) = &mut self.current else {
            return;
        };
        while records.len() < count
            && let Some(record) = current.next_decoded()
        {
            let PartitionName { topic, partition } = &current.source;
            records.push(ConsumerRecord::new(topic.clone(), *partition, record));
        }
        if let (Some(assigned), Some(last)) =
            (self.assigned.get_mut(&current.source), records.last())
        {
            assigned.position = Some(last.offset.advance(1));
        }
    }

    /// Whether the current batch has a record that can be taken. A batch that cannot be read stops its
    /// partition, so that nothing is skipped.
    fn has_record(&mut self) -> Result<bool, ClientError> {
        let Some(current) = &mut self.current else {
            return Ok(false);
        };
        match current.decode() {
            Ok(true) => Ok(true),
            Ok(false) => {
                self.current = None;
                Ok(false)
            }
            Err(error) => {
                self.assignments_made += 1;
                if let Some(assigned) = self.assigned.get_mut(&current.source) {
                    assigned.assignment = Assignment(self.assignments_made);
                    assigned.fetcher = None;
                }
                self.current = None;
                Err(error.into())
            }
        }
    }

    /// Takes note of what a fetcher has handed over. Only when nothing is being handed out.
    fn take_in(&mut self, fetched: Fetched) -> Result<(), ClientError> {
        let Some(assigned) = self.assigned.get_mut(&fetched.source) else {
            return Ok(());
        };
        if assigned.assignment != fetched.assignment {
            return Ok(());
        }
        match fetched.event {
            Event::Located(offset) => assigned.position = Some(offset),
            Event::Batches(batches) => {
                self.current = Some(Current {
                    source: fetched.source,
                    batches,
                    records: Vec::new().into_iter(),
                });
            }
            Event::Trouble(error) => return Err(error),
            Event::End(end) => {
                assigned.fetcher = None;
                if let Some(error) = end {
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn has_ended(&self) -> bool {
        let mut assigned = self.assigned.values();
        assigned.all(|assigned| assigned.fetcher.is_none())
    }

    fn drop_current_of(&mut self, source: &PartitionName) {
        self.current.take_if(|current| current.source == *source);
    }
}

impl Current {
    /// Decodes until there is a record that was asked for. False at the end.
    fn decode(&mut self) -> Result<bool, BatchError> {
        loop {
            match self.records.as_slice().first() {
                Some(record) if record.offset < self.batches.start => {
                    self.records.next();
                }
                Some(record) => {
                    let end = self.batches.end;
                    return Ok(end.is_none_or(|end| record.offset < end));
                }
                None => match self.batches.batches.pop_front() {
                    Some(batch) => self.records = batch.records()?.into_iter(),
                    None => return Ok(false),
                },
            }
        }
    }

    /// The next record, if it is decoded already and was asked for.
    fn next_decoded(&mut self) -> Option<Record> {
        let record = self.records.as_slice().first()?;
        let is_wanted = (self.batches.end).is_none_or(|end| record.offset < end);
        if is_wanted { self.records.next() } else { None }
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Current")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}
