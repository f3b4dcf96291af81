//! The state machine of the metadata group: the nodes, the topics and where their partitions live.
//!
//! Every node holds a copy of this state and routes by it. Placement is computed while a command is
//! applied, from nothing but the state, so that it comes out alike everywhere.
//!
//! It knows which replica is preferred to lead, not which one leads: that changes without a command,
//! and each Raft group knows it best. It does not know which nodes are alive either.

mod apply;
mod command;
mod image;
mod leader_balance;
mod outcome;
mod placement;
mod state;
mod topic;

#[cfg(test)]
mod apply_test;
#[cfg(test)]
mod leader_balance_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod placement_test;
#[cfg(test)]
mod test_commands;

pub use command::MetadataCommand;
pub use leader_balance::LeaderTransfer;
pub use outcome::{Applied, MetadataChange, MetadataOutcome, MetadataRejection};
pub use state::MetadataState;
pub use topic::{Node, Partition, SchemaVersion, Topic};
