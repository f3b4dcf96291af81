//! When records are due that are sent at a fixed rate.

use std::time::Duration;

use tokio::time::Instant;

use crate::values::Rate;

/// A timetable. It does not move when somebody is late: whoever falls behind catches up, and sees
/// by how much it was late.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    start: Instant,
    rate: Rate,
}

impl Pace {
    pub(crate) fn new(start: Instant, rate: Rate) -> Self {
        Self { start, rate }
    }

    /// When the record is due before which `count` others are.
    pub(crate) fn due(&self, count: u64) -> Instant {
        let seconds = count as f64 / self.rate.per_second();
        // A time that no `Instant` can hold is never reached.
        let after = Duration::try_from_secs_f64(seconds).unwrap_or(NEVER);
        self.start.checked_add(after).unwrap_or(self.start + NEVER)
    }
}

const NEVER: Duration = Duration::from_secs(100 * 365 * 24 * 60 * 60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::values::parse_rate;

    #[test]
    fn records_are_due_at_even_distances_without_drift() {
        let start = Instant::now();
        let pace = Pace::new(start, parse_rate("4").unwrap());
        assert_eq!(pace.due(0), start);
        assert_eq!(pace.due(3) - start, Duration::from_millis(750));
        assert_eq!(pace.due(4_000_000) - start, Duration::from_secs(1_000_000));
    }

    #[test]
    fn the_end_of_time_is_no_panic() {
        let pace = Pace::new(Instant::now(), parse_rate("0.000000001").unwrap());
        assert!(pace.due(u64::MAX) > pace.due(0));
    }
}
