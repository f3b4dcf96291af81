//! Consumer groups: members that share partitions, and the offsets that they commit.
//!
//! Memberships, assignments and offsets are proposed to the group's coordinator; heartbeats are only
//! noted. What that has in common with jobs is in [`crate::coordinators`].

mod commit;
mod describe;
mod membership;
mod messages;
mod rebalance;
mod service;

pub(crate) use rebalance::rebalance;
pub(crate) use service::GroupService;
