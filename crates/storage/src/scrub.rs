//! The scrub: reads everything that is stored, slowly, so that damage is found while other replicas can
//! still make up for it.
//!
//! One pass goes through the full files of the journal and then through the segments and leftovers of
//! each group. It remembers nothing over a start: a node begins with a pass. What the kernel has in
//! memory is checked there; what nobody has read for long, which is what rots unnoticed, comes from the disk.
//!
//! Damage to a group's stored entries is reported for that group, damage to the journal stops the node.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use flotilla_types::{LogIndex, RaftGroupId};

use crate::engine::Engine;
use crate::error::StorageError;
use crate::journal::FileCheck;
use crate::read;

/// Most that is read of a group at a time.
const CHUNK_BYTES: usize = 256 << 10;
/// Pause after tables could not be read at all.
const FAILURE_PAUSE: Duration = Duration::from_secs(10);
/// How often the thread looks whether it shall end.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What the scrub has done since the start.
#[derive(Default)]
pub(crate) struct ScrubMeter {
    bytes: AtomicU64,
    passes: AtomicU64,
    pass_bytes: AtomicU64,
}

pub(crate) struct Scrub {
    engine: Arc<Engine>,
    stage: Stage,
    pass_began: Duration,
    /// Nothing is read before.
    next_read: Duration,
}

enum Stage {
    /// Between two passes.
    Rest,
    Journal(FileCheck),
    Groups(GroupCheck),
}

/// The groups that are still to be read, and where the first of them goes on.
struct GroupCheck {
    ids: std::vec::IntoIter<RaftGroupId>,
    current: Option<(RaftGroupId, LogIndex)>,
}

impl ScrubMeter {
    /// Bytes since the start, whole passes, and bytes of the present pass.
    pub(crate) fn read(&self) -> (u64, u64, u64) {
        let read = |number: &AtomicU64| number.load(Ordering::Relaxed);
        (
            read(&self.bytes),
            read(&self.passes),
            read(&self.pass_bytes),
        )
    }

    fn count(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.pass_bytes.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Scrub {
    pub(crate) const fn new(engine: Arc<Engine>) -> Self {
        Self {
            engine,
            stage: Stage::Rest,
            pass_began: Duration::ZERO,
            next_read: Duration::ZERO,
        }
    }

    /// Reads until the store is closed.
    pub(crate) fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        while !engine.chores.is_stopped() {
            if !self.run_once() {
                let wait = self.next_read.saturating_sub(engine.clock.now());
                engine.chores.pause(wait.min(LOOK_INTERVAL));
            }
        }
    }

    /// Reads a little if it is time for it. False: it is not.
    pub(crate) fn run_once(&mut self) -> bool {
        let rate = self.engine.config.scrub_bytes_per_second;
        let now = self.engine.clock.now();
        if rate == 0 || now < self.next_read {
            return false;
        }
        match self.advance(now) {
            Ok(Some(bytes)) => {
                self.engine.scrub.count(bytes);
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
                let pause = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
                self.next_read = now.saturating_add(pause);
            }
            Ok(None) => {
                self.engine.scrub.passes.fetch_add(1, Ordering::Relaxed);
                self.stage = Stage::Rest;
                let next_pass = self
                    .pass_began
                    .saturating_add(self.engine.config.scrub_interval);
                self.next_read = next_pass.max(now);
                tracing::info!("all that is stored was read once");
            }
            // What is fatal has been reported where it was met.
            Err(error) => {
                tracing::warn!(error = %error.chain(), "the scrub could not read, it is tried again");
                self.next_read = now.saturating_add(FAILURE_PAUSE);
            }
        }
        true
    }

    /// Checks the next piece and tells its bytes; `None` at the end of a pass.
    fn advance(&mut self, now: Duration) -> Result<Option<u64>, StorageError> {
        match &mut self.stage {
            Stage::Rest => {
                self.pass_began = now;
                self.engine.scrub.pass_bytes.store(0, Ordering::Relaxed);
                self.stage = Stage::Journal(FileCheck::default());
                Ok(Some(0))
            }
            Stage::Journal(check) => {
                let checked = self.engine.journal.check_next(check)?;
                if checked.is_none() {
                    let groups = GroupCheck {
                        ids: self.engine.group_ids().into_iter(),
                        current: None,
                    };
                    self.stage = Stage::Groups(groups);
                }
                Ok(Some(checked.unwrap_or(0)))
            }
            Stage::Groups(check) => check.advance(&self.engine),
        }
    }
}

impl GroupCheck {
    /// Reads the next entries of a group that lie in tables.
    fn advance(&mut self, engine: &Engine) -> Result<Option<u64>, StorageError> {
        let current = self.current.take();
        let first = |id| (id, LogIndex::new(0));
        let Some((id, next)) = current.or_else(|| self.ids.next().map(first)) else {
            return Ok(None);
        };
        let Some(log) = engine.sealed_log(id).filter(|log| log.missing().is_none()) else {
            return Ok(Some(0));
        };
        let purged = log.purged().map(|purged| purged.index.next());
        let (Some(start), Some(last)) = (log.first_sealed().max(purged), log.last_sealed()) else {
            return Ok(Some(0));
        };
        let next = next.max(start);
        if next > last {
            return Ok(Some(0));
        }
        match read::read(engine, &log, next..last.next(), CHUNK_BYTES) {
            Ok(entries) => {
                self.current = entries.last().map(|entry| (id, entry.id.index.next()));
                let bytes = entries.iter().map(|entry| entry.payload.len() as u64);
                Ok(Some(bytes.sum()))
            }
            // It is reported. The rest of this replica is rebuilt with it.
            Err(StorageError::DamagedEntry { .. } | StorageError::MissingEntry { .. }) => {
                Ok(Some(0))
            }
            Err(error) => {
                self.current = Some((id, next));
                Err(error)
            }
        }
    }
}
