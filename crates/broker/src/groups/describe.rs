//! What is known of groups: offsets, members, lists. And deleting one.

use std::collections::BTreeSet;
use std::sync::Arc;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::access::AccessAction;
use flotilla_state::groups::{CoordinatorCommand, Group};
use flotilla_types::GroupId;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::membership::propose;
use super::messages::{member_messages, offset_messages};
use crate::coordinators::{Coordinated, CoordinatorCall, Listed, Listing};
use crate::errors;
use crate::node::Node;

impl CoordinatorCall for v1::GetCommittedOffsetsRequest {
    type Answer = v1::GetCommittedOffsetsResponse;
    type Subject = GroupId;
    const ACTION: AccessAction = AccessAction::Describe;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn subject(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let metadata = node.state();
        let mut offsets = look(coordinator, &group, |group| {
            offset_messages(&metadata, group)
        })?;
        if !self.topics.is_empty() {
            let topics: BTreeSet<_> = self.topics.iter().collect();
            offsets.retain(|offset| topics.contains(&offset.topic));
        }
        Ok(v1::GetCommittedOffsetsResponse { offsets })
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.get_committed_offsets(request).await
    }
}

impl CoordinatorCall for v1::DescribeGroupRequest {
    type Answer = v1::DescribeGroupResponse;
    type Subject = GroupId;
    const ACTION: AccessAction = AccessAction::Describe;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn subject(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let metadata = node.state();
        look(coordinator, &group, |group| v1::DescribeGroupResponse {
            group_id: self.group_id.clone(),
            generation: group.generation().get(),
            members: member_messages(&metadata, group),
            offsets: offset_messages(&metadata, group),
            coordinator_node_id: node.id.get(),
        })
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.describe_group(request).await
    }
}

impl CoordinatorCall for v1::DeleteGroupRequest {
    type Answer = v1::DeleteGroupResponse;
    type Subject = GroupId;
    const ACTION: AccessAction = AccessAction::Delete;
    const MAY_REPEAT: bool = false;

    fn subject(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        _node: &Arc<Node>,
        coordinator: &Coordinator,
        group: GroupId,
    ) -> Result<Self::Answer, ApiError> {
        let command = CoordinatorCommand::DeleteGroup {
            group: group.clone(),
        };
        propose(coordinator, &command).await.map(drop)?;
        tracing::info!(%group, "a consumer group was deleted");
        Ok(v1::DeleteGroupResponse {})
    }

    async fn pass_on(
        request: Request<Self>,
        mut client: ConsumerGroupsClient<Channel>,
    ) -> Result<Response<Self::Answer>, Status> {
        client.delete_group(request).await
    }
}

fn look<T>(
    coordinator: &Coordinator,
    id: &GroupId,
    at: impl FnOnce(&Group) -> T,
) -> Result<T, ApiError> {
    coordinator.look(|state| match state.group(id) {
        Some(group) => Ok(at(group)),
        None => Err(errors::unknown_group(id)),
    })
}

impl Listing for v1::GroupSummary {
    type Request = v1::ListGroupsRequest;

    fn led(_node: &Node, coordinator: &Coordinator) -> Option<Vec<Self>> {
        Some(coordinator.look(|state| {
            let groups = state.groups().map(|(id, group)| Self {
                group_id: id.to_string(),
                members: group.members().len() as u32,
                generation: group.generation().get(),
            });
            groups.collect()
        }))
    }

    fn request() -> Self::Request {
        v1::ListGroupsRequest {}
    }

    async fn ask(
        request: Request<Self::Request>,
        channel: Channel,
    ) -> Result<Listed<Self>, Status> {
        let mut client = GroupId::client(channel);
        let answer = client.list_groups(request).await?.into_inner();
        Ok(Listed {
            parts: answer.groups,
            coordinators: answer.coordinators as usize,
        })
    }
}

/// By id.
pub(super) fn list_message(listed: Listed<v1::GroupSummary>) -> v1::ListGroupsResponse {
    let mut groups = listed.parts;
    groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
    v1::ListGroupsResponse {
        groups,
        coordinators: listed.coordinators as u32,
    }
}
