//! What the node says of itself on the HTTP port.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flotilla_gateway::{Check, CheckOutcome, NodeStatus, StatusReport};
use flotilla_raft::RaftNode;
use flotilla_storage::{SealingTrouble, Storage, WritePressure};
use flotilla_types::{ClusterId, NodeId, RaftGroupId};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::config::ServerConfig;

/// A journal write that takes longer than this is worth a look.
const SLOW_WRITE: Duration = Duration::from_secs(1);

const NO_LEADER: &str = "the metadata group has no leader that a majority of its nodes confirms";

pub(super) struct Status {
    node: NodeId,
    cluster: ClusterId,
    cluster_name: String,
    started: Instant,
    phase: RwLock<Phase>,
}

enum Phase {
    /// What is being done.
    Starting(&'static str),
    Running(Arc<Parts>),
    Stopping,
}

/// What can be asked while the node runs.
pub(super) struct Parts {
    pub(super) storage: Storage,
    pub(super) raft: Arc<RaftNode>,
    pub(super) joined: watch::Receiver<bool>,
}

impl Status {
    pub(super) fn new(config: &ServerConfig) -> Self {
        Self {
            node: config.node,
            cluster: config.cluster.id,
            cluster_name: config.cluster.name.clone(),
            started: Instant::now(),
            phase: RwLock::new(Phase::Starting("reading settings")),
        }
    }

    pub(super) fn starting(&self, step: &'static str) {
        tracing::info!("{step}");
        *self.phase.write() = Phase::Starting(step);
    }

    pub(super) fn running(&self, parts: Parts) {
        *self.phase.write() = Phase::Running(Arc::new(parts));
    }

    pub(super) fn stopping(&self) {
        *self.phase.write() = Phase::Stopping;
    }

    fn look(&self) -> (Vec<String>, Vec<Check>) {
        let parts = match &*self.phase.read() {
            Phase::Starting(step) => {
                return (vec![format!("the node is starting: {step}")], vec![]);
            }
            Phase::Stopping => return (vec!["the node is stopping".to_owned()], vec![]),
            Phase::Running(parts) => Arc::clone(parts),
        };
        let leader = parts.raft.confirmed_leadership(RaftGroupId::METADATA);
        let leader = leader.and_then(|leadership| leadership.leader);
        let mut not_ready = Vec::new();
        if !*parts.joined.borrow() {
            not_ready.push("the node has not joined the cluster yet".to_owned());
        }
        if leader.is_none() {
            not_ready.push(NO_LEADER.to_owned());
        }
        let checks = vec![
            check_disk(&parts.storage),
            check_sealing(parts.storage.sealing_trouble()),
            check_journal(parts.storage.stalled_for()),
            check_replicas(&parts.raft.parked_replicas()),
            check_peers(
                parts.raft.connected_peers().len(),
                parts.raft.known_peers().len(),
            ),
            check_metadata(leader, self.node),
        ];
        (not_ready, checks)
    }
}

impl NodeStatus for Status {
    fn report(&self) -> StatusReport {
        let (not_ready, checks) = self.look();
        StatusReport {
            node: self.node,
            cluster: self.cluster,
            cluster_name: self.cluster_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            uptime: self.started.elapsed(),
            not_ready,
            checks,
        }
    }
}

fn check_disk(storage: &Storage) -> Check {
    let free_mib = storage.usage().disk_free_bytes >> 20;
    let (outcome, detail) = match storage.write_pressure() {
        WritePressure::None => (CheckOutcome::Healthy, format!("{free_mib} MiB are free")),
        WritePressure::JournalFull => {
            let detail = "the journal is far over its budget, so producers wait".to_owned();
            (CheckOutcome::Degraded, detail)
        }
        WritePressure::DiskFull => {
            let detail = format!("{free_mib} MiB are free, so producers are refused");
            (CheckOutcome::Degraded, detail)
        }
    };
    Check {
        name: "disk",
        outcome,
        detail,
    }
}

fn check_sealing(trouble: Option<SealingTrouble>) -> Check {
    let (outcome, detail) = match trouble {
        None => (
            CheckOutcome::Healthy,
            "records move from the journal into segments".to_owned(),
        ),
        Some(trouble) => {
            let seconds = trouble.failing_for.as_secs();
            let detail = format!("failing for {seconds} s: {}", trouble.cause);
            (CheckOutcome::Degraded, detail)
        }
    };
    Check {
        name: "sealing",
        outcome,
        detail,
    }
}

fn check_journal(stalled: Duration) -> Check {
    let millis = stalled.as_millis();
    let (outcome, detail) = if stalled < SLOW_WRITE {
        (CheckOutcome::Healthy, "no write is waiting long".to_owned())
    } else {
        (
            CheckOutcome::Degraded,
            format!("a write has been waiting for {millis} ms"),
        )
    };
    Check {
        name: "journal",
        outcome,
        detail,
    }
}

fn check_replicas(parked: &[RaftGroupId]) -> Check {
    let (outcome, detail) = if parked.is_empty() {
        (CheckOutcome::Healthy, "no replica is damaged".to_owned())
    } else {
        let groups: Vec<_> = parked.iter().map(ToString::to_string).collect();
        let detail = format!(
            "{} replicas are damaged and being rebuilt from other nodes: raft groups {}",
            parked.len(),
            groups.join(", ")
        );
        (CheckOutcome::Degraded, detail)
    };
    Check {
        name: "replicas",
        outcome,
        detail,
    }
}

/// `nodes` counts this one too, as does the majority.
fn check_peers(connected: usize, known: usize) -> Check {
    let nodes = known + 1;
    let up = (connected + 1).min(nodes);
    let outcome = if up == nodes {
        CheckOutcome::Healthy
    } else if connected > 0 {
        // Whether those who are missing make a majority depends on which they are: `metadata` tells.
        CheckOutcome::Degraded
    } else {
        CheckOutcome::Unhealthy
    };
    Check {
        name: "peers",
        outcome,
        detail: format!("{up} of {nodes} nodes are connected"),
    }
}

fn check_metadata(leader: Option<NodeId>, own: NodeId) -> Check {
    let (outcome, detail) = match leader {
        Some(leader) if leader == own => (CheckOutcome::Healthy, "this node leads".to_owned()),
        Some(leader) => (CheckOutcome::Healthy, format!("node {leader} leads")),
        None => (CheckOutcome::Unhealthy, NO_LEADER.to_owned()),
    };
    Check {
        name: "metadata",
        outcome,
        detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_reaches_nobody_is_unhealthy() {
        assert_eq!(check_peers(2, 2).outcome, CheckOutcome::Healthy);
        assert_eq!(check_peers(2, 6).outcome, CheckOutcome::Degraded);
        assert_eq!(check_peers(1, 2).outcome, CheckOutcome::Degraded);
        assert_eq!(check_peers(0, 2).outcome, CheckOutcome::Unhealthy);
        assert_eq!(check_peers(0, 0).outcome, CheckOutcome::Healthy);
        assert_eq!(check_peers(0, 1).outcome, CheckOutcome::Unhealthy);
    }

    #[test]
    fn a_node_that_knows_no_metadata_leader_is_unhealthy() {
        let own = NodeId::new(1);
        assert_eq!(check_metadata(None, own).outcome, CheckOutcome::Unhealthy);
        assert_eq!(check_metadata(Some(own), own).detail, "this node leads");
        assert_eq!(
            check_metadata(Some(NodeId::new(2)), own).detail,
            "node 2 leads"
        );
    }

    #[test]
    fn a_slow_disk_shows() {
        assert_eq!(check_journal(Duration::ZERO).outcome, CheckOutcome::Healthy);
        assert_eq!(
            check_journal(Duration::from_secs(2)).outcome,
            CheckOutcome::Degraded
        );
    }
}
