//! What the journal should hold, for tests: plain maps, no files.

use std::collections::BTreeMap;

use bytes::Bytes;
use flotilla_types::{LogId, LogIndex, RaftGroupId, Term};

use crate::entry::LogEntry;

/// A submitted mutation.
#[derive(Clone, Debug)]
pub(super) enum Operation {
    Append(RaftGroupId, Vec<LogEntry>),
    Vote(RaftGroupId, Bytes),
    Truncate(RaftGroupId, LogIndex),
    Purge(RaftGroupId, LogId),
    Remove(RaftGroupId),
    Reset(RaftGroupId),
    Barrier,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    pub(super) groups: BTreeMap<RaftGroupId, ModelGroup>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ModelGroup {
    pub(super) entries: BTreeMap<LogIndex, LogEntry>,
    pub(super) vote: Option<Bytes>,
    pub(super) purged: Option<LogId>,
    pub(super) is_removed: bool,
    pub(super) term: u64,
}

impl Model {
    pub(super) fn apply(&mut self, operation: &Operation) {
        match operation {
            Operation::Append(group, entries) => {
                let group = self.group(*group);
                group.entries.split_off(&entries[0].id.index);
                group
                    .entries
                    .extend(entries.iter().map(|entry| (entry.id.index, entry.clone())));
            }
            Operation::Vote(group, vote) => self.group(*group).vote = Some(vote.clone()),
            Operation::Truncate(group, first_removed) => {
                self.group(*group).entries.split_off(first_removed);
            }
            Operation::Purge(group, last_purged) => {
                let group = self.group(*group);
                group.entries = group.entries.split_off(&last_purged.index.next());
                group.purged = Some(*last_purged);
            }
            Operation::Remove(group) => {
                *self.group(*group) = ModelGroup {
                    is_removed: true,
                    ..ModelGroup::default()
                };
            }
            Operation::Reset(group) => {
                let group = self.group(*group);
                *group = ModelGroup {
                    vote: group.vote.take(),
                    term: group.term,
                    ..ModelGroup::default()
                };
            }
            Operation::Barrier => {}
        }
    }

    pub(super) fn group(&mut self, id: RaftGroupId) -> &mut ModelGroup {
        self.groups.entry(id).or_default()
    }
}

impl ModelGroup {
    /// The last entry, or what stands in for it.
    pub(super) fn last(&self) -> Option<LogId> {
        let last = self.entries.last_key_value().map(|(_, entry)| entry.id);
        last.or(self.purged)
    }

    pub(super) fn next(&self) -> LogIndex {
        self.last()
            .map_or(LogIndex::new(0), |last| last.index.next())
    }

    pub(super) fn term(&self) -> Term {
        Term::new(self.term)
    }
}
