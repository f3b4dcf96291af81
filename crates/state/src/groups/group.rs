//! One consumer group: who is in it, who holds what, and what was committed.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::{Generation, MemberId, Offset, PartitionId, Timestamp, TopicName};

/// A group exists from its first member or offset on, until it is deleted or forgotten.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub(super) membership_version: u64,
    pub(super) generation: Generation,
    pub(super) members: BTreeMap<MemberId, Member>,
    pub(super) offsets: BTreeMap<PartitionId, CommittedOffset>,
    pub(super) active_at: Timestamp,
    /// The largest assignment version that a member of this group ever had.
    pub(super) last_assignment_version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Which of all joins at this coordinator was this member's last. No two are equal.
    pub joined: u64,
    pub client_name: String,
    pub session_timeout_ms: u32,
    pub subscription: Subscription,
    /// Grows with each change of `held` or `revoked`, from 1 or more. No two assignments of a group
    /// have the same, so that whoever joins again under an old id does not take one for another.
    pub assignment_version: u64,
    /// To be read, each with the generation in which the member got it.
    pub held: BTreeMap<PartitionId, Generation>,
    /// To be given up, and this member's until it says that it has.
    pub revoked: BTreeMap<PartitionId, Generation>,
    /// This member's as soon as another one has given them up.
    pub awaited: BTreeSet<PartitionId>,
}

/// Which topics a member wants to share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subscription {
    /// Sorted, each once.
    Topics(Vec<TopicName>),
    /// What it matches is decided elsewhere.
    Pattern(String),
}

/// Where to go on reading a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    /// Of the next record to be read.
    pub offset: Offset,
    pub metadata: String,
    pub committed_at: Timestamp,
}

impl Group {
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            membership_version: 0,
            generation: Generation::new(0),
            members: BTreeMap::new(),
            offsets: BTreeMap::new(),
            active_at: now,
            last_assignment_version: 0,
        }
    }

    /// Grows when the set of members or a subscription changes. A distribution is based on one.
    pub fn membership_version(&self) -> u64 {
        self.membership_version
    }

    /// Grows with each distribution that changes something. 0 before the first.
    pub fn generation(&self) -> Generation {
        self.generation
    }

    pub fn members(&self) -> &BTreeMap<MemberId, Member> {
        &self.members
    }

    pub fn member(&self, id: &MemberId) -> Option<&Member> {
        self.members.get(id)
    }

    pub fn offsets(&self) -> &BTreeMap<PartitionId, CommittedOffset> {
        &self.offsets
    }

    /// When a command last touched the group.
    pub fn active_at(&self) -> Timestamp {
        self.active_at
    }

    /// What each member was assigned: all that it holds or awaits, but nothing that it gives up.
    pub fn current_of_members(&self) -> BTreeMap<MemberId, BTreeSet<PartitionId>> {
        let current = |(id, member): (&MemberId, &Member)| {
            let held = member.held.keys().chain(&member.awaited);
            (id.clone(), held.copied().collect())
        };
        self.members.iter().map(current).collect()
    }
}

impl Member {
    /// What is this member's alone at this moment, to be read or to be given up.
    pub fn holdings(&self) -> impl Iterator<Item = (PartitionId, Generation)> {
        let holdings = self.held.iter().chain(&self.revoked);
        holdings.map(|(partition, generation)| (*partition, *generation))
    }

    /// Whether the member may commit an offset of a partition that it got in this generation.
    pub fn has(&self, partition: PartitionId, generation: Generation) -> bool {
        let of = |holdings: &BTreeMap<_, _>| holdings.get(&partition) == Some(&generation);
        of(&self.held) || of(&self.revoked)
    }
}

impl Subscription {
    /// These topics, in any order.
    pub fn topics(mut topics: Vec<TopicName>) -> Self {
        topics.sort_unstable();
        topics.dedup();
        Self::Topics(topics)
    }

    pub(super) fn normalized(self) -> Self {
        match self {
            Self::Topics(topics) => Self::topics(topics),
            Self::Pattern(pattern) => Self::Pattern(pattern),
        }
    }

    pub(super) fn is_normal(&self) -> bool {
        match self {
            Self::Topics(topics) => topics.is_sorted_by(|one, next| one < next),
            Self::Pattern(_) => true,
        }
    }
}
