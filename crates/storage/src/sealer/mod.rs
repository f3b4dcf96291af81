//! The sealer: moves what will never change again out of the journal, and drops what is purged.
//!
//! ```text
//!   allow_sealing ──► due ──(journal sync)──► ready ──► segment, when a run is large or complete
//!   journal over budget ──(journal sync)──► pressed ──► segment from 1 MiB, else leftovers
//!   purge ──(journal sync)──► files and rows dropped
//! ```
//!
//! A run is durable in its new place, and listed there, before the journal forgets it. So a crash at
//! any point leaves each entry in one place or, byte for byte the same, in two.
//!
//! A failure here never stops the node, because nothing is lost by not sealing: the sealer says so,
//! pauses and tries again. Only damage to the journal itself is reported as fatal.

mod cleaning;
mod leftovers;
mod pressure;
mod release;
mod reseal;
mod run;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::chores::Chore;
use crate::engine::Engine;
use crate::error::StorageError;
use crate::sealer::leftovers::LeftoverBatch;
use crate::sealer::release::Release;
use crate::sealer::run::{Demand, Gathered};

/// How often the sealer looks around when nothing wakes it.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How often the free space is read and figures are published.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);
/// Pause after a failure, such as a full disk.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);

pub(crate) struct Sealer {
    engine: Arc<Engine>,
    batch: LeftoverBatch,
    /// Leftover runs, by group and first index, that have become worth a segment.
    reseal: BTreeSet<(RaftGroupId, LogIndex)>,
    /// Bytes of leftovers that were dropped since the last compaction of keys.
    dropped_leftover_bytes: u64,
    last_report: Option<Duration>,
    /// A request to the journal's writer that is not answered yet.
    release: Option<Release>,
    /// Something has left the journal, or a while has passed, since files were last asked for.
    may_release: bool,
    /// Groups were asked to make room; they follow after the journal's next sync.
    asked_for_room: bool,
    /// Whether the groups that were asked to make room have given up anything.
    made_room: bool,
    /// Making room has led to nothing; until then it is not tried again.
    no_room_until: Option<Duration>,
}

/// What one step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Worked,
    Idle,
    Failed,
}

impl Sealer {
    pub(crate) fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            batch: LeftoverBatch::default(),
            reseal: BTreeSet::new(),
            dropped_leftover_bytes: 0,
            last_report: None,
            release: None,
            may_release: true,
            asked_for_room: false,
            made_room: false,
            no_room_until: None,
        }
    }

    /// Seals until it is told to stop. As long as the journal is well below its budget it rests as long
    /// as it worked, so that producers and consumers come first.
    pub(crate) fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        let chores = &engine.chores;
        let config = &engine.config;
        let hurry = config.journal_bytes_kept.midpoint(config.journal_bytes_max);
        while !chores.is_stopped() {
            let started = engine.clock.now();
            match self.step() {
                Outcome::Worked => {
                    if engine.journal.bytes() < hurry {
                        chores.pause(engine.clock.now().saturating_sub(started));
                    }
                }
                Outcome::Idle => chores.wait(LOOK_INTERVAL),
                Outcome::Failed => chores.pause(FAILURE_PAUSE),
            }
        }
    }

    /// Does a bounded amount of work: one segment, or one batch of leftovers. True: there may be more.
    pub(crate) fn seal_once(&mut self) -> bool {
        self.step() == Outcome::Worked
    }

    fn step(&mut self) -> Outcome {
        self.report_now_and_then();
        let worked = self.work();
        if worked.is_ok() {
            // What failed has been tried again: it is asked for until it is done.
            self.engine.trouble.end();
        }
        match worked {
            Ok(true) => Outcome::Worked,
            Ok(false) => Outcome::Idle,
            Err(error) => {
                self.batch.clear();
                self.on_failure(&error);
                Outcome::Failed
            }
        }
    }

    fn work(&mut self) -> Result<bool, StorageError> {
        let mut worked = self.drop_removed()?;
        worked |= self.sweep_reset()?;
        worked |= self.drop_purged()?;
        worked |= self.ask_for_due();
        worked |= self.seal_ready()?;
        worked |= self.make_room()?;
        worked |= self.release_files()?;
        self.prepare_spare();
        worked |= self.reseal_one()?;
        worked |= self.compact_leftovers()?;
        Ok(worked)
    }

    /// Groups that may have a large run: first the journal has to sync what they have applied.
    fn ask_for_due(&self) -> bool {
        if self.engine.journal.bytes() <= self.engine.config.journal_bytes_kept {
            return false;
        }
        let due = self.engine.chores.take_all(Chore::Seal).into_iter();
        let logs = due.filter_map(|id| self.engine.sealed_log(id)).collect();
        self.engine.ask_after_sync(Chore::SealNow, logs)
    }

    /// Seals one run of the next group whose run is large or complete.
    fn seal_ready(&mut self) -> Result<bool, StorageError> {
        let chores = Arc::clone(&self.engine.chores);
        let Some(id) = chores.take_one(Chore::SealNow) else {
            return Ok(false);
        };
        let Some(log) = self.engine.sealed_log(id) else {
            return Ok(true);
        };
        let sealed = self.gather(&log, Demand::Worthwhile).and_then(|gathered| {
            let Some(gathered) = gathered else {
                return Ok(false);
            };
            match gathered {
                Gathered::Large(run) => self.write_segment(&log, run)?,
                Gathered::Small(run) => {
                    self.add_leftovers(&log, &run)?;
                    self.finish_leftovers()?;
                }
            }
            Ok(true)
        });
        // A failure is tried again; after a success the group may have another run.
        if !matches!(sealed, Ok(false)) {
            chores.ask(Chore::SealNow, id);
        }
        sealed.map(|_| true)
    }

    /// Without a spare the writer allocates its next file itself, so this may fail on a full disk.
    fn prepare_spare(&self) {
        if let Err(error) = self.engine.journal.prepare_spare() {
            tracing::warn!(
                error = %error.chain(),
                "no journal file could be allocated ahead of need"
            );
        }
    }

    fn on_failure(&self, error: &StorageError) {
        metrics::counter!("flotilla_storage_seal_failures_total").increment(1);
        match error {
            StorageError::Journal(_) | StorageError::Corrupt(_) => self.engine.fail(error),
            StorageError::Closed => {}
            _ => {
                self.engine.trouble.note(error, self.engine.clock.now());
                tracing::warn!(error = %error.chain(), "sealing failed, it is tried again");
            }
        }
    }

    fn report_now_and_then(&mut self) {
        let now = self.engine.clock.now();
        if self
            .last_report
            .is_some_and(|last| now < last + REPORT_INTERVAL)
        {
            return;
        }
        self.last_report = Some(now);
        self.may_release = true;
        self.engine.observe_space();
        let journal = &self.engine.journal;
        self.engine.pressure.observe_journal(journal.bytes());
        self.engine.pressure.observe_index(journal.index_bytes());
        self.engine.usage().publish();
        let stalled = self.engine.stalled_for();
        metrics::gauge!("flotilla_storage_stalled_seconds").set(stalled.as_secs_f64());
        let failing_for = self.engine.sealing_trouble();
        let failing_for = failing_for.map_or(Duration::ZERO, |trouble| trouble.failing_for);
        metrics::gauge!("flotilla_storage_sealing_failing_seconds").set(failing_for.as_secs_f64());
    }
}
