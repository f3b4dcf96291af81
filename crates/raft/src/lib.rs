//! Many Raft groups on one node: the only place that knows openraft, and the links between nodes.
//!
//! ```text
//!   Partition::submit ── propose ── openraft ──┬── LogStore ── journal of the node
//!        (stamps offsets)                      └── Network ─── lanes to the peers
//!   Partition::read ──── positions ── PartitionCell ◄── apply
//! ```
//!
//! Callers see partitions, coordinators and metadata; terms, votes, log indexes and snapshots stay inside. This
//! crate knows neither the public API nor topics: a partition is a Raft group with an id.

mod codec;
mod config;
mod coordinator;
mod group;
mod groups;
mod ledger;
mod log_store;
mod machine;
mod metadata;
mod moving;
mod node;
mod pace;
mod partition;
mod peer;
mod positions;
mod quiescence;
mod rows;
mod standing;
mod ticket;
mod type_config;

pub use codec::DecodeError;
pub use config::{RaftConfig, RaftConfigError};
pub use coordinator::Coordinator;
pub use group::{Leadership, ProposeError, ReplicaProgress};
pub use metadata::Metadata;
pub use moving::MoveStep;
pub use node::{GroupKind, GroupSpec, OpenGroupError, Opened, RaftNode};
pub use partition::{AppendError, Partition};
pub use peer::{ConnectError, Connector, Destination, PeerServer, PeerStream, TcpConnector};
pub use positions::{Batches, Cursor, ReadError};
pub use ticket::{Appended, Submitted, Ticket};

#[cfg(test)]
mod cluster_test;
#[cfg(test)]
mod log_store_test;
#[cfg(test)]
mod moving_test;
#[cfg(test)]
mod quiescence_test;
