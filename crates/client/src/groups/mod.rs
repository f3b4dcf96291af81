//! Reads as a member of a consumer group: the members share the partitions of the topics, and the
//! group remembers how far each was processed.
//!
//! ```text
//!   coordinator <- heartbeats -> session task -> assignment -> poll -> Consumer of the partitions
//!                                             <- releases <-
//! ```
//!
//! [`holdings`] decides what is read, committed and released; the session keeps the membership;
//! [`GroupConsumer`] carries out what they say. Which member gets what is the coordinator's choice.

mod assignment;
mod attention;
mod config;
mod group_consumer;
mod holdings;
#[cfg(test)]
mod holdings_test;
pub(crate) mod offsets;
mod session;

pub(crate) use assignment::Assignment;
pub use assignment::HeldPartition;
pub use config::{GroupConfig, Subscription};
pub use group_consumer::GroupConsumer;
pub use offsets::CommittedOffset;
