//! Where a consumer group or a job is coordinated.

use std::fmt::Display;

use flotilla_protocol::ApiError;
use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::v1::jobs_client::JobsClient;
use flotilla_raft::Coordinator;
use flotilla_state::access::Resource;
use flotilla_state::metadata::{MetadataCommand, MetadataState, Partition};
use flotilla_types::limits::{COORDINATORS, GRPC_MESSAGE_BYTES_MAX};
use flotilla_types::{ErrorCode, GroupId, JobName, NameError, partition_of_key};
use tokio::time::Instant;
use tonic::transport::Channel;

use crate::node::Node;

/// Something about which one coordinator decides.
pub(crate) trait Coordinated: Clone + Display + Send + Sync + 'static {
    /// For people, who also need to know what the name is of.
    const KIND: &'static str;

    /// Of the service that is about these.
    type Client: Send;

    fn parse(name: &str) -> Result<Self, NameError>;

    /// As access rules name it.
    fn resource(&self) -> Resource<'_>;

    /// The coordinator's placement, once there are coordinators. It is the same one for ever.
    fn coordinator<'a>(&self, metadata: &'a MetadataState) -> Option<&'a Partition>;

    fn client(channel: Channel) -> Self::Client;

    /// As an error names it.
    fn described(&self) -> String {
        format!("{} {self}", Self::KIND)
    }
}

impl Coordinated for GroupId {
    const KIND: &'static str = "consumer group";
    type Client = ConsumerGroupsClient<Channel>;

    fn parse(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }

    fn resource(&self) -> Resource<'_> {
        Resource::Group(self.as_str())
    }

    fn coordinator<'a>(&self, metadata: &'a MetadataState) -> Option<&'a Partition> {
        metadata.coordinator_of(self)
    }

    fn client(channel: Channel) -> Self::Client {
        ConsumerGroupsClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }
}

impl Coordinated for JobName {
    const KIND: &'static str = "job";
    type Client = JobsClient<Channel>;

    fn parse(name: &str) -> Result<Self, NameError> {
        Self::parse(name)
    }

    fn resource(&self) -> Resource<'_> {
        Resource::Job(self.as_str())
    }

    fn coordinator<'a>(&self, metadata: &'a MetadataState) -> Option<&'a Partition> {
        let number = partition_of_key(self.as_str().as_bytes(), COORDINATORS);
        metadata.coordinators().get(number.get() as usize)
    }

    fn client(channel: Channel) -> Self::Client {
        JobsClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }
}

impl Node {
    /// The placement of a coordinator. What is coordinated first in a cluster makes all of them.
    pub(super) async fn coordinator_of<C: Coordinated>(
        &self,
        subject: &C,
        deadline: Instant,
    ) -> Result<Partition, ApiError> {
        if let Some(placed) = subject.coordinator(&self.state()) {
            return Ok(placed.clone());
        }
        let command = MetadataCommand::CreateCoordinators {
            replication_factor: self.default_replication_factor(),
        };
        let proposed = match self.propose(&command, deadline).await {
            // The nodes are still on their way.
            Err(error) if error.code == ErrorCode::NotEnoughNodes => {
                let message = format!("the coordinators have no place yet: {error}");
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
            proposed => proposed?,
        };
        self.wait_for_version(proposed.version, deadline).await?;
        let placed = subject.coordinator(&self.state()).cloned();
        placed.ok_or_else(|| no_leader(subject))
    }

    /// The coordinators of which this node has opened a replica.
    pub(super) fn coordinators_here(&self) -> Vec<Coordinator> {
        let state = self.state();
        let here = state.coordinators_on(self.id);
        here.filter_map(|placed| self.raft.coordinator(placed.raft_group))
            .collect()
    }
}

pub(super) fn no_leader<C: Coordinated>(subject: &C) -> ApiError {
    ApiError::new(
        ErrorCode::LeaderNotAvailable,
        format!(
            "the coordinator of {} has no leader that can be reached: try again when a majority of \
             its replicas is up",
            subject.described()
        ),
    )
}
