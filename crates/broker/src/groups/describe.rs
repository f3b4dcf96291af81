//! What is known of groups: offsets, members, lists. And deleting one.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::groups::{CoordinatorCommand, Group};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{ErrorCode, GroupId, NodeId};
use futures::future::join_all;
use tokio::time::{Instant, sleep, timeout};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::membership::propose;
use super::messages::{member_messages, offset_messages};
use super::route::GroupCall;
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

/// How long another node may take to list the groups that it coordinates.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long the coordinators may take to have leaders.
const LIST_LIMIT: Duration = Duration::from_secs(3);
/// How long a leader may take to learn what earlier ones decided.
const SETTLE_LIMIT: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(50);

impl GroupCall for v1::GetCommittedOffsetsRequest {
    type Answer = v1::GetCommittedOffsetsResponse;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn group_id(&self) -> &str {
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

impl GroupCall for v1::DescribeGroupRequest {
    type Answer = v1::DescribeGroupResponse;
    const MAY_REPEAT: bool = true;
    const ONLY_READS: bool = true;

    fn group_id(&self) -> &str {
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

impl GroupCall for v1::DeleteGroupRequest {
    type Answer = v1::DeleteGroupResponse;
    const MAY_REPEAT: bool = false;

    fn group_id(&self) -> &str {
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

/// The groups of some coordinators.
#[derive(Default)]
struct Listed {
    groups: Vec<v1::GroupSummary>,
    coordinators: usize,
}

impl Node {
    /// Every group, by id, as the leaders of all coordinators know them; only those that this node
    /// leads for a node that asks.
    pub(super) async fn list_groups(
        &self,
        origin: Origin,
    ) -> Result<v1::ListGroupsResponse, ApiError> {
        let deadline = Instant::now() + LIST_LIMIT;
        loop {
            let mut listed = self.led_groups().await;
            if origin.local_only() {
                return Ok(listed.into_message());
            }
            let peers = self.raft.connected_peers().into_iter();
            let told = join_all(peers.map(|peer| self.ask_for_groups(peer))).await;
            for theirs in told {
                listed.groups.extend(theirs.groups);
                listed.coordinators += theirs.coordinators;
            }
            let all = self.state().coordinators().len();
            if listed.coordinators >= all {
                return Ok(listed.into_message());
            }
            if Instant::now() + PAUSE >= deadline {
                let message = format!(
                    "{} of the {all} coordinators of consumer groups have no leader that can be \
                     reached: try again when a majority of the nodes is up",
                    all - listed.coordinators
                );
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
            self.refuse_when_stopping()?;
            sleep(PAUSE).await;
        }
    }

    async fn led_groups(&self) -> Listed {
        let mut listed = Listed::default();
        for coordinator in self.coordinators_here() {
            // One that was deposed and does not know it yet would be counted twice.
            let leadership = self.raft.confirmed_leadership(coordinator.raft_group());
            if leadership.and_then(|leadership| leadership.leader) != Some(self.id) {
                continue;
            }
            let settled = timeout(SETTLE_LIMIT, coordinator.wait_settled()).await;
            if !matches!(settled, Ok(Ok(()))) {
                continue;
            }
            listed.coordinators += 1;
            coordinator.look(|state| {
                let groups = state.groups().map(|(id, group)| v1::GroupSummary {
                    group_id: id.to_string(),
                    members: group.members().len() as u32,
                    generation: group.generation().get(),
                });
                listed.groups.extend(groups);
            });
        }
        listed
    }

    async fn ask_for_groups(&self, peer: NodeId) -> Listed {
        let Ok(channel) = self.peers.channel(peer).await else {
            return Listed::default();
        };
        let request = Origin::ask_only(v1::ListGroupsRequest {}, self.peers.cluster(), ASK_LIMIT);
        let mut client =
            ConsumerGroupsClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        match client.list_groups(request).await {
            Ok(response) => {
                let answer = response.into_inner();
                Listed {
                    groups: answer.groups,
                    coordinators: answer.coordinators as usize,
                }
            }
            Err(status) => {
                let error = self.peers.failed_to_read(peer, &status);
                tracing::debug!(%peer, %error, "a node does not list its groups");
                Listed::default()
            }
        }
    }
}

impl Listed {
    fn into_message(mut self) -> v1::ListGroupsResponse {
        self.groups.sort_by(|a, b| a.group_id.cmp(&b.group_id));
        v1::ListGroupsResponse {
            groups: self.groups,
            coordinators: self.coordinators as u32,
        }
    }
}
