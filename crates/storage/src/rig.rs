//! A store to test: on the machine with RocksDB, or on a simulated disk with tables in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::clock::MonotonicClock;
use crate::config::StorageConfig;
use crate::disk::{Disk, RealDisk, SimDisk};
use crate::entry::{Completion, EntryKind, LogEntry};
use crate::error::{OpenError, StorageError};
use crate::group::GroupLog;
use crate::seams::{Seams, TablesFactory, Threads};
use crate::storage::Storage;
use crate::tables::memory::MemoryTables;

/// Far more steps than any test needs, so that a store that never comes to rest fails.
const STEPS_MAX: usize = 100_000;

pub(crate) enum World {
    Real(TempDir),
    Simulated { disk: SimDisk, tables: MemoryTables },
}

/// A clock that a test moves.
#[derive(Debug, Default)]
pub(crate) struct HandClock(AtomicU64);

impl MonotonicClock for HandClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }
}

/// A stepped store and its world.
pub(crate) struct Rig {
    pub(crate) world: World,
    pub(crate) config: StorageConfig,
    pub(crate) clock: Arc<HandClock>,
    starts: u64,
    storage: Option<Storage>,
}

/// What a completion said, once it was called.
pub(crate) type Answer = Arc<Mutex<Option<Result<(), StorageError>>>>;

pub(crate) fn answer() -> (Completion, Answer) {
    let answer = Answer::default();
    let filled = Arc::clone(&answer);
    (
        Box::new(move |result| *filled.lock() = Some(result)),
        answer,
    )
}

/// For changes whose outcome the test does not look at.
pub(crate) fn unheard() -> Completion {
    Box::new(|_| ())
}

impl World {
    pub(crate) fn real() -> Self {
        Self::Real(tempfile::tempdir().unwrap())
    }

    pub(crate) fn simulated() -> Self {
        Self::Simulated {
            disk: SimDisk::new(),
            tables: MemoryTables::new(),
        }
    }

    pub(crate) fn both() -> [Self; 2] {
        [Self::simulated(), Self::real()]
    }
}

impl Rig {
    /// Small files and segments, so that little data goes a long way.
    pub(crate) fn new(world: World) -> Self {
        let dir = match &world {
            World::Real(dir) => dir.path().join("data"),
            World::Simulated { .. } => "/data".into(),
        };
        let mut config = StorageConfig::new(dir);
        config.journal_file_bytes = 64 << 10;
        config.journal_bytes_max = 256 << 10;
        config.journal_bytes_kept = 0;
        config.tail_cache_bytes = 32 << 10;
        config.segment_bytes_target = 32 << 10;
        config.segment_bytes_min = 4 << 10;
        Self::configured(world, config)
    }

    pub(crate) fn configured(world: World, config: StorageConfig) -> Self {
        let clock = Arc::default();
        let mut rig = Self {
            world,
            config,
            clock,
            starts: 0,
            storage: None,
        };
        rig.open().unwrap();
        rig
    }

    pub(crate) fn simulated() -> Self {
        Self::new(World::simulated())
    }

    pub(crate) fn storage(&self) -> &Storage {
        self.storage.as_ref().unwrap()
    }

    pub(crate) fn group(&self, id: u32) -> GroupLog {
        self.storage().group(RaftGroupId::new(id)).unwrap()
    }

    pub(crate) fn disk(&self) -> &SimDisk {
        match &self.world {
            World::Simulated { disk, .. } => disk,
            World::Real(_) => panic!("the machine's disk is not simulated"),
        }
    }

    pub(crate) fn tables(&self) -> &MemoryTables {
        match &self.world {
            World::Simulated { tables, .. } => tables,
            World::Real(_) => panic!("RocksDB is not simulated"),
        }
    }

    pub(crate) fn seams(&mut self) -> Seams {
        self.starts += 1;
        let (disk, tables): (Arc<dyn Disk>, _) = match &self.world {
            World::Real(_) => (Arc::new(RealDisk), TablesFactory::rocksdb()),
            World::Simulated { disk, tables } => {
                (Arc::new(disk.clone()), TablesFactory::memory(tables))
            }
        };
        Seams {
            disk,
            tables,
            clock: Arc::clone(&self.clock) as _,
            threads: Threads::Stepped,
            journal_salt: self.starts,
        }
    }

    pub(crate) fn open(&mut self) -> Result<(), OpenError> {
        let seams = self.seams();
        self.storage = Some(Storage::open(self.config.clone(), seams)?);
        Ok(())
    }

    pub(crate) fn close(&mut self) {
        if let Some(storage) = self.storage.take() {
            storage.close();
        }
    }

    /// Lets go of the store without closing it, as a crash does.
    pub(crate) fn abandon(&mut self) {
        self.storage = None;
    }

    pub(crate) fn reopen(&mut self) {
        self.close();
        self.open().unwrap();
    }

    pub(crate) fn pass(&self, time: Duration) {
        let millis = u64::try_from(time.as_millis()).unwrap();
        self.clock.0.fetch_add(millis, Ordering::Relaxed);
    }

    /// Works until nothing is left to do.
    pub(crate) fn settle(&self) {
        let rested = (0..STEPS_MAX).any(|_| !self.storage().step());
        assert!(rested, "the store does not come to rest");
    }

    /// Makes a change and waits until it is durable.
    pub(crate) fn durably(&self, change: impl FnOnce(Completion)) {
        self.outcome_of(change).unwrap();
    }

    pub(crate) fn outcome_of(&self, change: impl FnOnce(Completion)) -> Result<(), StorageError> {
        let (done, answer) = answer();
        change(done);
        self.settle();
        answer
            .lock()
            .take()
            .expect("a change that settled was answered")
    }

    /// Appends entries of `bytes` each, durably.
    pub(crate) fn append(&self, group: u32, indexes: std::ops::Range<u64>, bytes: usize) {
        let entries = indexes.map(|index| entry(group, index, 1, bytes)).collect();
        self.durably(|done| self.group(group).append(entries, done));
    }

    /// Tells that all of a group is applied, and lets the sealer work.
    pub(crate) fn seal(&self, group: u32, boundaries: &[u64]) {
        let log = self.group(group);
        let boundaries: Vec<_> = boundaries.iter().copied().map(LogIndex::new).collect();
        if let Some(last) = log.bounds().last {
            log.allow_sealing(last.index, &boundaries);
        }
        self.settle();
    }

    /// Everything that can be read of a group, a piece at a time.
    pub(crate) fn read_all(&self, group: u32) -> Result<Vec<LogEntry>, StorageError> {
        let log = self.group(group);
        let bounds = log.bounds();
        let mut next = bounds
            .last_purged
            .map_or(LogIndex::new(0), |purged| purged.index.next());
        let end = bounds.last.map_or(next, |last| last.index.next());
        let mut found = Vec::new();
        // A log may begin at 0 or at 1.
        if bounds.last_purged.is_none() && log.term_at(next)?.is_none() {
            next = next.next();
        }
        while next < end {
            let some = log.read(next..end, 5_000)?;
            assert!(
                !some.is_empty(),
                "group {group} has no entry {next}, its log ends before {end}"
            );
            next = some[some.len() - 1].id.index.next();
            found.extend(some);
        }
        Ok(found)
    }

    pub(crate) fn assert_holds(&self, group: u32, expected: &[LogEntry]) {
        let found = self.read_all(group).unwrap();
        let ids = |entries: &[LogEntry]| entries.iter().map(|entry| entry.id).collect::<Vec<_>>();
        assert_eq!(ids(&found), ids(expected), "group {group}");
        assert!(found == expected, "payloads of group {group} differ");
        for entry in expected {
            let term = self.group(group).term_at(entry.id.index).unwrap();
            assert_eq!(term, Some(entry.id.term), "term of {}", entry.id);
        }
    }
}

pub(crate) const fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(Term::new(term), LogIndex::new(index))
}

/// An entry whose payload tells it from every other.
pub(crate) fn entry(group: u32, index: u64, term: u64, bytes: usize) -> LogEntry {
    let seed = (u64::from(group) << 48) ^ (term << 32) ^ index;
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    let payload: Bytes = (0..bytes).map(|_| next()).collect();
    let kind = match index % 7 {
        0 => EntryKind::Blank,
        1 => EntryKind::Membership,
        _ => EntryKind::Command,
    };
    LogEntry {
        id: log_id(term, index),
        kind,
        payload,
    }
}

pub(crate) fn entries(group: u32, indexes: std::ops::Range<u64>, bytes: usize) -> Vec<LogEntry> {
    indexes.map(|index| entry(group, index, 1, bytes)).collect()
}
