//! The engine of the product: one journal for all groups, and segments.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use bytes::Bytes;
use crossbeam_channel::after;
use flotilla_storage::{EntryKind, GroupLog, LogEntry, Seams, Storage, StorageConfig};
use flotilla_types::limits::CHECKPOINT_INTERVAL_BYTES;
use flotilla_types::{ClusterId, LogId, LogIndex, NodeId, RaftGroupId, Term};
use parking_lot::Mutex;

use super::{Account, AtRest, Done, Engine};

/// What is not sealed by then never will be.
const DRAIN_LIMIT: Duration = Duration::from_secs(120);
const LOOK_INTERVAL: Duration = Duration::from_millis(20);
/// A sealer that has done nothing for so long has nothing to do: it looks around four times a second.
const REST_TIME: Duration = Duration::from_secs(2);

pub struct JournalEngine {
    storage: Storage,
    groups: Vec<Group>,
    at_rest: AtRest,
}

struct Group {
    log: GroupLog,
    progress: Mutex<Progress>,
}

/// What the state machine of the group would know.
#[derive(Default)]
struct Progress {
    applied: u64,
    bytes_since_checkpoint: u64,
}

impl JournalEngine {
    /// A fresh store with the product's settings, except that it keeps nothing in the journal that can
    /// be sealed if it is to be [`AtRest::Sealed`]. By default the newest half gigabyte stays there
    /// until more comes; so a run could never pay for the sealing of all that it wrote.
    pub fn open(directory: &Path, group_count: u32, at_rest: AtRest) -> Result<Self> {
        let mut config = StorageConfig::new(directory);
        if at_rest == AtRest::Sealed {
            config.journal_bytes_kept = 0;
        }
        let storage = Storage::open(config, Seams::real())?;
        storage.adopt_identity(ClusterId::new([7; 16]), NodeId::new(1))?;
        storage.on_failure(Box::new(|error| panic!("storage failed: {error}")));
        let groups = (0..group_count).map(|group| {
            let log = storage.group(RaftGroupId::new(group + 1))?;
            Ok(Group {
                log,
                progress: Mutex::default(),
            })
        });
        Ok(Self {
            groups: groups.collect::<Result<_>>()?,
            storage,
            at_rest,
        })
    }

    pub fn log(&self, group: u32) -> &GroupLog {
        &self.groups[group as usize].log
    }

    pub const fn storage(&self) -> &Storage {
        &self.storage
    }

    /// Ends every log with a checkpoint, so that what comes before it can be sealed.
    fn end_intervals(&self) {
        for group in &self.groups {
            let mut progress = group.progress.lock();
            let last = LogIndex::new(progress.applied);
            progress.bytes_since_checkpoint = 0;
            group.log.allow_sealing(last, &[last]);
        }
    }
}

impl Engine for JournalEngine {
    fn append(&self, group: u32, index: u64, batch: &Bytes, done: Done) {
        let entry = LogEntry {
            id: LogId::new(Term::new(1), LogIndex::new(index)),
            kind: EntryKind::Command,
            payload: batch.clone(),
        };
        let done = move |result: Result<(), flotilla_storage::StorageError>| {
            result.expect("the journal takes every batch");
            done();
        };
        self.log(group).append(vec![entry], Box::new(done));
    }

    /// Lets the entry leave the journal, and marks checkpoints as the state machine does.
    fn acknowledged(&self, group: u32, index: u64, bytes: u64) {
        let group = &self.groups[group as usize];
        let mut progress = group.progress.lock();
        progress.applied = index;
        progress.bytes_since_checkpoint += bytes;
        let index = LogIndex::new(index);
        if progress.bytes_since_checkpoint >= CHECKPOINT_INTERVAL_BYTES {
            progress.bytes_since_checkpoint = 0;
            group.log.allow_sealing(index, &[index]);
        } else {
            group.log.allow_sealing(index, &[]);
        }
    }

    fn drain(&self) -> Result<()> {
        if self.at_rest == AtRest::Sealed {
            self.end_intervals();
        }
        let end = Instant::now() + DRAIN_LIMIT;
        let (mut unsealed, mut since) = (self.unsealed_bytes(), Instant::now());
        loop {
            let is_done = match self.at_rest {
                AtRest::Sealed => unsealed == 0,
                AtRest::AsUsual => since.elapsed() >= REST_TIME,
            };
            if is_done {
                return Ok(());
            }
            if Instant::now() >= end {
                bail!("{unsealed} bytes are not sealed after {DRAIN_LIMIT:?}");
            }
            // The sealer tells nobody when it is done, so it is asked again.
            let _ = after(LOOK_INTERVAL).recv();
            let now = self.unsealed_bytes();
            if now != unsealed {
                (unsealed, since) = (now, Instant::now());
            }
        }
    }

    fn unsealed_bytes(&self) -> u64 {
        let all: u64 = self.groups.iter().map(|group| group.log.log_bytes()).sum();
        let usage = self.storage.usage();
        all.saturating_sub(usage.segment_bytes + usage.leftover_bytes)
    }

    fn account(&self) -> Account {
        let usage = self.storage.usage();
        Account {
            journal_bytes: usage.journal_bytes_written,
            sealed_bytes: usage.sealed_bytes_written,
        }
    }

    fn close(&self) {
        self.storage.close();
    }
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use tempfile::TempDir;

    use super::*;
    use crate::engine::{Shape, write};
    use crate::payloads::Payloads;

    #[test]
    fn a_drained_journal_has_everything_in_segments() -> Result<()> {
        let directory = TempDir::new()?;
        let engine = JournalEngine::open(directory.path(), 2, AtRest::Sealed)?;
        let shape = Shape {
            groups: 2,
            submitters: 2,
            ..Shape::default()
        };
        let batches = Payloads::new(1, shape.batch_bytes).pool(3);
        let accepted = write(&engine, &shape, &batches, 0, 40);
        assert_eq!((accepted.batches, accepted.bytes), (80, 80 << 16));
        engine.drain()?;
        let usage = engine.storage().usage();
        assert!(usage.segment_bytes >= accepted.bytes, "{usage:?}");
        let log = engine.log(1);
        let read = log.read(LogIndex::new(1)..LogIndex::new(41), usize::MAX);
        assert_eq!(read.context("the log can be read")?.len(), 40);
        engine.close();
        Ok(())
    }
}
