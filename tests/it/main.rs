//! The integration tests, in one binary.
//!
//! Apart from `tidy`, each file tells one story of a cluster of real processes, as its users see it.
//! What one node does by itself with its settings, ports and directory is tested beside the binary.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a story that cannot go on says so by failing, and is told in one piece"
)]

mod access;
mod all_nodes_killed_at_once;
mod any_node_serves;
mod bad_batches;
mod broken_requests;
mod command_line;
mod consumer_groups;
mod damaged_replica;
mod disk_full;
mod doors;
mod elastic_cluster;
mod fenced_owners;
mod follower_away;
mod graceful_stop;
mod group_fencing;
mod http_broken_bodies;
mod http_failover;
mod http_manage;
mod http_publish;
mod http_read;
mod http_schemas;
mod jobs;
mod leader_killed;
mod majority_lost;
mod manifests;
mod message_ids;
mod offsets_out_of_range;
mod raw_api;
mod records_deleted;
mod records_past_their_age;
mod restart_with_many;
mod schemas;
mod single_node;
mod text_failover;
mod text_port;
mod tidy;
mod tls;
mod tokens;
mod topics;
mod topics_admin;
mod topics_as_code;
mod wiped_node;
