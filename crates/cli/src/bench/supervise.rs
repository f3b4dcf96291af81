//! Waits for the clients of a benchmark, shows how far they are, and stops them when asked to.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::Io;
use crate::failure::Failure;

const PROGRESS_INTERVAL: Duration = Duration::from_millis(500);

/// The clients of a benchmark at work. They end when this is dropped.
pub(super) struct Clients<T> {
    pub(super) running: JoinSet<T>,
    /// Asks them to finish what they have begun.
    pub(super) stop: CancellationToken,
    /// Records that are done.
    pub(super) done: Arc<AtomicU64>,
}

/// How the clients ended.
pub(super) struct Ended<T> {
    pub(super) results: Vec<T>,
    pub(super) was_interrupted: bool,
}

impl<T: Send + 'static> Clients<T> {
    pub(super) fn new() -> Self {
        Self {
            running: JoinSet::new(),
            stop: CancellationToken::new(),
            done: Arc::default(),
        }
    }

    /// The first interruption stops the clients, a second one gives up on them.
    pub(super) async fn join(mut self, io: &mut Io) -> Result<Ended<T>, Failure> {
        let Io {
            output, interrupt, ..
        } = io;
        let started = Instant::now();
        let shows_progress = output.can_show_progress(false);
        let mut progress = interval(PROGRESS_INTERVAL);
        progress.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut results = Vec::new();
        loop {
            tokio::select! {
                () = interrupt.raised() => {
                    if self.stop.is_cancelled() {
                        return Err(Failure::Interrupted);
                    }
                    self.stop.cancel();
                    output.note("interrupted: finishing what was begun; again to give up");
                }
                _ = progress.tick(), if shows_progress => output.progress(format_args!(
                    "{} records, {} s",
                    self.done.load(Ordering::Relaxed),
                    started.elapsed().as_secs()
                )),
                ended = self.running.join_next() => match ended {
                    Some(Ok(result)) => results.push(result),
                    Some(Err(error)) => resume_unwind(error.into_panic()),
                    None => break,
                },
            }
        }
        Ok(Ended {
            results,
            was_interrupted: self.stop.is_cancelled(),
        })
    }
}
