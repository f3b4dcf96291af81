//! The replicated state of the metadata group and the questions that can be asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use flotilla_types::limits::COORDINATORS;
use flotilla_types::{
    GroupId, NodeId, PartitionId, PartitionIndex, ProducerId, RaftGroupId, TopicId, TopicName,
    partition_of_key,
};

use super::{Node, NodeDuty, Partition, Topic};
use crate::access::{AccessKeys, AccessRules};

/// What every node knows of the cluster after the same entries. It starts empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetadataState {
    pub(super) version: u64,
    pub(super) topics_version: u64,
    pub(super) placement_version: u64,
    pub(super) nodes: BTreeMap<NodeId, Node>,
    pub(super) topics: BTreeMap<TopicId, Topic>,
    pub(super) next_topic: TopicId,
    pub(super) next_raft_group: RaftGroupId,
    pub(super) next_producer: ProducerId,
    /// None, or [`COORDINATORS`](flotilla_types::limits::COORDINATORS) of them.
    pub(super) coordinators: Vec<Partition>,
    pub(super) access_version: u64,
    /// Shared, because the whole state is copied for those who read it.
    pub(super) access_rules: Arc<AccessRules>,
    pub(super) access_keys: Arc<AccessKeys>,
    /// Derived from `topics`, as is `partition_of_group`.
    pub(super) topic_by_name: BTreeMap<TopicName, TopicId>,
    pub(super) partition_of_group: BTreeMap<RaftGroupId, PartitionId>,
}

impl Default for MetadataState {
    fn default() -> Self {
        Self::new()
    }
}

impl MetadataState {
    pub fn new() -> Self {
        Self {
            version: 0,
            topics_version: 0,
            placement_version: 0,
            nodes: BTreeMap::new(),
            topics: BTreeMap::new(),
            next_topic: TopicId::new(1),
            next_raft_group: RaftGroupId::new(RaftGroupId::METADATA.get() + 1),
            next_producer: ProducerId::new(0),
            coordinators: Vec::new(),
            access_version: 0,
            access_rules: Arc::default(),
            access_keys: Arc::default(),
            topic_by_name: BTreeMap::new(),
            partition_of_group: BTreeMap::new(),
        }
    }

    /// Grows with every command that has an effect. Equal versions are equal states.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Grows with every change of a topic, its configuration or its schema.
    pub fn topics_version(&self) -> u64 {
        self.topics_version
    }

    /// Grows with every change of what is planned from when replicas are to move: which nodes there
    /// are, their duties, and the replicas that each group shall have.
    pub fn placement_version(&self) -> u64 {
        self.placement_version
    }

    /// Grows with every change of the access rules or the keys, so that whoever remembers an answer of
    /// theirs knows how long it holds.
    pub fn access_version(&self) -> u64 {
        self.access_version
    }

    pub fn access_rules(&self) -> &Arc<AccessRules> {
        &self.access_rules
    }

    pub fn access_keys(&self) -> &Arc<AccessKeys> {
        &self.access_keys
    }

    /// By id. Those that were removed are among them.
    pub fn nodes(&self) -> impl ExactSizeIterator<Item = &Node> {
        self.nodes.values()
    }

    pub fn node(&self, id: NodeId) -> Option<&Node> {
        self.nodes.get(&id)
    }

    /// The nodes that get replicas, by id.
    pub fn active_nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        let nodes = self.nodes.values();
        let active = nodes.filter(|node| node.duty == NodeDuty::Active);
        active.map(|node| node.id)
    }

    /// Whether the node was to give away what it holds, and has done so.
    pub fn is_drained(&self, id: NodeId) -> bool {
        self.duty(id) == Some(NodeDuty::Draining)
            && !self.placements().any(|placed| placed.is_hosted_by(id))
    }

    pub fn duty(&self, id: NodeId) -> Option<NodeDuty> {
        self.nodes.get(&id).map(|node| node.duty)
    }

    /// By name.
    pub fn topics(&self) -> impl Iterator<Item = &Topic> {
        self.topic_by_name
            .values()
            .filter_map(|id| self.topics.get(id))
    }

    pub fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    /// Whether the topic existed and was deleted. One that this state has not heard of yet was not.
    pub fn was_deleted(&self, id: TopicId) -> bool {
        id < self.next_topic && !self.topics.contains_key(&id)
    }

    pub fn topic_named(&self, name: &TopicName) -> Option<&Topic> {
        self.topics.get(self.topic_by_name.get(name)?)
    }

    pub fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.topics.get(&id.topic)?.partition(id.index)
    }

    /// Which partition a Raft group is, unless it is gone.
    pub fn partition_of_group(&self, raft_group: RaftGroupId) -> Option<PartitionId> {
        self.partition_of_group.get(&raft_group).copied()
    }

    /// Whether the group existed and was deleted. Ids are never given out twice, so a replica whose
    /// group is removed may drop its data; one whose group is not known yet may not.
    pub fn is_removed(&self, raft_group: RaftGroupId) -> bool {
        raft_group != RaftGroupId::METADATA
            && raft_group < self.next_raft_group
            && !self.partition_of_group.contains_key(&raft_group)
            && !self.is_coordinator(raft_group)
    }

    /// The placements of the coordinators of consumer groups: none until the first one is needed.
    pub fn coordinators(&self) -> &[Partition] {
        &self.coordinators
    }

    /// The coordinators that have a replica on `node`, or move there.
    pub fn coordinators_on(&self, node: NodeId) -> impl Iterator<Item = &Partition> {
        let coordinators = self.coordinators.iter();
        coordinators.filter(move |coordinator| coordinator.is_hosted_by(node))
    }

    /// Where a consumer group is coordinated. It stays there for ever.
    pub fn coordinator_of(&self, group: &GroupId) -> Option<&Partition> {
        if self.coordinators.is_empty() {
            return None;
        }
        let number = partition_of_key(group.as_str().as_bytes(), COORDINATORS);
        self.coordinators.get(number.get() as usize)
    }

    pub fn is_coordinator(&self, raft_group: RaftGroupId) -> bool {
        self.coordinator_with(raft_group).is_some()
    }

    /// Every partition, by topic id and index.
    pub fn partitions(&self) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.topics.values().flat_map(|topic| {
            topic
                .partitions
                .iter()
                .zip(0..)
                .map(|(partition, index)| (partition_id(topic.id, index), partition))
        })
    }

    /// The partitions that have a replica on `node`, or move there.
    pub fn partitions_on(&self, node: NodeId) -> impl Iterator<Item = (PartitionId, &Partition)> {
        self.partitions()
            .filter(move |(_, partition)| partition.is_hosted_by(node))
    }

    /// The placement of everything but the metadata itself: partitions and coordinators.
    pub fn placements(&self) -> impl Iterator<Item = &Partition> {
        let partitions = self.partitions().map(|(_, partition)| partition);
        partitions.chain(&self.coordinators)
    }

    /// Of a partition or a coordinator.
    pub fn placement(&self, raft_group: RaftGroupId) -> Option<&Partition> {
        match self.partition_of_group(raft_group) {
            Some(id) => self.partition(id),
            None => self.coordinator_with(raft_group),
        }
    }

    fn coordinator_with(&self, raft_group: RaftGroupId) -> Option<&Partition> {
        let mut coordinators = self.coordinators.iter();
        coordinators.find(|coordinator| coordinator.raft_group == raft_group)
    }
}

pub(super) fn partition_id(topic: TopicId, index: u32) -> PartitionId {
    PartitionId {
        topic,
        index: PartitionIndex::new(index),
    }
}
