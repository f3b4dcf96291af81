//! What was asked of a journal under test, and what a crash may leave of it.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_types::{LogIndex, RaftGroupId};
use parking_lot::Mutex;

use super::model::{Model, Operation};
use super::rig::{Rig, Step, Stored};
use crate::disk::{CrashStyle, SimDisk};
use crate::entry::Completion;
use crate::error::OpenError;

/// What was asked of the journal so far.
#[derive(Clone, Default)]
pub(super) struct Past {
    pub(super) operations: Vec<Operation>,
    outcomes: Arc<Mutex<Outcomes>>,
    pub(super) seals: Vec<Seal>,
    pub(super) model: Model,
    payloads: u64,
}

/// Entries up to `last` are in segments since so many operations.
#[derive(Clone, Copy)]
pub(super) struct Seal {
    pub(super) group: RaftGroupId,
    pub(super) after: usize,
    pub(super) last: LogIndex,
}

#[derive(Default)]
struct Outcomes {
    acknowledged: usize,
    completed: usize,
}

impl Past {
    pub(super) fn acknowledged(&self) -> usize {
        self.outcomes.lock().acknowledged
    }

    /// The completion of the operation that was pushed last. It checks the order of all.
    pub(super) fn completion(&self) -> Completion {
        let number = self.operations.len() - 1;
        let outcomes = Arc::clone(&self.outcomes);
        Box::new(move |outcome| {
            let mut outcomes = outcomes.lock();
            assert_eq!(outcomes.completed, number, "completions run in order");
            outcomes.completed += 1;
            if outcome.is_ok() {
                assert_eq!(outcomes.acknowledged, number, "no success after a failure");
                outcomes.acknowledged += 1;
            }
        })
    }

    pub(super) fn group_of(&self, operation: &Operation) -> Option<RaftGroupId> {
        match operation {
            Operation::Append(group, _)
            | Operation::Vote(group, _)
            | Operation::Truncate(group, _)
            | Operation::Purge(group, _)
            | Operation::Remove(group)
            | Operation::Reset(group) => Some(*group),
            Operation::Barrier => None,
        }
    }

    pub(super) fn model_after(&self, count: usize) -> Model {
        let mut model = Model::default();
        self.operations[..count]
            .iter()
            .for_each(|operation| model.apply(operation));
        model
    }

    /// What is in segments of each group's present life.
    pub(super) fn sealed_now(&self) -> BTreeMap<RaftGroupId, LogIndex> {
        self.sealed_in(self.operations.len())
    }

    /// What is in segments of the lives that the groups are in after so many operations.
    fn sealed_in(&self, count: usize) -> BTreeMap<RaftGroupId, LogIndex> {
        let mut sealed = BTreeMap::new();
        for seal in &self.seals {
            let is_reset = |operation: &Operation| matches!(operation, Operation::Reset(group) if *group == seal.group);
            // The resets that the seal has seen are those that count, no more and no less.
            let (before, since) = self.operations.split_at(count);
            let begun = before.iter().rposition(is_reset);
            let undone = since
                .iter()
                .position(is_reset)
                .map(|position| count + position);
            if begun.is_none_or(|begun| seal.after > begun)
                && undone.is_none_or(|undone| seal.after <= undone)
            {
                let last = sealed.entry(seal.group).or_insert(seal.last);
                *last = seal.last.max(*last);
            }
        }
        sealed
    }

    /// The first index that may still change.
    pub(super) fn floor(&mut self, id: RaftGroupId) -> u64 {
        let sealed = self.sealed_now();
        let sealed = sealed.get(&id).map(|sealed| sealed.get() + 1);
        let purged = self.model.group(id).purged;
        let purged = purged.map(|purged| purged.index.get() + 1);
        sealed.max(purged).unwrap_or(0)
    }

    fn seals_in(&self, count: usize) -> Vec<Seal> {
        let sealed = self.sealed_in(count).into_iter();
        let seals = sealed.map(|(group, last)| Seal {
            group,
            after: count,
            last,
        });
        seals.collect()
    }

    pub(super) fn payload(&mut self, bytes: usize) -> Bytes {
        self.payloads += 1;
        let distinct = self.payloads.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let first = distinct.to_le_bytes();
        first.iter().copied().cycle().take(bytes).collect()
    }

    /// Opens what a crash left. It must hold what some prefix of the operations left, with everything
    /// acknowledged in it. Returns that past and what it left.
    pub(super) fn assert_found(&self, disk: &SimDisk) -> Result<(Self, Stored), OpenError> {
        let rig = Rig::reopen(disk.clone(), self.clone())?;
        let stored = Stored::read(&rig.journal).unwrap();
        Ok((self.matching_prefix(&stored), stored))
    }

    /// As `assert_found`; then the journal must take more, and hold that, too.
    pub(super) fn assert_survived(&self, disk: &SimDisk) -> Result<(), OpenError> {
        let (survivor, stored) = self.assert_found(disk)?;
        // What a start found is durable: a power cut right after it takes nothing away.
        disk.crash(CrashStyle::Unsynced);
        let mut rig = Rig::reopen(disk.clone(), survivor)?;
        assert_eq!(
            Stored::read(&rig.journal).unwrap(),
            stored,
            "a start made its find durable"
        );
        for group in 0..5 {
            rig.step(&Step::Append {
                group,
                replaced: group % 2,
                sizes: vec![100, 5_000],
            });
            rig.step(&Step::Vote { group, bytes: 20 });
        }
        rig.drain();
        rig.assert_shows_everything();
        assert_eq!(rig.past.acknowledged(), rig.past.operations.len());
        disk.crash(CrashStyle::Unsynced);
        let rig = Rig::reopen(disk.clone(), rig.past)?;
        rig.assert_shows_everything();
        Ok(())
    }

    /// The past that the stored state is the result of.
    fn matching_prefix(&self, stored: &Stored) -> Self {
        let acknowledged = self.acknowledged();
        let mut problems = Vec::new();
        let mut model = self.model_after(acknowledged);
        for count in acknowledged..=self.operations.len() {
            if count > acknowledged {
                model.apply(&self.operations[count - 1]);
            }
            match stored.differs(&model, &self.sealed_in(count)) {
                None => return self.cut_to(count, model),
                Some(problem) => problems.push(problem),
            }
        }
        panic!(
            "acknowledged {acknowledged}, no prefix fits: {problems:#?} {:#?}",
            self.operations
        );
    }

    fn cut_to(&self, count: usize, mut model: Model) -> Self {
        for (id, group) in &mut model.groups {
            group.term = self.model.groups[id].term + 1;
        }
        let outcomes = Outcomes {
            acknowledged: count,
            completed: count,
        };
        Self {
            operations: self.operations[..count].to_vec(),
            outcomes: Arc::new(Mutex::new(outcomes)),
            seals: self.seals_in(count),
            model,
            payloads: self.payloads,
        }
    }
}
