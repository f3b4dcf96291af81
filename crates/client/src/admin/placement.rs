//! Changing which nodes hold what: adding, draining and replacing nodes, and evening out.

use flotilla_protocol::v1::change_placement_request::Goal;
use flotilla_protocol::v1::placement_move::Subject;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{NodeDuty, NodeId, PartitionIndex, RaftGroupId, TopicName};

use super::Admin;
use super::cluster::{cluster_client, read_nodes};
use crate::ClientError;
use crate::client::{Repeat, within};

/// What the cluster shall reach. One that is reached, or on its way, changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacementGoal {
    /// A spare node takes its share.
    AddNode(NodeId),
    /// Nothing is left on the node, so that it can be stopped.
    DrainNode(NodeId),
    /// A node that was draining takes its share again.
    CancelDrain(NodeId),
    /// The node is gone for good: others hold what it held, and its id is never used again.
    ReplaceNode {
        node: NodeId,
        /// Takes its place. `None`: those that hold the least share it.
        with: Option<NodeId>,
        /// Although it is up.
        force: bool,
    },
    /// Every active node holds as many replicas as the others, and is preferred to lead as many.
    Rebalance,
}

/// How a placement is changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PlacementOptions {
    /// Only says what would change.
    pub dry_run: bool,
    /// Fails unless the placement has this version, which a dry run told.
    pub if_placement_version: Option<u64>,
}

/// What has changed, or would. Replicas move after that was decided, at their own pace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementChange {
    /// After the change; of a dry run, of the placement that was looked at.
    pub placement_version: u64,
    /// Nodes that keep their duty are absent.
    pub duties: Vec<DutyChange>,
    /// By raft group. What stays as it is, is absent.
    pub moves: Vec<PlacementMove>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DutyChange {
    pub node: NodeId,
    pub before: NodeDuty,
    pub after: NodeDuty,
}

/// From where something is to where it shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacementMove {
    /// For logs and metrics of the nodes.
    pub raft_group: RaftGroupId,
    pub subject: MoveSubject,
    /// Preferred leader first.
    pub from: Vec<NodeId>,
    /// The same nodes in another order only change which one is preferred to lead.
    pub to: Vec<NodeId>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MoveSubject {
    Partition(TopicName, PartitionIndex),
    /// Of consumer groups and jobs, with its number.
    Coordinator(u32),
}

impl PlacementMove {
    /// The nodes that get a replica.
    pub fn added(&self) -> impl Iterator<Item = NodeId> + '_ {
        let to = self.to.iter().copied();
        to.filter(|node| !self.from.contains(node))
    }
}

impl Admin {
    /// Changes which nodes hold what, so that the cluster reaches a goal. Answers once that is decided.
    /// [`describe_cluster`](Self::describe_cluster) shows how far the replicas are.
    pub async fn change_placement(
        &self,
        goal: PlacementGoal,
        options: PlacementOptions,
    ) -> Result<PlacementChange, ClientError> {
        let request = v1::ChangePlacementRequest {
            goal: Some(write_goal(goal)),
            dry_run: options.dry_run,
            if_placement_version: options.if_placement_version,
        };
        let send = |channel, limit| {
            let request = within(limit, request);
            async move { cluster_client(channel).change_placement(request).await }
        };
        let repeat = match options.dry_run {
            true => Repeat::Always,
            false => Repeat::IfDefinite,
        };
        let answer = self.core.call(repeat, send).await?;
        let duties = answer.duties.into_iter().map(read_duty_change);
        let moves = answer.moves.into_iter().map(read_move);
        Ok(PlacementChange {
            placement_version: answer.placement_version,
            duties: duties.collect::<Result<_, _>>()?,
            moves: moves.collect::<Result<_, _>>()?,
        })
    }
}

fn write_goal(goal: PlacementGoal) -> Goal {
    let drain = |node: NodeId, cancel| {
        let node_id = node.get();
        Goal::DrainNode(v1::DrainNode { node_id, cancel })
    };
    match goal {
        PlacementGoal::AddNode(node) => Goal::AddNode(v1::AddNode {
            node_id: node.get(),
        }),
        PlacementGoal::DrainNode(node) => drain(node, false),
        PlacementGoal::CancelDrain(node) => drain(node, true),
        PlacementGoal::ReplaceNode { node, with, force } => Goal::ReplaceNode(v1::ReplaceNode {
            node_id: node.get(),
            with_node_id: with.map(NodeId::get),
            force,
        }),
        PlacementGoal::Rebalance => Goal::Rebalance(v1::Rebalance {}),
    }
}

fn read_duty_change(change: v1::DutyChange) -> Result<DutyChange, ClientError> {
    Ok(DutyChange {
        node: NodeId::new(change.node_id),
        before: read_duty(change.before())?,
        after: read_duty(change.after())?,
    })
}

pub(super) fn read_duty(duty: v1::NodeDuty) -> Result<NodeDuty, ClientError> {
    match duty {
        v1::NodeDuty::Unspecified => Err(ClientError::missing("the duty of a node")),
        v1::NodeDuty::Active => Ok(NodeDuty::Active),
        v1::NodeDuty::Spare => Ok(NodeDuty::Spare),
        v1::NodeDuty::Draining => Ok(NodeDuty::Draining),
        v1::NodeDuty::Removed => Ok(NodeDuty::Removed),
    }
}

pub(super) fn read_move(one: v1::PlacementMove) -> Result<PlacementMove, ClientError> {
    let subject = match one.subject {
        Some(Subject::Partition(partition)) => {
            let topic = TopicName::parse(&partition.topic).map_err(ApiError::from)?;
            MoveSubject::Partition(topic, PartitionIndex::new(partition.index))
        }
        Some(Subject::Coordinator(number)) => MoveSubject::Coordinator(number),
        None => return Err(ClientError::missing("what moves")),
    };
    Ok(PlacementMove {
        raft_group: RaftGroupId::new(one.raft_group),
        subject,
        from: read_nodes(&one.from),
        to: read_nodes(&one.to),
    })
}
