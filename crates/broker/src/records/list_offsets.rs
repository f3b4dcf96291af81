//! The ends of logs and the offsets of moments, as the leaders know them.

use std::time::Duration;

use flotilla_protocol::v1::fetch_client::FetchClient;
use flotilla_protocol::{ApiError, OffsetSpec, v1};
use flotilla_raft::Partition;
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::limits::TOPIC_PARTITIONS_MAX;
use flotilla_types::{ErrorCode, NodeId, Offset, PartitionIndex, TopicId, TopicName};
use futures::StreamExt;
use tokio::time::{Instant, sleep, timeout_at};
use tonic::Request;

use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::{Forwarding, Located, Route};

/// How long the leader of one partition is looked for and asked.
const PARTITION_LIMIT: Duration = Duration::from_secs(5);
/// Partitions that are asked about at a time.
const CONCURRENT_MAX: usize = 64;
const PAUSE: Duration = Duration::from_millis(20);

impl Node {
    pub(crate) async fn list_offsets(
        &self,
        request: v1::ListOffsetsRequest,
        origin: &Origin,
    ) -> Result<Vec<v1::PartitionOffset>, ApiError> {
        self.refuse_when_stopping()?;
        let name = TopicName::parse(&request.topic)?;
        let topic = Resource::Topic(name.as_str());
        self.allow(origin, AccessAction::Describe, topic)?;
        let spec = OffsetSpec::parse(request.spec)?;
        if matches!(spec, OffsetSpec::Offset(_)) {
            return Err(invalid(
                "ask for earliest, latest or a timestamp: an offset is known",
            ));
        }
        if request.partitions.len() > TOPIC_PARTITIONS_MAX as usize {
            return Err(invalid(
                "the request names more partitions than a topic can have",
            ));
        }
        let partition_count = self.partition_count(&name).await?;
        let partitions = match request.partitions.is_empty() {
            true => (0..partition_count).collect(),
            false => request.partitions,
        };
        let offsets = futures::stream::iter(partitions)
            .map(|index| self.partition_offset(&name, index, spec, origin))
            .buffered(CONCURRENT_MAX);
        Ok(offsets.collect().await)
    }

    async fn partition_offset(
        &self,
        name: &TopicName,
        partition: u32,
        spec: OffsetSpec,
        origin: &Origin,
    ) -> v1::PartitionOffset {
        let offset = async {
            let located = self.locate(name, PartitionIndex::new(partition)).await?;
            let deadline = Instant::now() + PARTITION_LIMIT;
            self.offset_at_leader(&located, spec, origin, deadline)
                .await
        };
        let (offset, error) = match offset.await {
            Ok(offset) => (Some(offset.get()), None),
            Err(error) => (None, Some(error.into())),
        };
        v1::PartitionOffset {
            partition,
            offset,
            error,
        }
    }

    /// What the leader of a partition says of its log.
    pub(crate) async fn offset_at_leader(
        &self,
        located: &Located,
        spec: OffsetSpec,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Offset, ApiError> {
        let forwarding = Forwarding::of(origin, false);
        loop {
            let offset = match self.route_to_leader(located, forwarding, deadline).await {
                Ok(Route::Here(partition)) => {
                    self.offset_here(&partition, located.topic, spec, deadline)
                        .await
                }
                Ok(Route::At(leader)) => {
                    let limit = deadline.saturating_duration_since(Instant::now());
                    let request = ask_for(located, spec);
                    let request = origin.pass_on(request, self.peers.cluster(), limit);
                    self.offset_at(leader, located, request).await
                }
                Err(error) => Err(error),
            };
            let Err(error) = offset else {
                return offset;
            };
            let may_pass = matches!(
                error.code,
                ErrorCode::NotLeader | ErrorCode::LeaderNotAvailable | ErrorCode::ShuttingDown
            );
            if origin.is_node() || !may_pass || Instant::now() + PAUSE >= deadline {
                return Err(error);
            }
            self.refuse_when_stopping()?;
            sleep(PAUSE).await;
        }
    }

    /// A leader that has just been elected may not know yet what earlier ones acknowledged: it waits
    /// until it does.
    async fn offset_here(
        &self,
        partition: &Partition,
        topic: TopicId,
        spec: OffsetSpec,
        deadline: Instant,
    ) -> Result<Offset, ApiError> {
        match timeout_at(deadline, partition.wait_settled()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(errors::from_append(&error)),
            Err(_) => {
                let message = "the leader did not learn where the log ends in time: try again";
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
        }
        match spec {
            OffsetSpec::Earliest => self.log_start(partition, topic).await,
            OffsetSpec::Latest => Ok(partition.high_watermark()),
            OffsetSpec::Timestamp(timestamp) => {
                let log_start = self.log_start(partition, topic).await?;
                let offset = partition.offset_at(timestamp).await;
                Ok(offset.map_err(errors::from_read)?.max(log_start))
            }
            OffsetSpec::Offset(offset) => Ok(offset),
        }
    }

    async fn offset_at(
        &self,
        leader: NodeId,
        located: &Located,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Offset, ApiError> {
        let channel = self.peers.channel(leader).await?;
        self.meters.forwarded.increment(1);
        let response = FetchClient::new(channel).list_offsets(request).await;
        let response = response.map_err(|status| self.peers.failed_to_read(leader, &status))?;
        let answer = response.into_inner().offsets.pop().unwrap_or_default();
        match (answer.offset, answer.error) {
            (_, Some(error)) => Err(error.into()),
            (Some(offset), None) => Ok(Offset::new(offset)),
            (None, None) => Err(errors::no_leader(&located.name, located.index)),
        }
    }
}

fn ask_for(located: &Located, spec: OffsetSpec) -> v1::ListOffsetsRequest {
    v1::ListOffsetsRequest {
        topic: located.name.as_str().to_owned(),
        partitions: vec![located.index.get()],
        spec: Some(spec.into()),
    }
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidArgument, message)
}
