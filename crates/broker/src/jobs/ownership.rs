//! Staying the owner of a job, and giving it up.

use std::sync::Arc;

use flotilla_protocol::v1::jobs_client::JobsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::access::AccessAction;
use flotilla_state::groups::{CoordinatorCommand, CoordinatorOutcome, JobCommand, JobOutcome};
use flotilla_types::{FencingToken, JobName, MemberId};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::token::number_of;
use crate::coordinators::{CoordinatorCall, Session};
use crate::errors;
use crate::node::Node;

impl CoordinatorCall for v1::RenewJobRequest {
    type Answer = v1::RenewJobResponse;
    type Subject = JobName;
    const ACTION: AccessAction = AccessAction::Own;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn subject(&self) -> &str {
        &self.job
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        job: JobName,
    ) -> Result<Self::Answer, ApiError> {
        let owner = MemberId::parse(&self.owner_id)?;
        let token = FencingToken::new(self.token);
        let session = match is_ours(node, coordinator, token)? {
            true => session_of(coordinator, &job, &owner, token.count()),
            false => None,
        };
        let session = session.ok_or_else(|| errors::stale_token(&job, token))?;
        node.note_session(coordinator, session);
        Ok(v1::RenewJobResponse {})
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: JobsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.renew_job(request).await
    }
}

impl CoordinatorCall for v1::ReleaseJobRequest {
    type Answer = v1::ReleaseJobResponse;
    type Subject = JobName;
    const ACTION: AccessAction = AccessAction::Own;
    const MAY_REPEAT: bool = true;

    fn subject(&self) -> &str {
        &self.job
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        job: JobName,
    ) -> Result<Self::Answer, ApiError> {
        let owner = MemberId::parse(&self.owner_id)?;
        let token = FencingToken::new(self.token);
        if !is_ours(node, coordinator, token)? {
            return Ok(v1::ReleaseJobResponse {});
        }
        let command = JobCommand::Release {
            job: job.clone(),
            owner: owner.clone(),
            token_count: token.count(),
            now: node.now(),
        };
        // An ownership that has ended before is what was wanted, too.
        if propose(coordinator, command).await? == JobOutcome::Ended {
            tracing::info!(%job, %owner, "a job was released");
        }
        Ok(v1::ReleaseJobResponse {})
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: JobsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.release_job(request).await
    }
}

/// Proposes a command, and reads a rejection as an error.
pub(super) async fn propose(
    coordinator: &Coordinator,
    command: JobCommand,
) -> Result<JobOutcome, ApiError> {
    let outcome = coordinator.propose(&CoordinatorCommand::Job(command)).await;
    match outcome.map_err(|error| errors::from_propose(&error))? {
        CoordinatorOutcome::Job(JobOutcome::Rejected(rejection)) => {
            Err(errors::from_job_rejection(&rejection))
        }
        CoordinatorOutcome::Job(outcome) => Ok(outcome),
        outcome => unreachable!("invariant: what is about a job is answered so, not {outcome:?}"),
    }
}

/// The session of an ownership, while it lasts.
pub(super) fn session_of(
    coordinator: &Coordinator,
    job: &JobName,
    owner: &MemberId,
    token_count: u64,
) -> Option<Session> {
    coordinator.look(|state| {
        let known = state.jobs().owner(job, owner, token_count)?;
        Some(Session::Owner {
            job: job.clone(),
            acquired: known.acquired,
        })
    })
}

/// Whether this coordinator can have given out the token.
fn is_ours(node: &Node, coordinator: &Coordinator, token: FencingToken) -> Result<bool, ApiError> {
    let number = number_of(node, coordinator)?;
    Ok(token == FencingToken::of_coordinator(number, token.count()))
}
