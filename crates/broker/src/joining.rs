//! Tells the cluster that this node has started, until the cluster knows it.
//!
//! Before that, no partition is opened: a replica that has forgotten what it promised, because its
//! data directory is an old copy, must not vote or acknowledge anything, and the metadata group is
//! what tells it from the node's own. Only this node's replica of the metadata group runs earlier,
//! because without it there may be nobody to ask.
//!
//! A node that is to join a running cluster knows no leader at first. It asks the nodes that it was
//! told of to pass on its registration; then the leader of the metadata group takes it in.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_state::metadata::{MetadataCommand, NodeDuty};
use flotilla_types::ErrorCode;
use tokio::time::{Instant, sleep, timeout};

use crate::node::Node;

const ATTEMPT_LIMIT: Duration = Duration::from_secs(10);
/// How long a node may take to pass on what this one asks of it.
const SEED_LIMIT: Duration = Duration::from_secs(5);
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
    tracing::info!(
        version,
        "the cluster knows this node; catching up with its metadata"
    );
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
        duty_if_new: match node.config.join.is_empty() {
            true => NodeDuty::Active,
            false => NodeDuty::Spare,
        },
    };
    if node.metadata.leadership().leader.is_none() {
        match register_elsewhere(node, &command).await {
            Err(error) if error.code.is_retryable() => {
                tracing::info!(%error, "nobody lets this node join yet")
            }
            result => return result,
        }
    }
    let proposed = node
        .propose(&command, Instant::now() + ATTEMPT_LIMIT)
        .await?;
    Ok(proposed.version)
}

/// Asks the nodes that this one was told of, until one knows the leader.
async fn register_elsewhere(node: &Node, command: &MetadataCommand) -> Result<u64, ApiError> {
    let mut nobody = ApiError::new(
        ErrorCode::LeaderNotAvailable,
        "no node of the cluster can be reached that could let this one join",
    );
    for address in &node.config.join {
        let asked = timeout(
            SEED_LIMIT,
            node.propose_through(address, command, SEED_LIMIT),
        );
        match asked.await {
            Ok(Ok(proposed)) => return Ok(proposed.version),
            Ok(Err(error)) if error.code.is_retryable() => nobody = error,
            Ok(Err(error)) => return Err(error),
            Err(_) => {}
        }
    }
    Err(nobody)
}
