//! The handle to the journal.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use super::chain::{Chain, FILE_BYTES_MIN};
use super::format::page_up;
use super::group::{Group, GroupIndex, Latest};
use super::mutation::{Change, Done, Mutation, Unsent, entry_bytes};
use super::queue::{QueueSender, queue};
use super::recovery::recover;
use super::shared::{FailureCallback, Shared};
use super::spares::Spares;
use super::{JournalConfig, Recovered, RecoveredGroup, Writer, read};
use crate::clock::MonotonicClock;
use crate::disk::Disk;
use crate::entry::{Completion, LogBounds, LogEntry};
use crate::error::{IoFailure, OpenError, StorageError};
use crate::life::Life;

/// Most bytes that one mutation may write.
const MUTATION_BYTES_MAX: u64 = 1 << 30;

/// Cheap handle; clones share the journal. The writer ends when the last one is gone, or earlier with
/// [`Journal::shut_down`].
///
/// Mutations never wait for the disk. Each has taken effect in memory when it returns; its completion
/// runs on the writer's thread. A mutation that is refused (a hole, a removed group) reports it
/// through its completion, in order, too.
#[derive(Clone, Debug)]
pub(crate) struct Journal {
    pub(super) shared: Arc<Shared>,
    queue: QueueSender,
}

impl Journal {
    /// Reads what is stored, cuts off a write that was not finished, and says durably where it ends.
    pub(crate) fn open(
        config: JournalConfig,
        disk: Arc<dyn Disk>,
        clock: Arc<dyn MonotonicClock>,
    ) -> Result<(Self, Writer, Recovered), OpenError> {
        let config = JournalConfig {
            file_bytes: page_up(config.file_bytes.max(FILE_BYTES_MIN)),
            ..config
        };
        let directory = &config.directory;
        let listed = disk.create_dir_all(directory).and_then(|()| {
            directory
                .parent()
                .map_or(Ok(()), |parent| disk.sync_dir(parent))?;
            disk.list(directory)
        });
        let names = listed.map_err(|error| IoFailure::new("list", directory, error))?;
        let spares = Spares::open(&config, Arc::clone(&disk), &names)?;
        let chain = recover(&config, &*disk, &names, &spares)?;
        let groups = chain.replay.finish(&chain.files)?;
        let recovered = describe(&groups);
        let groups: HashMap<_, _> = groups
            .into_iter()
            .map(|(id, index)| (id, Arc::new(Group::new(id, index))))
            .collect();
        let shared = Shared::new(config, (disk, clock), spares, (groups, chain.files));
        let shared = Arc::new(shared);
        let (queue, mutations) = queue();
        let is_fresh = chain.end.current.is_none();
        let end = Chain::new(Arc::clone(&shared), chain.end);
        let mut writer = Writer::new(Arc::clone(&shared), mutations, end);
        if !is_fresh {
            writer.seal_recovery()?;
        }
        Ok((Self { shared, queue }, writer, recovered))
    }

    /// Adds entries that continue the log or replace its end.
    pub(crate) fn append(&self, group: RaftGroupId, entries: Vec<LogEntry>, done: Completion) {
        let unsent = self.mutate(group, done, |group, index| {
            check_append(group.id, index, &entries)?;
            if entries.is_empty() {
                return Ok(Change::Barrier);
            }
            let replaces = index.append(&entries);
            index.drops_in_flight += u32::from(replaces);
            Ok(Change::Append {
                group: Arc::clone(group),
                life: index.life(),
                entries,
                replaces,
            })
        });
        drop(unsent);
    }

    pub(crate) fn save_vote(&self, group: RaftGroupId, vote: Bytes, done: Completion) {
        let unsent = self.mutate(group, done, |group, index| {
            index.vote = Some(Latest {
                value: vote.clone(),
                file: None,
            });
            index.drops_in_flight += 1;
            Ok(Change::Vote {
                group: Arc::clone(group),
                vote,
            })
        });
        drop(unsent);
    }

    /// Removes the end of the log, from an entry on.
    pub(crate) fn truncate_from(
        &self,
        group: RaftGroupId,
        first_removed: LogIndex,
        done: Completion,
    ) {
        let unsent = self.mutate(group, done, |group, index| {
            if let Some(floor) = index.floor().filter(|floor| first_removed <= floor.index) {
                return Err(StorageError::NotContiguous {
                    group: group.id,
                    expected: floor.index.next(),
                    found: first_removed,
                });
            }
            if !index.truncate_from(first_removed) {
                return Ok(Change::Barrier);
            }
            index.drops_in_flight += 1;
            Ok(Change::Truncate {
                group: Arc::clone(group),
                first_removed,
            })
        });
        drop(unsent);
    }

    /// Drops everything up to an entry for good. It may lie above the log's end: the log is then empty
    /// and continues after it.
    pub(crate) fn purge_to(
        &self,
        group: RaftGroupId,
        last_purged: LogId,
        done: Completion,
    ) -> Unsent {
        self.mutate(group, done, |group, index| {
            let purged = index.purged.as_ref().map(|purged| purged.value.index);
            if purged.is_some_and(|purged| purged >= last_purged.index) {
                return Ok(Change::Barrier);
            }
            index.drop_to(last_purged.index);
            index.purged = Some(Latest {
                value: last_purged,
                file: None,
            });
            index.drops_in_flight += 1;
            Ok(Change::Purge {
                group: Arc::clone(group),
                last_purged,
            })
        })
    }

    /// Makes a group's log as if it never had an entry, and begins `life`, which comes after all
    /// lives that it had. The vote stays.
    pub(crate) fn reset_group(&self, group: RaftGroupId, life: Life, done: Completion) -> Unsent {
        self.mutate(group, done, |group, index| {
            index.reset(life);
            index.drops_in_flight += 1;
            Ok(Change::Reset {
                group: Arc::clone(group),
                life,
            })
        })
    }

    /// Removes a group with all it has. That it was removed is remembered until
    /// [`Journal::forget_removed`].
    pub(crate) fn remove_group(&self, group: RaftGroupId, done: Completion) {
        let unsent = self.mutate(group, done, |group, index| {
            index.remove();
            index.drops_in_flight += 1;
            Ok(Change::Remove {
                group: Arc::clone(group),
            })
        });
        drop(unsent);
    }

    /// That the group was removed is durable elsewhere: the journal need not remember it any more.
    pub(crate) fn forget_removed(&self, group: RaftGroupId) {
        let mut groups = self.shared.groups.write();
        let is_settled = groups.get(&group).is_some_and(|group| {
            let index = group.index.lock();
            index.is_removed() && index.drops_in_flight == 0
        });
        if is_settled {
            groups.remove(&group);
        }
    }

    /// Runs `done` once everything submitted so far is durable.
    pub(crate) fn after_sync(&self, done: Completion) {
        self.submit(Change::Barrier, done);
    }

    /// A contiguous prefix of the range, as far as it is in the journal: at most `bytes_max` payload
    /// bytes, but at least one entry if the first is there. May wait for the disk.
    pub(crate) fn read(
        &self,
        group: RaftGroupId,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Result<Vec<LogEntry>, StorageError> {
        match self.shared.group(group) {
            Some(group) => read::read(&self.shared, &group, range, bytes_max),
            None => Ok(Vec::new()),
        }
    }

    /// As [`Journal::read`], from memory only; `None` if the first entry is not in memory.
    pub(crate) fn read_cached(
        &self,
        group: RaftGroupId,
        range: Range<LogIndex>,
        bytes_max: usize,
    ) -> Option<Vec<LogEntry>> {
        let group = self.shared.group(group)?;
        read::read_cached(&group, &range, bytes_max)
    }

    /// The term of an entry in the journal, or of the last purged or the last sealed one.
    pub(crate) fn term_at(&self, group: RaftGroupId, index: LogIndex) -> Option<Term> {
        self.look(group, |found| found.term_at(index))
    }

    /// First and last entry in the journal, both inclusive, durable or on their way.
    pub(crate) fn group_range(&self, group: RaftGroupId) -> Option<(LogId, LogId)> {
        self.look(group, GroupIndex::range)
    }

    /// The vote that was saved last, durable or on its way.
    pub(crate) fn vote(&self, group: RaftGroupId) -> Option<Bytes> {
        self.look(group, |index| {
            index.vote.as_ref().map(|vote| vote.value.clone())
        })
    }

    pub(crate) fn last_purged(&self, group: RaftGroupId) -> Option<LogId> {
        self.look(group, |index| {
            index.purged.as_ref().map(|purged| purged.value)
        })
    }

    #[cfg(test)]
    pub(crate) fn life(&self, group: RaftGroupId) -> Life {
        self.look(group, |index| Some(index.life()))
            .unwrap_or_default()
    }

    /// The last entry that [`Journal::release_sealed`] gave up.
    #[cfg(test)]
    pub(crate) fn last_sealed(&self, group: RaftGroupId) -> Option<LogId> {
        self.look(group, |index| index.sealed)
    }

    /// The ends of the log, in segments or here.
    pub(crate) fn bounds(&self, group: RaftGroupId) -> LogBounds {
        let bounds = self.look(group, |index| {
            let last = index.range().map(|(_, last)| last);
            let last_purged = index.purged.as_ref().map(|purged| purged.value);
            Some(LogBounds {
                last_purged,
                last: last.max(index.sealed).max(last_purged),
            })
        });
        bounds.unwrap_or_default()
    }

    #[cfg(test)]
    pub(crate) fn is_removed(&self, group: RaftGroupId) -> bool {
        self.look(group, |index| index.is_removed().then_some(()))
            .is_some()
    }

    /// Payload bytes of the group's entries in the journal.
    pub(crate) fn group_bytes(&self, group: RaftGroupId) -> u64 {
        self.look(group, |index| Some(index.payload_bytes()))
            .unwrap_or(0)
    }

    /// Payload bytes of the group's entries in the journal below `end`. Cheap when `end` is near the
    /// end of the log.
    pub(crate) fn bytes_before(&self, group: RaftGroupId, end: LogIndex) -> u64 {
        self.look(group, |index| Some(index.payload_bytes_before(end)))
            .unwrap_or(0)
    }

    /// Every group that the journal knows and that was not removed.
    pub(crate) fn groups(&self) -> Vec<RaftGroupId> {
        let groups = self.shared.groups.read();
        let present = groups
            .values()
            .filter(|group| !group.index.lock().is_removed());
        present.map(|group| group.id).collect()
    }

    /// Entries of a life up to `last_sealed` are durable in segments: the journal forgets them, and
    /// reads no longer find them here.
    pub(crate) fn release_sealed(&self, group: RaftGroupId, life: Life, last_sealed: LogIndex) {
        if let Some(group) = self.shared.group(group) {
            let mut index = group.index.lock();
            if index.life() == life {
                index.seal_to(last_sealed);
            }
        }
    }

    /// Memory of the index of all entries.
    pub(crate) fn index_bytes(&self) -> u64 {
        let groups = self.shared.groups.read();
        groups
            .values()
            .map(|group| group.index.lock().memory_bytes())
            .sum()
    }

    /// How long the oldest unfinished write has been waiting; zero if there is none.
    pub(crate) fn stalled_for(&self) -> Duration {
        self.shared.stalled_for()
    }

    /// Calls back once when the journal fails, at once if it has failed already. It runs where the
    /// failure was noticed and must not block.
    pub(crate) fn on_failure(&self, callback: FailureCallback) {
        self.shared.failure.subscribe(callback);
    }

    /// Makes what is queued durable, writes the watermark and ends the writer. Later mutations fail
    /// with [`StorageError::Closed`].
    pub(crate) fn shut_down(&self, done: Completion) {
        self.submit(Change::ShutDown, done);
    }

    /// Changes the group's index and queues the change, both under the group's lock.
    fn mutate(
        &self,
        group: RaftGroupId,
        done: Completion,
        change: impl FnOnce(&Arc<Group>, &mut GroupIndex) -> Result<Change, StorageError>,
    ) -> Unsent {
        let group = self.shared.group_or_new(group);
        let mut index = group.index.lock();
        let change = if index.is_removed() {
            Err(StorageError::Removed(group.id))
        } else {
            change(&group, &mut index)
        };
        // Its completion runs where it is dropped, so not under the lock.
        self.send(change.unwrap_or_else(Change::Refused), done)
    }

    pub(super) fn submit(&self, change: Change, done: Completion) {
        drop(self.send(change, done));
    }

    /// Queues a change, or gives it back if the writer has ended.
    fn send(&self, change: Change, done: Completion) -> Unsent {
        self.shared.start_waiting();
        let mutation = Mutation {
            change,
            done: Done::new(done),
        };
        let unsent = self.queue.send(mutation);
        if unsent.is_some() {
            self.shared.stop_waiting(false);
        }
        Unsent(unsent)
    }

    fn look<T>(
        &self,
        group: RaftGroupId,
        look: impl FnOnce(&GroupIndex) -> Option<T>,
    ) -> Option<T> {
        let group = self.shared.group(group)?;
        let index = group.index.lock();
        look(&index)
    }
}

fn check_append(
    group: RaftGroupId,
    index: &GroupIndex,
    entries: &[LogEntry],
) -> Result<(), StorageError> {
    let bytes = entries.iter().map(entry_bytes).sum();
    if bytes > MUTATION_BYTES_MAX {
        return Err(StorageError::TooLarge {
            group,
            bytes,
            bytes_max: MUTATION_BYTES_MAX,
        });
    }
    let Some(first) = entries.first().map(|entry| entry.id.index) else {
        return Ok(());
    };
    let hole = |expected, found| StorageError::NotContiguous {
        group,
        expected,
        found,
    };
    if let Some(next) = index.next_index().filter(|next| first > *next) {
        return Err(hole(next, first));
    }
    if let Some(floor) = index.floor().filter(|floor| first <= floor.index) {
        return Err(hole(floor.index.next(), first));
    }
    for pair in entries.windows(2) {
        if pair[0].id.index.next() != pair[1].id.index {
            return Err(hole(pair[0].id.index.next(), pair[1].id.index));
        }
    }
    Ok(())
}

fn describe(groups: &BTreeMap<RaftGroupId, GroupIndex>) -> Recovered {
    let groups = groups.iter().map(|(id, index)| {
        let group = RecoveredGroup {
            vote: index.vote.as_ref().map(|vote| vote.value.clone()),
            last_purged: index.purged.as_ref().map(|purged| purged.value),
            sealed: index.sealed,
            range: index.range(),
            removed: index.is_removed(),
            life: index.life(),
        };
        (*id, group)
    });
    Recovered {
        groups: groups.collect(),
    }
}
