//! The clock seam: how storage tells how long something took.

use std::fmt::Debug;
use std::time::{Duration, Instant};

/// Time since some moment before the first call. It never goes back.
pub trait MonotonicClock: Debug + Send + Sync {
    fn now(&self) -> Duration;
}

/// The machine's own clock.
#[derive(Debug)]
pub struct RealClock {
    started: Instant,
}

impl RealClock {
    #[expect(
        clippy::new_without_default,
        reason = "starting a clock is an act, not a default"
    )]
    pub fn new() -> Self {
        Self {
            started: Instant::now(),
        }
    }
}

impl MonotonicClock for RealClock {
    fn now(&self) -> Duration {
        self.started.elapsed()
    }
}
