//! What an operator wants of the cluster, turned into one change of its placement.
//!
//! A plan is worked out from the metadata alone, and from which nodes are up. It starts from where
//! replicas shall be, not from where they are: so a plan may follow another one that is not carried out
//! yet, and the same goal a second time plans nothing.

use std::collections::BTreeSet;

use flotilla_types::limits::REPLICATION_FACTOR_DEFAULT;
use flotilla_types::{ErrorCode, NodeId, PartitionId, RaftGroupId};

use super::balance::Balance;
use super::{MetadataCommand, MetadataState, NodeDuty};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// The node takes its share.
    AddNode(NodeId),
    /// Nothing is left on the node.
    Drain(NodeId),
    /// The node takes its share again.
    CancelDrain(NodeId),
    /// The node is gone for good, and others hold what it held. Nothing else moves.
    Replace {
        dead: NodeId,
        /// Takes all that it can. Without it, those take it that have the least.
        with: Option<NodeId>,
        /// Although the node is up.
        force: bool,
    },
    /// Every active node has as many replicas as the others, and is preferred to lead as many.
    Rebalance,
}

/// What is to change. Nothing, if the goal is reached or on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Of the placement that it was worked out for.
    pub placement_version: u64,
    pub duties: Vec<(NodeId, NodeDuty)>,
    pub moves: Vec<PlannedMove>,
}

/// A group that shall live elsewhere, or be led by another of its nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedMove {
    pub raft_group: RaftGroupId,
    /// None is a coordinator.
    pub partition: Option<PartitionId>,
    /// Where it shall live without this plan, preferred leader first.
    pub from: Vec<NodeId>,
    pub to: Vec<NodeId>,
}

/// Why a goal cannot be reached, with what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    #[error("node {node} is up: stop it first, drain it instead, or force its replacement")]
    NodeIsUp { node: NodeId },
    #[error("node {node} would get replicas and is down: start it, or replace it first")]
    NodeIsDown { node: NodeId },
    #[error(
        "node {node} was removed for good: start the machine with an empty data directory and an id \
         that no node ever had"
    )]
    NodeRemoved { node: NodeId },
    #[error("{}", not_enough_message(*have, *want, spare))]
    NotEnoughNodes {
        /// Active ones that would be left.
        have: usize,
        /// Replicas of some partition.
        want: usize,
        spare: Vec<NodeId>,
    },
    #[error("node {node} is not draining: `cluster add-node` gives a spare node its share")]
    NotDraining { node: NodeId },
    #[error("a node cannot take its own place: name another one, or none")]
    OwnSubstitute,
    #[error("node {node} is draining: cancel that first, or choose another node")]
    SubstituteDrains { node: NodeId },
    #[error("there is no node {node}: `cluster status` shows which there are")]
    UnknownNode { node: NodeId },
}

impl MetadataState {
    /// What to change so that `goal` is reached. Only nodes in `live` get replicas that they do not
    /// have.
    pub fn plan(&self, goal: Goal, live: &BTreeSet<NodeId>) -> Result<Plan, PlanError> {
        let duties = self.planned_duties(goal, live)?;
        let duty = |node: NodeId| {
            let changed = duties.iter().find(|(changed, _)| *changed == node);
            changed.map(|(_, duty)| *duty).or_else(|| self.duty(node))
        };
        let nodes = self.nodes.keys().copied();
        let active: BTreeSet<_> = nodes
            .clone()
            .filter(|node| duty(*node) == Some(NodeDuty::Active))
            .collect();
        let largest = self.placements().map(|placed| placed.wanted().len()).max();
        if let Some(want) = largest.filter(|want| *want > active.len()) {
            let spare = nodes.filter(|node| duty(*node) == Some(NodeDuty::Spare));
            return Err(PlanError::NotEnoughNodes {
                have: active.len(),
                want,
                spare: spare.collect(),
            });
        }
        let mut balance = Balance::new(self, active, live);
        match goal {
            Goal::Replace { with, .. } => balance.leave_inactive(with),
            Goal::Drain(_) => {
                balance.leave_inactive(None);
                balance.even_out();
            }
            Goal::AddNode(_) | Goal::CancelDrain(_) | Goal::Rebalance => {
                balance.leave_inactive(None);
                balance.raise_coordinators(REPLICATION_FACTOR_DEFAULT as usize);
                balance.even_out();
            }
        }
        let moves = balance.into_moves();
        refuse_dead_target(&moves, live)?;
        Ok(Plan {
            placement_version: self.placement_version,
            duties,
            moves,
        })
    }

    /// The duties that are not yet what the goal makes them.
    fn planned_duties(
        &self,
        goal: Goal,
        live: &BTreeSet<NodeId>,
    ) -> Result<Vec<(NodeId, NodeDuty)>, PlanError> {
        let wanted = match goal {
            Goal::Rebalance => Vec::new(),
            Goal::AddNode(node) => {
                self.require_member(node)?;
                vec![(node, NodeDuty::Active)]
            }
            Goal::CancelDrain(node) => {
                if self.require_member(node)? == NodeDuty::Spare {
                    return Err(PlanError::NotDraining { node });
                }
                vec![(node, NodeDuty::Active)]
            }
            Goal::Drain(node) => {
                self.require_member(node)?;
                vec![(node, NodeDuty::Draining)]
            }
            Goal::Replace { dead, with, force } => {
                let known = self.duty(dead);
                known.ok_or(PlanError::UnknownNode { node: dead })?;
                if live.contains(&dead) && !force && known != Some(NodeDuty::Removed) {
                    return Err(PlanError::NodeIsUp { node: dead });
                }
                let mut wanted = vec![(dead, NodeDuty::Removed)];
                if let Some(node) = with {
                    self.require_substitute(node, dead)?;
                    wanted.push((node, NodeDuty::Active));
                }
                wanted
            }
        };
        let wanted = wanted.into_iter();
        Ok(wanted
            .filter(|(node, duty)| self.duty(*node) != Some(*duty))
            .collect())
    }

    fn require_member(&self, node: NodeId) -> Result<NodeDuty, PlanError> {
        match self.duty(node) {
            None => Err(PlanError::UnknownNode { node }),
            Some(NodeDuty::Removed) => Err(PlanError::NodeRemoved { node }),
            Some(duty) => Ok(duty),
        }
    }

    fn require_substitute(&self, node: NodeId, dead: NodeId) -> Result<(), PlanError> {
        if node == dead {
            return Err(PlanError::OwnSubstitute);
        }
        match self.require_member(node)? {
            NodeDuty::Draining => Err(PlanError::SubstituteDrains { node }),
            _ => Ok(()),
        }
    }
}

impl Plan {
    pub fn is_empty(&self) -> bool {
        self.duties.is_empty() && self.moves.is_empty()
    }

    pub fn command(&self) -> MetadataCommand {
        let moves = self.moves.iter();
        MetadataCommand::ChangePlacement {
            placement_version: self.placement_version,
            duties: self.duties.clone(),
            moves: moves
                .map(|planned| (planned.raft_group, planned.to.clone()))
                .collect(),
        }
    }
}

impl PlannedMove {
    /// The nodes that get a replica.
    pub fn added(&self) -> impl Iterator<Item = NodeId> + '_ {
        let to = self.to.iter().copied();
        to.filter(|node| !self.from.contains(node))
    }
}

impl PlanError {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::NodeIsUp { .. }
            | Self::NotDraining { .. }
            | Self::OwnSubstitute
            | Self::SubstituteDrains { .. } => ErrorCode::InvalidArgument,
            Self::NodeIsDown { .. } | Self::NotEnoughNodes { .. } => ErrorCode::NotEnoughNodes,
            Self::NodeRemoved { .. } | Self::UnknownNode { .. } => ErrorCode::UnknownNode,
        }
    }
}

fn refuse_dead_target(moves: &[PlannedMove], live: &BTreeSet<NodeId>) -> Result<(), PlanError> {
    let mut targets = moves.iter().flat_map(PlannedMove::added);
    match targets.find(|node| !live.contains(node)) {
        Some(node) => Err(PlanError::NodeIsDown { node }),
        None => Ok(()),
    }
}

fn not_enough_message(have: usize, want: usize, spare: &[NodeId]) -> String {
    let advice = match spare.first() {
        Some(spare) => format!("add a spare one first, such as node {spare}"),
        None => "start another one with --join, and add it first".to_owned(),
    };
    format!("{want} replicas need {want} active nodes, and {have} would be left: {advice}")
}
