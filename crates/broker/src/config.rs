//! What a node can be told about its work for clients.

use std::time::Duration;

use flotilla_types::limits::NODE_PRODUCE_BYTES_IN_FLIGHT_MAX;
use flotilla_types::{ClusterId, NodeAddresses};

use crate::access::AuthConfig;

/// Configuration of one node's broker.
#[derive(Clone, Debug)]
pub struct BrokerConfig {
    /// Where to ask to be taken into a running cluster: addresses of its nodes for their peers. Empty for
    /// a node that the cluster is born with.
    pub join: Vec<String>,
    /// Who is let in. `None` lets everybody in and allows everything.
    pub auth: Option<AuthConfig>,
    /// The cluster that the data directory belongs to.
    pub cluster: ClusterId,
    /// Where clients and peers reach this node: what other nodes and clients are told.
    pub addresses: NodeAddresses,
    /// Bytes of produce requests that are held before the node answers `OVERLOADED`. Bytes, at
    /// least one message (16,777,216); default 268,435,456.
    pub produce_bytes_in_flight_max: usize,
    /// How often the partitions that this node leads are checked for records that may go.
    /// Milliseconds, at least 1; default 10,000.
    pub retention_check_ms: u64,
    /// How often leaderships are handed to the replicas that are preferred to lead. `None` leaves
    /// them where they are. Milliseconds, at least 1; default 5,000.
    pub leader_balance_ms: Option<u64>,
    /// How long a node must have been up before leaderships are handed to it. Milliseconds;
    /// default 10,000.
    pub leader_balance_patience_ms: u64,
    /// Most partitions led by this node whose replicas move at a time. At least 1; default 4.
    pub moves_max: usize,
    /// How long produce requests that were taken may still run when the node stops. Milliseconds;
    /// default 5,000.
    pub shutdown_limit_ms: u64,
}

impl BrokerConfig {
    /// The defaults, for what can have one.
    pub fn new(cluster: ClusterId, addresses: NodeAddresses) -> Self {
        Self {
            join: Vec::new(),
            auth: None,
            cluster,
            addresses,
            produce_bytes_in_flight_max: NODE_PRODUCE_BYTES_IN_FLIGHT_MAX,
            retention_check_ms: 10_000,
            leader_balance_ms: Some(5_000),
            leader_balance_patience_ms: 10_000,
            moves_max: 4,
            shutdown_limit_ms: 5_000,
        }
    }

    pub(crate) fn retention_check(&self) -> Duration {
        Duration::from_millis(self.retention_check_ms.max(1))
    }

    pub(crate) fn leader_balance(&self) -> Option<Duration> {
        let interval = self.leader_balance_ms?;
        Some(Duration::from_millis(interval.max(1)))
    }

    pub(crate) fn leader_balance_patience(&self) -> Duration {
        Duration::from_millis(self.leader_balance_patience_ms)
    }

    pub(crate) fn shutdown_limit(&self) -> Duration {
        Duration::from_millis(self.shutdown_limit_ms)
    }
}
