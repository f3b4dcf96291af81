//! Points in time at which something is given up.

use std::time::Duration;

use tokio::time::Instant;

/// As good as never.
const FAR: Duration = Duration::from_secs(30 * 365 * 24 * 60 * 60);

/// The end of `limit` from `start` on. A limit that is too long to add means never.
pub(crate) fn after(start: Instant, limit: Duration) -> Instant {
    start.checked_add(limit).unwrap_or_else(|| start + FAR)
}

/// How long one of several attempts may take that are made one after the other until `deadline`: so
/// long that there is time for the others, should this one come to nothing.
pub(crate) fn share_of(deadline: Instant, attempts: usize, longest: Duration) -> Duration {
    let left = deadline.saturating_duration_since(Instant::now());
    let attempts = u32::try_from(attempts).unwrap_or(u32::MAX);
    (left / attempts.max(1)).min(longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_too_long() {
        let now = Instant::now();
        assert!(after(now, Duration::MAX) > now + Duration::from_secs(1));
        let second = Duration::from_secs(1);
        assert_eq!(after(now, second), now + second);
    }

    #[test]
    fn every_attempt_has_its_share() {
        let deadline = Instant::now() + Duration::from_secs(3);
        let longest = Duration::from_secs(2);
        let share = share_of(deadline, 3, longest);
        assert!(share <= Duration::from_secs(1) && share > Duration::from_millis(500));
        assert_eq!(share_of(deadline, 1, longest), longest);
        assert_eq!(share_of(deadline, 0, longest), longest);
    }
}
