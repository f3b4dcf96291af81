//! Where a consumer group is coordinated.

use flotilla_protocol::ApiError;
use flotilla_raft::Coordinator;
use flotilla_state::metadata::{MetadataCommand, Partition};
use flotilla_types::{ErrorCode, GroupId};
use tokio::time::Instant;

use crate::node::Node;

impl Node {
    /// The placement of a group's coordinator. The first group of a cluster makes all of them.
    pub(super) async fn coordinator_of(
        &self,
        group: &GroupId,
        deadline: Instant,
    ) -> Result<Partition, ApiError> {
        if let Some(placed) = self.state().coordinator_of(group) {
            return Ok(placed.clone());
        }
        let command = MetadataCommand::CreateCoordinators {
            replication_factor: self.default_replication_factor(),
        };
        let proposed = match self.propose(&command, deadline).await {
            // The nodes are still on their way.
            Err(error) if error.code == ErrorCode::NotEnoughNodes => {
                let message = format!("the coordinators have no place yet: {error}");
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
            proposed => proposed?,
        };
        self.wait_for_version(proposed.version, deadline).await?;
        let state = self.state();
        let placed = state.coordinator_of(group).cloned();
        placed.ok_or_else(|| no_leader(group))
    }

    /// The coordinators of which this node has opened a replica.
    pub(super) fn coordinators_here(&self) -> Vec<Coordinator> {
        let state = self.state();
        let here = state.coordinators_on(self.id);
        here.filter_map(|placed| self.raft.coordinator(placed.raft_group))
            .collect()
    }
}

pub(super) fn no_leader(group: &GroupId) -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        format!(
            "the coordinator of consumer group {group} has no leader that can be reached: try again \
             when a majority of its replicas is up"
        ),
    )
}
