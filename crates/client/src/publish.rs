//! Records that are written one by one: each may have a message id, and each gets an answer.
//!
//! Those of one partition go in one request, and a node packs them. It cannot tell a repetition from a
//! new request, except by message ids: only requests in which every record has one are sent again when
//! nobody knows what came of them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use flotilla_protocol::v1::produce_client::ProduceClient;
use flotilla_protocol::v1::produce_request::Payload;
use flotilla_protocol::{ApiError, v1};
use flotilla_types::{BatchError, MessageId, Offset, PartitionIndex, TopicName, limits};
use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::client::{Core, Repeat, within};
use crate::{ClientError, ProducerRecord};

/// A record with what keeps it from being stored twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub record: ProducerRecord,
    pub message_id: Option<String>,
}

/// Where a published record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Published {
    pub partition: PartitionIndex,
    pub offset: Offset,
    /// A record with the same message id had been stored before, and this is where.
    pub duplicate: bool,
}

impl Publication {
    /// A record without a message id.
    pub fn new(record: ProducerRecord) -> Self {
        Self {
            record,
            message_id: None,
        }
    }

    /// Of all records with this id in a partition only the first is stored, for as long as the topic's
    /// `deduplication_window_ms` says. 1 to 256 bytes. A record without a key goes to the partition of its
    /// id.
    #[must_use]
    pub fn message_id(mut self, id: impl Into<String>) -> Self {
        self.message_id = Some(id.into());
        self
    }

    /// What picks the partition, unless it is named.
    fn routed_by(&self) -> Option<&[u8]> {
        let id = self.message_id.as_ref().map(String::as_bytes);
        self.record.key.as_deref().or(id)
    }

    fn into_message(self) -> v1::Record {
        let headers = self.record.headers.into_iter();
        v1::Record {
            key: self.record.key,
            value: self.record.value,
            headers: headers.map(v1::Header::from).collect(),
            timestamp_ms: self.record.timestamp.map(|time| time.as_millis()),
            message_id: self.message_id,
        }
    }
}

type Outcome = Result<Published, ClientError>;

pub(crate) async fn publish(core: &Core, publications: Vec<Publication>) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = Vec::new();
    let mut requests: BTreeMap<(TopicName, PartitionIndex), Vec<(usize, Publication)>> =
        BTreeMap::new();
    for (number, publication) in publications.into_iter().enumerate() {
        match choose_partition(core, &publication).await {
            Ok(partition) => {
                let key = (publication.record.topic.clone(), partition);
                requests.entry(key).or_default().push((number, publication));
                outcomes.push(None);
            }
            Err(error) => outcomes.push(Some(Err(error))),
        }
    }
    let mut sending: FuturesUnordered<_> = requests
        .into_iter()
        .map(|((topic, partition), publications)| {
            send_in_order(core, topic, partition, in_parts(publications))
        })
        .collect();
    while let Some(answers) = sending.next().await {
        for (number, outcome) in answers {
            if let Some(place) = outcomes.get_mut(number) {
                *place = Some(outcome);
            }
        }
    }
    let missing = || Err(ClientError::missing("the place of a record"));
    outcomes
        .into_iter()
        .map(|outcome| outcome.unwrap_or_else(missing))
        .collect()
}

pub(crate) async fn choose_partition(
    core: &Core,
    publication: &Publication,
) -> Result<PartitionIndex, ClientError> {
    if let Some(id) = &publication.message_id {
        MessageId::check(id).map_err(|error| ClientError::invalid(error.to_string()))?;
    }
    if publication.bytes() > limits::RECORD_BYTES_MAX {
        let (bytes, bytes_max) = (publication.bytes(), limits::RECORD_BYTES_MAX);
        return Err(BatchError::TooLarge { bytes, bytes_max }.into());
    }
    let topic = &publication.record.topic;
    let view = core.metadata.topic(topic, core.deadline()).await?;
    let routed_by = publication.routed_by();
    let placed = view.place(topic, publication.record.partition, routed_by)?;
    Ok(placed.unwrap_or_else(|| view.any_partition()))
}

impl Publication {
    /// About what it takes in a request.
    fn bytes(&self) -> usize {
        self.record.bytes() + self.message_id.as_ref().map_or(0, String::len)
    }
}

/// Parts that each fit into one batch.
fn in_parts(publications: Vec<(usize, Publication)>) -> Vec<Vec<(usize, Publication)>> {
    let mut parts: Vec<Vec<_>> = Vec::new();
    let mut room = 0;
    for (number, publication) in publications {
        let bytes = publication.bytes();
        match parts.last_mut() {
            Some(part) if bytes <= room && part.len() < limits::BATCH_RECORDS_MAX => {
                room -= bytes;
                part.push((number, publication));
            }
            _ => {
                room = limits::RECORD_BYTES_MAX.saturating_sub(bytes);
                parts.push(vec![(number, publication)]);
            }
        }
    }
    parts
}

/// Sends one part after the other. One that is refused as a whole may have been so on account of one of
/// its records: then it is sent in halves.
async fn send_in_order(
    core: &Core,
    topic: TopicName,
    partition: PartitionIndex,
    parts: Vec<Vec<(usize, Publication)>>,
) -> Vec<(usize, Outcome)> {
    let mut outcomes = Vec::new();
    let mut waiting: VecDeque<_> = parts.into();
    while let Some(mut part) = waiting.pop_front() {
        let records = part.iter().map(|(_, publication)| publication.clone());
        let answer = send(core, (&topic, partition), records.collect()).await;
        let may_be_one =
            |error: &ClientError| error.is_definite() && error.code().concerns_a_record();
        if part.len() > 1 && answer.as_ref().is_err_and(may_be_one) {
            let second_half = part.split_off(part.len() / 2);
            waiting.push_front(second_half);
            waiting.push_front(part);
            continue;
        }
        let numbers = part.into_iter().map(|(number, _)| number);
        outcomes.extend(numbers.zip(0_u32..).map(|(number, position)| {
            let outcome = answer.clone();
            (
                number,
                outcome.and_then(|answer| published(&answer, partition, position)),
            )
        }));
    }
    outcomes
}

async fn send(
    core: &Core,
    (topic, partition): (&TopicName, PartitionIndex),
    publications: Vec<Publication>,
) -> Result<v1::ProduceResponse, ClientError> {
    let all_identified = publications.iter().all(|one| one.message_id.is_some());
    let repeat = match all_identified {
        true => Repeat::Always,
        false => Repeat::IfDefinite,
    };
    let records = publications.into_iter().map(Publication::into_message);
    let records = v1::PlainRecords {
        records: records.collect(),
    };
    let deadline = core.deadline();
    let doubts = Arc::new(AtomicU32::new(0));
    let call = |channel, limit: std::time::Duration| {
        let limit_ms = limit
            .as_millis()
            .clamp(1, limits::PRODUCE_TIMEOUT_MS_MAX.into());
        let request = v1::ProduceRequest {
            topic: topic.to_string(),
            partition: Some(partition.get()),
            timeout_ms: limit_ms as u32,
            payload: Some(Payload::Records(records.clone())),
            ..v1::ProduceRequest::default()
        };
        let request = within(limit, request);
        let doubts = doubts.clone();
        async move {
            // Until it is answered that nothing happened, also if nobody waits for that any more.
            doubts.fetch_add(1, Ordering::Relaxed);
            let answer = ProduceClient::new(channel).produce(request).await;
            if let Err(status) = &answer
                && ApiError::from(status.clone()).code.is_definite()
            {
                doubts.fetch_sub(1, Ordering::Relaxed);
            }
            answer
        }
    };
    let answer = core.call_until(deadline, repeat, call).await;
    answer.map_err(|error| match doubts.load(Ordering::Relaxed) {
        0 => error,
        _ => in_doubt(error),
    })
}

/// The error after attempts of which one may have been applied.
fn in_doubt(error: ClientError) -> ClientError {
    match error {
        ClientError::GaveUp { waited, last, .. } => ClientError::GaveUp {
            waited,
            definite: false,
            last,
        },
        ClientError::Api(last) if last.code.is_definite() => ClientError::Doubtful { last },
        error => error,
    }
}

fn published(answer: &v1::ProduceResponse, partition: PartitionIndex, position: u32) -> Outcome {
    let (offset, duplicate) = match answer.records.get(position as usize) {
        Some(place) => (Offset::new(place.offset), place.duplicate),
        None if answer.records.is_empty() => {
            let base_offset = Offset::new(answer.base_offset);
            (base_offset.advance(position.into()), answer.duplicate)
        }
        None => return Err(ClientError::missing("the place of a record")),
    };
    Ok(Published {
        partition,
        offset,
        duplicate,
    })
}
