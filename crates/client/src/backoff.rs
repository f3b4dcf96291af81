//! Pauses between attempts: they grow, and no two clients make the same ones.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::ClientConfig;

#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    next: Duration,
}

impl Backoff {
    pub(crate) fn new(config: &ClientConfig) -> Self {
        Self {
            min: config.backoff_min,
            max: config.backoff_max,
            next: config.backoff_min,
        }
    }

    /// Something worked: the next pause is short again.
    pub(crate) fn reset(&mut self) {
        self.next = self.min;
    }

    /// Waits for the next pause.
    pub(crate) async fn pause(&mut self) {
        sleep(self.next_pause()).await;
    }

    /// Waits for the next pause, but not beyond `deadline`. Says whether there is time left.
    pub(crate) async fn pause_until(&mut self, deadline: Instant) -> bool {
        let pause = self.next_pause();
        let left = deadline.saturating_duration_since(Instant::now());
        sleep(pause.min(left)).await;
        pause < left
    }

    fn next_pause(&mut self) -> Duration {
        self.grow().mul_f64(rand::random_range(0.5..=1.0))
    }

    fn grow(&mut self) -> Duration {
        let pause = self.next;
        self.next = (pause * 2).min(self.max);
        pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_maximum_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(&ClientConfig::new(["localhost:1"]));
        let pauses: Vec<_> = (0..7).map(|_| backoff.grow().as_millis()).collect();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 250, 250]);
        backoff.reset();
        assert_eq!(backoff.grow().as_millis(), 10);
    }
}
