//! openraft's network, over the lanes.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::Pieces;
use flotilla_types::{NodeId, RaftGroupId};
use futures::future::BoxFuture;
use futures::stream::{BoxStream, FuturesOrdered};
use futures::{Stream, StreamExt, stream};
use openraft::RPCTypes;
use openraft::errors::{
    NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable,
};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption,
    RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendError, StreamAppendResult,
    TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
};

use super::frame::FrameKind;
use super::hello::Credentials;
use super::lane::{Lane, LaneError};
use super::link::{Links, PeerLink};
use super::message::{
    Reply, encode_append, encode_snapshot_head, encode_transfer, encode_vote_request,
};
use crate::config::RaftConfig;
use crate::type_config::{Snapshot, SnapshotData, TypeConfig, Vote};

type RpcError = RPCError<TypeConfig>;
type AppendResults<'s> = BoxStream<'s, Result<StreamAppendResult<TypeConfig>, RpcError>>;

/// Replication requests of one group that may be unanswered, and their bytes.
const WINDOW_REQUESTS: usize = 8;
const WINDOW_BYTES: usize = 4 << 20;
/// A snapshot travels in pieces of this size, each when the one before has arrived.
const SNAPSHOT_PIECE_BYTES: usize = 4 << 20;
/// Numbers every run of appends on this node.
static NEXT_APPEND_STREAM: AtomicU64 = AtomicU64::new(1);

/// Makes clients for one group.
pub(crate) struct NetworkFactory {
    group: RaftGroupId,
    links: Arc<Links>,
    credentials: Arc<Credentials>,
    replication_timeout: Duration,
    silence_limit: Duration,
}

impl NetworkFactory {
    pub(crate) fn new(
        group: RaftGroupId,
        links: Arc<Links>,
        credentials: Arc<Credentials>,
        config: &RaftConfig,
    ) -> Self {
        Self {
            group,
            links,
            credentials,
            replication_timeout: config.replication_timeout(),
            silence_limit: config.leadership_doubt(),
        }
    }

    fn network(&self, target: u64, purpose: Purpose) -> Network {
        Network {
            group: self.group,
            target: NodeId::new(target),
            links: self.links.clone(),
            credentials: self.credentials.clone(),
            replication_timeout: self.replication_timeout,
            silence_limit: self.silence_limit,
            purpose,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for NetworkFactory {
    type Network = Network;

    async fn new_client(&mut self, target: u64, _: &()) -> Network {
        self.network(target, Purpose::Replication)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _: &()) -> Network {
        self.network(target, Purpose::Heartbeat)
    }
}

/// Which lane the entries of a client take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Purpose {
    Replication,
    Heartbeat,
}

/// Talks to one replica of one group.
pub(crate) struct Network {
    group: RaftGroupId,
    target: NodeId,
    links: Arc<Links>,
    credentials: Arc<Credentials>,
    replication_timeout: Duration,
    silence_limit: Duration,
    purpose: Purpose,
}

impl Network {
    fn link(&self) -> Result<Arc<PeerLink>, RpcError> {
        let link = self.links.get(self.target);
        link.ok_or_else(|| unreachable(&LaneError::NotConnected(self.target)))
    }

    /// One request on the control lane.
    async fn ask(&self, kind: FrameKind, body: Bytes, limit: Duration) -> Result<Reply, RpcError> {
        let link = self.link()?;
        self.ask_over(&link.control, kind, body, (RPCTypes::Vote, limit))
            .await
    }

    async fn ask_over(
        &self,
        lane: &Lane,
        kind: FrameKind,
        body: impl Into<Pieces>,
        (action, limit): (RPCTypes, Duration),
    ) -> Result<Reply, RpcError> {
        let answer = lane.send(kind, self.group, 0, body).await;
        let answer = answer.map_err(|error| unreachable(&error))?;
        let body = answer.within(limit).await;
        let body = body.map_err(|error| self.rpc_error(error, action, limit))?;
        Reply::decode(body).map_err(|error| RpcError::Network(NetworkError::new(&error)))
    }

    fn rpc_error(&self, error: LaneError, action: RPCTypes, timeout: Duration) -> RpcError {
        match error {
            LaneError::Timeout(target) => RpcError::Timeout(Timeout {
                action,
                id: self.credentials.node.get(),
                target: target.get(),
                timeout,
            }),
            LaneError::NotConnected(_) | LaneError::Broken(_) => unreachable(&error),
        }
    }
}

fn unreachable(error: &(impl std::error::Error + 'static)) -> RpcError {
    RpcError::Unreachable(Unreachable::new(error))
}

fn unexpected(reply: &Reply) -> RpcError {
    // Unreachable, so that openraft waits before it tries again.
    RpcError::Unreachable(Unreachable::from_string(format!(
        "the peer answered {reply:?}"
    )))
}

impl NetBackoff<TypeConfig> for Network {
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetVote<TypeConfig> for Network {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let body = encode_vote_request(&request);
        match self.ask(FrameKind::Vote, body, option.soft_ttl()).await? {
            Reply::Vote(response) => Ok(response),
            other => Err(unexpected(&other)),
        }
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<VoteResponse<TypeConfig>, RpcError> {
        let body = encode_vote_request(&request);
        match self
            .ask(FrameKind::PreVote, body, option.soft_ttl())
            .await?
        {
            Reply::Vote(response) => Ok(response),
            other => Err(unexpected(&other)),
        }
    }
}

impl NetTransferLeader<TypeConfig> for Network {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<TypeConfig>, RpcError> {
        let body = encode_transfer(&request);
        let reply = self.ask(FrameKind::TransferLeader, body, option.soft_ttl());
        match reply.await? {
            Reply::Transferred(_) => Ok(Ok(())),
            other => Err(unexpected(&other)),
        }
    }
}

impl NetStreamAppend<TypeConfig> for Network {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<'s, Result<AppendResults<'s>, RpcError>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let link = self.link()?;
            let (kind, limit) = match self.purpose {
                // It would keep the peer loyal to a leader that cannot hear it.
                Purpose::Heartbeat if !link.is_answering(self.silence_limit) => {
                    return Err(unreachable(&LaneError::NotConnected(self.target)));
                }
                Purpose::Heartbeat => (FrameKind::Heartbeat, option.soft_ttl()),
                Purpose::Replication => (FrameKind::Append, self.replication_timeout),
            };
            let run = AppendRun {
                input,
                input_ended: false,
                link,
                kind,
                group: self.group,
                append_stream: NEXT_APPEND_STREAM.fetch_add(1, Ordering::Relaxed),
                limit,
                window: FuturesOrdered::new(),
                window_bytes: 0,
            };
            let network = &*self;
            let results = stream::unfold(Some(run), move |run| async move {
                let mut run = run?;
                let (bytes, result) = run.next().await?;
                run.window_bytes -= bytes;
                match result {
                    Ok(Reply::Matched(matched)) => Some((Ok(Ok(matched)), Some(run))),
                    Ok(Reply::Conflict(id)) => {
                        Some((Ok(Err(StreamAppendError::Conflict(id))), None))
                    }
                    Ok(Reply::HigherVote(vote)) => {
                        Some((Ok(Err(StreamAppendError::HigherVote(vote))), None))
                    }
                    Ok(other) => Some((Err(unexpected(&other)), None)),
                    Err(error) => {
                        let error = network.rpc_error(error, RPCTypes::AppendEntries, run.limit);
                        Some((Err(error), None))
                    }
                }
            });
            Ok(results.boxed())
        })
    }
}

type Outcome = (usize, Result<Reply, LaneError>);

/// One run of pipelined appends: it sends while its window has room, and answers in order.
struct AppendRun<S> {
    input: S,
    input_ended: bool,
    link: Arc<PeerLink>,
    kind: FrameKind,
    group: RaftGroupId,
    append_stream: u64,
    limit: Duration,
    window: FuturesOrdered<BoxFuture<'static, Outcome>>,
    window_bytes: usize,
}

impl<S> AppendRun<S>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    /// The next outcome, in the order of the requests.
    async fn next(&mut self) -> Option<Outcome> {
        loop {
            let has_room = self.window.len() < WINDOW_REQUESTS && self.window_bytes < WINDOW_BYTES;
            let may_send = has_room && !self.input_ended;
            if !may_send && self.window.is_empty() {
                return None;
            }
            tokio::select! {
                biased;
                Some(outcome) = self.window.next(), if !self.window.is_empty() => {
                    return Some(outcome);
                }
                request = self.input.next(), if may_send => match request {
                    Some(request) => self.submit(&request).await,
                    None => self.input_ended = true,
                },
            }
        }
    }

    async fn submit(&mut self, request: &AppendEntriesRequest<TypeConfig>) {
        let body = encode_append(request);
        let bytes = body.len();
        self.window_bytes += bytes;
        let kind = match self.kind {
            // What is new in the metadata is waited for on every node.
            FrameKind::Append
                if request.entries.is_empty() && self.group != RaftGroupId::METADATA =>
            {
                FrameKind::Commit
            }
            kind => kind,
        };
        let sent = self
            .lane()
            .send(kind, self.group, self.append_stream, body)
            .await;
        let limit = self.limit;
        let peer = self.link.peer;
        self.window.push_back(Box::pin(async move {
            let answer = match sent {
                Ok(answer) => answer.within(limit).await,
                Err(error) => Err(error),
            };
            let reply =
                answer.and_then(|body| Reply::decode(body).map_err(|_| LaneError::Broken(peer)));
            (bytes, reply)
        }));
    }

    fn lane(&self) -> &Lane {
        match self.kind {
            FrameKind::Append => &self.link.data,
            _ => &self.link.control,
        }
    }
}

impl NetSnapshot<TypeConfig> for Network {
    type SnapshotData = SnapshotData;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let link = self.link()?;
        let limit = option.soft_ttl();
        let (lane, serving) = link.snapshot_lane();
        let network = &*self;
        let transfer = async move {
            tokio::select! {
                sent = network.send_snapshot(&lane, vote, snapshot, limit) => sent,
                () = serving => Err(unreachable(&LaneError::NotConnected(network.target))),
            }
        };
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            result = tokio::time::timeout(limit, transfer) => match result {
                Ok(result) => result.map_err(Into::into),
                Err(_) => Err(StreamingError::Timeout(Timeout {
                    action: RPCTypes::InstallSnapshot,
                    id: self.credentials.node.get(),
                    target: self.target.get(),
                    timeout: limit,
                })),
            },
        }
    }
}

impl Network {
    /// Says what it is, sends its image in pieces, and waits for the verdict.
    async fn send_snapshot(
        &self,
        lane: &Lane,
        vote: Vote,
        snapshot: Snapshot,
        limit: Duration,
    ) -> Result<SnapshotResponse<TypeConfig>, RpcError> {
        lane.wait_up().await;
        let head = encode_snapshot_head(&vote, &snapshot.meta);
        let mut image = snapshot.snapshot.into_inner();
        let mut part = (FrameKind::SnapshotHead, head);
        loop {
            let (kind, body) = part;
            let timing = (RPCTypes::InstallSnapshot, limit);
            let reply = self.ask_over(lane, kind, body, timing).await?;
            part = match reply {
                Reply::HigherVote(vote) => return Ok(SnapshotResponse::new(vote)),
                Reply::Here if kind == FrameKind::SnapshotEnd => return Err(unexpected(&reply)),
                Reply::Here if image.is_empty() => (FrameKind::SnapshotEnd, Bytes::new()),
                Reply::Here => {
                    let piece_bytes = image.len().min(SNAPSHOT_PIECE_BYTES);
                    (FrameKind::SnapshotPiece, image.split_to(piece_bytes))
                }
                refused => return Err(unexpected(&refused)),
            };
        }
    }
}
