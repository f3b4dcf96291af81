//! The gRPC API of one node, without the client's routing and retries in between.

use std::time::Duration;

use bytes::Bytes;
use flotilla_client::{ApiError, OffsetSpec, PartitionIndex, TopicName, endpoint};
use flotilla_protocol::v1;
use flotilla_protocol::v1::consumer_groups_client::ConsumerGroupsClient;
use flotilla_protocol::v1::fetch_client::FetchClient;
use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_protocol::v1::produce_request::Payload;
use flotilla_protocol::v1::topic_admin_client::TopicAdminClient;
use flotilla_tests::cluster::Node;
use flotilla_tests::history::{Extent, Reading, RecordId, Seen};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{Record, RecordBatch};
use tonic::transport::Channel;

const CONNECT_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct RawNode {
    channel: Channel,
}

impl RawNode {
    pub(crate) fn of(node: &Node) -> Self {
        let endpoint = endpoint(&node.client_address(), CONNECT_LIMIT).unwrap();
        Self {
            channel: endpoint.connect_lazy(),
        }
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn producer(&self) -> ProduceClient<Channel> {
        ProduceClient::new(self.channel())
    }

    pub(crate) fn groups(&self) -> ConsumerGroupsClient<Channel> {
        ConsumerGroupsClient::new(self.channel())
    }

    pub(crate) fn topics(&self) -> TopicAdminClient<Channel> {
        TopicAdminClient::new(self.channel())
    }

    pub(crate) async fn produce(
        &self,
        request: v1::ProduceRequest,
    ) -> Result<v1::ProduceResponse, ApiError> {
        let answer = self.producer().produce(request).await;
        Ok(answer.map_err(ApiError::from)?.into_inner())
    }

    /// The records from `start` to the high watermark, as this node serves them.
    pub(crate) async fn read(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
        start: OffsetSpec,
    ) -> Result<Vec<Record>, ApiError> {
        self.fetch(v1::FetchRequest {
            topic: topic.to_string(),
            partition: partition.get(),
            start: Some(start.into()),
            ..v1::FetchRequest::default()
        })
        .await
    }

    /// The records of all answers.
    pub(crate) async fn fetch(&self, request: v1::FetchRequest) -> Result<Vec<Record>, ApiError> {
        let fetcher = FetchClient::new(self.channel());
        let mut fetcher = fetcher.max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let answers = fetcher.fetch(request).await;
        let mut answers = answers.map_err(ApiError::from)?.into_inner();
        let mut records = Vec::new();
        while let Some(answer) = answers.message().await.map_err(ApiError::from)? {
            let mut batches = answer.batches.into_bytes();
            while let Some(batch) = RecordBatch::parse_first(&mut batches)? {
                let start = answer.start_offset;
                let batch = batch.records()?.into_iter();
                records.extend(batch.filter(|record| record.offset.get() >= start));
            }
        }
        Ok(records)
    }

    /// All of a partition, for the history.
    pub(crate) async fn read_whole(
        &self,
        topic: &TopicName,
        partition: PartitionIndex,
    ) -> Result<Reading, ApiError> {
        let records = self.read(topic, partition, OffsetSpec::Earliest).await?;
        let seen = |record: Record| Seen {
            offset: record.offset,
            id: record.value.as_deref().and_then(RecordId::of_value),
            key: record.key,
        };
        Ok(Reading {
            partition,
            extent: Extent::Whole,
            records: records.into_iter().map(seen).collect(),
        })
    }
}

pub(crate) fn batch_request(topic: &TopicName, batch: impl Into<Bytes>) -> v1::ProduceRequest {
    v1::ProduceRequest {
        topic: topic.to_string(),
        partition: Some(0),
        payload: Some(Payload::Batch(batch.into())),
        ..v1::ProduceRequest::default()
    }
}

pub(crate) fn record_request(
    topic: &TopicName,
    partition: PartitionIndex,
    value: impl Into<Bytes>,
) -> v1::ProduceRequest {
    let record = v1::Record {
        value: Some(value.into()),
        ..v1::Record::default()
    };
    v1::ProduceRequest {
        topic: topic.to_string(),
        partition: Some(partition.get()),
        payload: Some(Payload::Records(v1::PlainRecords {
            records: vec![record],
        })),
        ..v1::ProduceRequest::default()
    }
}
