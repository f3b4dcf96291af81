//! One long-lived stream to a peer, shared by all groups.
//!
//! A task owns the connection: it connects, greets, sends what is queued and hands answers to who
//! asked. When the connection breaks, everything that waits fails at once, and the task tries again
//! for as long as the lane exists. Requests are bounded in bytes: who asks waits for room.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::Pieces;
use flotilla_protocol::internal::v1;
use flotilla_protocol::internal::v1::peer_link_client::PeerLinkClient;
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{NodeId, RaftGroupId};
use futures::{Stream, StreamExt, stream};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::timeout;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

use super::connector::{ConnectError, Connector};
use super::frame::{Frame, FrameKind, Message, OutgoingFrame};
use super::hello::{Credentials, HelloError};

/// Requests that wait to be sent, beside their limit in bytes.
const QUEUE_FRAMES_MAX: usize = 4_096;
/// Bytes of unanswered requests to one peer.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// A message is sent once it holds this much, or once nothing else is queued.
const MESSAGE_BYTES: usize = 256 << 10;
/// How long a heartbeat waits for others to share its message with.
const GATHERING: Duration = Duration::from_millis(3);
/// How long connecting and greeting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between attempts to connect: short at first, for a peer that restarts.
const RECONNECT_PAUSES_MS: [u64; 5] = [20, 50, 100, 200, 400];

/// Which of a peer's two streams a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    Control,
    Data,
}

/// Whether the peer can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Up,
    /// Not connected, for a reason that may lie between the nodes.
    Down,
    /// The peer's machine answers that nobody listens: the process is gone.
    Gone,
}

/// Why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LaneError {
    #[error("node {0} is not connected")]
    NotConnected(NodeId),
    #[error("the link to node {0} broke before it answered")]
    Broken(NodeId),
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
}

/// The sending end of a lane. Dropping the last one ends its task.
pub(crate) struct Lane {
    peer: NodeId,
    queue: mpsc::Sender<OutgoingFrame>,
    shared: Arc<Shared>,
    room: Arc<Semaphore>,
}

struct Shared {
    next_request: AtomicU64,
    state: watch::Sender<LinkState>,
    waiting: Mutex<HashMap<u64, Waiting>>,
}

struct Waiting {
    answer: oneshot::Sender<Result<Bytes, LaneError>>,
    _room: OwnedSemaphorePermit,
}

/// What a lane's task needs to connect.
pub(crate) struct Dialer {
    pub(crate) peer: NodeId,
    pub(crate) kind: LaneKind,
    pub(crate) address: watch::Receiver<String>,
    pub(crate) connector: Arc<dyn Connector>,
    pub(crate) credentials: Arc<Credentials>,
}

/// An answer that is on its way. Dropping it gives the request up.
pub(crate) struct Answer {
    peer: NodeId,
    request: u64,
    shared: Arc<Shared>,
    receiver: oneshot::Receiver<Result<Bytes, LaneError>>,
}

impl Lane {
    /// The lane and the task that serves it, to be spawned by the caller.
    pub(crate) fn new(dialer: Dialer) -> (Self, impl Future<Output = ()> + Send) {
        let (queue, queued) = mpsc::channel(QUEUE_FRAMES_MAX);
        let (state, _) = watch::channel(LinkState::Down);
        let shared = Arc::new(Shared {
            next_request: AtomicU64::new(1),
            state,
            waiting: Mutex::default(),
        });
        let lane = Self {
            peer: dialer.peer,
            queue,
            shared: shared.clone(),
            room: Arc::new(Semaphore::new(IN_FLIGHT_BYTES_MAX)),
        };
        (lane, run(dialer, queued, shared))
    }

    pub(crate) fn state(&self) -> watch::Receiver<LinkState> {
        self.shared.state.subscribe()
    }

    /// Queues a request. It waits only for room.
    pub(crate) async fn send(
        &self,
        kind: FrameKind,
        group: RaftGroupId,
        append_stream: u64,
        body: impl Into<Pieces>,
    ) -> Result<Answer, LaneError> {
        let not_connected = || LaneError::NotConnected(self.peer);
        if *self.shared.state.borrow() != LinkState::Up {
            return Err(not_connected());
        }
        let body = body.into();
        let bytes = body.len().clamp(1, IN_FLIGHT_BYTES_MAX) as u32;
        let room = self.room.clone().acquire_many_owned(bytes).await;
        let room = room.map_err(|_| not_connected())?;
        let request = self.shared.next_request.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        let waiting = Waiting {
            answer: sender,
            _room: room,
        };
        self.shared.waiting.lock().insert(request, waiting);
        let answer = Answer {
            peer: self.peer,
            request,
            shared: self.shared.clone(),
            receiver,
        };
        let frame = Frame {
            kind,
            group,
            request,
            append_stream,
            body,
        };
        self.queue.send(frame).await.map_err(|_| not_connected())?;
        Ok(answer)
    }
}

impl Answer {
    pub(crate) async fn within(mut self, limit: Duration) -> Result<Bytes, LaneError> {
        match timeout(limit, &mut self.receiver).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(LaneError::Broken(self.peer)),
            Err(_) => Err(LaneError::Timeout(self.peer)),
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.shared.waiting.lock().remove(&self.request);
    }
}

impl Shared {
    fn answer(&self, frame: Frame) {
        // A late answer to a request that was given up finds nobody.
        if let Some(waiting) = self.waiting.lock().remove(&frame.request) {
            let _ = waiting.answer.send(Ok(frame.body));
        }
    }

    fn fail_all(&self, peer: NodeId) {
        self.state.send_replace(LinkState::Down);
        let waiting = std::mem::take(&mut *self.waiting.lock());
        for (_, waiting) in waiting {
            let _ = waiting.answer.send(Err(LaneError::Broken(peer)));
        }
    }
}

/// Connects, serves, and starts again until the lane is dropped.
async fn run(mut dialer: Dialer, mut queued: mpsc::Receiver<OutgoingFrame>, shared: Arc<Shared>) {
    let mut attempt = 0;
    // Why the peer was refused last, to say it once and not at every attempt.
    let mut refused: Option<HelloError> = None;
    while !queued.is_closed() {
        match timeout(CONNECT_TIMEOUT, open(&dialer)).await {
            Ok(Ok((outgoing, answers))) => {
                attempt = 0;
                refused = None;
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, "link is up");
                shared.state.send_replace(LinkState::Up);
                let ended = serve(&mut queued, outgoing, answers, &shared).await;
                shared.fail_all(dialer.peer);
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, ?ended, "link is down");
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, %error, "cannot connect");
                match &error {
                    OpenError::Call(status) => dialer.credentials.on_refused(status),
                    OpenError::Hello(reason) if refused.as_ref() != Some(reason) => {
                        tracing::error!(peer = %dialer.peer, %reason, "refusing a peer");
                        refused = Some(reason.clone());
                    }
                    OpenError::Hello(_) | OpenError::Connect(_) | OpenError::NoHello => {}
                }
                let state = if error.is_refused() {
                    LinkState::Gone
                } else {
                    LinkState::Down
                };
                shared.state.send_replace(state);
            }
            Err(_) => {
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, "connecting took too long");
                shared.state.send_replace(LinkState::Down);
            }
        }
        // Requests that were queued for the old connection failed with it.
        while queued.try_recv().is_ok() {}
        let pause = RECONNECT_PAUSES_MS[attempt.min(RECONNECT_PAUSES_MS.len() - 1)];
        attempt += 1;
        tokio::select! {
            () = tokio::time::sleep(Duration::from_millis(pause)) => {}
            changed = dialer.address.changed() => if changed.is_err() { return },
        }
    }
}

type Opened = (mpsc::Sender<v1::Frame>, Streaming<v1::Frame>);

/// Why a link did not come up.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("{}", .0.message())]
    Call(#[from] Status),
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("the peer closed without a greeting")]
    NoHello,
}

impl OpenError {
    /// The machine is there and says that no process listens.
    fn is_refused(&self) -> bool {
        let mut source: Option<&(dyn std::error::Error + 'static)> = Some(self);
        while let Some(error) = source {
            if let Some(io) = error.downcast_ref::<std::io::Error>() {
                return io.kind() == std::io::ErrorKind::ConnectionRefused;
            }
            source = error.source();
        }
        false
    }
}

async fn open(dialer: &Dialer) -> Result<Opened, OpenError> {
    let address = dialer.address.borrow().clone();
    let channel = dialer.connector.connect(&address).await?;
    let mut client = client(channel);
    let (outgoing, messages) = mpsc::channel(4);
    let greeting = stream::iter([dialer.credentials.hello()]);
    let outbound = greeting.chain(tokio_stream::wrappers::ReceiverStream::new(messages));
    let response = match dialer.kind {
        LaneKind::Control => client.control(outbound).await?,
        LaneKind::Data => client.data(outbound).await?,
    };
    let mut answers = response.into_inner();
    let hello = answers.message().await?;
    let hello = hello.ok_or(OpenError::NoHello)?;
    dialer
        .credentials
        .check(hello.body.into_bytes(), Some(dialer.peer))?;
    Ok((outgoing, answers))
}

pub(crate) fn client(channel: Channel) -> PeerLinkClient<Channel> {
    PeerLinkClient::new(channel)
        .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
        .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
}

/// Moves frames until either direction ends.
async fn serve(
    queued: &mut mpsc::Receiver<OutgoingFrame>,
    outgoing: mpsc::Sender<v1::Frame>,
    mut answers: Streaming<v1::Frame>,
    shared: &Shared,
) -> Option<Status> {
    let sending = async {
        let mut messages = std::pin::pin!(gather(queued));
        while let Some(message) = messages.next().await {
            if outgoing.send(message).await.is_err() {
                return;
            }
        }
    };
    let receiving = async {
        loop {
            let mut message = match answers.message().await {
                Ok(Some(message)) => message.body.into_bytes(),
                Ok(None) => return None,
                Err(status) => return Some(status),
            };
            loop {
                match Frame::decode(&mut message) {
                    Ok(Some(frame)) => shared.answer(frame),
                    Ok(None) => break,
                    Err(error) => return Some(Status::internal(error.to_string())),
                }
            }
        }
    };
    tokio::select! {
        () = sending => None,
        ended = receiving => ended,
    }
}

/// Packs queued frames into messages.
pub(crate) fn gather(
    queued: &mut mpsc::Receiver<OutgoingFrame>,
) -> impl Stream<Item = v1::Frame> + '_ {
    stream::unfold(queued, |queued| async {
        let first = queued.recv().await?;
        let mut can_wait = first.can_wait();
        let mut message = Message::default();
        message.push(first);
        loop {
            while message.len() < MESSAGE_BYTES {
                let Ok(frame) = queued.try_recv() else { break };
                can_wait &= frame.can_wait();
                message.push(frame);
            }
            if !can_wait {
                break;
            }
            // Once only: what comes in while waiting is the last that this message takes.
            can_wait = false;
            tokio::time::sleep(GATHERING).await;
        }
        let body = message.finish();
        Some((v1::Frame { body }, queued))
    })
}
