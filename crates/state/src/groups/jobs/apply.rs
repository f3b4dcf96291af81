//! How a command changes the jobs: checked whole first, then carried out whole.

use flotilla_types::limits::COORDINATOR_JOBS_MAX;
use flotilla_types::{JobName, MemberId, Timestamp};

use super::{Job, JobCommand, JobOutcome, JobOwner, JobRejection, Jobs};

/// What an owner says of itself.
struct Introduction<'a> {
    owner: &'a MemberId,
    client_name: &'a str,
    session_timeout_ms: u32,
}

impl Jobs {
    /// A command that does not fit changes nothing, and the outcome says so.
    pub(in crate::groups) fn apply(&mut self, command: &JobCommand) -> JobOutcome {
        match command {
            JobCommand::Acquire {
                job,
                owner,
                client_name,
                session_timeout_ms,
                now,
            } => {
                let introduction = Introduction {
                    owner,
                    client_name,
                    session_timeout_ms: *session_timeout_ms,
                };
                let acquired = self.acquire(job, &introduction, *now);
                acquired.unwrap_or_else(JobOutcome::Rejected)
            }
            JobCommand::Release {
                job,
                owner,
                token_count,
                now,
            } => {
                let owned = self.owner(job, owner, *token_count);
                self.end(job, owned.map(|known| known.acquired), *now)
            }
            JobCommand::ExpireOwner { job, acquired, now } => self.end(job, Some(*acquired), *now),
            JobCommand::ExpireJobs { now, idle_ms } => self.expire(*now, *idle_ms),
        }
    }

    /// The present owner keeps its token, so that a request whose answer was lost can be sent again.
    fn acquire(
        &mut self,
        name: &JobName,
        introduction: &Introduction<'_>,
        now: Timestamp,
    ) -> Result<JobOutcome, JobRejection> {
        if let Some(held) = self.held_by_another(name, introduction.owner) {
            return Err(held);
        }
        if self.jobs.len() >= COORDINATOR_JOBS_MAX && !self.jobs.contains_key(name) {
            return Err(JobRejection::CoordinatorFull { job: name.clone() });
        }
        self.acquisitions += 1;
        let acquired = self.acquisitions;
        let job = self.jobs.entry(name.clone()).or_insert_with(|| Job {
            token_count: acquired,
            owner: None,
            changed_at: now,
        });
        let acquired_at = match &job.owner {
            Some(known) => known.acquired_at,
            None => {
                job.token_count = acquired;
                now
            }
        };
        job.owner = Some(JobOwner {
            id: introduction.owner.clone(),
            client_name: introduction.client_name.to_owned(),
            session_timeout_ms: introduction.session_timeout_ms,
            acquired_at,
            acquired,
        });
        job.changed_at = now;
        let token_count = job.token_count;
        Ok(JobOutcome::Acquired { token_count })
    }

    /// Ends the ownership whose last acquisition was this one.
    fn end(&mut self, name: &JobName, acquired: Option<u64>, now: Timestamp) -> JobOutcome {
        let Some(job) = self.jobs.get_mut(name) else {
            return JobOutcome::Stale;
        };
        let known = job.owner.as_ref().map(|owner| owner.acquired);
        if known.is_none() || known != acquired {
            return JobOutcome::Stale;
        }
        job.owner = None;
        job.changed_at = now;
        JobOutcome::Ended
    }

    fn expire(&mut self, now: Timestamp, idle_ms: u64) -> JobOutcome {
        let idle_since = now.minus_millis(idle_ms);
        let before = self.jobs.len();
        self.jobs
            .retain(|_, job| job.owner.is_some() || job.changed_at > idle_since);
        let count = before - self.jobs.len();
        JobOutcome::JobsExpired { count }
    }
}
