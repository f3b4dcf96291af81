//! The `ClusterAdmin` service.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::cluster_admin_client::ClusterAdminClient;
use flotilla_protocol::v1::cluster_admin_server::ClusterAdmin;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::{Leadership, Partition};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::{ErrorCode, NodeId, PartitionIndex, TopicName};
use tokio::time::{Instant, sleep};
use tonic::{Request, Response, Status};

use super::messages::{write_moves_under_way, write_node_statuses};
use crate::metadata::node_messages;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::{Forwarding, Located, Route};

/// How long a transfer may take, the search for the leader included.
const TRANSFER_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct ClusterService {
    node: Arc<Node>,
}

impl ClusterService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn transfer(
        &self,
        request: v1::TransferLeaderRequest,
        origin: &Origin,
    ) -> Result<v1::PartitionLeader, ApiError> {
        self.node.refuse_when_stopping()?;
        let name = TopicName::parse(&request.topic)?;
        let index = PartitionIndex::new(request.partition);
        let located = self.node.locate(&name, index).await?;
        let to = NodeId::new(request.to_node_id);
        require_replica(&located, to)?;
        let deadline = Instant::now() + TRANSFER_LIMIT;
        loop {
            let forwarding = Forwarding::of(origin, false);
            let result = match self
                .node
                .route_to_leader(&located, forwarding, deadline)
                .await?
            {
                Route::Here(partition) => transfer_here(&partition, to, deadline).await,
                Route::At(leader) => {
                    self.pass_on(leader, request.clone(), origin, deadline)
                        .await
                }
            };
            match result {
                Err(error) if may_pass(&error, origin) && Instant::now() + PAUSE < deadline => {
                    self.node.refuse_when_stopping()?;
                    sleep(PAUSE).await;
                }
                result => return result,
            }
        }
    }

    async fn pass_on(
        &self,
        leader: NodeId,
        request: v1::TransferLeaderRequest,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<v1::PartitionLeader, ApiError> {
        let channel = self.node.peers.channel(leader).await?;
        let limit = deadline.saturating_duration_since(Instant::now());
        let request = origin.pass_on(request, self.node.peers.cluster(), limit);
        let mut client = ClusterAdminClient::new(channel);
        // To lead already is success, so it does no harm to ask twice.
        let response = client.transfer_leader(request).await;
        let response =
            response.map_err(|status| self.node.peers.failed_to_read(leader, &status))?;
        response.into_inner().leader.ok_or_else(no_answer)
    }
}

#[tonic::async_trait]
impl ClusterAdmin for ClusterService {
    async fn describe_cluster(
        &self,
        request: Request<v1::DescribeClusterRequest>,
    ) -> Result<Response<v1::DescribeClusterResponse>, Status> {
        let node = &self.node;
        let origin = node.admit(&request, AccessAction::Describe, Resource::Cluster)?;
        self.node.refuse_when_stopping()?;
        let (state, partitions) = match origin.local_only() {
            true => (self.node.state(), self.node.own_statuses().await),
            false => self.node.all_statuses().await,
        };
        Ok(Response::new(v1::DescribeClusterResponse {
            cluster_id: self.node.peers.cluster().to_string(),
            node_id: self.node.id.get(),
            nodes: node_messages(&self.node),
            metadata_leader: self.node.confirmed_metadata_leader(),
            partitions,
            node_statuses: write_node_statuses(&state),
            moves: write_moves_under_way(&state),
        }))
    }

    async fn transfer_leader(
        &self,
        request: Request<v1::TransferLeaderRequest>,
    ) -> Result<Response<v1::TransferLeaderResponse>, Status> {
        let node = &self.node;
        let origin = node.admit(&request, AccessAction::Alter, Resource::Cluster)?;
        let leader = Some(self.transfer(request.into_inner(), &origin).await?);
        Ok(Response::new(v1::TransferLeaderResponse { leader }))
    }

    async fn change_placement(
        &self,
        request: Request<v1::ChangePlacementRequest>,
    ) -> Result<Response<v1::ChangePlacementResponse>, Status> {
        let node = &self.node;
        node.admit(&request, AccessAction::Alter, Resource::Cluster)?;
        let changed = node.change_placement(request.into_inner()).await?;
        Ok(Response::new(changed))
    }
}

async fn transfer_here(
    partition: &Partition,
    to: NodeId,
    deadline: Instant,
) -> Result<v1::PartitionLeader, ApiError> {
    let limit = deadline.saturating_duration_since(Instant::now());
    let leads = partition.leadership().leader == Some(to);
    if leads || partition.transfer_leader(to, limit).await {
        return leader_message(partition.leadership()).ok_or_else(no_answer);
    }
    Err(ApiError::new(
        ErrorCode::Timeout,
        format!("node {to} did not take the leadership in time: is it up, and has it caught up?"),
    ))
}

fn require_replica(located: &Located, to: NodeId) -> Result<(), ApiError> {
    if located.replicas.contains(&to) {
        return Ok(());
    }
    let replicas: Vec<_> = located.replicas.iter().map(NodeId::to_string).collect();
    let message = format!(
        "node {to} holds no replica of partition {} of topic {}: choose one of {}",
        located.index,
        located.name,
        replicas.join(", ")
    );
    Err(ApiError::new(ErrorCode::UnknownNode, message))
}

fn may_pass(error: &ApiError, origin: &Origin) -> bool {
    let no_leader = matches!(
        error.code,
        ErrorCode::NotLeader | ErrorCode::LeaderNotAvailable
    );
    no_leader && !origin.is_node()
}

pub(super) fn leader_message(leadership: Leadership) -> Option<v1::PartitionLeader> {
    Some(v1::PartitionLeader {
        node_id: leadership.leader?.get(),
        leader_epoch: leadership.epoch.get(),
    })
}

fn no_answer() -> ApiError {
    ApiError::new(
        ErrorCode::ResultUnknown,
        "the leadership is moving: look who leads in a moment",
    )
}
