//! The client against nodes that fail on purpose.

#![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

mod admin;
mod consume;
mod fake_cluster;
mod fake_groups;
mod fake_jobs;
mod fake_node;
mod groups;
mod jobs;
mod partition_log;
mod produce;
mod produce_chaos;
mod time_limits;
