//! How fast a node sends entries that it has to read from disk.
//!
//! Whoever keeps up is served from memory. A follower that is not is catching up, and must not take
//! the disk and the links from those who write and read now.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// What was not used for so long is lost.
const BURST: Duration = Duration::from_millis(50);

/// A rate that all groups of a node share. Clones share it too.
#[derive(Clone)]
pub(crate) struct Pace {
    bytes_per_second: u64,
    /// When the next bytes may go.
    next: Arc<Mutex<Instant>>,
}

impl Pace {
    /// Zero is without a limit.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        Self {
            bytes_per_second,
            next: Arc::new(Mutex::new(Instant::now())),
        }
    }

    /// Waits until `bytes` may go.
    pub(crate) async fn take(&self, bytes: usize) {
        if self.bytes_per_second > 0 {
            tokio::time::sleep_until(self.reserve(bytes, Instant::now())).await;
        }
    }

    fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let seconds = bytes as f64 / self.bytes_per_second as f64;
        let mut next = self.next.lock();
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let turn = (*next).max(earliest);
        *next = turn + Duration::from_secs_f64(seconds);
        turn
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[test]
    fn bytes_go_at_the_rate_and_a_pause_is_not_made_up_for() {
        let pace = Pace::new(1_000);
        let start = Instant::now() + Duration::from_secs(1);
        let second = Duration::from_secs(1);
        assert!(pace.reserve(1_000, start) <= start);
        assert_eq!(pace.reserve(500, start), start + second - BURST);
        let third = pace.reserve(500, start);
        assert_eq!(third, start + second + second / 2 - BURST);
        let late = start + 100 * second;
        assert_eq!(pace.reserve(1_000, late), late - BURST);
        assert_eq!(pace.reserve(1_000, late), late + second - BURST);
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let waited = Pace::new(0).take(usize::MAX).now_or_never();
        assert_eq!(waited, Some(()));
    }
}
