//! Issuers before a real server, with a clock that only tests move.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flotilla_identity::{Clock, IssuerConfig, Issuers, TokenRefused, VerifiedToken};
use flotilla_types::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::issuer_server::IssuerServer;
use crate::token_draft::{AUDIENCE, NOW};

/// Nothing that a test waits for takes this long.
const DEADLINE: Duration = Duration::from_secs(30);
pub(crate) const NEVER: Duration = Duration::from_secs(24 * 60 * 60);

#[derive(Clone)]
pub(crate) struct TestClock(Arc<AtomicI64>);

impl TestClock {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(NOW * 1_000)))
    }

    pub(crate) fn advance(&self, time: Duration) {
        self.0.fetch_add(time.as_millis() as i64, Ordering::Relaxed);
    }

    pub(crate) fn set_back(&self, time: Duration) {
        self.0.fetch_sub(time.as_millis() as i64, Ordering::Relaxed);
    }

    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    pub(crate) fn clock(&self) -> Clock {
        let clock = self.clone();
        Arc::new(move || clock.now())
    }
}

pub(crate) struct Arrangement {
    pub(crate) issuers: Issuers,
    pub(crate) clock: TestClock,
    pub(crate) stop: CancellationToken,
}

impl Arrangement {
    pub(crate) fn start(configs: Vec<IssuerConfig>) -> Self {
        let clock = TestClock::new();
        let stop = CancellationToken::new();
        let issuers = Issuers::start(configs, clock.clock(), &stop).unwrap();
        Self {
            issuers,
            clock,
            stop,
        }
    }

    pub(crate) async fn verify(&self, token: &str) -> Result<Arc<VerifiedToken>, TokenRefused> {
        self.issuers.verify(token).await
    }

    /// Waits until keys of the first issuer count.
    pub(crate) async fn wait_for_keys(&self) {
        let available = || self.issuers.status()[0].is_available;
        eventually("keys are available", available).await;
    }

    /// Waits until a fetch of the first issuer has failed after the last good one, and says how.
    pub(crate) async fn wait_for_failure(&self) -> String {
        let failure = || self.issuers.status()[0].failure.clone();
        eventually("a fetch fails", || failure().is_some()).await;
        failure().map_or_else(String::new, |failure| failure.to_string())
    }
}

/// Finds its keys by discovery, and fetches them in the background only if a test says so.
pub(crate) fn config_of(server: &IssuerServer) -> IssuerConfig {
    IssuerConfig {
        refresh_interval: NEVER,
        stale_max: NEVER,
        ..IssuerConfig::new(&server.issuer(), &[AUDIENCE])
    }
}

pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !condition() {
        assert!(Instant::now() < deadline, "{what}: not in time");
        // The pause between two looks at the condition that is waited for.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
