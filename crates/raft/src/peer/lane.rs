//! One long-lived connection to a peer, shared by all groups.
//!
//! A task owns the connection: it connects, greets, sends what is queued and hands answers to who
//! asked. When the connection breaks, everything that waits fails at once, and the task tries again
//! for as long as the lane exists. Requests are bounded in bytes: who asks waits for room.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::Pieces;
use flotilla_types::{ErrorChain, NodeId, RaftGroupId};
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, Sleep, interval_at, sleep, timeout};

use super::connector::{ConnectError, Connector, Destination};
use super::frame::{Frame, FrameKind, OutgoingFrame};
use super::hello::{Credentials, Farewell, HelloError};
use super::wire::{self, Frames, Reader, SILENCE_MAX, SILENCE_USUAL, WireError, Writer};

/// Requests that wait to be sent, beside their limit in bytes.
const QUEUE_FRAMES_MAX: usize = 4_096;
/// Bytes of unanswered requests to one peer.
const IN_FLIGHT_BYTES_MAX: usize = 64 << 20;
/// Frames are written once they hold this much, or once nothing else is queued.
const WRITE_BYTES: usize = 256 << 10;
/// How long frames that can wait do so for others to share their write with: what is committed is news
/// that the next entries bring, and a leader may need the answer to a heartbeat.
pub(crate) const PATIENCE: Duration = Duration::from_millis(5);
const CONTROL_PATIENCE: Duration = Duration::from_millis(1);
/// How long connecting and greeting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Pauses between attempts to connect: short at first, for a peer that restarts.
const RECONNECT_PAUSES_MS: [u64; 5] = [20, 50, 100, 200, 400];

/// Which of a peer's connections a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LaneKind {
    /// What is small and urgent.
    Control,
    /// Log entries: large, so that they must not delay the control lane.
    Data,
    /// One snapshot.
    Snapshot,
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
#[derive(Clone)]
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

    /// Waits until the peer can be reached.
    pub(crate) async fn wait_up(&self) {
        // The sender lives in the lane.
        let _ = self.state().wait_for(|now| *now == LinkState::Up).await;
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
            can_wait: kind.can_wait(),
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

    fn fail(&self, request: u64, peer: NodeId) {
        if let Some(waiting) = self.waiting.lock().remove(&request) {
            let _ = waiting.answer.send(Err(LaneError::Broken(peer)));
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
    // Why there was no link last, to say it once and not at every attempt.
    let mut complaint: Option<String> = None;
    while !queued.is_closed() {
        match timeout(CONNECT_TIMEOUT, open(&dialer)).await {
            Ok(Ok(opened)) => {
                attempt = 0;
                complaint = None;
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, "link is up");
                shared.state.send_replace(LinkState::Up);
                let patience = match dialer.kind {
                    LaneKind::Control => CONTROL_PATIENCE,
                    LaneKind::Data | LaneKind::Snapshot => PATIENCE,
                };
                let gatherer = Gatherer::new(&mut queued, patience);
                let ended = serve(gatherer, opened, &shared).await;
                shared.fail_all(dialer.peer);
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, ?ended, "link is down");
            }
            Ok(Err(error)) => {
                tracing::debug!(peer = %dialer.peer, lane = ?dialer.kind, %error, "cannot connect");
                if let OpenError::Refused(farewell) = &error {
                    dialer.credentials.on_farewell(farewell);
                }
                if error.is_for_people() {
                    let reason = ErrorChain(&error).to_string();
                    if complaint.as_ref() != Some(&reason) {
                        tracing::error!(peer = %dialer.peer, reason, "no link to a peer");
                        complaint = Some(reason);
                    }
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
        // They were queued for the old connection, and fail with it.
        while let Ok(frame) = queued.try_recv() {
            shared.fail(frame.request, dialer.peer);
        }
        let pause = RECONNECT_PAUSES_MS[attempt.min(RECONNECT_PAUSES_MS.len() - 1)];
        attempt += 1;
        tokio::select! {
            () = sleep(Duration::from_millis(pause)) => {}
            changed = dialer.address.changed() => if changed.is_err() { return },
        }
    }
}

/// Why a link did not come up.
#[derive(Debug, thiserror::Error)]
enum OpenError {
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(transparent)]
    Wire(#[from] WireError),
    #[error("{}", .0.reason)]
    Refused(Farewell),
    #[error(transparent)]
    Hello(#[from] HelloError),
    #[error("the peer closed without a greeting")]
    NoHello,
}

impl OpenError {
    /// It does not pass by itself: the peer is not who it should be, or has not proven it.
    fn is_for_people(&self) -> bool {
        match self {
            Self::Hello(_) => true,
            Self::Connect(ConnectError::Dial { source, .. }) => {
                source.kind() == std::io::ErrorKind::InvalidData
            }
            Self::Connect(_) | Self::Wire(_) | Self::Refused(_) | Self::NoHello => false,
        }
    }

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

async fn open(dialer: &Dialer) -> Result<(Reader, Writer), OpenError> {
    let address = dialer.address.borrow().clone();
    let to = Destination {
        node: Some(dialer.peer),
        address: &address,
    };
    let stream = dialer.connector.dial(to).await?;
    let (mut reader, mut writer) = wire::split(stream, SILENCE_MAX);
    let opening = writer.open(dialer.credentials.hello()).await;
    opening.map_err(WireError::Io)?;
    let answer = reader.greeting().await?.ok_or(OpenError::NoHello)?;
    match answer.kind {
        FrameKind::Hello => dialer.credentials.check(answer.body, Some(dialer.peer))?,
        FrameKind::Farewell => {
            let farewell = Farewell::decode(answer.body).map_err(WireError::Malformed)?;
            return Err(OpenError::Refused(farewell));
        }
        _ => return Err(OpenError::NoHello),
    };
    Ok((reader, writer))
}

/// Moves frames until either direction ends.
async fn serve(
    mut queued: Gatherer<'_>,
    (mut reader, mut writer): (Reader, Writer),
    shared: &Shared,
) -> Result<(), WireError> {
    let sending = async {
        // A peer that is there answers, whatever its disk and its groups do.
        let mut pings = interval_at(Instant::now() + SILENCE_USUAL, SILENCE_USUAL);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let frames = tokio::select! {
                biased;
                _ = pings.tick() => OutgoingFrame::notice(FrameKind::Ping, Bytes::new()).into(),
                first = queued.first() => match first {
                    Some(first) => queued.gather(first).await,
                    None => return Ok(()),
                },
            };
            writer.send(frames).await?;
        }
    };
    let receiving = async {
        while let Some(frame) = reader.next().await? {
            shared.answer(frame);
        }
        Ok(())
    };
    tokio::select! {
        ended = sending => ended,
        ended = receiving => ended,
    }
}

/// Puts frames together that are written together.
pub(crate) struct Gatherer<'q> {
    queued: &'q mut mpsc::Receiver<OutgoingFrame>,
    patience: Duration,
    /// When frames that can wait have to go. It goes on running when they went before, with others:
    /// a timer for each of them would cost more than the write that it saves.
    timer: Pin<Box<Sleep>>,
    is_waiting: bool,
}

impl<'q> Gatherer<'q> {
    pub(crate) fn new(queued: &'q mut mpsc::Receiver<OutgoingFrame>, patience: Duration) -> Self {
        Self {
            queued,
            patience,
            timer: Box::pin(sleep(patience)),
            is_waiting: false,
        }
    }

    /// The first frame of a write; `None` at the end. Nothing is lost if the wait is given up.
    pub(crate) async fn first(&mut self) -> Option<OutgoingFrame> {
        self.queued.recv().await
    }

    /// The frame and those that are queued behind it. As long as all of them can wait, more of them may
    /// come.
    pub(crate) async fn gather(&mut self, first: OutgoingFrame) -> Frames {
        let mut can_wait = first.can_wait;
        let mut frames = Frames::from(first);
        while frames.len() < WRITE_BYTES {
            let next = match self.queued.try_recv() {
                Ok(frame) => Some(frame),
                Err(_) if can_wait => self.wait().await,
                Err(_) => None,
            };
            let Some(next) = next else { break };
            can_wait &= next.can_wait;
            frames.push(next);
        }
        frames
    }

    async fn wait(&mut self) -> Option<OutgoingFrame> {
        if !std::mem::replace(&mut self.is_waiting, true) {
            self.timer.as_mut().reset(Instant::now() + self.patience);
        }
        tokio::select! {
            biased;
            next = self.queued.recv() => next,
            () = &mut self.timer => {
                self.is_waiting = false;
                None
            }
        }
    }
}
