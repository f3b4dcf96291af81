//! How fast the connections of a route may send together.

use std::num::NonZeroU64;
use std::time::Duration;

use tokio::time::Instant;

/// What a turn may last. Shorter ones would wake the process for a handful of bytes.
const TURN: Duration = Duration::from_millis(10);

/// Turns are given one after the other, to whoever asks, each as long as its bytes take at the rate.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    next: Option<Instant>,
}

/// A turn: so many bytes, from this moment on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    pub(crate) bytes: usize,
    pub(crate) at: Instant,
}

impl Pace {
    /// A turn for at most `bytes`. Timers fire late, so who comes late by no more than a turn catches up.
    pub(crate) fn take_turn(&mut self, bytes: usize, rate: NonZeroU64, now: Instant) -> Turn {
        let per_turn = (rate.get() as f64 * TURN.as_secs_f64()).max(1.0);
        let bytes = bytes.min(per_turn as usize);
        let length = Duration::from_secs_f64(bytes as f64 / rate.get() as f64);
        let earliest = now.checked_sub(TURN).unwrap_or(now);
        let at = self.next.unwrap_or(now).max(earliest);
        self.next = Some(at + length);
        Turn { bytes, at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_follow_one_another_at_the_rate() {
        let now = Instant::now();
        let rate = NonZeroU64::new(1_000).unwrap();
        let mut pace = Pace::default();
        let turns: Vec<_> = (0..101).map(|_| pace.take_turn(500, rate, now)).collect();
        assert!(turns.iter().all(|turn| turn.bytes == 10), "{turns:?}");
        assert_eq!(turns[0].at, now);
        let waited = turns[100].at - now;
        assert!(waited.abs_diff(Duration::from_secs(1)) < Duration::from_millis(1));
    }

    #[test]
    fn what_was_not_sent_in_time_is_not_saved_up() {
        let now = Instant::now();
        let rate = NonZeroU64::new(1_000).unwrap();
        let mut pace = Pace::default();
        pace.take_turn(10, rate, now);
        let later = now + Duration::from_secs(60);
        assert_eq!(pace.take_turn(10, rate, later).at, later - TURN);
    }

    #[test]
    fn the_slowest_rate_sends_a_byte_at_a_time() {
        let now = Instant::now();
        let mut pace = Pace::default();
        assert_eq!(pace.take_turn(500, NonZeroU64::MIN, now).bytes, 1);
    }
}
