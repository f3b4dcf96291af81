//! A model of a store for tests: what was asked of it, and what a crash may leave.
//!
//! All changes of the log go through one queue. So after a crash the store must look as it did after
//! some number of them: at least those that were acknowledged, at most all. State rows follow in the
//! same order, each no earlier than the changes before it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::Mutex;

use crate::disk::CrashStyle;
use crate::entry::Completion;
use crate::error::StorageError;
use crate::group::Row;
use crate::observed::{GroupModel, Groups, describe, matches, observe};
use crate::rig::{Rig, entry, log_id};

/// One thing that a test does. Numbers are reduced to what is valid at the time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Append {
        group: u32,
        count: u64,
        bytes: usize,
    },
    Truncate {
        group: u32,
        count: u64,
    },
    Purge {
        group: u32,
        ahead: i64,
    },
    Vote {
        group: u32,
    },
    Remove {
        group: u32,
    },
    Reset {
        group: u32,
    },
    Row {
        group: u32,
    },
    /// The last `unapplied` entries stay where they are.
    Seal {
        group: u32,
        unapplied: u64,
        boundary: bool,
    },
    /// The workers take so many turns.
    Work {
        turns: usize,
    },
    Wait,
}

/// A row that was submitted: its group, and how many changes of logs came before it.
#[derive(Clone, Copy, Debug)]
struct RowModel {
    group: u32,
    after: usize,
}

/// A reset that was submitted: its number among the changes of logs, and what was applied before it.
#[derive(Clone, Copy, Debug)]
struct ResetModel {
    group: u32,
    number: usize,
    applied: u64,
}

pub(crate) struct Model {
    /// What the groups look like after 0, 1, 2 … changes.
    past: Vec<Groups>,
    /// The rows of this life, numbered from here.
    first_row: usize,
    rows: Vec<RowModel>,
    /// The resets of this life of the store.
    resets: Vec<ResetModel>,
    acknowledged: Arc<AtomicUsize>,
    /// The change whose completion comes next: all but those of resets, which wait for their rows.
    in_turn: Arc<Mutex<VecDeque<usize>>>,
    acknowledged_rows: Arc<AtomicUsize>,
    failed: Arc<AtomicBool>,
    applied: BTreeMap<u32, u64>,
    term: u64,
}

const GROUPS: std::ops::Range<u32> = 1..5;

impl Model {
    pub(crate) fn new() -> Self {
        Self {
            past: vec![Groups::new()],
            first_row: 0,
            rows: Vec::new(),
            resets: Vec::new(),
            acknowledged: Arc::default(),
            in_turn: Arc::default(),
            acknowledged_rows: Arc::default(),
            failed: Arc::default(),
            applied: BTreeMap::new(),
            term: 1,
        }
    }

    /// Lets the model see when the store has failed.
    pub(crate) fn watch(&self, rig: &Rig) {
        let failed = Arc::clone(&self.failed);
        rig.storage()
            .on_failure(Box::new(move |_| failed.store(true, Ordering::Relaxed)));
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Carries out steps until one finds the machine stopped. True: all were done.
    pub(crate) fn run(&mut self, rig: &Rig, steps: &[Step]) -> bool {
        let went_well = steps.iter().all(|step| {
            self.take(rig, *step);
            !self.has_failed() && !rig.tables().is_stopped()
        });
        // Nothing is damaged here, whatever moves or goes while it is read or scrubbed.
        assert_eq!(rig.storage().damaged_groups(), []);
        went_well
    }

    fn take(&mut self, rig: &Rig, step: Step) {
        match step {
            Step::Work { turns } => {
                let stopped = || self.has_failed() || rig.tables().is_stopped();
                let _ = (0..turns).any(|_| stopped() || !rig.storage().step());
            }
            Step::Wait => rig.pass(std::time::Duration::from_secs(2)),
            Step::Append {
                group,
                count,
                bytes,
            } => self.append(rig, group, (count, bytes)),
            Step::Truncate { group, count } => self.truncate(rig, group, count),
            Step::Purge { group, ahead } => self.purge(rig, group, ahead),
            Step::Vote { group } => self.vote(rig, group),
            Step::Remove { group } => self.remove(rig, group),
            Step::Reset { group } => self.reset(rig, group),
            Step::Row { group } => self.row(rig, group),
            Step::Seal {
                group,
                unapplied,
                boundary,
            } => self.seal(rig, group, (unapplied, boundary)),
        }
    }

    fn present(&self) -> &Groups {
        self.past.last().unwrap()
    }

    /// The group, unless it was removed.
    fn group(&self, id: u32) -> Option<GroupModel> {
        let group = self.present().get(&id).cloned().unwrap_or_default();
        (!group.removed).then_some(group)
    }

    /// Notes a change and returns its completion, which checks that it comes in its turn.
    fn change(&mut self, id: u32, group: GroupModel) -> Completion {
        let mut groups = self.present().clone();
        groups.insert(id, group);
        self.past.push(groups);
        let number = self.past.len() - 1;
        let acknowledged = Arc::clone(&self.acknowledged);
        self.in_turn.lock().push_back(number);
        let in_turn = Arc::clone(&self.in_turn);
        Box::new(move |outcome| {
            if outcome.is_ok() {
                acknowledged.fetch_max(number, Ordering::Relaxed);
                assert_eq!(
                    in_turn.lock().pop_front(),
                    Some(number),
                    "completions come in the order of submission"
                );
            }
        })
    }

    /// As if the group never had an entry; but it has voted.
    fn reset(&mut self, rig: &Rig, id: u32) {
        let Some(group) = self.group(id) else {
            return;
        };
        let mut groups = self.present().clone();
        let vote = group.vote;
        groups.insert(
            id,
            GroupModel {
                vote,
                ..GroupModel::default()
            },
        );
        self.past.push(groups);
        let number = self.past.len() - 1;
        self.resets.push(ResetModel {
            group: id,
            number,
            applied: self.applied.remove(&id).unwrap_or(0),
        });
        let acknowledged = Arc::clone(&self.acknowledged);
        let done = move |outcome: Result<(), StorageError>| {
            if outcome.is_ok() {
                acknowledged.fetch_max(number, Ordering::Relaxed);
            }
        };
        rig.storage()
            .reset_group(RaftGroupId::new(id), Box::new(done));
    }

    fn append(&mut self, rig: &Rig, id: u32, (count, bytes): (u64, usize)) {
        let Some(mut group) = self.group(id) else {
            return;
        };
        let first = group.last().map_or(1, |last| last.index.get() + 1);
        let entries: Vec<_> = (first..first + count)
            .map(|index| entry(id, index, self.term, bytes))
            .collect();
        group.entries.extend(
            entries
                .iter()
                .map(|entry| (entry.id.index.get(), entry.clone())),
        );
        let done = self.change(id, group);
        rig.group(id).append(entries, done);
    }

    /// A new leader may replace what was not applied.
    fn truncate(&mut self, rig: &Rig, id: u32, count: u64) {
        let Some(mut group) = self.group(id) else {
            return;
        };
        let floor = self.applied.get(&id).copied().unwrap_or(0);
        let end = group.last().map_or(1, |last| last.index.get() + 1);
        let first = end.saturating_sub(count).max(floor + 1);
        if group.entries.split_off(&first).is_empty() {
            return;
        }
        self.term += 1;
        let done = self.change(id, group);
        rig.group(id).truncate_from(LogIndex::new(first), done);
    }

    /// Purges up to so many entries above the applied one; beyond the log's end for a snapshot.
    fn purge(&mut self, rig: &Rig, id: u32, ahead: i64) {
        let Some(mut group) = self.group(id) else {
            return;
        };
        let applied = self.applied.get(&id).copied().unwrap_or(0);
        let index = applied.saturating_add_signed(ahead);
        if group
            .purged
            .is_some_and(|purged| purged.index.get() >= index)
            || index == 0
        {
            return;
        }
        let end = group.last().map_or(0, |last| last.index.get());
        if index > applied && index <= end {
            // In a log only what is applied is purged.
            return;
        }
        let term = group
            .entries
            .get(&index)
            .map_or(self.term, |entry| entry.id.term.get());
        let purged = log_id(term, index);
        group.entries = group.entries.split_off(&(index + 1));
        group.purged = Some(purged);
        self.applied.insert(id, applied.max(index));
        let done = self.change(id, group);
        rig.group(id).purge_to(purged, done);
    }

    fn vote(&mut self, rig: &Rig, id: u32) {
        let Some(mut group) = self.group(id) else {
            return;
        };
        let vote = Bytes::from(format!("vote {}", self.past.len()));
        group.vote = Some(vote.clone());
        let done = self.change(id, group);
        rig.group(id).save_vote(vote, done);
    }

    fn remove(&mut self, rig: &Rig, id: u32) {
        if self.group(id).is_none() {
            return;
        }
        let done = self.change(
            id,
            GroupModel {
                removed: true,
                ..GroupModel::default()
            },
        );
        rig.storage().remove_group(RaftGroupId::new(id), done);
    }

    fn row(&mut self, rig: &Rig, id: u32) {
        let Some(group) = self.group(id) else {
            return;
        };
        self.rows.push(RowModel {
            group: id,
            after: self.past.len() - 1,
        });
        let number = self.first_row + self.rows.len() - 1;
        let value = Bytes::from(number.to_string());
        let row = Row::Put {
            key: b"row".to_vec(),
            value,
        };
        let acknowledged = Arc::clone(&self.acknowledged_rows);
        // Every other row is waited for. Number 0 is not, so that 0 means none.
        let done: Option<Completion> = (number % 2 == 1).then(|| {
            let done: Completion = Box::new(move |outcome: Result<(), StorageError>| {
                if outcome.is_ok() {
                    acknowledged.fetch_max(number, Ordering::Relaxed);
                }
            });
            done
        });
        let last = group.last().map(|last| last.index);
        rig.group(id).write_rows(last, vec![row], done);
    }

    fn seal(&mut self, rig: &Rig, id: u32, (unapplied, boundary): (u64, bool)) {
        let Some(group) = self.group(id) else {
            return;
        };
        let Some((last, _)) = group.entries.last_key_value() else {
            return;
        };
        let applied = last.saturating_sub(unapplied);
        let known = self.applied.entry(id).or_insert(0);
        *known = applied.max(*known);
        let applied = LogIndex::new(*known);
        let boundaries: &[LogIndex] = if boundary { &[applied] } else { &[] };
        rig.group(id).allow_sealing(applied, boundaries);
    }

    /// The machine dies and the store is opened again. What it holds must be a state that it may
    /// have. The model goes on from there.
    pub(crate) fn crash(self, rig: &mut Rig, style: CrashStyle, rows_kept: usize) -> Self {
        rig.abandon();
        rig.disk().crash(style);
        rig.tables().crash(rows_kept);
        rig.open().unwrap();
        self.resume(rig)
    }

    /// Compares an opened store with what it may hold, and goes on from what it does hold.
    pub(crate) fn resume(self, rig: &Rig) -> Self {
        let found: Groups = GROUPS.map(|id| (id, observe(rig, id))).collect();
        let acknowledged = self.acknowledged.load(Ordering::Relaxed);
        let candidates = acknowledged..self.past.len();
        let alike = candidates
            .clone()
            .rev()
            .filter(|number| matches(&found, &self.past[*number]));
        // The reset of an empty group changes nothing but its rows.
        let mut problems = Vec::new();
        let number = alike
            .map(|number| (number, self.row_problem(rig, &found, number)))
            .find_map(|(number, problem)| match problem {
                None => Some(number),
                Some(problem) => {
                    problems.push(problem);
                    None
                }
            });
        let Some(number) = number else {
            panic!(
                "the store holds none of the states {candidates:?}\nfound:    {}\nexpected: {}\n{problems:#?}",
                describe(&found),
                describe(&self.past[acknowledged]),
            );
        };
        let mut applied = self.applied;
        // What a crash has undone, the latest first.
        for undone in self
            .resets
            .iter()
            .rev()
            .filter(|reset| reset.number > number)
        {
            applied.insert(undone.group, undone.applied);
        }
        for (id, group) in &found {
            let last = group.last().map_or(0, |last| last.index.get());
            applied
                .entry(*id)
                .and_modify(|applied| *applied = last.min(*applied));
        }
        let model = Self {
            past: vec![found],
            first_row: self.first_row + self.rows.len(),
            applied,
            term: self.term + 1,
            ..Self::new()
        };
        model.watch(rig);
        model
    }

    /// Rows never outrun the log nor outlive a reset, and those that were waited for are there.
    fn row_problem(&self, rig: &Rig, found: &Groups, changes: usize) -> Option<String> {
        let acknowledged = self.acknowledged_rows.load(Ordering::Relaxed);
        let numbered = || (self.first_row..).zip(&self.rows);
        for (id, _) in found.iter().filter(|(_, group)| !group.removed) {
            let resets = self.resets.iter().rev();
            let mut durable = resets.filter(|reset| reset.group == *id && reset.number <= changes);
            let reset = durable.next().map(|reset| reset.number);
            let must = numbered()
                .filter(|(number, row)| {
                    row.group == *id && *number <= acknowledged && acknowledged > 0
                })
                .filter(|(_, row)| Some(row.after) >= reset)
                .map(|(number, _)| number)
                .last();
            let value = rig.group(*id).row(b"row").unwrap();
            let value = value.map(|value| std::str::from_utf8(&value).unwrap().parse().unwrap());
            if value < must {
                return Some(format!("group {id} has row {value:?}, not {must:?}"));
            }
            let row = numbered().find(|(number, _)| Some(*number) == value);
            let row = row.map(|(_, row)| row);
            if value.is_some() && row.map(|row| row.after) < reset {
                return Some(format!(
                    "row {value:?} of group {id} outlived the reset {reset:?}"
                ));
            }
            if let Some(row) = row {
                assert_eq!(row.group, *id, "row {value:?} is in another's place");
                if row.after > changes {
                    return Some(format!("row {value:?} of group {id} outran the log"));
                }
            }
        }
        None
    }
}
