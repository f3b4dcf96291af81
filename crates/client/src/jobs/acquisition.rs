//! Asking for a job until it is this process's.

use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_types::{ErrorCode, FencingToken, MemberId};
use tokio::time::Instant;

use super::{Claim, JobConfig, jobs_client};
use crate::ClientError;
use crate::backoff::Backoff;
use crate::client::{Core, within};
use crate::identity::new_identity;

/// An ownership that has just been given.
pub(super) struct Acquired {
    pub(super) claim: Claim,
    /// When the coordinator was asked: from then on the session timeout is counted here.
    pub(super) asked_at: Instant,
    pub(super) session_timeout: Duration,
}

/// `None` if another one owns the job at the deadline. Every attempt is made under one name, so that
/// one whose answer is lost does not keep the job from this process.
pub(super) async fn acquire(
    core: &Core,
    config: &JobConfig,
    deadline: Instant,
) -> Result<Option<Acquired>, ClientError> {
    let started = Instant::now();
    let owner = new_identity();
    let mut backoff = Backoff::new(&core.config);
    let (mut failures, mut definite) = (0, true);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let last = match ask(core, config, (&owner, failures), left).await {
            Ok(acquired) if acquired.is_fresh() => return Ok(Some(acquired)),
            // Whoever owns it is answered at once.
            Ok(_) => continue,
            Err(error) if !error.code.is_retryable() => return Err(error.into()),
            Err(error) => error,
        };
        let is_held = last.code == ErrorCode::JobHeld;
        if is_held {
            backoff.reset();
        } else {
            failures += 1;
            definite &= last.code.is_definite();
        }
        if backoff.pause_until(deadline).await {
            continue;
        }
        return match is_held {
            true => Ok(None),
            false => Err(ClientError::GaveUp {
                waited: started.elapsed(),
                definite,
                last,
            }),
        };
    }
}

/// Asks one node, another one after each failure, and waits for a while: not so long that an answer
/// could not be believed any more.
async fn ask(
    core: &Core,
    config: &JobConfig,
    (owner, failures): (&MemberId, usize),
    left: Duration,
) -> Result<Acquired, ApiError> {
    let asked_at = Instant::now();
    let share = config.session_timeout / 3;
    let wait = share.min(left);
    let request = v1::AcquireJobRequest {
        job: config.job.to_string(),
        owner_id: owner.to_string(),
        client_name: config.client_name.clone(),
        session_timeout_ms: config.session_timeout.as_millis() as u32,
        max_wait_ms: wait.as_millis() as u32,
    };
    let send = |channel, limit| {
        let request = within(limit, request.clone());
        async move { jobs_client(channel).acquire_job(request).await }
    };
    let limit = wait + share.min(core.config.attempt_timeout);
    let answer = core.attempt_nth(failures, limit, &send).await?;
    let token = FencingToken::new(answer.token);
    if !token.is_possible() {
        return Err(ClientError::missing("a token").into_api_error());
    }
    let session_timeout = Duration::from_millis(answer.session_timeout_ms.into());
    Ok(Acquired {
        claim: Claim {
            job: config.job.clone(),
            owner: owner.clone(),
            token,
        },
        asked_at,
        session_timeout: match session_timeout.is_zero() {
            true => config.session_timeout,
            false => session_timeout,
        },
    })
}

impl Acquired {
    /// There is time to renew it.
    fn is_fresh(&self) -> bool {
        self.asked_at.elapsed() < self.session_timeout * 3 / 4
    }
}
