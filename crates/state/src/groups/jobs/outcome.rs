//! What applying a command about a job answers.

use flotilla_types::limits::COORDINATOR_JOBS_MAX;
use flotilla_types::{ErrorCode, JobName, MemberId};

/// The result of one command. `Rejected` and `Stale` say that nothing changed.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// The one that asked is the owner, under the token of this count.
    Acquired {
        token_count: u64,
    },
    /// The ownership has ended.
    Ended,
    /// The ownership had ended before, or was acquired again: nothing happened.
    Stale,
    JobsExpired {
        count: usize,
    },
    Rejected(JobRejection),
}

/// Why a command did not fit the state that it met.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JobRejection {
    #[error("job {job} would be one too many: its coordinator holds {COORDINATOR_JOBS_MAX} jobs")]
    CoordinatorFull { job: JobName },
    #[error("job {job} is owned by {owner}{}", named(client_name))]
    JobHeld {
        job: JobName,
        owner: MemberId,
        client_name: String,
    },
}

impl JobRejection {
    pub const fn code(&self) -> ErrorCode {
        match self {
            Self::CoordinatorFull { .. } => ErrorCode::CoordinatorFull,
            Self::JobHeld { .. } => ErrorCode::JobHeld,
        }
    }
}

/// Which program it is, if it says so.
fn named(client_name: &str) -> String {
    match client_name.is_empty() {
        true => String::new(),
        false => format!(" ({client_name})"),
    }
}
