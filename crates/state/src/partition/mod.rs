//! The state machine of one partition: which batch got which offsets, and what may be forgotten.
//!
//! ```text
//!              purge point            log start              next offset
//!                   |                     |                       |
//!  offsets ---------+----------+----------+---------+-------------+
//!            purged | interval | interval | interval| open interval
//!                   C1         C2         C3        C4 (checkpoints)
//! ```
//!
//! The log of a partition is divided into intervals that end at *checkpoints*: entries chosen from
//! what the log holds, so that every replica divides alike. Retention moves the log start by a
//! replicated command, and the log is purged only up to a checkpoint that lies at or below the log
//! start. The image of the state at a checkpoint is the Raft snapshot: small, after which a
//! follower gets every retained record by ordinary replication.
//!
//! This module does not hold records, does not know where bytes lie, and never reads a clock.

mod admission;
mod checkpoint;
mod command;
mod image;
mod message_ids;
mod outcome;
mod owners;
mod producers;
mod retention;
mod state;

#[cfg(test)]
mod admission_test;
#[cfg(test)]
mod command_test;
#[cfg(test)]
mod message_ids_test;
#[cfg(test)]
mod model_test;
#[cfg(test)]
mod owners_test;
#[cfg(test)]
mod producers_test;
#[cfg(test)]
mod retention_test;
#[cfg(test)]
mod state_test;
#[cfg(test)]
mod test_batches;

pub use admission::{Admission, IdAdmission, PendingBatches};
pub use checkpoint::Checkpoint;
pub use command::{
    Append, IdentifiedAppend, PartitionCommand, Stamp, append_time, batch_bytes, encode_append,
    encode_identified_append,
};
pub use message_ids::{IdentifiedRecord, KnownRecord};
pub use outcome::{Applied, Change, Outcome, Rejection};
pub use retention::RetentionStep;
pub use state::PartitionState;
