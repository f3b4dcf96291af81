//! Records as JSON.

use axum::body::Bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, Datelike, SecondsFormat};
use flotilla_client::{
    ConsumerRecord, Header, PartitionIndex, ProducerRecord, Publication, Timestamp, TopicName,
};
use flotilla_types::limits::RECORD_HEADERS_MAX;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::at_most::AtMost;
use super::from_object::FromObject;
use super::json_payload::payload_of;
use super::problem::Problem;
use super::publish::{MESSAGE_ID, new_message_id};

/// Most headers that a caller can give a record. One more has the message id.
const HEADERS_MAX: usize = RECORD_HEADERS_MAX - 1;

/// A record to be published. At most one of `value` and `value_base64`, and of `key` and `key_base64`, is
/// given.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewRecord {
    /// The payload: a string as its UTF-8 bytes, anything else as JSON text without spaces. Absent or null,
    /// and without `value_base64`, the record is a tombstone of its key.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    value: Option<Box<RawValue>>,
    /// The payload as bytes.
    #[serde(default)]
    value_base64: Option<String>,
    /// The key as UTF-8 bytes.
    #[serde(default)]
    key: Option<String>,
    /// The key as bytes.
    #[serde(default)]
    key_base64: Option<String>,
    #[serde(default)]
    #[schema(value_type = Vec<HeaderBody>, max_items = 255)]
    headers: AtMost<FromObject<HeaderBody>, HEADERS_MAX>,
    /// Of all records with the same one only the first is stored.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 256)]
    message_id: Option<String>,
    /// By default the key picks it, or the message id, or else the node.
    #[serde(default)]
    #[schema(minimum = 0)]
    partition: Option<u32>,
    /// Milliseconds since 1970-01-01T00:00:00Z; by default now.
    #[serde(default)]
    timestamp_ms: Option<i64>,
}

/// A header of a record. A name may occur more than once.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderBody {
    key: String,
    /// The value, if it is UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The value, if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// A record that was read.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecordBody {
    #[schema(minimum = 0)]
    partition: u32,
    #[schema(minimum = 0)]
    offset: u64,
    /// Milliseconds since 1970-01-01T00:00:00Z.
    timestamp_ms: i64,
    /// The same in words (RFC 3339), if it is a time that has them.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    /// The key, if there is one and it is UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The key, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    /// The payload, if it is UTF-8. Without `value` and `value_base64` the record is a tombstone.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    /// The payload, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderBody>,
}

impl NewRecord {
    /// As something to publish, with its message id.
    pub(crate) fn into_publication(
        self,
        topic: TopicName,
    ) -> Result<(String, Publication), Problem> {
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => return Err(Problem::invalid("value and value_base64: give one")),
            (None, None) => None,
            (Some(json), None) => Some(
                payload_of(&json).map_err(|error| Problem::invalid(format!("value: {error}")))?,
            ),
            (None, Some(text)) => Some(read_base64("value_base64", &text)?),
        };
        let key = match (self.key, self.key_base64) {
            (Some(_), Some(_)) => return Err(Problem::invalid("key and key_base64: give one")),
            (Some(text), None) => Some(Bytes::from(text)),
            (None, Some(text)) => Some(read_base64("key_base64", &text)?),
            (None, None) => None,
        };
        if value.is_none() && key.is_none() {
            return Err(Problem::invalid(
                "a record without a value is a tombstone and needs a key",
            ));
        }
        let headers = self.headers.0.into_iter();
        let headers = headers.map(|FromObject(header)| header.into_header());
        let mut headers = headers.collect::<Result<Vec<_>, _>>()?;
        let id = self.message_id.clone().unwrap_or_else(new_message_id);
        headers.push(Header {
            key: MESSAGE_ID.to_owned(),
            value: Some(Bytes::from(id.clone())),
        });
        let record = ProducerRecord {
            topic,
            partition: self.partition.map(PartitionIndex::new),
            key,
            value,
            headers,
            timestamp: self.timestamp_ms.map(Timestamp::from_millis),
        };
        let mut publication = Publication::new(record);
        publication.message_id = self.message_id;
        Ok((id, publication))
    }
}

impl HeaderBody {
    fn into_header(self) -> Result<Header, Problem> {
        let value = match (self.value, self.value_base64) {
            (Some(_), Some(_)) => {
                return Err(Problem::invalid(
                    "value and value_base64 of a header: give one",
                ));
            }
            (Some(text), None) => Some(Bytes::from(text)),
            (None, Some(text)) => Some(read_base64("value_base64 of a header", &text)?),
            (None, None) => None,
        };
        Ok(Header {
            key: self.key,
            value,
        })
    }
}

impl From<Header> for HeaderBody {
    fn from(header: Header) -> Self {
        let (value, value_base64) = text_or_base64(header.value);
        Self {
            key: header.key,
            value,
            value_base64,
        }
    }
}

impl From<ConsumerRecord> for RecordBody {
    fn from(record: ConsumerRecord) -> Self {
        let (key, key_base64) = text_or_base64(record.key);
        let (value, value_base64) = text_or_base64(record.value);
        Self {
            partition: record.partition.get(),
            offset: record.offset.get(),
            timestamp_ms: record.timestamp.as_millis(),
            time: in_words(record.timestamp),
            key,
            key_base64,
            value,
            value_base64,
            headers: record.headers.into_iter().map(HeaderBody::from).collect(),
        }
    }
}

/// A moment as RFC 3339 has it, which knows no years but those of four digits.
pub(crate) fn in_words(timestamp: Timestamp) -> Option<String> {
    let time = DateTime::from_timestamp_millis(timestamp.as_millis())?;
    if !(0..=9_999).contains(&time.year()) {
        return None;
    }
    Some(time.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// Reads a moment: RFC 3339, or milliseconds since 1970.
pub(crate) fn read_time(text: &str) -> Result<Timestamp, Problem> {
    if let Ok(millis) = text.parse() {
        return Ok(Timestamp::from_millis(millis));
    }
    match DateTime::parse_from_rfc3339(text) {
        Ok(time) => Ok(Timestamp::from_millis(time.timestamp_millis())),
        Err(_) => Err(Problem::invalid(format!(
            "{text:?} is not a time: write 2026-01-31T12:00:00Z, or milliseconds since 1970"
        ))),
    }
}

fn read_base64(what: &str, text: &str) -> Result<Bytes, Problem> {
    let decoded = BASE64_STANDARD.decode(text);
    let decoded = decoded.map_err(|error| Problem::invalid(format!("{what}: {error}")))?;
    Ok(Bytes::from(decoded))
}

fn text_or_base64(bytes: Option<Bytes>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| String::from_utf8(bytes.into())) {
        None => (None, None),
        Some(Ok(text)) => (Some(text), None),
        Some(Err(error)) => (None, Some(BASE64_STANDARD.encode(error.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<ProducerRecord> {
        let FromObject::<NewRecord>(record) = serde_json::from_str(json).ok()?;
        let publication = record.into_publication(TopicName::parse("orders").unwrap());
        publication.ok().map(|(_, publication)| publication.record)
    }

    #[test]
    fn a_payload_in_json_is_stored_as_it_was_written() {
        let value = |json: &str| read(json).unwrap().value.unwrap();
        assert_eq!(value(r#"{"value":"text"}"#), "text");
        assert_eq!(
            value(r#"{"value":{"b": 12345678901234567890123, "a": 1.0}}"#),
            r#"{"b":12345678901234567890123,"a":1.0}"#
        );
        assert_eq!(read(r#"{"value":null,"key":"k"}"#).unwrap().value, None);
        assert!(read(r#"{"value":null}"#).is_none());
        assert!(read(r#"{"value":1,"value_base64":""}"#).is_none());
    }

    #[test]
    fn a_record_has_as_many_headers_as_can_be_stored() {
        let record = |headers| {
            format!(
                r#"{{"value":0,"headers":[{}]}}"#,
                vec![r#"{"key":""}"#; headers].join(",")
            )
        };
        assert!(read(&record(HEADERS_MAX)).is_some());
        assert!(read(&record(HEADERS_MAX + 1)).is_none());
    }

    #[test]
    fn a_record_and_its_headers_are_objects() {
        assert!(read(r#"{"value":0,"headers":[{"key":"a","value":"b"}]}"#).is_some());
        for wrong in [r#"["text"]"#, r#"{"value":0,"headers":[["a","b"]]}"#] {
            assert!(read(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn a_time_in_words_can_be_read_again() {
        let last = 253_402_300_799_999;
        for millis in [0, -1, last] {
            let time = in_words(Timestamp::from_millis(millis)).unwrap();
            assert_eq!(read_time(&time).unwrap().as_millis(), millis);
        }
        assert_eq!(in_words(Timestamp::from_millis(last + 1)), None);
    }
}
