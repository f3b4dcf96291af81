//! How a line of input becomes a record.

use bytes::Bytes;
use clap::ValueEnum;
use flotilla_client::{Header, PartitionIndex, ProducerRecord, TopicName};

use super::json_line::JsonLine;

/// What a line holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(super) enum InputFormat {
    /// The value, or key and value with --key-separator; bytes are taken as they are
    #[default]
    Lines,
    /// A JSON object with value, key, headers, timestamp (ms) and partition, as `consume -o json`
    /// prints it; a key or value that is no string is kept as compact JSON
    Jsonl,
}

/// Reads lines into records of one topic.
#[derive(Clone, Debug)]
pub(crate) struct RecordReader {
    pub(super) topic: TopicName,
    pub(super) format: InputFormat,
    /// With [`InputFormat::Lines`] only.
    pub(super) key_separator: Option<String>,
    /// Where records go that name no partition themselves.
    pub(super) partition: Option<PartitionIndex>,
    /// For every record, before its own.
    pub(super) headers: Vec<Header>,
}

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputFault {
    #[error("the key separator {separator:?} is missing")]
    NoSeparator { separator: String },
    #[error("not a JSON object of the expected form")]
    Json(#[from] serde_json::Error),
    #[error("{field} is missing; a null value makes a tombstone")]
    Missing { field: &'static str },
    #[error("{field} and {field}_base64 exclude each other")]
    Both { field: &'static str },
    #[error("{field}_base64 is not base64")]
    Base64 {
        field: &'static str,
        #[source]
        source: base64::DecodeError,
    },
    #[error("longer than {bytes_max} bytes")]
    TooLong { bytes_max: usize },
}

impl RecordReader {
    /// The record in `line`; `None` in a blank line between JSON objects.
    pub(super) fn read(&self, line: Bytes) -> Result<Option<ProducerRecord>, InputFault> {
        match self.format {
            InputFormat::Lines => self.read_plain(line).map(Some),
            InputFormat::Jsonl if line.trim_ascii().is_empty() => Ok(None),
            InputFormat::Jsonl => self.read_json(&line).map(Some),
        }
    }

    fn read_plain(&self, mut line: Bytes) -> Result<ProducerRecord, InputFault> {
        let mut record = self.blank_record();
        if let Some(separator) = &self.key_separator {
            let Some(at) = find(&line, separator.as_bytes()) else {
                let separator = separator.clone();
                return Err(InputFault::NoSeparator { separator });
            };
            record.key = Some(line.split_to(at));
            let _ = line.split_to(separator.len());
        }
        record.value = Some(line);
        Ok(record)
    }

    fn read_json(&self, line: &[u8]) -> Result<ProducerRecord, InputFault> {
        let mut record = self.blank_record();
        JsonLine::parse(line)?.fill(&mut record)?;
        Ok(record)
    }

    fn blank_record(&self) -> ProducerRecord {
        ProducerRecord {
            topic: self.topic.clone(),
            partition: self.partition,
            key: None,
            value: None,
            headers: self.headers.clone(),
            timestamp: None,
        }
    }
}

fn find(line: &[u8], separator: &[u8]) -> Option<usize> {
    let mut windows = line.windows(separator.len());
    windows.position(|window| window == separator)
}

#[cfg(test)]
mod tests {
    use flotilla_client::Timestamp;

    use super::*;

    fn reader(format: InputFormat, key_separator: Option<&str>) -> RecordReader {
        RecordReader {
            topic: TopicName::parse("orders").unwrap(),
            format,
            key_separator: key_separator.map(str::to_owned),
            partition: Some(PartitionIndex::new(7)),
            headers: Vec::new(),
        }
    }

    fn read_json(line: &str) -> Result<ProducerRecord, InputFault> {
        let reader = reader(InputFormat::Jsonl, None);
        let record = reader.read(Bytes::copy_from_slice(line.as_bytes()))?;
        Ok(record.expect("the line is not blank"))
    }

    #[test]
    fn a_plain_line_is_a_value_byte_for_byte() {
        let line = Bytes::from_static(b" a\xff\r");
        let record = reader(InputFormat::Lines, None).read(line.clone()).unwrap();
        let record = record.unwrap();
        assert_eq!(record.value, Some(line));
        assert_eq!(record.key, None);
        assert_eq!(record.partition, Some(PartitionIndex::new(7)));
    }

    #[test]
    fn an_empty_plain_line_is_an_empty_value() {
        let record = reader(InputFormat::Lines, None).read(Bytes::new()).unwrap();
        assert_eq!(record.unwrap().value, Some(Bytes::new()));
    }

    #[test]
    fn the_first_separator_divides_key_and_value() {
        let reader = reader(InputFormat::Lines, Some("::"));
        let record = reader.read("k::v::w".into()).unwrap().unwrap();
        assert_eq!(record.key, Some("k".into()));
        assert_eq!(record.value, Some("v::w".into()));
        let record = reader.read("::".into()).unwrap().unwrap();
        assert_eq!(
            (record.key, record.value),
            (Some("".into()), Some("".into()))
        );
        let fault = reader.read("k:v".into()).unwrap_err();
        assert!(matches!(fault, InputFault::NoSeparator { .. }));
    }

    #[test]
    fn a_json_line_can_say_everything_of_a_record() {
        let record = read_json(
            r#"{"key": "k\n", "value": {"n": 12345678901234567890.10, "s": "a b"},
                "headers": [{"key": "h", "value": "1"}, {"key": "h", "value_base64": "/w=="},
                {"key": "none", "value": null}], "timestamp": -5, "partition": 2,
                "topic": "elsewhere", "offset": 9}"#,
        )
        .unwrap();
        assert_eq!(record.key, Some("k\n".into()));
        let value: Bytes = r#"{"n":12345678901234567890.10,"s":"a b"}"#.into();
        assert_eq!(record.value, Some(value));
        assert_eq!(record.topic.as_str(), "orders");
        assert_eq!(record.partition, Some(PartitionIndex::new(2)));
        assert_eq!(record.timestamp, Some(Timestamp::from_millis(-5)));
        let headers: Vec<_> = record.headers.into_iter().map(|h| h.value).collect();
        let binary = Bytes::from_static(b"\xff");
        assert_eq!(headers, [Some("1".into()), Some(binary), None]);
    }

    #[test]
    fn headers_can_be_an_object() {
        let record = read_json(r#"{"value": "", "headers": {"b": "1", "a": 2, "c": null}}"#);
        let headers = record.unwrap().headers;
        let headers: Vec<_> = headers.into_iter().map(|h| (h.key, h.value)).collect();
        let header =
            |key: &str, value: Option<&'static str>| (key.to_owned(), value.map(Bytes::from));
        let expected = [
            header("b", Some("1")),
            header("a", Some("2")),
            header("c", None),
        ];
        assert_eq!(headers, expected);
    }

    #[test]
    fn a_null_value_is_a_tombstone_and_a_missing_one_a_mistake() {
        let tombstone = read_json(r#"{"key": "k", "value": null}"#).unwrap();
        assert_eq!(tombstone.value, None);
        assert!(matches!(
            read_json(r#"{"key": "k"}"#),
            Err(InputFault::Missing { field: "value" })
        ));
    }

    #[test]
    fn blank_lines_between_json_objects_are_nothing() {
        let reader = reader(InputFormat::Jsonl, None);
        assert_eq!(reader.read(" \t".into()).unwrap(), None);
    }

    #[test]
    fn lines_that_are_no_records_say_why() {
        for (line, reason) in [
            ("{", "not a JSON object"),
            ("[]", "not a JSON object"),
            (r#"{"value": "v", "vlaue": 1}"#, "not a JSON object"),
            (r#"{"value": "v", "partition": -1}"#, "not a JSON object"),
            (r#"{"value": "v", "headers": "h"}"#, "not a JSON object"),
            (r#"{"value_base64": "?"}"#, "value_base64 is not base64"),
            (
                r#"{"value": "v", "value_base64": ""}"#,
                "exclude each other",
            ),
            ("{\"value\": \"\u{0}\"}", "not a JSON object"),
        ] {
            let fault = read_json(line).unwrap_err();
            assert!(fault.to_string().contains(reason), "{line}: {fault}");
        }
        let reader = reader(InputFormat::Jsonl, None);
        assert!(
            reader
                .read(Bytes::from_static(b"{\"value\": \"\xff\"}"))
                .is_err()
        );
    }
}
