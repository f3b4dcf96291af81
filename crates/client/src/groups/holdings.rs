//! What a member holds and how far it has come: the bookkeeping, without any I/O.
//!
//! ```text
//!             start known            told to give up            released
//!   New ───────────────────▶ Reading ───────────────▶ Revoked ──────────▶ (gone)
//! ```
//!
//! A partition is gone at once when it was lost: the coordinator names it no more, names it in
//! another generation, or the membership has ended. Then nothing of it may be committed.

use std::collections::BTreeMap;

use flotilla_types::{Generation, MemberId, Offset, TopicId};

use super::assignment::{Assignment, HeldPartition};
use crate::PartitionName;

/// Who the member is, and what it holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Membership {
    pub(super) member: MemberId,
    pub(super) assignment: Assignment,
}

/// An offset to be committed, with the claim under which the partition is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OffsetCommit {
    pub(crate) partition: HeldPartition,
    /// Of the next record to be read.
    pub(crate) offset: Offset,
}

#[derive(Debug, Default)]
pub(super) struct Holdings {
    member: Option<MemberId>,
    held: BTreeMap<PartitionName, Held>,
}

#[derive(Debug)]
struct Held {
    topic_id: TopicId,
    generation: Generation,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// Where it begins has yet to be asked for.
    New,
    Reading(Progress),
    /// It is read no more, and waits for its offset commit and its release.
    Revoked(Progress),
}

#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// Of the next record; unknown until the start has been looked up.
    position: Option<Offset>,
    committed: Option<Offset>,
}

impl Progress {
    fn to_commit(self) -> Option<Offset> {
        self.position
            .filter(|position| self.committed != Some(*position))
    }
}

impl Holdings {
    /// `None` if there is no membership.
    pub(super) fn member(&self) -> Option<&MemberId> {
        self.member.as_ref()
    }

    /// What is read, or will be in a moment.
    pub(super) fn names(&self) -> impl Iterator<Item = &PartitionName> {
        let held = self.held.iter();
        held.filter(|(_, held)| !matches!(held.phase, Phase::Revoked(_)))
            .map(|(name, _)| name)
    }

    /// Takes over what the session says, and returns the partitions of which no more may be read.
    pub(super) fn apply(&mut self, membership: Option<&Membership>) -> Vec<PartitionName> {
        let Some(Membership { member, assignment }) = membership else {
            return self.lose_all();
        };
        let mut stopped = Vec::new();
        if self.member.as_ref() != Some(member) {
            stopped = self.lose_all();
            self.member = Some(member.clone());
        }
        stopped.extend(self.lose_all_but(assignment));
        for partition in &assignment.partitions {
            let held = self.held.entry(partition.name.clone());
            let held = held.or_insert_with(|| Held::new(partition));
            // The coordinator has changed its mind before the release.
            if let Phase::Revoked(_) = held.phase {
                held.phase = Phase::New;
            }
        }
        for partition in &assignment.revoked {
            // One that is not known here is not read either, so that it can be released at once.
            let held = self.held.entry(partition.name.clone());
            let held = held.or_insert_with(|| Held::new(partition));
            match held.phase {
                Phase::New => held.phase = Phase::Revoked(Progress::default()),
                Phase::Reading(progress) => {
                    held.phase = Phase::Revoked(progress);
                    stopped.push(partition.name.clone());
                }
                Phase::Revoked(_) => {}
            }
        }
        stopped
    }

    /// Partitions whose start has to be found, with the topics that they belong to.
    pub(super) fn new_partitions(&self) -> Vec<HeldPartition> {
        self.select(|held| matches!(held.phase, Phase::New))
    }

    /// From now on the partition is read, from the committed offset if there is one.
    pub(super) fn begin(&mut self, name: &PartitionName, committed: Option<Offset>) {
        if let Some(held) = self.held.get_mut(name) {
            held.phase = Phase::Reading(Progress {
                position: committed,
                committed,
            });
        }
    }

    /// Notes how far reading has come.
    pub(super) fn note_positions(
        &mut self,
        position_of: impl Fn(&PartitionName) -> Option<Offset>,
    ) {
        for (name, held) in &mut self.held {
            if let Phase::Reading(progress) = &mut held.phase
                && let Some(position) = position_of(name)
            {
                progress.position = Some(position);
            }
        }
    }

    /// Every position that is not committed yet.
    pub(super) fn uncommitted(&self) -> Vec<OffsetCommit> {
        let held = self.held.iter();
        held.filter_map(|(name, held)| {
            let offset = held.progress()?.to_commit()?;
            let partition = held.with_name(name);
            Some(OffsetCommit { partition, offset })
        })
        .collect()
    }

    /// The claim to a partition. `None` if it is not held.
    pub(super) fn claim(&self, name: &PartitionName) -> Option<HeldPartition> {
        Some(self.held.get(name)?.with_name(name))
    }

    /// The offset is stored.
    pub(super) fn note_committed(&mut self, commit: &OffsetCommit) {
        let held = self.held.get_mut(&commit.partition.name);
        let held = held.filter(|held| held.generation == commit.partition.generation);
        match held.map(|held| &mut held.phase) {
            Some(Phase::Reading(progress) | Phase::Revoked(progress)) => {
                progress.committed = Some(commit.offset);
            }
            Some(Phase::New) | None => {}
        }
    }

    /// Partitions that can be released once their offsets are committed.
    pub(super) fn revoked(&self) -> Vec<HeldPartition> {
        self.select(|held| matches!(held.phase, Phase::Revoked(_)))
    }

    /// These were released: they are others' from now on.
    pub(super) fn forget(&mut self, released: &[HeldPartition]) {
        for partition in released {
            self.held.remove(&partition.name);
        }
    }

    fn lose_all(&mut self) -> Vec<PartitionName> {
        self.member = None;
        std::mem::take(&mut self.held).into_keys().collect()
    }

    /// Drops what the assignment does not name, or not in the same generation.
    fn lose_all_but(&mut self, assignment: &Assignment) -> Vec<PartitionName> {
        let named = assignment.partitions.iter().chain(&assignment.revoked);
        let named: BTreeMap<_, _> = named.map(|held| (&held.name, held)).collect();
        let is_lost = |name: &PartitionName, held: &mut Held| {
            named.get(name).is_none_or(|now| {
                now.generation != held.generation || now.topic_id != held.topic_id
            })
        };
        let lost = self.held.extract_if(.., is_lost);
        lost.map(|(name, _)| name).collect()
    }

    fn select(&self, filter: impl Fn(&Held) -> bool) -> Vec<HeldPartition> {
        let held = self.held.iter().filter(|(_, held)| filter(held));
        held.map(|(name, held)| held.with_name(name)).collect()
    }
}

impl Held {
    fn new(partition: &HeldPartition) -> Self {
        Self {
            topic_id: partition.topic_id,
            generation: partition.generation,
            phase: Phase::New,
        }
    }

    fn with_name(&self, name: &PartitionName) -> HeldPartition {
        HeldPartition {
            name: name.clone(),
            topic_id: self.topic_id,
            generation: self.generation,
        }
    }

    fn progress(&self) -> Option<Progress> {
        match self.phase {
            Phase::New => None,
            Phase::Reading(progress) | Phase::Revoked(progress) => Some(progress),
        }
    }
}
