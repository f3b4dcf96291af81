//! How fast a node sends entries that it has to read from disk.
//!
//! Whoever keeps up is served from memory. A follower that is not is catching up, and must not take
//! the processor, the disk and the links from those who write and read now. So there is a most, and
//! below it the node's own lag decides: how much later than it was due a task gets its turn. While
//! tasks are late the rate is halved again and again, down to a least, and then it grows slowly. (Transport
//! in the background by measured delay is the idea of LEDBAT, RFC 6817.) It is never less than twice what
//! the node takes in, even if that is more than the most: whoever catches up shall come to an end.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

/// What was not used for so long is lost.
const BURST: Duration = Duration::from_millis(50);
/// Everybody waits at least so long, to see how late the node is.
const PROBE: Duration = Duration::from_millis(2);
/// A node whose tasks are later than this has more to do than it can.
const LAG_MAX: Duration = Duration::from_millis(5);
/// How much the rate grows after each piece that was not late.
const GROWTH: f64 = 1.05;
/// The most is so many times the least.
const RANGE: f64 = 6.0;
/// One stall makes many tasks late at a time, and counts once.
const CUT_INTERVAL: Duration = Duration::from_millis(100);
/// How often it is worked out anew what the node takes in.
const INTAKE_INTERVAL: Duration = Duration::from_secs(1);

/// A rate that all groups of a node share. Clones share it too.
#[derive(Clone)]
pub(crate) struct Pace {
    /// Bytes per second at the most. Zero is without a limit.
    most: u64,
    /// What all groups of the node have appended.
    taken_in: Arc<AtomicU64>,
    state: Arc<Mutex<State>>,
}

struct State {
    /// Bytes per second.
    rate: f64,
    /// When the next bytes may go.
    next: Instant,
    cut_at: Option<Instant>,
    intake: Intake,
}

/// How much the node takes in.
struct Intake {
    /// Bytes per second, of the interval before this one.
    rate: f64,
    /// What had been appended when this interval began.
    bytes_before: u64,
    since: Instant,
}

impl Pace {
    /// Zero is without a limit.
    pub(crate) fn new(bytes_per_second: u64) -> Self {
        let state = State {
            rate: bytes_per_second as f64,
            next: Instant::now(),
            cut_at: None,
            intake: Intake {
                rate: 0.0,
                bytes_before: 0,
                since: Instant::now(),
            },
        };
        Self {
            most: bytes_per_second,
            taken_in: Arc::default(),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// The node has taken in so many bytes.
    pub(crate) fn note_intake(&self, bytes: usize) {
        self.taken_in.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Waits until `bytes` may go.
    pub(crate) async fn take(&self, bytes: usize) {
        if self.most > 0 {
            let now = Instant::now();
            let turn = self.reserve(bytes, now).max(now + PROBE);
            sleep_until(turn).await;
            self.adapt(turn.elapsed(), Instant::now());
        }
    }

    fn reserve(&self, bytes: usize, now: Instant) -> Instant {
        let mut state = self.state.lock();
        let seconds = bytes as f64 / state.rate;
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        let turn = state.next.max(earliest);
        state.next = turn + Duration::from_secs_f64(seconds);
        turn
    }

    /// A task was so late.
    fn adapt(&self, lag: Duration, now: Instant) {
        let mut state = self.state.lock();
        if lag <= LAG_MAX {
            state.rate *= GROWTH;
        } else if state.cut_at.is_none_or(|at| now >= at + CUT_INTERVAL) {
            state.rate /= 2.0;
            state.cut_at = Some(now);
        }
        let taken_in = self.taken_in.load(Ordering::Relaxed);
        state.intake.observe(taken_in, now);
        let (most, enough) = (self.most as f64, 2.0 * state.intake.rate);
        state.rate = state.rate.min(most).max(most / RANGE).max(enough);
    }
}

impl Intake {
    fn observe(&mut self, bytes: u64, now: Instant) {
        let elapsed = now.saturating_duration_since(self.since);
        if elapsed >= INTAKE_INTERVAL {
            self.rate = (bytes - self.bytes_before) as f64 / elapsed.as_secs_f64();
            (self.bytes_before, self.since) = (bytes, now);
        }
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
    fn the_rate_falls_while_tasks_are_late_and_comes_back() {
        let pace = Pace::new(6_000);
        let second = Duration::from_secs(1);
        // How long 6,000 bytes take at the rate of now.
        let time = || {
            let start = Instant::now() + second;
            pace.reserve(6_000, start);
            let taken = pace.state.lock().next + BURST - start;
            pace.state.lock().next = Instant::now();
            taken
        };
        assert_eq!(time(), second);
        let mut now = Instant::now();
        for _ in 0..3 {
            pace.adapt(second, now);
        }
        assert_eq!(time(), 2 * second);
        for _ in 0..10 {
            now += CUT_INTERVAL;
            pace.adapt(second, now);
        }
        assert_eq!(time(), 6 * second);
        for _ in 0..100 {
            pace.adapt(Duration::ZERO, now);
        }
        assert_eq!(time(), second);
    }

    #[test]
    fn whoever_catches_up_gets_more_than_comes_in() {
        let pace = Pace::new(6_000);
        pace.note_intake(20_000);
        let later = Instant::now() + Duration::from_secs(2);
        pace.adapt(Duration::from_secs(1), later);
        let rate = pace.state.lock().rate;
        assert!((19_000.0..=20_100.0).contains(&rate), "{rate}");
    }

    #[test]
    fn without_a_limit_nothing_waits() {
        let waited = Pace::new(0).take(usize::MAX).now_or_never();
        assert_eq!(waited, Some(()));
    }
}
