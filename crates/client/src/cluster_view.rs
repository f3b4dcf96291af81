//! What the client believes of the cluster: nodes, topics and who leads each partition.
//!
//! It may be a moment old; nodes say so when it matters. Nothing here talks to anybody.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use flotilla_protocol::{ApiError, LeaderHint, v1};
use flotilla_types::{
    ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicId, TopicName, partition_of_key,
};

#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterView {
    cluster_id: Option<String>,
    /// Addresses for clients.
    nodes: BTreeMap<NodeId, String>,
    topics: HashMap<TopicName, Result<Arc<TopicView>, ApiError>>,
}

#[derive(Clone, Debug)]
pub(crate) struct TopicView {
    id: TopicId,
    has_schema: bool,
    /// By index.
    leaders: Vec<Option<Leader>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Leader {
    node: NodeId,
    epoch: LeaderEpoch,
}

impl ClusterView {
    /// What a node has answered about these topics. Of two leaders of a partition the one with the
    /// higher epoch stays: a node that lags behind takes nothing back.
    pub(crate) fn merge(
        &self,
        answer: v1::GetMetadataResponse,
        asked_for: &BTreeSet<TopicName>,
    ) -> Result<Self, ApiError> {
        if let Some(cluster_id) = &self.cluster_id
            && *cluster_id != answer.cluster_id
        {
            return Err(ApiError::new(
                ErrorCode::ClusterMismatch,
                format!("a node belongs to cluster {}", answer.cluster_id),
            ));
        }
        let mut topics: HashMap<_, _> = asked_for
            .iter()
            .map(|name| (name.clone(), Err(unknown_topic(name))))
            .collect();
        for topic in answer.topics {
            let name = TopicName::parse(&topic.name)?;
            if let Some(entry) = topics.get_mut(&name) {
                let known = self.topics.get(&name);
                let known = known.and_then(|known| known.as_ref().ok());
                *entry = TopicView::read(topic, known.map(Arc::as_ref))?.map(Arc::new);
            }
        }
        let addresses = answer.nodes.into_iter();
        Ok(Self {
            cluster_id: Some(answer.cluster_id),
            nodes: addresses
                .map(|node| (NodeId::new(node.id), node.client_address))
                .collect(),
            topics,
        })
    }

    /// Believes a hint if it is newer than what is known.
    pub(crate) fn learn_leader(
        &mut self,
        topic: &TopicName,
        partition: PartitionIndex,
        hint: &LeaderHint,
    ) {
        let Some(Ok(view)) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(leader) = Arc::make_mut(view)
            .leaders
            .get_mut(partition.get() as usize)
        else {
            return;
        };
        if leader.is_none_or(|known| known.epoch <= hint.leader_epoch) {
            *leader = Some(Leader {
                node: hint.node,
                epoch: hint.leader_epoch,
            });
            let address = hint.client_address.clone();
            self.nodes.entry(hint.node).or_insert(address);
        }
    }

    pub(crate) fn topic(&self, topic: &TopicName) -> Option<&Result<Arc<TopicView>, ApiError>> {
        self.topics.get(topic)
    }

    /// Where the partition's leader listens. `None` while no leader is known.
    pub(crate) fn leader_address(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Option<&str>, ApiError> {
        let view = match self.topics.get(topic) {
            None => return Ok(None),
            Some(Err(error)) => return Err(error.clone()),
            Some(Ok(view)) => view,
        };
        let Some(leader) = view.leaders.get(partition.get() as usize) else {
            return Err(ApiError::new(
                ErrorCode::UnknownPartition,
                format!("topic {topic} has no partition {partition}"),
            ));
        };
        let address = leader.and_then(|leader| self.nodes.get(&leader.node));
        Ok(address.map(String::as_str))
    }

    pub(crate) fn node_addresses(&self) -> impl Iterator<Item = &str> {
        self.nodes.values().map(String::as_str)
    }
}

impl TopicView {
    pub(crate) fn id(&self) -> TopicId {
        self.id
    }

    pub(crate) fn has_schema(&self) -> bool {
        self.has_schema
    }

    pub(crate) fn partition_count(&self) -> u32 {
        self.leaders.len() as u32
    }

    pub(crate) fn has_leader(&self, partition: PartitionIndex) -> bool {
        let leader = self.leaders.get(partition.get() as usize);
        leader.is_some_and(Option::is_some)
    }

    /// The partition of this number, or else the one of the key; `None` if there is neither.
    pub(crate) fn place(
        &self,
        topic: &TopicName,
        partition: Option<PartitionIndex>,
        key: Option<&[u8]>,
    ) -> Result<Option<PartitionIndex>, ApiError> {
        let unknown = |message| Err(ApiError::new(ErrorCode::UnknownPartition, message));
        let partition_count = self.partition_count();
        match (partition, key) {
            _ if partition_count == 0 => unknown(format!("topic {topic} has no partitions")),
            (Some(partition), _) if partition.get() < partition_count => Ok(Some(partition)),
            (Some(partition), _) => unknown(format!("topic {topic} has no partition {partition}")),
            (None, key) => Ok(key.map(|key| partition_of_key(key, partition_count))),
        }
    }

    /// Any partition, one with a leader if there is one. The topic must have partitions.
    pub(crate) fn any_partition(&self) -> PartitionIndex {
        let partition_count = self.partition_count();
        let start = rand::random_range(0..partition_count);
        let mut all =
            (0..partition_count).map(|step| PartitionIndex::new((start + step) % partition_count));
        let led = all.find(|index| self.has_leader(*index));
        led.unwrap_or_else(|| PartitionIndex::new(start))
    }

    fn read(
        topic: v1::TopicMetadata,
        known: Option<&Self>,
    ) -> Result<Result<Self, ApiError>, ApiError> {
        if let Some(error) = topic.error {
            return Ok(Err(error.into()));
        }
        let id = TopicId::new(topic.id);
        let known = known.filter(|known| known.id == id);
        let mut leaders = Vec::with_capacity(topic.partitions.len());
        for (position, partition) in topic.partitions.into_iter().enumerate() {
            if partition.index as usize != position {
                return Err(ApiError::new(
                    ErrorCode::Internal,
                    format!("the partitions of topic {} have a gap", topic.name),
                ));
            }
            let told = partition.leader.map(|leader| Leader {
                node: NodeId::new(leader.node_id),
                epoch: LeaderEpoch::new(leader.leader_epoch),
            });
            let known = known.and_then(|known| known.leaders.get(position).copied().flatten());
            leaders.push(newer(known, told));
        }
        Ok(Ok(Self {
            id,
            has_schema: topic.has_schema,
            leaders,
        }))
    }
}

fn unknown_topic(name: &TopicName) -> ApiError {
    ApiError::new(ErrorCode::UnknownTopic, format!("there is no topic {name}"))
}

fn newer(known: Option<Leader>, told: Option<Leader>) -> Option<Leader> {
    match (known, told) {
        (Some(known), Some(told)) if known.epoch > told.epoch => Some(known),
        (_, told) => told,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PARTITION: PartitionIndex = PartitionIndex::new(0);

    fn orders() -> TopicName {
        TopicName::parse("orders").unwrap()
    }

    fn asked() -> BTreeSet<TopicName> {
        BTreeSet::from([orders()])
    }

    /// Two nodes, and partition 0 of `orders` led as given.
    fn answer(leader: Option<(u64, u64)>) -> v1::GetMetadataResponse {
        let node = |id: u64| v1::Node {
            id,
            client_address: format!("node{id}:7400"),
            ..v1::Node::default()
        };
        v1::GetMetadataResponse {
            cluster_id: "c".to_owned(),
            nodes: vec![node(1), node(2)],
            topics: vec![v1::TopicMetadata {
                id: 7,
                name: "orders".to_owned(),
                error: None,
                has_schema: false,
                partitions: vec![v1::PartitionMetadata {
                    index: 0,
                    leader: leader.map(|(node_id, leader_epoch)| v1::PartitionLeader {
                        node_id,
                        leader_epoch,
                    }),
                    replicas: vec![1, 2],
                }],
            }],
        }
    }

    fn hint(node: u64, epoch: u64) -> LeaderHint {
        LeaderHint {
            node: NodeId::new(node),
            client_address: format!("node{node}:7400"),
            leader_epoch: LeaderEpoch::new(epoch),
        }
    }

    fn leader(view: &ClusterView) -> Option<&str> {
        view.leader_address(&orders(), PARTITION).unwrap()
    }

    #[test]
    fn an_answer_older_than_a_hint_takes_nothing_back() {
        let view = ClusterView::default()
            .merge(answer(Some((1, 4))), &asked())
            .unwrap();
        let mut view = view.merge(answer(Some((1, 4))), &asked()).unwrap();
        view.learn_leader(&orders(), PARTITION, &hint(2, 5));
        assert_eq!(leader(&view), Some("node2:7400"));

        let view = view.merge(answer(Some((1, 4))), &asked()).unwrap();
        assert_eq!(leader(&view), Some("node2:7400"));
        let view = view.merge(answer(Some((1, 6))), &asked()).unwrap();
        assert_eq!(leader(&view), Some("node1:7400"));
    }

    #[test]
    fn an_old_hint_is_not_believed() {
        let mut view = ClusterView::default()
            .merge(answer(Some((1, 4))), &asked())
            .unwrap();
        view.learn_leader(&orders(), PARTITION, &hint(2, 3));
        assert_eq!(leader(&view), Some("node1:7400"));
    }

    #[test]
    fn a_node_that_the_view_does_not_list_is_learned_from_a_hint() {
        let mut view = ClusterView::default()
            .merge(answer(None), &asked())
            .unwrap();
        assert_eq!(leader(&view), None);
        view.learn_leader(&orders(), PARTITION, &hint(3, 1));
        assert_eq!(leader(&view), Some("node3:7400"));
    }

    #[test]
    fn a_topic_that_an_answer_leaves_out_is_unknown() {
        let view = ClusterView::default()
            .merge(answer(None), &asked())
            .unwrap();
        let without = v1::GetMetadataResponse {
            topics: Vec::new(),
            ..answer(None)
        };
        let view = view.merge(without, &asked()).unwrap();
        let error = view.leader_address(&orders(), PARTITION).unwrap_err();
        assert_eq!(error.code, ErrorCode::UnknownTopic);
    }

    #[test]
    fn another_cluster_is_refused() {
        let view = ClusterView::default()
            .merge(answer(None), &asked())
            .unwrap();
        let foreign = v1::GetMetadataResponse {
            cluster_id: "d".to_owned(),
            ..answer(None)
        };
        let error = view.merge(foreign, &asked()).unwrap_err();
        assert_eq!(error.code, ErrorCode::ClusterMismatch);
    }

    #[test]
    fn a_partition_that_does_not_exist_has_its_own_error() {
        let view = ClusterView::default()
            .merge(answer(None), &asked())
            .unwrap();
        let error = view.leader_address(&orders(), PartitionIndex::new(1));
        assert_eq!(error.unwrap_err().code, ErrorCode::UnknownPartition);
    }
}
