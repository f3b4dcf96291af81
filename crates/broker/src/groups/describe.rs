//! What is known of groups: offsets, members, lists. And deleting one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Coordinator;
use flotilla_state::groups::{Group, GroupCommand};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{GroupId, NodeId};
use futures::future::join_all;
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use super::membership::propose;
use super::messages::{member_messages, offset_messages};
use super::route::GroupCall;
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;

/// How long another node may take to list the groups that it knows.
const ASK_LIMIT: Duration = Duration::from_secs(2);

impl GroupCall for v1::GetCommittedOffsetsRequest {
    type Answer = v1::GetCommittedOffsetsResponse;
    const MAY_REPEAT: bool = true;

    fn group_id(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
    ) -> Result<Self::Answer, ApiError> {
        let metadata = node.state();
        let mut offsets = look(coordinator, &self.group_id, |group| {
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

    fn group_id(&self) -> &str {
        &self.group_id
    }

    async fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
    ) -> Result<Self::Answer, ApiError> {
        let metadata = node.state();
        look(coordinator, &self.group_id, |group| {
            v1::DescribeGroupResponse {
                group_id: self.group_id.clone(),
                generation: group.generation().get(),
                members: member_messages(&metadata, group),
                offsets: offset_messages(&metadata, group),
                coordinator_node_id: node.id.get(),
            }
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
    ) -> Result<Self::Answer, ApiError> {
        let group = GroupId::parse(&self.group_id)?;
        let command = GroupCommand::DeleteGroup {
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
    group: &str,
    at: impl FnOnce(&Group) -> T,
) -> Result<T, ApiError> {
    let id = GroupId::parse(group)?;
    coordinator.look(|state| match state.group(&id) {
        Some(group) => Ok(at(group)),
        None => Err(errors::unknown_group(&id)),
    })
}

impl Node {
    /// Every group that this node, or a node that it can reach, has a replica of, by id.
    pub(super) async fn all_groups(&self, origin: Origin) -> Vec<v1::GroupSummary> {
        let mut groups: BTreeMap<String, v1::GroupSummary> = BTreeMap::new();
        let peers = match origin.local_only() || self.holds_all_coordinators() {
            true => Vec::new(),
            false => self.raft.connected_peers(),
        };
        let told = join_all(peers.into_iter().map(|peer| self.ask_for_groups(peer))).await;
        for summary in told.into_iter().flatten().chain(self.own_groups()) {
            let known = groups.entry(summary.group_id.clone()).or_default();
            if known.group_id.is_empty() || known.generation < summary.generation {
                *known = summary;
            }
        }
        groups.into_values().collect()
    }

    fn holds_all_coordinators(&self) -> bool {
        self.coordinators_here().len() == self.state().coordinators().len()
    }

    fn own_groups(&self) -> Vec<v1::GroupSummary> {
        let mut summaries = Vec::new();
        for coordinator in self.coordinators_here() {
            coordinator.look(|state| {
                let groups = state.groups().map(|(id, group)| v1::GroupSummary {
                    group_id: id.to_string(),
                    members: group.members().len() as u32,
                    generation: group.generation().get(),
                });
                summaries.extend(groups);
            });
        }
        summaries
    }

    async fn ask_for_groups(&self, peer: NodeId) -> Vec<v1::GroupSummary> {
        let Ok(channel) = self.peers.channel(peer).await else {
            return Vec::new();
        };
        let request = Origin::ask_only(v1::ListGroupsRequest {}, self.peers.cluster(), ASK_LIMIT);
        let mut client =
            ConsumerGroupsClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        match client.list_groups(request).await {
            Ok(response) => response.into_inner().groups,
            Err(status) => {
                let error = self.peers.failed_to_read(peer, &status);
                tracing::debug!(%peer, %error, "a node does not list its groups");
                Vec::new()
            }
        }
    }
}
