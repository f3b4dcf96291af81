//! A record as `consume -o json` prints it and as `produce --format jsonl` reads it.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flotilla_client::{ConsumerRecord, Header};
use serde::Serialize;

#[derive(Serialize)]
pub(super) struct RecordJson<'a> {
    topic: &'a str,
    partition: u32,
    offset: u64,
    /// Milliseconds since 1970.
    timestamp: i64,
    #[serde(skip_serializing_if = "is_binary")]
    key: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(skip_serializing_if = "is_binary")]
    value: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
    headers: Vec<HeaderJson<'a>>,
}

#[derive(Serialize)]
struct HeaderJson<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "is_binary")]
    value: Content<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

/// Bytes are a string where they are UTF-8 and go into a field of their own where they are not.
#[derive(Clone, Copy, Serialize)]
#[serde(untagged)]
enum Content<'a> {
    Null,
    Text(&'a str),
    #[serde(skip)]
    Binary(&'a [u8]),
}

impl<'a> From<&'a ConsumerRecord> for RecordJson<'a> {
    fn from(record: &'a ConsumerRecord) -> Self {
        let key = Content::of(record.key.as_ref());
        let value = Content::of(record.value.as_ref());
        Self {
            topic: record.topic.as_str(),
            partition: record.partition.get(),
            offset: record.offset.get(),
            timestamp: record.timestamp.as_millis(),
            key,
            key_base64: key.base64(),
            value,
            value_base64: value.base64(),
            headers: record.headers.iter().map(HeaderJson::from).collect(),
        }
    }
}

impl<'a> From<&'a Header> for HeaderJson<'a> {
    fn from(header: &'a Header) -> Self {
        let value = Content::of(header.value.as_ref());
        Self {
            key: &header.key,
            value,
            value_base64: value.base64(),
        }
    }
}

impl<'a> Content<'a> {
    fn of(bytes: Option<&'a Bytes>) -> Self {
        match bytes.map(|bytes| (bytes, std::str::from_utf8(bytes))) {
            None => Self::Null,
            Some((_, Ok(text))) => Self::Text(text),
            Some((bytes, Err(_))) => Self::Binary(bytes),
        }
    }

    fn base64(self) -> Option<String> {
        match self {
            Self::Null | Self::Text(_) => None,
            Self::Binary(bytes) => Some(STANDARD.encode(bytes)),
        }
    }
}

fn is_binary(content: &Content<'_>) -> bool {
    matches!(content, Content::Binary(_))
}

#[cfg(test)]
pub(super) mod tests {
    use flotilla_client::{Offset, PartitionIndex, Timestamp, TopicName};

    use super::super::input::{InputFormat, RecordReader};
    use super::*;

    /// With a header that is not UTF-8 and one that has no value.
    pub(in crate::records) fn record() -> ConsumerRecord {
        let header = |key: &str, value| Header {
            key: key.to_owned(),
            value,
        };
        ConsumerRecord {
            topic: TopicName::parse("orders").unwrap(),
            partition: PartitionIndex::new(3),
            offset: Offset::new(17),
            timestamp: Timestamp::from_millis(1_700_000_000_000),
            key: Some("k".into()),
            value: Some("v".into()),
            headers: vec![
                header("trace", Some(Bytes::from_static(b"\xff"))),
                header("none", None),
            ],
        }
    }

    #[test]
    fn bytes_that_are_no_text_get_a_field_of_their_own() {
        assert_eq!(
            serde_json::to_string(&RecordJson::from(&record())).unwrap(),
            "{\"topic\":\"orders\",\"partition\":3,\"offset\":17,\"timestamp\":1700000000000,\
             \"key\":\"k\",\"value\":\"v\",\"headers\":[{\"key\":\"trace\",\
             \"value_base64\":\"/w==\"},{\"key\":\"none\",\"value\":null}]}"
        );
    }

    #[test]
    fn what_is_printed_can_be_produced_again() {
        let reader = RecordReader {
            topic: TopicName::parse("copy").unwrap(),
            format: InputFormat::Jsonl,
            key_separator: None,
            partition: None,
            headers: Vec::new(),
        };
        let texts = [None, Some("1"), Some("{\"a\": 1}"), Some("null"), Some("")];
        let bytes = texts.map(|text| text.map(Bytes::from));
        for content in bytes.into_iter().chain([Some(Bytes::from_static(b"\x80"))]) {
            let original = ConsumerRecord {
                key: content.clone(),
                value: content,
                ..record()
            };
            let line = serde_json::to_vec(&RecordJson::from(&original)).unwrap();
            let copy = reader.read(line.into()).unwrap().unwrap();
            assert_eq!(copy.key, original.key);
            assert_eq!(copy.value, original.value);
            assert_eq!(copy.headers, original.headers);
            assert_eq!(copy.timestamp, Some(original.timestamp));
        }
    }
}
