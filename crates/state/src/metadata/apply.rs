//! How a metadata command changes the state: checked whole first, then carried out whole.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use flotilla_types::limits::{
    CLUSTER_SCHEMA_BYTES_MAX, COORDINATORS, NODE_REPLICAS_MAX, REPLICATION_FACTOR_MAX,
    SCHEMA_VERSIONS_MAX, TOPIC_PARTITIONS_MAX,
};
use flotilla_types::{
    Lineage, NodeAddresses, NodeId, ProducerId, RaftGroupId, Timestamp, TopicConfig,
    TopicConfigError, TopicId, TopicName,
};

use super::placement::{NodeLoad, place};
use super::state::partition_id;
use super::{
    Applied, MetadataChange, MetadataCommand, MetadataOutcome, MetadataRejection, MetadataState,
    Node, NodeDuty, Partition, SchemaVersion, Topic,
};

/// Those above belong to the owners of jobs.
const PRODUCER_ID_MAX: u64 = ProducerId::OWNED - 1;

pub(super) type Effect = Result<(MetadataOutcome, Option<MetadataChange>), MetadataRejection>;

impl MetadataState {
    pub fn apply(&mut self, command: &MetadataCommand) -> Applied {
        let effect = match command {
            MetadataCommand::RegisterNode {
                id,
                lineage,
                addresses,
                duty_if_new,
            } => self.register_node(*id, lineage, addresses, *duty_if_new),
            MetadataCommand::CreateTopic {
                name,
                partitions,
                replication_factor,
                config,
            } => self.create_topic(name, *partitions, *replication_factor, config),
            MetadataCommand::AlterTopic { name, set, unset } => self.alter_topic(name, set, unset),
            MetadataCommand::AddPartitions { name, total } => self.add_partitions(name, *total),
            MetadataCommand::DeleteTopic { name } => self.delete_topic(name),
            MetadataCommand::AllocateProducerIds { count } => self.allocate_producer_ids(*count),
            MetadataCommand::CreateCoordinators { replication_factor } => {
                self.create_coordinators(*replication_factor)
            }
            MetadataCommand::RegisterSchema {
                name,
                latest_version,
                schema,
                now,
            } => self.register_schema(name, *latest_version, schema, *now),
            MetadataCommand::Together {
                topics_version,
                commands,
            } => self.carry_out_together(*topics_version, commands),
            MetadataCommand::ChangePlacement {
                placement_version,
                duties,
                moves,
            } => self.change_placement(*placement_version, duties, moves),
            MetadataCommand::FinishMove {
                raft_group,
                replicas,
            } => Ok(self.finish_move(*raft_group, replicas)),
            MetadataCommand::ChangeAccess { grant, revoke } => self.change_access(grant, revoke),
            MetadataCommand::AddKey { key } => self.add_key(key),
            MetadataCommand::RemoveKey { name } => self.remove_key(name),
        };
        let (outcome, change) =
            effect.unwrap_or_else(|rejection| (MetadataOutcome::Rejected(rejection), None));
        if let Some(change) = &change {
            self.version = self.version.saturating_add(1);
            let step = u64::from(change.concerns_topics());
            self.topics_version = self.topics_version.saturating_add(step);
            let step = u64::from(change.concerns_placement());
            self.placement_version = self.placement_version.saturating_add(step);
            let step = u64::from(change.concerns_access());
            self.access_version = self.access_version.saturating_add(step);
        }
        Applied { outcome, change }
    }

    fn register_node(
        &mut self,
        id: NodeId,
        lineage: &Lineage,
        addresses: &NodeAddresses,
        duty_if_new: NodeDuty,
    ) -> Effect {
        let known = self.nodes.get(&id);
        if known.is_some_and(|known| known.duty == NodeDuty::Removed) {
            return Err(MetadataRejection::NodeRemoved { node: id });
        }
        if let Some(known) = known.filter(|known| !lineage.remembers(known.incarnation)) {
            return Err(MetadataRejection::OtherPast {
                node: id,
                registered: known.incarnation,
                shown: lineage.current(),
            });
        }
        let node = Node {
            id,
            incarnation: lineage.current(),
            addresses: addresses.clone(),
            duty: known.map_or(duty_if_new, |known| known.duty),
        };
        let change = match known {
            None => Some(MetadataChange::NodeJoined { id }),
            Some(known) => (*known != node).then_some(MetadataChange::Node { id }),
        };
        self.nodes.insert(id, node);
        Ok((MetadataOutcome::NodeRegistered, change))
    }

    fn create_topic(
        &mut self,
        name: &TopicName,
        partitions: u32,
        replication_factor: u32,
        config: &[(String, String)],
    ) -> Effect {
        if self.topic_by_name.contains_key(name) {
            return Err(MetadataRejection::TopicExists { name: name.clone() });
        }
        if !(1..=TOPIC_PARTITIONS_MAX).contains(&partitions) {
            return Err(MetadataRejection::InvalidPartitionCount {
                current: None,
                requested: partitions,
            });
        }
        if !(1..=REPLICATION_FACTOR_MAX).contains(&replication_factor) {
            return Err(MetadataRejection::InvalidReplicationFactor {
                requested: replication_factor,
            });
        }
        let id = self.next_topic;
        let topic = Topic {
            id,
            name: name.clone(),
            config: changed_config(TopicConfig::default(), config, &[])?,
            replication_factor,
            partitions: Vec::new(),
            schemas: Vec::new(),
        };
        let after = id.get().checked_add(1);
        let next_topic = TopicId::new(after.ok_or(MetadataRejection::IdsExhausted)?);
        let change = self.grow(topic, partitions)?;
        self.next_topic = next_topic;
        Ok((MetadataOutcome::TopicCreated { id }, Some(change)))
    }

    fn alter_topic(
        &mut self,
        name: &TopicName,
        set: &[(String, String)],
        unset: &[String],
    ) -> Effect {
        let id = self.require_topic(name)?.id;
        let topic = self
            .topics
            .get_mut(&id)
            .expect("invariant: a required topic is there");
        let config = changed_config(topic.config, set, unset)?;
        let change = (config != topic.config).then_some(MetadataChange::TopicConfig { topic: id });
        topic.config = config;
        Ok((MetadataOutcome::TopicAltered { id }, change))
    }

    /// Asking for as many partitions as there are is not an error, so that a request whose answer was
    /// lost can be sent again.
    fn add_partitions(&mut self, name: &TopicName, total: u32) -> Effect {
        let topic = self.require_topic(name)?;
        let (id, current) = (topic.id, topic.partition_count());
        if total < current || total > TOPIC_PARTITIONS_MAX {
            return Err(MetadataRejection::InvalidPartitionCount {
                current: Some(current),
                requested: total,
            });
        }
        let added = total - current;
        let change = match added {
            0 => None,
            _ => Some(self.grow(topic.clone(), added)?),
        };
        Ok((MetadataOutcome::PartitionsAdded { id, total }, change))
    }

    fn delete_topic(&mut self, name: &TopicName) -> Effect {
        let topic = self.require_topic(name)?;
        if topic.config.is_protected {
            return Err(MetadataRejection::TopicProtected { name: name.clone() });
        }
        let id = topic.id;
        let topic = self.topics.remove(&id);
        self.topic_by_name.remove(name);
        let raft_groups: Vec<_> = topic.iter().flat_map(Topic::raft_groups).collect();
        for raft_group in &raft_groups {
            self.partition_of_group.remove(raft_group);
        }
        let change = MetadataChange::GroupsRemoved {
            topic: id,
            raft_groups,
        };
        Ok((MetadataOutcome::TopicDeleted { id }, Some(change)))
    }

    fn allocate_producer_ids(&mut self, count: u32) -> Effect {
        if count == 0 {
            return Err(MetadataRejection::InvalidProducerIdCount);
        }
        let start = self.next_producer;
        let end = start.get().checked_add(u64::from(count));
        let end = end
            .filter(|end| *end <= PRODUCER_ID_MAX)
            .ok_or(MetadataRejection::IdsExhausted)?;
        self.next_producer = ProducerId::new(end);
        let outcome = MetadataOutcome::ProducerIdsAllocated {
            ids: start..self.next_producer,
        };
        Ok((outcome, Some(MetadataChange::ProducerIds)))
    }

    fn create_coordinators(&mut self, replication_factor: u32) -> Effect {
        if !self.coordinators.is_empty() {
            return Ok((MetadataOutcome::CoordinatorsCreated, None));
        }
        if !(1..=REPLICATION_FACTOR_MAX).contains(&replication_factor) {
            return Err(MetadataRejection::InvalidReplicationFactor {
                requested: replication_factor,
            });
        }
        let (raft_groups, coordinators) = self.place_groups(COORDINATORS, replication_factor)?;
        self.next_raft_group = raft_groups.end;
        self.coordinators = coordinators;
        Ok((
            MetadataOutcome::CoordinatorsCreated,
            Some(MetadataChange::Coordinators { raft_groups }),
        ))
    }

    fn register_schema(
        &mut self,
        name: &TopicName,
        latest_version: u32,
        schema: &Arc<str>,
        now: Timestamp,
    ) -> Effect {
        let topic = self.require_topic(name)?;
        let (id, current) = (topic.id, topic.schema_version());
        if current != latest_version {
            return Err(MetadataRejection::SchemaChanged {
                name: name.clone(),
                expected: latest_version,
                current,
            });
        }
        if topic.schemas.len() >= SCHEMA_VERSIONS_MAX {
            return Err(MetadataRejection::TooManySchemas { name: name.clone() });
        }
        let schemas = self.topics.values().flat_map(|topic| &topic.schemas);
        let bytes = schemas.fold(schema.len(), |bytes, schema| bytes + schema.text.len());
        if bytes > CLUSTER_SCHEMA_BYTES_MAX {
            return Err(MetadataRejection::SchemasTooLarge { bytes });
        }
        let topic = self
            .topics
            .get_mut(&id)
            .expect("invariant: a required topic is there");
        topic.schemas.push(SchemaVersion {
            text: schema.clone(),
            created_at: now,
        });
        let version = topic.schema_version();
        Ok((
            MetadataOutcome::SchemaRegistered { id, version },
            Some(MetadataChange::Schema { topic: id }),
        ))
    }

    /// Tries them out on a copy, which takes the place of the state if none is refused.
    fn carry_out_together(&mut self, topics_version: u64, commands: &[MetadataCommand]) -> Effect {
        if topics_version != self.topics_version {
            return Err(MetadataRejection::TopicsChanged {
                expected: topics_version,
                current: self.topics_version,
            });
        }
        let mut after = self.clone();
        let mut changes = Vec::new();
        for command in commands {
            let Applied { outcome, change } = after.apply(command);
            if let MetadataOutcome::Rejected(rejection) = outcome {
                return Err(rejection);
            }
            changes.extend(change);
        }
        // What is one command counts as one change.
        after.version = self.version;
        after.topics_version = self.topics_version;
        after.placement_version = self.placement_version;
        after.access_version = self.access_version;
        *self = after;
        let change = (!changes.is_empty()).then_some(MetadataChange::Several(changes));
        Ok((MetadataOutcome::DoneTogether, change))
    }

    fn require_topic(&self, name: &TopicName) -> Result<&Topic, MetadataRejection> {
        self.topic_named(name)
            .ok_or_else(|| MetadataRejection::UnknownTopic { name: name.clone() })
    }

    /// Places `added` more partitions of `topic` and puts the topic into the state.
    fn grow(&mut self, mut topic: Topic, added: u32) -> Result<MetadataChange, MetadataRejection> {
        let (raft_groups, placed) = self.place_groups(added, topic.replication_factor)?;
        for (index, partition) in (topic.partition_count()..).zip(placed) {
            self.partition_of_group
                .insert(partition.raft_group, partition_id(topic.id, index));
            topic.partitions.push(partition);
        }
        self.next_raft_group = raft_groups.end;
        let change = MetadataChange::GroupsAdded {
            topic: topic.id,
            raft_groups,
        };
        self.topic_by_name.insert(topic.name.clone(), topic.id);
        self.topics.insert(topic.id, topic);
        Ok(change)
    }

    /// The next Raft groups, and where each of them goes.
    fn place_groups(
        &self,
        count: u32,
        replication_factor: u32,
    ) -> Result<(Range<RaftGroupId>, Vec<Partition>), MetadataRejection> {
        let first = self.next_raft_group;
        let end = first.get().checked_add(count);
        let end = RaftGroupId::new(end.ok_or(MetadataRejection::IdsExhausted)?);
        let loads = self.node_loads();
        let placed = place(loads.clone(), count, replication_factor).ok_or_else(|| {
            MetadataRejection::NotEnoughNodes {
                have: u32::try_from(loads.len()).unwrap_or(u32::MAX),
                want: replication_factor,
            }
        })?;
        refuse_full_node(&loads, &placed)?;
        let groups = (first.get()..)
            .zip(placed)
            .map(|(group, replicas)| Partition::new(RaftGroupId::new(group), replicas));
        Ok((first..end, groups.collect()))
    }

    /// Of the active nodes. What moves counts where it moves to, so that what is placed meanwhile
    /// makes the end even.
    fn node_loads(&self) -> Vec<NodeLoad> {
        let mut loads: BTreeMap<NodeId, NodeLoad> = self
            .active_nodes()
            .map(|id| (id, NodeLoad::idle(id)))
            .collect();
        for placed in self.placements() {
            for replica in placed.wanted() {
                if let Some(load) = loads.get_mut(replica) {
                    load.replicas += 1;
                }
            }
            let leader = placed.wanted().first();
            if let Some(load) = leader.and_then(|leader| loads.get_mut(leader)) {
                load.preferred_leaders += 1;
            }
        }
        loads.into_values().collect()
    }
}

fn refuse_full_node(loads: &[NodeLoad], placed: &[Vec<NodeId>]) -> Result<(), MetadataRejection> {
    for load in loads {
        let added = placed.iter().flatten().filter(|node| **node == load.node);
        let replicas = load.replicas + added.count() as u64;
        if replicas > u64::from(NODE_REPLICAS_MAX) {
            let node = load.node;
            return Err(MetadataRejection::NodeFull { node, replicas });
        }
    }
    Ok(())
}

fn changed_config(
    mut config: TopicConfig,
    set: &[(String, String)],
    unset: &[String],
) -> Result<TopicConfig, TopicConfigError> {
    let defaults = TopicConfig::default().entries();
    for key in unset {
        let default = defaults.iter().find(|(name, _)| name == key);
        let (name, value) =
            default.ok_or_else(|| TopicConfigError::UnknownKey { key: key.clone() })?;
        config.set(name, value)?;
    }
    for (key, value) in set {
        config.set(key, value)?;
    }
    Ok(config)
}
