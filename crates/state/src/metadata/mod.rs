//! The state machine of the metadata group: the nodes, the topics and where their partitions live.
//!
//! Every node holds a copy of this state and routes by it. The placement of what is new is computed while
//! a command is applied, from nothing but the state, so that it comes out alike everywhere. Where
//! replicas move to is planned before, for exactly one version of the placement.
//!
//! Access rules and keys are in it as well: it keeps them, and asks nobody for them.
//!
//! It knows which replica is preferred to lead, not which one leads: that changes without a command,
//! and each Raft group knows it best. It does not know which nodes are alive either.

mod access;
mod access_image;
mod apply;
mod balance;
mod command;
mod image;
mod leader_balance;
mod moves;
mod node;
mod outcome;
mod placement;
mod planner;
mod state;
mod topic;
mod voters;

#[cfg(test)]
mod access_test;
#[cfg(test)]
mod apply_test;
#[cfg(test)]
mod leader_balance_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod moves_test;
#[cfg(test)]
mod placement_test;
#[cfg(test)]
mod planner_test;
#[cfg(test)]
mod test_commands;
#[cfg(test)]
mod voters_test;

pub use command::MetadataCommand;
pub use flotilla_types::NodeDuty;
pub use leader_balance::LeaderTransfer;
pub use node::Node;
pub use outcome::{Applied, MetadataChange, MetadataOutcome, MetadataRejection};
pub use planner::{Goal, Plan, PlanError, PlannedMove};
pub use state::MetadataState;
pub use topic::{Partition, SchemaVersion, Topic};
