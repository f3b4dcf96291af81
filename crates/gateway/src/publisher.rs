//! Publishes for many callers at once: what they send one by one travels together.
//!
//! ```text
//!   publish ─┬─ a producer: batches with a sequence, repeated without harm
//!            └─ with a message id, or to a topic with a schema: a lane for each partition. One request at
//!               a time, and whatever came in the meantime goes with the next
//! ```
//!
//! A batch that is refused may have been so on account of one of its records, which is nothing to the
//! others. A lane sends it again in parts, in order. A producer has gone on with later batches by then, so
//! where records may well be refused there are lanes; what else is refused is sent alone.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use flotilla_client::{
    ApiError, Client, ClientError, Delivery, ErrorCode, PartitionName, Producer, ProducerConfig,
    Publication, Published,
};
use flotilla_types::limits;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// How long a batch waits for more records while another one of its partition is on its way.
const LINGER: Duration = Duration::from_millis(1);
/// Publications that wait for the request before theirs, for each partition.
const WAITING_MAX: usize = 10_000;
/// Publications in one request.
const TOGETHER_MAX: usize = 1_000;

type Outcome = Result<Published, ClientError>;

/// Cheap to clone; clones share everything.
#[derive(Clone)]
pub(crate) struct Publisher {
    client: Client,
    producer: Producer,
    lanes: Arc<Lanes>,
}

/// A publication that is on its way. What becomes of it does not depend on whether anybody asks.
pub(crate) struct Submitted {
    /// Kept until the outcome is known: what a publisher has not sent ends with it.
    publisher: Publisher,
    way: Way,
}

enum Way {
    Batched {
        delivery: Delivery,
        /// To be sent alone, if its batch is refused.
        publication: Box<Publication>,
    },
    Waiting(oneshot::Receiver<Outcome>),
}

/// Those with an id may be sent again when nobody knows what came of them, if all of a request have one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Lane {
    partition: PartitionName,
    is_identified: bool,
}

#[derive(Default)]
struct Lanes {
    waiting: Mutex<HashMap<Lane, Vec<Waiting>>>,
    /// One task for each partition that something waits for.
    senders: Mutex<JoinSet<()>>,
}

struct Waiting {
    publication: Publication,
    answer: oneshot::Sender<Outcome>,
}

impl Publisher {
    /// `limit` is how long a record is tried.
    pub(crate) fn new(client: Client, limit: Duration) -> Result<Self, ClientError> {
        let longest = Duration::from_millis(limits::PRODUCE_TIMEOUT_MS_MAX.into());
        let producer = client.producer(ProducerConfig {
            linger: LINGER,
            request_timeout: limit.min(longest),
            delivery_timeout: limit,
            ..ProducerConfig::default()
        })?;
        Ok(Self {
            client,
            producer,
            lanes: Arc::default(),
        })
    }

    /// Writes one record.
    pub(crate) async fn publish(&self, publication: Publication) -> Outcome {
        self.submit(publication).await?.outcome().await
    }

    /// Takes a record in. Those of one caller for one partition are stored in the order in which they
    /// were taken in.
    pub(crate) async fn submit(&self, publication: Publication) -> Result<Submitted, ClientError> {
        let topic = &publication.record.topic;
        if publication.message_id.is_some() || self.client.has_schema(topic).await? {
            let answer = self.wait_in_lane(publication).await?;
            return Ok(self.submitted(Way::Waiting(answer)));
        }
        let delivery = self.producer.send(publication.record.clone()).await?;
        Ok(self.submitted(Way::Batched {
            delivery,
            publication: Box::new(publication),
        }))
    }

    fn submitted(&self, way: Way) -> Submitted {
        Submitted {
            publisher: self.clone(),
            way,
        }
    }

    async fn wait_in_lane(
        &self,
        mut publication: Publication,
    ) -> Result<oneshot::Receiver<Outcome>, ClientError> {
        let partition = self.client.partition_of(&publication).await?;
        publication.record.partition = Some(partition);
        let lane = Lane {
            partition: PartitionName::new(publication.record.topic.clone(), partition),
            is_identified: publication.message_id.is_some(),
        };
        let (answer, outcome) = oneshot::channel();
        let mut waiting = self.lanes.waiting.lock();
        let is_new = !waiting.contains_key(&lane);
        let in_lane = waiting.entry(lane.clone()).or_default();
        if in_lane.len() >= WAITING_MAX {
            return Err(overloaded(&lane.partition));
        }
        in_lane.push(Waiting {
            publication,
            answer,
        });
        drop(waiting);
        if is_new {
            let mut senders = self.lanes.senders.lock();
            while senders.try_join_next().is_some() {}
            senders.spawn(send_waiting(
                self.client.clone(),
                Arc::downgrade(&self.lanes),
                lane,
            ));
        }
        Ok(outcome)
    }
}

fn overloaded(name: &PartitionName) -> ClientError {
    let message =
        format!("{WAITING_MAX} publications wait for {name} already: try again in a moment");
    ApiError::new(ErrorCode::Overloaded, message).into()
}

/// Sends what waits for a partition, until nothing does.
async fn send_waiting(client: Client, lanes: Weak<Lanes>, lane: Lane) {
    loop {
        let Some(lanes) = lanes.upgrade() else { return };
        let together = {
            let mut waiting = lanes.waiting.lock();
            let Some(in_lane) = waiting.get_mut(&lane) else {
                return;
            };
            if in_lane.is_empty() {
                waiting.remove(&lane);
                return;
            }
            let count = in_lane.len().min(TOGETHER_MAX);
            in_lane.drain(..count).collect::<Vec<_>>()
        };
        drop(lanes);
        let (publications, answers): (Vec<_>, Vec<_>) = together
            .into_iter()
            .map(|one| (one.publication, one.answer))
            .unzip();
        let outcomes = client.publish(publications).await;
        for (answer, outcome) in answers.into_iter().zip(outcomes) {
            // It fails when the caller has gone.
            let _ = answer.send(outcome);
        }
    }
}

impl Submitted {
    pub(crate) async fn outcome(self) -> Outcome {
        match self.way {
            Way::Waiting(outcome) => outcome.await.unwrap_or_else(|_| Err(closed())),
            Way::Batched {
                delivery,
                publication,
            } => match delivery.await {
                Ok(delivered) => Ok(Published {
                    partition: delivered.partition,
                    offset: delivered.offset,
                    duplicate: false,
                }),
                Err(error) if error.is_definite() && error.code().concerns_a_record() => {
                    let mut outcomes = self.publisher.client.publish(vec![*publication]).await;
                    outcomes.pop().unwrap_or(Err(error))
                }
                // What was refused is a batch, and the reason may be about a record of somebody else.
                Err(error) if error.code().concerns_a_record() => Err(doubtful()),
                Err(error) => Err(error),
            },
        }
    }
}

fn doubtful() -> ClientError {
    let message = "the leader changed, and nobody knows whether the record was stored before";
    ApiError::new(ErrorCode::ResultUnknown, message).into()
}

fn closed() -> ClientError {
    ClientError::Closed {
        what: "publisher",
        definite: false,
    }
}
