//! Lets a process do something so often, until the run stops.

use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

pub(super) struct Pace {
    interval: Interval,
    stop: CancellationToken,
}

impl Pace {
    /// What could not be done in time is not made up for.
    pub(super) fn every(period: Duration, stop: &CancellationToken) -> Self {
        let mut interval = interval(period.max(Duration::from_millis(1)));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            interval,
            stop: stop.clone(),
        }
    }

    /// So that `processes` with batches of `records` together send `rate` records a second.
    pub(super) fn of_rate(
        rate: u32,
        (processes, records): (u32, u32),
        stop: &CancellationToken,
    ) -> Self {
        let seconds = f64::from(processes * records) / f64::from(rate.max(1));
        Self::every(Duration::from_secs_f64(seconds), stop)
    }

    /// Waits for the next time. False once the run stops.
    pub(super) async fn next(&mut self) -> bool {
        tokio::select! {
            biased;
            () = self.stop.cancelled() => false,
            _ = self.interval.tick() => true,
        }
    }
}
