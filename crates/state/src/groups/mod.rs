//! The state machine of a coordinator: consumer groups, their members, which partitions these hold,
//! and the offsets that were committed; and beside them `jobs`, which have nothing to do with groups
//! but that they need the same keeping.
//!
//! Partitions move in two steps, so that two members never read one at a time:
//!
//! ```text
//!              Assign                        Release, Leave, Expire
//!  old member  held (5) ──► revoked (5)      ──► nothing
//!  new member               awaited          ──► held (6)
//! ```
//!
//! The number is the generation in which the member got the partition. An offset commit names it.
//!
//! Invariants, for each group:
//! 1. A partition is held, or being given up, by at most one member.
//! 2. An awaited partition is being given up by another member, and awaited by one only.
//! 3. No two members ever held one partition in one generation.
//!
//! It decides neither who shall have which partitions (it is told so, for example what
//! [`assignment::assign`] says), nor which topics a pattern means, nor when a member was silent for
//! too long: it hears of that.

mod apply;
pub mod assignment;
mod bodies;
mod command;
mod distribution;
mod group;
mod image;
mod jobs;
mod outcome;
mod state;

#[cfg(test)]
mod apply_test;
#[cfg(test)]
mod assignment_test;
#[cfg(test)]
mod distribution_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod test_commands;

pub use command::{CoordinatorCommand, OffsetCommit};
pub use group::{CommittedOffset, Group, Member, Subscription};
pub use jobs::{Job, JobCommand, JobOutcome, JobOwner, JobRejection, Jobs};
pub use outcome::{CommitFault, CoordinatorOutcome, GroupRejection};
pub use state::CoordinatorState;
