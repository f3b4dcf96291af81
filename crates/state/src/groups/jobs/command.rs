//! What a coordinator can be told about jobs, and how that is written into its commands. The numbers
//! of variants and fields are permanent.

use flotilla_types::{JobName, MemberId, Timestamp};
use minicbor::{Decode, Encode};

use crate::DecodeError;
use crate::groups::bodies::{job_name, member_id};

/// A decision about jobs that every replica of a coordinator applies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobCommand {
    /// Makes the owner of a job, and the job for the first one, unless it is owned by another.
    Acquire {
        job: JobName,
        owner: MemberId,
        client_name: String,
        session_timeout_ms: u32,
        now: Timestamp,
    },
    /// The owner does not want the job any more. Nothing happens if its ownership has ended.
    Release {
        job: JobName,
        owner: MemberId,
        token_count: u64,
        now: Timestamp,
    },
    /// The owner was silent for too long.
    ExpireOwner {
        job: JobName,
        /// Its last acquisition when that was found. Nothing happens if it has asked again.
        acquired: u64,
        now: Timestamp,
    },
    /// Forgets jobs that nobody has owned for `idle_ms`.
    ExpireJobs { now: Timestamp, idle_ms: u64 },
}

#[derive(Encode, Decode)]
pub(in crate::groups) enum JobCommandBody {
    #[n(0)]
    Acquire {
        #[n(0)]
        job: String,
        #[n(1)]
        owner: String,
        #[n(2)]
        client_name: String,
        #[n(3)]
        session_timeout_ms: u32,
        #[n(4)]
        now_ms: i64,
    },
    #[n(1)]
    Release {
        #[n(0)]
        job: String,
        #[n(1)]
        owner: String,
        #[n(2)]
        token_count: u64,
        #[n(3)]
        now_ms: i64,
    },
    #[n(2)]
    ExpireOwner {
        #[n(0)]
        job: String,
        #[n(1)]
        acquired: u64,
        #[n(2)]
        now_ms: i64,
    },
    #[n(3)]
    ExpireJobs {
        #[n(0)]
        now_ms: i64,
        #[n(1)]
        idle_ms: u64,
    },
}

impl JobCommandBody {
    pub(in crate::groups) fn from_command(command: JobCommand) -> Self {
        match command {
            JobCommand::Acquire {
                job,
                owner,
                client_name,
                session_timeout_ms,
                now,
            } => Self::Acquire {
                job: job.to_string(),
                owner: owner.to_string(),
                client_name,
                session_timeout_ms,
                now_ms: now.as_millis(),
            },
            JobCommand::Release {
                job,
                owner,
                token_count,
                now,
            } => Self::Release {
                job: job.to_string(),
                owner: owner.to_string(),
                token_count,
                now_ms: now.as_millis(),
            },
            JobCommand::ExpireOwner { job, acquired, now } => Self::ExpireOwner {
                job: job.to_string(),
                acquired,
                now_ms: now.as_millis(),
            },
            JobCommand::ExpireJobs { now, idle_ms } => Self::ExpireJobs {
                now_ms: now.as_millis(),
                idle_ms,
            },
        }
    }

    pub(in crate::groups) fn into_command(
        self,
        what: &'static str,
    ) -> Result<JobCommand, DecodeError> {
        Ok(match self {
            Self::Acquire {
                job,
                owner,
                client_name,
                session_timeout_ms,
                now_ms,
            } => JobCommand::Acquire {
                job: job_name(what, &job)?,
                owner: member_id(what, &owner)?,
                client_name,
                session_timeout_ms,
                now: Timestamp::from_millis(now_ms),
            },
            Self::Release {
                job,
                owner,
                token_count,
                now_ms,
            } => JobCommand::Release {
                job: job_name(what, &job)?,
                owner: member_id(what, &owner)?,
                token_count,
                now: Timestamp::from_millis(now_ms),
            },
            Self::ExpireOwner {
                job,
                acquired,
                now_ms,
            } => JobCommand::ExpireOwner {
                job: job_name(what, &job)?,
                acquired,
                now: Timestamp::from_millis(now_ms),
            },
            Self::ExpireJobs { now_ms, idle_ms } => JobCommand::ExpireJobs {
                now: Timestamp::from_millis(now_ms),
                idle_ms,
            },
        })
    }
}
