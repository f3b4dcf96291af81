//! What a run needs to know of the cluster that it torments. Whoever keeps the processes, their disks and
//! their network implements it.

use rand::rngs::StdRng;

use crate::fault::{Fault, FaultKind};

/// What was really done when a fault began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FaultNote {
    /// One line for people, such as `killed node 2`.
    pub what: String,
}

impl FaultNote {
    pub fn new(what: impl Into<String>) -> Self {
        Self { what: what.into() }
    }
}

/// A cluster on which faults can be begun and ended. Nodes are numbered from 0.
pub trait World: Send + Sync {
    /// Where clients begin, as `host:port`, one for each node.
    fn client_addresses(&self) -> Vec<String>;

    /// Where HTTP is spoken, one for each node.
    fn http_addresses(&self) -> Vec<String>;

    fn node_count(&self) -> usize;

    /// What this world can do to the cluster.
    fn fault_kinds(&self) -> Vec<FaultKind>;

    /// Begins a fault. It returns when the fault is there, and not when it is over. An error means that
    /// nothing happened, such as for a leader when there is none.
    fn begin(
        &self,
        fault: &Fault,
        rng: &mut StdRng,
    ) -> impl Future<Output = anyhow::Result<FaultNote>> + Send;

    /// Takes a fault back that was begun. What has ended by itself is no error.
    fn end(&self, fault: &Fault) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Takes all faults back, and starts every node that does not run.
    fn heal_all(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// Waits until every node says that it is ready, or fails after a time that is long enough.
    fn wait_ready(&self) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// The nodes and links as they are now, and what they have met, for people to read.
    fn describe(&self) -> impl Future<Output = String> + Send;

    /// Where nodes panicked or stopped although nobody stopped them, one line each.
    fn panics(&self) -> impl Future<Output = Vec<String>> + Send;
}
