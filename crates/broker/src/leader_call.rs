//! Calls that change one partition outside the stream of records, carried out by whoever leads it.

use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_raft::{AppendError, Partition};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::{ErrorCode, NodeId, PartitionIndex, TopicName};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::transport::Channel;
use tonic::{Request, Response, Status};

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::{Forwarding, Route};

/// How long a call may take, the search for the leader included.
const LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// A call for the leader of a partition. To make it twice is to make it once, so whatever goes wrong on
/// the way may be tried again.
pub(crate) trait LeaderCall: Clone + Send + Sync + 'static {
    type Answer: Send;
    /// What the caller must be allowed to do with the topic.
    const ACTION: AccessAction;

    fn topic(&self) -> &str;
    fn partition(&self) -> PartitionIndex;
    /// The client wants to go to the leader itself.
    fn no_forward(&self) -> bool;

    /// Does the work. The partition is led by this node and knows all that was decided before.
    fn carry_out(
        self,
        node: &Node,
        partition: &Partition,
    ) -> impl Future<Output = Result<Self::Answer, AppendError>> + Send;

    fn pass_on(
        request: Request<Self>,
        channel: Channel,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

impl Node {
    pub(crate) async fn call_leader<C: LeaderCall>(
        &self,
        call: C,
        origin: &Origin,
    ) -> Result<C::Answer, ApiError> {
        self.refuse_when_stopping()?;
        let name = TopicName::parse(call.topic())?;
        self.allow(origin, C::ACTION, Resource::Topic(name.as_str()))?;
        let located = self.locate(&name, call.partition()).await?;
        let deadline = Instant::now() + LIMIT;
        let forwarding = Forwarding::of(origin, call.no_forward());
        loop {
            let answer = match self.route_to_leader(&located, forwarding, deadline).await? {
                Route::Here(partition) => self.carry_out(&partition, call.clone(), deadline).await,
                Route::At(leader) => self.pass_on(leader, call.clone(), (origin, deadline)).await,
            };
            match answer {
                Err(error) if may_pass(&error, origin) && Instant::now() + PAUSE < deadline => {
                    self.refuse_when_stopping()?;
                    sleep(PAUSE).await;
                }
                answer => return answer,
            }
        }
    }

    /// A leader that has just been elected first learns what there is.
    async fn carry_out<C: LeaderCall>(
        &self,
        partition: &Partition,
        call: C,
        deadline: Instant,
    ) -> Result<C::Answer, ApiError> {
        let carried_out = async {
            partition.wait_settled().await?;
            call.carry_out(self, partition).await
        };
        match timeout_at(deadline, carried_out).await {
            Ok(answer) => answer.map_err(|error| errors::from_append(&error)),
            Err(_) => Err(ApiError::new(
                ErrorCode::Timeout,
                "a majority did not confirm it in time: it may still happen",
            )),
        }
    }

    async fn pass_on<C: LeaderCall>(
        &self,
        leader: NodeId,
        call: C,
        (origin, deadline): (&Origin, Instant),
    ) -> Result<C::Answer, ApiError> {
        let channel = self.peers.channel(leader).await?;
        let limit = deadline.saturating_duration_since(Instant::now());
        let request = origin.pass_on(call, self.peers.cluster(), limit);
        self.meters.forwarded.increment(1);
        let response = C::pass_on(request, channel).await;
        let response = response.map_err(|status| self.peers.failed_to_read(leader, &status))?;
        Ok(response.into_inner())
    }
}

fn may_pass(error: &ApiError, origin: &Origin) -> bool {
    let passes = matches!(
        error.code,
        ErrorCode::NotLeader
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::ResultUnknown
            | ErrorCode::ShuttingDown
    );
    passes && !origin.is_node()
}
