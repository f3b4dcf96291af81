//! Jobs: work that one process at a time shall do.
//!
//! ```text
//!   coordinator ◄── AcquireJob ── Jobs::acquire ──► JobOwnership ──► the application
//!               ◄── RenewJob ──── renewal task ───► lost ─┘
//! ```
//!
//! Who owns a job is the coordinator's choice. Here is decided how long that may be believed.

mod acquisition;
mod config;
mod list;
mod ownership;
mod renewal;

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::jobs_client::JobsClient;
use flotilla_types::{FencingToken, JobName, MemberId};
use tokio::time::Instant;

pub use config::JobConfig;
pub use list::{JobDescription, JobOwner};
pub use ownership::JobOwnership;

use crate::client::Core;
use crate::deadline;
use crate::{ClientError, NodeChannel};

/// Acquires jobs and lists them. Cheap to clone.
///
/// ```no_run
/// # use flotilla_client::*;
/// # async fn example(client: Client) -> Result<(), Box<dyn std::error::Error>> {
/// let config = JobConfig::new(JobName::parse("nightly-export")?);
/// let ownership = client.jobs().acquire(config).await?; // one process at a time comes here
/// tokio::select! {
///     () = export(ownership.token()) => ownership.release().await?,
///     () = ownership.lost() => println!("another process may do it by now"),
/// }
/// # async fn export(_: FencingToken) {}
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Jobs {
    core: Arc<Core>,
}

/// Which ownership is meant.
#[derive(Clone, Debug)]
struct Claim {
    job: JobName,
    owner: MemberId,
    token: FencingToken,
}

impl Jobs {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self { core }
    }

    /// Waits until this process owns the job, however long it takes. It fails only with what does not
    /// pass, such as `COORDINATOR_FULL`.
    ///
    /// If the call is abandoned, it can be that the job is not given to anybody for as long as the
    /// session timeout.
    pub async fn acquire(&self, config: JobConfig) -> Result<JobOwnership, ClientError> {
        loop {
            let acquired = self.acquire_within(config.clone(), Duration::MAX).await?;
            if let Some(ownership) = acquired {
                return Ok(ownership);
            }
        }
    }

    /// As [`acquire`](Self::acquire), but for so long at most, and once at least. `None` if another
    /// one owns the job then.
    pub async fn acquire_within(
        &self,
        config: JobConfig,
        limit: Duration,
    ) -> Result<Option<JobOwnership>, ClientError> {
        config.validate()?;
        let deadline = deadline::after(Instant::now(), limit);
        let acquired = acquisition::acquire(&self.core, &config, deadline).await?;
        Ok(acquired.map(|acquired| JobOwnership::start(Arc::clone(&self.core), acquired)))
    }

    /// All jobs by name, owned or not.
    pub async fn list(&self) -> Result<Vec<JobDescription>, ClientError> {
        list::list(&self.core).await
    }
}

fn jobs_client(channel: NodeChannel) -> JobsClient<NodeChannel> {
    JobsClient::new(channel)
        .max_decoding_message_size(flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX)
}
