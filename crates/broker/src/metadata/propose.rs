//! Proposals to the metadata group, from any node, and catching up with what it has decided.

use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::ApiError;
use flotilla_protocol::internal::v1 as internal;
use flotilla_protocol::internal::v1::metadata_link_client::MetadataLinkClient;
use flotilla_protocol::internal::v1::propose_response::Outcome;
use flotilla_raft::ProposeError;
use flotilla_state::metadata::{MetadataCommand, MetadataOutcome};
use flotilla_types::{ErrorChain, ErrorCode, NodeId, ProducerId, TopicId};
use tokio::time::{Instant, sleep, timeout_at};

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

/// Between two attempts to find the leader.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a node asks whether it knows less than the leader.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// A command that was applied.
#[derive(Clone, Debug)]
pub(crate) struct Proposed {
    /// Of the metadata after it.
    pub(crate) version: u64,
    pub(crate) accepted: Accepted,
}

#[derive(Clone, Debug)]
pub(crate) enum Accepted {
    NodeRegistered,
    Topic(TopicId),
    ProducerIds(Range<ProducerId>),
    Coordinators,
    Schema {
        version: u32,
    },
    Together,
    Placement,
    MoveFinished,
    /// The group is not moving to these replicas, or not any more, or it is gone.
    NotMoving,
    Access {
        granted: u32,
        revoked: u32,
    },
    KeyAdded,
    KeyRemoved,
}

impl Node {
    /// Proposes a command wherever the leader is. Tries again as long as it surely was not applied
    /// and there is time.
    pub(crate) async fn propose(
        &self,
        command: &MetadataCommand,
        deadline: Instant,
    ) -> Result<Proposed, ApiError> {
        loop {
            let leader = self.metadata_leader(deadline).await?;
            let result = if leader == self.id {
                self.propose_here(command, deadline).await
            } else {
                self.propose_at(leader, command, deadline).await
            };
            match result {
                Err(error) if is_leader_missing(&error) && Instant::now() + PAUSE < deadline => {
                    sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    /// Proposes a command if this node leads the metadata group.
    pub(crate) async fn propose_here(
        &self,
        command: &MetadataCommand,
        deadline: Instant,
    ) -> Result<Proposed, ApiError> {
        let outcome = match timeout_at(deadline, self.metadata.propose(command)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => return Err(self.not_proposed(&error)),
            Err(_) => {
                let message = "the nodes did not agree in time: look whether it happened";
                return Err(ApiError::new(ErrorCode::Timeout, message));
            }
        };
        let accepted = match outcome {
            MetadataOutcome::NodeRegistered => Accepted::NodeRegistered,
            MetadataOutcome::TopicCreated { id }
            | MetadataOutcome::TopicAltered { id }
            | MetadataOutcome::PartitionsAdded { id, .. }
            | MetadataOutcome::TopicDeleted { id } => Accepted::Topic(id),
            MetadataOutcome::ProducerIdsAllocated { ids } => Accepted::ProducerIds(ids),
            MetadataOutcome::CoordinatorsCreated => Accepted::Coordinators,
            MetadataOutcome::SchemaRegistered { version, .. } => Accepted::Schema { version },
            MetadataOutcome::DoneTogether => Accepted::Together,
            MetadataOutcome::PlacementChanged => Accepted::Placement,
            MetadataOutcome::MoveFinished => Accepted::MoveFinished,
            MetadataOutcome::NotMoving => Accepted::NotMoving,
            MetadataOutcome::AccessChanged { granted, revoked } => {
                Accepted::Access { granted, revoked }
            }
            MetadataOutcome::KeyAdded => Accepted::KeyAdded,
            MetadataOutcome::KeyRemoved => Accepted::KeyRemoved,
            MetadataOutcome::Rejected(rejection) => {
                return Err(errors::from_metadata_rejection(&rejection));
            }
        };
        Ok(Proposed {
            // What was applied is published before its proposer hears of it.
            version: self.state().version(),
            accepted,
        })
    }

    async fn propose_at(
        &self,
        leader: NodeId,
        command: &MetadataCommand,
        deadline: Instant,
    ) -> Result<Proposed, ApiError> {
        let channel = self.peers.channel(leader).await?;
        let limit = deadline.saturating_duration_since(Instant::now());
        let request = self.propose_request(command);
        let request = Origin::default().pass_on(request, self.peers.cluster(), limit);
        match MetadataLinkClient::new(channel).propose(request).await {
            Ok(response) => read_response(response.into_inner()),
            Err(status) => Err(self.peers.failed(leader, &status)),
        }
    }

    /// Lets whichever node listens for its peers at `address` propose a command, wherever the leader is.
    pub(crate) async fn propose_through(
        &self,
        address: &str,
        command: &MetadataCommand,
        limit: Duration,
    ) -> Result<Proposed, ApiError> {
        let channel = self.raft.connect_to(address).await;
        let channel = channel.map_err(|error| {
            let message = format!("try again in a moment: {}", ErrorChain(&error));
            ApiError::new(ErrorCode::LeaderNotAvailable, message)
        })?;
        // As a client would: only such a call is passed on.
        let mut request = tonic::Request::new(self.propose_request(command));
        request.set_timeout(limit);
        match MetadataLinkClient::new(channel).propose(request).await {
            Ok(response) => read_response(response.into_inner()),
            Err(status) => Err(ApiError::from_status(&status)),
        }
    }

    fn propose_request(&self, command: &MetadataCommand) -> internal::ProposeRequest {
        internal::ProposeRequest {
            cluster_id: Bytes::copy_from_slice(&self.peers.cluster().to_bytes()),
            command: command.encode().into(),
        }
    }

    fn not_proposed(&self, error: &ProposeError) -> ApiError {
        let api_error = errors::from_propose(error);
        match (error, self.leader_hint(self.metadata.leadership())) {
            (ProposeError::NotLeader { .. }, Some(leader)) => api_error.with_leader(leader),
            _ => api_error,
        }
    }

    async fn metadata_leader(&self, deadline: Instant) -> Result<NodeId, ApiError> {
        let known = self
            .metadata
            .wait_leadership(|leadership| leadership.leader.is_some());
        let leadership = timeout_at(deadline, known).await;
        let leader = leadership
            .ok()
            .flatten()
            .and_then(|leadership| leadership.leader);
        leader.ok_or_else(|| {
            ApiError::new(
                ErrorCode::LeaderNotAvailable,
                "the cluster's metadata has no leader: try again when a majority of the nodes is up",
            )
        })
    }

    /// Waits until this node has applied as much metadata as the leader had when this was called.
    pub(crate) async fn catch_up(&self) -> Result<(), ApiError> {
        let deadline = Instant::now() + CATCH_UP_LIMIT;
        loop {
            let leader = self.metadata_leader(deadline).await?;
            if leader == self.id {
                return self.settled_version(deadline).await.map(drop);
            }
            match self.version_at(leader, deadline).await {
                Ok(version) => return self.wait_for_version(version, deadline).await,
                Err(error) if Instant::now() + PAUSE >= deadline => return Err(error),
                Err(_) => sleep(PAUSE).await,
            }
        }
    }

    /// The version of the metadata, once this node, as the leader, has applied all that earlier
    /// leaders decided. A leader that has just started knows less than that at first.
    pub(crate) async fn settled_version(&self, deadline: Instant) -> Result<u64, ApiError> {
        match timeout_at(deadline, self.metadata.wait_settled()).await {
            Ok(Ok(())) => Ok(self.state().version()),
            Ok(Err(_)) | Err(_) => Err(ApiError::new(
                ErrorCode::LeaderNotAvailable,
                "the cluster's metadata has no settled leader yet: try again in a moment",
            )),
        }
    }

    async fn version_at(&self, leader: NodeId, deadline: Instant) -> Result<u64, ApiError> {
        let channel = self.peers.channel(leader).await?;
        let limit = deadline.saturating_duration_since(Instant::now());
        let request = internal::GetVersionRequest {};
        let request = Origin::default().pass_on(request, self.peers.cluster(), limit);
        match MetadataLinkClient::new(channel).get_version(request).await {
            Ok(response) => Ok(response.into_inner().version),
            Err(status) => Err(self.peers.failed_to_read(leader, &status)),
        }
    }

    /// Waits until this node has applied the metadata of `version`.
    pub(crate) async fn wait_for_version(
        &self,
        version: u64,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let mut state = self.watch_state();
        let applied = state.wait_for(|state| state.version() >= version);
        match timeout_at(deadline, applied).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(errors::metadata_lags()),
        }
    }
}

/// Surely nothing happened, because the one who was asked does not lead.
fn is_leader_missing(error: &ApiError) -> bool {
    matches!(
        error.code,
        ErrorCode::NotLeader | ErrorCode::LeaderNotAvailable
    )
}

fn read_response(response: internal::ProposeResponse) -> Result<Proposed, ApiError> {
    let accepted = match response.outcome {
        Some(Outcome::NodeRegistered(_)) => Accepted::NodeRegistered,
        Some(Outcome::TopicId(id)) => Accepted::Topic(TopicId::new(id)),
        Some(Outcome::ProducerIds(ids)) => {
            let end = ids.first.saturating_add(ids.count);
            Accepted::ProducerIds(ProducerId::new(ids.first)..ProducerId::new(end))
        }
        Some(Outcome::CoordinatorsCreated(_)) => Accepted::Coordinators,
        Some(Outcome::SchemaVersion(version)) => Accepted::Schema { version },
        Some(Outcome::DoneTogether(_)) => Accepted::Together,
        Some(Outcome::PlacementChanged(_)) => Accepted::Placement,
        Some(Outcome::MoveFinished(_)) => Accepted::MoveFinished,
        Some(Outcome::NotMoving(_)) => Accepted::NotMoving,
        Some(Outcome::AccessChanged(changed)) => Accepted::Access {
            granted: changed.granted,
            revoked: changed.revoked,
        },
        Some(Outcome::KeyAdded(_)) => Accepted::KeyAdded,
        Some(Outcome::KeyRemoved(_)) => Accepted::KeyRemoved,
        None => return Err(unexpected_answer()),
    };
    Ok(Proposed {
        version: response.version,
        accepted,
    })
}

/// A node of another version answered with something that this one does not know.
pub(crate) fn unexpected_answer() -> ApiError {
    ApiError::new(
        ErrorCode::ResultUnknown,
        "the leader answered with something that this node does not know: look whether it happened",
    )
}
