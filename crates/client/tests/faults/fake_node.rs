//! The services of one node of the fake cluster.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use flotilla_protocol::v1::fetch_server::Fetch;
use flotilla_protocol::v1::metadata_server::Metadata;
use flotilla_protocol::v1::produce_server::Produce;
use flotilla_protocol::v1::topic_admin_server::TopicAdmin;
use flotilla_protocol::{ApiError, OffsetRange, OffsetSpec, topics, v1};
use flotilla_types::{ErrorCode, Offset, RecordBatch, TopicConfig};
use futures::Stream;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use crate::fake_cluster::{FetchFault, ProduceFault, Shared, State, node_id};

#[derive(Clone)]
pub(crate) struct FakeNode {
    pub(crate) index: usize,
    pub(crate) shared: Arc<Shared>,
}

type Answers<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Metadata for FakeNode {
    async fn get_metadata(
        &self,
        request: Request<v1::GetMetadataRequest>,
    ) -> Result<Response<v1::GetMetadataResponse>, Status> {
        let state = self.shared.state();
        let mut names = request.into_inner().topics;
        if names.is_empty() {
            names = state.topics.keys().cloned().collect();
        }
        let nodes = state.addresses.iter().enumerate();
        Ok(Response::new(v1::GetMetadataResponse {
            cluster_id: "00".repeat(16),
            nodes: nodes
                .map(|(index, address)| v1::Node {
                    id: node_id(index).get(),
                    client_address: address.clone(),
                    peer_address: String::new(),
                    alive: true,
                })
                .collect(),
            topics: names.iter().map(|name| describe(&state, name)).collect(),
        }))
    }

    async fn allocate_producer_id(
        &self,
        _request: Request<v1::AllocateProducerIdRequest>,
    ) -> Result<Response<v1::AllocateProducerIdResponse>, Status> {
        let mut state = self.shared.state();
        state.producer_ids += 1;
        Ok(Response::new(v1::AllocateProducerIdResponse {
            producer_id: state.producer_ids,
            producer_epoch: 0,
        }))
    }
}

fn describe(state: &State, name: &str) -> v1::TopicMetadata {
    let Some(logs) = state.topics.get(name) else {
        return v1::TopicMetadata {
            name: name.to_owned(),
            error: Some(ApiError::new(ErrorCode::UnknownTopic, "no such topic").into()),
            ..v1::TopicMetadata::default()
        };
    };
    v1::TopicMetadata {
        id: 1,
        name: name.to_owned(),
        error: None,
        has_schema: false,
        partitions: (0..)
            .zip(logs)
            .map(|(index, log)| v1::PartitionMetadata {
                index,
                leader: log.leader.map(|leader| v1::PartitionLeader {
                    node_id: node_id(leader).get(),
                    leader_epoch: log.epoch,
                }),
                replicas: Vec::new(),
            })
            .collect(),
    }
}

/// The stream is to break.
struct Broken;

#[tonic::async_trait]
impl Produce for FakeNode {
    async fn produce(
        &self,
        _request: Request<v1::ProduceRequest>,
    ) -> Result<Response<v1::ProduceResponse>, Status> {
        Err(Status::unimplemented("the client streams"))
    }

    async fn fence_producer(
        &self,
        _request: Request<v1::FenceProducerRequest>,
    ) -> Result<Response<v1::FenceProducerResponse>, Status> {
        Err(Status::unimplemented("nobody owns a job here"))
    }

    type ProduceStreamStream = Answers<v1::ProduceResponse>;

    async fn produce_stream(
        &self,
        request: Request<Streaming<v1::ProduceRequest>>,
    ) -> Result<Response<Self::ProduceStreamStream>, Status> {
        let node = self.clone();
        let mut requests = request.into_inner();
        let (answers, stream) = mpsc::channel(16);
        tokio::spawn(async move {
            let mut answering = node.shared.answering.subscribe();
            while let Some(Ok(request)) = requests.next().await {
                if answering.wait_for(|answering| *answering).await.is_err() {
                    return;
                }
                let answer = match node.take(request) {
                    Ok(response) => Ok(response),
                    Err(Broken) => Err(Status::unavailable("connection reset by test")),
                };
                let is_broken = answer.is_err();
                if answers.send(answer).await.is_err() || is_broken {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }
}

impl FakeNode {
    fn take(&self, request: v1::ProduceRequest) -> Result<v1::ProduceResponse, Broken> {
        let mut state = self.shared.state();
        state.produce_requests += 1;
        let fault = state.produce_faults.pop_front().flatten();
        let partition = request.partition.expect("the client chooses the partition");
        let Some(v1::produce_request::Payload::Batch(batch)) = request.payload else {
            panic!("the client sends batches");
        };
        let batch = RecordBatch::parse(batch).expect("the client sends sound batches");
        if fault == Some(ProduceFault::MoveLeader) {
            state.move_leader(&request.topic, partition);
        }
        let outcome = match state.led_partition(self.index, &request.topic, partition) {
            Err(error) => Err(error),
            Ok(log) => match fault {
                None | Some(ProduceFault::MoveLeader) => {
                    let appended = log.append(&batch);
                    log.deliver_late();
                    appended
                }
                Some(ProduceFault::Refuse(code)) => Err(ApiError::new(code, "as told")),
                Some(ProduceFault::ApplyButAnswer(code)) => {
                    (log.append(&batch)).and_then(|_| Err(ApiError::new(code, "as told")))
                }
                Some(ProduceFault::LoseAnswer) => {
                    let _ = log.append(&batch);
                    return Err(Broken);
                }
                Some(ProduceFault::LoseRequest) => return Err(Broken),
                Some(ProduceFault::DelayRequest) => {
                    log.late.push(batch);
                    return Err(Broken);
                }
            },
        };
        drop(state);
        self.shared.note_change();
        let (base_offset, duplicate, error) = match outcome {
            Ok(appended) => (appended.base_offset, appended.duplicate, None),
            Err(error) => (0, false, Some(error.into())),
        };
        Ok(v1::ProduceResponse {
            correlation_id: request.correlation_id,
            partition,
            base_offset,
            duplicate,
            error,
            ..v1::ProduceResponse::default()
        })
    }
}

#[tonic::async_trait]
impl Fetch for FakeNode {
    type FetchStream = Answers<v1::FetchResponse>;

    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let request = request.into_inner();
        let start = OffsetSpec::parse(request.start)?;
        let mut session = {
            let mut state = self.shared.state();
            let log = state.led_partition(self.index, &request.topic, request.partition)?;
            let (log_start, end_offset) = (log.log_start, log.end_offset());
            let position = log.locate(start);
            if !(log_start..=end_offset).contains(&position) {
                let error = ApiError::new(ErrorCode::OffsetOutOfRange, "not in the log");
                return Err(Status::from(error.with_offsets(OffsetRange {
                    log_start: Offset::new(log_start),
                    high_watermark: Offset::new(end_offset),
                })));
            }
            FetchSession {
                node: self.clone(),
                end: request
                    .end_offset
                    .unwrap_or(u64::MAX)
                    .min(if request.follow { u64::MAX } else { end_offset }),
                request,
                position,
                has_answered: false,
            }
        };
        let (answers, stream) = mpsc::channel(1);
        tokio::spawn(async move {
            let mut changes = session.node.shared.changes();
            loop {
                match session.next() {
                    Next::Answer(answer) => {
                        let is_broken = answer.is_err();
                        if answers.send(answer).await.is_err() || is_broken {
                            return;
                        }
                    }
                    Next::Wait => {
                        if changes.changed().await.is_err() {
                            return;
                        }
                    }
                    Next::End => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(stream))))
    }

    async fn list_offsets(
        &self,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let request = request.into_inner();
        let spec = OffsetSpec::parse(request.spec)?;
        let mut state = self.shared.state();
        let offsets = request.partitions.into_iter().map(|partition| {
            let log = state.partition(&request.topic, partition);
            let (offset, error) = match log {
                Ok(log) => (Some(log.locate(spec)), None),
                Err(error) => (None, Some(error.into())),
            };
            v1::PartitionOffset {
                partition,
                offset,
                error,
            }
        });
        Ok(Response::new(v1::ListOffsetsResponse {
            offsets: offsets.collect(),
        }))
    }
}

struct FetchSession {
    node: FakeNode,
    request: v1::FetchRequest,
    position: u64,
    end: u64,
    has_answered: bool,
}

enum Next {
    Answer(Result<v1::FetchResponse, Status>),
    Wait,
    End,
}

impl FetchSession {
    /// One batch per answer.
    fn next(&mut self) -> Next {
        let mut state = self.node.shared.state();
        if self.has_answered && self.position >= self.end {
            return Next::End;
        }
        let (topic, partition) = (self.request.topic.as_str(), self.request.partition);
        let log = match state.led_partition(self.node.index, topic, partition) {
            Ok(log) => log,
            Err(error) => return Next::Answer(Err(error.into())),
        };
        let found = log.batch_at(self.position);
        let (log_start, high_watermark) = (log.log_start, log.end_offset());
        if found.is_none() && self.has_answered {
            return Next::Wait;
        }
        let (mut batches, next) = found.unwrap_or((Bytes::new(), self.position));
        match state.fetch_faults.pop_front().flatten() {
            None => {}
            Some(FetchFault::Break) => {
                return Next::Answer(Err(Status::unavailable("connection reset by test")));
            }
            Some(FetchFault::MoveLeader) => {
                state.move_leader(topic, partition);
                let error = state.led_partition(self.node.index, topic, partition);
                return Next::Answer(Err(error.err().expect("another node leads now").into()));
            }
            Some(FetchFault::Corrupt) => {
                let mut bytes = batches.to_vec();
                *bytes.last_mut().expect("a batch to corrupt") ^= 1;
                batches = bytes.into();
            }
        }
        state.fetched_bytes += batches.len() as u64;
        let start_offset = std::mem::replace(&mut self.position, next);
        self.has_answered = true;
        Next::Answer(Ok(v1::FetchResponse {
            partition,
            log_start,
            high_watermark,
            next_offset: next,
            start_offset,
            batches: batches.into(),
        }))
    }
}

#[tonic::async_trait]
impl TopicAdmin for FakeNode {
    async fn create_topic(
        &self,
        request: Request<v1::CreateTopicRequest>,
    ) -> Result<Response<v1::CreateTopicResponse>, Status> {
        let request = request.into_inner();
        let config = topics::parse_config(&request.config).map_err(ApiError::from)?;
        let mut state = self.shared.state();
        if state.topics.contains_key(&request.name) {
            let error = ApiError::new(ErrorCode::TopicExists, "there is one");
            return Err(error.into());
        }
        state.add_topic(&request.name, request.partitions.unwrap_or(1));
        Ok(Response::new(v1::CreateTopicResponse {
            topic: Some(topic(&state, &request.name, &config)),
        }))
    }

    async fn describe_topics(
        &self,
        request: Request<v1::DescribeTopicsRequest>,
    ) -> Result<Response<v1::DescribeTopicsResponse>, Status> {
        let state = self.shared.state();
        let described = request.into_inner().names.into_iter().map(|name| {
            let result = if state.topics.contains_key(&name) {
                let config = TopicConfig::default();
                v1::topic_description::Result::Topic(topic(&state, &name, &config))
            } else {
                let error = ApiError::new(ErrorCode::UnknownTopic, "no such topic");
                v1::topic_description::Result::Error(error.into())
            };
            v1::TopicDescription {
                name,
                result: Some(result),
            }
        });
        Ok(Response::new(v1::DescribeTopicsResponse {
            topics: described.collect(),
        }))
    }

    async fn list_topics(
        &self,
        _request: Request<v1::ListTopicsRequest>,
    ) -> Result<Response<v1::ListTopicsResponse>, Status> {
        let state = self.shared.state();
        let topics = state.topics.iter().map(|(name, logs)| v1::TopicSummary {
            id: 1,
            name: name.clone(),
            partitions: logs.len() as u32,
            replication_factor: 1,
        });
        Ok(Response::new(v1::ListTopicsResponse {
            topics: topics.collect(),
        }))
    }

    async fn alter_topic(
        &self,
        _request: Request<v1::AlterTopicRequest>,
    ) -> Result<Response<v1::AlterTopicResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn add_partitions(
        &self,
        _request: Request<v1::AddPartitionsRequest>,
    ) -> Result<Response<v1::AddPartitionsResponse>, Status> {
        Err(Status::unimplemented("not needed"))
    }

    async fn delete_records(
        &self,
        _request: Request<v1::DeleteRecordsRequest>,
    ) -> Result<Response<v1::DeleteRecordsResponse>, Status> {
        Err(Status::unimplemented("the fake keeps its records"))
    }

    async fn delete_topic(
        &self,
        request: Request<v1::DeleteTopicRequest>,
    ) -> Result<Response<v1::DeleteTopicResponse>, Status> {
        self.shared
            .state()
            .topics
            .remove(&request.into_inner().name);
        Ok(Response::new(v1::DeleteTopicResponse {}))
    }
}

fn topic(state: &State, name: &str, config: &TopicConfig) -> v1::Topic {
    v1::Topic {
        id: 1,
        name: name.to_owned(),
        replication_factor: 1,
        config: topics::write_config(config),
        partitions: describe(state, name).partitions,
    }
}
