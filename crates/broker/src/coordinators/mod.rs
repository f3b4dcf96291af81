//! What consumer groups and jobs have in common: each has one coordinator, which decides about it.
//!
//! ```text
//!   gRPC ── groups, jobs ── route ──┬── here: the coordinator, led by this node
//!                                   └── elsewhere: the same call, passed on to its leader
//!
//!   keeper: on the leader, ends sessions that are silent and distributes partitions
//! ```
//!
//! What must survive is proposed. That a member or an owner is alive is not: what was heard of it is
//! noted in the leader's memory, and a new leader gives everyone a whole session timeout before it
//! believes that one is gone.

mod introduction;
mod keeper;
mod listing;
mod placement;
mod route;
mod sessions;

pub(crate) use introduction::{read_client_name, read_session_timeout};
pub(crate) use keeper::run as run_keeper;
pub(crate) use listing::{Listed, Listing};
pub(crate) use placement::Coordinated;
pub(crate) use route::{ANSWER_TIME, CoordinatorCall, not_leader, serve, without};
pub(crate) use sessions::{Session, Sessions};
