//! The receiving end of the links.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use flotilla_types::limits::NODE_REPLICAS_MAX;
use flotilla_types::{NodeId, RaftGroupId};
use futures::StreamExt;
use openraft::raft::{AppendEntriesRequest, VoteResponse};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::frame::{Frame, FrameKind, OutgoingFrame};
use super::hello::{Credentials, Farewell};
use super::lane::{Gatherer, PATIENCE};
use super::link::Links;
use super::message::{
    Refusal, Reply, decode_append, decode_claims, decode_snapshot_head, decode_transfer,
    decode_vote_request, heartbeat_reply, verify_batches,
};
use super::wire::{self, PREFACE, PeerStream, Reader, SILENCE_MAX, WireError, Writer};
use crate::codec::DecodeError;
use crate::group::Group;
use crate::groups::{GroupTable, Replica};
use crate::type_config::{Snapshot, SnapshotData, SnapshotMeta, TypeConfig, Vote};

/// Answers that wait to be sent on one connection.
const ANSWERS_MAX: usize = 4_096;
/// Appends of one group that wait for it: more than a sender's window, so that it never fills.
const APPENDS_WAITING_MAX: usize = 64;
/// What is being answered on one connection, beside the appends of all groups.
const TASKS_MAX: usize = NODE_REPLICAS_MAX as usize + ANSWERS_MAX;
/// Largest snapshot that is taken in, in bytes.
const SNAPSHOT_BYTES_MAX: usize = 256 << 20;
/// How long a peer may take to greet.
const GREETING_LIMIT: Duration = Duration::from_secs(3);

/// Serves the peers of this node.
#[derive(Clone)]
pub struct PeerServer {
    groups: Arc<GroupTable>,
    links: Arc<Links>,
    credentials: Arc<Credentials>,
    /// A leader that has not answered for so long may be none any more.
    silence_limit: Duration,
    /// Ends every connection, so that peers notice at once that this node has left.
    closing: CancellationToken,
}

impl PeerServer {
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

    /// Whether a connection that begins like this may be a peer's link. If not, it may be a call.
    pub const fn begins_link(first_byte: u8) -> bool {
        first_byte == PREFACE[0]
    }

    /// Whether the node was removed from the cluster. It is not to be listened to.
    pub fn is_removed(&self, node: NodeId) -> bool {
        self.credentials.is_removed(node)
    }

    /// Serves the link of a peer until it ends. If the peer has proven which node it is, it is refused as
    /// any other.
    pub async fn serve(&self, stream: impl PeerStream, proven: Option<NodeId>) {
        self.closing
            .run_until_cancelled(self.run(stream, proven))
            .await;
    }

    async fn run(&self, stream: impl PeerStream, proven: Option<NodeId>) {
        let (mut reader, mut writer) = wire::split(Box::new(stream), SILENCE_MAX);
        let greeting = self.greet(proven, &mut reader, &mut writer);
        let greeting = timeout(GREETING_LIMIT, greeting);
        let peer = match greeting.await {
            Ok(Ok(Some(peer))) => peer,
            // Anybody may say anything here.
            ended => return tracing::debug!(?ended, "a connection is no peer's"),
        };
        tracing::debug!(%peer, "a peer has connected");
        match self.answer(peer, reader, writer).await {
            Err(error @ (WireError::Malformed(_) | WireError::TooLong(_))) => {
                tracing::error!(%peer, %error, "a peer sends what this node cannot read");
            }
            ended => tracing::debug!(%peer, ?ended, "the link of a peer has ended"),
        }
    }

    async fn answer(
        &self,
        peer: NodeId,
        reader: Reader,
        mut writer: Writer,
    ) -> Result<(), WireError> {
        let (answers, mut queued) = mpsc::channel(ANSWERS_MAX);
        let connection = Connection {
            peer,
            groups: self.groups.clone(),
            links: self.links.clone(),
            silence_limit: self.silence_limit,
            answers,
            appends: HashMap::new(),
            snapshot: None,
            tasks: JoinSet::new(),
            has_complained: false,
        };
        let mut queued = Gatherer::new(&mut queued, PATIENCE);
        let answering = async {
            while let Some(first) = queued.first().await {
                let sending = writer.send(queued.gather(first).await);
                // A peer that reads nothing is as good as silent.
                timeout(SILENCE_MAX, sending)
                    .await
                    .map_err(|_| WireError::Silent)??;
            }
            Ok(())
        };
        // No task outlives the connection.
        tokio::select! {
            ended = connection.run(reader) => ended,
            ended = answering => ended,
        }
    }

    /// Who has connected, unless it is nobody to talk to.
    async fn greet(
        &self,
        proven: Option<NodeId>,
        reader: &mut Reader,
        writer: &mut Writer,
    ) -> Result<Option<NodeId>, WireError> {
        if !reader.preface().await? {
            return Ok(None);
        }
        let greeting = reader.greeting().await?;
        let Some(greeting) = greeting.filter(|first| first.kind == FrameKind::Hello) else {
            return Ok(None);
        };
        match self.credentials.check(greeting.body, proven) {
            Ok(peer) => {
                writer.send(self.credentials.hello().into()).await?;
                Ok(Some(peer))
            }
            Err(error) => {
                tracing::debug!(%error, "refusing a peer");
                writer.send(Farewell::from(&error).encode().into()).await?;
                Ok(None)
            }
        }
    }
}

/// One connection of a peer: hands its requests to the groups and queues their answers.
struct Connection {
    peer: NodeId,
    groups: Arc<GroupTable>,
    links: Arc<Links>,
    silence_limit: Duration,
    answers: mpsc::Sender<OutgoingFrame>,
    appends: HashMap<RaftGroupId, AppendStream>,
    snapshot: Option<ComingSnapshot>,
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

/// A snapshot of which not everything has come yet.
struct ComingSnapshot {
    group: RaftGroupId,
    vote: Vote,
    meta: SnapshotMeta,
    image: BytesMut,
}

impl Connection {
    async fn run(mut self, mut reader: Reader) -> Result<(), WireError> {
        while let Some(frame) = reader.next().await? {
            self.on_frame(frame)?;
            while self.tasks.try_join_next().is_some() {}
            while self.tasks.len() > TASKS_MAX {
                self.tasks.join_next().await;
            }
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
            FrameKind::Append | FrameKind::Commit => self.on_append(frame, group),
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
            FrameKind::TransferLeader => self.on_transfer(frame, group),
            FrameKind::Expel | FrameKind::Readmit => {
                self.on_standing(frame, replica);
                Ok(())
            }
            FrameKind::SnapshotHead => self.on_snapshot_head(&frame),
            FrameKind::SnapshotPiece => {
                self.on_snapshot_piece(&frame);
                Ok(())
            }
            FrameKind::SnapshotEnd => {
                self.on_snapshot_end(frame, group);
                Ok(())
            }
            FrameKind::Ping
            | FrameKind::Quiesce
            | FrameKind::Reply
            | FrameKind::Hello
            | FrameKind::Farewell => Err(DecodeError::Unknown {
                what: "the kind of a request",
                value: frame.kind as u64,
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

    fn on_transfer(&mut self, frame: Frame, group: Group) -> Result<(), DecodeError> {
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

    fn on_snapshot_head(&mut self, frame: &Frame) -> Result<(), DecodeError> {
        let (vote, meta) = decode_snapshot_head(frame.body.clone())?;
        self.snapshot = Some(ComingSnapshot {
            group: frame.group,
            vote,
            meta,
            image: BytesMut::new(),
        });
        self.answer(frame, &Reply::Here);
        Ok(())
    }

    fn on_snapshot_piece(&mut self, frame: &Frame) {
        let coming = self.snapshot.as_mut();
        let Some(coming) = coming.filter(|coming| coming.group == frame.group) else {
            return self.refuse(frame, Refusal::StreamEnded);
        };
        if coming.image.len() + frame.body.len() > SNAPSHOT_BYTES_MAX {
            self.snapshot = None;
            return self.refuse(frame, Refusal::TooLarge);
        }
        coming.image.extend_from_slice(&frame.body);
        self.answer(frame, &Reply::Here);
    }

    fn on_snapshot_end(&mut self, frame: Frame, group: Group) {
        let coming = self.snapshot.take();
        let Some(coming) = coming.filter(|coming| coming.group == frame.group) else {
            return self.refuse(&frame, Refusal::StreamEnded);
        };
        self.spawn_answer(frame, async move {
            let snapshot = Snapshot {
                meta: coming.meta,
                snapshot: SnapshotData::new(coming.image.freeze()),
            };
            match group
                .raft
                .install_full_snapshot(coming.vote, snapshot)
                .await
            {
                Ok(installed) => Reply::HigherVote(installed.vote),
                Err(_) => Reply::Refused(Refusal::Stopped),
            }
        });
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
        unanswered.push_back(frame.address());
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
        let (answers, frame) = (self.answers.clone(), frame.address());
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
