//! The ownership of a job as an application sees it.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1;
use flotilla_types::{FencingToken, JobName};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::task::AbortOnDropHandle;

use super::acquisition::Acquired;
use super::renewal::{Renewal, Standing};
use super::{Claim, jobs_client};
use crate::client::{Core, Repeat, within};
use crate::{ClientError, ProducerOwner};

/// This process owns a job, until it says otherwise or is silent for too long.
///
/// It is renewed in the background. It counts as lost when the coordinator says so, or when nobody has
/// confirmed it for the session timeout: then another process may have the job. What was lost stays
/// lost; acquire the job again.
///
/// **What may go wrong.** A process that is paused, or whose clock runs slow, can believe that it owns
/// a job for longer than it does. What it acts on should therefore be given the
/// [`token`](Self::token), and refuse every one that is smaller than the greatest it has seen.
///
/// Dropping it without [`release`](Self::release) ends the renewals: nobody gets the job until the
/// session timeout has passed.
#[derive(Debug)]
#[must_use = "the job is owned only while this is kept"]
pub struct JobOwnership {
    core: Arc<Core>,
    claim: Claim,
    session_timeout: Duration,
    standing: watch::Receiver<Standing>,
    renewal: AbortOnDropHandle<()>,
}

impl JobOwnership {
    pub(super) fn start(core: Arc<Core>, acquired: Acquired) -> Self {
        let (claim, session_timeout) = (acquired.claim.clone(), acquired.session_timeout);
        let (renewal, standing) = Renewal::new(Arc::clone(&core), acquired);
        Self {
            core,
            claim,
            session_timeout,
            standing,
            renewal: AbortOnDropHandle::new(tokio::spawn(renewal.run())),
        }
    }

    pub fn job(&self) -> &JobName {
        &self.claim.job
    }

    /// Greater than that of every earlier owner of the job.
    pub fn token(&self) -> FencingToken {
        self.claim.token
    }

    /// For a producer that shall write only while this process owns the job: see
    /// [`ProducerConfig::owner`](crate::ProducerConfig::owner).
    pub fn producer_owner(&self) -> ProducerOwner {
        ProducerOwner {
            job: self.claim.job.clone(),
            token: self.claim.token,
        }
    }

    /// Another process may own the job by now.
    pub fn is_lost(&self) -> bool {
        let is_renewed = self.standing.has_changed().is_ok();
        match *self.standing.borrow() {
            Standing::Owned { until } => !is_renewed || Instant::now() >= until,
            Standing::Lost => true,
        }
    }

    /// Waits until another process may own the job. It can be waited for anywhere, and also ends when
    /// the ownership is released or dropped.
    pub fn lost(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut standing = self.standing.clone();
        async move {
            loop {
                let until = match *standing.borrow_and_update() {
                    Standing::Owned { until } => until,
                    Standing::Lost => return,
                };
                tokio::select! {
                    biased;
                    renewed = standing.changed() => {
                        if renewed.is_err() {
                            return;
                        }
                    }
                    () = sleep_until(until) => return,
                }
            }
        }
    }

    /// Gives the job up, so that another process gets it at once. If that fails, the job is free when
    /// the session timeout has passed.
    pub async fn release(self) -> Result<(), ClientError> {
        drop(self.renewal);
        let request = v1::ReleaseJobRequest {
            job: self.claim.job.to_string(),
            owner_id: self.claim.owner.to_string(),
            token: self.claim.token.get(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { jobs_client(channel).release_job(request).await }
        };
        // Afterwards the coordinator has found out by itself.
        let patience = self.session_timeout.min(self.core.config.deadline);
        let deadline = Instant::now() + patience;
        let released = self.core.call_until(deadline, Repeat::Always, send).await;
        released.map(drop)
    }
}
