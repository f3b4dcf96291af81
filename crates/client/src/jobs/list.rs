//! What jobs there are, and who owns them.

use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_types::{FencingToken, JobName, MemberId, Timestamp};

use super::jobs_client;
use crate::ClientError;
use crate::client::{Core, Repeat, within};

/// A line of the list of jobs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobDescription {
    pub job: JobName,
    /// Of the owner, or of the last one.
    pub token: FencingToken,
    /// Absent while nobody owns the job.
    pub owner: Option<JobOwner>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobOwner {
    pub id: MemberId,
    /// What the program calls itself.
    pub client_name: String,
    /// How long it may be silent before it counts as gone.
    pub session_timeout: Duration,
    /// By the coordinator's clock.
    pub acquired_at: Timestamp,
}

pub(super) async fn list(core: &Core) -> Result<Vec<JobDescription>, ClientError> {
    let send = |channel, limit| {
        let request = within(limit, v1::ListJobsRequest {});
        async move { jobs_client(channel).list_jobs(request).await }
    };
    let answer = core.call(Repeat::Always, send).await?;
    answer.jobs.into_iter().map(read_job).collect()
}

fn read_job(job: v1::Job) -> Result<JobDescription, ClientError> {
    Ok(JobDescription {
        job: JobName::parse(&job.name).map_err(ApiError::from)?,
        token: FencingToken::new(job.token),
        owner: job.owner.map(read_owner).transpose()?,
    })
}

fn read_owner(owner: v1::JobOwner) -> Result<JobOwner, ClientError> {
    Ok(JobOwner {
        id: MemberId::parse(&owner.owner_id).map_err(ApiError::from)?,
        client_name: owner.client_name,
        session_timeout: Duration::from_millis(owner.session_timeout_ms.into()),
        acquired_at: Timestamp::from_millis(owner.acquired_at_ms),
    })
}
