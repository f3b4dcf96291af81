//! Lets old records go, in the partitions that this node leads.
//!
//! Partitions are checked one after the other, so that a node with thousands of them spreads its
//! proposals; a leader that does not get to it leaves it to the next round.

use std::sync::Arc;

use flotilla_raft::Partition;
use flotilla_types::TopicConfig;
use tokio::time::{MissedTickBehavior, interval};

use crate::node::Node;

/// Steps in one partition and round: more would keep the others waiting.
const STEPS_MAX: usize = 64;

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let mut ticks = interval(node.config.retention_check());
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = check_all(&node) => {}
        }
    }
}

async fn check_all(node: &Node) {
    let mut led_count = 0_u32;
    for (partition, config) in led_partitions(node) {
        led_count += 1;
        retain(node, &partition, &config).await;
    }
    node.meters.led_partitions.set(led_count);
}

fn led_partitions(node: &Node) -> Vec<(Partition, TopicConfig)> {
    let state = node.state();
    let here = state.partitions_on(node.id);
    here.filter_map(|(id, placed)| {
        let partition = node.raft.partition(placed.raft_group)?;
        let config = state.topic(id.topic)?.config;
        partition.is_leader().then_some((partition, config))
    })
    .collect()
}

async fn retain(node: &Node, partition: &Partition, config: &TopicConfig) {
    for _ in 0..STEPS_MAX {
        match partition.retain(node.now(), config).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // Another leader goes on with it.
                tracing::debug!(group = %partition.raft_group(), %error, "cannot let records go");
                return;
            }
        }
    }
}
