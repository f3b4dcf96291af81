//! From a topic's name and a partition's number to whoever can do the work.
//!
//! Leaders come and go, so a route is good for one attempt. While a partition has no leader, or is
//! just being opened here, asking for a route waits, as long as the one who asks can.

use std::sync::Arc;

use flotilla_protocol::ApiError;
use flotilla_raft::{Leadership, Partition};
use flotilla_state::metadata::MetadataState;
use flotilla_types::{
    ErrorCode, LeaderEpoch, NodeId, PartitionIndex, RaftGroupId, TopicConfig, TopicId, TopicName,
};
use tokio::time::{Instant, timeout_at};

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

/// A partition that exists.
#[derive(Clone, Debug)]
pub(crate) struct Located {
    pub(crate) topic: TopicId,
    pub(crate) name: TopicName,
    pub(crate) config: TopicConfig,
    pub(crate) index: PartitionIndex,
    pub(crate) group: RaftGroupId,
    /// The first one is preferred to lead.
    pub(crate) replicas: Vec<NodeId>,
}

/// Who does the work.
pub(crate) enum Route {
    Here(Partition),
    At(NodeId),
}

/// What may be done with a request that this node cannot answer itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Forwarding {
    /// Pass it on.
    Allowed,
    /// The client wants to go to the leader itself.
    Refused,
    /// It was passed on too often already.
    Exhausted,
}

impl Forwarding {
    pub(crate) fn of(origin: &Origin, no_forward: bool) -> Self {
        if no_forward {
            Self::Refused
        } else if origin.may_pass_on() {
            Self::Allowed
        } else {
            Self::Exhausted
        }
    }
}

/// What a node with a replica does for a request that only the leader can answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Lead,
    GoTo(NodeId),
    NameLeader,
    Wait,
}

fn next_step(leadership: Leadership, leads: bool, me: NodeId, forwarding: Forwarding) -> Step {
    match leadership.leader {
        _ if leads => Step::Lead,
        // It is about to lead, or has just ceased to.
        Some(leader) if leader == me => Step::Wait,
        Some(leader) if forwarding == Forwarding::Allowed => Step::GoTo(leader),
        Some(_) => Step::NameLeader,
        None => Step::Wait,
    }
}

/// The replica to ask when there is none here: the leader if it is known, otherwise one that can be
/// reached, the preferred leader first.
pub(crate) fn choose_replica(
    replicas: &[NodeId],
    connected: &[NodeId],
    leader: Option<NodeId>,
) -> Option<NodeId> {
    let reachable = |node: &NodeId| connected.contains(node);
    leader
        .filter(reachable)
        .or_else(|| replicas.iter().copied().find(reachable))
}

impl Node {
    /// Finds a partition. If there is none here, the node makes sure that it knows enough to say so.
    pub(crate) async fn locate(
        &self,
        name: &TopicName,
        index: PartitionIndex,
    ) -> Result<Located, ApiError> {
        if let Ok(located) = locate_in(&self.state(), name, index) {
            return Ok(located);
        }
        self.catch_up().await?;
        locate_in(&self.state(), name, index)
    }

    /// How many partitions a topic has.
    pub(crate) async fn partition_count(&self, name: &TopicName) -> Result<u32, ApiError> {
        let first = PartitionIndex::new(0);
        self.locate(name, first).await?;
        let state = self.state();
        let topic = state.topic_named(name);
        topic
            .map(|topic| topic.partition_count())
            .ok_or_else(|| errors::unknown_topic(name))
    }

    /// The way to the partition's leader. Waits until `deadline` for there to be one.
    pub(crate) async fn route_to_leader(
        &self,
        located: &Located,
        forwarding: Forwarding,
        deadline: Instant,
    ) -> Result<Route, ApiError> {
        let route = self.find_leader(located, forwarding);
        match timeout_at(deadline, route).await {
            Ok(route) => route,
            Err(_) => Err(errors::no_leader(&located.name, located.index)),
        }
    }

    async fn find_leader(
        &self,
        located: &Located,
        forwarding: Forwarding,
    ) -> Result<Route, ApiError> {
        loop {
            // The partition may move while one waits.
            self.require_existing(located)?;
            let located = &self.located_now(located);
            let leads = |partition: &Partition| partition.is_leader();
            if let Some(partition) = self.raft.partition(located.group).filter(leads) {
                return Ok(Route::Here(partition));
            }
            if !self.has_replica(located) {
                let replica = self.route_to_replica(located, forwarding).await;
                return replica.map(Route::At);
            }
            let Some(partition) = self.wait_replica(located).await? else {
                continue;
            };
            let leadership = partition.leadership();
            let step = next_step(leadership, partition.is_leader(), self.id, forwarding);
            match step {
                Step::Lead => return Ok(Route::Here(partition)),
                Step::GoTo(leader) => return Ok(Route::At(leader)),
                Step::NameLeader => return Err(self.not_leader(located, leadership)),
                Step::Wait => {
                    let changed = |now: &Leadership| *now != leadership || partition.is_leader();
                    if partition.wait_leadership(changed).await.is_none() {
                        // The group has stopped here: perhaps the topic is being deleted, or the
                        // replica parked.
                        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
                    }
                }
            }
        }
    }

    /// With the replicas that it has now.
    fn located_now(&self, located: &Located) -> Located {
        let state = self.state();
        let placed = state.placement(located.group);
        Located {
            replicas: placed.map_or_else(Vec::new, |placed| placed.replicas.clone()),
            ..located.clone()
        }
    }

    /// Whether this node has a replica that can be used, or will have one in a moment. One that only
    /// moves here does not count: it may lack most of what there is.
    pub(crate) fn has_replica(&self, located: &Located) -> bool {
        located.replicas.contains(&self.id) && !self.raft.is_parked(located.group)
    }

    /// Another node that has a replica.
    pub(crate) async fn route_to_replica(
        &self,
        located: &Located,
        forwarding: Forwarding,
    ) -> Result<NodeId, ApiError> {
        let known = match forwarding {
            Forwarding::Allowed | Forwarding::Refused => self.leaders_elsewhere().await,
            Forwarding::Exhausted => std::collections::BTreeMap::new(),
        };
        let leadership = known.get(&located.group).copied();
        if forwarding != Forwarding::Allowed {
            // Without better knowledge a replica is named: it knows the leader.
            let mut others = located.replicas.iter().copied();
            let leadership = leadership.unwrap_or_else(|| Leadership {
                leader: others.find(|replica| *replica != self.id),
                epoch: LeaderEpoch::new(0),
            });
            return Err(self.not_leader(located, leadership));
        }
        let leader = leadership.and_then(|leadership| leadership.leader);
        let chosen = choose_replica(&located.replicas, &self.raft.connected_peers(), leader);
        chosen.ok_or_else(|| match self.raft.is_parked(located.group) {
            true => errors::only_replica_damaged(&located.name, located.index),
            false => errors::no_leader(&located.name, located.index),
        })
    }

    /// This node's replica of a partition, once it is open.
    pub(crate) async fn wait_opened(&self, located: &Located) -> Result<Partition, ApiError> {
        let replica = self.wait_replica(located).await?;
        replica.ok_or_else(errors::replica_moved)
    }

    /// As [`Self::wait_opened`]; `None` if the replica lives elsewhere by now.
    async fn wait_replica(&self, located: &Located) -> Result<Option<Partition>, ApiError> {
        let mut reconciled = self.reconciled.subscribe();
        loop {
            if let Some(partition) = self.raft.partition(located.group) {
                return Ok(Some(partition));
            }
            self.require_existing(located)?;
            if !self.located_now(located).replicas.contains(&self.id) {
                return Ok(None);
            }
            self.refuse_when_stopping()?;
            if self.raft.is_parked(located.group) {
                return Err(errors::replica_damaged());
            }
            // The sender lives in the node.
            let _ = reconciled.changed().await;
        }
    }

    /// Fails once the topic is deleted.
    pub(crate) fn require_existing(&self, located: &Located) -> Result<(), ApiError> {
        match self.state().topic(located.topic) {
            Some(_) => Ok(()),
            None => Err(errors::unknown_topic(&located.name)),
        }
    }

    pub(crate) fn not_leader(&self, located: &Located, leadership: Leadership) -> ApiError {
        let (name, index) = (&located.name, located.index);
        let what = format!(
            "node {} does not lead partition {index} of topic {name}",
            self.id
        );
        match self.leader_hint(leadership) {
            Some(hint) => {
                let message = format!("{what}: ask node {}", hint.node);
                ApiError::new(ErrorCode::NotLeader, message).with_leader(hint)
            }
            None => {
                let message = format!("{what}: try again in a moment");
                ApiError::new(ErrorCode::NotLeader, message)
            }
        }
    }
}

fn locate_in(
    state: &Arc<MetadataState>,
    name: &TopicName,
    index: PartitionIndex,
) -> Result<Located, ApiError> {
    let topic = state
        .topic_named(name)
        .ok_or_else(|| errors::unknown_topic(name))?;
    let partition = topic
        .partition(index)
        .ok_or_else(|| errors::unknown_partition(name, index, topic.partition_count()))?;
    Ok(Located {
        topic: topic.id,
        name: topic.name.clone(),
        config: topic.config,
        index,
        group: partition.raft_group,
        replicas: partition.replicas.clone(),
    })
}

#[cfg(test)]
mod tests {
    use flotilla_state::metadata::{MetadataCommand, NodeDuty};
    use flotilla_types::{Lineage, NodeAddresses};

    use super::*;

    const ME: NodeId = NodeId::new(1);
    const OTHER: NodeId = NodeId::new(2);
    const THIRD: NodeId = NodeId::new(3);

    fn led_by(leader: Option<NodeId>) -> Leadership {
        Leadership {
            leader,
            epoch: LeaderEpoch::new(4),
        }
    }

    #[test]
    fn the_leader_does_the_work_itself() {
        for forwarding in [
            Forwarding::Allowed,
            Forwarding::Refused,
            Forwarding::Exhausted,
        ] {
            let step = next_step(led_by(Some(ME)), true, ME, forwarding);
            assert_eq!(step, Step::Lead);
        }
    }

    #[test]
    fn a_follower_passes_on_unless_it_may_not() {
        let step = |forwarding| next_step(led_by(Some(OTHER)), false, ME, forwarding);
        assert_eq!(step(Forwarding::Allowed), Step::GoTo(OTHER));
        assert_eq!(step(Forwarding::Refused), Step::NameLeader);
        assert_eq!(step(Forwarding::Exhausted), Step::NameLeader);
    }

    #[test]
    fn without_a_sure_leader_one_waits() {
        for leader in [None, Some(ME)] {
            let step = next_step(led_by(leader), false, ME, Forwarding::Allowed);
            assert_eq!(step, Step::Wait);
        }
    }

    #[test]
    fn a_node_without_a_replica_asks_one_that_it_can_reach() {
        let replicas = [OTHER, THIRD];
        let choose = |connected: &[NodeId], leader| choose_replica(&replicas, connected, leader);
        assert_eq!(choose(&[OTHER, THIRD], Some(THIRD)), Some(THIRD));
        assert_eq!(choose(&[OTHER, THIRD], None), Some(OTHER));
        assert_eq!(choose(&[THIRD], Some(OTHER)), Some(THIRD));
        assert_eq!(choose(&[], Some(OTHER)), None);
    }

    #[test]
    fn forwarding_is_the_clients_wish_before_anything_else() {
        let client = Origin::default();
        assert_eq!(Forwarding::of(&client, false), Forwarding::Allowed);
        assert_eq!(Forwarding::of(&client, true), Forwarding::Refused);
    }

    #[test]
    fn what_does_not_exist_is_told_apart() {
        let mut state = MetadataState::new();
        let name = TopicName::parse("orders").unwrap();
        let register = MetadataCommand::RegisterNode {
            id: ME,
            lineage: Lineage::first(1),
            addresses: NodeAddresses {
                client: "a:1".to_owned(),
                peer: "a:2".to_owned(),
            },
            duty_if_new: NodeDuty::Active,
        };
        let create = MetadataCommand::CreateTopic {
            name: name.clone(),
            partitions: 2,
            replication_factor: 1,
            config: Vec::new(),
        };
        for command in [register, create] {
            assert!(state.apply(&command).change.is_some());
        }
        let state = Arc::new(state);
        let code = |name: &TopicName, index| {
            let located = locate_in(&state, name, PartitionIndex::new(index));
            located.err().map(|error| error.code)
        };
        assert_eq!(code(&name, 1), None);
        assert_eq!(code(&name, 2), Some(ErrorCode::UnknownPartition));
        let other = TopicName::parse("other").unwrap();
        assert_eq!(code(&other, 0), Some(ErrorCode::UnknownTopic));
    }
}
