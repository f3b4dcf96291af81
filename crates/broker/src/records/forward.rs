//! A produce stream to another node, for one lane.
//!
//! All its requests are for one partition, so they are answered in order.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::limits::{GRPC_MESSAGE_BYTES_MAX, PRODUCE_STREAM_IN_FLIGHT_MAX};
use flotilla_types::{ErrorCode, NodeId};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Streaming;

use super::answer::Outcome;
use crate::node::Node;
use crate::origin::Origin;

pub(crate) struct Forward {
    peer: NodeId,
    requests: mpsc::Sender<v1::ProduceRequest>,
    sent: u64,
    waiting: Arc<Waiting>,
}

/// Those who wait for an answer, in the order of the requests. `None` once the stream has ended.
struct Waiting {
    queue: Mutex<Option<VecDeque<Waiter>>>,
    /// The other node has said that it stops: it takes nothing more.
    stopping: AtomicBool,
}

struct Waiter {
    correlation_id: u64,
    answer: oneshot::Sender<v1::ProduceResponse>,
}

impl Forward {
    /// Opens a stream. Nothing was sent if this fails.
    pub(crate) async fn open(
        node: &Arc<Node>,
        peer: NodeId,
        origin: &Origin,
    ) -> Result<Self, ApiError> {
        let channel = node.peers.channel(peer).await?;
        let (requests, outgoing) = mpsc::channel(PRODUCE_STREAM_IN_FLIGHT_MAX);
        let outgoing = ReceiverStream::new(outgoing);
        let call = origin.pass_on_stream(outgoing, node.peers.cluster());
        let mut client =
            ProduceClient::new(channel).max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX);
        let answers = match client.produce_stream(call).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(node.peers.failed_to_read(peer, &status)),
        };
        let waiting = Arc::new(Waiting {
            queue: Mutex::new(Some(VecDeque::new())),
            stopping: AtomicBool::new(false),
        });
        node.tasks
            .spawn(read_answers(node.clone(), peer, answers, waiting.clone()));
        Ok(Self {
            peer,
            requests,
            sent: 0,
            waiting,
        })
    }

    pub(crate) fn is_open_to(&self, peer: NodeId) -> bool {
        let stopping = self.waiting.stopping.load(Ordering::Relaxed);
        self.peer == peer && !stopping && self.waiting.queue.lock().is_some()
    }

    /// Sends a request. Its outcome comes from the future; an error means that it was not sent.
    pub(crate) async fn send(
        &mut self,
        request: v1::ProduceRequest,
    ) -> Result<impl Future<Output = Outcome> + Send + use<>, ApiError> {
        let peer = self.peer;
        let broken = || {
            let message = format!("the connection to node {peer} broke: try again in a moment");
            ApiError::new(ErrorCode::LeaderNotAvailable, message)
        };
        let permit = self.requests.reserve().await.map_err(|_| broken())?;
        let (answer, receiver) = oneshot::channel();
        let correlation_id = self.sent;
        let waiter = Waiter {
            correlation_id,
            answer,
        };
        match self.waiting.queue.lock().as_mut() {
            Some(queue) => queue.push_back(waiter),
            None => return Err(broken()),
        }
        self.sent += 1;
        permit.send(v1::ProduceRequest {
            correlation_id,
            ..request
        });
        Ok(async move {
            match receiver.await {
                Ok(response) => Outcome::read(response),
                Err(_) => Outcome::Failed(ApiError::new(
                    ErrorCode::ResultUnknown,
                    format!("the connection to node {peer} broke before it answered"),
                )),
            }
        })
    }
}

/// Hands out answers until the stream ends. Those who then still wait learn that nobody knows.
async fn read_answers(
    node: Arc<Node>,
    peer: NodeId,
    mut answers: Streaming<v1::ProduceResponse>,
    waiting: Arc<Waiting>,
) {
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                if says_stopping(&answer) {
                    waiting.stopping.store(true, Ordering::Relaxed);
                    node.peers.forget(peer);
                }
                let mut queue = waiting.queue.lock();
                let first = queue.as_mut().and_then(VecDeque::pop_front);
                let first = first.filter(|first| first.correlation_id == answer.correlation_id);
                let Some(first) = first else {
                    tracing::warn!(%peer, "a node answered another request than it was asked");
                    *queue = None;
                    return;
                };
                // Who sent the request may have given up.
                let _ = first.answer.send(answer);
            }
            Ok(None) => break,
            Err(status) => {
                let error = node.peers.failed(peer, &status);
                tracing::debug!(%peer, %error, "a stream to another node ended");
                break;
            }
        }
    }
    *waiting.queue.lock() = None;
}

fn says_stopping(answer: &v1::ProduceResponse) -> bool {
    let stopping = i32::from(v1::ErrorCode::ShuttingDown);
    answer
        .error
        .as_ref()
        .is_some_and(|error| error.code == stopping)
}
