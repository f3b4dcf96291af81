//! Sealing that fails again and again: since when, how often, and why.

use std::time::Duration;

use parking_lot::Mutex;

use crate::error::StorageError;

/// Sealing does not work at present.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealingTrouble {
    /// Since the first failure after the last success.
    pub failing_for: Duration,
    /// Attempts that failed since then.
    pub failures: u64,
    /// The last failure, with all reasons behind it.
    pub cause: String,
}

/// Remembers the failures since the last success.
#[derive(Default)]
pub(crate) struct Trouble(Mutex<Option<Failing>>);

struct Failing {
    since: Duration,
    failures: u64,
    last: StorageError,
}

impl Trouble {
    pub(crate) fn note(&self, error: &StorageError, now: Duration) {
        let mut failing = self.0.lock();
        let (since, failures) = match &*failing {
            Some(failing) => (failing.since, failing.failures),
            None => (now, 0),
        };
        *failing = Some(Failing {
            since,
            failures: failures + 1,
            last: error.clone(),
        });
    }

    pub(crate) fn end(&self) {
        *self.0.lock() = None;
    }

    pub(crate) fn present(&self, now: Duration) -> Option<SealingTrouble> {
        let failing = self.0.lock();
        failing.as_ref().map(|failing| SealingTrouble {
            failing_for: now.saturating_sub(failing.since),
            failures: failing.failures,
            cause: failing.last.chain().to_string(),
        })
    }
}
