//! The `Manifests` service.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::manifests_server::Manifests;
use flotilla_protocol::{ApiError, v1};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_state::metadata::MetadataState;
use flotilla_types::limits::{GRPC_MESSAGE_BYTES_MAX, METADATA_COMMAND_BYTES_MAX};
use flotilla_types::{ClusterId, ErrorCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tonic::{Request, Response, Status};

use super::messages::{write_etag, write_manifest, write_plan};
use super::plan::{Plan, Rules};
use super::wanted::{Wanted, invalid};
use crate::node::Node;

/// How long the metadata group may take to decide.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How often a plan is made again because topics changed in between.
const ATTEMPTS_MAX: usize = 5;

/// Most that a topic without its schema takes of an exported manifest, in bytes.
const TOPIC_BYTES_MAX: usize = 1_024;

pub(crate) struct ManifestService {
    node: Arc<Node>,
    /// Held while a plan is made: one at a time.
    planning: Semaphore,
}

impl ManifestService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self {
            node,
            planning: Semaphore::new(1),
        }
    }

    async fn apply(
        &self,
        request: v1::ApplyManifestRequest,
    ) -> Result<v1::ApplyManifestResponse, ApiError> {
        refuse_other_cluster(&request.cluster_id, self.node.peers.cluster())?;
        // One that was forgotten would have prune delete everything.
        let manifest = request.manifest;
        let manifest = manifest.ok_or_else(|| invalid("the request has no manifest: send one"))?;
        let wanted = Arc::new(Wanted::read(manifest)?);
        let deadline = Instant::now() + CHANGE_LIMIT;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            let state = self.caught_up().await?;
            refuse_other_etag(&request.if_etag, &state)?;
            let plan = self.plan(state, wanted.clone(), request.prune).await?;
            if Instant::now() >= deadline && !request.dry_run {
                return Err(not_in_time());
            }
            if request.dry_run || plan.commands.is_empty() {
                let topics_version = plan.topics_version;
                return Ok(write_plan(plan, topics_version));
            }
            match self.carry_out(&plan, deadline).await {
                Err(error) if error.code == ErrorCode::VersionConflict => {
                    if !request.if_etag.is_empty() || attempts_left == 0 {
                        return Err(error);
                    }
                }
                result => {
                    let topics_version = plan.topics_version_after();
                    return result.map(|()| write_plan(plan, topics_version));
                }
            }
        }
    }

    /// The metadata as the cluster knows it now.
    async fn caught_up(&self) -> Result<Arc<MetadataState>, ApiError> {
        self.node.refuse_when_stopping()?;
        self.node.catch_up().await?;
        Ok(self.node.state())
    }

    /// Plans on a thread that may block: many schemas can be made to cost much.
    async fn plan(
        &self,
        state: Arc<MetadataState>,
        wanted: Arc<Wanted>,
        prune: bool,
    ) -> Result<Plan, ApiError> {
        let rules = Rules {
            prune,
            default_replication_factor: self.node.default_replication_factor(),
            now: self.node.now(),
        };
        // The semaphore is never closed.
        let _turn = self.planning.acquire().await;
        let planned = tokio::task::spawn_blocking(move || {
            let plan = Plan::make(&state, &wanted, &rules)?;
            refuse_large(&plan)?;
            Ok(plan)
        });
        planned.await.unwrap_or_else(|error| {
            tracing::error!(%error, "planning a manifest failed");
            let message = "the manifest could not be compared with the cluster";
            Err(ApiError::new(ErrorCode::Internal, message))
        })
    }

    /// Proposes the plan and waits until this node shows it.
    async fn carry_out(&self, plan: &Plan, deadline: Instant) -> Result<(), ApiError> {
        let proposed = self.node.propose(&plan.command(), deadline).await?;
        let topics = plan.changes.len();
        tracing::info!(topics, "a manifest was applied");
        // It has happened. That this node may show it a moment later is no failure.
        if let Err(error) = self.node.wait_for_version(proposed.version, deadline).await {
            tracing::warn!(%error, "a manifest was applied, but this node does not see it yet");
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Manifests for ManifestService {
    async fn export_manifest(
        &self,
        request: Request<v1::ExportManifestRequest>,
    ) -> Result<Response<v1::ExportManifestResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Describe, Resource::Cluster)?;
        let state = self.caught_up().await?;
        refuse_large_export(&state)?;
        Ok(Response::new(v1::ExportManifestResponse {
            manifest: Some(write_manifest(&state)),
            etag: write_etag(state.topics_version()),
            cluster_id: self.node.peers.cluster().to_string(),
        }))
    }

    async fn apply_manifest(
        &self,
        request: Request<v1::ApplyManifestRequest>,
    ) -> Result<Response<v1::ApplyManifestResponse>, Status> {
        // A manifest may be about any topic.
        let action = match request.get_ref().dry_run {
            true => AccessAction::Describe,
            false => AccessAction::Alter,
        };
        self.node.admit(&request, action, Resource::Cluster)?;
        Ok(Response::new(self.apply(request.into_inner()).await?))
    }
}

fn not_in_time() -> ApiError {
    let message = "comparing the manifest with the cluster took too long, and nothing has changed: \
                   apply it in parts";
    ApiError::new(ErrorCode::Overloaded, message)
}

fn refuse_other_cluster(expected: &str, ours: ClusterId) -> Result<(), ApiError> {
    if expected.is_empty() || ClusterId::parse(expected) == Some(ours) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::ClusterMismatch,
        format!(
            "this is cluster {ours}, and the manifest is for another one: connect to that one, or \
             leave the cluster id out"
        ),
    ))
}

fn refuse_other_etag(expected: &str, state: &MetadataState) -> Result<(), ApiError> {
    if expected.is_empty() || expected == write_etag(state.topics_version()) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::VersionConflict,
        "topics have changed since that etag was told: look at what would change now, and go by its etag",
    ))
}

fn refuse_large(plan: &Plan) -> Result<(), ApiError> {
    let bytes = plan.command().encode().len();
    if bytes <= METADATA_COMMAND_BYTES_MAX {
        return Ok(());
    }
    Err(invalid(&format!(
        "the changes take {bytes} bytes of the metadata's log, and {METADATA_COMMAND_BYTES_MAX} is the \
         most: split the manifest, and apply the parts without prune"
    )))
}

fn refuse_large_export(state: &MetadataState) -> Result<(), ApiError> {
    let latest = state.topics().map(|topic| topic.schemas.last());
    let bytes = latest.fold(0, |bytes, latest| {
        bytes + TOPIC_BYTES_MAX + latest.map_or(0, |schema| schema.text.len())
    });
    if bytes <= GRPC_MESSAGE_BYTES_MAX {
        return Ok(());
    }
    Err(invalid(
        "the topics and schemas of this cluster do not fit into one message: list the topics, and \
         describe them and their schemas one by one",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_cluster_that_is_meant_takes_a_manifest() {
        let ours = ClusterId::new([7; 16]);
        let other = ClusterId::new([8; 16]);
        let code = |text: &str| refuse_other_cluster(text, ours).map_err(|error| error.code);
        assert_eq!(code(""), Ok(()));
        assert_eq!(code(&ours.to_string()), Ok(()));
        for wrong in [&other.to_string(), "07"] {
            assert_eq!(code(wrong), Err(ErrorCode::ClusterMismatch));
        }
    }

    #[test]
    fn an_etag_of_another_version_or_of_none_is_refused() {
        let state = MetadataState::new();
        let code = |etag: &str| refuse_other_etag(etag, &state).map_err(|error| error.code);
        assert_eq!(code(""), Ok(()));
        assert_eq!(code(&write_etag(state.topics_version())), Ok(()));
        for wrong in ["1", "soon"] {
            assert_eq!(code(wrong), Err(ErrorCode::VersionConflict));
        }
    }
}
