//! Wall-clock time as a parameter, so that a simulation can hand in its own.

use std::time::UNIX_EPOCH;

use flotilla_types::Timestamp;

/// Tells the time of day. It may jump, also backwards: what must not fall is made monotonic where
/// it is used.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> Timestamp;
}

/// The clock of the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the clock that is handed in everywhere else"
    )]
    fn now(&self) -> Timestamp {
        let millis = match std::time::SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i64::try_from(since.as_millis()).unwrap_or(i64::MAX),
            // A clock that was never set: the log takes the larger of this and its own time.
            Err(_) => 0,
        };
        Timestamp::from_millis(millis)
    }
}
