//! How partitions change hands inside a group.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{Generation, MemberId, PartitionId, TopicId};

use super::{Group, Member};

/// Who shall have which partitions. A member that is not in here shall have none.
pub(super) type Targets<'a> = BTreeMap<&'a MemberId, BTreeSet<PartitionId>>;

impl Group {
    /// The targets as a map, or `None` if they name an unknown member or give a partition to two.
    pub(super) fn read_targets<'a>(
        &self,
        targets: &'a [(MemberId, Vec<PartitionId>)],
    ) -> Option<Targets<'a>> {
        let mut read = Targets::new();
        let mut given: BTreeMap<PartitionId, &MemberId> = BTreeMap::new();
        for (member, partitions) in targets {
            if !self.members.contains_key(member) {
                return None;
            }
            for partition in partitions {
                let other = given.insert(*partition, member);
                if other.is_some_and(|other| other != member) {
                    return None;
                }
            }
            read.entry(member).or_default().extend(partitions);
        }
        Some(read)
    }

    /// Begins the way to `targets`: what is free changes hands at once, what is not is revoked and
    /// awaited. Whether that is different from before; if so, it is a new generation.
    pub(super) fn redistribute(&mut self, targets: &Targets<'_>) -> bool {
        let generation = Generation::new(self.generation.get() + 1);
        let holders = self.members.values();
        let taken: BTreeSet<_> = holders
            .flat_map(Member::holdings)
            .map(|(of, _)| of)
            .collect();
        let nothing = BTreeSet::new();
        let mut is_changed = false;
        for (id, member) in &mut self.members {
            let target = targets.get(id).unwrap_or(&nothing);
            let aimed = aim(member, target, &taken, generation);
            is_changed |= aimed.awaited != member.awaited;
            if aimed.held != member.held || aimed.revoked != member.revoked {
                is_changed = true;
                self.last_assignment_version += 1;
                member.assignment_version = self.last_assignment_version;
            }
            member.held = aimed.held;
            member.revoked = aimed.revoked;
            member.awaited = aimed.awaited;
        }
        if is_changed {
            self.generation = generation;
        }
        is_changed
    }

    /// Frees those of `partitions` that the member is giving up, and says how many these are.
    pub(super) fn release(
        &mut self,
        member: &MemberId,
        partitions: &[(PartitionId, Generation)],
    ) -> usize {
        let Some(member) = self.members.get_mut(member) else {
            return 0;
        };
        let mut freed = BTreeMap::new();
        for (partition, generation) in partitions {
            if member.revoked.get(partition) == Some(generation) {
                member.revoked.remove(partition);
                freed.insert(*partition, *generation);
            }
        }
        if !freed.is_empty() {
            self.last_assignment_version += 1;
            member.assignment_version = self.last_assignment_version;
            self.hand_over(&freed);
        }
        freed.len()
    }

    /// Takes the member out and frees all that it had. False if it is not in the group.
    pub(super) fn remove_member(&mut self, member: &MemberId) -> bool {
        let Some(member) = self.members.remove(member) else {
            return false;
        };
        self.membership_version += 1;
        self.hand_over(&member.holdings().collect());
        true
    }

    /// Removes every trace of topics that are no more.
    pub(super) fn forget(&mut self, topics: &BTreeSet<TopicId>) {
        let stays = |partition: &PartitionId| !topics.contains(&partition.topic);
        self.offsets.retain(|partition, _| stays(partition));
        for member in self.members.values_mut() {
            let before = (member.held.len(), member.revoked.len());
            member.held.retain(|partition, _| stays(partition));
            member.revoked.retain(|partition, _| stays(partition));
            member.awaited.retain(stays);
            if before != (member.held.len(), member.revoked.len()) {
                self.last_assignment_version += 1;
                member.assignment_version = self.last_assignment_version;
            }
        }
    }

    /// Gives partitions that just became free, each with the generation in which it was held, to
    /// whoever awaits them.
    ///
    /// Whoever had an awaited partition got it before the distribution that revoked it, so the
    /// current generation is a later one. Should it not be, it is raised: the member that is gone
    /// must not be able to commit in the name of the one that follows it.
    fn hand_over(&mut self, freed: &BTreeMap<PartitionId, Generation>) {
        for member in self.members.values_mut() {
            let held_before = member.held.len();
            member.awaited.retain(|partition| {
                let Some(old) = freed.get(partition) else {
                    return true;
                };
                self.generation = self.generation.max(Generation::new(old.get() + 1));
                member.held.insert(*partition, self.generation);
                false
            });
            if member.held.len() != held_before {
                self.last_assignment_version += 1;
                member.assignment_version = self.last_assignment_version;
            }
        }
    }
}

/// What a member holds, gives up and awaits.
struct Share {
    held: BTreeMap<PartitionId, Generation>,
    revoked: BTreeMap<PartitionId, Generation>,
    awaited: BTreeSet<PartitionId>,
}

/// The share of a member once it is to have `target`.
fn aim(
    member: &Member,
    target: &BTreeSet<PartitionId>,
    taken: &BTreeSet<PartitionId>,
    generation: Generation,
) -> Share {
    let (mut held, revoked): (BTreeMap<_, _>, BTreeMap<_, _>) = member
        .holdings()
        .partition(|(partition, _)| target.contains(partition));
    let mut awaited = BTreeSet::new();
    for partition in target {
        if held.contains_key(partition) {
            continue;
        }
        if taken.contains(partition) {
            awaited.insert(*partition);
        } else {
            held.insert(*partition, generation);
        }
    }
    Share {
        held,
        revoked,
        awaited,
    }
}
