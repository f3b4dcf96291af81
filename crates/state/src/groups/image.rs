//! The groups and jobs of a coordinator as bytes: its Raft snapshot, and what a node starts from.
//!
//! Reading one checks what the module promises of every group, so that no damage that passed the
//! checksums makes two members read one partition.

use std::collections::{BTreeMap, BTreeSet};

use flotilla_types::limits::{COORDINATOR_GROUPS_MAX, GROUP_MEMBERS_MAX, GROUP_OFFSETS_MAX};
use flotilla_types::{Generation, GroupId, MemberId, Offset, PartitionId, Timestamp};
use minicbor::{Decode, Encode};

use super::bodies::{
    HoldingBody, PartitionBody, SubscriptionBody, group_id, member_id, partition_id,
};
use super::jobs::JobsImage;
use super::{CommittedOffset, CoordinatorState, Group, Member};
use crate::{DecodeError, wire};

const FORMAT: u8 = 1;
pub(super) const WHAT: &str = "coordinator image";

/// No counter gets anywhere near it, and so none can overflow.
pub(super) const COUNT_MAX: u64 = i64::MAX as u64;

#[derive(Encode, Decode)]
struct StateImage {
    #[n(0)]
    joins: u64,
    #[n(1)]
    groups: Vec<GroupImage>,
    #[n(2)]
    jobs: JobsImage,
}

/// Everything in lists ascends.
#[derive(Encode, Decode)]
struct GroupImage {
    #[n(0)]
    id: String,
    #[n(1)]
    membership_version: u64,
    #[n(2)]
    generation: u64,
    #[n(3)]
    last_assignment_version: u64,
    #[n(4)]
    active_at_ms: i64,
    #[n(5)]
    members: Vec<MemberImage>,
    #[n(6)]
    offsets: Vec<OffsetImage>,
}

#[derive(Encode, Decode)]
struct MemberImage {
    #[n(0)]
    id: String,
    #[n(1)]
    joined: u64,
    #[n(2)]
    client_name: String,
    #[n(3)]
    session_timeout_ms: u32,
    #[n(4)]
    subscription: SubscriptionBody,
    #[n(5)]
    assignment_version: u64,
    #[n(6)]
    held: Vec<HoldingBody>,
    #[n(7)]
    revoked: Vec<HoldingBody>,
    #[n(8)]
    awaited: Vec<PartitionBody>,
}

#[derive(Encode, Decode)]
struct OffsetImage {
    #[n(0)]
    topic: u64,
    #[n(1)]
    index: u32,
    #[n(2)]
    offset: u64,
    #[n(3)]
    committed_at_ms: i64,
    #[n(4)]
    metadata: String,
}

impl CoordinatorState {
    /// Equal states have equal bytes.
    pub fn encode(&self) -> Vec<u8> {
        let image = StateImage {
            joins: self.joins,
            groups: self.groups.iter().map(group_image).collect(),
            jobs: JobsImage::new(&self.jobs),
        };
        wire::encode(FORMAT, &image)
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let image: StateImage = wire::decode(WHAT, FORMAT, bytes)?;
        ensure(image.joins <= COUNT_MAX, "a counter is out of range")?;
        ensure(
            image.groups.len() <= COORDINATOR_GROUPS_MAX,
            "there are too many groups",
        )?;
        let groups = image.groups.into_iter().map(read_group);
        let groups = ascending(groups, "groups are out of order")?;
        let mut joins = BTreeSet::new();
        for member in groups.values().flat_map(|group| group.members.values()) {
            ensure(
                (1..=image.joins).contains(&member.joined) && joins.insert(member.joined),
                "a join is not one of those that were counted",
            )?;
        }
        Ok(Self {
            joins: image.joins,
            groups,
            jobs: image.jobs.read()?,
        })
    }
}

fn group_image((id, group): (&GroupId, &Group)) -> GroupImage {
    GroupImage {
        id: id.to_string(),
        membership_version: group.membership_version,
        generation: group.generation.get(),
        last_assignment_version: group.last_assignment_version,
        active_at_ms: group.active_at.as_millis(),
        members: group.members.iter().map(member_image).collect(),
        offsets: group.offsets.iter().map(offset_image).collect(),
    }
}

fn read_group(image: GroupImage) -> Result<(GroupId, Group), DecodeError> {
    ensure(
        image.members.len() <= GROUP_MEMBERS_MAX && image.offsets.len() <= GROUP_OFFSETS_MAX,
        "a group is too large",
    )?;
    let counters = [
        image.membership_version,
        image.generation,
        image.last_assignment_version,
    ];
    ensure(
        counters.into_iter().all(|counter| counter <= COUNT_MAX),
        "a counter is out of range",
    )?;
    let members = image.members.into_iter().map(read_member);
    let offsets = image
        .offsets
        .into_iter()
        .map(|offset| Ok(read_offset(offset)));
    let group = Group {
        membership_version: image.membership_version,
        generation: Generation::new(image.generation),
        members: ascending(members, "members are out of order")?,
        offsets: ascending(offsets, "committed offsets are out of order")?,
        active_at: Timestamp::from_millis(image.active_at_ms),
        last_assignment_version: image.last_assignment_version,
    };
    check_versions(&group)?;
    check_holdings(&group)?;
    Ok((group_id(WHAT, &image.id)?, group))
}

fn check_versions(group: &Group) -> Result<(), DecodeError> {
    let mut versions = BTreeSet::new();
    for member in group.members.values() {
        let version = member.assignment_version;
        ensure(
            (1..=group.last_assignment_version).contains(&version) && versions.insert(version),
            "an assignment version is not one of those that were counted",
        )?;
    }
    Ok(())
}

fn check_holdings(group: &Group) -> Result<(), DecodeError> {
    let mut holders = BTreeSet::new();
    for (partition, generation) in group.members.values().flat_map(Member::holdings) {
        ensure(
            generation <= group.generation,
            "a partition is held in a generation of the future",
        )?;
        ensure(holders.insert(partition), "a partition is held twice")?;
    }
    let revoked = group.members.values().flat_map(|member| &member.revoked);
    let mut revoked: BTreeMap<_, _> = revoked.collect();
    for member in group.members.values() {
        for partition in &member.awaited {
            let generation = revoked.remove(partition);
            ensure(
                generation.is_some_and(|generation| *generation < group.generation)
                    && !member.revoked.contains_key(partition),
                "a partition is awaited that no other member gives up",
            )?;
        }
    }
    Ok(())
}

fn member_image((id, member): (&MemberId, &Member)) -> MemberImage {
    let holdings = |holdings: &BTreeMap<PartitionId, Generation>| {
        let holdings = holdings.iter().map(|(of, since)| (*of, *since));
        holdings.map(HoldingBody::new).collect()
    };
    let awaited = member.awaited.iter().copied().map(PartitionBody::new);
    MemberImage {
        id: id.to_string(),
        joined: member.joined,
        client_name: member.client_name.clone(),
        session_timeout_ms: member.session_timeout_ms,
        subscription: SubscriptionBody::new(&member.subscription),
        assignment_version: member.assignment_version,
        held: holdings(&member.held),
        revoked: holdings(&member.revoked),
        awaited: awaited.collect(),
    }
}

fn read_member(image: MemberImage) -> Result<(MemberId, Member), DecodeError> {
    let subscription = image.subscription.read(WHAT)?;
    ensure(
        subscription.is_normal(),
        "the topics of a subscription are out of order",
    )?;
    let holdings = |holdings: &[HoldingBody]| {
        let holdings = holdings.iter().map(|holding| Ok(holding.read()));
        ascending(holdings, "partitions are out of order")
    };
    let awaited = image.awaited.iter().map(|awaited| Ok((awaited.read(), ())));
    let awaited = ascending(awaited, "partitions are out of order")?;
    let member = Member {
        joined: image.joined,
        client_name: image.client_name,
        session_timeout_ms: image.session_timeout_ms,
        subscription,
        assignment_version: image.assignment_version,
        held: holdings(&image.held)?,
        revoked: holdings(&image.revoked)?,
        awaited: awaited.into_keys().collect(),
    };
    Ok((member_id(WHAT, &image.id)?, member))
}

fn offset_image((partition, committed): (&PartitionId, &CommittedOffset)) -> OffsetImage {
    OffsetImage {
        topic: partition.topic.get(),
        index: partition.index.get(),
        offset: committed.offset.get(),
        committed_at_ms: committed.committed_at.as_millis(),
        metadata: committed.metadata.clone(),
    }
}

fn read_offset(image: OffsetImage) -> (PartitionId, CommittedOffset) {
    let committed = CommittedOffset {
        offset: Offset::new(image.offset),
        metadata: image.metadata,
        committed_at: Timestamp::from_millis(image.committed_at_ms),
    };
    (partition_id(image.topic, image.index), committed)
}

/// A map of entries that must come in its order, each key once: then equal states have equal bytes.
pub(super) fn ascending<K: Ord, V>(
    entries: impl Iterator<Item = Result<(K, V), DecodeError>>,
    contradiction: &'static str,
) -> Result<BTreeMap<K, V>, DecodeError> {
    let entries = entries.collect::<Result<Vec<_>, _>>()?;
    ensure(
        entries.is_sorted_by(|(one, _), (next, _)| one < next),
        contradiction,
    )?;
    Ok(entries.into_iter().collect())
}

pub(super) fn ensure(holds: bool, contradiction: &'static str) -> Result<(), DecodeError> {
    wire::ensure(WHAT, holds, contradiction)
}
