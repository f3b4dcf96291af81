//! Changes which nodes hold what: plans from the metadata, and proposes the plan for exactly the
//! placement that it was made for. What comes after that is the work of loops on every node.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_state::metadata::{Goal, MetadataOutcome, MetadataState, Plan};
use flotilla_types::ErrorCode;
use tokio::time::Instant;

use super::messages::{read_goal, write_plan};
use crate::errors;
use crate::node::Node;

/// How long the metadata group may take to decide.
const CHANGE_LIMIT: Duration = Duration::from_secs(15);
/// How often a plan is made again because the placement changed in between.
const ATTEMPTS_MAX: usize = 5;

impl Node {
    pub(super) async fn change_placement(
        &self,
        request: v1::ChangePlacementRequest,
    ) -> Result<v1::ChangePlacementResponse, ApiError> {
        let goal = read_goal(request.goal)?;
        let deadline = Instant::now() + CHANGE_LIMIT;
        let mut attempts_left = ATTEMPTS_MAX;
        loop {
            attempts_left -= 1;
            self.refuse_when_stopping()?;
            self.catch_up().await?;
            let state = self.state();
            refuse_other_version(request.if_placement_version, &state)?;
            let plan = self.plan_placement(state.clone(), goal).await?;
            if request.dry_run || plan.is_empty() {
                return Ok(write_plan(&state, &plan, plan.placement_version));
            }
            match self.propose_placement(goal, &plan, deadline).await {
                Err(error) if error.code == ErrorCode::VersionConflict => {
                    if request.if_placement_version.is_some() || attempts_left == 0 {
                        return Err(error);
                    }
                }
                result => {
                    let after = plan.placement_version.saturating_add(1);
                    return result.map(|()| write_plan(&state, &plan, after));
                }
            }
        }
    }

    /// Plans and rehearses on a thread that may block: a large cluster has many ways.
    async fn plan_placement(
        &self,
        state: Arc<MetadataState>,
        goal: Goal,
    ) -> Result<Plan, ApiError> {
        let mut live = self.raft.connected_peers();
        live.push(self.id);
        let live = live.into_iter().collect();
        let planned = tokio::task::spawn_blocking(move || {
            let plan = state.plan(goal, &live);
            let plan = plan.map_err(|error| ApiError::new(error.code(), error.to_string()))?;
            let rehearsed = MetadataState::clone(&state).apply(&plan.command());
            match rehearsed.outcome {
                MetadataOutcome::Rejected(rejection) => {
                    Err(errors::from_metadata_rejection(&rejection))
                }
                _ => Ok(plan),
            }
        });
        planned.await.unwrap_or_else(|error| {
            tracing::error!(%error, "planning a placement failed");
            let message = "the placement could not be planned";
            Err(ApiError::new(ErrorCode::Internal, message))
        })
    }

    /// Proposes the plan and waits until this node shows it.
    async fn propose_placement(
        &self,
        goal: Goal,
        plan: &Plan,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let proposed = self.propose(&plan.command(), deadline).await?;
        let moves = plan.moves.len();
        tracing::info!(?goal, moves, "the placement was changed");
        // It has happened. That this node may show it a moment later is no failure.
        if let Err(error) = self.wait_for_version(proposed.version, deadline).await {
            tracing::warn!(%error, "the placement was changed, but this node does not see it yet");
        }
        Ok(())
    }
}

fn refuse_other_version(expected: Option<u64>, state: &MetadataState) -> Result<(), ApiError> {
    let current = state.placement_version();
    if expected.is_none_or(|expected| expected == current) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::VersionConflict,
        "the placement has changed since that version of it was told: look at what would change now, \
         and go by its version",
    ))
}
