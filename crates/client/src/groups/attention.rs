//! Whether the application still polls.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Shared by the consumer, which tells, and its session, which watches.
#[derive(Debug)]
pub(super) struct Attention {
    state: Mutex<State>,
    polled: Notify,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Polling,
    IdleSince(Instant),
}

/// While it lives, the application is polling.
pub(super) struct Polling<'a>(&'a Attention);

impl Attention {
    pub(super) fn new() -> Self {
        Self {
            state: Mutex::new(State::IdleSince(Instant::now())),
            polled: Notify::new(),
        }
    }

    pub(super) fn poll(&self) -> Polling<'_> {
        *self.state.lock() = State::Polling;
        self.polled.notify_one();
        Polling(self)
    }

    /// Waits until nobody has polled for this long. A poll that waits for records is one.
    pub(super) async fn idle_for(&self, interval: Duration) {
        loop {
            let until = match *self.state.lock() {
                State::Polling => Instant::now() + interval,
                State::IdleSince(since) if since.elapsed() >= interval => return,
                State::IdleSince(since) => since + interval,
            };
            sleep_until(until).await;
        }
    }

    /// Waits until somebody polls, or has done so after `since`.
    pub(super) async fn polled_after(&self, since: Instant) {
        loop {
            let polled = self.polled.notified();
            match *self.state.lock() {
                State::Polling => return,
                State::IdleSince(idle_since) if idle_since > since => return,
                State::IdleSince(_) => {}
            }
            polled.await;
        }
    }
}

impl Drop for Polling<'_> {
    fn drop(&mut self) {
        *self.0.state.lock() = State::IdleSince(Instant::now());
    }
}
