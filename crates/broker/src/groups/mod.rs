//! Consumer groups: members that share partitions, and the offsets that they commit.
//!
//! ```text
//!   gRPC ── service ── route ──┬── here: the group's coordinator, led by this node
//!                              └── elsewhere: the same call, passed on to its leader
//!
//!   keeper: on the leader, ends memberships that are silent and distributes partitions
//! ```
//!
//! What must survive is proposed: memberships, assignments, offsets. That a member is alive is not: its
//! heartbeats are noted in the leader's memory, and a new leader gives every member a whole session
//! timeout before it believes that one is gone.

mod commit;
mod coordinators;
mod describe;
mod keeper;
mod membership;
mod messages;
mod rebalance;
mod route;
mod service;
mod sessions;

pub(crate) use keeper::run as run_keeper;
pub(crate) use service::GroupService;
pub(crate) use sessions::Sessions;
