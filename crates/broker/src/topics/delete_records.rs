//! Deleting records from the front of a partition.

use flotilla_protocol::v1;
use flotilla_protocol::v1::topic_admin_client::TopicAdminClient;
use flotilla_raft::{AppendError, Partition};
use flotilla_state::access::AccessAction;
use flotilla_types::{Offset, PartitionIndex};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::leader_call::LeaderCall;
use crate::node::Node;

impl LeaderCall for v1::DeleteRecordsRequest {
    type Answer = v1::DeleteRecordsResponse;
    const ACTION: AccessAction = AccessAction::Delete;

    fn topic(&self) -> &str {
        &self.topic
    }

    fn partition(&self) -> PartitionIndex {
        PartitionIndex::new(self.partition)
    }

    fn no_forward(&self) -> bool {
        false
    }

    async fn carry_out(
        self,
        node: &Node,
        partition: &Partition,
    ) -> Result<Self::Answer, AppendError> {
        let before = self.before_offset.map(Offset::new);
        let before = before.unwrap_or_else(|| partition.high_watermark());
        let log_start = partition.delete_records(before, node.now()).await?;
        Ok(v1::DeleteRecordsResponse {
            log_start: log_start.get(),
        })
    }

    async fn pass_on(
        request: Request<Self>,
        channel: Channel,
    ) -> Result<Response<Self::Answer>, Status> {
        TopicAdminClient::new(channel).delete_records(request).await
    }
}
