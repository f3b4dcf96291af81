//! From a call about a consumer group or a job to the node that leads its coordinator.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::ApiError;
use flotilla_raft::{Coordinator, Leadership};
use flotilla_state::access::AccessAction;
use flotilla_state::metadata::Partition;
use flotilla_types::{ErrorCode, NodeId};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Request, Response, Status};

use super::placement::{Coordinated, no_leader};
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::choose_replica;

/// What a call that waits may take beside its wait.
pub(crate) const ANSWER_TIME: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// A call that only the leader of a coordinator answers.
pub(crate) trait CoordinatorCall: Clone + Send + Sync + 'static {
    type Answer: Send;
    /// What the call is about.
    type Subject: Coordinated;

    /// What the caller must be allowed to do with it.
    const ACTION: AccessAction;
    /// Sent twice, it does what it does once.
    const MAY_REPEAT: bool;
    /// It proposes nothing that a deposed leader would fail with, so that leadership has to be
    /// confirmed first.
    const ONLY_READS: bool = false;

    /// The name of what it is about.
    fn subject(&self) -> &str;

    /// Refuses what else the caller must be allowed to do.
    fn allow_more(&self, _node: &Node, _origin: &Origin) -> Result<(), ApiError> {
        Ok(())
    }

    /// How long the call may take.
    fn limit(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// The call is made again, after it has waited for so long.
    fn note_waited(&mut self, _waited: Duration) {}

    /// Does the work. The coordinator is led by this node and knows all that was decided before.
    fn carry_out(
        self,
        node: &Arc<Node>,
        coordinator: &Coordinator,
        subject: Self::Subject,
    ) -> impl Future<Output = Result<Self::Answer, ApiError>> + Send;

    fn pass_on(
        request: Request<Self>,
        client: <Self::Subject as Coordinated>::Client,
    ) -> impl Future<Output = Result<Response<Self::Answer>, Status>> + Send;
}

enum Route {
    Here(Coordinator),
    At(NodeId),
}

/// Answers a call, whoever leads the coordinator.
pub(crate) async fn serve<C: CoordinatorCall>(
    node: &Arc<Node>,
    request: Request<C>,
) -> Result<Response<C::Answer>, Status> {
    let origin = Origin::of(&request, node.peers.cluster())?;
    let answer = route(node, request.into_inner(), &origin).await?;
    Ok(Response::new(answer))
}

/// Takes a call to where it can be answered.
async fn route<C: CoordinatorCall>(
    node: &Arc<Node>,
    call: C,
    origin: &Origin,
) -> Result<C::Answer, ApiError> {
    node.refuse_when_stopping()?;
    let subject = C::Subject::parse(call.subject())?;
    node.allow(origin, C::ACTION, subject.resource())?;
    call.allow_more(node, origin)?;
    let began = Instant::now();
    let deadline = began + call.limit();
    loop {
        // It may move while one waits.
        let placed = node.coordinator_of(&subject, deadline).await?;
        let mut call = call.clone();
        call.note_waited(began.elapsed());
        let answer = match find_leader(node, &placed, origin, &subject, deadline).await {
            Ok(Route::Here(coordinator)) => {
                let carried_out = carry_out(node, call, &coordinator, &subject);
                let in_time = timeout_at(deadline, carried_out).await;
                in_time.unwrap_or_else(|_| Err(not_in_time(&subject)))
            }
            Ok(Route::At(leader)) => ask(node, leader, call, (origin, deadline)).await,
            Err(error) => Err(error),
        };
        match answer {
            Err(error) if may_repeat::<C>(&error, origin) && Instant::now() + PAUSE < deadline => {
                node.refuse_when_stopping()?;
                sleep(PAUSE).await;
            }
            answer => return answer,
        }
    }
}

/// Whoever passed the call on tries again itself.
fn may_repeat<C: CoordinatorCall>(error: &ApiError, origin: &Origin) -> bool {
    let passes = match error.code {
        ErrorCode::NotLeader | ErrorCode::LeaderNotAvailable | ErrorCode::ShuttingDown => true,
        ErrorCode::ResultUnknown => C::MAY_REPEAT,
        _ => false,
    };
    passes && !origin.is_node()
}

async fn carry_out<C: CoordinatorCall>(
    node: &Arc<Node>,
    call: C,
    coordinator: &Coordinator,
    subject: &C::Subject,
) -> Result<C::Answer, ApiError> {
    let settled = match C::ONLY_READS {
        true => coordinator.wait_confirmed().await,
        false => coordinator.wait_settled().await,
    };
    settled.map_err(|error| errors::from_propose(&error))?;
    call.carry_out(node, coordinator, subject.clone()).await
}

async fn ask<C: CoordinatorCall>(
    node: &Node,
    leader: NodeId,
    call: C,
    (origin, deadline): (&Origin, Instant),
) -> Result<C::Answer, ApiError> {
    let channel = node.peers.channel(leader).await?;
    let client = C::Subject::client(channel);
    let limit = deadline.saturating_duration_since(Instant::now());
    let request = origin.pass_on(call, node.peers.cluster(), limit);
    node.meters.forwarded.increment(1);
    match C::pass_on(request, client).await {
        Ok(response) => Ok(response.into_inner()),
        Err(status) if C::MAY_REPEAT => Err(node.peers.failed_to_read(leader, &status)),
        Err(status) => Err(node.peers.failed(leader, &status)),
    }
}

async fn find_leader<S: Coordinated>(
    node: &Node,
    placed: &Partition,
    origin: &Origin,
    subject: &S,
    deadline: Instant,
) -> Result<Route, ApiError> {
    let found = async {
        let replica = node.raft.coordinator(placed.raft_group);
        if let Some(coordinator) = replica.filter(Coordinator::is_leader) {
            return Ok(Route::Here(coordinator));
        }
        let is_here = placed.replicas.contains(&node.id) && !node.raft.is_parked(placed.raft_group);
        match is_here {
            true => wait_for_leader(node, placed, origin).await,
            false => any_replica(node, placed, origin).ok_or_else(|| no_leader(subject)),
        }
    };
    match timeout_at(deadline, found).await {
        Ok(route) => route,
        Err(_) => Err(no_leader(subject)),
    }
}

async fn wait_for_leader(
    node: &Node,
    placed: &Partition,
    origin: &Origin,
) -> Result<Route, ApiError> {
    loop {
        let Some(coordinator) = node.raft.coordinator(placed.raft_group) else {
            // It is being opened, or has just been parked, or lives elsewhere by now.
            node.refuse_when_stopping()?;
            let now = node.state().placement(placed.raft_group).cloned();
            if now.as_ref() != Some(placed) {
                let message = "the coordinator has moved: try again, and another node answers";
                return Err(ApiError::new(ErrorCode::LeaderNotAvailable, message));
            }
            sleep(PAUSE).await;
            continue;
        };
        let leadership = coordinator.leadership();
        if coordinator.is_leader() {
            return Ok(Route::Here(coordinator));
        }
        if let Some(leader) = leadership.leader.filter(|leader| *leader != node.id) {
            return match origin.may_pass_on() {
                true => Ok(Route::At(leader)),
                false => Err(not_leader(node, leadership)),
            };
        }
        let changed = |now: &Leadership| *now != leadership || coordinator.is_leader();
        if coordinator.wait_leadership(changed).await.is_none() {
            sleep(PAUSE).await;
        }
    }
}

/// A node that has a replica, and so knows the leader.
fn any_replica(node: &Node, placed: &Partition, origin: &Origin) -> Option<Route> {
    if !origin.may_pass_on() {
        return None;
    }
    choose_replica(&placed.replicas, &node.raft.connected_peers(), None).map(Route::At)
}

fn not_in_time<S: Coordinated>(subject: &S) -> ApiError {
    let message = format!(
        "a majority of the nodes that coordinate {} did not confirm in time: it may still happen",
        subject.described()
    );
    ApiError::new(ErrorCode::Timeout, message)
}

/// What is left of a wait.
pub(crate) fn without(wait_ms: u32, waited: Duration) -> u32 {
    let waited_ms = u32::try_from(waited.as_millis()).unwrap_or(u32::MAX);
    wait_ms.saturating_sub(waited_ms)
}

pub(crate) fn not_leader(node: &Node, leadership: Leadership) -> ApiError {
    let message = format!("node {} does not lead the coordinator", node.id);
    let error = ApiError::new(ErrorCode::NotLeader, message);
    match node.leader_hint(leadership) {
        Some(hint) => error.with_leader(hint),
        None => error,
    }
}
