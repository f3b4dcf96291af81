//! Goals, plans and what moves, as the API tells them.

use std::collections::BTreeMap;

use flotilla_protocol::v1::change_placement_request::Goal as GoalMessage;
use flotilla_protocol::v1::placement_move::Subject;
use flotilla_protocol::{ApiError, v1};
use flotilla_state::metadata::{Goal, MetadataState, NodeDuty, Plan};
use flotilla_types::{ErrorCode, NodeId, PartitionId, RaftGroupId};

pub(super) fn read_goal(message: Option<GoalMessage>) -> Result<Goal, ApiError> {
    let goal = match message {
        Some(GoalMessage::AddNode(add)) => Goal::AddNode(NodeId::new(add.node_id)),
        Some(GoalMessage::DrainNode(drain)) => match drain.cancel {
            true => Goal::CancelDrain(NodeId::new(drain.node_id)),
            false => Goal::Drain(NodeId::new(drain.node_id)),
        },
        Some(GoalMessage::ReplaceNode(replace)) => Goal::Replace {
            dead: NodeId::new(replace.node_id),
            with: replace.with_node_id.map(NodeId::new),
            force: replace.force,
        },
        Some(GoalMessage::Rebalance(v1::Rebalance {})) => Goal::Rebalance,
        None => {
            return Err(ApiError::new(
                ErrorCode::InvalidArgument,
                "the request has no goal that this node knows: send one",
            ));
        }
    };
    Ok(goal)
}

/// A plan for `state`, whose placement has `placement_version` by now.
pub(super) fn write_plan(
    state: &MetadataState,
    plan: &Plan,
    placement_version: u64,
) -> v1::ChangePlacementResponse {
    let duties = plan.duties.iter().map(|(node, after)| v1::DutyChange {
        node_id: node.get(),
        before: state
            .duty(*node)
            .map_or(v1::NodeDuty::Unspecified, write_duty)
            .into(),
        after: write_duty(*after).into(),
    });
    let moves = plan.moves.iter();
    v1::ChangePlacementResponse {
        placement_version,
        duties: duties.collect(),
        moves: moves
            .map(|planned| v1::PlacementMove {
                raft_group: planned.raft_group.get(),
                subject: subject(state, planned.raft_group, planned.partition),
                from: numbers(&planned.from),
                to: numbers(&planned.to),
            })
            .collect(),
    }
}

pub(super) fn write_moves_under_way(state: &MetadataState) -> Vec<v1::PlacementMove> {
    let moving = state.placements().filter_map(|placed| {
        let raft_group = placed.raft_group;
        Some(v1::PlacementMove {
            raft_group: raft_group.get(),
            subject: subject(state, raft_group, state.partition_of_group(raft_group)),
            from: numbers(&placed.replicas),
            to: numbers(placed.moving_to.as_ref()?),
        })
    });
    let mut moves: Vec<_> = moving.collect();
    moves.sort_unstable_by_key(|one| one.raft_group);
    moves
}

pub(super) fn write_node_statuses(state: &MetadataState) -> Vec<v1::NodeStatus> {
    let mut statuses: BTreeMap<_, _> = state
        .nodes()
        .map(|node| {
            let status = v1::NodeStatus {
                node_id: node.id.get(),
                duty: write_duty(node.duty).into(),
                is_drained: node.duty == NodeDuty::Draining,
                ..v1::NodeStatus::default()
            };
            (node.id, status)
        })
        .collect();
    for placed in state.placements() {
        for host in placed.hosts() {
            let Some(status) = statuses.get_mut(&host) else {
                continue;
            };
            let holds = placed.replicas.contains(&host);
            status.replicas += u32::from(holds);
            status.replicas_arriving += u32::from(!holds);
            status.replicas_leaving += u32::from(!placed.wanted().contains(&host));
            status.is_drained = false;
        }
    }
    statuses.into_values().collect()
}

fn write_duty(duty: NodeDuty) -> v1::NodeDuty {
    match duty {
        NodeDuty::Active => v1::NodeDuty::Active,
        NodeDuty::Spare => v1::NodeDuty::Spare,
        NodeDuty::Draining => v1::NodeDuty::Draining,
        NodeDuty::Removed => v1::NodeDuty::Removed,
    }
}

fn subject(
    state: &MetadataState,
    raft_group: RaftGroupId,
    partition: Option<PartitionId>,
) -> Option<Subject> {
    let Some(id) = partition else {
        let mut coordinators = state.coordinators().iter();
        let number = coordinators.position(|placed| placed.raft_group == raft_group)?;
        return Some(Subject::Coordinator(number as u32));
    };
    Some(Subject::Partition(v1::TopicPartition {
        topic: state.topic(id.topic)?.name.to_string(),
        index: id.index.get(),
    }))
}

fn numbers(nodes: &[NodeId]) -> Vec<u64> {
    nodes.iter().map(|node| node.get()).collect()
}
