//! Becoming the owner of a job, and waiting for that.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::jobs_client::JobsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::access::AccessAction;
use flotilla_state::groups::{JobCommand, JobOutcome};
use flotilla_types::limits::JOB_WAIT_MS_MAX;
use flotilla_types::{ErrorCode, FencingToken, JobName, MemberId};
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::ownership::{propose, session_of};
use super::token::number_of;
use crate::coordinators::{
    ANSWER_TIME, CoordinatorCall, not_leader, read_client_name, read_session_timeout, without,
};
use crate::errors;
use crate::node::{Node, shutting_down};

impl CoordinatorCall for v1::AcquireJobRequest {
    type Answer = v1::AcquireJobResponse;
    type Subject = JobName;
    const ACTION: AccessAction = AccessAction::Own;
    const MAY_REPEAT: bool = true;

    fn subject(&self) -> &str {
        &self.job
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(self.max_wait_ms.min(JOB_WAIT_MS_MAX).into()) + ANSWER_TIME
    }

    fn note_waited(&mut self, waited: Duration) {
        self.max_wait_ms = without(self.max_wait_ms, waited);
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        job: JobName,
    ) -> Result<Self::Answer, ApiError> {
        if self.max_wait_ms > JOB_WAIT_MS_MAX {
            return Err(errors::invalid(format!(
                "max_wait_ms of {} is too long: it is at most {JOB_WAIT_MS_MAX}",
                self.max_wait_ms
            )));
        }
        let owner = MemberId::parse(&self.owner_id)?;
        let session_timeout_ms = read_session_timeout(self.session_timeout_ms)?;
        let command = JobCommand::Acquire {
            job: job.clone(),
            owner: owner.clone(),
            client_name: read_client_name(self.client_name)?,
            session_timeout_ms,
            now: node.now(),
        };
        let until = Instant::now() + Duration::from_millis(self.max_wait_ms.into());
        let asked = Asked {
            node,
            coordinator,
            job,
            owner,
        };
        let number = number_of(node, coordinator)?;
        let count = asked.acquire(command, until).await?;
        Ok(v1::AcquireJobResponse {
            token: FencingToken::of_coordinator(number, count).get(),
            session_timeout_ms,
        })
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: JobsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.acquire_job(request).await
    }
}

/// Somebody wants a job of which this node leads the coordinator.
struct Asked<'a> {
    node: &'a Node,
    coordinator: &'a Coordinator,
    job: JobName,
    owner: MemberId,
}

/// How a wait for the job ended.
enum Waited {
    /// Something may have changed.
    On,
    /// It is over, and this node leads still.
    Over,
}

impl Asked<'_> {
    /// Waits for the job, and returns the count of its token. When the wait is over, there is one last
    /// look: at a state that no other leader has moved on from.
    async fn acquire(&self, mut command: JobCommand, until: Instant) -> Result<u64, ApiError> {
        let mut changes = self.coordinator.watch();
        let mut waited = Waited::On;
        loop {
            changes.mark_unchanged();
            let held = match self.held() {
                Some(held) => held,
                None => match self.try_acquire(&mut command).await {
                    // Somebody else was faster.
                    Err(held) if held.code == ErrorCode::JobHeld => held,
                    acquired => return acquired,
                },
            };
            if matches!(waited, Waited::Over) {
                return Err(held);
            }
            waited = self.wait(&mut changes, until).await?;
        }
    }

    fn held(&self) -> Option<ApiError> {
        let held = self
            .coordinator
            .look(|state| state.jobs().held_by_another(&self.job, &self.owner));
        held.map(|held| errors::from_job_rejection(&held))
    }

    async fn try_acquire(&self, command: &mut JobCommand) -> Result<u64, ApiError> {
        if let JobCommand::Acquire { now, .. } = command {
            *now = self.node.now();
        }
        let count = match propose(self.coordinator, command.clone()).await? {
            JobOutcome::Acquired { token_count } => token_count,
            outcome => unreachable!("invariant: who asks for a job gets it or not: {outcome:?}"),
        };
        let Asked {
            node,
            coordinator,
            job,
            owner,
        } = self;
        // Where it is gone already, the next renewal says so.
        if let Some(session) = session_of(coordinator, job, owner, count) {
            node.note_session(coordinator, session);
        }
        tracing::info!(%job, %owner, token_count = count, "a job has an owner");
        Ok(count)
    }

    async fn wait(
        &self,
        changes: &mut watch::Receiver<u64>,
        until: Instant,
    ) -> Result<Waited, ApiError> {
        let (node, coordinator) = (self.node, self.coordinator);
        if Instant::now() < until {
            tokio::select! {
                _ = timeout_at(until, changes.changed()) => return Ok(Waited::On),
                () = node.stop.cancelled() => return Err(shutting_down()),
                _ = coordinator.wait_leadership(|now| now.leader != Some(node.id)) => {
                    return Err(not_leader(node, coordinator.leadership()));
                }
            }
        }
        let confirmed = coordinator.wait_confirmed().await;
        confirmed.map_err(|error| errors::from_propose(&error))?;
        Ok(Waited::Over)
    }
}
