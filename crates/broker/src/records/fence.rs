//! Fencing the owner of a job in at a partition, before its producer appends there.

use flotilla_protocol::v1::FenceProducerResponse;
use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::{AppendError, Partition};
use flotilla_state::access::AccessAction;
use flotilla_types::{ErrorCode, FencingToken, JobName, PartitionIndex};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::leader_call::LeaderCall;
use crate::node::Node;
use crate::origin::Origin;

/// A fence whose fields were read.
#[derive(Clone)]
struct Fence {
    request: v1::FenceProducerRequest,
    job: JobName,
}

impl Node {
    pub(crate) async fn fence_producer(
        &self,
        request: v1::FenceProducerRequest,
        origin: &Origin,
    ) -> Result<FenceProducerResponse, ApiError> {
        let job = JobName::parse(&request.job)?;
        if !FencingToken::new(request.token).is_possible() {
            let message = format!(
                "{} is no fencing token: send the one that AcquireJob has given",
                request.token
            );
            return Err(ApiError::new(ErrorCode::InvalidArgument, message));
        }
        self.call_leader(Fence { request, job }, origin).await
    }
}

impl LeaderCall for Fence {
    type Answer = FenceProducerResponse;
    const ACTION: AccessAction = AccessAction::Publish;

    fn topic(&self) -> &str {
        &self.request.topic
    }

    fn partition(&self) -> PartitionIndex {
        PartitionIndex::new(self.request.partition)
    }

    fn no_forward(&self) -> bool {
        self.request.no_forward
    }

    async fn carry_out(
        self,
        node: &Node,
        partition: &Partition,
    ) -> Result<Self::Answer, AppendError> {
        let token = FencingToken::new(self.request.token);
        let instance = self.request.instance;
        let fenced = partition.fence(self.job, token, instance, node.now());
        let (end_offset, epoch) = fenced.await?;
        Ok(FenceProducerResponse {
            end_offset: end_offset.get(),
            leader_epoch: partition.leadership().epoch.get(),
            producer_epoch: epoch.get().into(),
        })
    }

    async fn pass_on(
        request: Request<Self>,
        channel: Channel,
    ) -> Result<Response<Self::Answer>, Status> {
        let request = request.map(|fence| v1::FenceProducerRequest {
            no_forward: false,
            ..fence.request
        });
        ProduceClient::new(channel).fence_producer(request).await
    }
}
