//! The row writer: takes state rows from the journal's writer to their table.
//!
//! Rows enter this queue only when the journal has synced what they were derived from, so that they
//! never outrun the log. A thread of its own keeps a slow table from delaying the journal, and lets
//! many small changes share one write and one sync.
//!
//! What waits here is bounded by what is applied; when the table hangs, [`RowQueue::stalled_for`]
//! grows and the node's watchdog acts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::ErrorChain;
use parking_lot::{Condvar, Mutex};

use crate::clock::MonotonicClock;
use crate::entry::Completion;
use crate::error::StorageError;
use crate::failure::Failure;
use crate::tables::{Change, Durability, Tables, TablesError};

/// Most changes that one write to the table takes.
const CHANGES_PER_WRITE_MAX: usize = 16_384;
/// Pause before a write that found the disk full is tried again.
const FULL_DISK_PAUSE: Duration = Duration::from_secs(1);

/// Changes that belong together. With `done` they are durable before it is called.
pub(crate) struct RowWork {
    pub(crate) changes: Vec<Change>,
    pub(crate) done: Option<Completion>,
}

#[derive(Default)]
pub(crate) struct RowQueue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    works: VecDeque<RowWork>,
    /// Since when the oldest work has been waiting or is being written.
    waiting_since: Option<Duration>,
    /// No work is taken any more; what is queued is still written.
    closing: bool,
    failed: Option<StorageError>,
}

impl RowQueue {
    pub(crate) fn push(&self, work: RowWork, now: Duration) {
        let mut state = self.state.lock();
        let refusal = match &state.failed {
            Some(error) => Some(error.clone()),
            None => state.closing.then_some(StorageError::Closed),
        };
        if let Some(error) = refusal {
            drop(state);
            if let Some(done) = work.done {
                done(Err(error));
            }
            return;
        }
        state.works.push_back(work);
        state.waiting_since.get_or_insert(now);
        self.changed.notify_all();
    }

    /// Lets the writer end once the queue is empty.
    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.changed.notify_all();
    }

    pub(crate) fn stalled_for(&self, now: Duration) -> Duration {
        let since = self.state.lock().waiting_since;
        since.map_or(Duration::ZERO, |since| now.saturating_sub(since))
    }

    fn take(&self) -> Vec<RowWork> {
        let mut state = self.state.lock();
        let mut count = 0;
        let mut works = Vec::new();
        while count < CHANGES_PER_WRITE_MAX
            && let Some(work) = state.works.pop_front()
        {
            count += work.changes.len();
            works.push(work);
        }
        works
    }

    fn put_back(&self, works: Vec<RowWork>) {
        let mut state = self.state.lock();
        for work in works.into_iter().rev() {
            state.works.push_front(work);
        }
    }

    fn finished(&self, now: Duration) {
        let mut state = self.state.lock();
        state.waiting_since = if state.works.is_empty() {
            None
        } else {
            Some(now)
        };
    }

    fn fail(&self, error: &StorageError) -> VecDeque<RowWork> {
        let mut state = self.state.lock();
        state.failed = Some(error.clone());
        state.waiting_since = None;
        std::mem::take(&mut state.works)
    }
}

/// Writes what the queue holds. There is one.
pub(crate) struct RowWriter {
    pub(crate) queue: Arc<RowQueue>,
    pub(crate) tables: Arc<dyn Tables>,
    pub(crate) failure: Arc<Failure>,
    pub(crate) clock: Arc<dyn MonotonicClock>,
}

enum Written {
    Nothing,
    Something,
    DiskIsFull,
}

impl RowWriter {
    /// Runs until the queue is closed and empty, or the table has failed.
    pub(crate) fn run(mut self) {
        loop {
            {
                let mut state = self.queue.state.lock();
                while state.works.is_empty() && !state.closing {
                    self.queue.changed.wait(&mut state);
                }
                if state.works.is_empty() {
                    return;
                }
            }
            if matches!(self.write(), Written::DiskIsFull) {
                let mut state = self.queue.state.lock();
                if state.closing {
                    drop(state);
                    return self.give_up(&StorageError::Closed, Vec::new());
                }
                self.queue.changed.wait_for(&mut state, FULL_DISK_PAUSE);
            }
        }
    }

    /// Writes what is queued now. False: nothing was written.
    pub(crate) fn run_once(&mut self) -> bool {
        matches!(self.write(), Written::Something)
    }

    fn write(&mut self) -> Written {
        let mut works = self.queue.take();
        if works.is_empty() {
            return Written::Nothing;
        }
        let synced = works.iter().any(|work| work.done.is_some());
        let durability = if synced {
            Durability::Synced
        } else {
            Durability::Buffered
        };
        let changes: Vec<_> = works
            .iter_mut()
            .flat_map(|work| std::mem::take(&mut work.changes))
            .collect();
        match self.tables.write(&changes, durability) {
            Ok(()) => {
                self.queue.finished(self.clock.now());
                works
                    .into_iter()
                    .filter_map(|work| work.done)
                    .for_each(|done| done(Ok(())));
                Written::Something
            }
            // Writing the same rows again is harmless, and nothing overtakes them meanwhile.
            Err(TablesError::NoSpace(error)) => {
                tracing::warn!(error = %ErrorChain(&*error), "state rows wait for space on the disk");
                works[0].changes = changes;
                self.queue.put_back(works);
                Written::DiskIsFull
            }
            Err(error) => {
                self.give_up(&error.into(), works);
                Written::Nothing
            }
        }
    }

    fn give_up(&self, error: &StorageError, works: Vec<RowWork>) {
        let rest = self.queue.fail(error);
        if !matches!(error, StorageError::Closed) {
            self.failure.report(error);
        }
        for done in works.into_iter().chain(rest).filter_map(|work| work.done) {
            done(Err(error.clone()));
        }
    }
}
