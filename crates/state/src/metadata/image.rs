//! The metadata state as bytes: the Raft snapshot of the metadata group, and what a node starts from.

use std::collections::BTreeSet;

use flotilla_types::limits::{COORDINATORS, SCHEMA_VERSIONS_MAX, TOPIC_PARTITIONS_MAX};
use flotilla_types::{
    Incarnation, NodeAddresses, NodeId, ProducerId, RaftGroupId, Timestamp, TopicConfig, TopicId,
    TopicName,
};
use minicbor::{Decode, Encode};

use super::access_image::AccessImage;
use super::state::partition_id;
use super::topic::is_same_set;
use super::{MetadataState, Node, NodeDuty, Partition, SchemaVersion, Topic};
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
pub(super) const WHAT: &str = "metadata image";

#[derive(Encode, Decode)]
struct StateImage {
    #[n(0)]
    version: u64,
    #[n(1)]
    nodes: Vec<NodeImage>,
    #[n(2)]
    topics: Vec<TopicImage>,
    #[n(3)]
    next_topic: u64,
    #[n(4)]
    next_raft_group: u32,
    #[n(5)]
    next_producer: u64,
    #[n(6)]
    coordinators: Vec<PartitionImage>,
    #[n(7)]
    topics_version: u64,
    #[n(8)]
    #[cbor(default)]
    placement_version: u64,
    /// None is no rule and no key, now and ever, as it was before there was access to grant.
    #[n(9)]
    access: Option<AccessImage>,
}

#[derive(Encode, Decode)]
struct NodeImage {
    #[n(0)]
    id: u64,
    #[n(1)]
    incarnation: u64,
    #[n(2)]
    client_address: String,
    #[n(3)]
    peer_address: String,
    /// None is active.
    #[n(4)]
    duty: Option<DutyImage>,
}

#[derive(Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
pub(super) enum DutyImage {
    #[n(0)]
    Active,
    #[n(1)]
    Spare,
    #[n(2)]
    Draining,
    #[n(3)]
    Removed,
}

#[derive(Encode, Decode)]
struct TopicImage {
    #[n(0)]
    id: u64,
    #[n(1)]
    name: String,
    /// Every key with its value, so that a default that changes leaves old topics alone.
    #[n(2)]
    config: Vec<(String, String)>,
    #[n(3)]
    replication_factor: u32,
    #[n(4)]
    partitions: Vec<PartitionImage>,
    #[n(5)]
    schemas: Vec<SchemaImage>,
}

#[derive(Encode, Decode)]
struct SchemaImage {
    #[n(0)]
    text: String,
    #[n(1)]
    created_at_ms: i64,
}

#[derive(Encode, Decode)]
struct PartitionImage {
    #[n(0)]
    raft_group: u32,
    #[n(1)]
    replicas: Vec<u64>,
    #[n(2)]
    moving_to: Option<Vec<u64>>,
}

impl MetadataState {
    /// Equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let image = StateImage {
            version: self.version,
            nodes: self.nodes.values().map(node_image).collect(),
            topics: self.topics.values().map(topic_image).collect(),
            next_topic: self.next_topic.get(),
            next_raft_group: self.next_raft_group.get(),
            next_producer: self.next_producer.get(),
            coordinators: self.coordinators.iter().map(partition_image).collect(),
            topics_version: self.topics_version,
            placement_version: self.placement_version,
            access: AccessImage::unless_untouched(self),
        };
        wire::encode(FORMAT, &image)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let image: StateImage = wire::decode(WHAT, FORMAT, bytes)?;
        let mut state = Self {
            version: image.version,
            topics_version: image.topics_version,
            placement_version: image.placement_version,
            next_topic: TopicId::new(image.next_topic),
            next_raft_group: RaftGroupId::new(image.next_raft_group),
            next_producer: ProducerId::new(image.next_producer),
            ..Self::new()
        };
        for node in image.nodes {
            let node = restore_node(node);
            ensure(
                state.nodes.insert(node.id, node).is_none(),
                "a node occurs twice",
            )?;
        }
        for topic in image.topics {
            state.restore_topic(topic)?;
        }
        state.restore_coordinators(&image.coordinators)?;
        if let Some(access) = image.access {
            access.restore(&mut state)?;
        }
        Ok(state)
    }

    fn restore_coordinators(&mut self, images: &[PartitionImage]) -> Result<(), DecodeError> {
        let coordinators = images.iter().map(decode_partition);
        let coordinators: Vec<_> = coordinators.collect::<Result<_, _>>()?;
        ensure(
            coordinators.is_empty() || coordinators.len() == COORDINATORS as usize,
            "there are some coordinators, but not all",
        )?;
        let groups: BTreeSet<_> = coordinators.iter().map(|one| one.raft_group).collect();
        let given_out = RaftGroupId::new(1)..self.next_raft_group;
        ensure(
            groups.iter().all(|group| {
                given_out.contains(group) && !self.partition_of_group.contains_key(group)
            }),
            "a coordinator has a group of something else",
        )?;
        ensure(
            groups.len() == coordinators.len(),
            "two coordinators share a group",
        )?;
        self.coordinators = coordinators;
        Ok(())
    }

    fn restore_topic(&mut self, image: TopicImage) -> Result<(), DecodeError> {
        let topic = decode_topic(image)?;
        ensure(
            topic.id < self.next_topic,
            "a topic has an id of the future",
        )?;
        for (raft_group, index) in topic.raft_groups().zip(0..) {
            ensure(
                raft_group < self.next_raft_group && raft_group != RaftGroupId::METADATA,
                "a partition has a group that was not given out",
            )?;
            let partition = partition_id(topic.id, index);
            ensure(
                self.partition_of_group
                    .insert(raft_group, partition)
                    .is_none(),
                "two partitions share a group",
            )?;
        }
        ensure(
            self.topic_by_name
                .insert(topic.name.clone(), topic.id)
                .is_none(),
            "a topic name occurs twice",
        )?;
        ensure(
            self.topics.insert(topic.id, topic).is_none(),
            "a topic id occurs twice",
        )
    }
}

pub(super) fn ensure(holds: bool, contradiction: &'static str) -> Result<(), DecodeError> {
    wire::ensure(WHAT, holds, contradiction)
}

fn node_image(node: &Node) -> NodeImage {
    NodeImage {
        id: node.id.get(),
        incarnation: node.incarnation.get(),
        client_address: node.addresses.client.clone(),
        peer_address: node.addresses.peer.clone(),
        duty: DutyImage::unless_active(node.duty),
    }
}

fn restore_node(image: NodeImage) -> Node {
    Node {
        id: NodeId::new(image.id),
        incarnation: Incarnation::new(image.incarnation),
        addresses: NodeAddresses {
            client: image.client_address,
            peer: image.peer_address,
        },
        duty: DutyImage::or_active(image.duty),
    }
}

impl DutyImage {
    /// What is active is not written, as it was before nodes had duties.
    pub(super) fn unless_active(duty: NodeDuty) -> Option<Self> {
        (duty != NodeDuty::Active).then_some(duty.into())
    }

    pub(super) fn or_active(image: Option<Self>) -> NodeDuty {
        image.map_or(NodeDuty::Active, NodeDuty::from)
    }
}

impl From<NodeDuty> for DutyImage {
    fn from(duty: NodeDuty) -> Self {
        match duty {
            NodeDuty::Active => Self::Active,
            NodeDuty::Spare => Self::Spare,
            NodeDuty::Draining => Self::Draining,
            NodeDuty::Removed => Self::Removed,
        }
    }
}

impl From<DutyImage> for NodeDuty {
    fn from(image: DutyImage) -> Self {
        match image {
            DutyImage::Active => Self::Active,
            DutyImage::Spare => Self::Spare,
            DutyImage::Draining => Self::Draining,
            DutyImage::Removed => Self::Removed,
        }
    }
}

fn topic_image(topic: &Topic) -> TopicImage {
    let config = topic.config.entries();
    let partitions = topic.partitions.iter().map(partition_image);
    TopicImage {
        id: topic.id.get(),
        name: topic.name.as_str().to_owned(),
        config: config.map(|(key, value)| (key.to_owned(), value)).into(),
        replication_factor: topic.replication_factor,
        partitions: partitions.collect(),
        schemas: topic.schemas.iter().map(schema_image).collect(),
    }
}

fn schema_image(schema: &SchemaVersion) -> SchemaImage {
    SchemaImage {
        text: schema.text.to_string(),
        created_at_ms: schema.created_at.as_millis(),
    }
}

fn partition_image(partition: &Partition) -> PartitionImage {
    let numbers = |nodes: &Vec<NodeId>| nodes.iter().map(|node| node.get()).collect();
    PartitionImage {
        raft_group: partition.raft_group.get(),
        replicas: numbers(&partition.replicas),
        moving_to: partition.moving_to.as_ref().map(numbers),
    }
}

fn decode_topic(image: TopicImage) -> Result<Topic, DecodeError> {
    let contradiction = |contradiction| DecodeError::Contradiction {
        what: WHAT,
        contradiction,
    };
    let name =
        TopicName::parse(&image.name).map_err(|_| contradiction("a topic name is not one"))?;
    let mut config = TopicConfig::default();
    for (key, value) in &image.config {
        config
            .set(key, value)
            .map_err(|_| contradiction("a topic configuration is not one"))?;
    }
    ensure(
        image.partitions.len() <= TOPIC_PARTITIONS_MAX as usize,
        "a topic has too many partitions",
    )?;
    ensure(
        image.schemas.len() <= SCHEMA_VERSIONS_MAX,
        "a topic has too many schemas",
    )?;
    let schemas = image.schemas.into_iter().map(|schema| SchemaVersion {
        text: schema.text.into(),
        created_at: Timestamp::from_millis(schema.created_at_ms),
    });
    let partitions = image.partitions.iter().map(decode_partition);
    Ok(Topic {
        id: TopicId::new(image.id),
        name,
        config,
        replication_factor: image.replication_factor,
        partitions: partitions.collect::<Result<_, _>>()?,
        schemas: schemas.collect(),
    })
}

fn decode_partition(image: &PartitionImage) -> Result<Partition, DecodeError> {
    let replicas = decode_replicas(&image.replicas)?;
    let moving_to = image.moving_to.as_deref().map(decode_replicas);
    let moving_to = moving_to.transpose()?;
    ensure(
        moving_to
            .as_ref()
            .is_none_or(|to| !is_same_set(to, &replicas)),
        "a partition moves to where it is",
    )?;
    Ok(Partition {
        raft_group: RaftGroupId::new(image.raft_group),
        replicas,
        moving_to,
    })
}

fn decode_replicas(numbers: &[u64]) -> Result<Vec<NodeId>, DecodeError> {
    let replicas: Vec<_> = numbers.iter().copied().map(NodeId::new).collect();
    let distinct: BTreeSet<_> = replicas.iter().collect();
    ensure(!replicas.is_empty(), "a partition has no replica")?;
    ensure(
        distinct.len() == replicas.len(),
        "a partition has two replicas on one node",
    )?;
    Ok(replicas)
}
