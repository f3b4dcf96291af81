//! The task of one partition: takes batches from its lane and sees them through.
//!
//! It works in rounds. A round finds the leader, sends what the window holds and what comes after,
//! and ends with the first failure, once everything in flight is answered. Then the task recovers:
//! it learns where the leader is, gives up what cannot succeed, waits a little, and starts the
//! next round.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::ErrorCode;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;
use tracing::debug;

use super::identities::Identities;
use super::lane::Lane;
use super::link::{Answer, Link, Links};
use super::window::Window;
use crate::ClientError;
use crate::backoff::Backoff;
use crate::client::Core;
use crate::deadline;
use crate::metadata::UNKNOWN_TOPIC_PATIENCE;

/// A node gets at least this long to answer, unless `request_timeout` is shorter: one that is late
/// costs all partitions that it leads their link.
const ANSWER_TIME_MIN: Duration = Duration::from_millis(500);

pub(super) struct Sender {
    pub(super) core: Arc<Core>,
    pub(super) lane: Arc<Lane>,
    pub(super) links: Arc<Links>,
    pub(super) identities: Arc<Identities>,
    pub(super) window: Window,
    pub(super) backoff: Backoff,
    pub(super) request_timeout: Duration,
    pub(super) delivery_timeout: Duration,
    /// The partition has used the producer's first identity.
    pub(super) has_begun: bool,
    /// When the first round failed since a batch was last acknowledged.
    pub(super) failing_since: Option<Instant>,
}

/// How a round ended.
enum RoundEnd {
    /// The lane has ended and everything is settled.
    Finished,
    /// The head cannot be sent or was refused. Nothing is in flight.
    Failed(ApiError),
}

/// What is to be done about a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remedy {
    Retry,
    /// The partition has forgotten the producer.
    StartOver,
    FailHead,
    /// Another incarnation of the producer has taken over.
    FailAll,
}

type Answers = FuturesUnordered<BoxFuture<'static, (u64, Answer)>>;

impl Sender {
    pub(super) async fn run(mut self) {
        while let RoundEnd::Failed(error) = self.round().await {
            self.recover(error).await;
        }
    }

    async fn round(&mut self) -> RoundEnd {
        if self.window.is_empty() {
            match self.lane.next_due(true).await {
                Some(batch) => self.window.take_in(batch),
                None => return RoundEnd::Finished,
            }
        }
        match self.prepare().await {
            Ok(link) => self.send_over(&link).await,
            Err(error) => RoundEnd::Failed(error),
        }
    }

    /// Makes sure that batches can be numbered and sent.
    async fn prepare(&mut self) -> Result<Arc<Link>, ApiError> {
        if self.window.needs_identity() {
            let place = (&self.lane.topic, self.lane.partition);
            let identity = self.identities.next(place, self.has_begun, self.deadline());
            self.window.adopt(identity.await.map_err(not_available)?);
            self.has_begun = true;
        }
        let (topic, partition) = (&self.lane.topic, self.lane.partition);
        match self.core.metadata.leader_address(topic, partition)? {
            Some(address) => self.links.get(&address),
            None => Err(ApiError::new(
                ErrorCode::LeaderNotAvailable,
                format!("no leader of {topic}/{partition} is known"),
            )),
        }
    }

    /// Sends until something fails or the lane ends.
    async fn send_over(&mut self, link: &Link) -> RoundEnd {
        let mut answers = Answers::new();
        let mut lane_has_ended = false;
        loop {
            if let Err(error) = self.send_waiting(link, &mut answers).await {
                return self.drain(answers, error).await;
            }
            if lane_has_ended && self.window.is_empty() {
                return RoundEnd::Finished;
            }
            tokio::select! {
                biased;
                Some((number, answer)) = answers.next() => {
                    if let Err(error) = self.on_answer(number, answer) {
                        return self.drain(answers, error).await;
                    }
                }
                batch = self.lane.next_due(self.window.is_empty()),
                    if self.window.has_room() && !lane_has_ended =>
                {
                    match batch {
                        Some(batch) => self.window.take_in(batch),
                        None => lane_has_ended = true,
                    }
                }
            }
        }
    }

    async fn send_waiting(&mut self, link: &Link, answers: &mut Answers) -> Result<(), ApiError> {
        while let Some((number, opened_at, batch)) = self.window.next_to_send() {
            match link.submit(self.request(opened_at, batch)).await {
                Ok(answer) => answers.push(Box::pin(async move {
                    (number, answer.await.unwrap_or_else(|_| Err(link_dropped())))
                })),
                Err(error) => return self.on_answer(number, Err(error)),
            }
        }
        self.publish();
        Ok(())
    }

    /// When the oldest batch is given up.
    fn deadline(&self) -> Instant {
        let oldest = self.window.oldest().unwrap_or_else(Instant::now);
        deadline::after(oldest, self.delivery_timeout)
    }

    /// How long a node may take to answer: if it says nothing, there shall be time to find another
    /// one before the batch is given up.
    fn time_for_answer(&self, opened_at: Instant) -> Duration {
        let given_up_at = deadline::after(opened_at, self.delivery_timeout);
        let left = given_up_at.saturating_duration_since(Instant::now());
        (left / 2).max(ANSWER_TIME_MIN).min(self.request_timeout)
    }

    fn request(&self, opened_at: Instant, batch: Bytes) -> v1::ProduceRequest {
        v1::ProduceRequest {
            correlation_id: 0,
            topic: self.lane.topic.to_string(),
            partition: Some(self.lane.partition.get()),
            timeout_ms: self.time_for_answer(opened_at).as_millis() as u32,
            no_forward: self.core.config.no_forward(),
            payload: Some(v1::produce_request::Payload::Batch(batch)),
        }
    }

    fn on_answer(&mut self, number: u64, answer: Answer) -> Result<(), ApiError> {
        let outcome = answer.as_ref().map(|_| ()).map_err(ApiError::clone);
        self.window.on_answer(number, answer);
        if outcome.is_ok() {
            self.failing_since = None;
            self.backoff.reset();
            self.publish();
        }
        outcome
    }

    /// Waits for what is in flight. What the head was refused with is what counts: what comes
    /// behind it may have been refused only because the head was.
    async fn drain(&mut self, mut answers: Answers, error: ApiError) -> RoundEnd {
        while let Some((number, answer)) = answers.next().await {
            self.window.on_answer(number, answer);
        }
        self.publish();
        RoundEnd::Failed(self.window.head_error().cloned().unwrap_or(error))
    }

    async fn recover(&mut self, error: ApiError) {
        let is_first_failure = self.failing_since.is_none();
        let failing_since = *self.failing_since.get_or_insert_with(Instant::now);
        let (topic, partition) = (&self.lane.topic, self.lane.partition);
        debug!(%topic, %partition, code = %error.code, message = error.message, "produce failed");

        let knows_leader = self.look_for_leader(&error, self.deadline()).await;
        let remedy = self.remedy(&error, failing_since);
        match remedy {
            Remedy::Retry => {}
            Remedy::StartOver => self.window.start_over(),
            Remedy::FailHead => {
                self.window.fail_head(|in_doubt| refusal(&error, in_doubt));
                if error.code == ErrorCode::OutOfOrderSequence && !self.window.needs_identity() {
                    self.window.start_over();
                }
            }
            Remedy::FailAll => {
                self.lane.end(error.clone().into());
                for batch in self.lane.take_opened_until(Instant::now()) {
                    self.window.take_in(batch);
                }
                self.window.fail_all(|in_doubt| refusal(&error, in_doubt));
            }
        }
        let had_batches = !self.window.is_empty();
        self.expire(&error);
        self.window.retry_all();
        self.publish();
        if had_batches && self.window.is_empty() && !knows_leader {
            // There may have been no time to ask. The next batch shall not meet the same node again.
            let limit = 2 * self.core.config.attempt_timeout;
            self.look_for_leader(&error, deadline::after(Instant::now(), limit))
                .await;
        }

        let may_go_on_at_once = knows_leader && is_first_failure;
        if !may_go_on_at_once && remedy != Remedy::FailHead && remedy != Remedy::FailAll {
            self.backoff.pause().await;
        }
    }

    /// Finds out who leads, if the failure has to do with that. Says whether a node has just told.
    async fn look_for_leader(&self, error: &ApiError, deadline: Instant) -> bool {
        let metadata = &self.core.metadata;
        if let Some(leader) = error.leader() {
            metadata.learn_leader(&self.lane.topic, self.lane.partition, leader);
            return true;
        }
        let is_about_leader = matches!(
            error.code,
            ErrorCode::Internal
                | ErrorCode::LeaderNotAvailable
                | ErrorCode::NotLeader
                | ErrorCode::ResultUnknown
                | ErrorCode::ShuttingDown
                | ErrorCode::Timeout
                | ErrorCode::UnknownPartition
                | ErrorCode::UnknownTopic
        );
        if is_about_leader && let Err(error) = metadata.refresh(metadata.version(), deadline).await
        {
            debug!(code = %error.code, message = error.message, "no node answers");
        }
        false
    }

    fn remedy(&self, error: &ApiError, failing_since: Instant) -> Remedy {
        let idempotent = self.window.is_idempotent();
        match error.code {
            ErrorCode::ProducerFenced => Remedy::FailAll,
            ErrorCode::UnknownProducer if idempotent && !self.window.head_may_be_applied() => {
                Remedy::StartOver
            }
            ErrorCode::UnknownTopic | ErrorCode::UnknownPartition => {
                let (topic, partition) = (&self.lane.topic, self.lane.partition);
                let is_known = (self.core.metadata.leader_address(topic, partition)).is_ok();
                if is_known || failing_since.elapsed() < UNKNOWN_TOPIC_PATIENCE {
                    Remedy::Retry
                } else {
                    Remedy::FailHead
                }
            }
            code if code.is_definite() && code.is_retryable() => Remedy::Retry,
            code if !code.is_definite() && idempotent => Remedy::Retry,
            _ => Remedy::FailHead,
        }
    }

    fn expire(&mut self, last: &ApiError) {
        let now = Instant::now();
        self.window.expire(now, last);
        // What is still in the lane is younger: it has its turn when the window has nothing left.
        if self.window.is_empty()
            && let Some(expired) = now.checked_sub(self.delivery_timeout)
        {
            for batch in self.lane.take_opened_until(expired) {
                self.window.take_in(batch);
            }
            self.window.expire(now, last);
        }
    }

    fn publish(&self) {
        self.lane.note_settled(self.window.settled_before());
    }
}

/// The error of a batch that a node does not want.
fn refusal(error: &ApiError, in_doubt: bool) -> ClientError {
    if in_doubt && error.code.is_definite() {
        return ClientError::Doubtful {
            last: error.clone(),
        };
    }
    error.clone().into()
}

/// Without an identity nothing can be sent, so nothing was.
fn not_available(error: ClientError) -> ApiError {
    match error {
        ClientError::Api(error) if error.code.is_definite() => error,
        ClientError::GaveUp { last, .. } => {
            ApiError::new(ErrorCode::LeaderNotAvailable, last.message)
        }
        error => ApiError::new(ErrorCode::LeaderNotAvailable, error.to_string()),
    }
}

fn link_dropped() -> ApiError {
    ApiError::new(ErrorCode::ResultUnknown, "the link to the node is gone")
}
