//! Who shall have which partitions: evenly, and with as few changes as evenness allows.
//!
//! First every member keeps what it has and still wants. Then what nobody has goes to the member with
//! the fewest that wants it. Last, the member with the fewest takes from the one with the most, until
//! no such step would make two members more even. With equal subscriptions nobody both gives and
//! takes on that way, so nothing moves that need not.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{MemberId, PartitionId};

/// Gives each partition that is in `wanted` to one of the members that want it. `current` is what the
/// members have now, or are about to get.
///
/// No member gets two or more partitions more than another that wants one of them.
pub fn assign(
    wanted: &BTreeMap<MemberId, BTreeSet<PartitionId>>,
    current: &BTreeMap<MemberId, BTreeSet<PartitionId>>,
) -> BTreeMap<MemberId, BTreeSet<PartitionId>> {
    let partitions = union(wanted.values());
    let mut distribution = Distribution::new(wanted, &partitions);
    distribution.keep(wanted.keys().map(|member| current.get(member)), &partitions);
    distribution.place_the_rest();
    distribution.even_out();
    let shares = distribution.shares.into_iter().map(|share| {
        let share = share.into_iter().map(|partition| partitions[partition]);
        share.collect()
    });
    wanted.keys().cloned().zip(shares).collect()
}

/// Members and partitions are numbered in their order.
struct Distribution {
    wants: Vec<PartitionFlags>,
    /// Whether somebody has the partition.
    is_placed: PartitionFlags,
    partition_count: usize,
    /// The partitions of each member. Those that it had before come first, and stay longest.
    shares: Vec<Vec<usize>>,
    /// The members by the size of their shares.
    by_size: BTreeSet<(usize, usize)>,
}

impl Distribution {
    fn new(wanted: &BTreeMap<MemberId, BTreeSet<PartitionId>>, partitions: &[PartitionId]) -> Self {
        let wants = |wanted| PartitionFlags::of(positions(wanted, partitions), partitions.len());
        Self {
            wants: wanted.values().map(wants).collect(),
            is_placed: PartitionFlags::of([], partitions.len()),
            partition_count: partitions.len(),
            shares: vec![Vec::new(); wanted.len()],
            by_size: (0..wanted.len()).map(|member| (0, member)).collect(),
        }
    }

    fn keep<'a>(
        &mut self,
        current: impl Iterator<Item = Option<&'a BTreeSet<PartitionId>>>,
        partitions: &[PartitionId],
    ) {
        for (member, current) in current.enumerate() {
            for partition in current
                .into_iter()
                .flat_map(|set| positions(set, partitions))
            {
                if self.wants[member].contains(partition) && !self.is_placed.contains(partition) {
                    self.give(member, partition);
                }
            }
        }
    }

    /// Partitions that few want go first, because the others can still make up for them.
    fn place_the_rest(&mut self) {
        let mut demand = vec![0_usize; self.partition_count];
        for wants in &self.wants {
            wants.for_each(|partition| demand[partition] += 1);
        }
        let mut rest: Vec<_> = (0..self.partition_count)
            .filter(|partition| !self.is_placed.contains(*partition))
            .collect();
        rest.sort_by_key(|partition| demand[*partition]);
        for partition in rest {
            let mut members = self.by_size.iter().map(|(_, member)| *member);
            let taker = members.find(|member| self.wants[*member].contains(partition));
            let taker = taker.expect("invariant: every partition is one that somebody wants");
            self.give(taker, partition);
        }
    }

    /// `hungry` are the members that may still find one to take from.
    fn even_out(&mut self) {
        let mut hungry = self.by_size.clone();
        while let Some((size, taker)) = hungry.first().copied() {
            let Some((giver, position)) = self.find_surplus(size, taker) else {
                hungry.remove(&(size, taker));
                continue;
            };
            let giver_size = self.shares[giver].len();
            let partition = self.shares[giver].remove(position);
            self.resize(giver, giver_size);
            self.give(taker, partition);
            hungry.remove(&(size, taker));
            hungry.insert((size + 1, taker));
            hungry.remove(&(giver_size, giver));
            hungry.insert((giver_size - 1, giver));
            self.wake(taker, &mut hungry);
        }
    }

    /// Where there is a partition that `taker` wants, in the largest of the shares that are larger
    /// than its own by two or more.
    fn find_surplus(&self, size: usize, taker: usize) -> Option<(usize, usize)> {
        let larger = self.by_size.range((size + 2, 0)..).rev();
        larger.map(|(_, giver)| *giver).find_map(|giver| {
            let wants = |partition: &usize| self.wants[taker].contains(*partition);
            let position = self.shares[giver].iter().rposition(wants)?;
            Some((giver, position))
        })
    }

    /// A share that has just grown is a surplus to those who have two less. Those with still less
    /// looked at it before, and wanted nothing of it.
    fn wake(&self, grown: usize, hungry: &mut BTreeSet<(usize, usize)>) {
        let share = &self.shares[grown];
        let Some(size) = share.len().checked_sub(2) else {
            return;
        };
        for entry in self.by_size.range((size, 0)..(size + 1, 0)) {
            let wants = &self.wants[entry.1];
            if share.iter().any(|partition| wants.contains(*partition)) {
                hungry.insert(*entry);
            }
        }
    }

    fn give(&mut self, member: usize, partition: usize) {
        let size = self.shares[member].len();
        self.shares[member].push(partition);
        self.is_placed.insert(partition);
        self.resize(member, size);
    }

    fn resize(&mut self, member: usize, size_before: usize) {
        self.by_size.remove(&(size_before, member));
        self.by_size.insert((self.shares[member].len(), member));
    }
}

/// A set of partition numbers: members times partitions are too many for anything larger than bits.
struct PartitionFlags(Vec<u64>);

impl PartitionFlags {
    fn of(partitions: impl IntoIterator<Item = usize>, partition_count: usize) -> Self {
        let mut flags = Self(vec![0; partition_count.div_ceil(64)]);
        for partition in partitions {
            flags.insert(partition);
        }
        flags
    }

    fn insert(&mut self, partition: usize) {
        self.0[partition / 64] |= 1 << (partition % 64);
    }

    fn contains(&self, partition: usize) -> bool {
        self.0[partition / 64] & (1 << (partition % 64)) != 0
    }

    fn for_each(&self, mut visit: impl FnMut(usize)) {
        for (position, word) in self.0.iter().enumerate() {
            let mut rest = *word;
            while rest != 0 {
                visit(position * 64 + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

/// Ascending, each once. Most members want the same, and then the sort only merges two runs.
fn union<'a>(sets: impl Iterator<Item = &'a BTreeSet<PartitionId>>) -> Vec<PartitionId> {
    let mut union: Vec<PartitionId> = Vec::new();
    for set in sets {
        union.extend(set);
        union.sort();
        union.dedup();
    }
    union
}

/// The numbers of those of `set` that are in `partitions`, which ascends.
fn positions<'a>(
    set: &'a BTreeSet<PartitionId>,
    partitions: &'a [PartitionId],
) -> impl Iterator<Item = usize> + 'a {
    let mut rest = partitions.iter().enumerate().peekable();
    set.iter().filter_map(move |wanted| {
        while rest.next_if(|(_, partition)| *partition < wanted).is_some() {}
        let (position, _) = rest.next_if(|(_, partition)| *partition == wanted)?;
        Some(position)
    })
}
