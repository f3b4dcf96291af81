//! The lanes of one topic, and the choice among them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

use flotilla_protocol::ApiError;
use flotilla_types::{PartitionIndex, limits};
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
        let placed = topic.place(&record.topic, record.partition, record.key.as_deref())?;
        Ok(placed.unwrap_or_else(|| {
            let sticky = self.sticky.load(Ordering::Relaxed);
            PartitionIndex::new(sticky % topic.partition_count())
        }))
    }

    /// Takes note of a record without a key. After every `batch_bytes` another partition has its
    /// turn, one with a leader if there is any.
    pub(super) fn note_keyless(&self, bytes: usize, batch_bytes: usize, topic: &TopicView) {
        if self.sticky_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes < batch_bytes {
            return;
        }
        self.sticky_bytes.store(0, Ordering::Relaxed);
        let next = topic.any_partition().get();
        self.sticky.store(next, Ordering::Relaxed);
    }
}
