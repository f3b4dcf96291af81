//! One produce stream to one node, shared by all partitions that the node leads.
//!
//! Requests go out in the order in which they are submitted. When the stream breaks, everything
//! that has no answer ends with the reason, and the link is of no use any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{ErrorCode, Offset, limits};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::task::AbortOnDropHandle;

use crate::NodeChannel;
use crate::channels::{Channels, read_status};

/// Requests that wait for HTTP/2 to take them. Their payloads are bounded by the producers' buffers.
const REQUESTS_QUEUED_MAX: usize = 64;
/// What a node gets on top of the time limit of a request, for the way there and back: a quarter of
/// it, in these bounds.
const GRACE_MIN: Duration = Duration::from_millis(250);
const GRACE_MAX: Duration = Duration::from_secs(2);
/// How often an idle link looks whether it has become overdue.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);

/// Where a batch is, or why it is not.
pub(super) type Answer = Result<Offset, ApiError>;

/// The links of one producer, by address.
pub(super) struct Links {
    channels: Arc<Channels>,
    links: Mutex<HashMap<String, Arc<Link>>>,
}

impl Links {
    pub(super) fn new(channels: Arc<Channels>) -> Self {
        Self {
            channels,
            links: Mutex::new(HashMap::new()),
        }
    }

    /// The link to this node; a new one if there is none or it is broken.
    pub(super) fn get(&self, address: &str) -> Result<Arc<Link>, ApiError> {
        let mut links = self.links.lock();
        if let Some(link) = links.get(address)
            && !link.is_broken()
        {
            return Ok(Arc::clone(link));
        }
        let channel = (self.channels.get(address))
            .map_err(|error| ApiError::new(ErrorCode::LeaderNotAvailable, error.to_string()))?;
        let link = Arc::new(Link::open(channel, address.to_owned()));
        links.insert(address.to_owned(), Arc::clone(&link));
        Ok(link)
    }
}

pub(super) struct Link {
    requests: mpsc::Sender<v1::ProduceRequest>,
    pending: Arc<Mutex<Pending>>,
    _reader: AbortOnDropHandle<()>,
}

enum Pending {
    Open {
        next_id: u64,
        waiters: HashMap<u64, Waiter>,
    },
    Broken(ApiError),
}

struct Waiter {
    answer: oneshot::Sender<Answer>,
    deadline: Instant,
}

impl Link {
    fn open(channel: NodeChannel, address: String) -> Self {
        let (requests, queue) = mpsc::channel(REQUESTS_QUEUED_MAX);
        let pending = Arc::new(Mutex::new(Pending::Open {
            next_id: 0,
            waiters: HashMap::new(),
        }));
        let client =
            ProduceClient::new(channel).max_decoding_message_size(limits::GRPC_MESSAGE_BYTES_MAX);
        let reader = tokio::spawn({
            let pending = Arc::clone(&pending);
            async move {
                let error = tokio::select! {
                    error = serve(&address, client, queue, &pending) => error,
                    () = overdue(&pending) => ApiError::new(
                        ErrorCode::ResultUnknown,
                        format!("node {address} does not answer in time"),
                    ),
                };
                pending.lock().break_with(&error);
            }
        });
        Self {
            requests,
            pending,
            _reader: AbortOnDropHandle::new(reader),
        }
    }

    fn is_broken(&self) -> bool {
        matches!(*self.pending.lock(), Pending::Broken(_))
    }

    /// Sends a request, and says where its answer will come. Waits while the node takes no more.
    /// The request's `correlation_id` is set here.
    pub(super) async fn submit(
        &self,
        mut request: v1::ProduceRequest,
    ) -> Result<oneshot::Receiver<Answer>, ApiError> {
        let (answer, receiver) = oneshot::channel();
        let limit = Duration::from_millis(request.timeout_ms.into());
        let deadline = Instant::now() + limit + (limit / 4).clamp(GRACE_MIN, GRACE_MAX);
        let waiter = Waiter { answer, deadline };
        request.correlation_id = self.pending.lock().register(waiter)?;
        // If the stream has ended meanwhile, the reader answers in its stead.
        let _ = self.requests.send(request).await;
        Ok(receiver)
    }
}

impl Pending {
    fn register(&mut self, waiter: Waiter) -> Result<u64, ApiError> {
        match self {
            Self::Broken(error) => Err(error.clone()),
            Self::Open { next_id, waiters } => {
                let id = *next_id;
                *next_id += 1;
                waiters.insert(id, waiter);
                Ok(id)
            }
        }
    }

    fn on_response(&mut self, response: v1::ProduceResponse) {
        let Self::Open { waiters, .. } = self else {
            return;
        };
        let Some(waiter) = waiters.remove(&response.correlation_id) else {
            return;
        };
        let answer = match response.error {
            Some(error) => Err(error.into()),
            None => Ok(Offset::new(response.base_offset)),
        };
        // It fails when the producer is gone.
        let _ = waiter.answer.send(answer);
    }

    fn break_with(&mut self, error: &ApiError) {
        if let Self::Open { waiters, .. } = std::mem::replace(self, Self::Broken(error.clone())) {
            for waiter in waiters.into_values() {
                let _ = waiter.answer.send(Err(error.clone()));
            }
        }
    }

    fn earliest_deadline(&self) -> Option<Instant> {
        match self {
            Self::Open { waiters, .. } => waiters.values().map(|waiter| waiter.deadline).min(),
            Self::Broken(_) => None,
        }
    }
}

/// Runs the stream until it ends, and says why it did.
async fn serve(
    address: &str,
    mut client: ProduceClient<NodeChannel>,
    queue: mpsc::Receiver<v1::ProduceRequest>,
    pending: &Mutex<Pending>,
) -> ApiError {
    let mut responses = match client.produce_stream(ReceiverStream::new(queue)).await {
        Ok(responses) => responses.into_inner(),
        Err(status) => return read_status(address, &status),
    };
    loop {
        match responses.message().await {
            Ok(Some(response)) => pending.lock().on_response(response),
            Ok(None) => {
                return ApiError::new(ErrorCode::ResultUnknown, "the node closed the stream");
            }
            Err(status) => return stream_error(address, &status),
        }
    }
}

/// However definite the status is: it is about the stream. Some of the requests without an answer
/// may have been applied before.
fn stream_error(address: &str, status: &tonic::Status) -> ApiError {
    let error = read_status(address, status);
    if error.code.is_definite() {
        ApiError::new(ErrorCode::ResultUnknown, error.message)
    } else {
        error
    }
}

/// Returns when a request has waited too long.
async fn overdue(pending: &Mutex<Pending>) {
    loop {
        let earliest = pending.lock().earliest_deadline();
        match earliest {
            Some(deadline) if deadline <= Instant::now() => return,
            Some(deadline) => sleep_until(deadline).await,
            None => sleep(WATCH_INTERVAL).await,
        }
    }
}
