//! The task of one partition: keeps a fetch stream to the leader open and hands over what comes.

use std::sync::Arc;
use std::time::Duration;

use flotilla_protocol::{ApiError, FetchAnswers, OffsetSpec, v1};
use flotilla_types::{BatchError, ErrorCode, Offset, TopicId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::config::{ConsumerConfig, OutOfRange, Until};
use super::fetched::{Assignment, Batches, Event, Fetched};
use crate::backoff::Backoff;
use crate::channels::read_status;
use crate::client::Core;
use crate::deadline;
use crate::fetch;
use crate::metadata::UNKNOWN_TOPIC_PATIENCE;
use crate::{ClientError, PartitionName};

/// A node that follows for us says something at least this often, or four times in the time after
/// which the consumer wants to hear of trouble. After twice as long the stream counts as broken.
const SILENCE_MAX: Duration = Duration::from_secs(5);
const SILENCE_MIN: Duration = Duration::from_millis(100);
/// A look-up gets at least this long.
const LOOK_UP_MIN: Duration = Duration::from_millis(250);

pub(super) struct Fetcher {
    pub(super) core: Arc<Core>,
    pub(super) config: ConsumerConfig,
    pub(super) source: PartitionName,
    pub(super) assignment: Assignment,
    /// Of the topic that is read: another one of its name is another log. Known once it was looked up.
    pub(super) topic_id: Option<TopicId>,
    /// Where to go on.
    pub(super) position: OffsetSpec,
    /// Where to stop, once that is known.
    pub(super) end: Option<Offset>,
    pub(super) output: mpsc::Sender<Fetched>,
    pub(super) budget: Arc<Semaphore>,
    pub(super) backoff: Backoff,
    /// When the first attempt failed since something came.
    pub(super) failing_since: Option<Instant>,
    /// When something came last, or trouble was last spoken of.
    pub(super) quiet_since: Instant,
}

/// Why a stream ended other than by reaching its bound.
enum Break {
    /// The node said so, or the link broke.
    Failed(ApiError),
    /// A batch that was received is not sound.
    Unsound(BatchError),
    /// Nobody wants the records any more.
    ConsumerGone,
}

impl From<ApiError> for Break {
    fn from(error: ApiError) -> Self {
        Self::Failed(error)
    }
}

impl Fetcher {
    pub(super) async fn run(mut self) {
        let end = loop {
            match self.fetch().await {
                Ok(()) => break None,
                Err(Break::ConsumerGone) => return,
                Err(Break::Unsound(error)) => break Some(error.into()),
                Err(Break::Failed(error)) => match self.recover(error).await {
                    Ok(()) => {}
                    Err(Break::Failed(error)) => break Some(error.into()),
                    Err(Break::Unsound(error)) => break Some(error.into()),
                    Err(Break::ConsumerGone) => return,
                },
            }
        };
        // It fails when the consumer is gone.
        let _ = self.hand_over(Event::End(end)).await;
    }

    /// Fetches until the bound is reached.
    async fn fetch(&mut self) -> Result<(), Break> {
        let (address, mut answers) = self.open().await?;
        loop {
            let answer = timeout(2 * self.silence_max(), answers.message()).await;
            match answer {
                Ok(Ok(Some(answer))) => self.on_answer(answer).await?,
                Ok(Ok(None)) if self.has_reached_end() => return Ok(()),
                Ok(Ok(None)) => return Err(broken("the node closed the stream")),
                Ok(Err(status)) => return Err(read_status(&address, &status).into()),
                Err(_) => return Err(broken("the node has fallen silent")),
            }
        }
    }

    /// Opens the stream, and says to which node.
    async fn open(&mut self) -> Result<(String, FetchAnswers), ApiError> {
        let PartitionName { topic, partition } = &self.source;
        let metadata = &self.core.metadata;
        let view = metadata.topic(topic, self.look_up_deadline()).await;
        let id = view.map_err(ClientError::into_api_error)?.id();
        if *self.topic_id.get_or_insert(id) != id {
            return Err(ApiError::new(
                ErrorCode::UnknownTopic,
                format!("topic {topic} was deleted and created again: assign it anew"),
            ));
        }
        let Some(address) = metadata.leader_address(topic, *partition)? else {
            return Err(ApiError::new(
                ErrorCode::LeaderNotAvailable,
                format!("no leader of {topic}/{partition} is known"),
            ));
        };
        let channel = self
            .core
            .channels
            .get(&address)
            .map_err(ClientError::into_api_error)?;
        match timeout(
            2 * self.silence_max(),
            fetch::open(channel, &self.request()),
        )
        .await
        {
            Ok(Ok(answers)) => Ok((address, answers)),
            Ok(Err(status)) => Err(read_status(&address, &status)),
            Err(_) => Err(ApiError::new(
                ErrorCode::Timeout,
                format!("node {address} does not answer"),
            )),
        }
    }

    fn request(&self) -> v1::FetchRequest {
        let follow = match self.config.until {
            Until::Forever => true,
            Until::HighWatermark => false,
        };
        v1::FetchRequest {
            topic: self.source.topic.to_string(),
            topic_id: self.topic_id.map(TopicId::get),
            partition: self.source.partition.get(),
            start: Some(self.position.into()),
            max_bytes: self.config.fetch_bytes as u32,
            max_wait_ms: if follow {
                self.silence_max().as_millis() as u32
            } else {
                0
            },
            follow,
            end_offset: self.end.map(Offset::get),
            max_records: None,
            no_forward: self.core.config.no_forward(),
        }
    }

    fn silence_max(&self) -> Duration {
        (self.config.retry_timeout / 4).clamp(SILENCE_MIN, SILENCE_MAX)
    }

    /// How long a look-up may take: until the consumer wants to hear of trouble.
    fn look_up_deadline(&self) -> Instant {
        let trouble_at = deadline::after(self.quiet_since, self.config.retry_timeout);
        trouble_at.max(Instant::now() + LOOK_UP_MIN)
    }

    fn has_reached_end(&self) -> bool {
        match (self.position, self.end) {
            (OffsetSpec::Offset(position), Some(end)) => position >= end,
            _ => false,
        }
    }

    async fn on_answer(&mut self, answer: v1::FetchResponse) -> Result<(), Break> {
        self.failing_since = None;
        self.backoff.reset();
        if self.config.until == Until::HighWatermark && self.end.is_none() {
            self.end = Some(Offset::new(answer.high_watermark));
        }
        let start = Offset::new(answer.start_offset);
        if !matches!(self.position, OffsetSpec::Offset(_)) {
            self.hand_over(Event::Located(start)).await?;
        }
        let bytes = answer.batches.len();
        let batches = fetch::read_batches(answer.batches).map_err(Break::Unsound)?;
        if !batches.is_empty() {
            let batches = Batches {
                batches,
                start,
                end: self.end,
                _room: self.reserve(bytes).await,
            };
            self.hand_over(Event::Batches(batches)).await?;
        }
        self.position = OffsetSpec::Offset(Offset::new(answer.next_offset));
        // Not before: the consumer may have taken its time.
        self.quiet_since = Instant::now();
        Ok(())
    }

    /// Waits for room in the prefetch budget. An answer that is larger than it takes all of it.
    async fn reserve(&self, bytes: usize) -> OwnedSemaphorePermit {
        let bytes = bytes.min(self.config.prefetch_bytes) as u32;
        Arc::clone(&self.budget)
            .acquire_many_owned(bytes)
            .await
            .expect("the budget's semaphore is never closed")
    }

    async fn hand_over(&self, event: Event) -> Result<(), Break> {
        let fetched = Fetched {
            source: self.source.clone(),
            assignment: self.assignment,
            event,
        };
        let sent = self.output.send(fetched).await;
        sent.map_err(|_| Break::ConsumerGone)
    }

    /// Makes ready for the next attempt, or returns the error if none can help.
    async fn recover(&mut self, error: ApiError) -> Result<(), Break> {
        let PartitionName { topic, partition } = &self.source;
        debug!(%topic, %partition, code = %error.code, message = error.message, "fetch failed");
        if error.code == ErrorCode::OffsetOutOfRange {
            self.position = match self.config.out_of_range {
                OutOfRange::Fail => return Err(error.into()),
                OutOfRange::Earliest => OffsetSpec::Earliest,
                OutOfRange::Latest => OffsetSpec::Latest,
            };
            return Ok(());
        }
        let metadata = &self.core.metadata;
        match error.leader() {
            Some(leader) => metadata.learn_leader(topic, *partition, leader),
            // The error of the look-up is of the same kind, and the next attempt finds it.
            None => {
                let version = metadata.version();
                drop(metadata.refresh(version, self.look_up_deadline()).await);
            }
        }
        let may_pass = match error.code {
            ErrorCode::UnknownTopic | ErrorCode::UnknownPartition => {
                let is_known = metadata.leader_address(topic, *partition).is_ok()
                    && metadata.topic_id(topic) == self.topic_id;
                let failing_for = (self.failing_since).map_or(Duration::ZERO, |at| at.elapsed());
                is_known || failing_for < UNKNOWN_TOPIC_PATIENCE
            }
            code => code.is_retryable(),
        };
        if !may_pass {
            return Err(error.into());
        }
        self.note_trouble(error).await
    }

    /// Tells the consumer about trouble that has lasted, and waits before the next attempt.
    async fn note_trouble(&mut self, error: ApiError) -> Result<(), Break> {
        let now = Instant::now();
        let is_first = self.failing_since.is_none();
        self.failing_since.get_or_insert(now);
        let knows_leader = error.leader().is_some();
        let waited = now.saturating_duration_since(self.quiet_since);
        if waited >= self.config.retry_timeout {
            self.quiet_since = now;
            self.hand_over(Event::Trouble(ClientError::GaveUp {
                waited,
                definite: true,
                last: error,
            }))
            .await?;
        }
        if !(is_first && knows_leader) {
            self.backoff.pause().await;
        }
        Ok(())
    }
}

fn broken(message: &str) -> Break {
    Break::Failed(ApiError::new(ErrorCode::ResultUnknown, message))
}
