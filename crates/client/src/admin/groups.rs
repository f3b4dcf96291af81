//! Consumer groups: list, describe, delete, and their committed offsets.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_types::{Generation, GroupId, MemberId, NodeId, Offset, TopicName};

use super::Admin;
use crate::ClientError;
use crate::PartitionName;
use crate::client::{Repeat, within};
use crate::groups::offsets::{self, CommittedOffset, groups_client};
use crate::groups::{Assignment, HeldPartition, Subscription};

/// A line of the list of consumer groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupSummary {
    pub group: GroupId,
    pub members: u32,
    pub generation: Generation,
}

/// A consumer group at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group: GroupId,
    /// Grows with every new distribution of partitions.
    pub generation: Generation,
    /// The node that leads the group's coordinator.
    pub coordinator: NodeId,
    /// By id.
    pub members: Vec<GroupMember>,
    /// By topic and number.
    pub offsets: Vec<CommittedOffset>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member: MemberId,
    /// What the program calls itself.
    pub client_name: String,
    pub subscription: Subscription,
    /// How long it may be silent before it counts as gone.
    pub session_timeout: Duration,
    /// What it reads.
    pub partitions: Vec<HeldPartition>,
    /// What it was told to give up, and still has.
    pub revoked: Vec<HeldPartition>,
}

impl Admin {
    /// Lists all consumer groups by id.
    pub async fn list_groups(&self) -> Result<Vec<GroupSummary>, ClientError> {
        let send = |channel, limit| {
            let request = within(limit, v1::ListGroupsRequest {});
            async move { groups_client(channel).list_groups(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        answer.groups.into_iter().map(read_summary).collect()
    }

    /// Describes a consumer group: its members, what they hold, and the committed offsets.
    pub async fn describe_group(&self, group: &GroupId) -> Result<GroupDescription, ClientError> {
        let request = v1::DescribeGroupRequest {
            group_id: group.to_string(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { groups_client(channel).describe_group(request).await }
        };
        let answer = self.core.call(Repeat::Always, send).await?;
        let members = answer.members.into_iter().map(read_member);
        let offsets = answer.offsets.into_iter().map(CommittedOffset::read);
        Ok(GroupDescription {
            group: GroupId::parse(&answer.group_id).map_err(ApiError::from)?,
            generation: Generation::new(answer.generation),
            coordinator: NodeId::new(answer.coordinator_node_id),
            members: members.collect::<Result<_, _>>()?,
            offsets: offsets.collect::<Result<_, _>>()?,
        })
    }

    /// Deletes a consumer group without members, with its offsets.
    pub async fn delete_group(&self, group: &GroupId) -> Result<(), ClientError> {
        let request = v1::DeleteGroupRequest {
            group_id: group.to_string(),
        };
        let send = |channel, limit| {
            let request = within(limit, request.clone());
            async move { groups_client(channel).delete_group(request).await }
        };
        self.core.call(Repeat::IfDefinite, send).await?;
        Ok(())
    }

    /// What the group has committed in these topics, or in all if none is named, by topic and
    /// number. Partitions without a committed offset are absent.
    pub async fn committed_offsets(
        &self,
        group: &GroupId,
        topics: &[TopicName],
    ) -> Result<Vec<CommittedOffset>, ClientError> {
        let deadline = self.core.deadline();
        let committed = offsets::committed(&self.core, group, topics, deadline).await?;
        Ok(committed.into_values().collect())
    }

    /// Sets where the group goes on, each partition with its own outcome. It is refused with
    /// `GROUP_NOT_EMPTY` while the group has members.
    pub async fn commit_offsets(
        &self,
        group: &GroupId,
        offsets: &BTreeMap<PartitionName, Offset>,
    ) -> Result<Vec<(PartitionName, Result<(), ClientError>)>, ClientError> {
        let commits = offsets.iter().map(|(name, offset)| v1::OffsetCommit {
            topic: name.topic.to_string(),
            partition: name.partition.get(),
            offset: offset.get(),
            ..v1::OffsetCommit::default()
        });
        let deadline = self.core.deadline();
        let outcomes =
            offsets::commit(&self.core, group, None, commits.collect(), deadline).await?;
        Ok(offsets.keys().cloned().zip(outcomes).collect())
    }
}

fn read_summary(group: v1::GroupSummary) -> Result<GroupSummary, ClientError> {
    Ok(GroupSummary {
        group: GroupId::parse(&group.group_id).map_err(ApiError::from)?,
        members: group.members,
        generation: Generation::new(group.generation),
    })
}

fn read_member(member: v1::GroupMember) -> Result<GroupMember, ClientError> {
    let assignment = Assignment::read(member.assignment)?;
    Ok(GroupMember {
        member: MemberId::parse(&member.member_id).map_err(ApiError::from)?,
        client_name: member.client_name,
        subscription: Subscription::read(member.subscription)?,
        session_timeout: Duration::from_millis(member.session_timeout_ms.into()),
        partitions: assignment.partitions,
        revoked: assignment.revoked,
    })
}
