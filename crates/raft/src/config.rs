//! Timing of the Raft groups and of the links between nodes.

use std::time::Duration;

/// How the groups of one node behave. All nodes of a cluster should agree.
#[derive(Clone, Debug)]
pub struct RaftConfig {
    /// How often a leader tells its followers that it is there. Milliseconds; default 150.
    pub heartbeat_ms: u64,
    /// Shortest random part of an election timeout. Milliseconds; default 450.
    pub election_min_ms: u64,
    /// Longest random part of an election timeout, and how long followers stay loyal to a leader
    /// that went silent. Milliseconds; default 750.
    pub election_max_ms: u64,
    /// How long replicas other than the preferred leader wait before they bring a new group to
    /// life themselves. Milliseconds; default 3,000.
    pub birth_patience_ms: u64,
    /// How long a peer may leave a replication request unanswered. Milliseconds; default 5,000.
    pub replication_timeout_ms: u64,
    /// How often state that changed is handed to storage. Milliseconds; default 1,000.
    pub save_interval_ms: u64,
    /// How long nothing must happen in a group before its timers stand still. Milliseconds; default
    /// 250. `None` keeps all timers running.
    pub quiesce_after_ms: Option<u64>,
    /// How fast this node sends entries that it has to read from disk to followers that catch up, at
    /// the most and all groups together; down to a sixth of it while the node is overloaded, and always
    /// twice what the node takes in. Bytes per second; 0 is without a limit; default 33,554,432.
    pub catch_up_bytes_per_second: u64,
}

impl Default for RaftConfig {
    fn default() -> Self {
        Self {
            heartbeat_ms: 150,
            election_min_ms: 450,
            election_max_ms: 750,
            birth_patience_ms: 3_000,
            replication_timeout_ms: 5_000,
            save_interval_ms: 1_000,
            quiesce_after_ms: Some(250),
            catch_up_bytes_per_second: 32 << 20,
        }
    }
}

/// A timing that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the raft timing cannot work: {reason}")]
pub struct RaftConfigError {
    pub reason: String,
}

impl RaftConfig {
    /// How long a leader may hear from no majority before others doubt that it leads: followers have
    /// been free to elect another one for as long as an election takes.
    pub(crate) fn leadership_doubt(&self) -> Duration {
        Duration::from_millis(2 * self.election_max_ms)
    }

    /// How often one node asks another whether it is there.
    pub(crate) fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_ms)
    }

    /// How long a node may leave a ping unanswered before the groups that it leads look around.
    pub(crate) fn silence_limit(&self) -> Duration {
        Duration::from_millis(self.election_max_ms)
    }

    pub(crate) fn quiesce_after(&self) -> Option<Duration> {
        self.quiesce_after_ms.map(Duration::from_millis)
    }

    pub(crate) fn replication_timeout(&self) -> Duration {
        Duration::from_millis(self.replication_timeout_ms)
    }

    /// openraft's own configuration, for a group named `name` in its messages.
    pub(crate) fn to_openraft(&self, name: &str) -> Result<openraft::Config, RaftConfigError> {
        let config = openraft::Config {
            cluster_name: name.to_owned(),
            heartbeat_interval: self.heartbeat_ms,
            // A follower that just acknowledged records needs no heartbeat on top.
            heartbeat_min_interval: Some(self.heartbeat_ms / 2),
            election_timeout_min: self.election_min_ms,
            election_timeout_max: self.election_max_ms,
            enable_pre_vote: Some(true),
            // A restarted leader must not go on without an election: apply is not synced.
            enable_leader_restore: Some(false),
            // A node sends no heartbeats to one that does not answer pings, so nobody stays loyal to a
            // leader that cannot hear him. The leader of a quiet group must be able to wake up.
            quorum_loss_probe_interval: None,
            // Snapshots are checkpoints at the purge point; only we know when there is a new one.
            snapshot_policy: openraft::SnapshotPolicy::Never,
            max_in_snapshot_log_to_keep: u64::MAX,
            purge_batch_size: 1,
            install_snapshot_timeout: 10_000,
            max_payload_entries: 1_024,
            max_append_entries: Some(4_096),
            replication_lag_threshold: 100,
            log_stage_capacity: Some(1),
            api_channel_size: Some(4_096),
            backoff: "50ms 100ms 200ms 400ms 1s 1s 1s 1s".to_owned(),
            ..openraft::Config::default()
        };
        config.validate().map_err(|error| RaftConfigError {
            reason: error.to_string(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work_and_nonsense_is_refused() {
        assert!(RaftConfig::default().to_openraft("test").is_ok());
        let upside_down = RaftConfig {
            election_min_ms: 900,
            ..RaftConfig::default()
        };
        assert!(upside_down.to_openraft("test").is_err());
    }
}
