//! Where the requests of one produce stream come in: each is given room and put into the lane of
//! its partition.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_state::access::{AccessAction, Resource};
use flotilla_types::limits::PRODUCE_STREAM_IN_FLIGHT_MAX;
use flotilla_types::{ErrorCode, PartitionIndex, TopicName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};
use tonic::{Status, Streaming};

use super::answer::Answer;
use super::arrival::{Arrival, Parsed, Room};
use super::lane::{Lane, LaneKey};
use super::payload;
use crate::node::{Node, shutting_down};
use crate::origin::Origin;
use crate::unreadable;

/// Lanes that one stream keeps, although they have nothing to do.
const IDLE_LANES_MAX: usize = 512;

/// A stream on which nothing came for this long has nothing on its way.
const REFUSE_QUIET: Duration = Duration::from_millis(20);
/// How long a client that sends on and on is refused, before its stream ends under it.
const REFUSE_LIMIT: Duration = Duration::from_millis(500);

pub(crate) type Answers = mpsc::Sender<Result<Answer, Status>>;

/// What to do when the node has no room for a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// Refuse it at once.
    None,
    /// Wait, and read nothing more meanwhile: the client notices by flow control, and the order of
    /// its requests stays.
    UntilDeadline,
}

/// One stream, from the node's side.
pub(crate) struct Intake {
    node: Arc<Node>,
    origin: Origin,
    patience: Patience,
    answers: Answers,
    slots: Arc<Semaphore>,
    lanes: HashMap<LaneKey, LaneHandle>,
}

struct LaneHandle {
    arrivals: mpsc::Sender<Arrival>,
    /// Each arrival of the lane holds a clone.
    busy: Arc<()>,
}

impl LaneHandle {
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.busy) == 1
    }
}

impl Intake {
    pub(crate) fn new(
        node: Arc<Node>,
        origin: Origin,
        patience: Patience,
        answers: Answers,
    ) -> Self {
        Self {
            node,
            origin,
            patience,
            answers,
            slots: Arc::new(Semaphore::new(PRODUCE_STREAM_IN_FLIGHT_MAX)),
            lanes: HashMap::new(),
        }
    }

    /// Takes requests until the client has sent all, goes away, sends nonsense, or the node stops.
    /// The lanes finish what they have.
    pub(crate) async fn run(mut self, mut requests: Streaming<v1::ProduceRequest>) {
        let stop = self.node.stop.clone();
        let slots = self.slots.clone();
        loop {
            let next = next_with_slot(&slots, &mut requests);
            let request = match stop.run_until_cancelled(next).await {
                Some(Ok(Some(request))) => request,
                Some(Ok(None)) => return,
                Some(Err(status)) => {
                    let explained = unreadable::explain(&status);
                    return self.end(explained.unwrap_or(status)).await;
                }
                None => {
                    self.refuse_rest(&slots, &mut requests).await;
                    return self.end(shutting_down().into()).await;
                }
            };
            self.take(request).await;
            if self.answers.is_closed() {
                return;
            }
        }
    }

    /// Refuses what is on its way to a node that stops, so that the client learns that nothing of it
    /// has happened, and may send it elsewhere.
    async fn refuse_rest(
        &mut self,
        slots: &Semaphore,
        requests: &mut Streaming<v1::ProduceRequest>,
    ) {
        let limit = Instant::now() + REFUSE_LIMIT;
        loop {
            let quiet = Instant::now() + REFUSE_QUIET;
            match timeout_at(quiet.min(limit), next_with_slot(slots, requests)).await {
                Ok(Ok(Some(request))) => self.take(request).await,
                Ok(Ok(None) | Err(_)) | Err(_) => return,
            }
        }
    }

    /// Waits until the answers of all lanes are sent, and ends the call with a status.
    async fn end(mut self, status: Status) {
        self.lanes.clear();
        let all = PRODUCE_STREAM_IN_FLIGHT_MAX as u32;
        let answered = self.slots.clone().acquire_many_owned(all);
        tokio::select! {
            // The semaphore is never closed.
            _ = answered => {}
            () = self.answers.closed() => {}
        }
        // The client may be gone.
        let _ = self.answers.send(Err(status)).await;
    }

    /// Takes one request. It is answered here or by its lane.
    pub(crate) async fn take(&mut self, request: v1::ProduceRequest) {
        self.node.meters.produce_requests.increment(1);
        let correlation_id = request.correlation_id;
        let slot = self.slots.clone().acquire_owned().await;
        let slot = slot.expect("invariant: the semaphore is never closed");
        if let Err((partition, error)) = self.put_into_lane(request, slot).await {
            self.node.meters.on_error(error.code);
            let answer = Answer {
                correlation_id,
                partition,
                result: Err(error),
            };
            // The client may be gone.
            let _ = self.answers.send(Ok(answer)).await;
        }
    }

    async fn put_into_lane(
        &mut self,
        request: v1::ProduceRequest,
        slot: OwnedSemaphorePermit,
    ) -> Result<(), (Option<PartitionIndex>, ApiError)> {
        let started = Instant::now();
        let correlation_id = request.correlation_id;
        let parsed = Parsed::read(request).map_err(|error| (None, error))?;
        let topic = Resource::Topic(parsed.name.as_str());
        let allowed = self.node.allow(&self.origin, AccessAction::Publish, topic);
        allowed.map_err(|error| (None, error))?;
        let index = self
            .partition_of(&parsed)
            .await
            .map_err(|error| (None, error))?;
        let deadline = started + parsed.timeout;
        let room = self
            .take_room(payload::held_bytes(&parsed.payload), deadline)
            .await;
        let lane = self.lane(parsed.name, index);
        let mut arrival = Arrival {
            correlation_id,
            payload: parsed.payload,
            no_forward: parsed.no_forward,
            started,
            deadline,
            last_error: None,
            room: None,
            _slot: slot,
            _lane: lane.busy.clone(),
        };
        match room {
            Ok(room) => arrival.room = Some(room),
            Err(error) => arrival.give_up(error),
        }
        lane.arrivals
            .try_send(arrival)
            .map_err(|_| (Some(index), shutting_down()))
    }

    async fn partition_of(&self, parsed: &Parsed) -> Result<PartitionIndex, ApiError> {
        if let Some(index) = parsed.partition {
            return Ok(index);
        }
        let partition_count = self.node.partition_count(&parsed.name).await?;
        payload::choose_partition(&parsed.payload, partition_count, self.node.next_turn())
    }

    async fn take_room(&self, bytes: usize, deadline: Instant) -> Result<Room, ApiError> {
        self.node.refuse_when_stopping()?;
        // A message is smaller than the room there is, so everything fits sooner or later.
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        let room = self.node.produce_room.clone();
        let permit = match self.patience {
            Patience::None => room.try_acquire_many_owned(bytes).ok(),
            Patience::UntilDeadline => {
                let permit = timeout_at(deadline, room.acquire_many_owned(bytes)).await;
                permit.ok().and_then(Result::ok)
            }
        };
        let permit = permit.ok_or_else(|| {
            let message = "the node holds as many produce requests as it can: send it later";
            ApiError::new(ErrorCode::Overloaded, message)
        })?;
        Ok(Room::new(
            permit,
            self.node.meters.produce_bytes_in_flight.clone(),
        ))
    }

    fn lane(&mut self, name: TopicName, index: PartitionIndex) -> &LaneHandle {
        if self.lanes.len() >= IDLE_LANES_MAX {
            self.lanes.retain(|_, lane| !lane.is_idle());
        }
        let key = LaneKey { name, index };
        self.lanes.entry(key.clone()).or_insert_with(|| {
            // The slots of the stream are as many, so a lane is never full.
            let (arrivals, receiver) = mpsc::channel(PRODUCE_STREAM_IN_FLIGHT_MAX);
            let lane = Lane::new(
                self.node.clone(),
                self.origin.clone(),
                key,
                self.answers.clone(),
            );
            self.node.tasks.spawn(lane.run(receiver));
            LaneHandle {
                arrivals,
                busy: Arc::default(),
            }
        })
    }
}

/// The next request, read only when there is a slot for it: `take` then finds one.
async fn next_with_slot(
    slots: &Semaphore,
    requests: &mut Streaming<v1::ProduceRequest>,
) -> Result<Option<v1::ProduceRequest>, Status> {
    let slot = slots.acquire().await;
    drop(slot);
    requests.message().await
}
