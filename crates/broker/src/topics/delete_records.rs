//! Deleting records from the front of a partition, by whoever leads it.

use std::time::Duration;

use flotilla_protocol::v1::topic_admin_client::TopicAdminClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_raft::Partition;
use flotilla_types::{ErrorCode, NodeId, Offset, PartitionIndex, TopicName};
use tokio::time::{Instant, sleep, timeout_at};

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::{Forwarding, Route};

/// How long a deletion may take, the search for the leader included.
const DELETION_LIMIT: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

impl Node {
    /// The log start afterwards. To move it twice to the same place is to move it once, so whatever
    /// goes wrong on the way may be tried again.
    pub(crate) async fn delete_records(
        &self,
        request: v1::DeleteRecordsRequest,
        origin: Origin,
    ) -> Result<Offset, ApiError> {
        self.refuse_when_stopping()?;
        let name = TopicName::parse(&request.topic)?;
        let index = PartitionIndex::new(request.partition);
        let located = self.locate(&name, index).await?;
        let deadline = Instant::now() + DELETION_LIMIT;
        let forwarding = Forwarding::of(origin, false);
        loop {
            let moved = match self.route_to_leader(&located, forwarding, deadline).await? {
                Route::Here(partition) => {
                    let before = request.before_offset.map(Offset::new);
                    self.delete_here(&partition, before, deadline).await
                }
                Route::At(leader) => {
                    self.delete_at(leader, request.clone(), origin, deadline)
                        .await
                }
            };
            match moved {
                Err(error) if may_pass(&error, origin) && Instant::now() + PAUSE < deadline => {
                    self.refuse_when_stopping()?;
                    sleep(PAUSE).await;
                }
                moved => return moved,
            }
        }
    }

    /// A leader that has just been elected first learns what there is.
    async fn delete_here(
        &self,
        partition: &Partition,
        before: Option<Offset>,
        deadline: Instant,
    ) -> Result<Offset, ApiError> {
        let deleted = async {
            partition.wait_settled().await?;
            let before = before.unwrap_or_else(|| partition.high_watermark());
            partition.delete_records(before, self.now()).await
        };
        match timeout_at(deadline, deleted).await {
            Ok(deleted) => deleted.map_err(|error| errors::from_append(&error)),
            Err(_) => Err(ApiError::new(
                ErrorCode::Timeout,
                "a majority did not confirm the deletion in time: it may still happen",
            )),
        }
    }

    async fn delete_at(
        &self,
        leader: NodeId,
        request: v1::DeleteRecordsRequest,
        origin: Origin,
        deadline: Instant,
    ) -> Result<Offset, ApiError> {
        let channel = self.peers.channel(leader).await?;
        let limit = deadline.saturating_duration_since(Instant::now());
        let request = origin.pass_on(request, self.peers.cluster(), limit);
        self.meters.forwarded.increment(1);
        let response = TopicAdminClient::new(channel).delete_records(request).await;
        let response = response.map_err(|status| self.peers.failed_to_read(leader, &status))?;
        Ok(Offset::new(response.into_inner().log_start))
    }
}

fn may_pass(error: &ApiError, origin: Origin) -> bool {
    let passes = matches!(
        error.code,
        ErrorCode::NotLeader
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::ResultUnknown
            | ErrorCode::ShuttingDown
    );
    passes && !origin.is_node()
}
