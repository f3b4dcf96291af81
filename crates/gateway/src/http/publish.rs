//! `POST /publish/{topic}`: the body is the payload.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use flotilla_client::{
    ErrorCode, PartitionIndex, ProducerRecord, Publication, Published, TopicName,
};
use flotilla_types::limits::{PUBLISH_BYTES_DEFAULT, RECORD_BYTES_DEFAULT};
use serde::Serialize;
use utoipa::ToSchema;
use uuid::Uuid;

use super::body::{ReadBody, declared_length};
use super::extract::{InPath, Visitor, read_number};
use super::problem::{Problem, ProblemBody};
use super::state::HttpState;
use crate::door::Door;

/// The record's header that has the message id, given or made up.
pub(crate) const MESSAGE_ID: &str = "message-id";

const X_KB_MESSAGE_ID: HeaderName = HeaderName::from_static("x-kb-messageid");
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const KEY: HeaderName = HeaderName::from_static("flotilla-key");
const PARTITION: HeaderName = HeaderName::from_static("flotilla-partition");
/// What follows it is the name of a record header.
const RECORD_HEADER: &str = "flotilla-header-";
/// Headers of the request that go into the record under their own names.
const KEPT: [HeaderName; 3] = [
    header::CONTENT_TYPE,
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
];

/// Where a record is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PublishedBody {
    /// The message id: the one that was given, or one that was made up. Consumers find it in the record
    /// header `message-id`.
    id: String,
    topic: String,
    #[schema(minimum = 0)]
    partition: u32,
    #[schema(minimum = 0)]
    offset: u64,
    /// A record with this message id had been stored before, and this is where.
    duplicate: bool,
}

impl PublishedBody {
    pub(crate) fn new(id: String, topic: &TopicName, published: Published) -> Self {
        Self {
            id,
            topic: topic.to_string(),
            partition: published.partition.get(),
            offset: published.offset.get(),
            duplicate: published.duplicate,
        }
    }
}

/// Publish one record.
///
/// The body is the payload, byte for byte, whatever its media type; `Content-Type`, `traceparent` and
/// `tracestate` become headers of the record. The answer comes when a majority of the replicas have the
/// record on disk. Up to 65,536 bytes, or what `max_record_bytes` of the topic says if that was changed.
#[utoipa::path(
    post,
    path = "/publish/{topic}",
    tag = "records",
    params(
        ("topic" = String, Path, description = "Name of the topic", max_length = 249, pattern = "^[A-Za-z0-9._-]+$"),
        ("X-KB-MessageID" = Option<String>, Header, max_length = 256, description =
            "Message id. Of all records with the same one only the first is stored, for as long as \
             `deduplication_window_ms` of the topic says; repetitions get its place"),
        ("Idempotency-Key" = Option<String>, Header, max_length = 256, description = "The same as `X-KB-MessageID`"),
        ("Flotilla-Key" = Option<String>, Header, description =
            "Key of the record: records with the same one keep their order"),
        ("Flotilla-Partition" = Option<u32>, Header, description =
            "Partition. By default the key picks it, or the message id, or else the node"),
        ("Flotilla-Header-*" = Option<String>, Header, description =
            "Header of the record, named by what follows the last dash"),
    ),
    request_body(content = Vec<u8>, content_type = "*/*", description = "The payload"),
    responses(
        (status = 200, description = "The record is stored", body = PublishedBody),
        (status = "default", description = "The record is not stored, or may be: see `definite`",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
)]
pub(crate) async fn publish(
    State(state): State<HttpState>,
    Visitor(door): Visitor,
    InPath(topic): InPath<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<PublishedBody>, Problem> {
    let topic = topic_name(&topic)?;
    let body = read_payload(&state, &door, &topic, (&headers, body)).await?;
    let (id, publication) = read_publication(topic.clone(), &headers, body.bytes.clone())?;
    let published = door.publisher.publish(publication).await?;
    Ok(Json(PublishedBody::new(id, &topic, published)))
}

/// What the headers of a request make of its payload, with the message id.
pub(super) fn read_publication(
    topic: TopicName,
    headers: &HeaderMap,
    payload: Bytes,
) -> Result<(String, Publication), Problem> {
    let mut record = ProducerRecord::new(topic, payload);
    record.partition = partition(headers)?;
    let key = headers.get(KEY);
    record.key = key.map(|key| Bytes::copy_from_slice(key.as_bytes()));
    let given = message_id(headers)?;
    let id = given.clone().unwrap_or_else(new_message_id);
    record = record.header(MESSAGE_ID, id.clone().into_bytes());
    for (name, value) in headers {
        let kept = KEPT.contains(name).then_some(name.as_str());
        if let Some(name) = kept.or_else(|| name.as_str().strip_prefix(RECORD_HEADER)) {
            record = record.header(name, value.as_bytes().to_vec());
        }
    }
    let mut publication = Publication::new(record);
    publication.message_id = given;
    Ok((id, publication))
}

pub(crate) fn topic_name(text: &str) -> Result<TopicName, Problem> {
    TopicName::parse(text).map_err(|error| Problem::of_code(error.code(), error.to_string()))
}

pub(crate) fn new_message_id() -> String {
    Uuid::new_v4().to_string()
}

/// Reads the payload. Only one that is larger than most has to ask what the topic takes.
async fn read_payload(
    state: &HttpState,
    door: &Door,
    topic: &TopicName,
    (headers, body): (&HeaderMap, Body),
) -> Result<ReadBody, Problem> {
    let may_be_larger =
        declared_length(headers).is_none_or(|length| length > PUBLISH_BYTES_DEFAULT);
    let max = match may_be_larger {
        true => payload_bytes_max(door, topic).await?,
        false => PUBLISH_BYTES_DEFAULT,
    };
    let reason = format!("a payload has at most {max} bytes here (max_record_bytes of the topic)");
    state.bodies.read(headers, body, (max, &reason)).await
}

/// The largest payload that is taken for the topic: 64 KiB, unless its configuration was changed.
async fn payload_bytes_max(door: &Door, topic: &TopicName) -> Result<usize, Problem> {
    let described = door.client.admin().describe_topic(topic).await?;
    let max = described.config.get("max_record_bytes");
    let max = max.and_then(|text| text.parse::<usize>().ok());
    let changed = max.filter(|max| *max != RECORD_BYTES_DEFAULT);
    Ok(changed.unwrap_or(PUBLISH_BYTES_DEFAULT))
}

fn partition(headers: &HeaderMap) -> Result<Option<PartitionIndex>, Problem> {
    let Some(value) = headers.get(PARTITION) else {
        return Ok(None);
    };
    let number = value.to_str().ok().and_then(read_number);
    let number = number.ok_or_else(|| {
        Problem::invalid("Flotilla-Partition is not the number of a partition, 0 or above")
    })?;
    Ok(Some(PartitionIndex::new(number)))
}

/// The message id that was given. Both headers say the same or nothing.
fn message_id(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let read = |name: &HeaderName| match headers.get(name) {
        None => Ok(None),
        Some(value) => read_message_id(name, value).map(Some),
    };
    match (read(&X_KB_MESSAGE_ID)?, read(&IDEMPOTENCY_KEY)?) {
        (Some(one), Some(other)) if one != other => Err(Problem::invalid(
            "X-KB-MessageID and Idempotency-Key differ: send one of them",
        )),
        (one, other) => Ok(one.or(other)),
    }
}

/// An `Idempotency-Key` may be a string in quotation marks (RFC 9651, section 3.3.3).
fn read_message_id(name: &HeaderName, value: &HeaderValue) -> Result<String, Problem> {
    let text = std::str::from_utf8(value.as_bytes()).unwrap_or_default();
    let unquoted = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let id = unquoted.unwrap_or(text);
    flotilla_types::MessageId::check(id).map_err(|error| {
        Problem::of_code(ErrorCode::InvalidArgument, format!("{name}: {error}"))
    })?;
    Ok(id.to_owned())
}
