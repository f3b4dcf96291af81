//! A coordinator of jobs that forgets owners and loses answers only when it is told to.

use std::collections::BTreeMap;

use flotilla_protocol::v1::jobs_server::Jobs;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::ErrorCode;
use tokio::time::{Duration, Instant, timeout_at};
use tonic::{Request, Response, Status};

use crate::fake_node::FakeNode;

#[derive(Default)]
pub(crate) struct FakeJobs {
    pub(crate) jobs: BTreeMap<String, FakeJob>,
    /// Every call ends with this error, without effect.
    pub(crate) failing: Option<ErrorCode>,
    /// Calls that have failed like this.
    pub(crate) failed: u64,
    /// So many acquisitions are carried out, and nobody is told.
    pub(crate) answers_to_lose: u32,
    /// Owners that began, one after the other.
    pub(crate) ownerships: Vec<String>,
    /// Acquisitions that were asked for, whatever became of them.
    pub(crate) asked: u64,
    pub(crate) renewed: u64,
}

#[derive(Default)]
pub(crate) struct FakeJob {
    /// Count of the last token: here the only coordinator is number 0.
    pub(crate) token: u64,
    pub(crate) owner: Option<v1::JobOwner>,
}

impl FakeJobs {
    /// The owner of a job was silent for too long.
    pub(crate) fn expire(&mut self, job: &str) {
        self.jobs.get_mut(job).expect("there is the job").owner = None;
    }

    fn check(&mut self) -> Result<(), ApiError> {
        let Some(code) = self.failing else {
            return Ok(());
        };
        self.failed += 1;
        Err(ApiError::new(code, "as told"))
    }

    /// The token, or `None` while another one owns it.
    fn acquire(&mut self, request: &v1::AcquireJobRequest) -> Result<Option<u64>, ApiError> {
        self.check()?;
        let job = self.jobs.entry(request.job.clone()).or_default();
        match &job.owner {
            Some(owner) if owner.owner_id != request.owner_id => return Ok(None),
            Some(_) => {}
            None => {
                job.token += 1;
                self.ownerships.push(request.owner_id.clone());
            }
        }
        job.owner = Some(v1::JobOwner {
            owner_id: request.owner_id.clone(),
            client_name: request.client_name.clone(),
            session_timeout_ms: request.session_timeout_ms,
            acquired_at_ms: 7,
        });
        if self.answers_to_lose > 0 {
            self.answers_to_lose -= 1;
            return Err(ApiError::new(
                ErrorCode::ResultUnknown,
                "the answer is lost",
            ));
        }
        Ok(Some(job.token))
    }

    fn is_owner(&self, job: &str, owner_id: &str, token: u64) -> bool {
        let known = self.jobs.get(job).filter(|job| job.token == token);
        let owner = known.and_then(|job| job.owner.as_ref());
        owner.is_some_and(|owner| owner.owner_id == owner_id)
    }
}

impl FakeNode {
    /// Does something to the jobs that others may wait for.
    fn with_jobs<T>(
        &self,
        act: impl FnOnce(&mut FakeJobs) -> Result<T, ApiError>,
    ) -> Result<T, Status> {
        let mut state = self.shared.state();
        let jobs = &mut state.jobs;
        let done = jobs.check().and_then(|()| act(jobs));
        drop(state);
        self.shared.note_change();
        Ok(done?)
    }
}

#[tonic::async_trait]
impl Jobs for FakeNode {
    async fn acquire_job(
        &self,
        request: Request<v1::AcquireJobRequest>,
    ) -> Result<Response<v1::AcquireJobResponse>, Status> {
        let request = request.into_inner();
        let deadline = Instant::now() + Duration::from_millis(request.max_wait_ms.into());
        let mut changes = self.shared.changes();
        self.shared.state().jobs.asked += 1;
        self.shared.note_change();
        loop {
            changes.borrow_and_update();
            let token = self.shared.state().jobs.acquire(&request)?;
            if let Some(token) = token {
                self.shared.note_change();
                return Ok(Response::new(v1::AcquireJobResponse {
                    token,
                    session_timeout_ms: request.session_timeout_ms,
                }));
            }
            if timeout_at(deadline, changes.changed()).await.is_err() {
                return Err(ApiError::new(ErrorCode::JobHeld, "it has an owner").into());
            }
        }
    }

    async fn renew_job(
        &self,
        request: Request<v1::RenewJobRequest>,
    ) -> Result<Response<v1::RenewJobResponse>, Status> {
        let request = request.into_inner();
        let mut answering = self.shared.answering.subscribe();
        let answered = answering.wait_for(|answering| *answering).await;
        answered.expect("the cluster outlives its nodes");
        self.with_jobs(|jobs| {
            if !jobs.is_owner(&request.job, &request.owner_id, request.token) {
                return Err(ApiError::new(ErrorCode::StaleToken, "it has ended"));
            }
            jobs.renewed += 1;
            Ok(())
        })?;
        Ok(Response::new(v1::RenewJobResponse {}))
    }

    async fn release_job(
        &self,
        request: Request<v1::ReleaseJobRequest>,
    ) -> Result<Response<v1::ReleaseJobResponse>, Status> {
        let request = request.into_inner();
        self.with_jobs(|jobs| {
            if jobs.is_owner(&request.job, &request.owner_id, request.token) {
                jobs.expire(&request.job);
            }
            Ok(())
        })?;
        Ok(Response::new(v1::ReleaseJobResponse {}))
    }

    async fn list_jobs(
        &self,
        _request: Request<v1::ListJobsRequest>,
    ) -> Result<Response<v1::ListJobsResponse>, Status> {
        let jobs = self.with_jobs(|jobs| {
            let jobs = jobs.jobs.iter().map(|(name, job)| v1::Job {
                name: name.clone(),
                token: job.token,
                owner: job.owner.clone(),
            });
            Ok(jobs.collect())
        })?;
        Ok(Response::new(v1::ListJobsResponse { jobs }))
    }
}
