//! The `ConsumerGroups` service.

use std::sync::Arc;

use flotilla_protocol::v1;
use flotilla_protocol::v1::consumer_groups_server::ConsumerGroups;
use flotilla_state::access::Resource;
use tonic::{Request, Response, Status};

use super::describe::list_message;
use crate::coordinators::serve;
use crate::node::Node;
use crate::origin::Origin;

pub(crate) struct GroupService {
    node: Arc<Node>,
}

impl GroupService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }
}

#[tonic::async_trait]
impl ConsumerGroups for GroupService {
    async fn join_group(
        &self,
        request: Request<v1::JoinGroupRequest>,
    ) -> Result<Response<v1::JoinGroupResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn heartbeat(
        &self,
        request: Request<v1::HeartbeatRequest>,
    ) -> Result<Response<v1::HeartbeatResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn leave_group(
        &self,
        request: Request<v1::LeaveGroupRequest>,
    ) -> Result<Response<v1::LeaveGroupResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn commit_offsets(
        &self,
        request: Request<v1::CommitOffsetsRequest>,
    ) -> Result<Response<v1::CommitOffsetsResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn get_committed_offsets(
        &self,
        request: Request<v1::GetCommittedOffsetsRequest>,
    ) -> Result<Response<v1::GetCommittedOffsetsResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn list_groups(
        &self,
        request: Request<v1::ListGroupsRequest>,
    ) -> Result<Response<v1::ListGroupsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        self.node.refuse_when_stopping()?;
        let mut listed = self.node.list_coordinated(&origin).await?;
        let sees =
            |group: &v1::GroupSummary| self.node.sees(&origin, Resource::Group(&group.group_id));
        listed.parts.retain(sees);
        Ok(Response::new(list_message(listed)))
    }

    async fn describe_group(
        &self,
        request: Request<v1::DescribeGroupRequest>,
    ) -> Result<Response<v1::DescribeGroupResponse>, Status> {
        serve(&self.node, request).await
    }

    async fn delete_group(
        &self,
        request: Request<v1::DeleteGroupRequest>,
    ) -> Result<Response<v1::DeleteGroupResponse>, Status> {
        serve(&self.node, request).await
    }
}
