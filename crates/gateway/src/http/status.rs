//! What a node says about itself.

use std::time::Duration;

use flotilla_types::{ClusterId, NodeId};

/// Asked for every health request, so it must answer at once and from memory.
pub trait NodeStatus: Send + Sync + 'static {
    fn report(&self) -> StatusReport;
}

/// A moment's picture of the node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusReport {
    pub node: NodeId,
    pub cluster: ClusterId,
    pub cluster_name: String,
    /// Version of the program.
    pub version: &'static str,
    pub uptime: Duration,
    /// Why the node should get no traffic, one sentence for each reason. Empty when it is ready.
    pub not_ready: Vec<String>,
    pub checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    pub name: &'static str,
    pub outcome: CheckOutcome,
    /// What was found, for a human.
    pub detail: String,
}

/// What a check found, from best to worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckOutcome {
    Healthy,
    /// The node serves, but somebody should look at it.
    Degraded,
    /// The node does not do its work.
    Unhealthy,
}

impl CheckOutcome {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

impl StatusReport {
    /// The worst of all checks.
    pub fn outcome(&self) -> CheckOutcome {
        let outcomes = self.checks.iter().map(|check| check.outcome);
        outcomes.max().unwrap_or(CheckOutcome::Healthy)
    }

    pub fn is_ready(&self) -> bool {
        self.not_ready.is_empty()
    }
}
