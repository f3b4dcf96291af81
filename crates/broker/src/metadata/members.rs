//! Who votes in the metadata group and who only follows it, kept by its leader.
//!
//! Every node of the cluster follows the metadata. Who of them votes, metadata itself says.

use std::sync::Arc;
use std::time::Duration;

use flotilla_state::metadata::{MetadataState, NodeDuty};
use flotilla_types::NodeId;
use tokio::time::{sleep, timeout};

use crate::node::Node;

/// Between two steps.
const PAUSE: Duration = Duration::from_millis(250);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_secs(5);

/// Runs until the node stops.
pub(crate) async fn run(node: Arc<Node>) {
    loop {
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = sleep(PAUSE) => {}
        }
        tokio::select! {
            () = node.stop.cancelled() => return,
            // What it comes to is seen at the next look.
            _ = timeout(STEP_LIMIT, keep_members(&node)) => {}
        }
    }
}

async fn keep_members(node: &Node) {
    let metadata = &node.metadata;
    // A leader that has just been elected may not know all nodes yet.
    if metadata.leadership().leader != Some(node.id) || metadata.wait_settled().await.is_err() {
        return;
    }
    let (voters, learners) = members(&node.state(), &metadata.lasting_voters());
    if !metadata.has_replicas(&voters, &learners) {
        metadata.move_replicas(&voters, &learners).await;
    }
}

/// Voters and learners. Those who vote already come first, because they can take over at once.
fn members(state: &MetadataState, current: &[NodeId]) -> (Vec<NodeId>, Vec<NodeId>) {
    let mut voters = state.wanted_metadata_voters(current);
    voters.sort_by_key(|node| (!current.contains(node), *node));
    let others = state.nodes().filter(|node| {
        let follows = node.duty != NodeDuty::Removed;
        follows && !voters.contains(&node.id)
    });
    let learners = others.map(|node| node.id).collect();
    (voters, learners)
}
