//! The requests of one stream for one partition, in order.
//!
//! Batches are handed to the leader one after the other, and their outcomes are awaited together.
//! When the leader changes on the way, what surely is not stored is tried again, so that a client
//! rarely notices; but only if nothing that came after it may be stored, for otherwise it would end
//! up behind. A lane starts nothing with a new leader before everything with the old one is decided.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, v1};
use flotilla_raft::{AppendError, Partition, ProposeError};
use flotilla_types::{ErrorCode, LeaderEpoch, NodeId, PartitionIndex, TopicName};
use futures::future::BoxFuture;
use futures::stream::FuturesOrdered;
use futures::{FutureExt, StreamExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::answer::{Answer, Outcome};
use super::arrival::Arrival;
use super::forward::Forward;
use super::intake::Answers;
use super::submission::{Fault, Submission};
use crate::broker::RecordRoom;
use crate::errors;
use crate::node::Node;
use crate::origin::Origin;
use crate::router::{Forwarding, Located, Route};

/// Before another attempt, so that a leader can be elected meanwhile.
const PAUSE: Duration = Duration::from_millis(20);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LaneKey {
    pub(crate) name: TopicName,
    pub(crate) index: PartitionIndex,
}

pub(crate) struct Lane {
    node: Arc<Node>,
    origin: Origin,
    key: LaneKey,
    answers: Answers,
    /// Arrivals to start before those that come in.
    backlog: VecDeque<Arrival>,
    /// In the order of the requests.
    in_flight: FuturesOrdered<BoxFuture<'static, Finished>>,
    /// The leadership that has what is in flight.
    target: Option<Target>,
    forward: Option<Forward>,
}

struct Finished {
    arrival: Arrival,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    leader: NodeId,
    epoch: LeaderEpoch,
}

type InFlight = BoxFuture<'static, Outcome>;

impl Lane {
    pub(crate) fn new(node: Arc<Node>, origin: Origin, key: LaneKey, answers: Answers) -> Self {
        Self {
            node,
            origin,
            key,
            answers,
            backlog: VecDeque::new(),
            in_flight: FuturesOrdered::new(),
            target: None,
            forward: None,
        }
    }

    /// Runs until no more arrivals can come and all are answered, or nobody wants the answers.
    pub(crate) async fn run(mut self, mut arrivals: mpsc::Receiver<Arrival>) {
        let mut more = true;
        while more || !self.in_flight.is_empty() || !self.backlog.is_empty() {
            if self.answers.is_closed() {
                return;
            }
            if let Some(arrival) = self.backlog.pop_front() {
                self.start(arrival).await;
                continue;
            }
            tokio::select! {
                biased;
                Some(finished) = self.in_flight.next() => self.on_finished(finished).await,
                arrival = arrivals.recv(), if more => match arrival {
                    Some(arrival) => self.start(arrival).await,
                    None => more = false,
                },
            }
        }
    }

    async fn on_finished(&mut self, finished: Finished) {
        if matches!(finished.outcome, Outcome::Elsewhere(_)) {
            let mut all = VecDeque::from([finished]);
            all.extend(self.drain().await);
            self.settle(all).await;
        } else {
            self.answer(finished).await;
        }
    }

    async fn start(&mut self, arrival: Arrival) {
        match self.try_start(&arrival).await {
            Ok(Started::InFlight(outcome)) => {
                let finished = outcome.map(|outcome| Finished { arrival, outcome });
                self.in_flight.push_back(finished.boxed());
            }
            Ok(Started::NoRoom) => self.wait_for_room(arrival).await,
            Ok(Started::OtherTarget) => {
                let all = self.drain().await;
                self.target = None;
                self.backlog.push_front(arrival);
                self.settle(all).await;
            }
            Err(outcome @ Outcome::Elsewhere(_)) => {
                let mut all = self.drain().await;
                all.push_back(Finished { arrival, outcome });
                self.settle(all).await;
            }
            Err(outcome) => {
                let finished = async move { Finished { arrival, outcome } };
                self.in_flight.push_back(finished.boxed());
            }
        }
    }

    /// Waits until the journal has room again, something in flight is decided, or it is too late. Then
    /// the arrival has its turn once more.
    async fn wait_for_room(&mut self, mut arrival: Arrival) {
        let deadline = arrival.deadline;
        arrival.last_error = Some(errors::journal_full(self.node.id));
        self.backlog.push_front(arrival);
        let mut room = self.node.watch_room();
        let has_room = async {
            let changed = room.wait_for(|room| *room != RecordRoom::CatchingUp);
            changed.await.is_ok()
        };
        let node = self.node.clone();
        tokio::select! {
            Some(finished) = self.in_flight.next() => self.on_finished(finished).await,
            _ = has_room => {}
            () = node.stop.cancelled() => {}
            () = self.answers.closed() => {}
            () = sleep_until(deadline) => {}
        }
    }

    /// Waits until everything in flight is decided.
    async fn drain(&mut self) -> VecDeque<Finished> {
        let mut all = VecDeque::new();
        while let Some(finished) = self.in_flight.next().await {
            all.push_back(finished);
        }
        all
    }

    /// Answers what is decided, and puts what may be tried again before all that waits.
    async fn settle(&mut self, mut all: VecDeque<Finished>) {
        let outcomes: Vec<&Outcome> = all.iter().map(|finished| &finished.outcome).collect();
        // Another node tries again itself: it may know better where.
        let retried = match self.origin.is_node() {
            true => all.len(),
            false => retry_start(&outcomes),
        };
        let retries = all.split_off(retried);
        for finished in all {
            self.answer(finished).await;
        }
        if retries.is_empty() {
            return;
        }
        for Finished {
            mut arrival,
            outcome,
        } in retries.into_iter().rev()
        {
            arrival.last_error = outcome.into_result().err();
            self.backlog.push_front(arrival);
        }
        sleep(PAUSE).await;
    }

    async fn answer(&mut self, finished: Finished) {
        let Finished { arrival, outcome } = finished;
        let result = outcome.into_result();
        if let Err(error) = &result {
            self.node.meters.on_error(error.code);
        }
        let answer = Answer {
            correlation_id: arrival.correlation_id,
            partition: Some(self.key.index),
            result,
        };
        // The client may be gone; then the lane ends.
        let _ = self.answers.send(Ok(answer)).await;
        drop(arrival);
    }

    async fn try_start(&mut self, arrival: &Arrival) -> Result<Started, Outcome> {
        if Instant::now() >= arrival.deadline {
            return Err(Outcome::Failed(too_late(arrival)));
        }
        self.node.refuse_when_stopping().map_err(Outcome::Failed)?;
        let located = self.node.locate(&self.key.name, self.key.index).await;
        let located = Arc::new(located.map_err(Outcome::Failed)?);
        let forwarding = Forwarding::of(&self.origin, arrival.no_forward);
        let route = self
            .node
            .route_to_leader(&located, forwarding, arrival.deadline);
        let route = route.await.map_err(|error| match error.code {
            ErrorCode::LeaderNotAvailable => Outcome::Elsewhere(error),
            _ => Outcome::Failed(error),
        })?;
        let target = self.target_of(&route);
        if self.target != Some(target) && !self.in_flight.is_empty() {
            return Ok(Started::OtherTarget);
        }
        self.target = Some(target);
        let in_flight = match route {
            Route::Here(_) if self.node.room() == RecordRoom::CatchingUp => {
                return Ok(Started::NoRoom);
            }
            Route::Here(partition) => self.start_here(arrival, &located, partition).await?,
            Route::At(leader) => self.start_at(arrival, leader).await?,
        };
        Ok(Started::InFlight(in_flight))
    }

    fn target_of(&self, route: &Route) -> Target {
        match route {
            Route::Here(partition) => Target {
                leader: self.node.id,
                epoch: partition.leadership().epoch,
            },
            // That node keeps the order from one of its leaderships to the next.
            Route::At(leader) => Target {
                leader: *leader,
                epoch: LeaderEpoch::new(0),
            },
        }
    }

    async fn start_here(
        &mut self,
        arrival: &Arrival,
        located: &Arc<Located>,
        partition: Partition,
    ) -> Result<InFlight, Outcome> {
        if self.node.room() == RecordRoom::DiskFull {
            return Err(Outcome::Failed(errors::disk_full(self.node.id)));
        }
        let now = self.node.now();
        let reading = Submission::read(&self.node, &arrival.payload, located, now);
        let submission = match timeout_at(arrival.deadline, reading).await {
            Ok(submission) => submission.map_err(Outcome::Failed)?,
            Err(_) => return Err(Outcome::Failed(not_checked_in_time())),
        };
        let mut submitting = Box::pin(submission.submit(partition, now));
        let taken = match timeout_at(arrival.deadline, &mut submitting).await {
            Ok(Ok(taken)) => taken,
            Ok(Err(Fault::Refused(error))) => return Err(Outcome::Failed(error)),
            Ok(Err(Fault::Append(error))) => return Err(outcome_of(&self.node, located, &error)),
            Err(_) => {
                // The partition counts on a batch that it has begun to propose, so this goes on.
                self.node.tasks.spawn(submitting.map(drop));
                return Err(Outcome::Failed(timed_out()));
            }
        };
        let (node, located) = (self.node.clone(), located.clone());
        let (started, deadline) = (arrival.started, arrival.deadline);
        let (record_count, bytes) = (taken.record_count, taken.bytes);
        let outcome = async move {
            match timeout_at(deadline, taken.wait()).await {
                Ok(Ok(stored)) => {
                    node.meters
                        .on_stored(record_count, bytes, started.elapsed());
                    Outcome::Stored(stored)
                }
                Ok(Err(error)) => outcome_of(&node, &located, &error),
                Err(_) => Outcome::Failed(timed_out()),
            }
        };
        Ok(outcome.boxed())
    }

    async fn start_at(&mut self, arrival: &Arrival, leader: NodeId) -> Result<InFlight, Outcome> {
        let reusable = self
            .forward
            .as_ref()
            .is_some_and(|forward| forward.is_open_to(leader));
        if !reusable {
            self.forward = None;
            let opened = timeout_at(
                arrival.deadline,
                Forward::open(&self.node, leader, &self.origin),
            );
            let opened = opened.await.map_err(|_| {
                Outcome::Elsewhere(errors::no_leader(&self.key.name, self.key.index))
            })?;
            self.forward = Some(opened.map_err(Outcome::Elsewhere)?);
        }
        let forward = self
            .forward
            .as_mut()
            .expect("invariant: it was opened above");
        let left = arrival.deadline.saturating_duration_since(Instant::now());
        let request = v1::ProduceRequest {
            // The stream numbers its requests itself.
            correlation_id: 0,
            topic: self.key.name.as_str().to_owned(),
            partition: Some(self.key.index.get()),
            timeout_ms: u32::try_from(left.as_millis()).unwrap_or(u32::MAX).max(1),
            no_forward: false,
            payload: Some(arrival.payload.clone()),
        };
        let answer = forward.send(request).await.map_err(Outcome::Elsewhere)?;
        self.node.meters.forwarded.increment(1);
        let deadline = arrival.deadline;
        let outcome = async move {
            match timeout_at(deadline, answer).await {
                Ok(outcome) => outcome,
                Err(_) => Outcome::Failed(timed_out()),
            }
        };
        Ok(outcome.boxed())
    }
}

enum Started {
    InFlight(InFlight),
    /// This node has to catch up before it takes more records.
    NoRoom,
    /// Another leader than the one that has what is in flight.
    OtherTarget,
}

/// From which of the outcomes on the requests may be tried again: from the first that may go
/// elsewhere and has nothing behind it that may be stored. All behind it go along, because what was
/// refused on account of it may fit now.
fn retry_start(outcomes: &[&Outcome]) -> usize {
    let stored_end = outcomes
        .iter()
        .rposition(|outcome| outcome.may_be_stored())
        .map_or(0, |position| position + 1);
    let elsewhere = outcomes[stored_end..]
        .iter()
        .position(|outcome| matches!(outcome, Outcome::Elsewhere(_)));
    elsewhere.map_or(outcomes.len(), |position| stored_end + position)
}

fn outcome_of(node: &Node, located: &Located, error: &AppendError) -> Outcome {
    let api_error = match error {
        AppendError::Propose(ProposeError::NotLeader { leadership, .. }) => {
            node.not_leader(located, *leadership)
        }
        _ => errors::from_append(error),
    };
    if errors::may_go_elsewhere(error) {
        Outcome::Elsewhere(api_error)
    } else {
        Outcome::Failed(api_error)
    }
}

fn too_late(arrival: &Arrival) -> ApiError {
    arrival.last_error.clone().unwrap_or_else(|| {
        let message = "the request waited too long behind others of its stream: send it again";
        ApiError::new(ErrorCode::Overloaded, message)
    })
}

fn not_checked_in_time() -> ApiError {
    ApiError::new(
        ErrorCode::Overloaded,
        "the node had no time to check the records, and has stored none: send them later, or in \
         smaller requests",
    )
}

fn timed_out() -> ApiError {
    ApiError::new(
        ErrorCode::Timeout,
        "a majority did not confirm the batch in time: it may still be stored",
    )
}

#[cfg(test)]
mod tests {
    use flotilla_types::Offset;

    use super::super::answer::Stored;
    use super::*;

    fn stored() -> Outcome {
        Outcome::Stored(Stored {
            base_offset: Offset::ZERO,
            end_offset: Offset::new(1),
            leader_epoch: LeaderEpoch::new(1),
            duplicate: false,
            records: Vec::new(),
        })
    }

    fn elsewhere() -> Outcome {
        Outcome::Elsewhere(ApiError::new(ErrorCode::NotLeader, "no"))
    }

    fn failed(code: ErrorCode) -> Outcome {
        Outcome::Failed(ApiError::new(code, "no"))
    }

    fn retried(outcomes: &[Outcome]) -> usize {
        outcomes.len() - retry_start(&outcomes.iter().collect::<Vec<_>>())
    }

    #[test]
    fn what_comes_after_everything_that_is_stored_is_tried_again() {
        assert_eq!(retried(&[elsewhere(), elsewhere()]), 2);
        assert_eq!(retried(&[stored(), elsewhere(), elsewhere()]), 2);
        assert_eq!(retried(&[stored(), stored()]), 0);
        assert_eq!(retried(&[]), 0);
    }

    #[test]
    fn nothing_overtakes() {
        assert_eq!(retried(&[elsewhere(), stored()]), 0);
        assert_eq!(retried(&[elsewhere(), failed(ErrorCode::ResultUnknown)]), 0);
        assert_eq!(
            retried(&[elsewhere(), failed(ErrorCode::Timeout), elsewhere()]),
            1
        );
    }

    #[test]
    fn what_was_refused_for_lack_of_its_predecessor_goes_along() {
        let out_of_order = || failed(ErrorCode::OutOfOrderSequence);
        assert_eq!(retried(&[elsewhere(), out_of_order()]), 2);
        assert_eq!(retried(&[out_of_order(), elsewhere()]), 1);
        assert_eq!(retried(&[out_of_order(), out_of_order()]), 0);
    }
}
