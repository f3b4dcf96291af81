//! Tells the cluster that this node has started, until the cluster knows it.
//!
//! Before that, no partition is opened: a replica that has forgotten what it promised, because its
//! data directory is an old copy, must not vote or acknowledge anything, and the metadata group is
//! what tells it from the node's own. Only this node's replica of the metadata group runs earlier,
//! because without it there may be nobody to ask.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_state::metadata::{MetadataCommand, NodeDuty};
use tokio::time::{Instant, sleep};

use crate::node::Node;

const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Registers the node and waits until it has opened all partitions that it had at that moment.
pub(crate) async fn run(node: Arc<Node>) {
    tokio::select! {
        () = node.stop.cancelled() => {}
        () = join(&node) => {}
    }
}

async fn join(node: &Node) {
    let version = loop {
        match register(node).await {
            Ok(version) => break version,
            // Registering twice is the same as once, so an unknown outcome does no harm.
            Err(error) if error.code.is_retryable() => {
                tracing::info!(%error, "cannot join the cluster yet; trying again");
                sleep(PAUSE).await;
            }
            Err(error) => {
                node.fail(format!("the cluster refuses this node: {error}"));
                return;
            }
        }
    };
    if let Err(error) = node.raft.note_registered().await {
        node.fail(format!(
            "cannot note in the data directory that this start is registered: {}",
            error.chain()
        ));
        return;
    }
    node.registered.send_replace(true);
    let mut reconciled = node.reconciled.subscribe();
    // The sender lives in the node.
    let _ = reconciled
        .wait_for(|now| now.version >= Some(version))
        .await;
    tracing::info!(node = %node.id, "the node has joined the cluster");
    node.joined.send_replace(true);
}

/// The version of the metadata in which the node is registered.
async fn register(node: &Node) -> Result<u64, ApiError> {
    let command = MetadataCommand::RegisterNode {
        id: node.id,
        lineage: node.raft.lineage().clone(),
        addresses: node.config.addresses.clone(),
        duty_if_new: NodeDuty::Active,
    };
    let proposed = node
        .propose(&command, Instant::now() + ATTEMPT_LIMIT)
        .await?;
    Ok(proposed.version)
}
