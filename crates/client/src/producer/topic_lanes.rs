//! The lanes of one topic, and the choice among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use flotilla_protocol::ApiError;
use flotilla_types::{ErrorCode, PartitionIndex, limits, partition_of_key};
use parking_lot::RwLock;

use super::lane::Lane;
use super::record::ProducerRecord;
use crate::cluster_view::TopicView;

pub(super) struct TopicLanes {
    lanes: RwLock<BTreeMap<PartitionIndex, Arc<Lane>>>,
    /// Where records without a key go for a while. Taken modulo the number of partitions.
    sticky: AtomicU32,
    /// What has gone there.
    sticky_bytes: AtomicUsize,
}

impl TopicLanes {
    pub(super) fn new() -> Self {
        Self {
            lanes: RwLock::default(),
            sticky: AtomicU32::new(rand::random_range(0..limits::TOPIC_PARTITIONS_MAX)),
            sticky_bytes: AtomicUsize::new(0),
        }
    }

    pub(super) fn get(&self, partition: PartitionIndex) -> Option<Arc<Lane>> {
        self.lanes.read().get(&partition).cloned()
    }

    /// The lane, and whether `make` has just made it.
    pub(super) fn get_or_insert(
        &self,
        partition: PartitionIndex,
        make: impl FnOnce() -> Lane,
    ) -> (Arc<Lane>, bool) {
        let mut lanes = self.lanes.write();
        if let Some(lane) = lanes.get(&partition) {
            return (Arc::clone(lane), false);
        }
        let lane = Arc::new(make());
        lanes.insert(partition, Arc::clone(&lane));
        (lane, true)
    }

    pub(super) fn all(&self) -> Vec<Arc<Lane>> {
        self.lanes.read().values().cloned().collect()
    }

    /// Where the record goes.
    pub(super) fn choose(
        &self,
        record: &ProducerRecord,
        topic: &TopicView,
    ) -> Result<PartitionIndex, ApiError> {
        let partition_count = topic.partition_count();
        if partition_count == 0 {
            return Err(ApiError::new(
                ErrorCode::UnknownPartition,
                format!("topic {} has no partitions", record.topic),
            ));
        }
        match (record.partition, &record.key) {
            (Some(partition), _) if partition.get() < partition_count => Ok(partition),
            (Some(partition), _) => Err(ApiError::new(
                ErrorCode::UnknownPartition,
                format!("topic {} has no partition {partition}", record.topic),
            )),
            (None, Some(key)) => Ok(partition_of_key(key, partition_count)),
            (None, None) => {
                let sticky = self.sticky.load(Ordering::Relaxed);
                Ok(PartitionIndex::new(sticky % partition_count))
            }
        }
    }

    /// Takes note of a record without a key. After every `batch_bytes` another partition has its
    /// turn, one with a leader if there is any.
    pub(super) fn note_keyless(&self, bytes: usize, batch_bytes: usize, topic: &TopicView) {
        if self.sticky_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < batch_bytes {
            return;
        }
        self.sticky_bytes.store(0, Ordering::Relaxed);
        let partition_count = topic.partition_count();
        let start = rand::random_range(0..partition_count);
        let led = (0..partition_count)
            .map(|step| (start + step) % partition_count)
            .find(|index| topic.has_leader(PartitionIndex::new(*index)));
        self.sticky.store(led.unwrap_or(start), Ordering::Relaxed);
    }
}
