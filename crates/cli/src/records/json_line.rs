//! A line of JSON lines, as it is written and as the parts of a record.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flotilla_client::{Header, PartitionIndex, ProducerRecord, Timestamp};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::compact::compact;
use super::input::InputFault;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct JsonLine<'a> {
    #[serde(borrow, default, deserialize_with = "given")]
    key: Option<&'a RawValue>,
    key_base64: Option<String>,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
    /// An array of [`JsonHeader`] or an object of [`HeaderMap`].
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    timestamp: Option<i64>,
    partition: Option<u32>,
    /// What `consume` prints besides says where the record was, not where it goes.
    #[serde(rename = "topic")]
    _topic: Option<String>,
    #[serde(rename = "offset")]
    _offset: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonHeader<'a> {
    key: String,
    #[serde(borrow, default, deserialize_with = "given")]
    value: Option<&'a RawValue>,
    value_base64: Option<String>,
}

/// Headers in the order in which they are written, names that repeat included.
struct HeaderMap<'a>(Vec<(String, &'a RawValue)>);

impl<'a> JsonLine<'a> {
    pub(super) fn parse(line: &'a [u8]) -> Result<Self, InputFault> {
        Ok(serde_json::from_slice(line)?)
    }

    /// Puts into `record` what the line says.
    pub(super) fn fill(self, record: &mut ProducerRecord) -> Result<(), InputFault> {
        record.key = read_bytes("key", self.key, self.key_base64)?.flatten();
        record.value = read_bytes("value", self.value, self.value_base64)?
            .ok_or(InputFault::Missing { field: "value" })?;
        record.timestamp = self.timestamp.map(Timestamp::from_millis);
        if let Some(partition) = self.partition {
            record.partition = Some(PartitionIndex::new(partition));
        }
        if let Some(headers) = self.headers {
            record.headers.extend(read_headers(headers.get())?);
        }
        Ok(())
    }
}

/// Tells `null` from a field that is not there.
fn given<'de: 'a, 'a, D: Deserializer<'de>>(input: D) -> Result<Option<&'a RawValue>, D::Error> {
    <&RawValue>::deserialize(input).map(Some)
}

fn read_headers(json: &str) -> Result<Vec<Header>, InputFault> {
    if json.starts_with('{') {
        let HeaderMap(headers) = serde_json::from_str(json)?;
        let headers = headers.into_iter().map(|(key, value)| {
            let value = read_json_bytes(value.get())?;
            Ok(Header { key, value })
        });
        return headers.collect();
    }
    let headers: Vec<JsonHeader<'_>> = serde_json::from_str(json)?;
    let headers = headers.into_iter().map(|header| {
        let value = read_bytes("header value", header.value, header.value_base64)?;
        Ok(Header {
            key: header.key,
            value: value.flatten(),
        })
    });
    headers.collect()
}

/// `None` if neither form is given, `Some(None)` for `null`.
fn read_bytes(
    field: &'static str,
    json: Option<&RawValue>,
    base64: Option<String>,
) -> Result<Option<Option<Bytes>>, InputFault> {
    match (json, base64) {
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err(InputFault::Both { field }),
        (None, Some(text)) => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Some(Some(bytes.into()))),
            Err(source) => Err(InputFault::Base64 { field, source }),
        },
        (Some(json), None) => read_json_bytes(json.get()).map(Some),
    }
}

fn read_json_bytes(json: &str) -> Result<Option<Bytes>, InputFault> {
    if json == "null" {
        return Ok(None);
    }
    if json.starts_with('"') {
        let text: String = serde_json::from_str(json)?;
        return Ok(Some(text.into()));
    }
    Ok(Some(compact(json).into()))
}

impl<'de: 'a, 'a> Deserialize<'de> for HeaderMap<'a> {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        struct InOrder;

        impl<'de> Visitor<'de> for InOrder {
            type Value = HeaderMap<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of headers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut headers = Vec::new();
                while let Some(header) = map.next_entry()? {
                    headers.push(header);
                }
                Ok(HeaderMap(headers))
            }
        }

        input.deserialize_map(InOrder)
    }
}
