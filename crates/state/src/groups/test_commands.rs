//! Commands that the tests of this module share.

use flotilla_types::{
    Generation, GroupId, MemberId, Offset, PartitionId, Timestamp, TopicId, TopicName,
};

use super::bodies::partition_id;
use super::{
    CoordinatorCommand, CoordinatorOutcome, CoordinatorState, Group, OffsetCommit, Subscription,
};

pub(super) fn group_id(text: &str) -> GroupId {
    GroupId::parse(text).unwrap()
}

pub(super) fn member_id(text: &str) -> MemberId {
    MemberId::parse(text).unwrap()
}

pub(super) fn at(millis: i64) -> Timestamp {
    Timestamp::from_millis(millis)
}

/// Of topic 1.
pub(super) fn partition(index: u32) -> PartitionId {
    partition_id(1, index)
}

pub(super) fn generation(number: u64) -> Generation {
    Generation::new(number)
}

pub(super) fn topics(names: &[&str]) -> Subscription {
    let names = names.iter().map(|name| TopicName::parse(name).unwrap());
    Subscription::Topics(names.collect())
}

/// Every command here is for the group `g`, and comes at the time 0 unless it takes another.
pub(super) fn join(member: &str) -> CoordinatorCommand {
    join_at(member, topics(&["orders"]), 0)
}

pub(super) fn join_at(member: &str, subscription: Subscription, now: i64) -> CoordinatorCommand {
    CoordinatorCommand::Join {
        group: group_id("g"),
        member: member_id(member),
        client_name: "test".to_owned(),
        session_timeout_ms: 10_000,
        subscription,
        now: at(now),
    }
}

pub(super) fn assign(based_on: u64, targets: &[(&str, &[u32])]) -> CoordinatorCommand {
    let targets = targets.iter().map(|(member, partitions)| {
        let partitions = partitions.iter().copied().map(partition);
        (member_id(member), partitions.collect())
    });
    CoordinatorCommand::Assign {
        group: group_id("g"),
        based_on,
        targets: targets.collect(),
        now: at(0),
    }
}

pub(super) fn release(member: &str, partitions: &[(u32, u64)]) -> CoordinatorCommand {
    let partitions = partitions
        .iter()
        .map(|(index, number)| (partition(*index), generation(*number)));
    CoordinatorCommand::Release {
        group: group_id("g"),
        member: member_id(member),
        partitions: partitions.collect(),
        now: at(0),
    }
}

pub(super) fn leave(member: &str) -> CoordinatorCommand {
    CoordinatorCommand::Leave {
        group: group_id("g"),
        member: member_id(member),
        now: at(0),
    }
}

pub(super) fn expire(member: &str, joined: u64) -> CoordinatorCommand {
    CoordinatorCommand::Expire {
        group: group_id("g"),
        member: member_id(member),
        joined,
        now: at(0),
    }
}

/// Partition, generation and offset of each.
pub(super) fn commit(member: Option<&str>, offsets: &[(u32, u64, u64)]) -> CoordinatorCommand {
    let commits = offsets.iter().map(|(index, number, offset)| OffsetCommit {
        partition: partition(*index),
        generation: generation(*number),
        offset: Offset::new(*offset),
        metadata: String::new(),
    });
    CoordinatorCommand::CommitOffsets {
        group: group_id("g"),
        member: member.map(member_id),
        commits: commits.collect(),
        now: at(0),
    }
}

pub(super) fn delete() -> CoordinatorCommand {
    CoordinatorCommand::DeleteGroup {
        group: group_id("g"),
    }
}

pub(super) fn forget(topics: &[u64]) -> CoordinatorCommand {
    CoordinatorCommand::ForgetTopics {
        topics: topics.iter().copied().map(TopicId::new).collect(),
    }
}

/// A group `g` with these members, in which nobody has anything.
pub(super) fn coordinator(members: &[&str]) -> CoordinatorState {
    let mut state = CoordinatorState::new();
    for member in members {
        assert_eq!(state.apply(&join(member)), CoordinatorOutcome::Joined);
    }
    state
}

/// Applies a distribution that is based on the membership as it is.
pub(super) fn distribute(
    state: &mut CoordinatorState,
    targets: &[(&str, &[u32])],
) -> CoordinatorOutcome {
    let based_on = the_group(state).membership_version();
    state.apply(&assign(based_on, targets))
}

pub(super) fn the_group(state: &CoordinatorState) -> &Group {
    state.group(&group_id("g")).unwrap()
}

/// Held, revoked and awaited partitions, the first two with their generations.
pub(super) type Share = (Vec<(u32, u64)>, Vec<(u32, u64)>, Vec<u32>);

pub(super) fn share(state: &CoordinatorState, member: &str) -> Share {
    let member = the_group(state).member(&member_id(member)).unwrap();
    let numbers = |(of, since): (&PartitionId, &Generation)| (of.index.get(), since.get());
    let awaited = member.awaited.iter().map(|of| of.index.get());
    (
        member.held.iter().map(numbers).collect(),
        member.revoked.iter().map(numbers).collect(),
        awaited.collect(),
    )
}
