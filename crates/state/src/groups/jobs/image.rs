//! The jobs as part of their coordinator's image. Reading them checks what the module promises, so
//! that no damage that passed the checksums gives a token twice.

use std::collections::BTreeSet;

use flotilla_types::limits::COORDINATOR_JOBS_MAX;
use flotilla_types::{JobName, Timestamp};
use minicbor::{Decode, Encode};

use super::{Job, JobOwner, Jobs};
use crate::DecodeError;
use crate::groups::bodies::{job_name, member_id};
use crate::groups::image::{COUNT_MAX, WHAT, ascending, ensure};

#[derive(Encode, Decode)]
pub(in crate::groups) struct JobsImage {
    #[n(0)]
    acquisitions: u64,
    /// Ascending.
    #[n(1)]
    jobs: Vec<JobImage>,
}

#[derive(Encode, Decode)]
struct JobImage {
    #[n(0)]
    name: String,
    #[n(1)]
    token_count: u64,
    #[n(2)]
    owner: Option<OwnerImage>,
    #[n(3)]
    changed_at_ms: i64,
}

#[derive(Encode, Decode)]
struct OwnerImage {
    #[n(0)]
    id: String,
    #[n(1)]
    client_name: String,
    #[n(2)]
    session_timeout_ms: u32,
    #[n(3)]
    acquired_at_ms: i64,
    #[n(4)]
    acquired: u64,
}

impl JobsImage {
    pub(in crate::groups) fn new(jobs: &Jobs) -> Self {
        Self {
            acquisitions: jobs.acquisitions,
            jobs: jobs.jobs.iter().map(JobImage::new).collect(),
        }
    }

    pub(in crate::groups) fn read(self) -> Result<Jobs, DecodeError> {
        ensure(self.acquisitions <= COUNT_MAX, "a counter is out of range")?;
        ensure(
            self.jobs.len() <= COORDINATOR_JOBS_MAX,
            "there are too many jobs",
        )?;
        let jobs = self.jobs.into_iter().map(JobImage::read);
        let jobs = ascending(jobs, "jobs are out of order")?;
        let mut acquired = BTreeSet::new();
        for job in jobs.values() {
            let last = job
                .owner
                .as_ref()
                .map_or(job.token_count, |owner| owner.acquired);
            ensure(
                (1..=self.acquisitions).contains(&job.token_count)
                    && (job.token_count..=self.acquisitions).contains(&last),
                "a token is not one of those that were given out",
            )?;
            // An owner that asked again has two acquisitions: its token and the last one.
            let ours = BTreeSet::from([job.token_count, last]);
            ensure(
                ours.into_iter().all(|count| acquired.insert(count)),
                "two jobs have one acquisition",
            )?;
        }
        Ok(Jobs {
            acquisitions: self.acquisitions,
            jobs,
        })
    }
}

impl JobImage {
    fn new((name, job): (&JobName, &Job)) -> Self {
        Self {
            name: name.to_string(),
            token_count: job.token_count,
            owner: job.owner.as_ref().map(OwnerImage::new),
            changed_at_ms: job.changed_at.as_millis(),
        }
    }

    fn read(self) -> Result<(JobName, Job), DecodeError> {
        let job = Job {
            token_count: self.token_count,
            owner: self.owner.map(OwnerImage::read).transpose()?,
            changed_at: Timestamp::from_millis(self.changed_at_ms),
        };
        Ok((job_name(WHAT, &self.name)?, job))
    }
}

impl OwnerImage {
    fn new(owner: &JobOwner) -> Self {
        Self {
            id: owner.id.to_string(),
            client_name: owner.client_name.clone(),
            session_timeout_ms: owner.session_timeout_ms,
            acquired_at_ms: owner.acquired_at.as_millis(),
            acquired: owner.acquired,
        }
    }

    fn read(self) -> Result<JobOwner, DecodeError> {
        Ok(JobOwner {
            id: member_id(WHAT, &self.id)?,
            client_name: self.client_name,
            session_timeout_ms: self.session_timeout_ms,
            acquired_at: Timestamp::from_millis(self.acquired_at_ms),
            acquired: self.acquired,
        })
    }
}
