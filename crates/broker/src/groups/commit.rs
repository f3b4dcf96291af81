//! Offset commits: what a group has read, checked against the logs that it is about.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, OffsetRange, OffsetSpec, v1};
use flotilla_raft::Coordinator;
use flotilla_state::access::AccessAction;
use flotilla_state::groups::{CoordinatorCommand, CoordinatorOutcome, OffsetCommit};
use flotilla_types::limits::{OFFSET_COMMITS_PER_REQUEST_MAX, OFFSET_METADATA_BYTES_MAX};
use flotilla_types::{
    ErrorCode, Generation, GroupId, MemberId, Offset, PartitionId, PartitionIndex, TopicName,
};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::membership::propose;
use crate::coordinators::CoordinatorCall;
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::Located;

/// How long the leaders of the partitions may take to say how far their logs go. A partition that has
/// no leader for the moment shall not hold up the offset commits of the others.
const CHECK_LIMIT: Duration = Duration::from_millis(500);
/// Partitions that are checked at a time.
const CHECKS_MAX: usize = 64;

impl CoordinatorCall for v1::CommitOffsetsRequest {
    type Answer = v1::CommitOffsetsResponse;
    type Subject = GroupId;
    // In one generation only one member commits, and it knows which of its commits is the last.
    const ACTION: AccessAction = AccessAction::Consume;
    const MAY_REPEAT: bool = true;

    fn subject(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let member = match self.member_id.is_empty() {
            true => None,
            false => Some(MemberId::parse(&self.member_id)?),
        };
        if self.offsets.len() > OFFSET_COMMITS_PER_REQUEST_MAX {
            return Err(errors::invalid(format!(
                "one request commits offsets of at most {OFFSET_COMMITS_PER_REQUEST_MAX} \
                 partitions, this one has {}",
                self.offsets.len()
            )));
        }
        let deadline = Instant::now() + CHECK_LIMIT;
        let checked = futures::stream::iter(self.offsets.clone())
            .map(|commit| check(node.clone(), commit, deadline))
            .buffered(CHECKS_MAX);
        let checked: Vec<Result<OffsetCommit, ApiError>> = checked.collect().await;
        let sound: Vec<_> = checked.iter().flatten().cloned().collect();
        let command = CoordinatorCommand::CommitOffsets {
            group,
            member,
            commits: sound,
            now: node.now(),
        };
        // Also if nothing is left of it: who is no member shall hear that.
        let stored = match propose(coordinator, &command).await? {
            CoordinatorOutcome::OffsetsCommitted(stored) => stored,
            outcome => unreachable!("invariant: a commit is answered as a commit, not {outcome:?}"),
        };
        let mut stored = stored.into_iter();
        let outcomes = self.offsets.into_iter().zip(checked);
        let outcomes = outcomes.map(|(commit, checked)| {
            let error = match checked {
                Err(error) => Some(error),
                Ok(_) => stored
                    .next()
                    .and_then(Result::err)
                    .map(|fault| ApiError::new(fault.code(), fault.to_string())),
            };
            v1::OffsetCommitOutcome {
                topic: commit.topic,
                partition: commit.partition,
                error: error.map(Into::into),
            }
        });
        Ok(v1::CommitOffsetsResponse {
            outcomes: outcomes.collect(),
        })
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.commit_offsets(request).await
    }
}

/// A commit about a partition and an offset that there are.
async fn check(
    node: Arc<Node>,
    commit: v1::OffsetCommit,
    deadline: Instant,
) -> Result<OffsetCommit, ApiError> {
    if commit.metadata.len() > OFFSET_METADATA_BYTES_MAX {
        return Err(errors::invalid(format!(
            "the text beside an offset has at most {OFFSET_METADATA_BYTES_MAX} bytes, this one has \
             {}",
            commit.metadata.len()
        )));
    }
    let name = TopicName::parse(&commit.topic)?;
    let located = node
        .locate(&name, PartitionIndex::new(commit.partition))
        .await?;
    if commit.topic_id != 0 && commit.topic_id != located.topic.get() {
        let meant = flotilla_types::TopicId::new(commit.topic_id);
        return Err(errors::another_topic(&name, meant, located.topic));
    }
    let offset = Offset::new(commit.offset);
    require_below_end(&node, &located, offset, deadline).await?;
    Ok(OffsetCommit {
        partition: PartitionId {
            topic: located.topic,
            index: located.index,
        },
        generation: Generation::new(commit.generation),
        offset,
        metadata: commit.metadata,
    })
}

/// Refuses an offset above the high watermark. One whose leader cannot say is taken: the member has
/// read up to there.
async fn require_below_end(
    node: &Node,
    located: &Located,
    offset: Offset,
    deadline: Instant,
) -> Result<(), ApiError> {
    let here = node.raft.partition(located.group);
    // What this node has applied is there, whoever leads.
    if here.is_some_and(|partition| offset <= partition.high_watermark()) {
        return Ok(());
    }
    let this_node = Origin::default();
    let ask = |spec| node.offset_at_leader(located, spec, &this_node, deadline);
    let range_above = async {
        let high_watermark = ask(OffsetSpec::Latest).await?;
        if offset <= high_watermark {
            return Ok(None);
        }
        let log_start = ask(OffsetSpec::Earliest).await?;
        Ok(Some(OffsetRange {
            log_start,
            high_watermark,
        }))
    };
    let range_above: Result<Result<_, ApiError>, _> = timeout_at(deadline, range_above).await;
    let Ok(Ok(Some(range))) = range_above else {
        return Ok(());
    };
    let message = format!(
        "offset {offset} of {}/{} is above the high watermark, {}",
        located.name, located.index, range.high_watermark
    );
    Err(ApiError::new(ErrorCode::OffsetOutOfRange, message).with_offsets(range))
}
