//! A journal on a simulated disk with a model beside it, for tests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use super::model::{Model, ModelGroup, Operation};
use super::mutation::Released;
use super::past::{Past, Seal};
use super::{Journal, JournalConfig, Writer};
use crate::clock::{MonotonicClock, RealClock};
use crate::disk::{Disk, SimDisk};
use crate::entry::{EntryKind, LogEntry};
use crate::error::{OpenError, StorageError};

pub(super) const FILE_BYTES: u64 = 40 << 10;

/// One thing that a test does to the journal. Numbers are reduced to what is valid at that time.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Append {
        group: u8,
        replaced: u8,
        sizes: Vec<u16>,
    },
    Vote {
        group: u8,
        bytes: u8,
    },
    Truncate {
        group: u8,
        count: u8,
    },
    Purge {
        group: u8,
        offset: u8,
    },
    Remove {
        group: u8,
    },
    Reset {
        group: u8,
    },
    Barrier,
    /// The writer takes one batch.
    Write,
    Watermark,
    /// All but so many of the durable entries are in segments.
    Seal {
        group: u8,
        kept: u8,
    },
    Release {
        copy_bytes_max: u16,
    },
    Spare,
}

/// A journal that is driven step by step.
pub(super) struct Rig {
    pub(super) disk: SimDisk,
    pub(super) journal: Journal,
    pub(super) writer: Writer,
    pub(super) past: Past,
    releases: Vec<Released>,
}

impl Rig {
    pub(super) fn new(disk: SimDisk) -> Self {
        Self::reopen(disk, Past::default()).unwrap()
    }

    /// A journal on a disk that may be stopped already; then there is none.
    pub(super) fn new_on(disk: SimDisk) -> Option<Self> {
        Self::reopen(disk, Past::default()).ok()
    }

    pub(super) fn reopen(disk: SimDisk, past: Past) -> Result<Self, OpenError> {
        let (journal, writer, _) = Journal::open(config(), Arc::new(disk.clone()), clock())?;
        Ok(Self {
            disk,
            journal,
            writer,
            past,
            releases: Vec::new(),
        })
    }

    /// Carries out the steps. They go on when the disk has failed.
    pub(super) fn run(&mut self, steps: &[Step]) {
        for step in steps {
            self.step(step);
        }
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Append {
                group,
                replaced,
                sizes,
            } => self.append(*group, *replaced, sizes),
            Step::Vote { group, bytes } => {
                let group = self.group(*group);
                let vote = self.past.payload(usize::from(*bytes));
                self.submit(Operation::Vote(group, vote));
            }
            Step::Truncate { group, count } => self.truncate(*group, *count),
            Step::Purge { group, offset } => self.purge(*group, *offset),
            Step::Remove { group } => {
                let group = self.group(*group);
                self.submit(Operation::Remove(group));
            }
            Step::Reset { group } => {
                let group = self.group(*group);
                self.submit(Operation::Reset(group));
            }
            Step::Barrier => self.submit(Operation::Barrier),
            Step::Write => {
                self.writer.run_once();
                self.recycle();
            }
            Step::Watermark => self.writer.write_watermark(),
            Step::Seal { group, kept } => self.seal(*group, *kept),
            Step::Release { copy_bytes_max } => {
                let copy_bytes_max = u64::from(*copy_bytes_max);
                let released = self.journal.copy_forward(copy_bytes_max, Box::new(|_| {}));
                self.releases.push(released);
            }
            Step::Spare => {
                let _ = self.journal.prepare_spare();
            }
        }
    }

    /// Writes until nothing is queued.
    pub(super) fn drain(&mut self) {
        while self.writer.run_once() {}
        self.recycle();
    }

    pub(super) fn submit(&mut self, operation: Operation) {
        let group = self.past.group_of(&operation);
        if group.is_some_and(|group| self.past.model.group(group).is_removed) {
            return;
        }
        self.past.model.apply(&operation);
        self.past.operations.push(operation.clone());
        let done = self.past.completion();
        match operation {
            Operation::Append(group, entries) => self.journal.append(group, entries, done),
            Operation::Vote(group, vote) => self.journal.save_vote(group, vote, done),
            Operation::Truncate(group, from) => self.journal.truncate_from(group, from, done),
            Operation::Purge(group, to) => drop(self.journal.purge_to(group, to, done)),
            Operation::Remove(group) => self.journal.remove_group(group, done),
            Operation::Reset(group) => {
                let life = self.journal.life(group).next();
                drop(self.journal.reset_group(group, life, done));
            }
            Operation::Barrier => self.journal.after_sync(done),
        }
    }

    /// The journal shows what was submitted, durable or not, minus what segments hold.
    pub(super) fn assert_shows_everything(&self) {
        let stored = Stored::read(&self.journal).unwrap();
        let problem = stored.differs(&self.past.model, &self.past.sealed_now());
        assert_eq!(problem, None, "{:?}", self.past.operations);
    }

    fn recycle(&mut self) {
        for released in &self.releases {
            let _ = self.journal.recycle(released);
        }
    }

    fn group(&self, number: u8) -> RaftGroupId {
        RaftGroupId::new(u32::from(number % 5))
    }

    fn append(&mut self, group: u8, replaced: u8, sizes: &[u16]) {
        let id = self.group(group);
        let floor = self.past.floor(id);
        let next = self.past.model.group(id).next().get();
        let first = next.saturating_sub(u64::from(replaced)).max(floor);
        let group = self.past.model.group(id);
        group.term += u64::from(first < next);
        let term = group.term();
        let mut entries = Vec::new();
        for (number, size) in sizes.iter().enumerate() {
            let index = LogIndex::new(first + number as u64);
            let kind = [EntryKind::Command, EntryKind::Membership, EntryKind::Blank][number % 3];
            let payload = self.past.payload(usize::from(*size));
            entries.push(LogEntry {
                id: LogId::new(term, index),
                kind,
                payload,
            });
        }
        if !entries.is_empty() {
            self.submit(Operation::Append(id, entries));
        }
    }

    fn truncate(&mut self, group: u8, count: u8) {
        let id = self.group(group);
        let floor = self.past.floor(id);
        let group = self.past.model.group(id);
        let from = group
            .next()
            .get()
            .saturating_sub(u64::from(count))
            .max(floor);
        if group.entries.contains_key(&LogIndex::new(from)) {
            group.term += 1;
            self.submit(Operation::Truncate(id, LogIndex::new(from)));
        }
    }

    fn purge(&mut self, group: u8, offset: u8) {
        let id = self.group(group);
        let floor = self.past.floor(id);
        let group = self.past.model.group(id);
        let index = LogIndex::new(floor + u64::from(offset));
        let term = group.entries.get(&index).map(|entry| entry.id.term);
        if group.purged.is_some_and(|purged| purged.index >= index) {
            return;
        }
        if term.is_none() && index < group.next() {
            return;
        }
        let term = term.unwrap_or_else(|| group.term());
        self.submit(Operation::Purge(id, LogId::new(term, index)));
    }

    fn seal(&mut self, group: u8, kept: u8) {
        let id = self.group(group);
        let mut durable = self.past.model_after(self.past.acknowledged());
        let Some(last) = durable.group(id).entries.last_key_value() else {
            return;
        };
        let index = LogIndex::new(last.0.get().saturating_sub(u64::from(kept)));
        let entry = durable.group(id).entries.get(&index);
        if entry.is_some() && entry == self.past.model.group(id).entries.get(&index) {
            let life = self.journal.life(id);
            self.journal.release_sealed(id, life, index);
            self.past.seals.push(Seal {
                group: id,
                after: self.past.operations.len(),
                last: index,
            });
        }
    }
}

/// What a journal serves.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    groups: BTreeMap<RaftGroupId, ModelGroup>,
}

impl Stored {
    pub(super) fn read(journal: &Journal) -> Result<Self, StorageError> {
        let mut stored = Self::default();
        for id in (0..5).map(RaftGroupId::new) {
            let group = stored.groups.entry(id).or_default();
            group.vote = journal.vote(id);
            group.purged = journal.last_purged(id);
            group.is_removed = journal.is_removed(id);
            let Some((first, last)) = journal.group_range(id) else {
                continue;
            };
            let mut next = first.index;
            while next <= last.index {
                let entries = journal.read(id, next..last.index.next(), 7_000)?;
                assert!(!entries.is_empty(), "the range has no hole");
                for entry in entries {
                    assert_eq!(entry.id.index, next, "entries are contiguous");
                    assert_eq!(journal.term_at(id, next), Some(entry.id.term));
                    group.entries.insert(next, entry);
                    next = next.next();
                }
            }
        }
        Ok(stored)
    }

    /// How this is not what the model says, entries that segments hold left aside.
    pub(super) fn differs(
        &self,
        model: &Model,
        sealed: &BTreeMap<RaftGroupId, LogIndex>,
    ) -> Option<String> {
        let nothing = ModelGroup::default();
        self.groups.iter().find_map(|(id, stored)| {
            let wanted = model.groups.get(id).unwrap_or(&nothing);
            let start = sealed
                .get(id)
                .map_or(LogIndex::new(0), |sealed| sealed.next());
            let heads = |group: &ModelGroup| (group.vote.clone(), group.purged, group.is_removed);
            if heads(stored) != heads(wanted) {
                return Some(format!("{id}: {:?} for {:?}", heads(stored), heads(wanted)));
            }
            if !stored
                .entries
                .range(start..)
                .eq(wanted.entries.range(start..))
            {
                let stored = stored.entries.keys().map(|index| index.get());
                let wanted = wanted.entries.keys().map(|index| index.get());
                let (stored, wanted): (Vec<_>, Vec<_>) = (stored.collect(), wanted.collect());
                return Some(format!("{id} from {start}: {stored:?} for {wanted:?}"));
            }
            let is_known =
                |(index, entry): (&LogIndex, &LogEntry)| wanted.entries.get(index) == Some(entry);
            let leftover = stored
                .entries
                .range(..start)
                .find(|entry| !is_known(*entry));
            leftover.map(|leftover| format!("{id}: a sealed entry changed: {leftover:?}"))
        })
    }
}

pub(super) fn config() -> JournalConfig {
    JournalConfig {
        directory: directory(),
        file_bytes: FILE_BYTES,
        spare_files_max: 2,
        cache_bytes: 8 << 10,
        salt: 0x5a17,
    }
}

pub(super) fn directory() -> PathBuf {
    PathBuf::from("/data/journal")
}

pub(super) fn clock() -> Arc<dyn MonotonicClock> {
    Arc::new(RealClock::new())
}

/// The journal files of a disk, oldest first.
pub(super) fn log_files(disk: &SimDisk) -> Vec<PathBuf> {
    let mut names = disk.list(&directory()).unwrap();
    names.retain(|name| {
        Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "log")
    });
    names.sort();
    names
        .into_iter()
        .map(|name| directory().join(name))
        .collect()
}

/// An entry whose payload tells it apart.
pub(super) fn entry(term: u64, index: u64, payload: impl Into<Bytes>) -> LogEntry {
    LogEntry {
        id: LogId::new(Term::new(term), LogIndex::new(index)),
        kind: EntryKind::Command,
        payload: payload.into(),
    }
}
