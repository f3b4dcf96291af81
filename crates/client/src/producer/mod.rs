//! Writes records: in order per partition, each stored once, however often the cluster fails.
//!
//! ```text
//!   send -> partition -> lane (open batch) -> sender task -> link -> node that leads
//!                         one per partition                  one per node
//! ```

mod accumulator;
mod config;
mod delivery;
mod identities;
mod lane;
mod link;
mod record;
mod sender;
mod topic_lanes;
mod window;
#[cfg(test)]
mod window_test;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use flotilla_types::{PartitionIndex, TopicName};
use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

pub use config::{ProducerConfig, ProducerOwner};
pub use delivery::{Delivered, Delivery};
pub use record::ProducerRecord;

use self::accumulator::BatchLimits;
use self::delivery::FirstFailure;
use self::identities::Identities;
use self::lane::Lane;
use self::link::Links;
use self::sender::Sender;
use self::topic_lanes::TopicLanes;
use self::window::Window;
use crate::ClientError;
use crate::backoff::Backoff;
use crate::client::Core;

/// Writes records. Cheap to clone; clones share the buffer, and the order of sends among them is
/// the order in which they are called.
///
/// When the last clone is dropped, what has not been sent is not sent any more: call
/// [`flush`](Self::flush) or [`close`](Self::close) first.
#[derive(Clone)]
pub struct Producer {
    shared: Arc<Shared>,
}

struct Shared {
    core: Arc<Core>,
    config: ProducerConfig,
    buffer: Arc<Semaphore>,
    links: Arc<Links>,
    identities: Arc<Identities>,
    failures: Arc<FirstFailure>,
    topics: RwLock<HashMap<TopicName, Arc<TopicLanes>>>,
    /// One per partition. They end with the producer.
    senders: Mutex<Senders>,
}

enum Senders {
    Running(JoinSet<()>),
    Closed,
}

impl Producer {
    pub(crate) fn start(core: Arc<Core>, config: ProducerConfig) -> Result<Self, ClientError> {
        config.validate()?;
        let shared = Shared {
            buffer: Arc::new(Semaphore::new(config.buffer_bytes)),
            links: Arc::new(Links::new(Arc::clone(&core.channels))),
            identities: Arc::new(Identities::new(Arc::clone(&core), config.owner.clone())),
            failures: Arc::default(),
            topics: RwLock::default(),
            senders: Mutex::new(Senders::Running(JoinSet::new())),
            core,
            config,
        };
        Ok(Self {
            shared: Arc::new(shared),
        })
    }

    /// Takes a record into the buffer, waiting while the buffer is full. An error means that it was
    /// not taken. If the call is abandoned while it waits, the record is not sent.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, ClientError> {
        let core = &self.shared.core;
        let topic = core.metadata.topic(&record.topic, core.deadline()).await?;
        let lanes = self.shared.topic_lanes(&record.topic);
        let partition = lanes.choose(&record, &topic)?;
        let lane = self.shared.lane(&lanes, &record.topic, partition)?;

        let room = self.shared.reserve(record.bytes()).await;
        let timestamp = (record.timestamp).unwrap_or_else(core.config.clock);
        let pushed = lane.push(&record, timestamp, room)?;
        if record.partition.is_none() && record.key.is_none() {
            lanes.note_keyless(record.bytes(), self.shared.config.batch_bytes, &topic);
        }
        Ok(pushed.delivery)
    }

    /// Waits until the fate of everything that was sent before is known, without lingering. The error
    /// is the first one of any record since the last flush.
    pub async fn flush(&self) -> Result<(), ClientError> {
        let lanes = self.shared.lanes();
        let marks: Vec<_> = lanes.iter().map(|lane| lane.flush()).collect();
        for (lane, mark) in lanes.iter().zip(marks) {
            lane.settled(mark).await;
        }
        match self.shared.failures.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Takes no more records, from any clone, and waits as [`flush`](Self::flush) does.
    pub async fn close(&self) -> Result<(), ClientError> {
        let senders = std::mem::replace(&mut *self.shared.senders.lock(), Senders::Closed);
        for lane in self.shared.lanes() {
            lane.end(closed());
        }
        let flushed = self.flush().await;
        if let Senders::Running(senders) = senders {
            senders.join_all().await;
        }
        flushed
    }
}

impl Shared {
    /// Waits for room in the buffer. A record that is larger than the buffer takes all of it.
    async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = bytes.min(self.config.buffer_bytes) as u32;
        Arc::clone(&self.buffer)
            .acquire_many_owned(bytes)
            .await
            .expect("the buffer's semaphore is never closed")
    }

    fn topic_lanes(&self, topic: &TopicName) -> Arc<TopicLanes> {
        if let Some(lanes) = self.topics.read().get(topic) {
            return Arc::clone(lanes);
        }
        let mut topics = self.topics.write();
        let lanes = topics.entry(topic.clone());
        Arc::clone(lanes.or_insert_with(|| Arc::new(TopicLanes::new())))
    }

    fn lane(
        &self,
        lanes: &TopicLanes,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Arc<Lane>, ClientError> {
        if let Some(lane) = lanes.get(partition) {
            return Ok(lane);
        }
        // Under this lock, so that no lane is born that a `close` does not see.
        let mut senders = self.senders.lock();
        let Senders::Running(senders) = &mut *senders else {
            return Err(closed());
        };
        let (lane, is_new) = lanes.get_or_insert(partition, || {
            Lane::new(topic.clone(), partition, self.batch_limits())
        });
        if is_new {
            senders.spawn(self.sender(Arc::clone(&lane)).run());
        }
        Ok(lane)
    }

    fn lanes(&self) -> Vec<Arc<Lane>> {
        let topics = self.topics.read();
        topics.values().flat_map(|lanes| lanes.all()).collect()
    }

    fn sender(&self, lane: Arc<Lane>) -> Sender {
        Sender {
            core: Arc::clone(&self.core),
            lane,
            links: Arc::clone(&self.links),
            identities: Arc::clone(&self.identities),
            window: Window::new(
                self.config.window_size(),
                self.config.idempotent,
                self.config.delivery_timeout,
                Arc::clone(&self.failures),
            ),
            backoff: Backoff::new(&self.core.config),
            request_timeout: self.config.request_timeout,
            delivery_timeout: self.config.delivery_timeout,
            has_begun: false,
            failing_since: None,
        }
    }

    fn batch_limits(&self) -> BatchLimits {
        BatchLimits {
            batch_bytes: self.config.batch_bytes,
            linger: self.config.linger,
            compression: self.config.compression,
        }
    }
}

fn closed() -> ClientError {
    ClientError::Closed {
        what: "producer",
        definite: true,
    }
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("config", &self.shared.config)
            .finish_non_exhaustive()
    }
}
