//! How a client behaves.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use flotilla_types::Timestamp;

use crate::ClientError;

/// Settings that everything made by one [`Client`](crate::Client) shares.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    /// Nodes to ask first, as `host:port`. One that answers is enough: it names the others.
    pub bootstrap: Vec<String>,
    /// Longest time for one administrative call or look-up, retries included. Default 30 s.
    pub deadline: Duration,
    /// Longest time for one attempt at something that any node can answer. Then the next node is
    /// asked. Default 2 s.
    pub attempt_timeout: Duration,
    /// Longest time to establish a connection. Default 2 s.
    pub connect_timeout: Duration,
    /// First pause between attempts. It doubles up to `backoff_max`, and each one is shortened by a
    /// random part of up to a half. Default 10 ms.
    pub backoff_min: Duration,
    /// Longest pause between attempts. Default 250 ms.
    pub backoff_max: Duration,
    /// Age at which the knowledge about topics and leaders is renewed even if nothing failed, so
    /// that new partitions are noticed. Default 60 s.
    pub metadata_age_max: Duration,
    /// Where records without a timestamp get theirs from. Default: the system's clock.
    pub clock: fn() -> Timestamp,
}

impl ClientConfig {
    /// The defaults, with these nodes to begin with.
    pub fn new<A: Into<String>>(bootstrap: impl IntoIterator<Item = A>) -> Self {
        Self {
            bootstrap: bootstrap.into_iter().map(Into::into).collect(),
            deadline: Duration::from_secs(30),
            attempt_timeout: Duration::from_secs(2),
            connect_timeout: Duration::from_secs(2),
            backoff_min: Duration::from_millis(10),
            backoff_max: Duration::from_millis(250),
            metadata_age_max: Duration::from_secs(60),
            clock: system_clock,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), ClientError> {
        if self.bootstrap.is_empty() {
            return Err(ClientError::invalid("at least one node address is needed"));
        }
        if self.backoff_min.is_zero() || self.backoff_min > self.backoff_max {
            return Err(ClientError::invalid(
                "backoff_min must be above zero and not above backoff_max",
            ));
        }
        Ok(())
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "an application's client has no other clock; simulations hand in theirs"
)]
fn system_clock() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let millis = since_epoch.map_or(0, |elapsed| elapsed.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}
