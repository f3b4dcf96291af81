//! Hands leaderships to the replicas that are preferred to lead, so that the load is spread again
//! after nodes have gone and come back.
//!
//! Each node looks after what it leads itself, so two nodes never move the same partition. It moves
//! one at a time, and only to a node that has been up for a while and lacks next to nothing. A node that
//! is to give away what it holds does not wait so long.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_state::metadata::{LeaderTransfer, NodeDuty};
use flotilla_types::{NodeId, RaftGroupId};
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::led::Led;
use crate::node::Node;

/// How long one transfer may take: writers wait meanwhile.
const TRANSFER_LIMIT: Duration = Duration::from_secs(2);

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    let Some(every) = node.config.leader_balance() else {
        return;
    };
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut stability = Stability::default();
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            _ = ticks.tick() => {}
        }
        stability.observe(node.raft.connected_peers(), Instant::now());
        let patience = match node.state().duty(node.id) {
            Some(NodeDuty::Draining) => Duration::ZERO,
            _ => node.config.leader_balance_patience(),
        };
        let stable = stability.stable(patience, Instant::now());
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = hand_over(&node, &stable) => {}
        }
    }
}

/// Since when each peer can be reached without a break that was noticed.
#[derive(Default)]
struct Stability {
    since: BTreeMap<NodeId, Instant>,
}

impl Stability {
    fn observe(&mut self, connected: Vec<NodeId>, now: Instant) {
        self.since.retain(|node, _| connected.contains(node));
        for node in connected {
            self.since.entry(node).or_insert(now);
        }
    }

    fn stable(&self, patience: Duration, now: Instant) -> BTreeSet<NodeId> {
        let stable = self.since.iter();
        stable
            .filter(|(_, since)| now.duration_since(**since) >= patience)
            .map(|(node, _)| *node)
            .collect()
    }
}

async fn hand_over(node: &Node, stable: &BTreeSet<NodeId>) {
    for LeaderTransfer { raft_group, to, .. } in transfers(node, stable) {
        let Some(led) = Led::here(node, raft_group) else {
            continue;
        };
        if !is_ready(&led, to) {
            continue;
        }
        if !led.transfer_leader(to, TRANSFER_LIMIT).await {
            tracing::debug!(group = %raft_group, %to, "the leadership did not move; later again");
            return;
        }
        tracing::debug!(group = %raft_group, %to, "handed leadership to the preferred replica");
    }
}

/// Of what this node leads, what others should.
fn transfers(node: &Node, stable: &BTreeSet<NodeId>) -> Vec<LeaderTransfer> {
    let state = node.state();
    let led: BTreeMap<RaftGroupId, NodeId> = state
        .placements()
        .filter(|placed| Led::here(node, placed.raft_group).is_some())
        .map(|placed| (placed.raft_group, node.id))
        .collect();
    state.leader_transfers(&led, stable)
}

fn is_ready(led: &Led, to: NodeId) -> bool {
    let mut progress = led.progress().into_iter();
    progress.any(|replica| replica.node == to && replica.is_voter && replica.has_caught_up())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    #[test]
    fn a_node_is_stable_only_after_a_while_without_a_break() {
        let node = NodeId::new(2);
        let start = Instant::now();
        let mut stability = Stability::default();
        stability.observe(vec![node], start);
        assert!(stability.stable(PATIENCE, start + PATIENCE / 2).is_empty());

        stability.observe(Vec::new(), start + PATIENCE / 2);
        stability.observe(vec![node], start + PATIENCE);
        let stable = stability.stable(PATIENCE, start + PATIENCE + PATIENCE / 2);
        assert!(stable.is_empty(), "it went away in between");
        let stable = stability.stable(PATIENCE, start + 2 * PATIENCE);
        assert_eq!(stable, BTreeSet::from([node]));
    }
}
