//! Offset commits, and what was committed.

use std::collections::BTreeMap;
use std::time::Duration;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{
    GroupId, MemberId, Offset, PartitionIndex, Timestamp, TopicId, TopicName, limits,
};
use tokio::time::Instant;

use crate::PartitionName;
use crate::client::{Core, Repeat, within};
use crate::{ClientError, NodeChannel};

/// What a group has committed for one partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommittedOffset {
    pub name: PartitionName,
    /// Of the topic: another one of the same name is another log.
    pub topic_id: TopicId,
    /// Of the next record to be read: everything below is done.
    pub offset: Offset,
    /// What the one who committed it wrote beside it.
    pub metadata: String,
    /// By the coordinator's clock.
    pub committed_at: Timestamp,
}

/// How each partition of an offset commit fared, in the order in which they were named.
pub(crate) type CommitOutcomes = Vec<Result<(), ClientError>>;

pub(crate) fn groups_client(channel: NodeChannel) -> ConsumerGroupsClient<NodeChannel> {
    ConsumerGroupsClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX)
}

/// Commits offsets, as a member or not. To commit the same twice does no harm, so it is tried again
/// until `deadline` while the failure may pass.
pub(crate) async fn commit(
    core: &Core,
    group: &GroupId,
    member: Option<&MemberId>,
    commits: Vec<v1::OffsetCommit>,
    deadline: Instant,
) -> Result<CommitOutcomes, ClientError> {
    let mut outcomes = Vec::with_capacity(commits.len());
    for part in commits.chunks(limits::OFFSET_COMMITS_PER_REQUEST_MAX) {
        let request = v1::CommitOffsetsRequest {
            group_id: group.to_string(),
            member_id: member.map_or_else(String::new, MemberId::to_string),
            offsets: part.to_vec(),
        };
        let send = |channel, limit: Duration| {
            let request = within(limit, request.clone());
            async move { groups_client(channel).commit_offsets(request).await }
        };
        let answer = core.call_until(deadline, Repeat::Always, send).await?;
        if answer.outcomes.len() != part.len() {
            return Err(ClientError::missing("an outcome of each offset"));
        }
        outcomes.extend(answer.outcomes.into_iter().map(read_outcome));
    }
    Ok(outcomes)
}

/// What the group has committed in these topics, or in all if none is named, by topic and number.
pub(crate) async fn committed(
    core: &Core,
    group: &GroupId,
    topics: &[TopicName],
    deadline: Instant,
) -> Result<BTreeMap<PartitionName, CommittedOffset>, ClientError> {
    let request = v1::GetCommittedOffsetsRequest {
        group_id: group.to_string(),
        topics: topics.iter().map(TopicName::to_string).collect(),
    };
    let send = |channel, limit: Duration| {
        let request = within(limit, request.clone());
        async move { groups_client(channel).get_committed_offsets(request).await }
    };
    let answer = core.call_until(deadline, Repeat::Always, send).await?;
    let offsets = answer.offsets.into_iter().map(CommittedOffset::read);
    offsets
        .map(|offset| offset.map(|offset| (offset.name.clone(), offset)))
        .collect()
}

impl CommittedOffset {
    pub(crate) fn read(answer: v1::CommittedOffset) -> Result<Self, ClientError> {
        let topic = TopicName::parse(&answer.topic).map_err(ApiError::from)?;
        Ok(Self {
            name: PartitionName::new(topic, PartitionIndex::new(answer.partition)),
            topic_id: TopicId::new(answer.topic_id),
            offset: Offset::new(answer.offset),
            metadata: answer.metadata,
            committed_at: Timestamp::from_millis(answer.committed_at_ms),
        })
    }
}

fn read_outcome(outcome: v1::OffsetCommitOutcome) -> Result<(), ClientError> {
    match outcome.error {
        Some(error) => Err(ApiError::from(error).into()),
        None => Ok(()),
    }
}
