//! The `Fetch` service.
//!
//! Any replica may serve records, but only the leader knows where the log ends: whoever was told
//! that a record is stored must find it, on whichever node it looks. So a follower asks the leader
//! when a request depends on the end, and then serves from its own copy as that catches up.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::fetch_client::FetchClient;
use flotilla_protocol::v1::fetch_server::Fetch;
use flotilla_protocol::{ApiError, OffsetRange, OffsetSpec, v1};
use flotilla_raft::Partition;
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{ErrorCode, NodeId, Offset, TopicName};
use futures::{Stream, StreamExt};
use tokio::time::{Instant, timeout_at};
use tonic::{Request, Response, Status, Streaming};

use super::fetch_request::FetchOptions;
use super::reader::{Reader, Span};
use crate::errors;
use crate::node::{Node, shutting_down};
use crate::origin::Origin;
use crate::router::{Forwarding, Located};

/// How long a fetch waits for a leader, or for this node to open the partition.
const LEADER_LIMIT: Duration = Duration::from_secs(5);

pub(crate) struct FetchService {
    node: Arc<Node>,
}

type Messages = Pin<Box<dyn Stream<Item = Result<v1::FetchResponse, Status>> + Send>>;

impl FetchService {
    pub(crate) fn new(node: Arc<Node>) -> Self {
        Self { node }
    }

    async fn open(&self, request: v1::FetchRequest, origin: &Origin) -> Result<Messages, ApiError> {
        self.node.meters.fetch_requests.increment(1);
        self.node.refuse_when_stopping()?;
        let options = FetchOptions::read(&request)?;
        let topic = Resource::Topic(options.name.as_str());
        self.node.allow(origin, AccessAction::Consume, topic)?;
        let located = self.locate(&options).await?;
        if !self.node.has_replica(&located) {
            let answers = self.pass_on(request, &located, &options, origin).await?;
            return Ok(self.while_allowed(answers, origin, &options.name));
        }
        let opened = self.node.wait_opened(&located);
        let partition = timeout_at(Instant::now() + LEADER_LIMIT, opened)
            .await
            .map_err(|_| errors::no_leader(&located.name, located.index))??;
        let span = self.span(&partition, &located, &options).await?;
        let name = options.name.clone();
        let reader = Reader::new(self.node.clone(), partition, located, &options, span);
        Ok(self.while_allowed(reader.into_stream(), origin, &name))
    }

    /// Ends the answers when the caller may not have more: rules change, and what it has shown expires.
    fn while_allowed(
        &self,
        answers: impl Stream<Item = Result<v1::FetchResponse, Status>> + Send + 'static,
        origin: &Origin,
        topic: &TopicName,
    ) -> Messages {
        let (node, origin, topic) = (self.node.clone(), origin.clone(), topic.clone());
        let mut is_refused = false;
        let answers = answers.map(move |answer| {
            let topic = Resource::Topic(topic.as_str());
            node.allow(&origin, AccessAction::Consume, topic)?;
            answer
        });
        Box::pin(answers.take_while(move |answer| {
            let goes_on = !is_refused;
            is_refused = answer.is_err();
            std::future::ready(goes_on)
        }))
    }

    async fn locate(&self, options: &FetchOptions) -> Result<Located, ApiError> {
        let FetchOptions { name, index, .. } = options;
        let located = self.node.locate(name, *index).await?;
        let wanted = options.topic.unwrap_or(located.topic);
        if located.topic == wanted {
            return Ok(located);
        }
        // This node may not have heard of the newer topic yet.
        self.node.catch_up().await?;
        let located = self.node.locate(name, *index).await?;
        match located.topic == wanted {
            true => Ok(located),
            false => Err(errors::another_topic(name, wanted, located.topic)),
        }
    }

    async fn pass_on(
        &self,
        request: v1::FetchRequest,
        located: &Located,
        options: &FetchOptions,
        origin: &Origin,
    ) -> Result<Messages, ApiError> {
        let forwarding = Forwarding::of(origin, options.no_forward);
        let peer = self.node.route_to_replica(located, forwarding).await?;
        let channel = self.node.peers.channel(peer).await?;
        let request = origin.pass_on_stream(request, self.node.peers.cluster());
        let mut client =
            FetchClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        self.node.meters.forwarded.increment(1);
        let response = client.fetch(request).await;
        let answers = response.map_err(|status| self.node.peers.failed_to_read(peer, &status))?;
        Ok(Box::pin(relay(
            self.node.clone(),
            peer,
            answers.into_inner(),
        )))
    }

    /// Where the fetch starts, and how far the log goes.
    async fn span(
        &self,
        partition: &Partition,
        located: &Located,
        options: &FetchOptions,
    ) -> Result<Span, ApiError> {
        let log_start = self.node.log_start(partition, located.topic).await?;
        let start = match options.start {
            OffsetSpec::Offset(offset) => Some(offset),
            OffsetSpec::Earliest => Some(log_start),
            OffsetSpec::Latest | OffsetSpec::Timestamp(_) => None,
        };
        let here_end = partition.high_watermark();
        let end_is_here = options.end_offset.is_some_and(|end| end <= here_end);
        let log_end = match start {
            Some(start) if start <= here_end && (options.follow || end_is_here) => here_end,
            _ => self.leader_offset(located, OffsetSpec::Latest).await?,
        };
        let start = match (start, options.start) {
            (Some(start), _) => start,
            (None, spec @ OffsetSpec::Timestamp(_)) => self.leader_offset(located, spec).await?,
            (None, _) => log_end,
        };
        // A record that came in the meantime may be the one of the timestamp.
        let log_end = match options.start {
            OffsetSpec::Timestamp(_) => log_end.max(start),
            _ => log_end,
        };
        check_start(start, log_start, log_end)?;
        let from_log_start = matches!(options.start, OffsetSpec::Earliest);
        Ok(Span {
            start,
            log_end,
            from_log_start,
        })
    }

    async fn leader_offset(&self, located: &Located, spec: OffsetSpec) -> Result<Offset, ApiError> {
        let deadline = Instant::now() + LEADER_LIMIT;
        self.node
            .offset_at_leader(located, spec, &Origin::default(), deadline)
            .await
    }
}

#[tonic::async_trait]
impl Fetch for FetchService {
    type FetchStream = Messages;

    async fn fetch(
        &self,
        request: Request<v1::FetchRequest>,
    ) -> Result<Response<Self::FetchStream>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        match self.open(request.into_inner(), &origin).await {
            Ok(messages) => Ok(Response::new(messages)),
            Err(error) => {
                self.node.meters.on_error(error.code);
                Err(error.into())
            }
        }
    }

    async fn list_offsets(
        &self,
        request: Request<v1::ListOffsetsRequest>,
    ) -> Result<Response<v1::ListOffsetsResponse>, Status> {
        let origin = Origin::of(&request, self.node.peers.cluster())?;
        let offsets = self
            .node
            .list_offsets(request.into_inner(), &origin)
            .await?;
        Ok(Response::new(v1::ListOffsetsResponse { offsets }))
    }
}

/// The answers of another node, until it has sent all, fails, or this node stops.
fn relay(
    node: Arc<Node>,
    peer: NodeId,
    answers: Streaming<v1::FetchResponse>,
) -> impl Stream<Item = Result<v1::FetchResponse, Status>> + Send {
    futures::stream::unfold(Some(answers), move |answers| {
        let node = node.clone();
        async move {
            let mut answers = answers?;
            match node.stop.run_until_cancelled(answers.message()).await {
                Some(Ok(Some(answer))) => Some((Ok(answer), Some(answers))),
                Some(Ok(None)) => None,
                Some(Err(status)) => {
                    let error = node.peers.failed_to_read(peer, &status);
                    Some((Err(error.into()), None))
                }
                None => Some((Err(shutting_down().into()), None)),
            }
        }
    })
}

fn check_start(start: Offset, log_start: Offset, log_end: Offset) -> Result<(), ApiError> {
    if (log_start..=log_end).contains(&start) {
        return Ok(());
    }
    let message = format!(
        "offset {start} is not in the log, which holds {log_start} up to, not including, \
         {log_end}: start at one of its ends, or in between"
    );
    let range = OffsetRange {
        log_start,
        high_watermark: log_end,
    };
    Err(ApiError::new(ErrorCode::OffsetOutOfRange, message).with_offsets(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fetch_starts_inside_the_log_or_at_its_end() {
        let check = |start| check_start(Offset::new(start), Offset::new(5), Offset::new(9));
        for inside in [5, 7, 9] {
            assert_eq!(check(inside), Ok(()));
        }
        for outside in [4, 10] {
            let error = check(outside).unwrap_err();
            assert_eq!(error.code, ErrorCode::OffsetOutOfRange);
            let range = error.offsets().unwrap();
            assert_eq!((range.log_start.get(), range.high_watermark.get()), (5, 9));
        }
    }
}
