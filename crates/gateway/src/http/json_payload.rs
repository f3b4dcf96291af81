//! Payloads that are written as JSON.

use std::fmt;

use axum::body::Bytes;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// A string is its UTF-8 bytes, and anything else its own text without spaces. The text stays as it was
/// written otherwise: a number that is parsed and written again may lose digits, and an object its order.
///
/// Refused are strings that are no Unicode, numbers beyond every float, and what nests deeper than 127
/// levels: hardly anybody could read them.
pub(crate) fn payload_of(json: &RawValue) -> Result<Bytes, serde_json::Error> {
    let text = json.get();
    if text.starts_with('"') {
        return serde_json::from_str::<String>(text).map(Bytes::from);
    }
    let Readable = serde_json::from_str(text)?;
    Ok(Bytes::from(without_spaces(text)))
}

fn without_spaces(json: &str) -> String {
    let mut compact = String::with_capacity(json.len());
    let mut is_in_string = false;
    let mut is_escaped = false;
    for character in json.chars() {
        match character {
            ' ' | '\t' | '\n' | '\r' if !is_in_string => continue,
            '"' if !is_escaped => is_in_string = !is_in_string,
            _ => {}
        }
        is_escaped = character == '\\' && !is_escaped;
        compact.push(character);
    }
    compact
}

/// Any JSON that can be parsed. Nothing of it is kept: a tree of it can be a hundred times as large as
/// the text.
struct Readable;

impl<'de> Deserialize<'de> for Readable {
    fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
        input.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Readable {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while let Some(Self) = items.next_element()? {}
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self, A::Error> {
        while let Some((Self, Self)) = entries.next_entry()? {}
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(json: &str) -> Result<Bytes, serde_json::Error> {
        payload_of(serde_json::from_str(json)?)
    }

    #[test]
    fn a_payload_keeps_its_digits_its_order_and_its_repetitions() {
        let json =
            r#" { "b c" : [ 1.0 , 12345678901234567890123 ] , "a\" \\" : " x " , "b c" : 1e2 } "#;
        let expected = r#"{"b c":[1.0,12345678901234567890123],"a\" \\":" x ","b c":1e2}"#;
        assert_eq!(payload(json).unwrap(), expected);
        assert_eq!(payload(r#" " x \u0041" "#).unwrap(), " x A");
    }

    #[test]
    fn what_hardly_anybody_could_read_is_no_payload() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(payload(&nested(127)).is_ok());
        for depth in [128, 1_000_000] {
            assert!(payload(&nested(depth)).is_err(), "{depth} levels");
        }
        for json in [r#""\ud800""#, r#"{"\ud800":0}"#, "[1e999]"] {
            assert!(payload(json).is_err(), "{json}");
        }
    }
}
