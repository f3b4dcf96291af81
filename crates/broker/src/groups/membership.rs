//! Joining, staying and leaving: what the leader of a coordinator does for a member.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::access::{AccessAction, Resource};
use flotilla_state::groups::{
    CoordinatorCommand, CoordinatorOutcome, CoordinatorState, Member, Subscription,
};
use flotilla_types::limits::{
    SESSION_TIMEOUT_MS_MAX, SUBSCRIPTION_PATTERN_BYTES_MAX, SUBSCRIPTION_TOPICS_MAX,
};
use flotilla_types::{GroupId, MemberId, TopicName};
use tokio::time::{Instant, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::messages::{assignment_message, knows_topics_of, read_held};
use super::rebalance::{matcher, rebalance};
use crate::coordinators::{
    ANSWER_TIME, CoordinatorCall, Session, not_leader, read_client_name, read_session_timeout,
    without,
};
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

impl CoordinatorCall for v1::JoinGroupRequest {
    type Answer = v1::JoinGroupResponse;
    type Subject = GroupId;
    const ACTION: AccessAction = AccessAction::Consume;
    const MAY_REPEAT: bool = true;

    fn subject(&self) -> &str {
        &self.group_id
    }

    /// Topics that a pattern matches are asked about when they are fetched.
    fn allow_more(&self, node: &Node, origin: &Origin) -> Result<(), ApiError> {
        let subscription = self.subscription.as_ref();
        let topics = subscription.map_or(&[][..], |subscription| &subscription.topics);
        topics
            .iter()
            .try_for_each(|topic| node.allow(origin, AccessAction::Consume, Resource::Topic(topic)))
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let member = MemberId::parse(&self.member_id)?;
        let session_timeout_ms = read_session_timeout(self.session_timeout_ms)?;
        let subscription = read_subscription(self.subscription.unwrap_or_default())?;
        let command = CoordinatorCommand::Join {
            group: group.clone(),
            member: member.clone(),
            client_name: read_client_name(self.client_name)?,
            session_timeout_ms,
            subscription,
            now: node.now(),
        };
        propose(coordinator, &command).await.map(drop)?;
        let (session, _) = require_member(coordinator, &group, &member)?;
        node.note_session(coordinator, session);
        tracing::info!(%group, %member, "a member has joined a consumer group");
        rebalance(node, coordinator, &group).await;
        Ok(v1::JoinGroupResponse {
            session_timeout_ms,
            assignment: Some(assignment_of(node, coordinator, &group, &member)?),
        })
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.join_group(request).await
    }
}

impl CoordinatorCall for v1::HeartbeatRequest {
    type Answer = v1::HeartbeatResponse;
    type Subject = GroupId;
    const ACTION: AccessAction = AccessAction::Consume;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn subject(&self) -> &str {
        &self.group_id
    }

    fn limit(&self) -> Duration {
        Duration::from_millis(u64::from(self.max_wait_ms.min(SESSION_TIMEOUT_MS_MAX))) + ANSWER_TIME
    }

    fn note_waited(&mut self, waited: Duration) {
        self.max_wait_ms = without(self.max_wait_ms, waited);
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let member = MemberId::parse(&self.member_id)?;
        let (session, session_timeout) = require_member(coordinator, &group, &member)?;
        node.note_session(coordinator, session);
        if !self.released.is_empty() {
            let command = CoordinatorCommand::Release {
                group: group.clone(),
                member: member.clone(),
                partitions: self.released.iter().map(read_held).collect(),
                now: node.now(),
            };
            propose(coordinator, &command).await.map(drop)?;
        }
        let wait = Duration::from_millis(self.max_wait_ms.into()).min(session_timeout / 3);
        let deadline = Instant::now() + wait;
        let mut changes = coordinator.watch();
        loop {
            changes.mark_unchanged();
            let version = assignment_version(coordinator, &group, &member)?;
            let is_over = Instant::now() >= deadline;
            if version != self.known_version || self.known_version == 0 || is_over {
                let assignment = assignment_of(node, coordinator, &group, &member)?;
                return Ok(v1::HeartbeatResponse {
                    assignment: Some(assignment),
                });
            }
            tokio::select! {
                // At the deadline it answers with what there is.
                _ = timeout_at(deadline, changes.changed()) => {}
                () = node.stop.cancelled() => return Err(crate::node::shutting_down()),
                _ = coordinator.wait_leadership(|now| now.leader != Some(node.id)) => {
                    return Err(not_leader(node, coordinator.leadership()));
                }
            }
        }
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.heartbeat(request).await
    }
}

impl CoordinatorCall for v1::LeaveGroupRequest {
    type Answer = v1::LeaveGroupResponse;
    type Subject = GroupId;
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
        let member = MemberId::parse(&self.member_id)?;
        let command = CoordinatorCommand::Leave {
            group: group.clone(),
            member: member.clone(),
            now: node.now(),
        };
        propose(coordinator, &command).await.map(drop)?;
        tracing::info!(%group, %member, "a member has left its consumer group");
        rebalance(node, coordinator, &group).await;
        Ok(v1::LeaveGroupResponse {})
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.leave_group(request).await
    }
}

/// Proposes a command, and reads a rejection as an error.
pub(super) async fn propose(
    coordinator: &Coordinator,
    command: &CoordinatorCommand,
) -> Result<CoordinatorOutcome, ApiError> {
    let outcome = coordinator.propose(command).await;
    match outcome.map_err(|error| errors::from_propose(&error))? {
        CoordinatorOutcome::Rejected(rejection) => Err(errors::from_group_rejection(&rejection)),
        outcome => Ok(outcome),
    }
}

fn member_of<'a>(
    state: &'a CoordinatorState,
    id: &GroupId,
    member: &MemberId,
) -> Result<&'a Member, ApiError> {
    let known = state.group(id).and_then(|group| group.member(member));
    known.ok_or_else(|| errors::unknown_member(id, member))
}

/// The member's session, and how long it may be silent.
fn require_member(
    coordinator: &Coordinator,
    id: &GroupId,
    member: &MemberId,
) -> Result<(Session, Duration), ApiError> {
    coordinator.look(|state| {
        if state.group(id).is_none() {
            return Err(errors::unknown_group(id));
        }
        let known = member_of(state, id, member)?;
        let session = Session::Member {
            group: id.clone(),
            member: member.clone(),
            joined: known.joined,
        };
        let session_timeout = Duration::from_millis(known.session_timeout_ms.into());
        Ok((session, session_timeout))
    })
}

fn assignment_version(
    coordinator: &Coordinator,
    id: &GroupId,
    member: &MemberId,
) -> Result<u64, ApiError> {
    coordinator.look(|state| Ok(member_of(state, id, member)?.assignment_version))
}

fn assignment_of(
    node: &Node,
    coordinator: &Coordinator,
    id: &GroupId,
    member: &MemberId,
) -> Result<v1::Assignment, ApiError> {
    let metadata = node.state();
    coordinator.look(|state| {
        let known = member_of(state, id, member)?;
        if !knows_topics_of(&metadata, known) {
            return Err(errors::metadata_lags());
        }
        Ok(assignment_message(&metadata, known))
    })
}

fn read_subscription(subscription: v1::Subscription) -> Result<Subscription, ApiError> {
    let v1::Subscription { topics, pattern } = subscription;
    match (topics.is_empty(), pattern.is_empty()) {
        (true, true) => Err(errors::invalid(
            "name the topics to subscribe to, or a pattern",
        )),
        (false, false) => Err(errors::invalid("name topics or a pattern, not both")),
        (false, true) if topics.len() > SUBSCRIPTION_TOPICS_MAX => Err(errors::invalid(format!(
            "a subscription names at most {SUBSCRIPTION_TOPICS_MAX} topics, this one has {}: use a \
             pattern",
            topics.len()
        ))),
        (false, true) => {
            let names = topics.iter().map(|topic| TopicName::parse(topic));
            Ok(Subscription::topics(names.collect::<Result<_, _>>()?))
        }
        (true, false) if pattern.len() > SUBSCRIPTION_PATTERN_BYTES_MAX => {
            Err(errors::invalid(format!(
                "a pattern has at most {SUBSCRIPTION_PATTERN_BYTES_MAX} bytes, this one has {}",
                pattern.len()
            )))
        }
        (true, false) => match matcher(&pattern) {
            Ok(_) => Ok(Subscription::Pattern(pattern)),
            Err(error) => Err(errors::invalid(format!(
                "the pattern is no regular expression: {error}"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use flotilla_types::ErrorCode;

    use super::*;

    fn subscription(topics: &[&str], pattern: &str) -> Result<Subscription, ErrorCode> {
        let subscription = v1::Subscription {
            topics: topics.iter().map(|topic| (*topic).to_owned()).collect(),
            pattern: pattern.to_owned(),
        };
        read_subscription(subscription).map_err(|error| error.code)
    }

    #[test]
    fn a_subscription_is_topics_or_a_pattern_that_can_be_read() {
        assert!(subscription(&["b", "a"], "").is_ok());
        assert!(subscription(&[], r"orders\..*").is_ok());
        let refused = [
            subscription(&[], ""),
            subscription(&["a"], "b"),
            subscription(&[], "("),
            subscription(&[], &"a".repeat(1_001)),
            subscription(&[], "(((a{100}){100}){100}){100}"),
            subscription(&vec!["a"; 1_001], ""),
        ];
        for refused in refused {
            assert_eq!(refused, Err(ErrorCode::InvalidArgument));
        }
        assert_eq!(
            subscription(&["../a"], ""),
            Err(ErrorCode::InvalidTopicName)
        );
    }
}
