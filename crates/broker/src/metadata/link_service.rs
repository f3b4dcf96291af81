//! Serves what other nodes ask of the leader of the metadata group.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_protocol::internal::v1::metadata_link_server::MetadataLink;
use flotilla_protocol::internal::v1::propose_response::Outcome;
use flotilla_protocol::internal::v1::{
    AccessChanged, CoordinatorsCreated, DoneTogether, GetVersionRequest, GetVersionResponse,
    KeyAdded, KeyRemoved, MoveFinished, NodeRegistered, NotMoving, PlacementChanged, ProducerIds,
    ProposeRequest, ProposeResponse,
};
use flotilla_state::metadata::MetadataCommand;
use flotilla_types::ErrorCode;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::Accepted;
use crate::node::Node;
use crate::origin::Origin;

/// The node that asks has a limit of its own; this one only ends what nobody waits for any more.
const PROPOSE_LIMIT: Duration = Duration::from_secs(30);
/// As long as the node that asks waits.
const VERSION_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct MetadataLinkService {
    node: Arc<Node>,
}

impl MetadataLinkService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    /// A node that stops no longer speaks for the metadata group, whatever it believes.
    fn refuse_when_stopping(&self) -> Result<(), ApiError> {
        if self.node.stop.is_cancelled() {
            let message =
                "the leader of the metadata group is shutting down: try again in a moment";
            return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
        }
        Ok(())
    }

    fn check_cluster(&self, cluster_id: &[u8]) -> Result<(), ApiError> {
        let ours = self.node.peers.cluster();
        if cluster_id == ours.to_bytes() {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::ClusterMismatch,
            format!("this node belongs to cluster {ours}, the caller to another one"),
        ))
    }
}

#[tonic::async_trait]
impl MetadataLink for MetadataLinkService {
    async fn propose(
        &self,
        request: Request<ProposeRequest>,
    ) -> Result<Response<ProposeResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let request = request.into_inner();
        self.check_cluster(&request.cluster_id)?;
        self.refuse_when_stopping()?;
        let command = MetadataCommand::decode(&request.command).map_err(|error| {
            let message = format!("{error}: do the nodes run versions that go together?");
            ApiError::new(ErrorCode::InvalidArgument, message)
        })?;
        let deadline = Instant::now() + PROPOSE_LIMIT;
        // A node that joins knows no leader.
        let proposed = match origin.is_node() {
            true => self.node.propose_here(&command, deadline).await?,
            false => self.node.propose(&command, deadline).await?,
        };
        let outcome = match proposed.accepted {
            Accepted::NodeRegistered => Outcome::NodeRegistered(NodeRegistered {}),
            Accepted::Topic(id) => Outcome::TopicId(id.get()),
            Accepted::ProducerIds(ids) => Outcome::ProducerIds(ProducerIds {
                first: ids.start.get(),
                count: ids.end.get() - ids.start.get(),
            }),
            Accepted::Coordinators => Outcome::CoordinatorsCreated(CoordinatorsCreated {}),
            Accepted::Schema { version } => Outcome::SchemaVersion(version),
            Accepted::Together => Outcome::DoneTogether(DoneTogether {}),
            Accepted::Placement => Outcome::PlacementChanged(PlacementChanged {}),
            Accepted::MoveFinished => Outcome::MoveFinished(MoveFinished {}),
            Accepted::NotMoving => Outcome::NotMoving(NotMoving {}),
            Accepted::Access { granted, revoked } => {
                Outcome::AccessChanged(AccessChanged { granted, revoked })
            }
            Accepted::KeyAdded => Outcome::KeyAdded(KeyAdded {}),
            Accepted::KeyRemoved => Outcome::KeyRemoved(KeyRemoved {}),
        };
        Ok(Response::new(ProposeResponse {
            version: proposed.version,
            outcome: Some(outcome),
        }))
    }

    async fn get_version(
        &self,
        request: Request<GetVersionRequest>,
    ) -> Result<Response<GetVersionResponse>, Status> {
        Origin::of(&request, self.node.peers.cluster())?;
        self.refuse_when_stopping()?;
        let leadership = self.node.metadata.leadership();
        if leadership.leader != Some(self.node.id) {
            let message = "this node does not lead the metadata group: ask the leader";
            return Err(ApiError::new(ErrorCode::NotLeader, message).into());
        }
        let deadline = Instant::now() + VERSION_LIMIT;
        let version = self.node.settled_version(deadline).await?;
        Ok(Response::new(GetVersionResponse { version }))
    }
}
