//! The receiving end of the links.

use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use flotilla_protocol::internal::v1;
use flotilla_protocol::internal::v1::peer_link_server::{PeerLink, PeerLinkServer};
use flotilla_types::limits::GRPC_MESSAGE_BYTES_MAX;
use flotilla_types::{NodeId, RaftGroupId};
use futures::{Stream, StreamExt};
use openraft::raft::{AppendEntriesRequest, VoteResponse};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::frame::{Frame, FrameKind, OutgoingFrame};
use super::hello::Credentials;
use super::lane::gather;
use super::link::Links;
use super::message::{
    Refusal, Reply, decode_append, decode_claims, decode_transfer, decode_vote_request,
    heartbeat_reply, verify_batches,
};
use crate::codec::{DecodeError, Reader};
use crate::group::Group;
use crate::groups::{GroupTable, Replica};
use crate::type_config::{Snapshot, SnapshotData, SnapshotMeta, TypeConfig};

type Frames = Pin<Box<dyn Stream<Item = Result<v1::Frame, Status>> + Send>>;

/// Answers that wait to be sent on one stream.
const ANSWERS_MAX: usize = 4_096;
/// Appends of one group that wait for it: more than a sender's window, so that it never fills.
const APPENDS_WAITING_MAX: usize = 64;
/// Largest snapshot that is taken in, in bytes.
const SNAPSHOT_BYTES_MAX: usize = 256 << 20;

/// Serves the peers of this node.
#[derive(Clone)]
pub struct PeerService {
    groups: Arc<GroupTable>,
    links: Arc<Links>,
    credentials: Arc<Credentials>,
    /// A leader that has not answered for so long may be none any more.
    silence_limit: Duration,
    /// Ends every connection, so that peers notice at once that this node has left.
    closing: CancellationToken,
}

impl PeerService {
    pub(crate) fn new(
        groups: Arc<GroupTable>,
        links: Arc<Links>,
        credentials: Arc<Credentials>,
        silence_limit: Duration,
        closing: CancellationToken,
    ) -> Self {
        Self {
            groups,
            links,
            credentials,
            silence_limit,
            closing,
        }
    }

    pub(crate) fn into_server(self) -> PeerLinkServer<Self> {
        PeerLinkServer::new(self)
            .max_decoding_message_size(GRPC_MESSAGE_BYTES_MAX)
            .max_encoding_message_size(GRPC_MESSAGE_BYTES_MAX)
    }

    async fn lane(
        &self,
        request: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        let mut inbound = request.into_inner();
        let hello = inbound.message().await?;
        let hello = hello.ok_or_else(|| Status::invalid_argument("a greeting must come first"))?;
        let peer = self.credentials.check(hello.body.into_bytes(), None)?;
        let (answers, queued) = mpsc::channel(ANSWERS_MAX);
        let connection = Connection {
            peer,
            groups: self.groups.clone(),
            links: self.links.clone(),
            silence_limit: self.silence_limit,
            answers,
            appends: HashMap::new(),
            tasks: JoinSet::new(),
            has_complained: false,
        };
        let own_hello = futures::stream::iter([Ok(self.credentials.hello())]);
        let closing = self.closing.clone();
        let reading = async move {
            let left = || Err(Status::unavailable("this node is leaving"));
            let read = closing.run_until_cancelled(connection.run(inbound)).await;
            read.unwrap_or_else(left)
        };
        let outbound = outbound(queued, reading);
        tracing::debug!(%peer, "a peer has connected");
        Ok(Response::new(Box::pin(own_hello.chain(outbound))))
    }
}

/// The answers of a connection. Reading its requests is driven along, so that both end together and
/// no task outlives the stream.
fn outbound(
    queued: mpsc::Receiver<OutgoingFrame>,
    reading: impl Future<Output = Result<(), Status>> + Send + 'static,
) -> impl Stream<Item = Result<v1::Frame, Status>> + Send {
    let messages = futures::stream::unfold(queued, |mut queued| async move {
        let message = {
            let mut messages = std::pin::pin!(gather(&mut queued));
            messages.next().await?
        };
        Some((Ok(message), queued))
    });
    let ended =
        futures::stream::once(reading).filter_map(|result| async move { result.err().map(Err) });
    // `messages` ends once reading has ended and dropped the last sender.
    futures::stream::select(messages, ended)
}

#[tonic::async_trait]
impl PeerLink for PeerService {
    type ControlStream = Frames;
    type DataStream = Frames;

    async fn control(
        &self,
        request: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.lane(request).await
    }

    async fn data(
        &self,
        request: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<Frames>, Status> {
        self.lane(request).await
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::Frame>>,
    ) -> Result<Response<v1::Frame>, Status> {
        let mut inbound = request.into_inner();
        let missing = || Status::invalid_argument("the snapshot ends before its description");
        let hello = inbound.message().await?.ok_or_else(missing)?;
        self.credentials.check(hello.body.into_bytes(), None)?;
        let head = inbound.message().await?.ok_or_else(missing)?;
        let (group, vote, meta) = read_head(head.body.into_bytes()).map_err(malformed)?;
        let mut image = BytesMut::new();
        while let Some(piece) = inbound.message().await? {
            let piece = piece.body.into_bytes();
            if image.len() + piece.len() > SNAPSHOT_BYTES_MAX {
                return Err(Status::resource_exhausted("the snapshot is too large"));
            }
            image.extend_from_slice(&piece);
        }
        let raft = self.groups.raft(group).ok_or_else(|| {
            Status::unavailable(format!("this node holds no replica of raft group {group}"))
        })?;
        let snapshot = Snapshot {
            meta,
            snapshot: SnapshotData::new(image.freeze()),
        };
        let installed = raft.install_full_snapshot(vote, snapshot).await;
        let installed = installed.map_err(|error| Status::unavailable(error.to_string()))?;
        let body = Reply::HigherVote(installed.vote).encode().into();
        Ok(Response::new(v1::Frame { body }))
    }
}

fn read_head(
    body: bytes::Bytes,
) -> Result<(RaftGroupId, crate::type_config::Vote, SnapshotMeta), DecodeError> {
    let mut reader = Reader::new(body);
    reader.version()?;
    let group = RaftGroupId::new(reader.u32("a group")?);
    let vote = reader.vote()?;
    let last_log_id = reader.optional_log_id()?;
    let last_membership = reader.stored_membership()?;
    reader.finish("a snapshot's description")?;
    let meta = SnapshotMeta {
        last_log_id,
        last_membership,
    };
    Ok((group, vote, meta))
}

fn malformed(error: DecodeError) -> Status {
    Status::invalid_argument(error.to_string())
}

/// One stream of a peer: hands its requests to the groups and queues their answers.
struct Connection {
    peer: NodeId,
    groups: Arc<GroupTable>,
    links: Arc<Links>,
    silence_limit: Duration,
    answers: mpsc::Sender<OutgoingFrame>,
    appends: HashMap<RaftGroupId, AppendStream>,
    /// What is being answered. It ends with the connection.
    tasks: JoinSet<()>,
    /// The log says already that the peer does not take its answers.
    has_complained: bool,
}

/// The run of appends of one group that is under way.
struct AppendStream {
    id: u64,
    requests: mpsc::Sender<AppendEntriesRequest<TypeConfig>>,
    /// The frames that the group has not answered yet, in order.
    unanswered: Arc<Mutex<VecDeque<Frame>>>,
}

impl Connection {
    async fn run(mut self, mut inbound: Streaming<v1::Frame>) -> Result<(), Status> {
        while let Some(message) = inbound.message().await? {
            let mut message = message.body.into_bytes();
            while let Some(frame) = Frame::decode(&mut message).map_err(malformed)? {
                self.on_frame(frame).map_err(malformed)?;
            }
            while self.tasks.try_join_next().is_some() {}
        }
        Ok(())
    }

    fn on_frame(&mut self, frame: Frame) -> Result<(), DecodeError> {
        match frame.kind {
            FrameKind::Ping => {
                self.answer(&frame, &Reply::Here);
                return Ok(());
            }
            FrameKind::Quiesce => return self.on_claims(&frame),
            _ => {}
        }
        let Some(replica) = self.groups.get(frame.group) else {
            self.refuse(&frame, Refusal::NoReplica);
            return Ok(());
        };
        let group = replica.group().clone();
        match frame.kind {
            FrameKind::Append => self.on_append(frame, group),
            FrameKind::Heartbeat => {
                let request = decode_append(frame.body.clone())?;
                self.spawn_answer(frame, async move {
                    let previous = request.prev_log_id;
                    match group.raft.append_entries(request).await {
                        Ok(response) => heartbeat_reply(previous, response),
                        Err(_) => Reply::Refused(Refusal::Stopped),
                    }
                });
                Ok(())
            }
            FrameKind::Vote => {
                let request = decode_vote_request(frame.body.clone())?;
                self.spawn_answer(frame, async move {
                    let response = group.raft.vote(request).await;
                    group.wake();
                    response.map_or(Reply::Refused(Refusal::Stopped), Reply::Vote)
                });
                Ok(())
            }
            FrameKind::PreVote => self.on_pre_vote(frame, group),
            FrameKind::TransferLeader => {
                let request = decode_transfer(frame.body.clone())?;
                self.spawn_answer(frame, async move {
                    let is_heir = *request.to_node_id() == group.node.get();
                    let verdict = group.raft.handle_transfer_leader(request).await;
                    // Another heir is about to ask for this replica's vote.
                    if is_heir {
                        group.wake();
                    }
                    match verdict {
                        Ok(verdict) => Reply::Transferred(verdict.is_ok()),
                        Err(_) => Reply::Refused(Refusal::Stopped),
                    }
                });
                Ok(())
            }
            FrameKind::Expel | FrameKind::Readmit => {
                self.on_standing(frame, replica);
                Ok(())
            }
            FrameKind::Ping | FrameKind::Quiesce | FrameKind::Reply => Err(DecodeError::Unknown {
                what: "a frame that concerns no group",
                value: frame.request,
            }),
        }
    }

    /// The claims of a peer that groups are quiet which it leads.
    fn on_claims(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        let claims = decode_claims(frame.body.clone())?;
        let disputed = claims.iter().filter(|claim| {
            let replica = self.groups.get(claim.group);
            !replica.is_some_and(|replica| replica.group().agree_to_rest(claim))
        });
        let disputed = disputed.map(|claim| claim.group).collect();
        self.answer(frame, &Reply::NotQuiet(disputed));
        Ok(())
    }

    fn on_pre_vote(&mut self, frame: Frame, group: Group) -> Result<(), DecodeError> {
        let request = decode_vote_request(frame.body.clone())?;
        let refusal = self.refuse_while_quiet(&group);
        self.spawn_answer(frame, async move {
            if let Some(refusal) = refusal {
                if group.leading_term().is_some() {
                    // So that the peer hears who leads.
                    group.wake_as_leader().await;
                }
                return Reply::Vote(refusal);
            }
            let response = group.raft.pre_vote(request).await;
            response.map_or(Reply::Refused(Refusal::Stopped), Reply::Vote)
        });
        Ok(())
    }

    /// The answer to a pre-vote in a quiet group whose leader is there.
    fn refuse_while_quiet(&self, group: &Group) -> Option<VoteResponse<TypeConfig>> {
        if !group.is_quiet() {
            return None;
        }
        let leader = group.leadership().leader?;
        let is_answering = |node| self.links.is_answering(node, self.silence_limit);
        let is_there = if leader == group.node {
            group.is_majority(is_answering)
        } else {
            is_answering(leader)
        };
        is_there.then(|| VoteResponse::new(group.vote(), None, false))
    }

    /// A peer may only ask for its own replica.
    fn on_standing(&mut self, frame: Frame, replica: Replica) {
        // A node cannot do without the metadata, so it asks for no replacement of it.
        if matches!(replica, Replica::Metadata(_)) {
            return self.refuse(&frame, Refusal::NoReplica);
        }
        let (peer, leaves) = (self.peer, frame.kind == FrameKind::Expel);
        self.spawn_answer(frame, async move {
            Reply::Standing(if leaves {
                replica.expel(peer).await
            } else {
                replica.readmit(peer).await
            })
        });
    }

    fn on_append(&mut self, frame: Frame, group: Group) -> Result<(), DecodeError> {
        let request = decode_append(frame.body.clone())?;
        if let Err(refusal) = verify_batches(frame.group, &request) {
            tracing::error!(group = %frame.group, "entries from a peer fail their checksum");
            self.refuse(&frame, refusal);
            return Ok(());
        }
        let current = self.appends.get(&frame.group);
        if current.is_none_or(|current| current.id < frame.append_stream) {
            self.start_appends(&frame, group);
        }
        let Some(current) = self.appends.get(&frame.group) else {
            return Ok(());
        };
        if current.id != frame.append_stream {
            self.refuse(&frame, Refusal::StreamEnded);
            return Ok(());
        }
        let mut unanswered = current.unanswered.lock();
        // The body is decoded; only the address of the answer is kept.
        unanswered.push_back(Frame {
            body: bytes::Bytes::new(),
            ..frame
        });
        if current.requests.try_send(request).is_err() {
            let frame = unanswered.pop_back();
            drop(unanswered);
            if let Some(frame) = frame {
                self.refuse(&frame, Refusal::StreamEnded);
            }
        }
        Ok(())
    }

    /// Begins a run of appends. The run before it, if any, ends as its sender is dropped.
    fn start_appends(&mut self, frame: &Frame, group: Group) {
        let (requests, input) = mpsc::channel(APPENDS_WAITING_MAX);
        let unanswered: Arc<Mutex<VecDeque<Frame>>> = Arc::default();
        let run = AppendStream {
            id: frame.append_stream,
            requests,
            unanswered: unanswered.clone(),
        };
        self.appends.insert(frame.group, run);
        let answers = self.answers.clone();
        self.tasks.spawn(async move {
            let input = tokio_stream::wrappers::ReceiverStream::new(input);
            let mut results = std::pin::pin!(group.raft.stream_append(input));
            while let Some(result) = results.next().await {
                group.wake();
                let reply = match result {
                    Ok(result) => Reply::from(result),
                    Err(_) => Reply::Refused(Refusal::Stopped),
                };
                let Some(frame) = unanswered.lock().pop_front() else {
                    return;
                };
                if answers.send(frame.reply_to(reply.encode())).await.is_err() {
                    return;
                }
            }
            let rest = std::mem::take(&mut *unanswered.lock());
            for frame in rest {
                let reply = Reply::Refused(Refusal::StreamEnded);
                if answers.send(frame.reply_to(reply.encode())).await.is_err() {
                    return;
                }
            }
        });
    }

    fn spawn_answer(&mut self, frame: Frame, reply: impl Future<Output = Reply> + Send + 'static) {
        let answers = self.answers.clone();
        self.tasks.spawn(async move {
            let body = reply.await.encode();
            // The peer gives the request up when the connection is gone.
            let _ = answers.send(frame.reply_to(body)).await;
        });
    }

    fn refuse(&mut self, frame: &Frame, refusal: Refusal) {
        self.answer(frame, &Reply::Refused(refusal));
    }

    fn answer(&mut self, frame: &Frame, reply: &Reply) {
        let reply = frame.reply_to(reply.encode());
        let is_taken = self.answers.try_send(reply).is_ok();
        // A peer that is slow is so for all of its groups.
        if !is_taken && !std::mem::replace(&mut self.has_complained, true) {
            tracing::warn!(peer = %self.peer, "a peer does not take its answers");
        }
    }
}
