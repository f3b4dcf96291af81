//! `/v1/topics/{topic}/tail`: records as they come, as server-sent events.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use flotilla_client::{
    Client, Consumer, ConsumerConfig, ConsumerRecord, ErrorCode, Offset, OffsetSpec, OutOfRange,
    PartitionIndex, TopicName,
};
use futures::Stream;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::IntoParams;

use super::extract::{InPath, InQuery, Visitor, read_number};
use super::problem::{Problem, ProblemBody};
use super::publish::topic_name;
use super::record::RecordBody;
use super::records::read_place;
use super::state::HttpState;

const LAST_EVENT_ID: &str = "last-event-id";
/// A line that means nothing is sent after this long without a record, so that everybody on the way knows
/// that the connection is alive.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Fetched ahead of a reader, for all partitions together.
const PREFETCH_BYTES: usize = 1 << 20;
const FETCH_BYTES: usize = 256 << 10;

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct TailQuery {
    /// Number of a partition; by default all.
    #[param(minimum = 0)]
    partition: Option<u32>,
    /// Where to begin: `latest`, `earliest`, or an offset if a partition is named. By default `latest`.
    #[param(pattern = "^([0-9]{1,20}|earliest|latest)$")]
    from: Option<String>,
}

/// Follow a topic.
///
/// Server-sent events: each `record` event has a record as its data, and an id from which a browser goes
/// on by itself after a break (`Last-Event-ID`). An `error` event has a problem as its data and is the
/// last one.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/tail",
    tag = "records",
    params(
        ("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$"),
        TailQuery,
        ("Last-Event-ID" = Option<String>, Header, description = "The id of the last event that was seen"),
    ),
    responses(
        (status = 200, description = "The records, as they come", body = String, content_type = "text/event-stream"),
        (status = "default", description = "Nothing can be followed",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn tail(
    State(state): State<HttpState>,
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    InQuery(query): InQuery<TailQuery>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Problem> {
    let topic = topic_name(&topic)?;
    let turn = state.tails.clone().try_acquire_owned().map_err(|_| {
        let detail = format!("{} tails are open already", state.config.tails_max);
        Problem::of_code(ErrorCode::Overloaded, detail)
    })?;
    let tail = Tail::open(&door.client, topic, query, (&headers, turn)).await?;
    let events = futures::stream::unfold(Some(tail), Tail::next);
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

struct Tail {
    consumer: Consumer,
    positions: Positions,
    _turn: OwnedSemaphorePermit,
}

/// Where each partition goes on. As text it is an event's id: `0-17.1-4` is offset 17 of partition 0 and
/// offset 4 of partition 1.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Positions(BTreeMap<PartitionIndex, Offset>);

impl Tail {
    async fn open(
        client: &Client,
        topic: TopicName,
        query: TailQuery,
        (headers, turn): (&HeaderMap, OwnedSemaphorePermit),
    ) -> Result<Self, Problem> {
        let from = read_place(query.from.as_deref().unwrap_or("latest"))?;
        if matches!(from, OffsetSpec::Offset(_)) && query.partition.is_none() {
            return Err(Problem::invalid(
                "an offset belongs to a partition: name it as well",
            ));
        }
        let seen = match headers.get(LAST_EVENT_ID) {
            None => Positions::default(),
            Some(id) => Positions::parse(&String::from_utf8_lossy(id.as_bytes()))?,
        };
        let admin = client.admin();
        let partitions: Vec<_> = query
            .partition
            .map(PartitionIndex::new)
            .into_iter()
            .collect();
        let mut positions = Positions::default();
        // All of them, so that the first event says where each one goes on.
        let end_of_log = match from {
            OffsetSpec::Offset(_) => OffsetSpec::Latest,
            end => end,
        };
        for listed in admin.list_offsets(&topic, &partitions, end_of_log).await? {
            let offset = match (seen.0.get(&listed.partition), from) {
                (Some(offset), _) => *offset,
                (None, OffsetSpec::Offset(offset)) => no_later_than(offset, listed.offset?)?,
                (None, _) => listed.offset?,
            };
            positions.0.insert(listed.partition, offset);
        }
        let mut consumer = client.consumer(ConsumerConfig {
            out_of_range: OutOfRange::Earliest,
            prefetch_bytes: PREFETCH_BYTES,
            fetch_bytes: FETCH_BYTES,
            ..ConsumerConfig::default()
        })?;
        for (partition, offset) in &positions.0 {
            consumer.assign(&topic, *partition, OffsetSpec::Offset(*offset));
        }
        Ok(Self {
            consumer,
            positions,
            _turn: turn,
        })
    }

    /// The next event; after an error there is none.
    async fn next(tail: Option<Self>) -> Option<(Result<Event, Infallible>, Option<Self>)> {
        let mut tail = tail?;
        let (event, tail) = match tail.consumer.poll(1).await {
            Ok(mut records) => {
                let event = tail.on_record(records.pop()?);
                (event, Some(tail))
            }
            Err(error) => {
                let problem = Problem::from(error).into_body();
                (Event::default().event("error").json_data(problem), None)
            }
        };
        Some((Ok(event.expect("invariant: JSON has no line break")), tail))
    }

    fn on_record(&mut self, record: ConsumerRecord) -> Result<Event, axum::Error> {
        let next = record.offset.advance(1);
        self.positions.0.insert(record.partition, next);
        Event::default()
            .event("record")
            .id(self.positions.to_text())
            .json_data(RecordBody::from(record))
    }
}

fn no_later_than(offset: Offset, high_watermark: Offset) -> Result<Offset, Problem> {
    if offset <= high_watermark {
        return Ok(offset);
    }
    let detail =
        format!("the next record gets offset {high_watermark}: nothing is known of {offset}");
    Err(Problem::of_code(ErrorCode::OffsetOutOfRange, detail))
}

impl Positions {
    pub(super) fn to_text(&self) -> String {
        let positions = self.0.iter();
        let positions: Vec<_> = positions
            .map(|(partition, offset)| format!("{partition}-{offset}"))
            .collect();
        positions.join(".")
    }

    pub(super) fn parse(text: &str) -> Result<Self, Problem> {
        let parse = |part: &str| {
            let (partition, offset) = part.split_once('-')?;
            let partition = PartitionIndex::new(read_number(partition)?);
            Some((partition, Offset::new(read_number(offset)?)))
        };
        let positions = text.split('.').filter(|part| !part.is_empty()).map(parse);
        let positions: Option<_> = positions.collect();
        let refuse = || Problem::invalid("Last-Event-ID is not the id of an event of a tail");
        positions.map(Self).ok_or_else(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_event_says_where_every_partition_goes_on() {
        let positions = [(0, 17), (3, u64::MAX)];
        let positions = positions
            .map(|(partition, offset)| (PartitionIndex::new(partition), Offset::new(offset)));
        let positions = Positions(positions.into());
        assert_eq!(positions.to_text(), format!("0-17.3-{}", u64::MAX));
        let read = Positions::parse(&positions.to_text()).unwrap();
        assert_eq!(read, positions);
        assert!(Positions::parse("").unwrap().0.is_empty());
        for wrong in ["17", "0-", "-1", "0-1-2", "0-1,1-2", "a-b", "+0-1", "0-+1"] {
            assert!(Positions::parse(wrong).is_err(), "{wrong}");
        }
    }
}
