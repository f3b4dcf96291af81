//! `/v1/topics/{topic}/records`: many records in, each with an answer of its own, and records out.

use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use flotilla_client::{FetchOptions, Offset, OffsetSpec, PartitionIndex, TopicName};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::{IntoParams, ToSchema};

use super::at_most::AtMost;
use super::extract::{InPath, InQuery, Visitor, media_type, read_number, read_object};
use super::problem::{Problem, ProblemBody, ProblemCode};
use super::publish::{PublishedBody, topic_name};
use super::record::{NewRecord, RecordBody, read_time};
use super::state::HttpState;
use crate::door::Door;
use crate::publisher::Submitted;

const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
/// Most records in one request.
const RECORDS_MAX: usize = 10_000;
/// Most records in one answer.
const FETCH_RECORDS_MAX: usize = 10_000;
const FETCH_RECORDS_DEFAULT: usize = 100;
const FETCH_WAIT_MS_MAX: u64 = 30_000;

/// What became of one record of a request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum OutcomeBody {
    Published(PublishedBody),
    Problem(ProblemBody),
}

/// What became of the records of a request, in their order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OutcomesBody {
    /// How many of them are stored.
    published: usize,
    outcomes: Vec<OutcomeBody>,
}

/// Publish many records.
///
/// A JSON array of records, or one record on each line (NDJSON, `application/x-ndjson`); at most 10,000.
/// Each record gets an answer of its own, in the order of the request and in the same form: 200 if all are
/// stored, 207 if some are not. Records for the same partition are stored in the order of the request.
#[utoipa::path(
    post,
    path = "/v1/topics/{topic}/records",
    tag = "records",
    params(("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$")),
    request_body(content(
        (Vec<NewRecord> = "application/json"),
        (String = "application/x-ndjson"),
    )),
    responses(
        (status = 200, description = "All records are stored", content(
            (OutcomesBody = "application/json"),
            (String = "application/x-ndjson"),
        )),
        (status = 207, description = "Some records are not stored", content(
            (OutcomesBody = "application/json"),
            (String = "application/x-ndjson"),
        )),
        (status = "default", description = "No record is stored",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn publish_many(
    State(state): State<HttpState>,
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let topic = topic_name(&topic)?;
    let is_ndjson = match media_type(&headers).as_deref() {
        None | Some(JSON) => false,
        Some(NDJSON | "application/jsonl") => true,
        Some(_) => {
            let detail = format!("send {JSON} or {NDJSON}");
            return Err(Problem::new(ProblemCode::UnsupportedMediaType, detail));
        }
    };
    let max = (
        state.config.body_bytes_max,
        "http.body_bytes_max of the node",
    );
    let body = state.bodies.read(&headers, body, max).await?;
    let records = match is_ndjson {
        true => split_lines(&body.bytes)?,
        false => split_array(&body.bytes)?,
    };
    let outcomes = publish_in_order(&door, &topic, records).await;
    Ok(answer(outcomes, is_ndjson))
}

/// The records of an array, as they are written.
pub(super) fn split_array(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let AtMost::<&RawValue, RECORDS_MAX>(records) = serde_json::from_slice(body)
        .map_err(|error| Problem::invalid(format!("body: {error}; send an array of records")))?;
    let records = records.into_iter().map(|text| text.get().as_bytes());
    check_count(records.collect())
}

/// The records of NDJSON, as they are written.
pub(super) fn split_lines(body: &[u8]) -> Result<Vec<&[u8]>, Problem> {
    let lines = body.split(|byte| *byte == b'\n');
    let lines = lines.filter(|line| !line.trim_ascii().is_empty());
    // One more than may be there tells that there are too many.
    check_count(lines.take(RECORDS_MAX + 1).collect())
}

fn check_count(records: Vec<&[u8]>) -> Result<Vec<&[u8]>, Problem> {
    match records.len() {
        1..=RECORDS_MAX => Ok(records),
        0 => Err(Problem::invalid(format!(
            "a request has 1 to {RECORDS_MAX} records, this one has none"
        ))),
        _ => Err(Problem::invalid(format!(
            "a request has 1 to {RECORDS_MAX} records, this one has more"
        ))),
    }
}

pub(super) fn read_record(text: &[u8]) -> Result<NewRecord, Problem> {
    read_object("record", text)
}

async fn publish_in_order(door: &Door, topic: &TopicName, records: Vec<&[u8]>) -> Vec<OutcomeBody> {
    let mut submitted = Vec::with_capacity(records.len());
    // Each is read when it is its turn: read, it takes more memory than written.
    for record in records {
        submitted.push(submit(door, topic, record).await);
    }
    let mut outcomes = Vec::with_capacity(submitted.len());
    for one in submitted {
        outcomes.push(match one {
            Ok((id, submitted)) => match submitted.outcome().await {
                Ok(published) => OutcomeBody::Published(PublishedBody::new(id, topic, published)),
                Err(error) => OutcomeBody::Problem(Problem::from(error).into_body()),
            },
            Err(problem) => OutcomeBody::Problem(problem.into_body()),
        });
    }
    outcomes
}

async fn submit(
    door: &Door,
    topic: &TopicName,
    record: &[u8],
) -> Result<(String, Submitted), Problem> {
    let (id, publication) = read_record(record)?.into_publication(topic.clone())?;
    Ok((id, door.publisher.submit(publication).await?))
}

fn answer(outcomes: Vec<OutcomeBody>, is_ndjson: bool) -> Response {
    let is_published = |outcome: &&OutcomeBody| matches!(outcome, OutcomeBody::Published(_));
    let published = outcomes.iter().filter(is_published).count();
    let status = match published == outcomes.len() {
        true => StatusCode::OK,
        false => StatusCode::MULTI_STATUS,
    };
    if !is_ndjson {
        let body = OutcomesBody {
            published,
            outcomes,
        };
        return (status, Json(body)).into_response();
    }
    let mut lines = Vec::new();
    for outcome in &outcomes {
        serde_json::to_writer(&mut lines, outcome).expect("invariant: an outcome is JSON");
        lines.push(b'\n');
    }
    let mut response = (status, lines).into_response();
    let kind = HeaderValue::from_static(NDJSON);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// What to read.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct FetchQuery {
    /// Number of the partition; by default 0.
    #[param(minimum = 0)]
    partition: Option<u32>,
    /// Where to begin: an offset, `earliest` or `latest`. By default `earliest`.
    #[param(pattern = "^([0-9]{1,20}|earliest|latest)$")]
    offset: Option<String>,
    /// Where to begin: the first record that is not older, as RFC 3339 or in milliseconds since 1970. Not
    /// together with `offset`.
    time: Option<String>,
    /// Most records, 1 to 10,000; by default 100.
    #[param(minimum = 1, maximum = 10_000)]
    limit: Option<usize>,
    /// Most bytes of keys, values and headers, 1 to 8,388,608; by default 1,048,576. One record comes
    /// however large it is.
    #[param(minimum = 1, maximum = 8_388_608)]
    max_bytes: Option<usize>,
    /// How long to wait for the first record when there is none, in milliseconds, up to 30,000; by default
    /// not at all.
    #[param(minimum = 0, maximum = 30_000)]
    wait_ms: Option<u64>,
}

/// Records of one partition.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FetchedBody {
    topic: String,
    #[schema(minimum = 0)]
    partition: u32,
    /// The offset that the start stands for.
    #[schema(minimum = 0)]
    start_offset: u64,
    /// Where to go on.
    #[schema(minimum = 0)]
    next_offset: u64,
    /// The first offset that can be read.
    #[schema(minimum = 0)]
    log_start_offset: u64,
    /// All offsets below it can be read.
    #[schema(minimum = 0)]
    high_watermark: u64,
    records: Vec<RecordBody>,
}

/// Read records of a partition.
///
/// It keeps no position: ask again with `offset` set to the answer's `next_offset`. With `wait_ms` it waits
/// at the end of the log for a record.
#[utoipa::path(
    get,
    path = "/v1/topics/{topic}/records",
    tag = "records",
    params(
        ("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$"),
        FetchQuery,
    ),
    responses(
        (status = 200, description = "The records that are there", body = FetchedBody),
        (status = "default", description = "Nothing can be read",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn fetch(
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    InQuery(query): InQuery<FetchQuery>,
) -> Result<Json<FetchedBody>, Problem> {
    let topic = topic_name(&topic)?;
    let options = query.options(topic.clone())?;
    let partition = options.partition;
    let fetched = door.client.fetch(options).await?;
    Ok(Json(FetchedBody {
        topic: topic.to_string(),
        partition: partition.get(),
        start_offset: fetched.start.get(),
        next_offset: fetched.next.get(),
        log_start_offset: fetched.log_start.get(),
        high_watermark: fetched.high_watermark.get(),
        records: fetched.records.into_iter().map(RecordBody::from).collect(),
    }))
}

impl FetchQuery {
    pub(super) fn options(self, topic: TopicName) -> Result<FetchOptions, Problem> {
        let start = match (self.offset, self.time) {
            (Some(_), Some(_)) => return Err(Problem::invalid("offset and time: give one")),
            (Some(text), None) => read_place(&text)?,
            (None, Some(text)) => OffsetSpec::Timestamp(read_time(&text)?),
            (None, None) => OffsetSpec::Earliest,
        };
        let partition = PartitionIndex::new(self.partition.unwrap_or(0));
        let mut options = FetchOptions::new(topic, partition, start);
        options.records_max = self.limit.unwrap_or(FETCH_RECORDS_DEFAULT);
        if !(1..=FETCH_RECORDS_MAX).contains(&options.records_max) {
            return Err(Problem::invalid(format!(
                "limit is 1 to {FETCH_RECORDS_MAX}"
            )));
        }
        options.bytes_max = self.max_bytes.unwrap_or(options.bytes_max);
        let wait_ms = self.wait_ms.unwrap_or(0);
        if wait_ms > FETCH_WAIT_MS_MAX {
            return Err(Problem::invalid(format!(
                "wait_ms is 0 to {FETCH_WAIT_MS_MAX}"
            )));
        }
        options.wait = Duration::from_millis(wait_ms);
        Ok(options)
    }
}

/// Reads an offset, or the word for an end of the log.
pub(crate) fn read_place(text: &str) -> Result<OffsetSpec, Problem> {
    match text {
        "earliest" => Ok(OffsetSpec::Earliest),
        "latest" => Ok(OffsetSpec::Latest),
        number => match read_number(number) {
            Some(offset) => Ok(OffsetSpec::Offset(Offset::new(offset))),
            None => Err(Problem::invalid(format!(
                "{number:?} is not an offset: write a number, earliest or latest"
            ))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_an_offset_or_a_word() {
        let last = Offset::new(u64::MAX);
        let read = |text: &str| read_place(text).ok();
        assert_eq!(read("18446744073709551615"), Some(OffsetSpec::Offset(last)));
        assert_eq!(read("latest"), Some(OffsetSpec::Latest));
        for wrong in [
            "",
            "+1",
            "-1",
            "1.0",
            " 1",
            "18446744073709551616",
            "Latest",
        ] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_request_has_some_records_and_not_too_many() {
        let array = |count| format!("[{}]", vec!["0"; count].join(","));
        let count =
            |records: Result<Vec<&[u8]>, Problem>| records.ok().map(|records| records.len());
        for (records, expected) in [
            (0, None),
            (1, Some(1)),
            (10_000, Some(10_000)),
            (10_001, None),
        ] {
            assert_eq!(count(split_array(array(records).as_bytes())), expected);
            assert_eq!(
                count(split_lines("0 \n \n".repeat(records).as_bytes())),
                expected
            );
        }
    }
}
