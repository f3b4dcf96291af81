//! The task that keeps an ownership alive, and says how long it may be believed.
//!
//! ```text
//!   asked ───────── session timeout ─────────► until
//!     │     renewed ───────── session timeout ─────────► until
//!     └ 1/3 ┘
//! ```
//!
//! The coordinator counts from a later moment: when it answered. So it gives the job to nobody else
//! before `until`.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_types::ErrorCode;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};
use tracing::{debug, warn};

use super::acquisition::Acquired;
use super::{Claim, jobs_client};
use crate::backoff::Backoff;
use crate::client::{Core, within};

/// What may be believed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Standing {
    Owned { until: Instant },
    Lost,
}

pub(super) struct Renewal {
    core: Arc<Core>,
    claim: Claim,
    session_timeout: Duration,
    /// When what was confirmed last had been asked for.
    asked_at: Instant,
    /// Counts the attempts that failed: each goes to another node.
    failures: usize,
    backoff: Backoff,
    standing: watch::Sender<Standing>,
}

impl Renewal {
    pub(super) fn new(core: Arc<Core>, acquired: Acquired) -> (Self, watch::Receiver<Standing>) {
        let until = acquired.asked_at + acquired.session_timeout;
        let (standing, told) = watch::channel(Standing::Owned { until });
        let renewal = Self {
            backoff: Backoff::new(&core.config),
            core,
            claim: acquired.claim,
            session_timeout: acquired.session_timeout,
            asked_at: acquired.asked_at,
            failures: 0,
            standing,
        };
        (renewal, told)
    }

    /// Ends when the ownership is lost.
    pub(super) async fn run(mut self) {
        loop {
            sleep_until(self.asked_at + self.session_timeout / 3).await;
            let believed_until = self.asked_at + self.session_timeout;
            let Some(asked_at) = self.renew(believed_until).await else {
                self.standing.send_replace(Standing::Lost);
                return;
            };
            self.asked_at = asked_at;
            let until = asked_at + self.session_timeout;
            self.standing.send_replace(Standing::Owned { until });
        }
    }

    /// When the renewal that succeeded was asked for, or `None` if the ownership is lost.
    async fn renew(&mut self, believed_until: Instant) -> Option<Instant> {
        let job = &self.claim.job;
        loop {
            let asked_at = Instant::now();
            let answer = timeout_at(believed_until, self.renew_once()).await;
            let error = match answer {
                // What somebody counts as lost must not come back.
                Ok(Ok(())) if Instant::now() < believed_until => {
                    self.backoff.reset();
                    return Some(asked_at);
                }
                Ok(Err(error)) if error.code == ErrorCode::StaleToken => {
                    warn!(%job, token = %self.claim.token, "the ownership of a job has ended");
                    return None;
                }
                Ok(Err(error)) => error,
                Ok(Ok(())) | Err(_) => ApiError::new(ErrorCode::Timeout, "no node answers in time"),
            };
            debug!(%job, code = %error.code, message = error.message, "renewal failed");
            self.failures += 1;
            if !self.backoff.pause_until(believed_until).await {
                warn!(
                    %job,
                    token = %self.claim.token,
                    "the coordinator is out of reach: another process may own the job"
                );
                return None;
            }
        }
    }

    async fn renew_once(&self) -> Result<(), ApiError> {
        let request = v1::RenewJobRequest {
            job: self.claim.job.to_string(),
            owner_id: self.claim.owner.to_string(),
            token: self.claim.token.get(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { jobs_client(channel).renew_job(request).await }
        };
        // After two attempts at silent nodes there is time for a third.
        let limit = (self.session_timeout / 5).min(self.core.config.attempt_timeout);
        let answer = self.core.attempt_nth(self.failures, limit, &send).await;
        answer.map(drop)
    }
}
